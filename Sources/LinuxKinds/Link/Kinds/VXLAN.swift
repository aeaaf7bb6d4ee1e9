internal import Model
internal import Netlink
internal import NetworkTypes
internal import Reconciler

/// An end of a VXLAN tunnel (RFC 7348).
struct VXLANKind: InterfaceKind {
    static let link: (any LinkKindAttributes.Type)? = VXLANAttributes.self

    let parent: String?
    let remotes: [IPAddress]
    private let attributes: VXLANAttributes

    init(_ vxlan: VXLANSpec) {
        parent = vxlan.parent
        remotes = vxlan.remotes
        attributes = VXLANAttributes(
            vni: vxlan.vni, remote: vxlan.remote, local: vxlan.local, port: vxlan.port, learning: vxlan.isLearning,
            ttl: vxlan.ttl)
    }

    var word: String { "vxlan" }

    func make(_ attributes: LinkAttributes, of interface: Interface, _ plan: inout LinkPlan) {
        var vxlan = self.attributes
        // The interface below is one of its own attributes.
        vxlan.link = plan.below?.link.index ?? 0
        plan.create(attributes, .vxlan(vxlan), in: plan.tunnelOrigin)
    }

    func mismatch(with have: LinkKind) -> Difference? {
        guard let have = have[VXLANAttributes.self] else { return nil }
        let isSame =
            attributes.vni == have.vni && attributes.remote == have.remote && attributes.local == have.local
            && attributes.port == have.port && attributes.learning == have.learning
            && (attributes.ttl ?? have.ttl) == have.ttl
            // A parent that is not declared any more.
            && (parent != nil || have.link == 0)
        return isSame ? nil : Difference("vxlan", old: "vni \(have.vni)", new: "vni \(attributes.vni)")
    }

    static func export(_ link: LinkState, as message: inout Ligato_Linux_Interfaces_Interface, _ export: inout Export) {
        guard let vxlan = link.link.kind[VXLANAttributes.self] else { return }
        message.type = .vxlan
        if link.link.mtu != 1500 { message.mtu = link.link.mtu }
        message.physAddress = link.macText
        message.vxlan.parent = export.parent(of: link)
        message.vxlan.vni = vxlan.vni
        message.vxlan.local = vxlan.local?.description ?? ""
        message.vxlan.noLearning = vxlan.learning == false
        if let port = vxlan.port, port != VXLANSpec.defaultPort { message.vxlan.port = UInt32(port) }
        message.vxlan.ttl = UInt32(vxlan.ttl ?? 0)
        message.vxlan.remotes = ForwardingClass.remotes(of: link).map(\.description)
        guard let remote = vxlan.remote else { return }
        if remote.isMulticast { message.vxlan.group = "\(remote)" } else { message.vxlan.remote = "\(remote)" }
    }
}
