internal import Model
internal import Netlink
internal import NetworkTypes
internal import Reconciler

extension LinkClass {
    /// Links go before anything is made; what they are ports or members of, afterwards.
    static func appendLeftovers(_ turn: Turn, in states: [NamespaceState], to list: inout Leftovers) {
        var doomed: [(state: NamespaceState, links: [LinkState])] = []
        for state in states {
            switch turn {
            case .first:
                let links = state.links.values.filter { isLeftOver($0, list.world) }
                if !links.isEmpty { doomed.append((state, links)) }
            case .last:
                if list.goes(state) { continue }
                for link in state.links.values.sorted(by: { $0.link.index < $1.link.index }) {
                    appendMaster(of: link, to: &list)
                }
            }
        }
        append(doomed, to: &list)
    }

    static func appendLeftovers(_ turn: Turn, at places: [Place], to list: inout Leftovers) {
        var doomed: [Int: (state: NamespaceState, links: [LinkState])] = [:]
        for place in places {
            guard let state = list.world.states[place.namespace] else { continue }
            switch (turn, place.object) {
            case (.first, .link(let place)):
                guard let link = state.link(at: place), isLeftOver(link, list.world) else { continue }
                doomed[state.id, default: (state, [])].links.append(link)
            case (.last, .master(let index)):
                if let link = state.links[index], !list.goes(state) { appendMaster(of: link, to: &list) }
            case (.first, _), (.last, _): break
            }
        }
        append(Array(doomed.values), to: &list)
    }

    /// Whether no value claims the link and the mark says that we made it: our alias, or our group on a link that got no
    /// alias any more, or that of links which were about to go.
    private static func isLeftOver(_ state: LinkState, _ world: LinuxWorld) -> Bool {
        if world.isClaimed(state.claim) { return false }
        if world.ownership.owns(alias: state.link.alias) { return true }
        let group = state.link.group
        return (group == world.ownership.linkGroup || group == world.ownership.throwAwayGroup)
            && (state.link.alias ?? "").isEmpty
    }

    /// Where most are, they go at once, and take the other ends of their pairs with them.
    private static func append(_ doomed: [(state: NamespaceState, links: [LinkState])], to list: inout Leftovers) {
        let ordered = doomed.sorted { ($1.links.count, $0.state.id) < ($0.links.count, $1.state.id) }
        for (state, links) in ordered {
            for link in links where link.link.flags & LinkFlags.loopback != 0 { release(loopback: link, to: &list) }
            append(links.filter { $0.link.flags & LinkFlags.loopback == 0 }, in: state, to: &list)
        }
    }

    private static func release(loopback: LinkState, to list: inout Leftovers) {
        var attributes = LinkAttributes(index: loopback.link.index)
        attributes.alias = ""
        let ownership = list.world.ownership
        let name =
            loopback.link.alias.map { String(ownership.mark(in: $0).dropFirst(ownership.aliasPrefix.count)) } ?? "lo"
        list.add(
            loopback.place, key: InterfaceKeys.key(name),
            "loopback lo\(loopback.namespace.reference.suffix)", .setLink(attributes), in: loopback.namespace)
    }

    /// One removal for each link; the last one carries the operation that removes them all, since many links go at the
    /// price of one when they go together.
    private static func append(_ links: [LinkState], in state: NamespaceState, to list: inout Leftovers) {
        let world = list.world
        let doomed = links.filter { link in
            // An end whose pair goes with a namespace we handled before is gone by then.
            !(link.link.kind == .veth && list.vanishing.contains(ObjectIdentifier(link)))
        }.sorted { $0.link.index < $1.link.index }
        for link in doomed {
            list.vanishing.insert(ObjectIdentifier(link))
            if let peer = world.peer(of: link) { list.vanishing.insert(ObjectIdentifier(peer)) }
        }
        for link in doomed {
            let operations =
                link === doomed.last
                ? [
                    LinuxOperation(
                        state,
                        .deleteLinks(
                            doomed.map(\.link.index), wholeGroup: isWholeGroup(doomed, in: state, list.vanishing, world)
                        ))
                ] : []
            list.add(
                link.place, key: key(of: link, world),
                "\(link.link.kind.name) \(link.link.name)\(state.reference.suffix)", operations)
        }
    }

    /// Whether every link of our group in the namespace goes, so that the group can go as it is. Not worth a look at all
    /// links when few go.
    private static func isWholeGroup(
        _ doomed: [LinkState], in state: NamespaceState, _ vanishing: Set<ObjectIdentifier>, _ world: LinuxWorld
    ) -> Bool {
        let group = world.ownership.linkGroup
        // Of a namespace that is looked at for some links alone, others of the group are not known.
        if state.visitors != nil { return false }
        return world.ownership.extent == .namespaces && doomed.count > 4 && doomed.allSatisfy { $0.link.group == group }
            && state.links.values.allSatisfy { $0.link.group != group || vanishing.contains(ObjectIdentifier($0)) }
    }

    private static func key(of state: LinkState, _ world: LinuxWorld) -> Key {
        guard let alias = state.link.alias, world.ownership.owns(alias: alias) else { return "link \(state.link.name)" }
        var name = world.ownership.mark(in: alias).dropFirst(world.ownership.aliasPrefix.count)
        if state.link.kind == .veth, let slash = name.firstIndex(of: "/") { name = name[..<slash] }
        return InterfaceKeys.key(String(name))
    }

    // MARK: - Ports and members

    private static func appendMaster(of link: LinkState, to list: inout Leftovers) {
        let world = list.world
        guard link.link.master != 0, !world.isClaimed(link.masterClaim),
            !world.ownership.belongsToAnother(alias: link.link.alias), isConfigured(link, world),
            let master = link.namespace.links[link.link.master], world.ownership.owns(alias: master.link.alias)
        else { return }
        let (state, name) = (link.namespace, link.link.name)
        list.add(
            Place(state, .master(link.link.index)),
            key: "linux/interface/\(name)/master/\(master.link.name)\(state.reference.suffix)",
            "membership of \(name) in \(master.link.name)\(state.reference.suffix)",
            link.operations(toJoin: nil, up: link.link.isUp))
    }

    /// Whether a link is ours, or an existing one whose whole configuration is declared.
    static func isConfigured(_ link: LinkState, _ world: LinuxWorld) -> Bool {
        if world.ownership.owns(alias: link.link.alias) { return true }
        // Claimed, and not ours: a value of type EXISTING has it.
        guard world.isClaimed(link.claim) else { return false }
        let names = [link.link.name] + link.link.altNames
        return link.namespace.references.contains { reference in
            names.contains { world.declarations.interfaces(named: $0, in: reference).contains { !$0.linkOnly } }
        }
            || link.holder.flatMap { world.declarations.interfaces[$0] }.map { declared in
                declared.value.match != nil && !declared.value.linkOnly && declared.link(in: world) === link
            } ?? false
    }
}

extension LinuxWorld {
    /// The other end of a veth pair, when it is ours.
    func peer(of state: LinkState) -> LinkState? {
        guard state.link.kind == .veth else { return nil }
        if state.link.linkNamespaceID == nil, let peer = state.namespace.links[state.link.link] { return peer }
        guard let alias = state.link.alias, ownership.owns(alias: alias) else { return plannedPeers[state.link.index] }
        if ownership.extent == .links {
            return declarations.interface(alias: alias)?.kind.peer.flatMap { link(of: $0) }
                ?? plannedPeers[state.link.index]
        }
        let names = ownership.mark(in: alias).dropFirst(ownership.aliasPrefix.count)
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
        if let interface = declarations.interface(alias: alias) {
            return byReference[interface.namespace]?.ownedLinks[alias]
        }
        // One index for all that is looked for, instead of a look into every namespace for each.
        if aliasIndex == nil {
            var index: [String: LinkState] = [:]
            for state in states { index.merge(state.ownedLinks) { first, _ in first } }
            aliasIndex = index
        }
        guard let link = aliasIndex?[alias], link.namespace.ownedLinks[alias] === link else { return nil }
        return link
    }
}
