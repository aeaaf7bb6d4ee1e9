internal import Model
internal import Netlink
internal import Reconciler

/// An end of a GENEVE tunnel (RFC 8926).
struct GeneveKind: InterfaceKind {
    static let link: (any LinkKindAttributes.Type)? = GeneveAttributes.self

    private let attributes: GeneveAttributes

    init(_ geneve: GeneveSpec) {
        attributes = GeneveAttributes(
            vni: geneve.vni, remote: geneve.remote, port: geneve.port, ttl: geneve.ttl, tos: geneve.tos,
            isExternal: geneve.isExternal)
    }

    var word: String { "geneve" }

    func make(_ attributes: LinkAttributes, of interface: Interface, _ plan: inout LinkPlan) {
        plan.create(attributes, .geneve(self.attributes))
    }

    func mismatch(with have: LinkKind) -> Difference? {
        guard let have = have[GeneveAttributes.self] else { return nil }
        let isSame =
            attributes.vni == have.vni && attributes.port == have.port && attributes.isExternal == have.isExternal
            && attributes.remote?.family == have.remote?.family
        return isSame ? nil : Difference("geneve", old: have.text, new: attributes.text)
    }

    func change(from have: LinkKind, _ differences: inout [Difference]) -> LinkKind? {
        guard let old = have[GeneveAttributes.self], old != attributes else { return nil }
        differences.append(Difference("geneve", old: old.text, new: attributes.text))
        return .geneve(attributes.changeable)
    }

    static func wayBack(from now: LinkKind, to old: LinkKind) -> LinkKind? {
        old[GeneveAttributes.self].map { .geneve($0.changeable) }
    }

    static func export(_ link: LinkState, as message: inout Ligato_Linux_Interfaces_Interface, _ export: inout Export) {
        guard let geneve = link.link.kind[GeneveAttributes.self] else { return }
        message.type = .geneve
        if link.link.mtu != GeneveAttributes.kernelMTU { message.mtu = link.link.mtu }
        message.physAddress = link.macText
        message.geneve.vni = geneve.vni
        message.geneve.remote = geneve.remote?.description ?? ""
        if let port = geneve.port, port != GeneveSpec.defaultPort { message.geneve.port = UInt32(port) }
        message.geneve.ttl = UInt32(geneve.ttl)
        message.geneve.tos = UInt32(geneve.tos)
        message.geneve.external = geneve.isExternal
    }
}

extension GeneveAttributes {
    /// What the kernel takes of it in a change: the port is refused even if it stays.
    fileprivate var changeable: GeneveAttributes {
        var changeable = self
        changeable.port = nil
        return changeable
    }

    /// As `ip -d link` says it.
    fileprivate var text: String {
        var words = isExternal ? ["external"] : ["id \(vni)"]
        if let remote { words.append("remote \(remote)") }
        if let port { words.append("dstport \(port)") }
        if ttl != 0 { words.append("ttl \(ttl)") }
        if tos != 0 { words.append("tos \(tos)") }
        return words.joined(separator: " ")
    }
}
