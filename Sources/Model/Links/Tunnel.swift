public import NetworkTypes

/// A tunnel that carries packets in IP packets. Source: RFC 2003, 2473, 2784, 2890, 4213.
public struct TunnelSpec<Form: TunnelForm>: CheckedLinkSpec {
    /// The name in the .proto file.
    public static var word: String { Form.word }
    static var block: LinkBlock? { LinkBlock("tunnel") { if case .tunnel = $0 { true } else { false } } }

    /// Our own end; nil: the kernel chooses.
    public let local: IPAddress?
    /// The other end; nil: any.
    public let remote: IPAddress?
    /// The logical name of the interface below.
    public let parent: String?
    /// The key of both directions.
    public let key: UInt32?
    /// Time to live or hop limit; 0: that of the packet inside.
    public let ttl: UInt8
    /// Type of service or traffic class.
    public let tos: UInt8
    /// Whether an encapsulation limit is sent, over IPv6.
    public let limitsEncapsulation: Bool
    /// Whether ends and key come with each packet.
    public let isExternal: Bool

    /// The hop limit over IPv6, where 0 is no use.
    private static var defaultHopLimit: UInt8 { 64 }

    init(_ message: Ligato_Linux_Interfaces_Interface, _ findings: inout FieldFindings) {
        let tunnel = message.tunnel
        findings.check(tunnel.ttl, FieldFindings.range(of: "ttl", in: "TunnelLink"), ["tunnel", "ttl"])
        findings.check(tunnel.tos, FieldFindings.range(of: "tos", in: "TunnelLink"), ["tunnel", "tos"])
        local = findings.tunnelEnd(tunnel.local, "local", Form.self)
        remote = findings.tunnelEnd(tunnel.remote, "remote", Form.self)
        parent = tunnel.parent.orNil
        key = tunnel.hasKey ? tunnel.key : nil
        let ttl = UInt8(truncatingIfNeeded: tunnel.ttl)
        self.ttl = ttl == 0 && Form.family == .v6 && !tunnel.external ? Self.defaultHopLimit : ttl
        tos = UInt8(truncatingIfNeeded: tunnel.tos)
        limitsEncapsulation = !tunnel.noEncapsulationLimit
        isExternal = tunnel.external
        findings.check(tunnel, Form.self, remote: remote)
    }

    var noMAC: String? { Form.isEthernet ? nil : "a tunnel of IP packets has no MAC address" }

    func share(in namespace: NetNamespace) -> LinkShare? {
        var ends = TunnelEnds(word: Self.word)
        // One that is external takes all that no other one does.
        if !isExternal { (ends.local, ends.remote, ends.number, ends.parent) = (local, remote, key, parent) }
        return .ends(ends, in: namespace.identity)
    }

    func check(_ check: inout InterfaceCheck) {
        if let parent { check.checkParent(parent, "tunnel", inNamespace: true) }
        check.checkEnds("tunnel", isExternal ? "external" : remote == nil ? "local" : "remote")
    }
}

extension FieldFindings {
    fileprivate mutating func tunnelEnd(_ text: String, _ field: String, _ form: any TunnelForm.Type) -> IPAddress? {
        let path: [PathPart] = ["tunnel", .field(field)]
        guard let address = address(text, path) else { return nil }
        if address.family != form.family {
            mistake(
                path, value: text,
                "is not an \(form.family == .v4 ? "IPv4" : "IPv6") address, which \(form.word) runs over")
        } else if address.isUnspecified {
            mistake(path, value: text, "is the unspecified address; leave it out")
        } else if field == "local", address.isMulticast {
            mistake(path, value: text, "is a multicast address")
        }
        return address
    }

    fileprivate mutating func check(
        _ tunnel: Ligato_Linux_Interfaces_TunnelLink, _ form: any TunnelForm.Type, remote: IPAddress?
    ) {
        if tunnel.hasKey, !form.isGRE {
            mistake(["tunnel", "key"], value: "\(tunnel.key)", "is not possible: only GRE tunnels have a key")
        }
        if tunnel.noEncapsulationLimit, form.family == .v4 {
            mistake(["tunnel", "no_encapsulation_limit"], "is not possible: tunnels over IPv4 have no such limit")
        }
        if tunnel.external, form.word == SITForm.word {
            mistake(["tunnel", "external"], "is not possible: the kernel has no such SIT tunnels")
        }
        if tunnel.external {
            let isSet = [
                !tunnel.local.isEmpty, !tunnel.remote.isEmpty, tunnel.hasKey, tunnel.ttl != 0, tunnel.tos != 0,
                tunnel.noEncapsulationLimit,
            ]
            if isSet.contains(true) { mistake(["tunnel", "external"], "leaves only the parent to be set") }
        } else if form.word == GREForm.word, tunnel.local.isEmpty, remote?.isMulticast == true {
            mistake(["tunnel", "local"], "is missing; with a multicast group as remote the kernel needs it")
        } else if tunnel.local.isEmpty, tunnel.remote.isEmpty {
            // Without both, the kernel's own device of the kind has the place already.
            mistake(["tunnel", "remote"], "is missing; name the other end or the local one, or set external")
        }
    }
}
