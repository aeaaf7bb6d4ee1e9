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
        var attributes = attributes
        if mode == Self.modes[.passthrough] { attributes.mac = nil }
        plan.createUpper(attributes, .macvlan(mode: mode))
    }

    /// As the only one of its parent it is made with the parent's MAC address, whatever it is asked for.
    func finish(_ attributes: inout LinkAttributes, of interface: Interface) {
        if mode == Self.modes[.passthrough] { attributes.mac = interface.mac }
    }

    func mismatch(with have: LinkKind) -> Difference? {
        guard let old = have[MACVLANAttributes.self]?.mode, Self.needsOther(old, than: mode) else { return nil }
        return Difference("mode", old: "\(old)", new: "\(mode)")
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
        message.macvlan.mode = exported(link.link.kind[MACVLANAttributes.self]?.mode ?? 0)
    }

    /// The mode in the words of the model.
    static func exported(_ mode: UInt32) -> Ligato_Linux_Interfaces_MacvlanLink.Mode {
        switch modes.word(mode) {
        case .isolated: .private
        case .vepa: .vepa
        case .passthrough: .passthru
        case .bridge, nil: .bridge
        }
    }

    /// A passthrough interface has its parent for itself, which it gets or gives back with its whole life only.
    static func needsOther(_ old: UInt32, than new: UInt32) -> Bool {
        let passthrough = modes[.passthrough]
        return old != new && (old == passthrough || new == passthrough)
    }
}
