internal import Netlink
internal import NetworkTypes
internal import Reconciler

/// The way back: what the kernel looked like before a transaction, and what leads there again.
extension LinuxWorld {
    /// What our namespaces looked like at some time.
    public struct Snapshot {
        struct Part {
            var state: NamespaceState
            var links: [Int32: LinkPart]
            var routes: [RouteID: Route]
            var rules: Set<Rule>
        }

        struct LinkPart {
            var link: Link
            var isOurs: Bool
            var addresses: [Address]
            var neighbours: [Neighbour]
            var peer: (namespace: Int, index: Int32)?
            /// The interface below, when it is in another namespace.
            var below: (namespace: Int, index: Int32)?
        }

        var parts: [Int: Part]
    }

    /// What is known of every namespace now.
    public func snapshot() -> Snapshot {
        var parts: [Int: Snapshot.Part] = [:]
        for state in states where state.handle != nil {
            let links = state.links.mapValues { link in
                Snapshot.LinkPart(
                    link: link.link, isOurs: ownership.owns(alias: link.link.alias),
                    addresses: link.addresses.map(\.address), neighbours: link.neighbours.map(\.neighbour),
                    peer: peer(of: link).map { ($0.namespace.id, $0.link.index) }, below: below(link))
            }
            parts[state.id] = Snapshot.Part(
                state: state, links: links, routes: state.routes.mapValues(\.route), rules: Set(state.rules.keys))
        }
        return Snapshot(parts: parts)
    }

    private func below(_ link: LinkState) -> (namespace: Int, index: Int32)? {
        guard link.link.kind != .veth, ownership.owns(alias: link.link.alias), let number = link.link.linkNamespaceID,
            let namespace = namespace(numbered: number, seenFrom: link.namespace)
        else { return nil }
        if case .vxlan(let attributes) = link.link.kind { return (namespace.id, attributes.link) }
        return (namespace.id, link.link.link)
    }

    /// What leads from the picture of now to an earlier one, as far as we may touch things.
    public func operations(toRestore snapshot: Snapshot) -> [LinuxOperation] {
        var plan = Restoration(world: self, snapshot: snapshot)
        plan.makeLostNamespaces()
        plan.removeNewLinks()
        plan.makeLostLinks()
        for part in plan.parts {
            plan.restoreLinks(part)
            plan.restoreRoutes(part)
        }
        plan.removeNewNamespaces()
        return plan.operations
    }
}

/// Collects the operations of a way back.
private struct Restoration {
    let world: LinuxWorld
    let snapshot: LinuxWorld.Snapshot
    /// Namespaces that are made again, by the number they had.
    private var places: [Int: NamespaceState] = [:]
    private(set) var operations: [LinuxOperation] = []
    /// Negative indexes of links that are made again, by namespace and former index.
    private var remade: [Int: [Int32: Int32]] = [:]

    init(world: LinuxWorld, snapshot: LinuxWorld.Snapshot) {
        self.world = world
        self.snapshot = snapshot
    }

    private mutating func add(_ action: LinuxOperation.Action, in namespace: Int) {
        let operation = LinuxOperation(namespace: namespace, action: action)
        operations.append(operation)
        world.simulate(operation)
    }

    /// What was, with the namespaces it is in now.
    var parts: [LinuxWorld.Snapshot.Part] {
        snapshot.parts.sorted { $0.key < $1.key }.compactMap { id, part in
            var part = part
            part.state = places[id] ?? part.state
            return places[id] == nil && part.state.handle == nil ? nil : part
        }
    }

    /// Named namespaces that were removed; only those we made ourselves ever are.
    mutating func makeLostNamespaces() {
        guard let own = world.byReference[.own] else { return }
        for (id, part) in snapshot.parts.sorted(by: { $0.key < $1.key }) where part.state.handle == nil {
            guard case .named(let name) = part.state.reference, world.byReference[.named(name)] == nil else { continue }
            add(.createNamespace(name), in: own.id)
            add(.markNamespace(name), in: own.id)
            places[id] = world.byReference[.named(name)]
        }
    }

    mutating func removeNewLinks() {
        for state in world.states where state.handle != nil {
            let known = snapshot.parts[state.id]?.links ?? [:]
            let new = state.links.values.filter { link in
                known[link.link.index] == nil
                    && (world.ownership.owns(alias: link.link.alias) || link.link.group == world.ownership.linkGroup)
            }
            if !new.isEmpty { add(.deleteLinks(new.map(\.link.index)), in: state.id) }
        }
    }

    mutating func makeLostLinks() {
        for part in parts {
            let id = part.state.id
            // What others are built on has the lower index.
            for (index, lost) in part.links.sorted(by: { $0.key < $1.key })
            where lost.isOurs && part.state.links[index] == nil && remade[id]?[index] == nil {
                make(lost, in: part.state)
            }
        }
    }

    private mutating func make(_ lost: LinuxWorld.Snapshot.LinkPart, in state: NamespaceState) {
        let planned = world.nextPlannedIndex()
        remade[state.id, default: [:]][lost.link.index] = planned
        if case .tun(let attributes) = lost.link.kind {
            add(
                .createTUN(name: lost.link.name, attributes, alias: lost.link.alias ?? "", index: planned), in: state.id
            )
            return
        }
        var attributes = LinkAttributes(name: lost.link.name)
        attributes.mtu = lost.link.mtu
        attributes.mac = lost.link.mac
        attributes.group = world.ownership.linkGroup
        attributes.kind = lost.link.kind
        let source = lost.below?.namespace ?? state.id
        if case .vxlan(var vxlan) = lost.link.kind {
            vxlan.link = current(vxlan.link, in: source)
            attributes.kind = .vxlan(vxlan)
        } else if let below = lost.below {
            attributes.link = current(below.index, in: source)
        } else if lost.link.link > 0, lost.link.kind != .veth, lost.link.linkNamespaceID == nil {
            attributes.link = current(lost.link.link, in: source)
        }
        guard let peer = lost.peer, let other = snapshot.parts[peer.namespace]?.links[peer.index],
            let far = places[peer.namespace] ?? snapshot.parts[peer.namespace]?.state
        else {
            let place = LinuxOperation.Action.createLink(
                attributes, index: planned, target: state.id, peerTarget: nil, peerIndex: 0)
            add(place, in: source)
            return
        }
        let plannedPeer = world.nextPlannedIndex()
        remade[far.id, default: [:]][peer.index] = plannedPeer
        attributes.peer = VethPeer(
            name: other.link.name, mtu: other.link.mtu, mac: other.link.mac, group: world.ownership.linkGroup)
        let pair = LinuxOperation.Action.createLink(
            attributes, index: planned, target: state.id, peerTarget: far.id, peerIndex: plannedPeer)
        add(pair, in: state.id)
    }

    private func current(_ index: Int32, in namespace: Int) -> Int32 { remade[namespace]?[index] ?? index }

    mutating func restoreLinks(_ part: LinuxWorld.Snapshot.Part) {
        let id = part.state.id
        for (index, old) in part.links.sorted(by: { $0.key < $1.key }) {
            guard let link = part.state.links[current(index, in: id)] else { continue }
            // What others made is put back only where we changed it.
            let isOurs = old.isOurs || part.state.touched.contains(index)
            if isOurs { restoreAttributes(of: link, to: old.link) }
            for entry in link.addresses
            where entry.address.proto == world.ownership.proto
                && !old.addresses.contains(where: { $0.isSameAddress(as: entry.address) })
            {
                add(.request(.deleteAddress(entry.address)), in: id)
            }
            for var address in old.addresses
            where (isOurs || address.proto == world.ownership.proto) && !address.local.address.isLinkLocal
                && address.flags & Address.permanent != 0
                && !link.addresses.contains(where: { $0.address.isSameAddress(as: address) })
            {
                address.linkIndex = link.link.index
                address.flags &= Address.noDAD
                add(.request(.addAddress(address, replace: true)), in: id)
            }
            restoreNeighbours(of: link, to: old.neighbours)
        }
    }

    private mutating func restoreAttributes(of link: LinkState, to old: Link) {
        let id = link.namespace.id
        if link.link.name != old.name {
            add(.rename(index: link.link.index, from: link.link.name, to: old.name, up: link.link.isUp), in: id)
        }
        let blank = LinkAttributes(index: link.link.index)
        var attributes = blank
        if link.link.alias != old.alias { attributes.alias = old.alias ?? "" }
        if link.link.mtu != old.mtu { attributes.mtu = old.mtu }
        if let mac = old.mac, link.link.mac != mac, link.link.index > 0 { attributes.mac = mac }
        if link.link.group != old.group { attributes.group = old.group }
        if link.link.kind != old.kind, case .bridge = old.kind { attributes.kind = old.kind }
        let master = current(old.master, in: id)
        if link.link.master != master { attributes.master = master }
        if link.link.isUp != old.isUp { attributes.up = old.isUp }
        if attributes != blank { add(.request(.setLink(attributes)), in: id) }
    }

    private mutating func restoreNeighbours(of link: LinkState, to old: [Neighbour]) {
        let id = link.namespace.id
        for entry in link.neighbours where !old.contains(where: { $0.isSameEntry(as: entry.neighbour) }) {
            add(.request(.deleteNeighbour(entry.neighbour)), in: id)
        }
        for var neighbour in old
        where !link.neighbours.contains(where: {
            $0.neighbour.isSameEntry(as: neighbour) && $0.neighbour.mac == neighbour.mac
        }) {
            neighbour.linkIndex = link.link.index
            add(.request(.addNeighbour(neighbour, replace: true)), in: id)
        }
    }

    mutating func restoreRoutes(_ part: LinuxWorld.Snapshot.Part) {
        let state = part.state
        for (id, route) in state.routes where part.routes[id] == nil {
            add(.request(.deleteRoute(route.route)), in: state.id)
        }
        for (id, old) in part.routes {
            var route = old
            for hop in route.nextHops.indices {
                route.nextHops[hop].linkIndex = current(route.nextHops[hop].linkIndex, in: state.id)
            }
            if state.routes[id]?.route != route { add(.request(.addRoute(route, replace: true)), in: state.id) }
        }
        for rule in state.rules.keys where !part.rules.contains(rule) { add(.request(.deleteRule(rule)), in: state.id) }
        for rule in part.rules where state.rules[rule] == nil { add(.request(.addRule(rule)), in: state.id) }
    }

    /// Namespaces that this run made.
    mutating func removeNewNamespaces() {
        guard let own = world.byReference[.own] else { return }
        for state in world.states where state.isMadeByUs && state.handle != nil && snapshot.parts[state.id] == nil {
            if case .named(let name) = state.reference { add(.removeNamespace(name), in: own.id) }
        }
    }
}
