import NetworkTypes

// What nexthops say of each other, and routes of them.

extension ConfigSet {
    private func nextHop(_ ref: Ref) -> NextHopSpec? {
        guard case .nextHop(let hop)? = item(ref).specification else { return nil }
        return hop
    }

    private func nextHop(named name: String) -> NextHopSpec? {
        guard let ref = first(relations.nextHops[name]) else { return nil }
        return nextHop(ref)
    }

    /// Where a nexthop is: with its interface, a group with its members; nil: what it names is not there.
    private func namespace(of hop: NextHopSpec) -> NetNamespace? {
        switch hop.form {
        case .blackhole: return hop.namespace.identity
        case .way(let way):
            guard let ref = first(relations.interfaces[way.interface]), let link = interface(ref) else {
                return hop.namespace.identity
            }
            return link.namespace.identity
        case .group(let members):
            // Groups have no groups.
            guard let name = members.first?.name, let member = nextHop(named: name), member.members.isEmpty else {
                return nil
            }
            return namespace(of: member)
        }
    }

    /// Where the kernel has a route by a nexthop; nil: that is not declared.
    func place(of route: RouteSpec, to destination: IPPrefix, by name: String) -> RoutePlace? {
        guard let hop = nextHop(named: name), let namespace = namespace(of: hop) else { return nil }
        return RoutePlace(
            namespace: namespace, destination: destination.network, table: route.table ?? 254,
            metric: route.metric == 0 ? RouteSpec.defaultMetric(of: destination.family) : route.metric)
    }

    /// Nexthops that changed, whose interface or members did, or that want the same number as one that did.
    func concernedNextHops() -> Set<Ref> {
        var names = relations.changedNextHops
        for name in relations.changedNames {
            for ref in relations.nextHopsOver[name]?.all ?? [] { if let hop = nextHop(ref) { names.insert(hop.name) } }
        }
        var refs: Set<Ref> = []
        for name in names {
            refs.formUnion(relations.nextHops[name]?.all ?? [])
            refs.formUnion((relations.nextHopUsers[name]?.all ?? []).filter { nextHop($0) != nil })
        }
        for id in relations.changedNumbers { refs.formUnion(relations.nextHopNumbers[id]?.all ?? []) }
        // One that moved may have been in the way of another of its number.
        for ref in refs {
            if let id = nextHop(ref)?.id { refs.formUnion(relations.nextHopNumbers[id]?.all ?? []) }
        }
        refs.formUnion(relations.lost.filter { nextHop($0) != nil })
        return refs
    }

    /// Routes by nexthops that changed, or that are gone or were missing.
    func concernedRoutes(by nextHops: Set<Ref>) -> Set<Ref> {
        var names = relations.changedNextHops
        for ref in nextHops { if let hop = nextHop(ref) { names.insert(hop.name) } }
        var routes: Set<Ref> = []
        for ref in relations.lost where nextHop(ref) == nil { routes.insert(ref) }
        for name in names {
            for ref in relations.nextHopUsers[name]?.all ?? [] where nextHop(ref) == nil { routes.insert(ref) }
        }
        return routes
    }

    /// That the nexthop of a route is not there.
    mutating func missingNextHop(_ ref: Ref) -> Relations.Problems? {
        guard case .route(let route)? = item(ref).specification, let name = route.nextHop else { return nil }
        var problems = Relations.Problems()
        let isThere = relations.nextHops[name] != nil
        if !isThere { addMissing(name, ["nexthop"], to: &problems) }
        noteLost(ref, !isThere)
        return problems
    }

    private func addMissing(_ name: String, _ path: [PathPart], to problems: inout Relations.Problems) {
        // What is not all there, or not understood, may hold it.
        guard relations.expectsAll, relations.incompleteTexts == 0, relations.flawedTexts == 0 else { return }
        problems.add(Relations.Problem(path: path, value: name, text: "is not declared"))
    }

    private mutating func noteLost(_ ref: Ref, _ isLost: Bool) {
        if isLost { relations.lost.insert(ref) } else if !relations.lost.isEmpty { relations.lost.remove(ref) }
    }

    mutating func checkNextHop(_ ref: Ref) {
        guard let hop = nextHop(ref) else { return }
        var problems = Relations.Problems()
        checkNumber(of: hop, ref, &problems)
        noteLost(ref, checkMembers(of: hop, &problems))
        relations.setProblems(of: ref, to: problems)
    }

    private func checkNumber(of hop: NextHopSpec, _ ref: Ref, _ problems: inout Relations.Problems) {
        guard let id = hop.id, let group = relations.nextHopNumbers[id], group.only == nil,
            let home = namespace(of: hop)
        else { return }
        let rivals = sorted(group).filter { other in
            guard let rival = nextHop(other) else { return false }
            return namespace(of: rival) == home
        }
        // One nexthop declared twice is reported as such.
        guard let earlier = rivals.first, earlier != ref, item(earlier).key != item(ref).key else { return }
        problems.add(
            Relations.Problem(
                path: ["id"], value: "\(id)",
                text: "is the number of nexthop \(item(earlier).value.name.inQuotes) in the same namespace "
                    + "(\(place(earlier))): give one of them another one", other: earlier))
    }

    /// Returns whether a member is not there.
    private func checkMembers(of group: NextHopSpec, _ problems: inout Relations.Problems) -> Bool {
        var isLost = false
        var home: (name: String, namespace: NetNamespace)?
        for (index, member) in group.members.enumerated() where !member.name.isEmpty {
            let path: [PathPart] = ["group", .element(index), "nexthop"]
            guard let other = first(relations.nextHops[member.name]), let hop = nextHop(other) else {
                isLost = true
                addMissing(member.name, path, to: &problems)
                continue
            }
            func report(_ text: String) {
                problems.add(Relations.Problem(path: path, value: member.name, text: text, other: other))
            }
            if !hop.members.isEmpty {
                report("is a group (\(place(other))); the kernel takes no groups of groups")
                continue
            }
            if hop.form == .blackhole, group.members.count > 1 {
                report("drops packets (\(place(other))); such a nexthop shares no traffic with others")
            }
            guard let place = namespace(of: hop) else { continue }
            if let home, home.namespace != place {
                report("is in another namespace than \(home.name) (\(self.place(other)))")
            } else if home == nil {
                home = (member.name, place)
            }
        }
        return isLost
    }
}
