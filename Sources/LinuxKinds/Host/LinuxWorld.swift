internal import CLinux
internal import Glibc
internal import Model
internal import Netlink
internal import NetworkTypes
public import Reconciler

/// The network namespaces of a host, as the kernel shows them to us.
///
/// Belongs to one thread: it moves that thread between namespaces for moments, to open sockets and files.
public final class LinuxWorld: World {
    /// Our marks.
    public internal(set) var ownership: Ownership {
        didSet { neighbourMarkID = RouteID(ownership.neighbourMark) }
    }
    /// Whether they are known to be nobody else's on this host.
    var areMarksSettled = false
    /// Where named namespaces are.
    public let namespaceDirectory: String

    /// What tells the mark of a namespace with neighbours of ours.
    private(set) var neighbourMarkID: RouteID
    /// What was done so far.
    public internal(set) var tally = WorldTally()
    var states = NamespaceTable()
    var byReference: [NamespaceReference: NamespaceState] = [:] {
        didSet { states.version.number += 1 }
    }
    var byIdentity: [NetworkNamespace.Identity: NamespaceState] = [:]

    /// What declared values are found by.
    var declarations = Declarations()

    /// What is known of the containers that values name.
    var containers: [NamespaceReference: KnownContainer] = [:]
    /// Namespaces that were left and in which something of ours may be, by number, and until when they are kept at most,
    /// nanoseconds of CLOCK_MONOTONIC.
    var formerNamespaces: [Int: Int64] = [:]
    /// Namespaces that exist but are not available, and why.
    var unreachable: [NamespaceReference: String] = [:]
    /// Those among them that another agent with our label has.
    var held: Set<NamespaceReference> = []
    /// Namespaces that another agent with our label had once: what is in them is not ours, unless a value says so.
    var others: Set<NetworkNamespace.Identity> = []
    /// Whether namespaces with values of ours are to be ours alone.
    var locksNamespaces = false
    /// That our own namespace is.
    var ownLock: NamespaceLock?
    /// Until when other agents with our label are waited for, nanoseconds of CLOCK_MONOTONIC.
    var lockDeadline: Int64 = 0
    /// How many descriptors the process may have.
    private(set) lazy var mostDescriptors = cl_file_limit()
    /// What was opened in a namespace as it was found, until it is known.
    var firstVisit: FirstVisit?
    /// Names that led to namespaces of ours, until a kill came between two steps of a removal.
    var leftNames: [String] = []
    /// Whether to look for what is ours in namespaces that no value names, though no value names any but our own.
    ///
    /// Who has values in his own namespace alone does not look into others: they may be those of another agent.
    public var looksEverywhere = true
    /// Numbers of namespaces, not our own, that no value ever named.
    var unnamed: Set<Int> = []
    /// More namespaces are not kept open: each takes up to four descriptors, and files, clients and timers need some, too.
    var mostNamespaces = Int.max
    /// Number of the current pass, against which claims are held.
    var pass: Int32 = 1
    /// Why the picture changes at this moment.
    var cause = ChangeCause.planned
    /// What the kernel told, as far as nobody took it.
    var told = WorldChanges()
    /// Keys of values that others which were declared or withdrawn concern.
    var concerned: Set<String> = []
    /// Whose objects were taken along by what was planned.
    var disturbed: [Claimant] = []
    /// Namespaces that must be read again before they are trusted.
    private(set) var stale: [NamespaceState] = []
    /// Namespaces of which what is known includes what is only planned.
    var simulated: [NamespaceState] = []
    /// What others lose, for people.
    var losses: [String] = []
    /// What was there before, for those who may want to go back.
    var journals = Journals()
    /// The last negative index given to a planned link.
    private var lastPlannedIndex: Int32 = 0
    /// Indexes of links made by this run, by their negative index.
    var madeIndexes: [Int32: Int32] = [:]
    /// Numbers of namespaces from which a link could not be given back in this run.
    var keptLinks: Set<Int> = []
    /// Links that name a planned link as the one below or as their master, by its negative index.
    var plannedDependants: [Int32: [LinkState]] = [:]
    /// Where planned links are made, by their negative index.
    var creators: [Int32: NamespaceState] = [:]
    /// The other ends of planned veth pairs, by the negative index of an end.
    var plannedPeers: [Int32: LinkState] = [:]
    /// What speaks netlink for us.
    let programs = Programs()
    /// The kernel's form of declared tables.
    let tableTexts = TableTexts()
    /// Declared tables and rules that can't be loaded.
    var refusedTexts = RefusedTexts()
    /// Custom chains of iptables that are declared.
    var declaredChains = DeclaredChains()
    /// What iptables makes of declared rules.
    let ruleForms = RuleForms()
    /// Counts modifying requests, for tests and for the promise that an unchanged configuration costs none.
    public internal(set) var modifyingRequests = 0
    /// How often a link was compared with what is known of an interface, for tests.
    var matchComparisons = 0
    /// What the last export left out, as the model has no words for it, one line each.
    public internal(set) var omissions: [String] = []
    /// Whether this run has done nothing yet: what is found was there before it.
    var isFresh = true
    /// Namespaces in which processes are, as seen in a pass.
    var occupied: (pass: Int32, namespaces: Set<NetworkNamespace.Identity>)?
    /// Links on which something changed since silent values were looked at, by number of the namespace and name.
    var suspects: [Int: Set<String>] = [:]
    /// Whether something may have happened of which no event tells.
    var hasMissedEvents = false
    /// Our links by alias, as they were when a link that is not declared was last looked for.
    var aliasIndex: [String: LinkState]?
    var watcher: Watcher?
    /// Through which namespace's network tunnels go that have no interface below; nil: that of their own.
    var tunnelOrigin: NamespaceReference?
    /// What is kept for WireGuard.
    var wireGuard = WireGuardTools()
    /// What the kernel refused first.
    public internal(set) var refusal: Refusal?

    /// Makes a world of which nothing is known yet; call ``readAll()`` first.
    public init(ownership: Ownership, namespaceDirectory: String = "/run/netns") {
        self.ownership = ownership
        neighbourMarkID = RouteID(ownership.neighbourMark)
        self.namespaceDirectory = namespaceDirectory
    }

    // MARK: - Namespaces

    /// Why the namespace behind a reference is not available, and can't be made either.
    func unmetCondition(_ reference: NamespaceReference) -> String? {
        if byReference[reference] != nil { return nil }
        if let reason = unreachable[reference] { return reason }
        switch reference {
        case .own: return "the agent's own namespace can't be opened"
        case .named: return roomMistake.map { "\(reference) can't be made: \(text(for: $0))" }
        case .process(let pid): return "namespace-available: process \(pid) is not there"
        case .file(let path): return "namespace-available: \(path) is not there or is not a namespace"
        case .microservice, .pod: return unmetContainer(reference)
        case .former: return "\(reference) was left"
        }
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
        if let visit = firstVisit, visit.identity == handle.identity {
            (state.socket, state.filterSocket, state.hold) = (visit.socket, visit.filterSocket, visit.hold)
        }
        firstVisit = nil
        byReference[reference] = state
        byIdentity[handle.identity] = state
        if reference != .own, !declarations.isReferenced(reference) { unnamed.insert(state.id) }
        markStale(state)
        return state
    }

    /// A namespace must be read again before it is trusted.
    func markStale(_ state: NamespaceState) {
        if state.isStale { return }
        state.isStale = true
        stale.append(state)
    }

    /// Returns the namespaces to read again. The caller marks those that could not be read.
    func takeStale() -> [NamespaceState] {
        defer { stale.removeAll() }
        for state in stale { state.isStale = false }
        return stale
    }

    // MARK: - Links

    /// The link of a declared interface, if it is there or planned.
    func link(of interface: Interface) -> LinkState? {
        if let match = interface.match {
            if case .here(let link) = sight(of: interface, match) { return link }
            return nil
        }
        return byReference[interface.namespace].flatMap { interface.kind.find(interface, in: $0) }
    }

    /// The link of a declared interface, by its logical name.
    func link(of name: String) -> LinkState? { declarations.interfaces[name]?.link(in: self) }

    /// The link behind a name in a route, neighbour or membership: of a declared interface, or else of that kernel name,
    /// which may be an alternative one, in `namespace`.
    func link(named name: String, in namespace: NamespaceReference) -> LinkState? {
        if let interface = declarations.interfaces[name] { return interface.link(in: self) }
        return byReference[namespace]?.link(named: name)
    }

    /// A negative index that no planned link has; the one after `skipped` more.
    func plannedIndex(_ skipped: Int32 = 0) -> Int32 { lastPlannedIndex - 1 - skipped }

    /// A planned link has got a negative index.
    func notePlanned(index: Int32) { lastPlannedIndex = min(lastPlannedIndex, index) }

    // MARK: - World

    /// Starts a new pass: claims of earlier ones no longer count.
    public func beginPass() {
        pass += 1
        aliasIndex = nil
        forgetPlanned()
        disturbed.removeAll()
        losses.removeAll()
        // Nothing names a link or an operation of the last pass any more.
        states.forgetLost()
        for state in states { state.beginPass() }
    }

    /// Forgets claims in the middle of a plan.
    public func forgetClaims() { pass += 1 }

    /// What was planned is there now, under its alias, or is read again.
    func forgetPlanned() {
        plannedPeers.removeAll(keepingCapacity: true)
        plannedDependants.removeAll(keepingCapacity: true)
    }

    /// Reads namespaces again whose operations failed, or were planned and never done.
    public func refreshAfterFailure() {
        forgetPlanned()
        madeIndexes.removeAll()
        for state in simulated {
            markStale(state)
            state.bystanders = Bystanders()
            if state.handle == nil { drop(state) }
        }
        simulated.removeAll()
        for state in stale where state.events != nil { state.wasReadAgain = true }
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
        unnamed.remove(state.id)
        watcher?.forget(state)
        wireGuard.forget(state)
        state.events = nil
        state.filterEvents = nil
        state.socket = nil
        state.filterSocket = nil
        state.handle = nil
        state.hold = .none
        state.isLost = true
        state.forget()
    }
}
