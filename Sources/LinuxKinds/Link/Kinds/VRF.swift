internal import Model
internal import Netlink
internal import Reconciler

/// Virtual routing and forwarding: its members look routes up in its table.
struct VRFKind: InterfaceKind {
    static let link: (any LinkKindAttributes.Type)? = VRFAttributes.self

    private let table: UInt32

    init(_ vrf: VRFSpec) {
        table = vrf.table
    }

    var word: String { "vrf" }

    func make(_ attributes: LinkAttributes, of interface: Interface, _ plan: inout LinkPlan) {
        // Servers that are bound to no interface serve connections through VRFs, too.
        plan.add(.sysctl(path: "/proc/sys/net/ipv4/tcp_l3mdev_accept", value: "1"))
        plan.create(attributes, .vrf(table: table))
    }

    func mismatch(with have: LinkKind) -> Difference? {
        guard let old = have[VRFAttributes.self]?.table, old != table else { return nil }
        return Difference("table", old: "\(old)", new: "\(table)")
    }

    static func export(_ link: LinkState, as message: inout Ligato_Linux_Interfaces_Interface, _ export: inout Export) {
        message.type = .vrfDevice
        message.vrfDev.routingTable = link.link.kind[VRFAttributes.self]?.table ?? 0
    }
}

extension LinkState {
    /// The table that routes over the link are in, where it is a member of a VRF.
    var vrfTable: UInt32? { namespace.links[link.master]?.link.kind[VRFAttributes.self]?.table }
}
