/// A further MAC address on another interface.
public struct MACVLANSpec: CheckedLinkSpec {
    /// `MACVLAN`
    public static let word = "MACVLAN"
    static let block: LinkBlock? = LinkBlock("macvlan") { if case .macvlan = $0 { true } else { false } }

    /// The logical name of the interface below.
    public let below: String
    /// How it and its siblings see each other.
    public let mode: MACVLANMode

    init?(_ message: Ligato_Linux_Interfaces_Interface, _ findings: inout FieldFindings) {
        let macvlan = message.macvlan
        findings.checkParent(macvlan.parent, ["macvlan", "parent"])
        below = macvlan.parent
        switch macvlan.mode {
        case .bridge: mode = .bridge
        case .private: mode = .isolated
        case .vepa: mode = .vepa
        case .passthru: mode = .passthrough
        case .UNRECOGNIZED(let number):
            findings.unknown(number, "ligato.linux.interfaces.MacvlanLink.Mode", ["macvlan", "mode"])
            return nil
        }
    }

    var parent: String? { below }

    func check(_ check: inout InterfaceCheck) {
        check.checkParent(below, "macvlan", inNamespace: false)
        check.checkIsNoPort(below, "macvlan")
    }
}

/// How a MACVLAN interface and its siblings see each other.
public enum MACVLANMode: Hashable, Sendable, CaseIterable {
    /// Directly.
    case bridge
    /// Not at all.
    case isolated
    /// By way of the switch outside.
    case vepa
    /// There are none.
    case passthrough
}
