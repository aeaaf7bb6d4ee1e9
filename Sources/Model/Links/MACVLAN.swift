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
        guard let mode = MACVLANMode(message.macvlan, "macvlan", &findings) else { return nil }
        below = message.macvlan.parent
        self.mode = mode
    }

    var parent: String? { below }

    func check(_ check: inout InterfaceCheck) {
        check.checkParent(below, "macvlan", inNamespace: false)
        check.checkIsNoPort(below, "macvlan")
        if mode == .passthrough { check.checkSharesMAC(below, "macvlan") }
    }
}

/// A further MAC address on another interface, for a program that opens it as a TAP device.
public struct MACVTAPSpec: CheckedLinkSpec {
    /// `MACVTAP`
    public static let word = "MACVTAP"
    static let block: LinkBlock? = LinkBlock("macvtap") { if case .macvtap = $0 { true } else { false } }

    /// The logical name of the interface below.
    public let below: String
    /// How it and its siblings see each other.
    public let mode: MACVLANMode

    init?(_ message: Ligato_Linux_Interfaces_Interface, _ findings: inout FieldFindings) {
        guard let mode = MACVLANMode(message.macvtap, "macvtap", &findings) else { return nil }
        below = message.macvtap.parent
        self.mode = mode
    }

    var parent: String? { below }

    func check(_ check: inout InterfaceCheck) {
        check.checkParent(below, "macvtap", inNamespace: false)
        check.checkIsNoPort(below, "macvtap")
        if mode == .passthrough { check.checkSharesMAC(below, "macvtap") }
    }
}

/// How a MACVLAN or MACVTAP interface and its siblings see each other.
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

extension MACVLANMode {
    /// Reads the mode and checks that a parent is named; nil and a finding when there is no such mode.
    fileprivate init?(
        _ link: Ligato_Linux_Interfaces_MacvlanLink, _ block: String, _ findings: inout FieldFindings
    ) {
        findings.checkParent(link.parent, [.field(block), "parent"])
        switch link.mode {
        case .bridge: self = .bridge
        case .private: self = .isolated
        case .vepa: self = .vepa
        case .passthru: self = .passthrough
        case .UNRECOGNIZED(let number):
            findings.unknown(number, "ligato.linux.interfaces.MacvlanLink.Mode", [.field(block), "mode"])
            return nil
        }
    }
}
