internal import Glibc
public import Model
internal import Netlink
internal import NetworkTypes
public import Reconciler

/// The network namespaces of a host, as the kernel shows them to us.
///
/// Belongs to one thread: it moves that thread between namespaces for moments, to open sockets and files.
public final class LinuxWorld: World {
    /// Our marks.
    public let ownership: Ownership
    /// Where named namespaces are.
    public let namespaceDirectory: String

    /// What tells the mark of a namespace with neighbours of ours.
    let neighbourMarkID: RouteID
    var states = NamespaceTable()
    var byReference: [NamespaceReference: NamespaceState] = [:]
    var byIdentity: [NetworkNamespace.Identity: NamespaceState] = [:]

    /// What values that others keep are said to be, by key.
    public var observations: [Key: Observation] = [:]
    /// Which of our leftovers are not to go yet.
    public var sparing = Sparing()
    /// Takes models that are not the kernel's; nil for those that are.
    public var otherKinds: (Key, ModelValue) -> Desired<LinuxWorld>? = { _, _ in nil }

    /// What was made of each declared value, by key.
    var declared: [Key: (value: ModelValue, desired: Desired<LinuxWorld>)] = [:]
    /// Declared interfaces by logical name.
    var interfaces: [String: Interface] = [:]
    /// Declared allocations by `network/interface`.
    var allocations: [String: Allocation] = [:]
    /// In which namespace most ends of veth pairs are declared to be, by count.
    var vethEnds: [NamespaceReference: Int] = [:]
    /// Keys of the values that have to do with a link, by namespace and name.
    var subjects: [NamespaceReference: [String: [Key]]] = [:]

    /// Namespaces that are there and that can't be had, and why.
    var unreachable: [NamespaceReference: String] = [:]
    /// More namespaces are not kept open: each takes three descriptors, and files, clients and timers need some, too.
    var mostNamespaces = Int.max
    /// Namespaces with declared settings of interfaces.
    var settingNamespaces: Set<NamespaceReference> = []
    /// Number of the current pass, against which claims are held.
    var pass = 1
    /// The last negative index given to a planned link.
    var lastPlannedIndex: Int32 = 0
    /// Links that are planned, by alias, until they carry it.
    var plannedLinks: [String: LinkState] = [:]
    /// Indexes of links made by this run, by their negative index.
    var madeIndexes: [Int32: Int32] = [:]
    /// Links that name a planned link as the one below or as their master, by its negative index.
    var plannedDependants: [Int32: [LinkState]] = [:]
    /// Where planned links are made, by their negative index.
    var creators: [Int32: NamespaceState] = [:]
    /// Counts modifying requests, for tests and for the promise that an unchanged configuration costs none.
    public internal(set) var modifyingRequests = 0
    /// Whether something may have happened of which no event tells.
    var hasMissedEvents = false
    /// What the planned operations disturbed so far.
    var disturbance = Disturbance()
    /// Links that go with a link whose removal is planned.
    var vanishing: Set<ObjectIdentifier> = []
    /// The other ends of planned veth pairs.
    var plannedPeers: [ObjectIdentifier: LinkState] = [:]
    /// Where the link of a declared interface is, by alias.
    var aliasNamespaces: [String: NamespaceReference] = [:]
    /// Our links by alias, as they were when a link that is not declared was last looked for.
    var aliasIndex: [String: LinkState]?
    var watcher: Watcher?

    /// Makes a world of which nothing is known yet; call ``readAll()`` first.
    public init(ownership: Ownership, namespaceDirectory: String = "/run/netns") {
        self.ownership = ownership
        neighbourMarkID = RouteID(ownership.neighbourMark)
        self.namespaceDirectory = namespaceDirectory
    }

    // MARK: - Namespaces

    /// The namespace behind a reference, if it is there or planned.
    func state(_ reference: NamespaceReference) -> NamespaceState? {
        if let state = byReference[reference] { return state }
        return nil
    }

    /// Why the namespace behind a reference can't be had, and can't be made either.
    func unmetCondition(_ reference: NamespaceReference) -> String? {
        if byReference[reference] != nil { return nil }
        if let reason = unreachable[reference] { return reason }
        switch reference {
        case .own: return "the agent's own namespace can't be opened"
        case .named: return roomMistake.map { "\(reference) can't be made: \(text(for: $0))" }
        case .process(let pid): return "namespace-available: process \(pid) is not there"
        case .file(let path): return "namespace-available: \(path) is not there or is no namespace"
        case .microservice(let label): return "microservice-available: \(label)"
        }
    }

    /// The namespace behind a reference; a named one that is absent is planned, and `operations` makes it.
    func stateOrPlan(_ reference: NamespaceReference, _ operations: inout [LinuxOperation]) -> NamespaceState? {
        if let state = byReference[reference] { return state }
        guard case .named(let name) = reference, let own = byReference[.own] else { return nil }
        operations.append(LinuxOperation(namespace: own.id, action: .createNamespace(name)))
        return plan(namespace: name)
    }

    func plan(namespace name: String) -> NamespaceState {
        if let state = byReference[.named(name)] { return state }
        let state = states.add(.named(name), nil)
        byReference[.named(name)] = state
        let loopback = Link(index: 1, name: "lo", flags: LinkFlags.loopback, mtu: 65536)
        state.insert(LinkState(loopback, in: state), ownership: ownership)
        return state
    }

    /// Adds an open namespace under a reference, or the reference to a namespace that is known already.
    @discardableResult
    func adopt(_ handle: NetworkNamespace, as reference: NamespaceReference) -> NamespaceState {
        if let former = byReference[reference], former.handle?.identity != handle.identity { release(reference) }
        if let state = byIdentity[handle.identity] {
            byReference[reference] = state
            if state.reference != reference { state.otherReferences.insert(reference) }
            return state
        }
        let state = states.add(reference, handle)
        byReference[reference] = state
        byIdentity[handle.identity] = state
        return state
    }

    // MARK: - Links

    /// The link of a declared interface, if it is there or planned.
    func link(of interface: Interface) -> LinkState? {
        guard let namespace = byReference[interface.namespace] else { return nil }
        switch interface.kind {
        case .existing: return namespace.linksByName[interface.hostName]
        case .loopback: return namespace.linksByName["lo"]
        default: return namespace.ownedLinks[interface.alias] ?? planned(interface.alias, in: namespace)
        }
    }

    private func planned(_ alias: String, in namespace: NamespaceState) -> LinkState? {
        guard !plannedLinks.isEmpty, let state = plannedLinks[alias], state.namespace === namespace,
            namespace.links[state.link.index] === state
        else { return nil }
        return state
    }

    /// The link behind a name in a route, neighbour or membership: of a declared interface, or else of that kernel name
    /// in `namespace`.
    func link(named name: String, in namespace: NamespaceReference) -> LinkState? {
        if let interface = interfaces[name] { return link(of: interface) }
        return byReference[namespace]?.linksByName[name]
    }

    func nextPlannedIndex() -> Int32 {
        lastPlannedIndex -= 1
        return lastPlannedIndex
    }

    // MARK: - World

    /// Whether the kernel took along what values had found in place, see ``Disturbance``.
    public func takeDisturbance() -> Bool {
        defer { disturbance = Disturbance() }
        return disturbance.isNoted
    }

    /// Starts a new pass: claims of earlier ones no longer count.
    public func beginPass() {
        pass += 1
        aliasIndex = nil
        plannedLinks.removeAll(keepingCapacity: true)
        plannedPeers.removeAll(keepingCapacity: true)
        plannedDependants.removeAll(keepingCapacity: true)
        vanishing.removeAll(keepingCapacity: true)
        // Nothing names a link or an operation of the last pass any more.
        states.forgetLost()
        for state in states { state.beginPass() }
    }

    /// Forgets claims in the middle of a plan.
    public func forgetClaims() { pass += 1 }

    /// Reads namespaces again whose operations failed, or were planned and never done.
    public func refreshAfterFailure() {
        plannedLinks.removeAll()
        madeIndexes.removeAll()
        for state in states {
            if state.handle == nil { drop(state) }
            if state.isSimulated { state.isStale = true }
            // Links that were planned and never made.
            if state.links.keys.contains(where: { $0 < 0 }) { state.isStale = true }
            if state.isStale, state.events != nil { state.wasReadAgain = true }
        }
        try? refresh()
    }

    /// Takes a reference away; its namespace is forgotten with its last one, as keeping it open would keep it alive.
    func release(_ reference: NamespaceReference) {
        guard let state = byReference.removeValue(forKey: reference) else { return }
        if !state.lose(reference) { drop(state) }
    }

    /// Forgets a namespace that is not there. What is left of it goes with the next pass.
    func drop(_ state: NamespaceState) {
        for reference in state.references where byReference[reference] === state { byReference[reference] = nil }
        if let identity = state.handle?.identity { byIdentity[identity] = nil }
        watcher?.forget(state)
        state.events = nil
        state.socket = nil
        state.handle = nil
        state.isLost = true
        state.forget()
    }

    /// Text for an operation, in the kernel's words.
    public func describe(_ operation: LinuxOperation) -> String {
        let place = suffix(operation.namespace)
        switch operation.action {
        case .request(let request): return "\(request)\(place)"
        case .createLink(let attributes, _, let target, _, _):
            return
                "RTM_NEWLINK \(attributes.kind?.name ?? "") \(attributes.name ?? "")\(suffix(target))"
        case .createTUN(let name, _, _, _): return "TUNSETIFF \(name)\(place)"
        case .rename(_, let old, let new, _): return "rename \(old) to \(new)\(place)"
        case .deleteLinks(let indexes, _): return "RTM_DELLINK of \(indexes.count) links\(place)"
        case .createNamespace(let name): return "create namespace \(name)"
        case .markNamespace(let name): return "mark namespace \(name)"
        case .removeNamespace(let name): return "remove namespace \(name)"
        case .sysctl(let path, let value): return "write \(value) to \(path)\(place)"
        case .offload: return "SIOCETHTOOL\(place)"
        }
    }

    private func suffix(_ namespace: Int) -> String {
        states[namespace]?.reference.suffix ?? " in a namespace that is gone"
    }
}
