internal import Netlink
internal import NetworkTypes
internal import Reconciler

/// Addresses: with them go their secondary addresses, and routes that prefer or need them.
enum AddressClass: KernelClass {
    static func dump(
        _ state: NamespaceState, _ socket: RouteSocket, _ world: LinuxWorld, into dump: inout NamespaceDump
    ) throws(KernelError) {
        dump.addresses = try socket.addresses()
    }

    static func takeIn(
        _ dump: NamespaceDump, _ state: NamespaceState, former: NamespaceState.Contents, _ world: LinuxWorld
    ) {
        for address in dump.addresses {
            guard let link = state.links[address.linkIndex] else { continue }
            var entry = AddressState(address: address)
            if let old = former.links[address.linkIndex],
                let position = old.position(of: address.local, peer: address.peer)
            {
                entry.claim = old.addresses[position].claim
            }
            link.addresses.append(entry)
        }
    }

    // MARK: - Changes

    /// An address is there, like this.
    static func put(_ address: Address, in state: NamespaceState, _ world: LinuxWorld) {
        guard let link = state.links[address.linkIndex] else { return }
        world.journals.remember(link: address.linkIndex, in: state, isItself: false)
        let position = link.addresses.firstIndex { $0.address.isSameAddress(as: address) }
        switch world.cause {
        case .planned:
            var address = address
            // It gets no lifetime.
            address.flags |= Address.permanent
            if let position { link.addresses.remove(at: position) }
            if link.hasPrimary(inNetworkOf: address) { address.flags |= Address.secondary }
            link.addresses.append(AddressState(address: address, claim: world.plannedClaim))
            if address.flags & Address.secondary == 0, position == nil || address.local.family == .v6 {
                link.lostNetworks.remove(address.network)
            }
        case .told:
            if let position {
                let old = link.addresses[position].address
                link.addresses[position].address = address
                let proto = world.ownership.proto
                if old.proto == proto, address.proto != proto { link.addresses[position].wasOurs = true }
                // Ours was planned before; routes that wait for it hear of it now.
                if old.proto == proto { world.tellRoutes(from: address.local.address, in: state) }
                // What the kernel makes of an address by itself concerns nobody here.
                let concerning = Address.dadFailed | Address.deprecated | Address.permanent | Address.noPrefixRoute
                let isAlike = (old.flags ^ address.flags) & concerning == 0 && old.proto == address.proto
                if isAlike, old.label == address.label { return }
            } else {
                link.addresses.append(AddressState(address: address))
                world.tellRoutes(from: address.local.address, in: state)
            }
            world.concern(link.link.name, in: state)
        }
    }

    /// An address is gone.
    static func remove(_ address: Address, in state: NamespaceState, _ world: LinuxWorld) {
        guard let link = state.links[address.linkIndex],
            let index = link.addresses.firstIndex(where: { $0.address.isSameAddress(as: address) })
        else { return }
        world.journals.remember(link: address.linkIndex, in: state, isItself: false)
        world.concern(link.link.name, in: state)
        if world.cause == .told { world.tellRoutes(from: address.local.address, in: state) }
        let gone = link.addresses.remove(at: index).address
        let isOurs = gone.proto == world.ownership.proto
        // One of others in the same network keeps it, or is put back.
        let isKept = link.addresses.contains {
            $0.address.proto != world.ownership.proto && $0.address.network == gone.network
        }
        if world.cause == .planned, isOurs, !isKept { link.goingNetworks.insert(gone.network) }
        world.endanger(isOurs ? .routes : [.addresses, .routes], on: link, source: gone.local.address)
        RouteClass.lose(from: gone.local.address, of: link, world)
        guard gone.local.family == .v4 else { return }
        // The other addresses of the network go with their primary address; the kernel tells of each.
        if world.cause == .planned, gone.flags & Address.secondary == 0 {
            lose(of: link, world) {
                $0.flags & Address.secondary != 0 && $0.local.network == gone.local.network
            }
        }
        // It drops routes with the last address without a word.
        if !link.addresses.contains(where: { $0.address.local.family == .v4 }) {
            world.endanger([.routes, .neighboursV4], on: link)
            link.onLink = nil
            for id in link.routes where id.destination.family == .v4 { RouteClass.lose(id, in: state, world) }
            NeighbourClass.lose(of: link, world) { $0.destination.family == .v4 }
        }
    }

    /// Addresses go with something else.
    static func lose(of link: LinkState, _ world: LinuxWorld, _ isGone: (Address) -> Bool) {
        if !link.addresses.contains(where: { isGone($0.address) }) { return }
        world.journals.remember(link: link.link.index, in: link.namespace, isItself: false)
        var gone: [IPAddress] = []
        var kept: Set<IPPrefix> = []
        link.addresses.removeAll { entry in
            guard isGone(entry.address) else { return false }
            gone.append(entry.address.local.address)
            if entry.address.proto != world.ownership.proto {
                kept.insert(entry.address.network)
                world.endanger(.addresses, on: link, source: entry.address.local.address)
            } else if world.cause == .planned {
                link.goingNetworks.insert(entry.address.network)
            }
            world.lose(entry.claim)
            return true
        }
        link.goingNetworks.subtract(kept)
        for source in gone { RouteClass.lose(from: source, of: link, world) }
    }

    // MARK: - Leftovers

    static func appendLeftovers(_ turn: Turn, in states: [NamespaceState], to list: inout Leftovers) {
        if turn != .last { return }
        for state in states where !list.goes(state) {
            for link in state.links.values.sorted(by: { $0.link.index < $1.link.index })
            where !list.world.ownership.belongsToAnother(alias: link.link.alias) {
                for entry in link.addresses { append(entry, of: link, to: &list) }
            }
        }
    }

    static func appendLeftovers(_ turn: Turn, at places: [Place], to list: inout Leftovers) {
        if turn != .last { return }
        for place in places {
            guard case .address(let index, let local, let peer) = place.object,
                let state = list.world.states[place.namespace], !list.goes(state), let link = state.links[index],
                let position = link.position(of: local, peer: peer)
            else { continue }
            append(link.addresses[position], of: link, to: &list)
        }
    }

    private static func append(_ entry: AddressState, of link: LinkState, to list: inout Leftovers) {
        let address = entry.address
        if list.world.isClaimed(entry.claim) || address.proto != list.world.ownership.proto { return }
        let (name, place) = (link.link.name, link.namespace.reference.suffix)
        list.add(
            Place(link.namespace, .address(link.link.index, address.local, peer: address.peer)),
            key: "linux/interface/\(name)/address/static/\(address.local)\(place)",
            "address \(address.local) dev \(name)\(place)", .deleteAddress(address), in: link.namespace)
    }

    // MARK: - The way back

    static func restore(_ step: Restoration.Step, _ restoration: inout Restoration) {
        if step != .mend { return }
        let proto = restoration.world.ownership.proto
        for (state, part) in restoration.parts {
            for (index, old) in part.links.sorted(by: { $0.key < $1.key }) {
                guard let old, let link = state.links[restoration.current(index, in: state)] else { continue }
                for entry in link.addresses
                where entry.address.proto == proto
                    && !old.addresses.contains(where: { $0.isSameAddress(as: entry.address) })
                {
                    restoration.add(.request(.deleteAddress(entry.address)), in: state.id)
                }
                for address in old.addresses where address.proto == proto { restore(address, on: link, &restoration) }
            }
        }
    }

    private static func restore(_ old: Address, on link: LinkState, _ restoration: inout Restoration) {
        let now = link.addresses.first { $0.address.isSameAddress(as: old) }?.address
        if let now, !now.isFixed(unlike: old), (now.flags ^ old.flags) & Address.chosen == 0 { return }
        var address = old
        address.linkIndex = link.link.index
        address.flags &= Address.noDAD | Address.chosen
        if let now, now.local.family == .v4, now.isFixed(unlike: old) {
            restoration.add(.request(.deleteAddress(now)), in: link.namespace.id)
        }
        restoration.add(.request(.addAddress(address, replace: true)), in: link.namespace.id)
    }

    // MARK: - Export

    static func export(_ state: NamespaceState, to export: inout Export) {
        // Addresses are part of the interface they are on.
    }
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

extension LinuxWorld {
    /// A report about an address concerns routes of the namespace that prefer it.
    fileprivate func tellRoutes(from source: IPAddress, in state: NamespaceState) {
        guard declarations.hasSources else { return }
        for reference in state.references { declarations.addKeys(from: source, in: reference, state, to: &told.keys) }
    }
}
