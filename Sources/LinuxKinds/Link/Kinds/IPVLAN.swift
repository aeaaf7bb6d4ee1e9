internal import Model
internal import Netlink
internal import Reconciler

/// Further IP addresses on another interface.
struct IPVLANKind: InterfaceKind {
    static let link: (any LinkKindAttributes.Type)? = IPVLANAttributes.self

    private let below: String
    /// `IPVLAN_MODE_*`, linux/if_link.h: the numbers of the model are the kernel's.
    private let mode: UInt16

    init?(_ message: Ligato_Linux_Interfaces_Interface) {
        guard message.type == .ipvlan else { return nil }
        below = message.ipvlan.parent
        mode = UInt16(truncatingIfNeeded: message.ipvlan.mode.rawValue)
    }

    var word: String { "ipvlan" }
    var parent: String? { below }

    func make(_ attributes: LinkAttributes, of interface: Interface, _ plan: inout LinkPlan) {
        plan.createUpper(attributes, .ipvlan(mode: mode))
    }

    func change(from have: LinkKind, _ differences: inout [Difference]) -> LinkKind? {
        guard let old = have[IPVLANAttributes.self]?.mode, old != mode else { return nil }
        differences.append(Difference("mode", old: "\(old)", new: "\(mode)"))
        return .ipvlan(mode: mode)
    }

    static func export(_ link: LinkState, as message: inout Ligato_Linux_Interfaces_Interface, _ export: inout Export) {
        message.type = .ipvlan
        if link.link.mtu != 1500 { message.mtu = link.link.mtu }
        message.ipvlan.parent = export.parent(of: link)
        let mode = Int(link.link.kind[IPVLANAttributes.self]?.mode ?? 0)
        message.ipvlan.mode = Ligato_Linux_Interfaces_IpvlanLink.Mode(rawValue: mode) ?? .l2
    }
}
