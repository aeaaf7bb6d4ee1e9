internal import Netlink

extension StaticRoute {
    /// `RTPROT_BOOT`, which routes have whose maker said nothing.
    private static let bootProtocol: UInt8 = 3

    /// Whether a route in the place of a wanted one is ours to take though it has no owner's mark: otherwise it would
    /// outlive its value. All its next hops leave by links of ours, and
    /// - the agent before this one, which marks no routes, left these links. Until all on them is taken over the links
    ///   keep that look, also after a kill (``LinuxWorld/markInherited(after:_:)``), and even what differs is taken.
    /// - or it is as wanted and was there before this run, like a route of ours whose mark was lost while no agent ran.
    func isLeft(_ foreign: Route, equal isEqual: Bool, in state: NamespaceState, _ world: LinuxWorld) -> Bool {
        let links = foreign.nextHops.compactMap { state.links[$0.linkIndex] }
        guard foreign.proto == Self.bootProtocol, !links.isEmpty, links.count == foreign.nextHops.count,
            links.allSatisfy({ $0.ownedAs != nil && $0.link.index > 1 }),
            world.advertisedRoutes(RouteID(foreign), in: state).isEmpty
        else { return false }
        if links.allSatisfy({ $0.isInherited && (isEqual || !$0.isTakenOver) }) { return true }
        return isEqual && world.isFresh
    }
}
