internal import Glibc
internal import Netlink
internal import NetworkTypes
internal import Reconciler

/// Routes with our protocol number; those of others as far as they are in the place of a wanted one.
enum RouteClass: KernelClass {
    static func dump(
        _ state: NamespaceState, _ socket: RouteSocket, _ world: LinuxWorld, into dump: inout NamespaceDump
    ) throws(KernelError) {
        let proto = world.ownership.proto
        // Where values of ours are it is asked, too, which addresses have lost the route to their network.
        if !state.hasManyRoutes, state.references.contains(where: world.declarations.isReferenced) {
            do throws(KernelError) {
                var connected: [ConnectedRoute] = []
                // Who hears of their changes needs not ask for those of others again before something is taken away.
                var ties: ForeignTies? = state.hearsOfRoutes ? ForeignTies() : nil
                dump.routes = try socket.routes(
                    proto: proto, connected: &connected, other: ties == nil ? nil : { ties?.add($0) },
                    atMost: mostRoutes)
                (dump.connected, dump.ties) = (connected, ties)
                return
            } catch {
                guard error.code == E2BIG else { throw error }
            }
            // The kernel goes on with the dump as long as the socket is there.
            state.hasManyRoutes = true
            state.socket = nil
        }
        dump.routes = try world.routeSocket(state).routes(proto: proto)
    }

    /// Of more routes in one namespace the kernel is to choose those that count. A pod has ten.
    private static let mostRoutes = 16384

    static func takeIn(
        _ dump: NamespaceDump, _ state: NamespaceState, former: NamespaceState.Contents, _ world: LinuxWorld
    ) {
        for route in dump.routes {
            state.setRoute(route)
            let id = RouteID(route)
            if let old = former.routes[id] { state.routes[id]?.claim = old.claim }
        }
        if let connected = dump.connected { ConnectedRoutes.learnLost(from: connected, in: state) }
        if let ties = dump.ties { state.setForeignTies(ties) }
    }

    // MARK: - Changes

    /// A route is there, like this.
    static func put(_ route: Route, in state: NamespaceState, _ world: LinuxWorld) {
        let id = RouteID(route)
        ConnectedRoutes.put(route, in: state, world)
        if world.cause == .planned {
            if route.proto == Route.kernel { return }
            // By links that are there: of others nobody has asked what is in its place.
            let isTakenOver = route.nextHops.allSatisfy { $0.linkIndex > 0 }
            world.journals.remember(route: id, replacing: isTakenOver ? state.foreignRoutes?[id] : nil, in: state)
            state.setRoute(route)
            state.routes[id]?.claim = world.plannedClaim
            return
        }
        if route.proto != world.ownership.proto { state.noteTies(route) }
        if route.isAdvertised {
            // The kernel keeps it beside what is ours.
            state.forgetAdvertised()
            return
        }
        let isOurs = route.proto == world.ownership.proto
        // A foreign route matters when it took the place of one of ours.
        if isOurs { _ = state.loseForeign(route) } else { state.noteForeign(route) }
        let known = state.routes[id]?.route
        guard isOurs || known != nil, known != route else { return }
        concern(route, in: state, world)
        if let known { concern(known, in: state, world) }
        state.setRoute(route)
        // Who had claimed it finds something else.
        state.routes[id]?.claim = Claim()
    }

    /// A route is gone.
    static func remove(_ route: Route, in state: NamespaceState, _ world: LinuxWorld) {
        let id = RouteID(route)
        if world.cause == .planned {
            world.journals.remember(route: id, in: state)
            state.removeRoute(id)
            return
        }
        ConnectedRoutes.remove(route, in: state, world)
        if route.isAdvertised {
            // One that a program made may have had ours as a part.
            state.forgetAdvertised()
            concern(route, in: state, world)
            return
        }
        if route.proto != world.ownership.proto, state.loseForeign(route) {
            // It may have stood for one that is wanted.
            concern(route, in: state, world)
        }
        guard let known = state.routes[id]?.route, known.proto == route.proto else { return }
        // Each way of an IPv6 route can go by itself, and is then told without its weight.
        let isV6 = route.destination.family == .v6
        let rest =
            isV6 && known.nextHopID == 0
            ? known.nextHops.filter { hop in !route.nextHops.contains { $0.leads(as: hop) } } : []
        let isBySameObject = known.nextHopID != 0 && known.nextHopID == route.nextHopID
        guard isBySameObject || known.nextHops == route.nextHops || isV6 && rest.count < known.nextHops.count else {
            return
        }
        concern(known, in: state, world)
        state.removeRoute(id)
        if rest.isEmpty { return }
        var remaining = known
        remaining.nextHops = rest
        state.setRoute(remaining)
    }

    /// A route goes with something else.
    static func lose(_ id: RouteID, in state: NamespaceState, _ world: LinuxWorld) {
        guard let route = state.routes[id] else { return }
        world.journals.remember(route: id, in: state)
        world.lose(route.claim)
        concern(route.route, in: state, world)
        state.removeRoute(id)
    }

    /// IPv4 routes of the link's table that prefer an address go with it, wherever they leave; IPv6 routes only forget it.
    /// As long as the address is on another link of the namespace nothing happens.
    static func lose(from source: IPAddress, of link: LinkState, _ world: LinuxWorld) {
        let state = link.namespace
        let routes = state.routes(from: source)
        if routes.isEmpty { return }
        let isElsewhere = state.links.values.contains { other in
            other.addresses.contains { $0.address.local.address == source }
        }
        if isElsewhere { return }
        let table = link.vrfTable ?? 254
        for id in routes {
            if source.family == .v6 {
                world.journals.remember(route: id, in: state)
                guard var route = state.routes[id]?.route else { continue }
                route.source = nil
                state.setRoute(route)
            } else if id.table == table {
                lose(id, in: state, world)
            }
        }
    }

    private static func concern(_ route: Route, in state: NamespaceState, _ world: LinuxWorld) {
        if world.cause == .planned { return }
        world.concern("", in: state)
        if route.nextHopID != 0 { world.declarations.addKeys(nextHop: route.nextHopID, to: &world.told.keys) }
        for hop in route.nextHops {
            if let name = state.links[hop.linkIndex]?.link.name { world.concern(name, in: state) }
        }
    }

    // MARK: - Leftovers

    static func appendLeftovers(_ turn: Turn, in states: [NamespaceState], to list: inout Leftovers) {
        if turn != .last { return }
        for state in states where !list.goes(state) {
            for id in state.routes.keys where id != list.world.neighbourMarkID { append(id, in: state, to: &list) }
        }
    }

    static func appendLeftovers(_ turn: Turn, at places: [Place], to list: inout Leftovers) {
        if turn != .last { return }
        for place in places {
            if case .route(let id) = place.object, let state = list.world.states[place.namespace], !list.goes(state) {
                append(id, in: state, to: &list)
            }
        }
    }

    private static func append(_ id: RouteID, in state: NamespaceState, to list: inout Leftovers) {
        let world = list.world
        guard let known = state.routes[id], !world.isClaimed(known.claim), known.route.proto == world.ownership.proto
        else { return }
        let hops = known.route.nextHops.compactMap { state.links[$0.linkIndex] }
        if hops.contains(where: { world.ownership.belongsToAnother(alias: $0.link.alias) }) { return }
        let (device, place) = (hops.first?.link.name ?? "", state.reference.suffix)
        list.add(
            Place(state, .route(id)), key: "\(RouteKeys.prefix)\(id.destination)/\(device)\(place)",
            "route \(id.destination)\(place)", .deleteRoute(known.route), in: state)
    }

    // MARK: - The way back

    static func restore(_ step: Restoration.Step, _ restoration: inout Restoration) {
        if step != .mend { return }
        for (state, part) in restoration.parts {
            for (id, old) in part.routes where old == nil {
                if let route = state.routes[id]?.route { restoration.add(.request(.deleteRoute(route)), in: state.id) }
            }
            for case (let id, var route?) in part.routes {
                for hop in route.nextHops.indices {
                    route.nextHops[hop].linkIndex = restoration.current(route.nextHops[hop].linkIndex, in: state)
                }
                if state.routes[id]?.route != route {
                    restoration.add(.request(.addRoute(route, replace: true)), in: state.id)
                }
            }
            for (id, lost) in restoration.routes[part.state.id] ?? [:]
            where !part.routes.keys.contains(id) && state === part.state && state.routes[id] == nil
                && lost.route.nextHops.allSatisfy({ state.links[$0.linkIndex] != nil })
            {
                restoration.add(.request(.addRoute(lost.route, replace: true)), in: state.id)
            }
        }
    }
}

extension NextHop {
    /// Whether it leads to the same gateway by the same link, whatever its share.
    func leads(as other: NextHop) -> Bool { gateway == other.gateway && linkIndex == other.linkIndex }
}

extension Route {
    /// Whether it came with a router's advertisement.
    var isAdvertised: Bool { destination.family == .v6 && proto == Self.advertised }
}
