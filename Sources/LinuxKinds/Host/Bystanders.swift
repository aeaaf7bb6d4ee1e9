internal import Glibc
internal import Netlink
internal import NetworkTypes

/// What others have on links from which planned operations take something: the kernel takes it along, and it is put back.
struct Bystanders {
    /// What may go along.
    struct Risks: OptionSet {
        let rawValue: UInt8
        static let addresses = Risks(rawValue: 1)
        static let routes = Risks(rawValue: 2)
        /// Permanent entries and proxy entries.
        static let neighboursV4 = Risks(rawValue: 4)
        static let neighboursV6 = Risks(rawValue: 8)
        static let neighbours: Risks = [.neighboursV4, .neighboursV6]
        static let all: Risks = [.addresses, .routes, .neighbours]
    }

    private(set) var risks: Risks = []
    /// Links from which something goes.
    private(set) var links: Set<Int32> = []
    /// Addresses that go: routes of any link may prefer them.
    private(set) var sources: Set<IPAddress> = []
    /// Nexthop objects that go, at least for a moment: routes and groups of any link may use them.
    fileprivate(set) var nextHops: Set<UInt32> = []
    /// Groups of others with such members, as they are now.
    fileprivate var groups: [NextHopObject] = []
    /// Requests of the batch that put such groups back, by position.
    var groupRequests: [Int: NextHopObject] = [:]
    /// Addresses of others that are taken away on purpose.
    fileprivate var dropped: [Address] = []
    /// Names of links that go. One of the same name that is made takes their place.
    private var names: [String: Int32] = [:]
    /// What has taken the place of a link that went, by its index.
    private var successors: [Int32: Int32] = [:]

    mutating func endanger(_ risks: Risks, on index: Int32, source: IPAddress?) {
        // Of a link that is not there yet others have nothing.
        if index <= 0 { return }
        self.risks.formUnion(risks)
        links.insert(index)
        if let source { sources.insert(source) }
    }

    mutating func endanger(nextHop id: UInt32) {
        risks.insert(.routes)
        nextHops.insert(id)
    }

    mutating func drop(_ address: Address) { dropped.append(address) }

    /// A link goes.
    mutating func lose(_ link: Link) { if link.index > 0 { names[link.name] = link.index } }

    /// A link is made, perhaps in the place of one that went.
    mutating func make(_ link: Link) {
        guard let former = names[link.name] else { return }
        successors[former] = link.index
        endanger(.all, on: former, source: nil)
    }

    /// The index of what has taken a link's place.
    func successor(of index: Int32) -> Int32 { successors[index] ?? index }
}

extension LinuxWorld {
    /// Notes that something is taken from a link, and what may go along.
    func endanger(_ risks: Bystanders.Risks, on link: LinkState, source: IPAddress? = nil) {
        if cause == .planned { link.namespace.bystanders.endanger(risks, on: link.link.index, source: source) }
    }

    /// Reads what is to be put back after the operations that were simulated.
    func saveBystanders() -> [(state: NamespaceState, objects: [SavedObject])] {
        var result: [(state: NamespaceState, objects: [SavedObject])] = []
        for state in simulated where !state.bystanders.risks.isEmpty && state.handle != nil {
            let saved: [SavedObject]
            do throws(KernelError) {
                saved = try save(state)
            } catch {
                losses.append("what others have\(state.reference.suffix) can't be read, and may go along: \(error)")
                continue
            }
            if saved.isEmpty { continue }
            journals.remember(saved: saved, on: state.bystanders.links, in: state)
            for object in saved { tellOfLoss(object, in: state) }
            let objects = saved.filter { isMissed($0, in: state) }
            if !objects.isEmpty { result.append((state, objects)) }
        }
        return result
    }

    /// Says which route of others goes for good with a nexthop object of ours.
    private func tellOfLoss(_ object: SavedObject, in state: NamespaceState) {
        guard case .route(let route) = object.report, state.bystanders.nextHops.contains(route.nextHopID),
            !comesBack(route.nextHopID, in: state)
        else { return }
        losses.append("nexthop \(route.nextHopID)\(state.reference.suffix) goes, and \(object.report.words) with it")
    }

    /// Whether a nexthop object that goes will be there again.
    private func comesBack(_ id: UInt32, in state: NamespaceState) -> Bool {
        if state.nextHops[id] != nil { return true }
        return state.bystanders.groups.first { $0.id == id }?.members.contains { stays($0.id, in: state) } ?? false
    }

    /// Whether a member of a group of others will be there.
    private func stays(_ id: UInt32, in state: NamespaceState) -> Bool {
        !state.bystanders.nextHops.contains(id) || state.nextHops[id] != nil
    }

    /// Finds the groups of others that lose members, and those that go with their last ones.
    private func saveGroups(_ socket: RouteSocket, _ state: NamespaceState) throws(KernelError) {
        let going = state.bystanders.nextHops
        for case .nextHop(let group) in try socket.dump(.nextHops)
        where group.isGroup && group.proto != ownership.proto && state.nextHops[group.id] == nil {
            let lost = group.members.filter { going.contains($0.id) }
            if lost.isEmpty { continue }
            state.bystanders.groups.append(group)
            if lost.count == group.members.count { state.bystanders.nextHops.insert(group.id) }
            let gone = lost.filter { !stays($0.id, in: state) }.map { "\($0.id)" }
            if gone.isEmpty && group.others.isEmpty { continue }
            let members = gone.isEmpty ? lost.map { "\($0.id)" } : gone
            losses.append(
                "the nexthop group \(group.id)\(state.reference.suffix) of others loses "
                    + members.joined(separator: ", "))
        }
    }

    /// Puts the members of others' groups back that are there again, and groups that went with them.
    private func enqueueGroups(_ run: inout ExecutionRun) {
        for state in simulated where state.handle != nil && !state.bystanders.groups.isEmpty {
            // What is more than the members can't be said again.
            for var group in state.bystanders.groups where group.others.isEmpty {
                let isAnyBack = group.members.contains {
                    state.bystanders.nextHops.contains($0.id) && stays($0.id, in: state)
                }
                group.members.removeAll { !stays($0.id, in: state) }
                if !isAnyBack { continue }
                state.bystanders.groupRequests[state.batch.count] = group
                state.batch.append(.addNextHop(group, replace: true))
                state.batched.append(ExecutionRun.nobody)
                run.dirty(state)
            }
        }
    }

    /// Notes that a group of others could not be put back.
    func lose(_ group: NextHopObject, _ error: KernelError, in state: NamespaceState) {
        losses.append(
            "the nexthop group \(group.id)\(state.reference.suffix) of others loses members: they went along with a change, "
                + "and can't be put back: \(error)")
    }

    /// - Parameter isAfterwards: Whether something may be gone already.
    private func save(_ state: NamespaceState, isAfterwards: Bool = false) throws(KernelError) -> [SavedObject] {
        let socket = try routeSocket(state)
        let (risks, own) = (state.bystanders.risks, ownership.proto)
        var objects: [SavedObject] = []
        func isConcerned(_ index: Int32) -> Bool { state.bystanders.links.contains(index) }
        if !state.bystanders.nextHops.isEmpty, !isAfterwards { try saveGroups(socket, state) }
        let nextHops = state.bystanders.nextHops
        // An agent that owns links only owns all addresses on them.
        if risks.contains(.addresses), ownership.extent == .namespaces {
            objects += try socket.save(.addresses) { report in
                guard case .address(let address) = report else { return false }
                // The kernel makes its own link-local addresses again.
                return address.proto != own && !address.isKernelLinkLocal && isConcerned(address.linkIndex)
            }
        }
        if risks.contains(.routes), isAfterwards || state.mayTakeForeignRoutes {
            var ties = ForeignTies()
            let routes = try socket.save(.routes(ignoringKernel: true), exceptRoutesOf: own) { report in
                guard case .route(let route) = report else { return false }
                ties.add(route)
                return route.nextHops.contains { isConcerned($0.linkIndex) }
                    || route.nextHopID != 0 && nextHops.contains(route.nextHopID)
                    || route.source.map(state.bystanders.sources.contains) ?? false
            }
            state.setForeignTies(ties)
            // What is directly on a link makes gateways reachable.
            objects += routes.filter { !$0.hasGateway } + routes.filter(\.hasGateway)
        }
        for (risk, family) in [(Bystanders.Risks.neighboursV4, IPAddress.Family.v4), (.neighboursV6, .v6)]
        where risks.contains(risk) {
            for isProxy in [false, true] {
                objects += try socket.save(.neighbours(family: family, proxy: isProxy)) { report in
                    guard case .neighbour(let entry) = report, entry.proto != own, isConcerned(entry.linkIndex) else {
                        return false
                    }
                    return isProxy || entry.state & Neighbour.permanent != 0
                }
            }
        }
        return objects
    }

    /// Whether something is to be there after what was planned: nothing of ours takes its place.
    private func isMissed(_ object: SavedObject, in state: NamespaceState) -> Bool {
        switch object.report {
        case .address(let address):
            if state.bystanders.dropped.contains(where: {
                $0.linkIndex == address.linkIndex && $0.isSameAddress(as: address)
            }) {
                return false
            }
            let link = state.links[state.bystanders.successor(of: address.linkIndex)]
            return link.map {
                !$0.addresses.contains { $0.address.isSameAddress(as: address) && $0.address.proto == ownership.proto }
            } ?? false
        case .route(let route):
            if state.routes[RouteID(route)]?.route.tos == route.tos { return false }
            if state.bystanders.nextHops.contains(route.nextHopID) { return comesBack(route.nextHopID, in: state) }
            return route.nextHops.allSatisfy { state.links[state.bystanders.successor(of: $0.linkIndex)] != nil }
        case .neighbour(let entry):
            guard let link = state.links[state.bystanders.successor(of: entry.linkIndex)] else { return false }
            return link.position(of: entry) == nil
        case .link, .linkRemoved, .addressRemoved, .routeRemoved, .neighbourRemoved, .rule, .ruleRemoved, .port,
            .forwarding, .forwardingRemoved, .qdisc, .qdiscRemoved, .filter, .filterRemoved, .nextHop, .nextHopRemoved,
            .settings:
            return false
        }
    }

    /// Puts back what others had: a few objects in the batch that took them, where the kernel tells those that are missing
    /// from the others; of many only those that are missing, once that is known.
    func putBack(_ bystanders: [(state: NamespaceState, objects: [SavedObject])], _ run: inout ExecutionRun) {
        let few = 256
        // Routes lead by them.
        enqueueGroups(&run)
        enqueue(bystanders.filter { $0.objects.count <= few }, &run)
        flushAll(&run)
        for (state, objects) in bystanders where objects.count > few && state.handle != nil {
            let rest = Set((try? save(state, isAfterwards: true)) ?? [])
            enqueue([(state, objects.filter { !rest.contains($0) })], &run)
        }
        flushAll(&run)
        for state in simulated { state.bystanders = Bystanders() }
    }

    private func enqueue(
        _ bystanders: [(state: NamespaceState, objects: [SavedObject])], _ run: inout ExecutionRun
    ) {
        for (state, objects) in bystanders where state.handle != nil {
            for object in objects {
                let known = state.bystanders
                let isByObject = known.nextHops.contains(object.nextHopID)
                let relocated = isByObject ? object : object.relocated { resolve(known.successor(of: $0), &run) }
                guard let moved = relocated else { continue }
                // Gateways are reached by it again. One that is refused has the namespace read anew.
                if case .address(let address) = moved.report { learn(address, in: state) }
                state.restorations[state.batch.count] = moved
                state.batch.append(.restore(moved))
                state.batched.append(ExecutionRun.nobody)
                run.dirty(state)
            }
        }
    }

    private func learn(_ address: Address, in state: NamespaceState) {
        guard let link = state.links[address.linkIndex] else { return }
        if !link.addresses.contains(where: { $0.address.isSameAddress(as: address) }) {
            AddressClass.put(address, in: state, self)
        }
    }

    /// Whether the kernel's refusal to put something back means that nothing is missing. IPv4 looks at a gateway before it
    /// looks whether the route is there.
    func isThere(_ object: SavedObject, _ error: KernelError, in state: NamespaceState) -> Bool {
        if error.code == EEXIST { return true }
        guard let socket = try? routeSocket(state) else { return false }
        let dump: Dump
        switch object.report {
        case .address: dump = .addresses
        case .route: dump = .routes(ignoringKernel: true)
        case .neighbour(let entry): dump = .neighbours(proxy: entry.flags & Neighbour.proxy != 0)
        case .link, .linkRemoved, .addressRemoved, .routeRemoved, .neighbourRemoved, .rule, .ruleRemoved, .port,
            .forwarding, .forwardingRemoved, .qdisc, .qdiscRemoved, .filter, .filterRemoved, .nextHop, .nextHopRemoved,
            .settings:
            return false
        }
        return (try? socket.save(dump) { $0 == object.report })?.contains(object) ?? false
    }

    /// What others lose or lost since the last call, for people.
    public func takeLosses() -> [String] {
        defer { losses.removeAll() }
        return losses
    }

    /// Notes that something could not be put back.
    func lose(_ object: SavedObject, _ error: KernelError, in state: NamespaceState) {
        let indexes = object.linkIndexes.map(state.bystanders.successor)
        let name = indexes.lazy.compactMap { state.links[$0]?.link.name }.first ?? "a link that is gone"
        losses.append(
            "\(name)\(state.reference.suffix) loses \(object.report.words): it went along with a change, and can't be put "
                + "back: \(error)")
    }

    /// Notes what others lose on a link that goes to another namespace.
    func loseAll(on link: LinkState, to target: NamespaceState) {
        guard cause == .planned, link.link.index > 0 else { return }
        let addresses = link.addresses.map(\.address)
        var lost = addresses.filter { $0.proto != ownership.proto && !$0.local.address.isLinkLocal }.map {
            "\($0.local)"
        }
        let routes = try? routeSocket(link.namespace).save(
            .routes(ignoringKernel: true), exceptRoutesOf: ownership.proto
        ) { report in
            guard case .route(let route) = report else { return false }
            return route.nextHops.contains { $0.linkIndex == link.link.index }
        }
        lost += (routes ?? []).map(\.report.words)
        if let qdisc = link.qdisc, qdisc.handle != ownership.qdiscHandle { lost.append("the qdisc \(qdisc.kind.name)") }
        if let ingress = link.ingress, !ingress.isOurs || !ingress.others.isEmpty {
            lost.append("the filters of the qdisc \(ingress.qdisc.kind.name)")
        }
        guard let first = lost.popLast() else { return }
        let all = lost.isEmpty ? first : "\(lost.joined(separator: ", ")) and \(first)"
        losses.append(
            "\(link.link.name)\(link.namespace.reference.suffix) loses \(all), as it moves to \(target.reference)")
    }

    /// Notes that an address of others is taken away on purpose, with the routes that need it.
    func drop(_ address: Address, in state: NamespaceState) {
        guard address.proto != ownership.proto, let link = state.links[address.linkIndex] else { return }
        state.bystanders.drop(address)
        var lost = ["\(address.local)"]
        let others = link.addresses.map(\.address).filter { !$0.isSameAddress(as: address) && $0.peer == nil }
        let routes = try? routeSocket(state).save(.routes(ignoringKernel: true), exceptRoutesOf: ownership.proto) {
            report in
            guard case .route(let route) = report else { return false }
            return route.source == address.local.address
                || route.nextHops.contains { hop in
                    guard hop.linkIndex == address.linkIndex, !hop.onlink, let gateway = hop.gateway else {
                        return false
                    }
                    return address.local.contains(gateway) && !others.contains { $0.local.contains(gateway) }
                }
        }
        lost += (routes ?? []).map(\.report.words)
        let last = lost.count > 1 ? " and \(lost.removeLast())" : ""
        losses.append("\(link.link.name)\(state.reference.suffix) loses \(lost.joined(separator: ", "))\(last)")
    }
}

extension SavedObject {
    /// The nexthop object by which a route leads; 0: it is none, or has ways of its own.
    fileprivate var nextHopID: UInt32 { if case .route(let route) = report { route.nextHopID } else { 0 } }

    fileprivate var hasGateway: Bool {
        if case .route(let route) = report { route.nextHops.contains { $0.gateway != nil } } else { false }
    }

    /// The same on the links that its links have become; nil when one of them is not there.
    func relocated(by index: (Int32) -> Int32?) -> SavedObject? {
        var indexes: [Int32: Int32] = [:]
        for former in linkIndexes where former != 0 {
            guard let current = index(former) else { return nil }
            indexes[former] = current
        }
        return moved { indexes[$0] ?? $0 }
    }
}

extension Address {
    /// Whether the kernel made it as the link came up (`IFAPROT_KERNEL_LL`).
    fileprivate var isKernelLinkLocal: Bool { proto == 3 && local.address.isLinkLocal }
}

extension Report {
    /// What it is about, as ip(8) says it: `the route default via 10.0.0.1 proto dhcp`.
    fileprivate var words: String {
        switch self {
        case .address(let address): "the address \(address.local)"
        case .route(let route):
            "the route \(route.destination.length == 0 ? "default" : "\(route.destination)")"
                + (route.nextHops.first?.gateway.map { " via \($0)" } ?? "")
                + " proto \(Names.routeProtocol(route.proto))"
        case .neighbour(let entry): "the neighbour \(entry.destination)"
        case .link, .linkRemoved, .addressRemoved, .routeRemoved, .neighbourRemoved, .rule, .ruleRemoved, .port,
            .forwarding, .forwardingRemoved, .qdisc, .qdiscRemoved, .filter, .filterRemoved, .nextHop, .nextHopRemoved,
            .settings:
            ""
        }
    }
}
