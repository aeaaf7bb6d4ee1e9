internal import Netlink
internal import NetworkTypes
internal import Reconciler

/// Links: what they take along when they go down, change or go.
enum LinkClass: KernelClass {
    static func dump(
        _ state: NamespaceState, _ socket: RouteSocket, _ world: LinuxWorld, into dump: inout NamespaceDump
    ) throws(KernelError) {
        dump.links = try socket.links()
    }

    static func takeIn(
        _ dump: NamespaceDump, _ state: NamespaceState, former: NamespaceState.Contents, _ world: LinuxWorld
    ) {
        for link in dump.links {
            let new = LinkState(link, in: state)
            if let old = former.links[link.index] { (new.claim, new.masterClaim) = (old.claim, old.masterClaim) }
            state.insert(new, ownership: world.ownership)
        }
        state.touched.formIntersection(state.links.keys)
    }

    // MARK: - Changes

    /// A link is there, like this.
    static func put(_ link: Link, in state: NamespaceState, _ world: LinuxWorld) {
        // Events from before its end may still come.
        if world.cause == .told, state.gone.contains(link.index) { return }
        guard let known = state.links[link.index] else {
            world.journals.remember(link: link.index, in: state)
            world.journals.remember(madeLink: link.name, in: state)
            let new = LinkState(link, in: state)
            if world.cause == .planned {
                new.claim = world.plannedClaim
                state.bystanders.make(link)
            }
            state.insert(new, ownership: world.ownership)
            world.concern(link.name, in: state)
            for name in link.altNames { world.concern(name, in: state) }
            // No value is here that would look at it: somebody has moved it.
            if world.cause == .told, isAstray(new, world) { world.told.needsFullPass = true }
            return
        }
        // The only sign of changed offloads is that the kernel reports the link once more.
        if link.group == world.ownership.tunedGroup { world.concern(link.name, in: state) }
        if known.link != link { change(known, to: link, world) }
    }

    /// A bridge keeps this for one of its ports.
    static func put(_ port: BridgePort, of index: Int32, in state: NamespaceState, _ world: LinuxWorld) {
        // For a link that joins or leaves just now, the report of the link itself brings this.
        guard let known = state.links[index], known.link.port != nil, known.link.port != port else { return }
        var link = known.link
        link.port = port
        put(link, in: state, world)
    }

    /// Whether a link has our alias, or was moved by us, where no interface of that alias is declared.
    private static func isAstray(_ known: LinkState, _ world: LinuxWorld) -> Bool {
        let (link, state) = (known.link, known.namespace)
        if let loan = known.loan, world.declarations.interfaces[loan.name] == nil { return true }
        guard let alias = link.alias, world.ownership.owns(alias: alias) else { return false }
        guard let interface = world.declarations.interface(alias: alias) else { return true }
        return world.byReference[interface.namespace] !== state
    }

    private static func change(_ known: LinkState, to told: Link, _ world: LinuxWorld) {
        let (old, state) = (known.link, known.namespace)
        var new = told
        if world.cause == .planned, old.group != new.group { state.formerGroups.insert(old.group) }
        if world.cause == .planned, old.master != new.master { new.followMaster(from: old.master, in: state) }
        world.journals.remember(link: old.index, in: state)
        if old.isUp, !new.isUp {
            if world.cause == .told { world.told.downs[state.id, default: []].insert(new.index) }
            flushAfterDown(known, world)
        }
        if old.master != new.master {
            // What frees its ports may do so as it goes, of which the kernel tells later.
            if world.cause == .told, new.master == 0 { world.told.downs[state.id, default: []].insert(old.master) }
            // A VRF takes its members down and up again when they come and go.
            let isVRF = [old.master, new.master].contains { state.links[$0]?.link.kind.isVRF ?? false }
            if isVRF { flushAfterDown(known, world) }
            ForwardingClass.loseOfBridge(known, world)
            BridgeVLANClass.startAnew(known, in: new.master)
            if world.cause == .planned {
                known.masterClaim = world.plannedClaim
                if new.master < 0 { world.plannedDependants[new.master, default: []].append(known) }
            }
        }
        if world.cause == .told { noteCarrier(of: known, new, world) }
        if old.mac != new.mac {
            world.endanger(.neighbours, on: known)
            NeighbourClass.lose(of: known, world) { $0.flags & Neighbour.proxy == 0 }
        }
        state.update(known, to: new, ownership: world.ownership)
        if world.cause == .told { AltNameClass.forgetLost(of: known, world) }
        if world.cause == .planned, known.loan != nil, world.byReference[.own] === state,
            new.alias?.hasPrefix(world.ownership.lentPrefix) != true
        {
            state.forgetLoan(of: known)
        }
        // A mark that somebody took is given back, not the link taken for theirs.
        if world.cause == .told, let alias = old.alias.map(world.ownership.mark),
            new.alias.map(world.ownership.mark) != alias, world.declarations.interface(alias: alias) != nil
        {
            state.own(known, as: alias)
        }
        if new.mtu < 1280, old.mtu >= 1280 { flushV6(known, world) }
        if world.cause == .planned {
            if old.isUp != new.isUp { takeAlong(known, world) }
            if old.mtu != new.mtu { limit(known, world) }
        }
        if old.concerns(as: new) { return }
        world.concernMatches(known, as: old)
        world.concern(old.name, in: state)
        if new.name != old.name {
            world.concern(new.name, in: state)
        }
        if !new.hasNames(of: old) { world.concernNamesakes(in: state) }
        for name in Set(old.altNames).symmetricDifference(new.altNames) { world.concern(name, in: state) }
    }

    /// Nexthop objects go with the carrier, and need it.
    private static func noteCarrier(of link: LinkState, _ new: Link, _ world: LinuxWorld) {
        let carrier = LinkFlags.running | LinkFlags.lowerUp
        let (had, has) = (link.link.flags & carrier != 0, new.flags & carrier != 0)
        guard had != has, world.declarations.hasNextHops else { return }
        if !has { NextHopClass.lose(of: link, world) }
        world.concern(link.link.name, in: link.namespace)
    }

    /// VLANs go up and down with the link below.
    private static func takeAlong(_ link: LinkState, _ world: LinuxWorld) {
        for upper in link.namespace.uppers(of: link.link.index)
        where upper.link.lower == link.link.index && upper.link.kind.followsLower && upper.link.isUp != link.link.isUp {
            var new = upper.link
            new.flags ^= LinkFlags.up
            change(upper, to: new, world)
            world.lose(upper.claim)
        }
    }

    /// The MTU of a link limits that of what is built on it.
    private static func limit(_ link: LinkState, _ world: LinuxWorld) {
        for upper in world.uppers(of: link) {
            let mtu = upper.link.kind.mtu(upper.link.mtu, below: link.link.mtu)
            if mtu == upper.link.mtu { continue }
            var new = upper.link
            new.mtu = mtu
            change(upper, to: new, world)
            world.lose(upper.claim)
        }
    }

    /// A link that is up goes down for its new name.
    static func rename(_ index: Int32, to name: String, wasUp: Bool, in state: NamespaceState, _ world: LinuxWorld) {
        guard let link = state.links[index] else { return }
        world.journals.remember(link: index, in: state)
        if wasUp { flushAfterDown(link, world) }
        var renamed = link.link
        renamed.name = name
        state.update(link, to: renamed, ownership: world.ownership)
        relabel(link, world)
    }

    /// With its name the IPv4 addresses of a link get other labels. Source: `inetdev_changename`, net/ipv4/devinet.c.
    private static func relabel(_ link: LinkState, _ world: LinuxWorld) {
        let name = link.link.name
        // Longer ones lose the end of the name: IFNAMSIZ has room for a zero.
        let most = 15
        for (position, index) in link.orderOfV4.enumerated() {
            let old = link.addresses[index].address.label
            var new: String?
            if position > 0 {
                let suffix = old.flatMap { text in text.firstIndex(of: ":").map { String(text[$0...]) } }
                let tail = suffix ?? ":\(position + 1)"
                new = String(decoding: name.utf8.prefix(max(most - tail.utf8.count, 0)), as: UTF8.self) + tail
            }
            if old == new { continue }
            link.addresses[index].address.label = new
            world.lose(link.addresses[index].claim)
        }
    }

    /// A link that goes down loses its neighbours, its IPv6 addresses, and the routes that have no other way.
    private static func flushAfterDown(_ link: LinkState, _ world: LinuxWorld) {
        let state = link.namespace
        NextHopClass.lose(of: link, world)
        NextHopClass.loseCarrier(ofPeerOf: link, world)
        for id in link.routes {
            let hops = state.routes[id]?.route.nextHops ?? []
            let hasOther = hops.contains { hop in
                hop.linkIndex != link.link.index && state.links[hop.linkIndex]?.link.isUp == true
            }
            if !hasOther { RouteClass.lose(id, in: state, world) }
        }
        world.endanger([.routes, .neighbours], on: link)
        // Those of others go as well.
        link.onLink = nil
        state.localNetworks = nil
        NeighbourClass.lose(of: link, world) { _ in true }
        flushV6(link, world)
    }

    /// Without IPv6 on the link everything of it goes.
    static func flushV6(_ link: LinkState, _ world: LinuxWorld) {
        world.endanger([.routes, .neighboursV6], on: link)
        AddressClass.lose(of: link, world) { $0.local.family == .v6 }
        NeighbourClass.lose(of: link, world) { $0.destination.family == .v6 }
        for id in link.routes where id.destination.family == .v6 { RouteClass.lose(id, in: link.namespace, world) }
    }

    // MARK: - Removal

    /// Links go, with the other ends of their pairs and what was built on them. One look at each namespace in question,
    /// however many go.
    static func remove(_ indexes: [Int32], in state: NamespaceState, _ world: LinuxWorld) {
        defer { if world.cause == .told { for index in indexes { state.forgetIndex(index) } } }
        remove(indexes.compactMap { state.links[$0] }, world)
    }

    private static func remove(_ links: [LinkState], _ world: LinuxWorld) {
        var gone: [Int: Gone] = [:]
        for link in links {
            // The other end of a pair goes with it, though its namespace may tell so only later; what hears of it first must
            // not build on it.
            let pair = [link, world.peer(of: link)].compactMap { $0 }
            // While each still knows the other.
            for end in pair { world.journals.remember(link: end.link.index, in: end.namespace) }
            for end in pair where end.namespace.links[end.link.index] === end {
                detach(end, world)
                gone[end.namespace.id, default: Gone(state: end.namespace)].links[end.link.index] = end.link
            }
        }
        // The kernel tells each of what goes and changes with them.
        if world.cause == .planned { removeUppers(of: gone.values, world) }
    }

    /// Links of a namespace that are gone.
    private struct Gone {
        let state: NamespaceState
        var links: [Int32: Link] = [:]
    }

    /// What was built on links that are gone goes, and their ports and members are free.
    private static func removeUppers(of gone: some Sequence<Gone>, _ world: LinuxWorld) {
        for part in gone {
            let state = part.state
            var onTop: [LinkState] = []
            for (index, link) in part.links {
                for upper in state.uppers(of: index) {
                    if upper.link.lower == index, upper.link.kind.goesWithLower { onTop.append(upper) }
                    if upper.link.master != index { continue }
                    world.journals.remember(link: upper.link.index, in: state)
                    world.lose(upper.masterClaim)
                    free(upper, of: link, world)
                }
            }
            if !onTop.isEmpty { remove(onTop, world) }
        }
    }

    /// A port or member is one no more. A VRF takes its members down and up again when it goes, a bond its ports down.
    private static func free(_ link: LinkState, of master: Link, _ world: LinuxWorld) {
        var freed = link.link
        (freed.master, freed.port) = (0, nil)
        if master.kind.rulesPorts {
            freed.flags &= ~LinkFlags.up
            world.lose(link.claim)
        }
        link.namespace.update(link, to: freed, ownership: world.ownership)
        ForwardingClass.loseOfBridge(link, world)
        BridgeVLANClass.startAnew(link, in: 0)
        if master.kind.rulesPorts || master.kind.isVRF { flushAfterDown(link, world) }
    }

    /// A link leaves its namespace.
    static func detach(_ link: LinkState, _ world: LinuxWorld) {
        let state = link.namespace
        world.journals.remember(link: link.link.index, in: state)
        for id in link.routes { world.journals.remember(route: id, in: state) }
        if world.cause == .planned {
            world.noteSimulated(state)
            state.bystanders.lose(link.link)
            // What can be undone must be known.
            if world.journals.isAnyKept { world.endanger(.all, on: link) }
            SettingClass.rememberAll(of: link, world)
            loseClaims(of: link, world)
        }
        NextHopClass.lose(of: link, world)
        world.concern(link.link.name, in: state)
        world.concernNamesakes(in: state)
        state.neighbourCount -= link.neighbours.count
        state.localNetworks = nil
        state.remove(link)
    }

    private static func loseClaims(of link: LinkState, _ world: LinuxWorld) {
        world.lose(link.claim)
        world.lose(link.masterClaim)
        for claim in link.altNameClaims.values { world.lose(claim) }
        for entry in link.addresses { world.lose(entry.claim) }
        for entry in link.neighbours { world.lose(entry.claim) }
        for entry in link.forwarding.values { world.lose(entry.claim) }
        if link.qdisc != nil { world.lose(link.qdiscClaim) }
        if link.ingress != nil { world.lose(link.policeClaim) }
        for id in link.routes { if let route = link.namespace.routes[id] { world.lose(route.claim) } }
    }

    // MARK: - Creation

    /// A new link, and the other end of a pair.
    static func simulate(_ creation: LinkCreation, from source: NamespaceState, _ world: LinuxWorld) {
        guard let target = world.states[creation.target] else { return }
        world.notePlanned(index: creation.index)
        world.noteSimulated(target)
        var link = creation.attributes.newLink(index: creation.index)
        guard let far = creation.peer, let peer = world.states[far.target], let half = creation.attributes.peer else {
            // Any number will do: it only says that what is below is elsewhere.
            if source !== target, link.kind.lower(link.link) != 0 { link.linkNamespaceID = 0 }
            world.apply(.link(link), in: target)
            if link.linkNamespaceID != nil { target.links[link.index]?.origin = source.id }
            if link.link < 0, let made = target.links[link.index] {
                world.plannedDependants[link.link, default: []].append(made)
            }
            return
        }
        world.notePlanned(index: far.index)
        world.noteSimulated(peer)
        link.link = far.index
        var other = Link(
            index: far.index, name: half.name, mtu: half.mtu ?? LinkKind.veth.kernelMTU, mac: half.mac,
            link: creation.index, group: half.group ?? 0, kind: .veth)
        if peer !== target {
            link.linkNamespaceID = 0
            other.linkNamespaceID = 0
        }
        world.apply(.link(link), in: target)
        world.apply(.link(other), in: peer)
        world.plannedPeers[link.index] = peer.links[far.index]
        world.plannedPeers[far.index] = target.links[link.index]
    }
}

extension Link {
    /// Index of the link below in the same namespace; 0: none.
    var lower: Int32 {
        linkNamespaceID == nil ? kind.lower(link) : 0
    }

    /// Whether the link below is in another namespace.
    var isBuiltElsewhere: Bool { linkNamespaceID != nil && kind.lower(link) != 0 }

    /// Whether it has all names that another one has.
    fileprivate func hasNames(of other: Link) -> Bool {
        name == other.name && other.altNames.allSatisfy(altNames.contains)
    }

    /// Whether a change to `new` makes no difference for anybody here: counters of the carrier and the like.
    fileprivate func concerns(as new: Link) -> Bool {
        isUp == new.isUp && name == new.name && mtu == new.mtu && mac == new.mac && alias == new.alias
            && altNames == new.altNames && master == new.master && kind == new.kind && link == new.link
            && group == new.group
            && (port.map { old in new.port.map(old.agrees) ?? false } ?? (new.port == nil))
    }
}

extension Link {
    /// A bond takes a port up when it comes, and down when it goes. A bridge knows nothing of a new port.
    fileprivate mutating func followMaster(from former: Int32, in state: NamespaceState) {
        port = state.links[master]?.link.kind.isOf(BridgeAttributes.self) == true ? .kernelDefault : nil
        if state.links[master]?.link.kind.rulesPorts == true {
            flags |= LinkFlags.up
        } else if state.links[former]?.link.kind.rulesPorts == true {
            flags &= ~LinkFlags.up
        }
    }
}

extension LinkKind {
    /// Whether it is a bond, or works like one.
    var rulesPorts: Bool { InterfaceKinds.kind(of: self).rulesPorts }

    /// Whether it is a VRF.
    var isVRF: Bool { isOf(VRFAttributes.self) }
}
