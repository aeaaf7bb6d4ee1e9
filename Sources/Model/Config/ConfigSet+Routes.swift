internal import NetworkTypes

/// Where the kernel has a route: it takes one of each.
struct RoutePlace: Hashable, Sendable {
    var namespace: NetNamespace
    var destination: IPPrefix
    var table: UInt32
    var metric: UInt32
}

extension ConfigSet {
    /// Finds routes that want the same place.
    mutating func checkRoutes(_ routes: some Sequence<Ref>) {
        var places = relations.leftPlaces
        for ref in routes {
            let place = routePlace(ref)
            if let former = relations.setPlace(of: ref, to: place) { places.insert(former) }
            guard let place else {
                relations.setProblems(of: ref, to: missingNextHop(ref))
                continue
            }
            if !relations.lost.isEmpty { relations.lost.remove(ref) }
            // Nothing is known to be wrong yet where a route is alone.
            if !relations.isFirst || relations.routes[place]?.only == nil { places.insert(place) }
        }
        for place in places {
            guard let group = relations.routes[place] else { continue }
            if let only = group.only {
                relations.setProblems(of: only, to: nil)
                continue
            }
            let refs = sorted(group)
            relations.setProblems(of: refs[0], to: nil)
            for ref in refs.dropFirst() { relations.setProblems(of: ref, to: conflict(ref, with: refs[0])) }
        }
    }

    /// Routes that changed, and those that leave by interfaces that did, or whose VRF did.
    func concernedRoutes(_ nextHops: Set<Ref>) -> Set<Ref> {
        var routes = relations.changedRoutes.union(concernedRoutes(by: nextHops))
        if relations.routeUsers.isEmpty { return routes }
        for name in relations.changedNames {
            routes.formUnion(relations.routeUsers[name]?.all ?? [])
            for ref in relations.referrers[name]?.all ?? [] {
                guard let member = interface(ref), member.vrf == name else { continue }
                routes.formUnion(relations.routeUsers[member.name]?.all ?? [])
            }
        }
        return routes
    }

    /// nil: it is known only when the route is made.
    private func routePlace(_ ref: Ref) -> RoutePlace? {
        guard case .route(let route)? = item(ref).specification, case .literal(let destination) = route.destination
        else { return nil }
        if let name = route.nextHop { return place(of: route, to: destination, by: name) }
        let outgoing = route.hops.first.flatMap { first(relations.interfaces[$0.interface]) }.flatMap { interface($0) }
        if route.table == nil, !route.hops.isEmpty {
            // A link that is not ours may be in a VRF that nobody declares.
            guard let outgoing, outgoing.type != .existing || outgoing.vrf != nil else { return nil }
        }
        let vrf = outgoing?.vrf.flatMap { first(relations.interfaces[$0]) }.flatMap { interface($0) }
        // One that is not ours tells nobody here which table it has.
        if route.table == nil, outgoing?.vrf != nil, !(vrf?.link is VRFSpec) { return nil }
        let isDefault = route.metric == 0
        return RoutePlace(
            namespace: (outgoing?.namespace ?? route.namespace).identity, destination: destination.network,
            table: route.table ?? (vrf?.link as? VRFSpec)?.table ?? 254,
            metric: isDefault ? RouteSpec.defaultMetric(of: destination.family) : route.metric)
    }

    private func conflict(_ ref: Ref, with earlier: Ref) -> Relations.Problems? {
        // One route declared twice is reported as such.
        guard item(earlier).key != item(ref).key, case .route(let route)? = item(ref).specification else { return nil }
        var problems = Relations.Problems()
        problems.add(
            Relations.Problem(
                path: ["dst_network"], value: route.destinationText,
                text:
                    "has the same table and metric as route \(item(earlier).value.name.inQuotes) (\(place(earlier))): "
                    + "give one of them another metric, or make them next hops of one", other: earlier))
        return problems
    }
}
