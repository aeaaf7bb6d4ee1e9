internal import Netlink
internal import NetworkTypes
internal import Reconciler

/// Permanent neighbours and proxy entries with our protocol number, and the mark of namespaces that have any.
enum NeighbourClass: KernelClass {
    static func dump(
        _ state: NamespaceState, _ socket: RouteSocket, _ world: LinuxWorld, into dump: inout NamespaceDump
    ) throws(KernelError) {
        // The kernel walks the neighbours of all namespaces for each dump of them.
        guard dump.routes.contains(where: { RouteID($0) == world.neighbourMarkID }) else { return }
        for isProxy in [false, true] {
            for case .neighbour(let neighbour) in try socket.dump(.neighbours(proxy: isProxy))
            where neighbour.proto == world.ownership.proto { dump.neighbours.append(neighbour) }
        }
    }

    static func takeIn(
        _ dump: NamespaceDump, _ state: NamespaceState, former: NamespaceState.Contents, _ world: LinuxWorld
    ) {
        for neighbour in dump.neighbours {
            guard let link = state.links[neighbour.linkIndex] else { continue }
            var entry = NeighbourState(neighbour: neighbour)
            if let old = former.links[neighbour.linkIndex], let position = old.position(of: neighbour) {
                entry.claim = old.neighbours[position].claim
            }
            link.neighbours.append(entry)
            state.neighbourCount += 1
        }
    }

    // MARK: - Changes

    /// An entry is there, like this.
    static func put(_ neighbour: Neighbour, in state: NamespaceState, _ world: LinuxWorld) {
        guard let link = state.links[neighbour.linkIndex] else { return }
        let position = link.position(of: neighbour)
        if let position, world.cause == .told, link.neighbours[position].neighbour == neighbour { return }
        if position == nil, neighbour.proto != world.ownership.proto { return }
        world.journals.remember(link: neighbour.linkIndex, in: state, isItself: false)
        let claim = world.cause == .planned ? world.plannedClaim : position.map { link.neighbours[$0].claim } ?? Claim()
        let entry = NeighbourState(neighbour: neighbour, claim: claim)
        if let position {
            link.neighbours[position] = entry
        } else {
            link.neighbours.append(entry)
            state.neighbourCount += 1
        }
        world.concern(link.link.name, in: state)
    }

    /// An entry is gone.
    static func remove(_ neighbour: Neighbour, in state: NamespaceState, _ world: LinuxWorld) {
        guard let link = state.links[neighbour.linkIndex], let position = link.position(of: neighbour) else { return }
        world.journals.remember(link: neighbour.linkIndex, in: state, isItself: false)
        link.neighbours.remove(at: position)
        state.neighbourCount -= 1
        world.concern(link.link.name, in: state)
    }

    /// Entries go with something else: the kernel drops permanent ones with the rest.
    static func lose(of link: LinkState, _ world: LinuxWorld, _ isGone: (Neighbour) -> Bool) {
        if !link.neighbours.contains(where: { isGone($0.neighbour) }) { return }
        world.journals.remember(link: link.link.index, in: link.namespace, isItself: false)
        let before = link.neighbours.count
        link.neighbours.removeAll { entry in
            guard isGone(entry.neighbour) else { return false }
            world.lose(entry.claim)
            return true
        }
        link.namespace.neighbourCount -= before - link.neighbours.count
    }

    // MARK: - Leftovers

    static func appendLeftovers(_ turn: Turn, in states: [NamespaceState], to list: inout Leftovers) {
        if turn != .last { return }
        for state in states where !list.goes(state) {
            if state.neighbourCount == 0, state.routes[list.world.neighbourMarkID] == nil { continue }
            var rest = state.neighbourCount
            for link in state.links.values.sorted(by: { $0.link.index < $1.link.index })
            where !list.world.ownership.belongsToAnother(alias: link.link.alias) {
                for entry in link.neighbours where append(entry, of: link, to: &list) { rest -= 1 }
            }
            if rest == 0 { appendMark(of: state, to: &list) }
        }
    }

    static func appendLeftovers(_ turn: Turn, at places: [Place], to list: inout Leftovers) {
        if turn != .last { return }
        var rests: [Int: Int] = [:]
        for place in places {
            guard let state = list.world.states[place.namespace], !list.goes(state) else { continue }
            // With a link its neighbours went, perhaps the last ones.
            if rests[state.id] == nil, state.routes[list.world.neighbourMarkID] != nil {
                rests[state.id] = state.neighbourCount
            }
            guard case .neighbour(let index, let destination, let isProxy) = place.object,
                let link = state.links[index],
                let position = link.position(ofNeighbour: destination, isProxy: isProxy)
            else { continue }
            if append(link.neighbours[position], of: link, to: &list) { rests[state.id]? -= 1 }
        }
        for (id, rest) in rests where rest == 0 {
            if let state = list.world.states[id] { appendMark(of: state, to: &list) }
        }
    }

    /// Returns whether the entry is left over.
    private static func append(_ entry: NeighbourState, of link: LinkState, to list: inout Leftovers) -> Bool {
        guard !list.world.isClaimed(entry.claim), entry.neighbour.proto == list.world.ownership.proto else {
            return false
        }
        let (state, neighbour) = (link.namespace, entry.neighbour)
        let (name, place) = (link.link.name, state.reference.suffix)
        list.add(
            neighbour.place(on: link), key: "\(NeighbourKeys.prefix)\(name)/\(neighbour.destination)\(place)",
            "neighbour \(neighbour.destination) dev \(name)\(place)", .deleteNeighbour(neighbour), in: state)
        return true
    }

    private static func appendMark(of state: NamespaceState, to list: inout Leftovers) {
        let id = list.world.neighbourMarkID
        guard let mark = state.routes[id] else { return }
        let place = state.reference.suffix
        list.add(
            Place(state, .route(id)), key: "\(RouteKeys.prefix)\(id.destination)/\(place)",
            "mark of neighbours\(place)", .deleteRoute(mark.route), in: state, isInternal: true)
    }

    // MARK: - The way back

    static func restore(_ step: Restoration.Step, _ restoration: inout Restoration) {
        if step != .mend { return }
        for (state, part) in restoration.parts {
            for (index, old) in part.links.sorted(by: { $0.key < $1.key }) {
                guard let old, let link = state.links[restoration.current(index, in: state)] else { continue }
                restore(link, to: old.neighbours, &restoration)
            }
        }
    }

    private static func restore(_ link: LinkState, to old: [Neighbour], _ restoration: inout Restoration) {
        let id = link.namespace.id
        for entry in link.neighbours where !old.contains(where: { $0.isSameEntry(as: entry.neighbour) }) {
            restoration.add(.request(.deleteNeighbour(entry.neighbour)), in: id)
        }
        for var neighbour in old
        where !link.neighbours.contains(where: {
            $0.neighbour.isSameEntry(as: neighbour) && $0.neighbour.mac == neighbour.mac
        }) {
            neighbour.linkIndex = link.link.index
            restoration.add(.request(.addNeighbour(neighbour, replace: true)), in: id)
        }
    }
}

extension Neighbour {
    /// Whether the kernel takes both for the same entry.
    func isSameEntry(as other: Neighbour) -> Bool {
        destination == other.destination && (flags ^ other.flags) & Neighbour.proxy == 0
    }

    func place(on link: LinkState) -> Place {
        Place(
            link.namespace, .neighbour(link.link.index, destination, isProxy: flags & Neighbour.proxy != 0))
    }
}

extension LinkState {
    /// Where the entry that the kernel takes for the same is in the list.
    func position(of neighbour: Neighbour) -> Int? {
        neighbours.firstIndex { $0.neighbour.isSameEntry(as: neighbour) }
    }
}
