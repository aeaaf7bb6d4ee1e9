/// Further IP addresses on another interface.
public struct IPVLANSpec: CheckedLinkSpec {
    /// `IPVLAN`
    public static let word = "IPVLAN"
    static let block: LinkBlock? = LinkBlock("ipvlan") { if case .ipvlan = $0 { true } else { false } }

    /// The logical name of the interface below.
    public let below: String
    /// Up to which layer it works by itself.
    public let mode: IPVLANMode

    init?(_ message: Ligato_Linux_Interfaces_Interface, _ findings: inout FieldFindings) {
        let ipvlan = message.ipvlan
        findings.checkParent(ipvlan.parent, ["ipvlan", "parent"])
        below = ipvlan.parent
        switch ipvlan.mode {
        case .l2: mode = .l2
        case .l3: mode = .l3
        case .l3S: mode = .l3s
        case .UNRECOGNIZED(let number):
            findings.unknown(number, "ligato.linux.interfaces.IpvlanLink.Mode", ["ipvlan", "mode"])
            return nil
        }
    }

    var noMAC: String? { "an IPVLAN has the MAC address of its parent" }
    var parent: String? { below }

    func check(_ check: inout InterfaceCheck) {
        check.checkParent(below, "ipvlan", inNamespace: false)
        check.checkIsNoPort(below, "ipvlan")
    }
}

/// Up to which layer an IPVLAN interface works by itself.
public enum IPVLANMode: Hashable, Sendable, CaseIterable {
    /// Ethernet.
    case l2
    /// IP, without netfilter of the parent's namespace.
    case l3
    /// IP, with it.
    case l3s
}
