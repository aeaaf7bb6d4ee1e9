internal import Model
internal import Netlink
internal import Reconciler

/// A further MAC address on another interface.
struct MACVLANKind: InterfaceKind {
    static let link: (any LinkKindAttributes.Type)? = MACVLANAttributes.self

    private let below: String
    private let mode: Ligato_Linux_Interfaces_MacvlanLink.Mode

    init?(_ message: Ligato_Linux_Interfaces_Interface) {
        guard message.type == .macvlan else { return nil }
        below = message.macvlan.parent
        mode = message.macvlan.mode
    }

    var word: String { "macvlan" }
    var parent: String? { below }

    func make(_ attributes: LinkAttributes, of interface: Interface, _ plan: inout LinkPlan) {
        plan.createUpper(attributes, .macvlan(mode: mode.kernelMode))
    }

    func change(from have: LinkKind, _ differences: inout [Difference]) -> LinkKind? {
        guard let old = have[MACVLANAttributes.self]?.mode, old != mode.kernelMode else { return nil }
        differences.append(Difference("mode", old: "\(old)", new: "\(mode.kernelMode)"))
        return .macvlan(mode: mode.kernelMode)
    }

    static func export(_ link: LinkState, as message: inout Ligato_Linux_Interfaces_Interface, _ export: inout Export) {
        message.type = .macvlan
        if link.link.mtu != 1500 { message.mtu = link.link.mtu }
        message.physAddress = link.macText
        message.macvlan.parent = export.parent(of: link)
        let mode = link.link.kind[MACVLANAttributes.self]?.mode
        message.macvlan.mode =
            Ligato_Linux_Interfaces_MacvlanLink.Mode.allCases.first { $0.kernelMode == mode } ?? .bridge
    }
}

extension Ligato_Linux_Interfaces_MacvlanLink.Mode {
    /// `MACVLAN_MODE_*`, linux/if_link.h.
    fileprivate var kernelMode: UInt32 {
        switch self {
        case .private: 1
        case .vepa: 2
        case .bridge, .UNRECOGNIZED: 4
        case .passthru: 8
        }
    }
}
