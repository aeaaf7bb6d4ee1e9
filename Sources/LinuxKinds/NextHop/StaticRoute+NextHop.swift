internal import Netlink
internal import NetworkTypes

extension Route {
    /// The link that it leaves by, or its nexthop object, for people.
    func holder(in state: NamespaceState, _ world: LinuxWorld) -> String? {
        if nextHopID == 0 { return nextHops.first.flatMap { state.links[$0.linkIndex]?.link.name } }
        let names = world.declarations.nextHops(numbered: nextHopID).map(\.name)
        return "nexthop \(names.min() ?? "\(nextHopID)")"
    }
}

extension StaticRoute {
    /// The route by a nexthop object, where that is.
    func wanted(
        to prefix: IPPrefix, by name: String, in world: LinuxWorld
    ) -> (NamespaceState, Route)? {
        guard let value = world.declarations.nextHop(name), let state = value.state(in: world),
            value.holds(in: state, world), let object = state.nextHops[value.id]?.object
        else { return nil }
        var route = bare(to: prefix)
        // The kernel tells it with the ways behind the object.
        let ways = object.isGroup ? object.members : [.init(id: object.id, weight: 1)]
        route.nextHops = ways.compactMap { way in
            guard let hop = state.nextHops[way.id]?.object, hop.linkIndex != 0 else { return nil }
            return NextHop(
                gateway: hop.gateway, linkIndex: hop.linkIndex, weight: ways.count > 1 ? way.weight : 1,
                onlink: hop.onlink)
        }
        route.nextHopID = object.id
        if prefix.family == .v4 { route.scope = scope ?? 0 }
        route.proto = world.ownership.proto
        return (state, route)
    }
}
