public import NetworkTypes

/// A forwarding entry of a bridge or of a VXLAN.
public struct ForwardingSpec: Hashable, Sendable {
    /// The logical name of the port or VXLAN, or the name of one that is not declared.
    public let interface: String
    /// Where it is, if the interface is not declared.
    public let namespace: NetNamespace
    /// The MAC address; all zeros: whatever has no entry of its own, in a VXLAN.
    public let mac: MACAddress
    /// The VLAN, in a bridge that tells VLANs apart; nil: none.
    public let vlan: UInt16?
    /// The other end of the tunnel; nil: it is an entry of the bridge that the interface is a port of.
    public let destination: IPAddress?
    /// The other end's UDP port; nil: that of the VXLAN.
    public let port: UInt16?
    /// The network at the other end; nil: that of the VXLAN.
    public let vni: UInt32?

    private static let vlans = Schema.plain.range(of: "vlan", in: "nsmagent.linux.ForwardingEntry")
    private static let ports = Schema.plain.range(of: "port", in: "nsmagent.linux.ForwardingEntry")
    private static let vnis = Schema.plain.range(of: "vni", in: "nsmagent.linux.ForwardingEntry")

    init?(_ message: Nsmagent_Linux_ForwardingEntry, _ findings: inout FieldFindings) {
        interface = message.interface
        findings.check(name: interface, "interface", what: "the name of an interface")
        namespace = findings.namespace(message.hasNamespace ? message.namespace : nil)
        findings.check(message.vlan, Self.vlans, ["vlan"])
        findings.check(message.port, Self.ports, ["port"])
        findings.check(message.vni, Self.vnis, ["vni"])
        vlan = message.vlan == 0 ? nil : UInt16(truncatingIfNeeded: message.vlan)
        port = message.port == 0 ? nil : UInt16(truncatingIfNeeded: message.port)
        vni = message.hasVni ? message.vni : nil
        let mac = findings.forwardedMAC(message)
        destination = findings.address(message.dst, ["dst"])
        if message.dst.isEmpty {
            if port != nil { findings.mistake(["port"], value: "\(message.port)", "needs dst, the other end") }
            if vni != nil { findings.mistake(["vni"], value: "\(message.vni)", "needs dst, the other end") }
        } else if vlan != nil {
            findings.mistake(["vlan"], value: "\(message.vlan)", "belongs to a bridge's entries, which have no dst")
        }
        guard let mac else { return nil }
        self.mac = mac
    }
}

extension FieldFindings {
    fileprivate mutating func forwardedMAC(_ message: Nsmagent_Linux_ForwardingEntry) -> MACAddress? {
        let text = message.mac
        if text.isEmpty {
            mistake(["mac"], "is missing")
            return nil
        }
        guard let mac = MACAddress(text) else {
            malformed(["mac"], value: text, "is not a MAC address, such as 02:00:00:00:00:01")
            return nil
        }
        if message.dst.isEmpty, mac.isZero || mac.isMulticast {
            let problem = mac.isZero ? "is all zeros" : "is a multicast address"
            malformed(["mac"], value: text, "\(problem), which only a VXLAN's entries may have; they need dst")
        }
        return mac
    }
}

extension Nsmagent_Linux_ForwardingEntry {
    /// `interface/mac`, then what else tells entries apart.
    var keyName: String {
        var name = "\(interface)/\(mac)"
        if vlan != 0 { name += "/vlan/\(vlan)" }
        // Of one MAC address a VXLAN has one entry, unless it stands for many hosts.
        if !dst.isEmpty {
            name += "/dst"
            if MACAddress(mac).map({ $0.isZero || $0.isMulticast }) ?? true {
                name += "/\(dst)"
                if port != 0 { name += "/port/\(port)" }
                if hasVni { name += "/vni/\(vni)" }
            }
        }
        if hasNamespace { name += namespace.keySuffix }
        return Key.clean(name)
    }
}
