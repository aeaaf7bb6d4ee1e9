internal import Model
internal import Netlink
internal import NetworkTypes
internal import Reconciler

/// A tunnel that carries packets in IP packets.
struct TunnelKind<Form: TunnelForm>: InterfaceKind {
    static var link: (any LinkKindAttributes.Type)? { TunnelAttributes<Form>.self }

    let parent: String?
    private let attributes: TunnelAttributes<Form>

    init(_ tunnel: TunnelSpec<Form>) {
        parent = tunnel.parent
        attributes = TunnelAttributes(
            local: tunnel.local, remote: tunnel.remote, key: tunnel.key, ttl: tunnel.ttl, tos: tunnel.tos,
            limitsEncapsulation: tunnel.limitsEncapsulation, isExternal: tunnel.isExternal)
    }

    var word: String { Form.kindName }

    func make(_ attributes: LinkAttributes, of interface: Interface, _ plan: inout LinkPlan) {
        var tunnel = self.attributes
        // The interface below is one of its own attributes.
        tunnel.link = plan.below?.link.index ?? 0
        plan.create(attributes, .tunnel(tunnel))
    }

    /// Whether there is another end decides on the kind of device.
    func mismatch(with have: LinkKind) -> Difference? {
        guard let have = have[TunnelAttributes<Form>.self] else { return nil }
        let isSame =
            attributes.isExternal == have.isExternal && (attributes.remote == nil) == (have.remote == nil)
            && attributes.remote?.isMulticast == have.remote?.isMulticast
            // A parent that is not declared any more.
            && (parent != nil || have.link == 0)
        return isSame ? nil : Difference(word, old: have.text, new: attributes.text)
    }

    func change(from have: LinkKind, _ differences: inout [Difference]) -> LinkKind? {
        guard let old = have[TunnelAttributes<Form>.self] else { return nil }
        var new = attributes
        // The caller, which knows the links, detects another interface below.
        new.link = old.link
        if new == old || new.isExternal { return nil }
        differences.append(Difference(word, old: old.text, new: new.text))
        return .tunnel(new)
    }

    static func wayBack(from now: LinkKind, to old: LinkKind) -> LinkKind? { old }

    static func export(_ link: LinkState, as message: inout Ligato_Linux_Interfaces_Interface, _ export: inout Export) {
        guard let tunnel = link.link.kind[TunnelAttributes<Form>.self],
            let type = Ligato_Linux_Interfaces_Interface.TypeEnum.allCases.first(where: { type in
                InterfaceKinds.isKind(Self.self, of: type)
            })
        else { return }
        message.type = type
        if link.link.mtu != Form.kernelMTU { message.mtu = link.link.mtu }
        if Form.isEthernet { message.physAddress = link.macText }
        message.tunnel.local = tunnel.local?.description ?? ""
        message.tunnel.remote = tunnel.remote?.description ?? ""
        message.tunnel.parent = export.parent(of: link)
        if let key = tunnel.key { message.tunnel.key = key }
        message.tunnel.external = tunnel.isExternal
        if tunnel.isExternal { return }
        message.tunnel.ttl = UInt32(tunnel.ttl)
        message.tunnel.tos = UInt32(tunnel.tos)
        message.tunnel.noEncapsulationLimit = !tunnel.limitsEncapsulation
    }
}

extension TunnelAttributes {
    /// As `ip -d link` says it.
    fileprivate var text: String {
        if isExternal { return "external" }
        var words = ["remote \(remote?.description ?? "any")", "local \(local?.description ?? "any")"]
        if let key { words.append("key \(key)") }
        if ttl != 0 { words.append("ttl \(ttl)") }
        if tos != 0 { words.append("tos \(tos)") }
        if Form.family == .v6, !limitsEncapsulation { words.append("encaplimit none") }
        return words.joined(separator: " ")
    }
}
