internal import Model
internal import Netlink
internal import Reconciler

/// A further MAC address on another interface.
struct MACVLANKind: InterfaceKind {
    static let link: (any LinkKindAttributes.Type)? = MACVLANAttributes.self

    /// `MACVLAN_MODE_*`, linux/if_link.h.
    static let modes = KernelNumbers<MACVLANMode, UInt32>([
        .isolated: 1, .vepa: 2, .bridge: 4, .passthrough: 8,
    ])

    private let below: String
    private let mode: UInt32

    init(_ macvlan: MACVLANSpec) {
        below = macvlan.below
        mode = Self.modes[macvlan.mode]
    }

    var word: String { "macvlan" }
    var parent: String? { below }

    func make(_ attributes: LinkAttributes, of interface: Interface, _ plan: inout LinkPlan) {
        plan.createUpper(attributes, .macvlan(mode: mode))
    }

    /// A passthrough interface has its parent for itself, which it gets or gives back with its whole life only.
    func mismatch(with have: LinkKind) -> Difference? {
        guard let old = have[MACVLANAttributes.self]?.mode, old != mode else { return nil }
        let passthrough = Self.modes[.passthrough]
        return old == passthrough || mode == passthrough ? Difference("mode", old: "\(old)", new: "\(mode)") : nil
    }

    func change(from have: LinkKind, _ differences: inout [Difference]) -> LinkKind? {
        guard let old = have[MACVLANAttributes.self]?.mode, old != mode else { return nil }
        differences.append(Difference("mode", old: "\(old)", new: "\(mode)"))
        return .macvlan(mode: mode)
    }

    static func wayBack(from now: LinkKind, to old: LinkKind) -> LinkKind? { old }

    static func export(_ link: LinkState, as message: inout Ligato_Linux_Interfaces_Interface, _ export: inout Export) {
        message.type = .macvlan
        if link.link.mtu != 1500 { message.mtu = link.link.mtu }
        message.physAddress = link.macText
        message.macvlan.parent = export.parent(of: link)
        switch modes.word(link.link.kind[MACVLANAttributes.self]?.mode ?? 0) {
        case .isolated: message.macvlan.mode = .private
        case .vepa: message.macvlan.mode = .vepa
        case .passthrough: message.macvlan.mode = .passthru
        case .bridge, nil: message.macvlan.mode = .bridge
        }
    }
}
