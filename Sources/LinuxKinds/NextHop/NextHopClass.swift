internal import Glibc
internal import Model
internal import Netlink
internal import NetworkTypes
internal import Reconciler

/// Nexthop objects with our protocol number, and all with a declared number, whosever they are.
///
/// The kernel takes one along with its link when that goes, goes down or loses its carrier, without a word; with one its place in
/// groups, with the last of a group the group, and with each the routes that use it. Source: `nexthop_flush_dev` and
/// `__remove_nexthop`, net/ipv4/nexthop.c.
enum NextHopClass: KernelClass {
    static func dump(
        _ state: NamespaceState, _ socket: RouteSocket, _ world: LinuxWorld, into dump: inout NamespaceDump
    ) throws(KernelError) {
        // What was left over is found by the first look.
        let isKnown = state.wasRead && state.nextHops.isEmpty && !world.declarations.hasNextHops
        if isKnown || world.ownership.extent == .links { return }
        do {
            for case .nextHop(let hop) in try socket.dump(.nextHops)
            where hop.proto == world.ownership.proto || world.declarations.hasNextHop(numbered: hop.id) {
                dump.nextHops.append(hop)
            }
        } catch {
            // A kernel before Linux 5.3 has none.
            if error.code != EOPNOTSUPP { throw error }
        }
    }

    static func takeIn(
        _ dump: NamespaceDump, _ state: NamespaceState, former: NamespaceState.Contents, _ world: LinuxWorld
    ) {
        for hop in dump.nextHops {
            let known = former.nextHops[hop.id]
            state.nextHops[hop.id] = NextHopState(
                object: hop, claim: known?.claim ?? Claim(), holder: known?.holder,
                wasOurs: hop.proto == world.ownership.proto || known?.wasOurs ?? false)
        }
    }

    /// What people use, and who says nothing: up to `RTPROT_STATIC`.
    private static let handmade: UInt8 = 4

    /// Whether an object is ours: it says so, or somebody replaced ours, which we saw, or it is made by hand under a number that
    /// follows from a declared name, as nobody else chooses them.
    static func isOurs(_ known: NextHopState, _ world: LinuxWorld) -> Bool {
        let object = known.object
        if object.proto == world.ownership.proto || known.wasOurs { return true }
        return object.proto <= handmade && Marks.nextHopNumbers.contains(object.id)
            && world.declarations.hasNextHop(numbered: object.id)
    }

    // MARK: - Changes

    /// One is there, like this.
    static func put(_ hop: NextHopObject, in state: NamespaceState, _ world: LinuxWorld) {
        let known = state.nextHops[hop.id]
        if world.cause == .planned {
            world.journals.remember(nextHop: hop.id, in: state)
            state.nextHops[hop.id] = NextHopState(
                object: hop, claim: world.plannedClaim, holder: known?.holder, wasOurs: known?.wasOurs ?? false)
            return
        }
        let isMarked = hop.proto == world.ownership.proto
        if isMarked { state.nextHops[hop.id]?.wasOurs = true }
        guard isMarked || known != nil || world.declarations.hasNextHop(numbered: hop.id),
            known?.object != hop
        else { return }
        concern(hop.id, world)
        // What replaced ours in its place, without our mark, is put right like any other change.
        state.nextHops[hop.id] = NextHopState(
            object: hop, claim: known?.claim ?? Claim(), holder: known?.holder,
            wasOurs: isMarked || known?.wasOurs ?? false)
    }

    /// One is gone.
    static func remove(_ hop: NextHopObject, in state: NamespaceState, _ world: LinuxWorld) {
        lose(hop.id, in: state, world, isItself: true)
    }

    /// A link takes along those that leave by it.
    static func lose(of link: LinkState, _ world: LinuxWorld) {
        let state = link.namespace
        if state.nextHops.isEmpty { return }
        for (id, hop) in state.nextHops.sorted(by: { $0.key < $1.key }) where hop.object.linkIndex == link.link.index {
            lose(id, in: state, world, isItself: false)
        }
    }

    /// The other end of a pair loses its carrier.
    static func loseCarrier(ofPeerOf link: LinkState, _ world: LinuxWorld) {
        if world.cause == .planned, let peer = world.peer(of: link) { lose(of: peer, world) }
    }

    private static func lose(_ id: UInt32, in state: NamespaceState, _ world: LinuxWorld, isItself: Bool) {
        guard let known = state.nextHops[id] else { return }
        world.journals.remember(nextHop: id, in: state)
        if world.cause == .planned { state.bystanders.endanger(nextHop: id) }
        if !isItself { world.lose(known.claim) }
        concern(id, world)
        state.nextHops[id] = nil
        for (route, known) in state.routes where known.route.nextHopID == id {
            RouteClass.lose(route, in: state, world)
        }
        for (group, known) in state.nextHops.sorted(by: { $0.key < $1.key })
        where known.object.members.contains(where: { $0.id == id }) {
            var rest = known.object
            rest.members.removeAll { $0.id == id }
            if rest.members.isEmpty {
                lose(group, in: state, world, isItself: false)
                continue
            }
            world.journals.remember(nextHop: group, in: state)
            world.lose(known.claim)
            concern(group, world)
            state.nextHops[group]?.object = rest
        }
    }

    /// A planned link was made.
    static func settle(_ planned: Int32, as index: Int32, in state: NamespaceState) {
        for id in state.nextHops.keys where state.nextHops[id]?.object.linkIndex == planned {
            state.nextHops[id]?.object.linkIndex = index
        }
    }

    private static func concern(_ id: UInt32, _ world: LinuxWorld) {
        if world.cause == .told { world.declarations.addKeys(nextHop: id, to: &world.told.keys) }
    }

    // MARK: - Leftovers

    static func appendLeftovers(_ turn: Turn, in states: [NamespaceState], to list: inout Leftovers) {
        if turn != .last { return }
        for state in states where !list.goes(state) {
            // Groups before what is in them.
            let hops = state.nextHops.values.map(\.object)
            for hop in hops.sorted(by: { ($0.isGroup ? 0 : 1, $0.id) < ($1.isGroup ? 0 : 1, $1.id) }) {
                append(hop.id, in: state, to: &list)
            }
        }
    }

    static func appendLeftovers(_ turn: Turn, at places: [Place], to list: inout Leftovers) {
        if turn != .last { return }
        var left: [(state: NamespaceState, id: UInt32)] = []
        for place in places {
            if case .nextHop(let id) = place.object, let state = list.world.states[place.namespace], !list.goes(state) {
                left.append((state, id))
            }
        }
        for isGroup in [true, false] {
            for (state, id) in left where state.nextHops[id]?.object.isGroup == isGroup {
                append(id, in: state, to: &list)
            }
        }
    }

    private static func append(_ id: UInt32, in state: NamespaceState, to list: inout Leftovers) {
        guard let known = state.nextHops[id], !list.world.isClaimed(known.claim),
            known.object.proto == list.world.ownership.proto
        else { return }
        let link = state.links[known.object.linkIndex]
        if list.world.ownership.belongsToAnother(alias: link?.link.alias) { return }
        let place = state.reference.suffix
        list.add(
            Place(state, .nextHop(id)), key: "\(NextHopKeys.prefix)\(NextHopKeys.name(id))\(place)",
            "nexthop \(known.object.text(state))\(place)", .deleteNextHop(known.object), in: state)
    }

    // MARK: - The way back

    static func restore(_ step: Restoration.Step, _ restoration: inout Restoration) {
        switch step {
        case .prepare, .make: return
        case .mend:
            for (state, part) in restoration.parts {
                let old = part.nextHops.values.compactMap(\.self)
                for hop in old.sorted(by: { ($0.isGroup ? 1 : 0, $0.id) < ($1.isGroup ? 1 : 0, $1.id) }) {
                    restore(hop, in: state, &restoration)
                }
            }
        case .finish:
            for (state, part) in restoration.parts {
                let new = part.nextHops.filter { $0.value == nil }.keys.compactMap { state.nextHops[$0]?.object }
                // Of what others put there since nothing is undone.
                for hop in new.sorted(by: { ($0.isGroup ? 0 : 1, $0.id) < ($1.isGroup ? 0 : 1, $1.id) })
                where hop.proto == restoration.world.ownership.proto {
                    restoration.add(.request(.deleteNextHop(hop)), in: state.id)
                }
            }
        }
    }

    private static func restore(_ old: NextHopObject, in state: NamespaceState, _ restoration: inout Restoration) {
        var hop = old
        hop.linkIndex = restoration.current(old.linkIndex, in: state)
        for operation in operations(from: state.nextHops[hop.id]?.object, to: hop, in: state) {
            restoration.add(operation.action, in: state.id)
        }
    }

    /// What leads from one object to another one of the same number.
    static func operations(
        from have: NextHopObject?, to wanted: NextHopObject, in state: NamespaceState
    ) -> [LinuxOperation] {
        guard let have else { return [LinuxOperation(state, request: .addNextHop(wanted, replace: false))] }
        if have == wanted { return [] }
        if wanted.canFollow(have) { return [LinuxOperation(state, request: .addNextHop(wanted, replace: true))] }
        return [
            LinuxOperation(state, request: .deleteNextHop(have)),
            LinuxOperation(state, request: .addNextHop(wanted, replace: false)),
        ]
    }

    // MARK: - Export

    static func export(_ state: NamespaceState, to export: inout Export) {
        for hop in state.nextHops.values.map(\.object).sorted(by: { $0.id < $1.id })
        where hop.proto == export.ownership.proto {
            guard hop.others.isEmpty else {
                export.omit("nexthop \(hop.id)\(state.reference.suffix)", "can't be declared")
                continue
            }
            var message = Nsmagent_Linux_Nexthop()
            (message.name, message.id) = (NextHopKeys.name(hop.id), hop.id)
            if hop.isGroup {
                message.group = hop.members.map { member in
                    var part = Nsmagent_Linux_Nexthop.Member()
                    part.nexthop = NextHopKeys.name(member.id)
                    if member.weight > 1 { part.weight = UInt32(member.weight) }
                    return part
                }
            } else if let link = state.links[hop.linkIndex], !hop.isBlackhole {
                message.outgoingInterface = export.name(of: link)
                message.gwAddr = hop.gateway?.description ?? ""
                message.onlink = hop.onlink
            } else {
                message.blackhole = true
                if let reference = export.reference(to: state) { message.namespace = reference }
            }
            if hop.family == .v6, hop.gateway == nil { message.family = .ipv6 }
            export.others.append(.nextHop(message))
        }
    }
}

/// A nexthop object with its claim.
struct NextHopState {
    var object: NextHopObject
    var claim = Claim()
    /// The name of the declared one that it is; nil: none had it yet.
    var holder: String?
    /// Whether the kernel showed it as ours before: it still is, when somebody replaced it.
    var wasOurs = false
}

extension NextHopObject {
    /// In the words of ip-nexthop(8): `id 5 via 10.0.0.2 dev eth0`.
    func text(_ state: NamespaceState) -> String {
        var words = ["id \(id)"]
        if isGroup {
            let list = members.map { $0.weight == 1 ? "\($0.id)" : "\($0.id),\($0.weight)" }
            words.append("group " + list.joined(separator: "/"))
        }
        if let gateway { words.append("via \(gateway)") }
        if linkIndex != 0 { words.append("dev \(state.links[linkIndex]?.link.name ?? "\(linkIndex)")") }
        if isBlackhole { words.append("blackhole") }
        if onlink { words.append("onlink") }
        return words.joined(separator: " ")
    }
}
