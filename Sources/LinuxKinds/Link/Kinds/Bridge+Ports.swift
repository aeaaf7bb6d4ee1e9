internal import Model
internal import Netlink

extension BridgePort {
    /// What the kernel is to have.
    init(_ spec: BridgePortSpec) {
        self.init()
        cost = spec.cost
        priority = UInt16(clamping: spec.priority)
        self[.isolated] = spec.isIsolated
        self[.hairpin] = spec.isHairpin
        self[.learning] = spec.isLearning
        self[.flood] = spec.floods
        self[.multicastFlood] = spec.floodsMulticast
        self[.broadcastFlood] = spec.floodsBroadcast
        self[.neighbourSuppression] = spec.suppressesNeighbours
        self[.guarded] = spec.isGuarded
        self[.rootBlock] = spec.isRootBlocked
        self[.fastLeave] = spec.isLeavingFast
    }
}

extension Ligato_Linux_Interfaces_BridgePort {
    /// Costs that the kernel takes from the speed of an interface. Source: `port_cost`, net/bridge/br_if.c.
    private static let costsOfSpeeds: Set<UInt32> = [2, 4, 19, 100]

    /// As a user would write it; nil: there is nothing to write.
    init?(_ port: BridgePort, _ vlans: BridgeVLANs, of interface: String) {
        self.init()
        self.vlans = vlans.messages
        if let cost = port.cost, !Self.costsOfSpeeds.contains(cost) { self.cost = cost }
        if let priority = port.priority, UInt32(priority) != BridgePortSpec.defaultPriority {
            self.priority = UInt32(priority)
        }
        isolated = port[.isolated] ?? false
        hairpin = port[.hairpin] ?? false
        if port[.learning] == false { learning = false }
        if port[.flood] == false { flood = false }
        if port[.multicastFlood] == false { mcastFlood = false }
        if port[.broadcastFlood] == false { bcastFlood = false }
        neighSuppress = port[.neighbourSuppression] ?? false
        `guard` = port[.guarded] ?? false
        rootBlock = port[.rootBlock] ?? false
        fastleave = port[.fastLeave] ?? false
        if self == Self() { return nil }
        self.interface = interface
    }
}
