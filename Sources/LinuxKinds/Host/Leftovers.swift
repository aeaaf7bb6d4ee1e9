internal import Netlink
internal import NetworkTypes
public import Reconciler

extension LinuxWorld {
    /// Links that are ours and that no value claims.
    public func leftoversToRemoveFirst() -> [Removal<LinuxOperation>] {
        var removals: [Removal<LinuxOperation>] = []
        var doomed: [(state: NamespaceState, links: [LinkState])] = []
        for state in states where state.handle != nil {
            var links: [LinkState] = []
            for link in state.links.values where link.claim != pass && isOurs(link) {
                if link.link.flags & LinkFlags.loopback != 0 {
                    removals.append(release(loopback: link))
                } else {
                    links.append(link)
                }
            }
            if !links.isEmpty { doomed.append((state, links)) }
        }
        // Where most are, they go at once, and take the other ends of their pairs with them.
        aliasIndex = nil
        doomed.sort { ($1.links.count, $0.state.id) < ($0.links.count, $1.state.id) }
        for (state, links) in doomed { removals += remove(links, in: state) }
        return removals
    }

    /// Whether the mark says that we made the link: our alias, or our group on a link that got no alias any more.
    private func isOurs(_ state: LinkState) -> Bool {
        if ownership.owns(alias: state.link.alias) { return true }
        return state.link.group == ownership.linkGroup && (state.link.alias ?? "").isEmpty
    }

    private func release(loopback: LinkState) -> Removal<LinuxOperation> {
        var attributes = LinkAttributes(index: loopback.link.index)
        attributes.alias = ""
        let name = loopback.link.alias.map { String($0.dropFirst(ownership.aliasPrefix.count)) } ?? "lo"
        return Removal(
            key: InterfaceKeys.key(name), summary: "loopback lo\(loopback.namespace.reference.suffix)",
            operations: [LinuxOperation(namespace: loopback.namespace.id, action: .request(.setLink(attributes)))])
    }

    /// One removal for each link; the last one carries the operation that removes them all, since many links go at the
    /// price of one when they go together.
    private func remove(_ doomed: [LinkState], in state: NamespaceState) -> [Removal<LinuxOperation>] {
        let doomed = doomed.filter { link in
            // An end whose pair goes with a namespace we handled before is gone by then.
            !(link.link.kind == .veth && vanishing.contains(ObjectIdentifier(link)))
        }.sorted { $0.link.index < $1.link.index }
        guard !doomed.isEmpty else { return [] }
        for link in doomed {
            vanishing.insert(ObjectIdentifier(link))
            if let peer = peer(of: link) { vanishing.insert(ObjectIdentifier(peer)) }
        }
        var removals = doomed.map { link in
            Removal<LinuxOperation>(key: key(of: link), summary: summary(of: link), operations: [])
        }
        removals[removals.count - 1].operations = [
            LinuxOperation(
                namespace: state.id,
                action: .deleteLinks(doomed.map { $0.link.index }, wholeGroup: isWholeGroup(doomed, in: state)))
        ]
        return removals
    }

    /// Whether every link of our group in the namespace goes, so that the group can go as it is.
    private func isWholeGroup(_ doomed: [LinkState], in state: NamespaceState) -> Bool {
        doomed.allSatisfy { $0.link.group == ownership.linkGroup }
            && state.links.values.allSatisfy { link in
                link.link.group != ownership.linkGroup || vanishing.contains(ObjectIdentifier(link))
            }
    }

    private func key(of state: LinkState) -> Key {
        guard let alias = state.link.alias, ownership.owns(alias: alias) else { return "link \(state.link.name)" }
        var name = alias.dropFirst(ownership.aliasPrefix.count)
        if state.link.kind == .veth, let slash = name.firstIndex(of: "/") { name = name[..<slash] }
        return InterfaceKeys.key(String(name))
    }

    private func summary(of state: LinkState) -> String {
        "\(state.link.kind.name) \(state.link.name)\(state.namespace.reference.suffix)"
    }

    /// The other end of a veth pair, when it is ours.
    func peer(of state: LinkState) -> LinkState? {
        guard state.link.kind == .veth else { return nil }
        if state.link.linkNamespaceID == nil, let peer = state.namespace.links[state.link.link] { return peer }
        guard let alias = state.link.alias, ownership.owns(alias: alias) else {
            return plannedPeers[ObjectIdentifier(state)]
        }
        let names = alias.dropFirst(ownership.aliasPrefix.count)
        // NAME/PEER: names may hold slashes themselves, so try every place.
        var index = names.firstIndex(of: "/")
        while let slash = index {
            let swapped = "\(ownership.aliasPrefix)\(names[names.index(after: slash)...])/\(names[..<slash])"
            if let peer = ownedLink(alias: swapped), peer !== state { return peer }
            index = names[names.index(after: slash)...].firstIndex(of: "/")
        }
        return nil
    }

    private func ownedLink(alias: String) -> LinkState? {
        if let state = interfaceStates(alias: alias) { return state }
        // One index for all that is looked for, instead of a look into every namespace for each.
        if aliasIndex == nil {
            var index: [String: LinkState] = [:]
            for state in states { index.merge(state.ownedLinks) { first, _ in first } }
            aliasIndex = index
        }
        guard let link = aliasIndex?[alias], link.namespace.ownedLinks[alias] === link else { return nil }
        return link
    }

    /// The link of the declared interface that carries `alias`, which is found without looking everywhere.
    private func interfaceStates(alias: String) -> LinkState? {
        guard let namespace = aliasNamespaces[alias] else { return nil }
        return byReference[namespace]?.ownedLinks[alias]
    }

    /// Addresses, routes, neighbours, rules and namespaces that are ours and that no value claims.
    public func leftoversToRemoveLast() -> [Removal<LinuxOperation>] {
        disturbance.isAfterValues = true
        var removals: [Removal<LinuxOperation>] = []
        let doomed = states.filter { $0.handle != nil && $0.claim != pass && isDeclaredOnly($0) }
        let doomedIDs = Set(doomed.map(\.id))
        for state in states where state.handle != nil && !state.isDoomed && !doomedIDs.contains(state.id) {
            let links = state.links.values.filter { !ownership.belongsToAnother(alias: $0.link.alias) }
                .sorted { $0.link.index < $1.link.index }
            let others = links.filter { !isSpared($0) }
            // Neighbours before the mark that says that there are any.
            for link in others { appendNeighbours(of: link, to: &removals) }
            appendRoutesAndRules(
                of: state, keepsMark: others.count < links.count && links.contains { hasSparedNeighbours($0) },
                to: &removals)
            for link in others { appendParts(of: link, to: &removals) }
        }
        for state in doomed {
            guard case .named(let name) = state.reference, let own = byReference[.own] else { continue }
            removals.append(
                Removal(
                    key: NamespaceKeys.key(name), summary: "namespace \(name)",
                    operations: [LinuxOperation(namespace: own.id, action: .removeNamespace(name))]))
        }
        return removals
    }

    /// Whether the namespace carries the mark of a declared one, and neither a declared value nor another agent is in it.
    private func isDeclaredOnly(_ state: NamespaceState) -> Bool {
        guard case .named = state.reference, state.linksByName["lo"]?.link.group == ownership.namespaceGroup else {
            return false
        }
        return !isInUse(state) && !state.links.values.contains { ownership.belongsToAnother(alias: $0.link.alias) }
    }

    /// Whether a declared value is in the namespace; then it stays, even if its own declaration went.
    private func isInUse(_ state: NamespaceState) -> Bool {
        state.references.contains { subjects[$0] != nil }
    }

    private func isSpared(_ link: LinkState) -> Bool {
        byReference[.own] === link.namespace && sparing.link(link.link.name)
    }

    private func hasSparedNeighbours(_ link: LinkState) -> Bool {
        isSpared(link) && link.neighbours.contains { $0.neighbour.proto == ownership.proto }
    }

    private func isSpared(table: UInt32, of state: NamespaceState) -> Bool {
        byReference[.own] === state && sparing.table(table)
    }

    private func appendRoutesAndRules(
        of state: NamespaceState, keepsMark: Bool, to removals: inout [Removal<LinuxOperation>]
    ) {
        let place = state.reference.suffix
        for (id, route) in state.routes where route.claim != pass && route.route.proto == ownership.proto {
            let hops = route.route.nextHops.compactMap { state.links[$0.linkIndex] }
            if hops.contains(where: { ownership.belongsToAnother(alias: $0.link.alias) || isSpared($0) }) { continue }
            if isSpared(table: id.table, of: state) || keepsMark && id == neighbourMarkID { continue }
            let device = hops.first?.link.name ?? ""
            let summary = id == neighbourMarkID ? "mark of neighbours\(place)" : "route \(id.destination)\(place)"
            removals.append(
                Removal(
                    key: "\(RouteKeys.prefix)\(id.destination)/\(device)\(place)", summary: summary,
                    operations: [LinuxOperation(namespace: state.id, action: .request(.deleteRoute(route.route)))]))
        }
        for (rule, claim) in state.rules where claim != pass && !isSpared(table: rule.table, of: state) {
            removals.append(
                Removal(
                    key: RuleKeys.prefix + "\(rule.priority)\(place)", summary: "rule \(rule.priority)\(place)",
                    operations: [LinuxOperation(namespace: state.id, action: .request(.deleteRule(rule)))]))
        }
    }

    private func appendNeighbours(of link: LinkState, to removals: inout [Removal<LinuxOperation>]) {
        let state = link.namespace
        let place = "dev \(link.link.name)\(state.reference.suffix)"
        for neighbour in link.neighbours where neighbour.claim != pass {
            removals.append(
                Removal(
                    key:
                        "\(NeighbourKeys.prefix)\(link.link.name)/\(neighbour.neighbour.destination)\(state.reference.suffix)",
                    summary: "neighbour \(neighbour.neighbour.destination) \(place)",
                    operations: [
                        LinuxOperation(namespace: state.id, action: .request(.deleteNeighbour(neighbour.neighbour)))
                    ]))
        }
    }

    /// Whether a link is ours, or an existing one whose whole configuration is declared.
    private func isConfigured(_ link: LinkState) -> Bool {
        if ownership.owns(alias: link.link.alias) { return true }
        // Claimed, and not ours: a value of type EXISTING has it.
        guard link.claim == pass else { return false }
        let keys = subjects[link.namespace.reference]?[link.link.name] ?? []
        return keys.contains { key in
            guard key.hasPrefix(InterfaceKeys.prefix) else { return false }
            return interfaces[String(key.dropFirst(InterfaceKeys.prefix.count))].map { !$0.linkOnly } ?? false
        }
    }

    private func appendParts(of link: LinkState, to removals: inout [Removal<LinuxOperation>]) {
        let state = link.namespace
        let place = "dev \(link.link.name)\(state.reference.suffix)"
        for address in link.addresses where address.claim != pass && address.address.proto == ownership.proto {
            removals.append(
                Removal(
                    key:
                        "linux/interface/\(link.link.name)/address/static/\(address.address.local)\(state.reference.suffix)",
                    summary: "address \(address.address.local) \(place)",
                    operations: [
                        LinuxOperation(namespace: state.id, action: .request(.deleteAddress(address.address)))
                    ]))
        }
        if link.link.master != 0, link.masterClaim != pass, isConfigured(link),
            let master = state.links[link.link.master], ownership.owns(alias: master.link.alias)
        {
            var attributes = LinkAttributes(index: link.link.index)
            attributes.master = 0
            removals.append(
                Removal(
                    key: "linux/interface/\(link.link.name)/master/\(master.link.name)\(state.reference.suffix)",
                    summary: "membership of \(link.link.name) in \(master.link.name)\(state.reference.suffix)",
                    operations: [LinuxOperation(namespace: state.id, action: .request(.setLink(attributes)))]))
        }
    }
}
