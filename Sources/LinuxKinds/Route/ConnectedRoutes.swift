internal import Netlink
internal import NetworkTypes

/// What is on a link, by the routes that say so: those the kernel makes with addresses, and those of others that need no
/// gateway.
///
/// The kernel makes the route to the network of an address when the address comes, and never again. So it counts as there,
/// until the kernel tells that it went or is asked, and is then part of what an address lacks.
enum ConnectedRoutes {
    /// A route is there.
    static func put(_ route: Route, in state: NamespaceState, _ world: LinuxWorld) {
        if route.makesLocal { state.localNetworks = nil }
        guard let link = link(of: route, in: state) else { return }
        if world.cause == .told { link.goingNetworks.remove(route.destination) }
        if link.lostNetworks.remove(route.destination) != nil { world.concern(link.link.name, in: state) }
        guard let onLink = link.onLink, route.proto != world.ownership.proto else { return }
        if route.isMadeWithAddress {
            if onLink.kernel.contains(route.destination) { return }
            if world.hasOurs(route.destination, on: link) {
                link.onLink?.kernel.insert(route.destination)
            } else {
                forgetOnLink(link, world)
            }
            return
        }
        let (known, other) = route.isWide ? (onLink.wide, onLink.networks) : (onLink.networks, onLink.wide)
        if !known.contains(route.destination) || other.contains(route.destination) { forgetOnLink(link, world) }
    }

    /// A route is gone.
    static func remove(_ route: Route, in state: NamespaceState, _ world: LinuxWorld) {
        if route.makesLocal { state.localNetworks = nil }
        guard let link = link(of: route, in: state) else { return }
        let wasToGo = world.cause == .told && link.goingNetworks.remove(route.destination) != nil
        // Another route may lead there, too.
        if link.onLink?.contains(route.destination) == true {
            forgetOnLink(link, world)
        } else if link.onLink?.kernel.contains(route.destination) == true {
            // What goes with an address of ours is no news.
            if wasToGo { link.onLink?.kernel.remove(route.destination) } else { forgetOnLink(link, world) }
        }
        guard route.proto == Route.kernel, route.table == link.mainTable, world.cause == .told,
            link.addresses.contains(where: { $0.address.connected(on: link) == route.destination })
        else { return }
        link.lostNetworks.insert(route.destination)
        world.concern(link.link.name, in: state)
    }

    /// Finds the addresses of a namespace that have lost the route to their network, by the routes that are there.
    static func learnLost(from routes: [ConnectedRoute], in state: NamespaceState) {
        state.knowsLostNetworks = true
        // Most namespaces have few of them.
        let known = routes.count > 8 ? Set(routes) : []
        for (index, link) in state.links where link.link.isUp {
            if !link.lostNetworks.isEmpty { link.lostNetworks = [] }
            for entry in link.addresses {
                guard let network = entry.address.connected(on: link) else { continue }
                let route = ConnectedRoute(linkIndex: index, table: link.mainTable, destination: network)
                if known.isEmpty ? routes.contains(route) : known.contains(route) { continue }
                link.lostNetworks.insert(network)
            }
        }
    }

    /// The link of a route that needs no gateway.
    private static func link(of route: Route, in state: NamespaceState) -> LinkState? {
        guard route.type == 1, route.nextHops.count == 1, route.nextHops[0].gateway == nil else { return nil }
        return state.links[route.nextHops[0].linkIndex]
    }

    private static func forgetOnLink(_ link: LinkState, _ world: LinuxWorld) {
        if link.onLink == nil { return }
        link.onLink = nil
        world.concern(link.link.name, in: link.namespace)
    }
}

extension LinuxWorld {
    /// Asks the kernel once which addresses of a namespace have lost the route to their network. Not as long as the picture
    /// includes what is only planned.
    func learnLostNetworks(in state: NamespaceState) {
        // Of a namespace that is looked at in part the routes of other links are not asked for.
        if state.knowsLostNetworks || state.isSimulated || state.handle == nil || state.reading != nil { return }
        guard let routes = try? routeSocket(state).connectedRoutes() else { return }
        ConnectedRoutes.learnLost(from: routes, in: state)
    }

    /// Whether the network of an address of a link that is up can't be reached, as the route to it is gone.
    func hasLostNetwork(_ address: Address, on link: LinkState) -> Bool {
        guard link.link.isUp, let network = address.connected(on: link), link.lostNetworks.contains(network) else {
            return false
        }
        // Another route may stand for it.
        return !isOnLink(link, { $0 == network })
            && !link.routes.contains { id in
                id.destination == network && link.namespace.routes[id]?.route.nextHops.first?.gateway == nil
            }
    }

    /// Whether the kernel takes a gateway for a route by this link, as far as that is not due to values.
    func reaches(_ gateway: IPAddress, over link: LinkState, declaredAs interface: Interface?) -> Bool {
        let isReached = link.addresses.contains { entry in
            let address = entry.address
            // What is ours on a declared interface is there for a value, or goes.
            if let interface, address.proto == ownership.proto || interface.strips(address, in: self) { return false }
            return address.network.contains(gateway) && !link.lostNetworks.contains(address.network)
                && address.flags & Address.noPrefixRoute == 0
        }
        if isReached { return true }
        return isOnLink(link) { network in
            // The kernel's route to a network of which no address stays goes with the last one.
            network.contains(gateway)
                && (!link.goingNetworks.contains(network)
                    || interface?.addresses.contains { $0.prefix(in: self)?.contains(gateway) == true } == true)
        }
    }

    /// Whether the kernel takes an address for one of its own in a namespace.
    func isLocal(_ address: IPAddress, in state: NamespaceState, mostlyOn usual: LinkState) -> Bool {
        // Who sees a part of a namespace does not see all addresses.
        if address.isLoopback || state.reading != nil { return true }
        let isThere =
            usual.has(address) || state.linksByName["lo"]?.has(address) == true
            || state.links.values.contains { $0.has(address) }
        if isThere || state.handle == nil { return isThere }
        // By a local route that somebody made a whole network can be.
        return localNetworks(of: state).contains { $0.contains(address) }
    }

    /// What is local by routes of others. The kernel is asked when it matters, and again after a change.
    private func localNetworks(of state: NamespaceState) -> [IPPrefix] {
        if let known = state.localNetworks { return known }
        guard let reports = try? routeSocket(state).dump(.routes(table: Route.localTable)) else { return [] }
        let networks = reports.compactMap { report -> IPPrefix? in
            if case .route(let route) = report, route.makesLocal { route.destination } else { nil }
        }
        state.localNetworks = networks
        return networks
    }

    /// Whether the kernel accepts a gateway only with the on-link flag: the route to it belongs to others, with a scope
    /// too wide to resolve a gateway. IPv6 routes have no scopes.
    ///
    /// Source: `fib_check_nh_v4_gw`, net/ipv4/fib_semantics.c.
    func needsOnLink(_ gateway: IPAddress, over link: LinkState) -> Bool {
        // Mostly an address says it, and the kernel need not be asked.
        if gateway.family == .v6 || link.addresses.contains(where: { $0.address.network.contains(gateway) }) {
            return false
        }
        let known = link.routes.compactMap { link.namespace.routes[$0]?.route }.filter { route in
            route.type == 1 && route.destination.contains(gateway) && route.nextHops.allSatisfy { $0.gateway == nil }
        }
        if known.contains(where: { $0.scope >= Route.linkScope }) { return false }
        if isOnLink(link, { $0.contains(gateway) }) { return false }
        return !known.isEmpty || onLink(link).wide.contains { $0.contains(gateway) }
    }

    /// Whether one of the networks is like this that are on a link by routes which don't come and go with addresses of ours. The
    /// kernel's own route to a network serves all addresses in it, so it counts again as soon as none of these is ours.
    private func isOnLink(_ link: LinkState, _ isWanted: (IPPrefix) -> Bool) -> Bool {
        let known = onLink(link)
        return known.networks.contains(where: isWanted)
            || known.kernel.contains { isWanted($0) && !hasOurs($0, on: link) }
    }

    /// Whether an address of ours on a link is in just this network.
    fileprivate func hasOurs(_ network: IPPrefix, on link: LinkState) -> Bool {
        link.addresses.contains { $0.address.proto == ownership.proto && $0.address.network == network }
    }

    /// What routes of others say is on a link. The kernel is asked when it matters, and again after a change.
    private func onLink(_ link: LinkState) -> LinkState.OnLink {
        if let known = link.onLink { return known }
        var found = LinkState.OnLink()
        guard link.link.index > 0,
            let reports = try? routeSocket(link.namespace).dump(.routesOfLink(link.link.index))
        else { return found }
        for case .route(let route) in reports {
            guard route.type == 1, route.proto != ownership.proto, route.table == link.mainTable,
                route.nextHops.contains(where: { $0.gateway == nil && $0.linkIndex == link.link.index })
            else { continue }
            // An IPv4 route of a wider scope does not resolve a gateway.
            if route.isMadeWithAddress {
                found.kernel.insert(route.destination)
            } else if route.isWide {
                found.wide.insert(route.destination)
            } else {
                found.networks.insert(route.destination)
            }
        }
        link.onLink = found
        return found
    }
}

extension Route {
    /// Whether its scope is too wide for a way to a gateway. IPv6 knows no scopes of routes.
    fileprivate var isWide: Bool { destination.family == .v4 && scope < Route.linkScope }

    /// Whether the kernel made it, to the network of an address.
    fileprivate var isMadeWithAddress: Bool { proto == Self.kernel && !isWide }
}

extension LinkState {
    fileprivate func has(_ address: IPAddress) -> Bool { addresses.contains { $0.address.local.address == address } }

    /// The table in which the kernel looks for what leaves by the link.
    var mainTable: UInt32 { vrfTable ?? 254 }
}

extension Address {
    /// What is on the link with this address.
    var network: IPPrefix { (peer.flatMap { IPPrefix($0, length: local.length) } ?? local).network }

    /// The network to which the kernel made a route with this address; nil: it made none that matters.
    func connected(on link: LinkState) -> IPPrefix? {
        if flags & Self.noPrefixRoute != 0 || link.link.flags & LinkFlags.loopback != 0 { return nil }
        let isSingle = peer == nil && local.length == (local.family == .v4 ? 32 : 128)
        if isSingle { return nil }
        // With an IPv6 address there is a route to its own prefix even if it names another end.
        return local.family == .v6 ? local.network : network
    }
}

extension Route {
    /// `RT_SCOPE_LINK`: wider scopes are no way to a gateway.
    static let linkScope: UInt8 = 253

    /// The table of what is local.
    fileprivate static let localTable: UInt32 = 255

    /// Whether it makes a network local that no address does.
    fileprivate var makesLocal: Bool { table == Self.localTable && type == 2 && proto != Self.kernel }
}
