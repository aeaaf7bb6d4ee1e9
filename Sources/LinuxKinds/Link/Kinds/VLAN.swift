internal import Model
internal import Netlink
internal import Reconciler

/// A VLAN of another interface (IEEE 802.1Q).
struct VLANKind: InterfaceKind {
    static let link: (any LinkKindAttributes.Type)? = VLANAttributes.self

    /// `ETH_P_8021Q` and `ETH_P_8021AD`, linux/if_ether.h.
    static let ethertypes = KernelNumbers<VLANSpec.TagProtocol, UInt16>([.dot1q: 0x8100, .dot1ad: 0x88a8])

    private let below: String
    private let attributes: VLANAttributes

    init(_ vlan: VLANSpec) {
        below = vlan.below
        attributes = VLANAttributes(id: vlan.id, ethertype: Self.ethertypes[vlan.tagProtocol])
    }

    var word: String { "vlan" }
    var parent: String? { below }

    func make(_ attributes: LinkAttributes, of interface: Interface, _ plan: inout LinkPlan) {
        plan.createUpper(attributes, .vlan(self.attributes))
    }

    func mismatch(with have: LinkKind) -> Difference? {
        guard let have = have[VLANAttributes.self], have != attributes else { return nil }
        return Difference("vlan", old: "\(have.id)", new: "\(attributes.id)")
    }

    static func export(_ link: LinkState, as message: inout Ligato_Linux_Interfaces_Interface, _ export: inout Export) {
        guard let vlan = link.link.kind[VLANAttributes.self] else { return }
        message.type = .vlan
        if link.link.mtu != 1500 { message.mtu = link.link.mtu }
        message.physAddress = link.macText
        message.vlan.parent = export.parent(of: link)
        message.vlan.id = UInt32(vlan.id)
        message.vlan.protocol = ethertypes.word(vlan.ethertype) == .dot1ad ? .dot1Ad : .dot1Q
    }
}
