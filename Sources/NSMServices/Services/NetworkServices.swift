public import Logging
public import Model
internal import MeshTransport
internal import NSM
internal import NSMKinds
internal import NetworkTypes
public import Reconciler
internal import SPIFFE

/// Keeps the connections of declared clients and endpoints.
///
/// Level-triggered: it receives the declared state, and starts, changes and stops what differs. Connections survive its
/// end: they stay until their tokens expire, and it finds them again by their ids.
public actor NetworkServices {
    /// What is declared under a key.
    public enum Spec: Hashable, Sendable {
        /// A connection to a service.
        case client(Upnp_NetworkServiceClient)
        /// A service that is offered.
        case endpoint(Upnp_NetworkServiceEndpoint)
        /// A service with its matches.
        case service(Nsmagent_Nsm_NetworkService)
    }

    private struct Active {
        let number: Int
        let spec: Spec
        let session: any ServiceSession
        let stop: AsyncStream<Void>.Continuation
        var isEnding = false
    }

    private enum Order: Sendable {
        /// What all sessions need, which is not started before there is one.
        case support
        case session(Key, number: Int, any ServiceSession, stop: AsyncStream<Void>)
        /// Interfaces that the kernel reported a change of.
        case look(Set<String>)
    }

    /// Says that reports changed, see ``takeChanges()``.
    public nonisolated let changes: AsyncStream<Void>

    private let tell: AsyncStream<Void>.Continuation
    private nonisolated let orders: AsyncStream<Order>
    private nonisolated let order: AsyncStream<Order>.Continuation
    private nonisolated let logger: Logger
    private nonisolated let support: @Sendable () async -> Void
    private let makeSession: @Sendable (Spec) -> any ServiceSession
    private let register: NameRegister
    private var hasSupport = false
    private var lastNumber = 0

    private var wanted: [Key: Spec] = [:]
    private var active: [Key: Active] = [:]
    private var current: [Key: ServiceStanding] = [:]
    /// What changed since the last ``takeChanges()``: keys, and the connections whose parts did.
    private var changed: [Key: Set<String>] = [:]
    /// Clients whose interface has a name that one of an endpoint's has.
    private var nameless: Set<Key> = []
    private var nameServers: NameServers
    private nonisolated let resolver: LocalResolver?
    private nonisolated let resolverAddress: ResolverAddress
    /// Those whose name servers, or their absence, may have changed since they were applied.
    private var unsettled: Set<Key> = []
    /// Name servers of those that give some.
    private var given: [Key: ResolverConfiguration] = [:]
    /// Clients of which is not known yet what they give.
    private var silent: Set<Key> = []

    /// Keeps nothing yet, and contacts no peer before something is declared.
    public init(_ settings: ServiceSettings, logger: Logger) {
        let context = SessionContext(settings, logger: logger)
        self.init(settings, logger: logger, register: context.register) {
            // Who is killed leaves the sockets of his endpoints.
            let swept = SocketAddress.removeAbandoned(in: settings.socketDirectory)
            if swept > 0 {
                logger.info("sockets of earlier endpoints were removed", metadata: ["count": .stringConvertible(swept)])
            }
            await context.runSupport()
        } makeSession: { spec in
            switch spec {
            case .client(let message): ClientSession(message, context)
            case .endpoint(let message): EndpointSession(message, context)
            case .service(let message): RegistrationSession(message, context)
            }
        }
    }

    /// - Parameters:
    ///   - support: What all sessions need while they run.
    ///   - makeSession: Makes the session of a spec.
    init(
        _ settings: ServiceSettings, logger: Logger, register: NameRegister = NameRegister(),
        support: @escaping @Sendable () async -> Void, makeSession: @escaping @Sendable (Spec) -> any ServiceSession
    ) {
        self.logger = logger
        self.support = support
        self.makeSession = makeSession
        self.register = register
        nameServers = NameServers(settings, logger: logger)
        resolver = nameServers.resolver
        resolverAddress = settings.resolverAddress
        (changes, tell) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        (orders, order) = AsyncStream.makeStream()
    }

    // MARK: - Life

    /// Keeps what is declared until the task is cancelled, which leaves all connections as they are.
    public nonisolated func run() async {
        await beginNameServers()
        await withDiscardingTaskGroup { group in
            group.addTask { await self.resolve() }
            for await order in orders {
                switch order {
                case .support: group.addTask { await self.support() }
                case .session(let key, let number, let session, let stop):
                    group.addTask { await self.live(key, number, session, stop) }
                case .look(let names): group.addTask { await self.lookNow(at: names) }
                }
            }
            group.cancelAll()
        }
        await leaveNameServers()
    }

    /// Answers questions of DNS, where that is wanted.
    private nonisolated func resolve() async {
        await resolver?.run(at: resolverAddress, variable: MeshEnvironment.ofProcess) {
            await self.applyNameServers()
        }
    }

    private func beginNameServers() { nameServers.begin() }

    /// Nobody asks a resolver that has gone.
    private func leaveNameServers() { nameServers.leave() }

    /// Runs one session from its start until `stop` finishes, and then ends it in the mesh.
    private nonisolated func live(
        _ key: Key, _ number: Int, _ session: any ServiceSession, _ stop: AsyncStream<Void>
    ) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await session.run { report in await self.note(key, number, report) } }
            group.addTask { for await _ in stop {} }
            await group.next()
            group.cancelAll()
        }
        if Task.isCancelled { return }
        do {
            try await session.close()
        } catch {
            logger.warning(
                "the mesh was not told of an end, which comes with its tokens then",
                metadata: ["key": "\(key)", "error": "\(error)"])
        }
        await end(key, number)
    }

    /// Schedules a look at the clients' interfaces, as the kernel reported a change of them. Returns at once.
    public nonisolated func look(at interfaces: Set<String>) {
        if !interfaces.isEmpty { order.yield(.look(interfaces)) }
    }

    private func lookNow(at interfaces: Set<String>) async {
        let concerned = active.values.filter { $0.spec.isConcerned(by: interfaces) }
        await withDiscardingTaskGroup { group in
            for one in concerned { group.addTask { await one.session.lookAtInterface() } }
        }
    }

    // MARK: - What is declared

    /// Takes in what changed of what is declared; nil: it is not declared any more. Returns at once; sessions start and end beside.
    ///
    /// Calls must not overlap: the order of differences matters.
    public func declare(_ changes: [Key: Spec?]) {
        let differences = changes.filter { wanted[$0.key] != $0.value }
        for (key, spec) in differences {
            giveBackName(of: key, next: spec)
            wanted[key] = spec
            if let known = active[key], !known.isEnding, known.spec != spec { stop(key) }
        }
        // Names that are written down come before those that follow from a prefix.
        for key in nameless.union(differences.keys) { takeName(of: key) }
        for key in differences.keys.sorted() where active[key] == nil { start(key) }
        publish()
    }

    /// A name that was taken for what was declared before and never came to be.
    private func giveBackName(of key: Key, next: Spec?) {
        guard let name = wanted[key]?.interfaceName, wanted[key] != next else { return }
        if name != active[key]?.spec.interfaceName { register.release(name, of: key) }
    }

    private func takeName(of key: Key) {
        if case .client(let message)? = wanted[key], !register.take(message.interfaceName, for: key) {
            nameless.insert(key)
        } else {
            nameless.remove(key)
        }
    }

    private func start(_ key: Key) {
        guard let spec = wanted[key] else { return }
        if !hasSupport {
            hasSupport = true
            order.yield(.support)
        }
        lastNumber += 1
        let session = makeSession(spec)
        let (stream, stop) = AsyncStream.makeStream(of: Void.self)
        active[key] = Active(number: lastNumber, spec: spec, session: session, stop: stop)
        current[key] = ServiceStanding(.waiting(["its start"]))
        note(key)
        order.yield(.session(key, number: lastNumber, session, stop: stream))
    }

    /// Notes that there is something to tell of it.
    private func note(_ key: Key, _ parts: Set<String> = []) {
        changed[key, default: []].formUnion(parts)
        unsettled.insert(key)
    }

    /// What its connections brought stays until they are closed.
    private func stop(_ key: Key) {
        active[key]?.isEnding = true
        active[key]?.stop.finish()
        current[key]?.wait(for: ["the end of what was declared before"])
        note(key)
    }

    private func end(_ key: Key, _ number: Int) {
        guard let known = active[key], known.number == number else { return }
        active[key] = nil
        note(key, Set(current.removeValue(forKey: key)?.parts.keys.map { $0 } ?? []))
        if case .client(let message) = known.spec { register.release(message.interfaceName, of: key) }
        takeName(of: key)
        start(key)
        publish()
    }

    // MARK: - How it stands

    private func note(_ key: Key, _ number: Int, _ report: ServiceReport) {
        guard let known = active[key], known.number == number, !known.isEnding,
            let change = current[key]?.take(report), !change.isNone
        else { return }
        if !change.problems.isEmpty {
            logger.warning(
                "not all that the mesh says can be used",
                metadata: ["key": "\(key)", "problems": "\(change.problems.joined(separator: "; "))"])
        }
        note(key, change.parts)
        publish()
    }

    private func publish() {
        if nameServers.isUsed { applyNameServers() }
        unsettled = []
        if !changed.isEmpty { tell.yield() }
    }

    /// What changed since the last call; nil: no session keeps the connection any more.
    public func takeChanges() -> [Key: ServiceReport?] {
        defer { changed = [:] }
        return Dictionary(uniqueKeysWithValues: changed.map { key, parts in (key, current[key]?.report(of: parts)) })
    }

    private func applyNameServers() {
        for key in unsettled {
            let standing = current[key]
            given[key] = standing.flatMap { $0.nameServers.isEmpty ? nil : $0.nameServers }
            // Nothing but clients that say how they stand give name servers, or are known to give none.
            if case .client? = active[key]?.spec, let standing, standing.observation != .inPlace, standing.parts.isEmpty
            {
                silent.insert(key)
            } else {
                silent.remove(key)
            }
        }
        nameServers.apply(given.sorted { $0.key < $1.key }.map(\.value), isPartial: !silent.isEmpty)
    }

    /// How all stand now, with all that they brought.
    var reportsNow: [Key: ServiceReport] { current.mapValues(\.whole) }

    /// What status says of each client and endpoint beside its state, as things are now.
    public func notes() -> [Key: ServiceNote] {
        var notes: [Key: ServiceNote] = [:]
        for (key, known) in active {
            var note = known.session.note
            if let report = current[key] {
                note.facts += nameServers.facts(of: report.nameServers)
                note.facts += report.problems
                if known.isEnding, case .waiting(let reasons) = report.observation { note.waiting = reasons }
            }
            notes[key] = note
        }
        return notes
    }
}

// MARK: - What is spared

extension NetworkServices.Spec {
    /// The name that its interface has; nil when that is known only with its connections.
    public var interfaceName: String? {
        switch self {
        case .client(let message): message.interfaceName
        case .endpoint, .service: nil
        }
    }

    /// What the names of its interfaces begin with; nil when there is one interface with a name of its own.
    public var interfacePrefix: String? {
        switch self {
        case .client, .service: nil
        case .endpoint(let message): message.interfaceNamePrefix
        }
    }

    /// Whether one of these interfaces may be that of a connection that it asked for. Others go with those who asked.
    func isConcerned(by interfaces: Set<String>) -> Bool {
        switch self {
        case .client(let message): interfaces.contains(message.interfaceName)
        case .endpoint(let message): message.vl3 && interfaces.contains { $0.hasPrefix(message.interfaceNamePrefix) }
        case .service: false
        }
    }

    /// Whether routes of its policies may be in a table.
    public func mayUse(table: UInt32) -> Bool {
        guard case .client(let message) = self, Marks.clientTables.contains(table) else { return false }
        return (0..<PolicyTables.limit).contains { PolicyTables.table(of: message.name, $0) == table }
    }
}
