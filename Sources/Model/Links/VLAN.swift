/// A VLAN of another interface.
public struct VLANSpec: CheckedLinkSpec {
    /// The tag's protocol.
    public enum TagProtocol: UInt32, Hashable, Sendable, CaseIterable {
        /// IEEE 802.1Q, a customer tag.
        case dot1q
        /// IEEE 802.1ad, a service tag.
        case dot1ad
    }

    /// `VLAN`
    public static let word = "VLAN"
    static let block: LinkBlock? = LinkBlock("vlan") { if case .vlan = $0 { true } else { false } }
    private static let ids = FieldFindings.range(of: "id", in: "VlanLink")

    /// The logical name of the interface below.
    public let below: String
    /// The VLAN, 1 to 4094.
    public let id: UInt16
    /// The tag's protocol.
    public let tagProtocol: TagProtocol

    init?(_ message: Ligato_Linux_Interfaces_Interface, _ findings: inout FieldFindings) {
        let vlan = message.vlan
        findings.checkParent(vlan.parent, ["vlan", "parent"])
        if vlan.id == 0 {
            findings.mistake(
                ["vlan", "id"], "is missing; it is \(Self.ids.lowerBound)–\(Self.ids.upperBound)")
        } else {
            findings.check(vlan.id, Self.ids, ["vlan", "id"])
        }
        switch vlan.protocol {
        case .dot1Q: tagProtocol = .dot1q
        case .dot1Ad: tagProtocol = .dot1ad
        case .UNRECOGNIZED(let number):
            findings.unknown(number, "ligato.linux.interfaces.VlanLink.Protocol", ["vlan", "protocol"])
            return nil
        }
        below = vlan.parent
        id = UInt16(truncatingIfNeeded: vlan.id)
    }

    var parent: String? { below }

    func share(in namespace: NetNamespace) -> LinkShare? {
        .tag(tagProtocol.rawValue << 16 | UInt32(id), parent: below)
    }

    func check(_ check: inout InterfaceCheck) {
        check.checkParent(below, "vlan", inNamespace: true)
        if let (name, ref) = check.holder() {
            let place = check.set.place(ref)
            check.report(
                ["vlan", "id"], String(id), "is taken on \(below.inQuotes) by \(name) (\(place))", with: ref)
        }
        // What others made may be up all the same.
        guard check.interface.isEnabled, let (ref, parent) = check.declared(below), !parent.isEnabled,
            parent.type != .existing
        else { return }
        check.report(
            ["vlan", "parent"], below,
            "is not enabled, so a VLAN on it can't be; enable both or none (\(check.set.place(ref)))", with: ref)
    }
}
