internal import Model
internal import Netlink
internal import NetworkTypes
public import Reconciler

enum RouteKeys {
    static let prefix = ModelRegistry.model(.route).keyPrefix
    static func linkLocal(_ interface: String, _ destination: String) -> Key {
        "linux/link-local-route/\(interface)/dest-address/\(destination)"
    }
}

/// A route.
public struct StaticRoute: Value {
    /// The word for routes in plans and status.
    public static let kind = "route"
    /// After addresses.
    public static let rank = 5

    /// An address, or the reference to an allocated one.
    typealias Endpoint = AddressSource

    /// One way to the destination.
    struct Hop: Hashable, Sendable {
        let interface: String
        let gateway: Endpoint?
        let weight: UInt16
        let onlink: Bool

        /// Whether the kernel takes the gateway only if it can reach it.
        var needsReach: Bool {
            guard case .literal(let prefix) = gateway, !onlink else { return false }
            return prefix.family == .v4 || !prefix.address.isLinkLocal
        }

        /// What is shown as long as it can't.
        var reachLabel: String {
            guard case .literal(let prefix) = gateway else { return "" }
            return "gw-reachable: \(prefix.address) on \(interface)"
        }
    }

    let namespace: NamespaceReference
    let destination: Endpoint
    let destinationText: String
    let hops: [Hop]
    /// The name of the nexthop object that says where it leads; nil: its hops do.
    let nextHop: String?
    /// `RT_SCOPE_*`; nil: link without a gateway, global with one.
    let scope: UInt8?
    let metric: UInt32
    /// nil: that of the interface's VRF, else main.
    let table: UInt32?
    /// `RTN_*`
    let type: UInt8
    let source: IPAddress?
    let mtu: UInt32
    let advertisedMSS: UInt32
    let initialCongestionWindow: UInt32
    let initialReceiveWindow: UInt32
    /// `ICMPV6_ROUTER_PREF_*`
    let preference: UInt8
    /// Whether a connection brought it: what its forwarder made in this place is as good.
    let isBrought: Bool

    /// The interfaces, and what makes the gateways reachable.
    public var dependencies: [Dependency<LinuxWorld>] {
        var result = namespace.dependencies
        for hop in hops { result += hop.dependencies }
        if let nextHop {
            result.append(Dependency(label: "nexthop: \(nextHop)", target: .key(NextHopKeys.key(nextHop))))
        }
        if case .allocated(let reference) = destination {
            result.append(Dependency(label: "dst_network-allocated: \(reference.id)", target: .key(reference.key)))
        }
        return result
    }

    /// What the kernel itself can reach by the interface counts, too: by an address or a route that somebody else made.
    public func isGiven(_ dependency: Dependency<LinuxWorld>, in world: LinuxWorld) -> Bool {
        hops.first { $0.needsReach && $0.reachLabel == dependency.label }?.isGiven(dependency, in: namespace, world)
            ?? false
    }

    static func reaches(_ gateway: IPAddress, through value: any Value<LinuxWorld>) -> Bool {
        if let address = value as? InterfaceAddress {
            if case .allocated = address.source { return true }
            return address.reaches(gateway)
        }
        if let route = value as? LinkRoute { return route.destination.contains(gateway) }
        guard let route = value as? StaticRoute, case .literal(let prefix) = route.destination else { return false }
        return prefix.contains(gateway)
    }

    /// What a route of link scope makes reachable.
    public var derived: [DerivedValue<LinuxWorld>] {
        guard scope == Route.linkScope, hops.count == 1, case .literal(let prefix) = destination else { return [] }
        let interface = hops[0].interface
        return [
            DerivedValue(
                key: RouteKeys.linkLocal(interface, destinationText),
                value: LinkRoute(interface: interface, destination: prefix.network))
        ]
    }

    /// A route without a gateway has this scope without being told to: others find here what makes theirs reachable.
    public var groups: [String] {
        guard scope == nil, hops.count == 1, hops[0].gateway == nil, type == 1 else { return [] }
        return [InterfaceAddress.reachGroup(hops[0].interface)]
    }

    /// An interface that is not ours and not there, or not up.
    public func unmetConditions(in world: LinuxWorld) -> [String] {
        if hops.isEmpty { return world.unmetCondition(namespace).map { [$0] } ?? [] }
        var reasons: [String] = []
        for hop in hops where world.declarations.interfaces[hop.interface] == nil {
            if let reason = world.unmetCondition(namespace) { return [reason] }
            guard let link = world.link(named: hop.interface, in: namespace) else {
                reasons.append("\(hop.interface)\(namespace.suffix) is not there and not declared")
                continue
            }
            if !link.link.isUp {
                reasons.append("outgoing-interface-is-up: \(hop.interface)\(namespace.suffix) is down")
            }
        }
        return reasons
    }

    /// Why packets can't be sent with the preferred address. What is planned before counts.
    private func missingSource(in world: LinuxWorld) -> String? {
        guard let source, let hop = hops.first, let link = world.link(named: hop.interface, in: namespace),
            !world.isLocal(source, in: link.namespace, mostlyOn: link)
        else { return nil }
        return "src_addr-available: no interface\(link.namespace.reference.suffix) has the address \(source)"
    }

    // MARK: - In the kernel

    /// The namespace and the kernel's form of the route; nil when something it names is not there.
    private func wanted(in world: LinuxWorld) -> (NamespaceState, Route)? {
        guard let prefix = resolve(destination, in: world) else { return nil }
        if let nextHop { return wanted(to: prefix, by: nextHop, in: world) }
        var state = world.byReference[namespace]
        var nextHops: [NextHop] = []
        var table = self.table ?? 254
        for hop in hops {
            guard let link = world.link(named: hop.interface, in: namespace) else { return nil }
            if nextHops.isEmpty {
                state = link.namespace
                if self.table == nil, let number = link.vrfTable { table = number }
            }
            var gateway: IPAddress?
            if let endpoint = hop.gateway {
                guard let address = resolveGateway(endpoint, in: world) else { return nil }
                gateway = address
            }
            let onlink = hop.onlink || gateway.map { world.needsOnLink($0, over: link) } ?? false
            nextHops.append(
                NextHop(
                    gateway: gateway, linkIndex: link.link.index, weight: hops.count > 1 ? hop.weight : 1,
                    onlink: onlink))
        }
        guard let state else { return nil }
        var route = bare(to: prefix, nextHops)
        route.table = table
        route.proto = world.ownership.proto
        return (state, route)
    }

    /// The route in its own table, or main.
    func bare(to prefix: IPPrefix) -> Route { bare(to: prefix, []) }

    private func bare(to prefix: IPPrefix, _ nextHops: [NextHop]) -> Route {
        var route = Route(
            destination: prefix.network, table: table ?? 254, type: type, metric: metric, source: source, mtu: mtu,
            nextHops: nextHops)
        route.advertisedMSS = advertisedMSS
        route.initialCongestionWindow = initialCongestionWindow
        route.initialReceiveWindow = initialReceiveWindow
        route.preference = preference
        if prefix.family == .v4 {
            let isOnLink = nextHops.allSatisfy { $0.gateway == nil } && type == 1
            route.scope = scope ?? (isOnLink ? Route.linkScope : 0)
        } else if route.metric == 0 {
            route.metric = RouteSpec.defaultMetric(of: prefix.family)
        }
        return route
    }

    private func resolve(_ endpoint: Endpoint, in world: LinuxWorld) -> IPPrefix? {
        switch endpoint {
        case .literal(let prefix): prefix
        case .allocated(let reference): world.declarations.allocations[reference.id]?.address
        }
    }

    private func resolveGateway(_ endpoint: Endpoint, in world: LinuxWorld) -> IPAddress? {
        switch endpoint {
        case .literal(let prefix): prefix.address
        case .allocated(let reference): world.declarations.allocations[reference.id]?.gateway?.address
        }
    }

    /// The interfaces it leaves by, each once.
    private var outgoing: [String] {
        hops.count == 1 ? [hops[0].interface] : Array(Set(hops.map(\.interface)))
    }

    /// Reports about its interfaces concern it, or else about its namespace.
    public func declare(in world: LinuxWorld, key: Key) {
        for name in outgoing { world.declarations.enter(key, user: name, in: namespace) }
        if let nextHop { world.declarations.enter(key, userOfNextHop: nextHop) }
        if hops.isEmpty { world.declarations.enter(key, in: namespace) }
        guard let source else { return }
        for name in outgoing { world.declarations.enter(key, from: source, over: name) }
        if hops.isEmpty { world.declarations.enter(key, from: source) }
    }

    /// They do so no more.
    public func withdraw(in world: LinuxWorld, key: Key) {
        for name in outgoing { world.declarations.leave(key, user: name, in: namespace) }
        if let nextHop { world.declarations.leave(key, userOfNextHop: nextHop) }
        if hops.isEmpty { world.declarations.leave(key, in: namespace) }
        guard let source else { return }
        for name in outgoing { world.declarations.leave(key, from: source, over: name) }
        if hops.isEmpty { world.declarations.leave(key, from: source) }
    }

    /// The kernel's route is ours, unless another value has it that leaves by another interface.
    public func claim(in world: LinuxWorld, by claimant: Claimant) -> Place? {
        guard let (state, route) = wanted(in: world) else { return nil }
        let id = RouteID(route)
        guard let known = state.routes[id], known.leavesAs(route) else { return nil }
        known.claim = Claim(pass: world.pass, claimant: claimant)
        return Place(state, .route(id))
    }

    /// Compares with the routes of the namespace.
    public func assess(in world: LinuxWorld) -> Assessment<LinuxOperation> {
        guard let (state, route) = wanted(in: world) else {
            return hops.isEmpty && nextHop == nil
                ? creation(world) : Assessment(.waiting(["what the route names is not there"]))
        }
        guard let known = state.routes[RouteID(route)] else {
            if let foreign = foreign(to: route, in: state, world) {
                if isBrought, foreign.leads(as: route) { return .inPlace }
                let differences = route.differences(from: foreign, in: state)
                let others = differences.filter { $0.attribute != "proto" }
                if isLeft(foreign, equal: others.isEmpty, in: state, world) {
                    // One request: packets find a route all the time.
                    let request = LinuxOperation(state, request: .addRoute(route, replace: true))
                    return Assessment(.update, operations: [request], differences: differences)
                }
                if others.isEmpty { return .inPlace }
                let text = others.map(\.description).joined(separator: ", ")
                return Assessment(
                    .blocked(
                        "a route that is not ours (proto \(Names.routeProtocol(foreign.proto))) has its place\(state.reference.suffix): "
                            + "\(text); remove it, or give one of them another metric"))
            }
            if let reason = missingSource(in: world) { return Assessment(.waiting([reason])) }
            return creation(of: route, in: state, world)
        }
        // A forwarder that replaced ours would do so for ever.
        if isBrought, known.route.proto != route.proto, known.route.leads(as: route) { return .inPlace }
        let differences = route.differences(from: known.route, in: state)
        if differences.isEmpty { return .inPlace }
        if world.isClaimed(known.claim), !known.leavesAs(route) {
            let holder = known.route.holder(in: state, world) ?? "another value"
            return Assessment(
                .blocked(
                    "the declared route to \(route.destination) by \(holder) has the same table and metric"
                        + "\(state.reference.suffix): give one of them another metric, or make them next hops of one"))
        }
        // Without its preferred address the kernel refuses the change, and leaves what works.
        var requests: [Request] = [.addRoute(route, replace: true)]
        if !world.advertisedRoutes(RouteID(route), in: state).isEmpty, missingSource(in: world) == nil {
            // The kernel might replace the router's.
            requests = [.deleteRoute(known.route), .appendRoute(route)]
        }
        return Assessment(
            .update, operations: requests.map { LinuxOperation(state, request: $0) }, differences: differences)
    }
}

extension StaticRoute {
    /// A route without an interface, in a namespace that is made with it.
    private func creation(_ world: LinuxWorld) -> Assessment<LinuxOperation> {
        var plan = LinkPlan(world)
        guard plan.enter(namespace), var route = resolve(destination, in: world).map(bare) else {
            return Assessment(.waiting(["what the route names is not there"]))
        }
        route.proto = world.ownership.proto
        plan.add(.request(.addRoute(route, replace: false)))
        return Assessment(.create, operations: plan.operations, differences: plan.operations.newNamespaces)
    }

    /// A route that is not there.
    private func creation(
        of route: Route, in state: NamespaceState, _ world: LinuxWorld
    ) -> Assessment<LinuxOperation> {
        let beside = advertised(beside: route, in: state, world)
        if beside.contains(where: { route.isPart(of: $0) }) { return .inPlace }
        // Of several next hops some may be left of a route that was lost; and who looks at links alone takes the place of
        // what he does not see.
        let replaces = state.hasJustLost(RouteID(route)) || world.ownership.extent == .links
        let replacement = Request.addRoute(route, replace: replaces)
        let request = beside.isEmpty ? replacement : .appendRoute(route)
        return Assessment(.create, operations: [LinuxOperation(state, request: request)])
    }

    /// Routes of routers' advertisements in its place. Over links that are still to be made, the kernel is asked only where
    /// routers are likely to have said something.
    private func advertised(beside route: Route, in state: NamespaceState, _ world: LinuxWorld) -> [Route] {
        let isPlanned = route.nextHops.contains { $0.linkIndex < 0 } || world.ownership.extent == .links
        return isPlanned && route.destination.length > 0 ? [] : world.advertisedRoutes(RouteID(route), in: state)
    }

    /// A route of someone else's in the place of one that is to be made, over links that are there.
    private func foreign(to route: Route, in state: NamespaceState, _ world: LinuxWorld) -> Route? {
        if route.nextHops.contains(where: { $0.linkIndex < 0 }) || world.ownership.extent == .links { return nil }
        return world.foreignRoute(RouteID(route), in: state)
    }
}

extension Route {
    /// What differs from a route with the same destination, table and metric.
    fileprivate func differences(from old: Route, in names: NamespaceState) -> [Difference] {
        if isSame(as: old) { return [] }
        var result: [Difference] = []
        func note(_ name: String, _ old: @autoclosure () -> String, _ new: @autoclosure () -> String, _ isSame: Bool) {
            if !isSame { result.append(Difference(name, old: old(), new: new())) }
        }
        note("proto", Names.routeProtocol(old.proto), Names.routeProtocol(proto), old.proto == proto)
        note("type", Names.routeType(old.type), Names.routeType(type), old.type == type)
        note("mtu", "\(old.mtu)", "\(mtu)", old.mtu == mtu)
        for (name, have, wanted) in [
            ("advmss", old.advertisedMSS, advertisedMSS),
            ("initcwnd", old.initialCongestionWindow, initialCongestionWindow),
            ("initrwnd", old.initialReceiveWindow, initialReceiveWindow),
        ] { note(name, "\(have)", "\(wanted)", have == wanted) }
        let (had, wanted) = (Numbers.preference.word(old.preference), Numbers.preference.word(preference))
        note(
            "pref", had.map { "\($0)" } ?? "\(old.preference)", wanted.map { "\($0)" } ?? "\(preference)",
            old.preference == preference)
        note("src", old.source?.description ?? "none", source?.description ?? "none", old.source == source)
        let others = old.otherText
        note("other attributes", others, "none", others.isEmpty)
        if destination.family == .v4 { note("scope", Names.scope(old.scope), Names.scope(scope), old.scope == scope) }
        // The kernel keeps IPv6 routes without an interface on the loopback interface.
        if nextHopID != 0 || old.nextHopID != 0 {
            note("nexthop", old.wayText(names), wayText(names), old.nextHopID == nextHopID)
        } else if type == 1 {
            note("next hop", old.hopText(names), hopText(names), old.sortedHops == sortedHops)
        }
        return result
    }

    /// Whether it plainly has all that another one has. Most often it does, and needs no list of differences.
    private func isSame(as old: Route) -> Bool {
        proto == old.proto && type == old.type && mtu == old.mtu && advertisedMSS == old.advertisedMSS
            && initialCongestionWindow == old.initialCongestionWindow
            && initialReceiveWindow == old.initialReceiveWindow && preference == old.preference
            && source == old.source && !old.hasOthers && (destination.family != .v4 || scope == old.scope)
            && nextHopID == old.nextHopID && nextHops == old.nextHops
    }

    /// Whether packets leave by the same interfaces as with another one, whatever gateways, scope and protocol say.
    fileprivate func leads(as other: Route) -> Bool {
        type == other.type && !nextHops.isEmpty
            && Set(nextHops.map(\.linkIndex)) == Set(other.nextHops.map(\.linkIndex))
    }

    /// Whether its next hops are among those of another, which a program made of an advertisement: the kernel makes one
    /// route of both.
    fileprivate func isPart(of other: Route) -> Bool {
        !nextHops.isEmpty && nextHops.allSatisfy { hop in other.nextHops.contains { $0.leads(as: hop) } }
    }

    private var sortedHops: [NextHop] {
        nextHops.sorted {
            ($0.linkIndex, $0.gateway?.description ?? "") < ($1.linkIndex, $1.gateway?.description ?? "")
        }
    }
}

extension RouteState {
    /// Whether it leaves by the same interface as another route in its place, or that one needs none.
    fileprivate func leavesAs(_ other: Route) -> Bool {
        // By what object they leave, routes do not share, though the link may be the same.
        if route.nextHopID != 0 || other.nextHopID != 0 { return route.nextHopID == other.nextHopID }
        return other.nextHops.isEmpty || route.nextHops.first?.linkIndex == other.nextHops.first?.linkIndex
    }
}
