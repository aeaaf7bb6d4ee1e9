internal import Model
internal import Netlink
internal import Reconciler

/// Named namespaces: they come and go with what declares them.
enum NamespaceClass: KernelClass {
    static func dump(
        _ state: NamespaceState, _ socket: RouteSocket, _ world: LinuxWorld, into dump: inout NamespaceDump
    ) throws(KernelError) {
        // Those there are are found by their files.
    }

    static func takeIn(
        _ dump: NamespaceDump, _ state: NamespaceState, former: NamespaceState.Contents, _ world: LinuxWorld
    ) {}

    // MARK: - Changes

    /// A named namespace that is to be made.
    @discardableResult
    static func plan(_ name: String, isImplied: Bool?, _ world: LinuxWorld) -> NamespaceState {
        if let state = world.byReference[.named(name)] { return state }
        let state = world.states.add(.named(name), nil)
        world.byReference[.named(name)] = state
        world.journals.remember(newNamespace: state)
        world.noteSimulated(state)
        state.claim = world.plannedClaim
        var loopback = Link(index: 1, name: "lo", flags: LinkFlags.loopback, mtu: 65536)
        loopback.group = isImplied.map(world.namespaceGroup) ?? 0
        state.insert(LinkState(loopback, in: state), ownership: world.ownership)
        return state
    }

    /// A named namespace that is to go, with all that is in it.
    static func doom(_ name: String, _ world: LinuxWorld) {
        guard let state = world.byReference[.named(name)] else { return }
        state.isDoomed = true
        world.noteSimulated(state)
        LinkClass.remove(Array(state.links.keys), in: state, world)
    }

    // MARK: - Leftovers

    static func appendLeftovers(_ turn: Turn, in states: [NamespaceState], to list: inout Leftovers) {
        guard turn == .last, let own = list.world.byReference[.own] else { return }
        for name in list.world.leftNames where list.world.byReference[.named(name)] == nil {
            list.add(
                Place(own, .namespace), key: NamespaceKeys.key(name), "name of namespace \(name), which is gone",
                [LinuxOperation(own, .removeNamespace(name))])
        }
        appendLeftNamespaces(states, own, to: &list)
    }

    private static func appendLeftNamespaces(
        _ states: [NamespaceState], _ own: NamespaceState, to list: inout Leftovers
    ) {
        for state in states where !state.isDoomed && isLeftOver(state, list.world) {
            guard case .named(let name) = state.reference else { continue }
            let loopback = state.linksByName["lo"]?.link
            if loopback?.group == list.world.ownership.impliedNamespaceGroup,
                let stranger = strangers(in: state, list.world).first
            {
                var attributes = LinkAttributes(index: loopback?.index ?? 1)
                attributes.group = 0
                list.add(
                    Place(state, .namespace), key: NamespaceKeys.key(name),
                    "mark of namespace \(name), which stays as \(stranger) in it is not ours", .setLink(attributes),
                    in: state)
                continue
            }
            list.add(
                Place(state, .namespace), key: NamespaceKeys.key(name), "namespace \(name)",
                [LinuxOperation(own, .removeNamespace(name))])
        }
    }

    /// A namespace may be left over when anything in it was released.
    static func appendLeftovers(_ turn: Turn, at places: [Place], to list: inout Leftovers) {
        if turn != .last { return }
        let world = list.world
        let states = Set(places.map(\.namespace)).sorted().compactMap { world.states[$0] }
        if let own = world.byReference[.own] { appendLeftNamespaces(states, own, to: &list) }
    }

    /// Whether the namespace goes, with all that is in it.
    static func goes(_ state: NamespaceState, _ world: LinuxWorld) -> Bool {
        guard isLeftOver(state, world) else { return false }
        return state.linksByName["lo"]?.link.group == world.ownership.namespaceGroup
            || strangers(in: state, world).isEmpty
    }

    /// What others have in it, in words. It is looked for once in a pass.
    private static func strangers(in state: NamespaceState, _ world: LinuxWorld) -> [String] {
        if let known = state.strangers, known.pass == world.pass { return known.words }
        var words = links(of: state, world)
        if words.isEmpty { words = otherObjects(in: state, world) }
        if words.isEmpty, let identity = state.handle?.identity, world.isOccupied(identity) { words = ["a process"] }
        state.strangers = (world.pass, words)
        return words
    }

    /// Links that others made. The kernel itself makes some in every namespace, for tunnels.
    private static func links(of state: NamespaceState, _ world: LinuxWorld) -> [String] {
        // What was moved here goes back before.
        state.links.values.filter { world.isClaimed($0.claim) || LoanClass.home(of: $0, world) == nil }.map(\.link)
            .filter {
                link in
                link.flags & LinkFlags.loopback == 0 && !world.ownership.owns(alias: link.alias)
                    && link.group != world.ownership.linkGroup && !kernelLinks.contains(link.name)
            }.map(\.name).sorted()
    }

    /// What others have beside links: on the loopback interface, in no link's care, or as rules and tables.
    private static func otherObjects(in state: NamespaceState, _ world: LinuxWorld) -> [String] {
        let own = world.ownership.proto
        let addresses = state.linksByName["lo"]?.addresses.map(\.address) ?? []
        for address in addresses where address.proto != own && !address.local.address.isLoopback {
            return ["\(address.local)"]
        }
        if !state.foreignRules.isEmpty { return ["a policy rule"] }
        for (id, table) in state.tables
        where world.ownership.tableName(comment: table.table.comment) == nil && RuleChainSpec.Table(id) == nil {
            return ["\(id)"]
        }
        guard let reports = try? world.routeSocket(state).dump(.routes(ignoringKernel: true)) else { return [] }
        for case .route(let route) in reports
        where route.proto != own && route.nextHops.allSatisfy({ $0.linkIndex == 1 || $0.linkIndex == 0 }) {
            return ["the route \(route.destination)"]
        }
        return []
    }

    private static let kernelLinks: Set<String> = [
        "tunl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "sit0", "ip6tnl0", "ip6gre0",
    ]

    /// Whether the namespace carries our mark, and neither a declared value nor another agent is in it.
    private static func isLeftOver(_ state: NamespaceState, _ world: LinuxWorld) -> Bool {
        guard state.handle != nil, !world.isClaimed(state.claim), case .named = state.reference,
            let group = state.linksByName["lo"]?.link.group,
            group == world.ownership.namespaceGroup || group == world.ownership.impliedNamespaceGroup
        else { return false }
        if state.references.contains(where: world.declarations.isReferenced) { return false }
        return !state.links.values.contains { world.ownership.belongsToAnother(alias: $0.link.alias) }
    }

    // MARK: - The way back

    static func restore(_ step: Restoration.Step, _ restoration: inout Restoration) {
        let world = restoration.world
        guard let own = world.byReference[.own] else { return }
        switch step {
        case .prepare:
            // Only those that we made ourselves ever go.
            for (id, part) in restoration.journal.parts.sorted(by: { $0.key < $1.key }) where part.state.handle == nil {
                guard !part.isNew, case .named(let name) = part.state.reference,
                    world.byReference[.named(name)] == nil
                else { continue }
                let isImplied = part.links[1].flatMap { $0 }?.link.group == world.ownership.impliedNamespaceGroup
                restoration.add(.createNamespace(name, isImplied: isImplied), in: own.id)
                if let state = world.byReference[.named(name)] { restoration.move(id, to: state) }
            }
        case .finish:
            for (_, part) in restoration.journal.parts.sorted(by: { $0.key < $1.key })
            where part.isNew && part.state.isMadeByUs && part.state.handle != nil {
                // What came into it meanwhile stays, and it with that.
                part.state.strangers = nil
                if case .named(let name) = part.state.reference, strangers(in: part.state, world).isEmpty {
                    restoration.add(.removeNamespace(name), in: own.id)
                }
            }
        case .make, .mend: break
        }
    }

    // MARK: - Export

    static func export(_ state: NamespaceState, to export: inout Export) {
        guard case .named(let name) = state.reference,
            state.linksByName["lo"]?.link.group == export.ownership.namespaceGroup
        else { return }
        export.add(namespace: name)
    }
}

extension LinuxWorld {
    /// Whether a process is in a namespace, as far as can be seen from here. All are looked for once in a pass.
    fileprivate func isOccupied(_ namespace: NetworkNamespace.Identity) -> Bool {
        if let known = occupied, known.pass == pass { return known.namespaces.contains(namespace) }
        let namespaces = Set(NetworkNamespace.pathsOfProcesses.compactMap { NetworkNamespace.identity(path: $0) })
        occupied = (pass, namespaces)
        return namespaces.contains(namespace)
    }
}
