internal import Model
internal import Netlink
internal import Reconciler

/// Further IP addresses on another interface.
struct IPVLANKind: InterfaceKind {
    static let link: (any LinkKindAttributes.Type)? = IPVLANAttributes.self

    /// `IPVLAN_MODE_*`, linux/if_link.h.
    static let modes = KernelNumbers<IPVLANMode, UInt16>([.l2: 0, .l3: 1, .l3s: 2])

    private let below: String
    private let mode: UInt16

    init(_ ipvlan: IPVLANSpec) {
        below = ipvlan.below
        mode = Self.modes[ipvlan.mode]
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

    static func wayBack(from now: LinkKind, to old: LinkKind) -> LinkKind? { old }

    static func export(_ link: LinkState, as message: inout Ligato_Linux_Interfaces_Interface, _ export: inout Export) {
        message.type = .ipvlan
        if link.link.mtu != 1500 { message.mtu = link.link.mtu }
        message.ipvlan.parent = export.parent(of: link)
        switch modes.word(link.link.kind[IPVLANAttributes.self]?.mode ?? 0) {
        case .l3: message.ipvlan.mode = .l3
        case .l3s: message.ipvlan.mode = .l3S
        case .l2, nil: message.ipvlan.mode = .l2
        }
    }
}
