internal import Model
internal import Netlink
internal import NetworkTypes
internal import Reconciler

/// Forwarding entries with our mark.
///
/// The kernel keeps no protocol number with them. What it keeps is `NTF_STICKY`: in a bridge it does what a declared entry is
/// for, in a VXLAN it does nothing. Routing daemons set it only beside `NTF_EXT_LEARNED`.
enum ForwardingClass: KernelClass {
    static let mark = ForwardingEntry.sticky

    static func isMarked(_ entry: ForwardingEntry) -> Bool {
        entry.flags & mark != 0 && entry.flags & ForwardingEntry.externallyLearned == 0
            && (!entry.isOfBridge || entry.state & ForwardingEntry.static != 0)
    }

    static func dump(
        _ state: NamespaceState, _ socket: RouteSocket, _ world: LinuxWorld, into dump: inout NamespaceDump
    ) throws(KernelError) {
        // Other links have none.
        guard dump.links.contains(where: { $0.port != nil || $0.kind.isOf(VXLANAttributes.self) }) else { return }
        for case .forwarding(let entry) in try socket.dump(.forwarding) where isMarked(entry) {
            dump.forwarding.append(entry)
        }
    }

    static func takeIn(
        _ dump: NamespaceDump, _ state: NamespaceState, former: NamespaceState.Contents, _ world: LinuxWorld
    ) {
        for entry in dump.forwarding {
            guard let link = state.links[entry.linkIndex] else { continue }
            let place = ForwardingPlace(entry)
            let claim = former.links[entry.linkIndex]?.forwarding[place]?.claim
            link.forwarding[place] = ForwardingState(entry: entry, claim: claim ?? Claim())
        }
    }

    // MARK: - Changes

    /// An entry is there, like this.
    static func put(_ entry: ForwardingEntry, in state: NamespaceState, _ world: LinuxWorld) {
        guard let link = state.links[entry.linkIndex] else { return }
        let place = ForwardingPlace(entry)
        let known = link.forwarding[place]
        leaveOtherPorts(entry, link, world)
        if !isMarked(entry), world.cause == .told {
            // Somebody's entry may have taken the place of ours.
            if known != nil { remove(entry, in: state, world) }
            return
        }
        if world.cause == .told, known?.entry == entry { return }
        world.journals.remember(link: entry.linkIndex, in: state, isItself: false)
        let claim = world.cause == .planned ? world.plannedClaim : known?.claim ?? Claim()
        link.forwarding[place] = ForwardingState(entry: entry, claim: claim)
        concern(entry, of: link, world)
    }

    /// Marks values for a check, when the kernel reported an entry: for a bridge those of the same address, as one of
    /// another port may wait for the place; else those of the link.
    private static func concern(_ entry: ForwardingEntry, of link: LinkState, _ world: LinuxWorld) {
        guard entry.isOfBridge else { return world.concern(link.link.name, in: link.namespace) }
        if world.cause == .told { world.declarations.addKeys(forwarding: entry.mac, to: &world.told.keys) }
    }

    /// A bridge has an entry once: an entry for one port is gone from every other port.
    private static func leaveOtherPorts(_ entry: ForwardingEntry, _ link: LinkState, _ world: LinuxWorld) {
        // What a bridge learned gives way to ours.
        guard entry.isOfBridge, entry.state & ForwardingEntry.static != 0 || entry.flags & mark != 0 else { return }
        let place = ForwardingPlace(entry)
        for other in link.otherPorts where other.forwarding[place] != nil {
            world.journals.remember(link: other.link.index, in: other.namespace, isItself: false)
            let claim = other.forwarding.removeValue(forKey: place)?.claim
            concern(entry, of: other, world)
            if let claim, world.cause == .planned { world.lose(claim) }
            loseCopies(of: entry, for: link, on: other, world)
        }
    }

    /// With a bridge's entry for all VLANs one for each VLAN of its port goes, which the kernel tells. Source: `br_fdb_add` and
    /// `br_fdb_delete`, net/bridge/br_fdb.c.
    private static func loseCopies(
        of entry: ForwardingEntry, for port: LinkState, on link: LinkState, _ world: LinuxWorld
    ) {
        guard world.cause == .planned, entry.isOfBridge, entry.vlan == 0, link.forwarding.count > 0 else { return }
        for range in BridgeVLANClass.known(of: port).ranges {
            for vlan in range.first...range.last {
                var copy = entry
                copy.vlan = vlan
                if let lost = link.forwarding.removeValue(forKey: ForwardingPlace(copy)) { world.lose(lost.claim) }
            }
        }
    }

    /// An entry is gone.
    static func remove(_ entry: ForwardingEntry, in state: NamespaceState, _ world: LinuxWorld) {
        let place = ForwardingPlace(entry)
        guard let link = state.links[entry.linkIndex] else { return }
        concern(entry, of: link, world)
        guard let known = link.forwarding[place]?.entry else { return }
        // A report about a replaced destination does not concern the present entry.
        if world.cause == .told, isMarked(entry), known.destination != entry.destination { return }
        world.journals.remember(link: entry.linkIndex, in: state, isItself: false)
        link.forwarding[place] = nil
        loseCopies(of: entry, for: link, on: link, world)
    }

    /// Looks for somebody else's entry in the place of one that is wanted, which would go without a word, and takes it into the
    /// picture until it has gone.
    ///
    /// - Returns: the link that it leads to.
    static func stranger(at entry: ForwardingEntry, of link: LinkState, _ world: LinuxWorld) -> LinkState? {
        let state = link.namespace
        // Of several for one address each has a place of its own.
        let holder = entry.isOfBridge ? link.link.master : link.link.index
        guard !entry.isOneOfSeveral, holder > 0, state.handle != nil,
            // A kernel before Linux 5.0 can't be asked for one.
            let found = try? world.routeSocket(state).forwarding(entry.mac, vlan: entry.vlan, of: holder),
            found.isOfBridge == entry.isOfBridge, !found.isLearned, !isMarked(found),
            let place = state.links[found.linkIndex]
        else { return nil }
        // What is noted of its link may be from before it was seen.
        world.journals.remember(stranger: found, in: state)
        place.forwarding[ForwardingPlace(found)] = ForwardingState(entry: found)
        return place
    }

    /// A link leaves its bridge, whose entries for it go.
    static func loseOfBridge(_ link: LinkState, _ world: LinuxWorld) {
        let lost = link.forwarding.filter { $0.key.isOfBridge }
        if lost.isEmpty { return }
        world.journals.remember(link: link.link.index, in: link.namespace, isItself: false)
        for (place, state) in lost {
            link.forwarding[place] = nil
            world.lose(state.claim)
        }
    }

    // MARK: - Leftovers

    static func appendLeftovers(_ turn: Turn, in states: [NamespaceState], to list: inout Leftovers) {
        if turn != .last { return }
        let ownership = list.world.ownership
        for state in states where !list.goes(state) {
            for link in state.links.values.sorted(by: { $0.link.index < $1.link.index }) where !link.forwarding.isEmpty
            {
                // What others have on links of theirs may look like ours.
                let bridge = state.links[link.link.master]?.link.alias
                for entry in link.sortedForwarding
                where ownership.owns(alias: link.link.alias) || entry.entry.isOfBridge && ownership.owns(alias: bridge)
                {
                    append(entry, of: link, to: &list)
                }
            }
        }
    }

    static func appendLeftovers(_ turn: Turn, at places: [Place], to list: inout Leftovers) {
        if turn != .last { return }
        for place in places {
            guard case .forwarding(let index, let object) = place.object,
                let state = list.world.states[place.namespace], !list.goes(state), let link = state.links[index],
                let entry = link.forwarding[object]
            else { continue }
            append(entry, of: link, to: &list)
        }
    }

    private static func append(_ state: ForwardingState, of link: LinkState, to list: inout Leftovers) {
        if list.world.isClaimed(state.claim) || !isMarked(state.entry) || isBrought(state.entry, of: link, list.world) {
            return
        }
        let (entry, name, place) = (state.entry, link.link.name, link.namespace.reference.suffix)
        list.add(
            Place(link.namespace, .forwarding(link.link.index, ForwardingPlace(entry))),
            key: "\(ForwardingKeys.prefix)\(name)/\(entry.mac)/\(entry.end)\(place)",
            "forwarding entry \(entry.mac) dst \(entry.end) dev \(name)\(place)", .deleteForwarding(entry),
            in: link.namespace)
    }

    /// Whether the kernel made it with something that is declared: with an entry for all VLANs one for each, and with a VXLAN
    /// the way to its other end. Source: `br_fdb_add`, net/bridge/br_fdb.c; `vxlan_fdb_update`, drivers/net/vxlan.
    private static func isBrought(_ entry: ForwardingEntry, of link: LinkState, _ world: LinuxWorld) -> Bool {
        if entry.isOfBridge {
            var whole = entry
            whole.vlan = 0
            guard entry.vlan != 0, let known = link.forwarding[ForwardingPlace(whole)] else { return false }
            return world.isClaimed(known.claim)
        }
        return entry.mac.isZero && entry.destination == link.link.kind[VXLANAttributes.self]?.remote
    }

    // MARK: - The way back

    static func restore(_ step: Restoration.Step, _ restoration: inout Restoration) {
        if step != .finish { return }
        for (state, part) in restoration.parts {
            for (index, old) in part.links.sorted(by: { $0.key < $1.key }) {
                guard let old, let link = state.links[restoration.current(index, in: state)] else { continue }
                restore(link, to: old.forwarding, &restoration)
            }
        }
    }

    private static func restore(_ link: LinkState, to old: [ForwardingEntry], _ restoration: inout Restoration) {
        let id = link.namespace.id
        let places = Set(old.map(ForwardingPlace.init))
        for entry in link.sortedForwarding where !places.contains(ForwardingPlace(entry.entry)) {
            restoration.add(.request(.deleteForwarding(entry.entry)), in: id)
        }
        for var entry in old {
            entry.linkIndex = link.link.index
            if link.forwarding[ForwardingPlace(entry)]?.entry == entry { continue }
            restoration.add(.request(.addForwarding(entry)), in: id)
        }
    }

    // MARK: - Export

    static func export(_ state: NamespaceState, to export: inout Export) {
        for link in state.links.values.sorted(by: { $0.link.index < $1.link.index }) {
            let remotes = Set(remotes(of: link))
            for entry in link.sortedForwarding.map(\.entry) where isMarked(entry) {
                if entry.isPlainRemote, let remote = entry.destination, remotes.contains(remote) { continue }
                var message = Nsmagent_Linux_ForwardingEntry()
                message.interface = export.name(of: link)
                message.mac = "\(entry.mac)"
                message.vlan = UInt32(entry.vlan)
                message.dst = entry.destination.map { "\($0)" } ?? ""
                message.port = UInt32(entry.port ?? 0)
                if let vni = entry.vni { message.vni = vni }
                export.others.append(.forwarding(message))
            }
        }
    }

    /// The other ends that are part of a VXLAN of ours.
    static func remotes(of link: LinkState) -> [IPAddress] {
        guard let vxlan = link.link.kind[VXLANAttributes.self], vxlan.remote == nil else { return [] }
        return link.sortedForwarding.map(\.entry).filter(\.isPlainRemote).compactMap(\.destination)
    }
}

extension LinkState {
    /// The other ports of the bridge that it is a port of.
    var otherPorts: [LinkState] {
        if link.master == 0 { return [] }
        return namespace.uppers(of: link.master).filter { $0.link.master == link.master && $0 !== self }
    }

    /// In an order that is the same each time.
    fileprivate var sortedForwarding: [ForwardingState] {
        if forwarding.count < 2 { return Array(forwarding.values) }
        return forwarding.values.sorted {
            ($0.entry.mac.bits, $0.entry.vlan, $0.entry.end) < ($1.entry.mac.bits, $1.entry.vlan, $1.entry.end)
        }
    }
}

extension ForwardingEntry {
    /// Whether it only names another end.
    fileprivate var isPlainRemote: Bool { mac.isZero && !isOfBridge && port == nil && vni == nil }
}
