/// How a bridge treats one of its ports.
public struct BridgePortSpec: Hashable, Sendable {
    /// Path cost for the spanning tree, 1 to 65535; nil: whatever it is.
    public let cost: UInt32?
    /// Priority for the spanning tree, 0 to 63; the lowest is preferred.
    public let priority: UInt32
    /// Whether no frames pass between it and other isolated ports.
    public let isIsolated: Bool
    /// Whether frames may leave by the port they came by.
    public let isHairpin: Bool
    /// Whether addresses are learned.
    public let isLearning: Bool
    /// Whether frames for unknown addresses leave by it.
    public let floods: Bool
    /// Whether multicast frames that nobody asked for leave by it.
    public let floodsMulticast: Bool
    /// Whether broadcast frames leave by it.
    public let floodsBroadcast: Bool
    /// Whether the bridge answers for neighbours it knows.
    public let suppressesNeighbours: Bool
    /// Whether a message of the spanning tree disables it.
    public let isGuarded: Bool
    /// Whether it never leads to the root of the spanning tree.
    public let isRootBlocked: Bool
    /// Whether multicast stops at the first leave message.
    public let isLeavingFast: Bool

    /// Its VLANs; empty: the kernel's own.
    public let vlans: [BridgeVLANSpec]

    /// The kernel's own. Source: `new_nbp`, net/bridge/br_if.c.
    public static let defaultPriority: UInt32 = 32

    init(_ port: Ligato_Linux_Interfaces_BridgePort) {
        vlans = port.vlans.map(BridgeVLANSpec.init)
        cost = port.cost == 0 ? nil : port.cost
        priority = port.hasPriority ? port.priority : Self.defaultPriority
        isIsolated = port.isolated
        isHairpin = port.hairpin
        isLearning = !port.hasLearning || port.learning
        floods = !port.hasFlood || port.flood
        floodsMulticast = !port.hasMcastFlood || port.mcastFlood
        floodsBroadcast = !port.hasBcastFlood || port.bcastFlood
        suppressesNeighbours = port.neighSuppress
        isGuarded = port.guard
        isRootBlocked = port.rootBlock
        isLeavingFast = port.fastleave
    }
}

extension FieldFindings {
    private static let costs = range(of: "cost", in: "BridgePort")
    private static let priorities = range(of: "priority", in: "BridgePort")

    /// Reads what is declared for single ports of a bridge.
    mutating func portSettings(_ bridge: Ligato_Linux_Interfaces_BridgeLink) -> [String: BridgePortSpec] {
        if bridge.portSettings.isEmpty { return [:] }
        var settings: [String: BridgePortSpec] = [:]
        let ports = Set(bridge.ports)
        for (index, port) in bridge.portSettings.enumerated() {
            let path: [PathPart] = ["bridge", "port_settings", .element(index)]
            check(port.cost, Self.costs, path + ["cost"])
            check(port.priority, Self.priorities, path + ["priority"])
            if port.interface.isEmpty {
                mistake(path + ["interface"], "is missing; name one of the ports")
            } else if !ports.contains(port.interface) {
                mistake(path + ["interface"], value: port.interface, "is not among the ports of the bridge")
            } else if settings[port.interface] != nil {
                mistake(path + ["interface"], value: port.interface, "is there twice")
            }
            check(port.vlans, path + ["vlans"], isFiltering: bridge.vlanFiltering)
            settings[port.interface] = BridgePortSpec(port)
        }
        return settings
    }
}
