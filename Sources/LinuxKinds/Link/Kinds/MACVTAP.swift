internal import Model
internal import Netlink
internal import Reconciler

/// A further MAC address on another interface, for a program that opens it as a TAP device.
struct MACVTAPKind: InterfaceKind {
    static let link: (any LinkKindAttributes.Type)? = MACVTAPAttributes.self

    private let below: String
    private let mode: UInt32

    init(_ macvtap: MACVTAPSpec) {
        below = macvtap.below
        mode = MACVLANKind.modes[macvtap.mode]
    }

    var word: String { "macvtap" }
    var parent: String? { below }

    func make(_ attributes: LinkAttributes, of interface: Interface, _ plan: inout LinkPlan) {
        var attributes = attributes
        if mode == MACVLANKind.modes[.passthrough] { attributes.mac = nil }
        plan.createUpper(attributes, .macvtap(mode: mode))
    }

    /// As the only one of its parent it is made with the parent's MAC address, whatever it is asked for.
    func finish(_ attributes: inout LinkAttributes, of interface: Interface) {
        if mode == MACVLANKind.modes[.passthrough] { attributes.mac = interface.mac }
    }

    func mismatch(with have: LinkKind) -> Difference? {
        guard let old = have[MACVTAPAttributes.self]?.mode, MACVLANKind.needsOther(old, than: mode) else { return nil }
        return Difference("mode", old: "\(old)", new: "\(mode)")
    }

    func change(from have: LinkKind, _ differences: inout [Difference]) -> LinkKind? {
        guard let old = have[MACVTAPAttributes.self]?.mode, old != mode else { return nil }
        differences.append(Difference("mode", old: "\(old)", new: "\(mode)"))
        return .macvtap(mode: mode)
    }

    static func wayBack(from now: LinkKind, to old: LinkKind) -> LinkKind? { old }

    static func export(_ link: LinkState, as message: inout Ligato_Linux_Interfaces_Interface, _ export: inout Export) {
        message.type = .macvtap
        if link.link.mtu != 1500 { message.mtu = link.link.mtu }
        message.physAddress = link.macText
        message.macvtap.parent = export.parent(of: link)
        message.macvtap.mode = MACVLANKind.exported(link.link.kind[MACVTAPAttributes.self]?.mode ?? 0)
    }
}
