internal import Netlink

extension StaticRoute {
    /// `RTPROT_BOOT`, which routes have whose maker said nothing.
    private static let bootProtocol: UInt8 = 3

    /// Whether a route just like the wanted one bears nobody's mark and leaves by links alone that the agent before this one left,
    /// which marks no routes. It becomes ours, as addresses of such links do; otherwise it would outlive its value.
    func isUnmarked(_ foreign: Route, like route: Route, in state: NamespaceState, _ world: LinuxWorld) -> Bool {
        foreign.proto == Self.bootProtocol && !route.nextHops.isEmpty
            && route.nextHops.allSatisfy { state.links[$0.linkIndex]?.isInherited ?? false }
            && world.advertisedRoutes(RouteID(route), in: state).isEmpty
    }
}
