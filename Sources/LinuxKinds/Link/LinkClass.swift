internal import Netlink
internal import NetworkTypes
internal import Reconciler

/// What an operation does to our picture of the kernel, side effects included, so that what the kernel flushes is seen
/// as missing by the values that are assessed next, and put back in the same transaction.
extension LinuxWorld {
    /// Applies the effect of an operation to the picture.
    public func simulate(_ operation: LinuxOperation) {
        guard let state = states[operation.namespace] else { return }
        state.isSimulated = true
        switch operation.action {
        case .request(let request): simulate(request, in: state)
        case .createLink(let attributes, let index, let target, let peerTarget, let peerIndex):
            guard let place = states[target] else { return }
            let peer = peerTarget.flatMap { states[$0] }
            create(attributes, index: index, in: place, peer: peer.map { ($0, peerIndex) })
        case .createTUN(let name, let attributes, let alias, let index):
            if state.links[index] != nil { return }
            let link = Link(
                index: index, name: name, mtu: 1500, alias: alias, group: ownership.linkGroup, kind: .tun(attributes))
            state.insert(LinkState(link, in: state), ownership: ownership)
        case .rename(let index, _, let name, let up):
            guard let link = state.links[index] else { return }
            if up { flushAfterDown(link) }
            var renamed = link.link
            renamed.name = name
            state.update(link, to: renamed, ownership: ownership)
        case .deleteLinks(let indexes, _):
            removeLinks(indexes.compactMap { state.links[$0] })
        case .createNamespace(let name): _ = plan(namespace: name)
        case .markNamespace(let name):
            guard let loopback = byReference[.named(name)]?.linksByName["lo"] else { return }
            loopback.link.group = ownership.namespaceGroup
        case .removeNamespace(let name):
            guard let doomed = byReference[.named(name)] else { return }
            doomed.isDoomed = true
            removeLinks(Array(doomed.links.values))
        case .sysctl, .offload: break
        }
    }

    private func create(
        _ attributes: LinkAttributes, index: Int32, in target: NamespaceState,
        peer: (state: NamespaceState, index: Int32)?
    ) {
        // Values simulate what they plan as they plan it, and the planner does so again.
        if target.links[index] != nil { return }
        target.isSimulated = true
        peer?.state.isSimulated = true
        let kind = attributes.kind ?? .none
        var link = Link(
            index: index, name: attributes.name ?? "", flags: attributes.up == true ? LinkFlags.up : 0,
            mtu: attributes.mtu ?? defaultMTU(of: kind), mac: attributes.mac, master: attributes.master ?? 0,
            link: attributes.link ?? 0, group: attributes.group ?? 0, kind: kind)
        guard let peer, let half = attributes.peer else {
            let made = LinkState(link, in: target)
            target.insert(made, ownership: ownership)
            if link.link < 0 { plannedDependants[link.link, default: []].append(made) }
            return
        }
        link.link = peer.index
        var other = Link(
            index: peer.index, name: half.name, mtu: half.mtu ?? 1500, mac: half.mac, link: index,
            group: half.group ?? 0, kind: .veth)
        if peer.state !== target {
            // Any number will do: it only says that the other end is elsewhere.
            link.linkNamespaceID = 0
            other.linkNamespaceID = 0
        }
        let first = LinkState(link, in: target)
        let second = LinkState(other, in: peer.state)
        target.insert(first, ownership: ownership)
        peer.state.insert(second, ownership: ownership)
        plannedPeers[ObjectIdentifier(first)] = second
        plannedPeers[ObjectIdentifier(second)] = first
    }

    private func defaultMTU(of kind: LinkKind) -> UInt32 {
        if case .vrf = kind { return 65575 }
        return 1500
    }

    private func simulate(_ request: Request, in state: NamespaceState) {
        switch request {
        case .createLink(let attributes, _): create(attributes, index: attributes.index, in: state, peer: nil)
        case .setLink(let attributes): set(attributes, in: state)
        case .deleteLink(let index): removeLinks([state.links[index]].compactMap { $0 })
        case .deleteLinkGroup(let group):
            removeLinks(state.links.values.filter { $0.link.group == group })
        case .addAddress(let address, _): add(address, in: state)
        case .deleteAddress(let address): remove(address, in: state)
        case .addRoute(let route, _):
            state.setRoute(route)
            state.routes[RouteID(route)]?.claim = pass
        case .deleteRoute(let route): state.removeRoute(RouteID(route))
        case .addNeighbour(let neighbour, _):
            guard let link = state.links[neighbour.linkIndex] else { return }
            link.neighbours.removeAll { $0.neighbour.isSameEntry(as: neighbour) }
            link.neighbours.append(NeighbourState(neighbour: neighbour, claim: pass))
        case .deleteNeighbour(let neighbour):
            state.links[neighbour.linkIndex]?.neighbours.removeAll { $0.neighbour.isSameEntry(as: neighbour) }
        case .addRule(let rule): state.rules[rule] = pass
        case .deleteRule(let rule): state.rules[rule] = nil
        }
    }

    private func set(_ attributes: LinkAttributes, in state: NamespaceState) {
        guard let link = state.links[attributes.index] else { return }
        var new = link.link
        if let name = attributes.name { new.name = name }
        if let mtu = attributes.mtu { new.mtu = mtu }
        if let mac = attributes.mac { new.mac = mac }
        if let alias = attributes.alias { new.alias = alias.isEmpty ? nil : alias }
        if let group = attributes.group { new.group = group }
        if let kind = attributes.kind { new.kind = new.kind.merged(with: kind) }
        if let up = attributes.up {
            if link.link.isUp, !up { flushAfterDown(link) }
            new.flags = up ? new.flags | LinkFlags.up : new.flags & ~LinkFlags.up
        }
        if let master = attributes.master, master != new.master {
            // A VRF takes its members down and up again when they come and go.
            let isVRF = [master, new.master].contains { state.links[$0]?.link.kind.isVRF ?? false }
            if isVRF { flushAfterDown(link) }
            new.master = master
            if master < 0 { plannedDependants[master, default: []].append(link) }
        }
        let shrinks = new.mtu < 1280 && link.link.mtu >= 1280
        if new.mac != link.link.mac { loseNeighbours(of: link) { $0.flags & Neighbour.proxy == 0 } }
        state.update(link, to: new, ownership: ownership)
        if shrinks { flushV6(link) }
    }

    /// A link that goes down loses its neighbours, its IPv6 addresses, and the routes that have no other way.
    private func flushAfterDown(_ link: LinkState) {
        let state = link.namespace
        for id in link.routes {
            let hops = state.routes[id]?.route.nextHops ?? []
            let hasOther = hops.contains { hop in
                hop.linkIndex != link.link.index && state.links[hop.linkIndex]?.link.isUp == true
            }
            if !hasOther { lose(id, in: state) }
        }
        loseNeighbours(of: link) { _ in true }
        flushV6(link)
    }

    /// Without IPv6 on the link everything of it goes.
    private func flushV6(_ link: LinkState) {
        link.addresses.removeAll { entry in
            guard entry.address.local.family == .v6 else { return false }
            if disturbance.isAfterValues, entry.claim == pass { disturbance.isNoted = true }
            return true
        }
        loseNeighbours(of: link) { $0.destination.family == .v6 }
        for id in link.routes where id.destination.family == .v6 { lose(id, in: link.namespace) }
    }

    /// The kernel drops permanent neighbours with the rest.
    private func loseNeighbours(of link: LinkState, _ isGone: (Neighbour) -> Bool) {
        link.neighbours.removeAll { entry in
            guard isGone(entry.neighbour) else { return false }
            if disturbance.isAfterValues, entry.claim == pass { disturbance.isNoted = true }
            return true
        }
    }

    /// Removes links, the other ends of their pairs, and what was built on them. One look at each namespace in question,
    /// however many links go.
    func removeLinks(_ links: [LinkState]) {
        var gone: [ObjectIdentifier: (state: NamespaceState, indexes: Set<Int32>)] = [:]
        var hasVRF = false
        for link in links {
            let pair = [link, peer(of: link)].compactMap { $0 }
            for end in pair where end.namespace.links[end.link.index] === end {
                end.namespace.remove(end)
                if end.link.kind.isVRF { hasVRF = true }
                end.namespace.isSimulated = true
                if end.claim == pass { disturbance.isNoted = true }
                gone[ObjectIdentifier(end.namespace), default: (end.namespace, [])].indexes.insert(end.link.index)
            }
        }
        for (state, indexes) in gone.values {
            var onTop: [LinkState] = []
            for other in state.links.values {
                if indexes.contains(other.link.master) {
                    other.link.master = 0
                    // A VRF takes its members down and up when it goes.
                    if hasVRF { flushAfterDown(other) }
                }
                let isAbove = indexes.contains(other.link.link) && other.link.linkNamespaceID == nil
                if isAbove, other.link.kind != .veth { onTop.append(other) }
            }
            if !onTop.isEmpty { removeLinks(onTop) }
        }
    }

    private func add(_ address: Address, in state: NamespaceState) {
        guard let link = state.links[address.linkIndex] else { return }
        link.addresses.removeAll { $0.address.isSameAddress(as: address) }
        var address = address
        if link.hasPrimary(inNetworkOf: address) { address.flags |= Address.secondary }
        link.addresses.append(AddressState(address: address, claim: pass))
    }

    private func remove(_ address: Address, in state: NamespaceState) {
        guard let link = state.links[address.linkIndex],
            let index = link.addresses.firstIndex(where: { $0.address.isSameAddress(as: address) })
        else { return }
        let gone = link.addresses.remove(at: index).address
        let source = gone.local.address
        loseRoutes(from: source, of: link)
        guard gone.local.family == .v4 else { return }
        if gone.flags & Address.secondary == 0 {
            // The other addresses of the network go with their primary address.
            link.addresses.removeAll { other in
                guard other.address.flags & Address.secondary != 0, other.address.local.network == gone.local.network
                else { return false }
                if other.claim == pass { disturbance.isNoted = true }
                return true
            }
        }
        if !link.addresses.contains(where: { $0.address.local.family == .v4 }) {
            for id in link.routes where id.destination.family == .v4 { lose(id, in: state) }
            loseNeighbours(of: link) { $0.destination.family == .v4 }
        }
    }

    /// IPv4 routes of the link's table that prefer the address go with it, wherever they leave; IPv6 routes only forget
    /// it. As long as the address is on another link of the namespace nothing happens.
    private func loseRoutes(from source: IPAddress, of link: LinkState) {
        let state = link.namespace
        let isElsewhere =
            state.links.count > 1 && state.routes.values.contains { $0.route.source == source }
            && state.links.values.contains { other in other.addresses.contains { $0.address.local.address == source } }
        if isElsewhere { return }
        var table: UInt32 = 254
        if case .vrf(let number) = state.links[link.link.master]?.link.kind { table = number }
        for (id, route) in state.routes where route.route.source == source {
            if source.family == .v6 {
                route.route.source = nil
            } else if id.table == table {
                lose(id, in: state)
            }
        }
    }

    /// A route goes without being asked to. As long as values are compared, its own is compared after this.
    private func lose(_ id: RouteID, in state: NamespaceState) {
        if disturbance.isAfterValues, state.routes[id]?.claim == pass { disturbance.isNoted = true }
        state.removeRoute(id)
    }
}

/// Notes that the kernel, on its way, takes along something that a value found in place earlier in the same pass: with a
/// primary address its secondary ones, with the last address of a link the routes of the link.
struct Disturbance {
    var isNoted = false
    /// Whether all values have been compared, and leftovers are being removed.
    var isAfterValues = false
}

extension LinkState {
    /// Whether the kernel would make `address` a secondary one.
    func hasPrimary(inNetworkOf address: Address) -> Bool {
        guard address.local.family == .v4, address.peer == nil else { return false }
        return addresses.contains {
            $0.address.local.network == address.local.network && $0.address.peer == nil
                && $0.address.flags & Address.secondary == 0
        }
    }
}

extension Address {
    /// Whether the kernel takes both for the same address.
    func isSameAddress(as other: Address) -> Bool {
        local.address == other.local.address && peer == other.peer
            && (local.length == other.local.length || local.family == .v6)
    }
}

extension Neighbour {
    /// Whether the kernel takes both for the same entry.
    func isSameEntry(as other: Neighbour) -> Bool {
        destination == other.destination && (flags ^ other.flags) & Neighbour.proxy == 0
    }
}

extension LinkKind {
    var isVRF: Bool {
        if case .vrf = self { true } else { false }
    }

    /// These attributes with those that `change` sets.
    func merged(with change: LinkKind) -> LinkKind {
        guard case .bridge(var attributes) = self, case .bridge(let new) = change else { return change }
        attributes.stpState = new.stpState ?? attributes.stpState
        attributes.vlanFiltering = new.vlanFiltering ?? attributes.vlanFiltering
        attributes.ageingTime = new.ageingTime ?? attributes.ageingTime
        attributes.forwardDelay = new.forwardDelay ?? attributes.forwardDelay
        return .bridge(attributes)
    }
}
