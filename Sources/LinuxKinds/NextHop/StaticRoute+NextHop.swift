internal import Netlink
internal import NetworkTypes

extension StaticRoute {
    /// The route by a nexthop object, where that is.
    func wanted(
        to prefix: IPPrefix, by name: String, in world: LinuxWorld
    ) -> (NamespaceState, Route)? {
        guard let value = world.declarations.nextHop(name), let state = value.state(in: world),
            let object = state.nextHops[value.id]?.object
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
