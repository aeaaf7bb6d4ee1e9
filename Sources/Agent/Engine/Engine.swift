internal import Concurrency
public import Containers
public import Logging
internal import LinuxKinds
internal import Model
public import NSMServices
internal import Netlink
public import Northbound
internal import Reconciler
internal import Synchronization

/// Keeps the network of this host as the files say, as long as the process lives.
///
/// An actor with a thread of its own, which waits in the ``NetworkLoop``: for the kernel's events, for changes of the files and
/// for calls of others.
public actor Engine {
    /// The options of an engine.
    public struct Options: Sendable {
        /// Owner, marks, places.
        public var settings: AgentSettings
        /// The directory of configuration files.
        public var configPath: String
        /// Whether drift is repaired, or only reported.
        public var repairsDrift: Bool
        /// A file that is declared once, before all other sources; nil: there is none.
        public var initialFile: String?
        /// What is to be said of faces by which everybody can change things.
        public var openFaces: [String] = []
        /// Whether a missing directory of files is logged.
        public var needsFiles = true
        /// Where the mesh is.
        public var services: ServiceSettings
        /// How often values are compared of which no event tells, nanoseconds; nil: never.
        public var auditInterval: Int64?
        /// The file that keeps what clients declare; nil: the next start knows nothing of it.
        public var journal: String?
        /// The file that keeps what was done; nil: it is kept in memory.
        public var history: String?
        /// Where the gRPC face listens; nil: nowhere.
        public var grpc: GRPCSettings?
        /// Where in etcd values are declared; nil: nowhere.
        public var etcd: EtcdSettings?
        /// Which Kubernetes resources declare values; nil: none.
        public var kubernetes: KubernetesSettings?
        /// Where the REST face listens; nil: nowhere.
        public var rest: RESTSettings?
        /// Where containers are looked for that values name.
        public var containers = ContainerSettings()

        /// Makes options.
        public init(
            settings: AgentSettings, configPath: String, repairsDrift: Bool = true, services: ServiceSettings,
            auditInterval: Int64? = 60_000_000_000, journal: String? = nil, grpc: GRPCSettings? = nil,
            etcd: EtcdSettings? = nil, kubernetes: KubernetesSettings? = nil, rest: RESTSettings? = nil
        ) {
            self.journal = journal
            self.auditInterval = auditInterval
            self.settings = settings
            self.configPath = configPath
            self.repairsDrift = repairsDrift
            self.services = services
            self.grpc = grpc
            self.etcd = etcd
            self.kubernetes = kubernetes
            self.rest = rest
        }
    }

    /// The files as far as they were read.
    struct Files {
        var names: [String] = []
        /// Those that were read, also if they have mistakes.
        var read: [String] = []
        var mistakes: [String] = []
        var warnings: [String] = []
        /// What follows from files that say nothing, as long as nothing is in force.
        var silence: String?
    }

    enum Token {
        static let files: UInt64 = 1
        static let mounts: UInt64 = 2
    }

    nonisolated let thread: ThreadExecutor
    nonisolated let options: Options
    nonisolated let clock: SteadyClock
    nonisolated let logger: Logger
    nonisolated let manager: ServiceManager
    /// Why the configuration is to be read again, as it comes up.
    nonisolated let reloads: AsyncStream<ReloadReason>
    nonisolated let reloadRequests: AsyncStream<ReloadReason>.Continuation

    /// Keeps the connections of declared clients and endpoints.
    nonisolated let services: NetworkServices

    /// Looks for containers that values name.
    nonisolated let containers: ContainerWatch

    /// Keeps what was done, and what was declared then.
    nonisolated let history: HistoryStore

    /// One read of the files after the other.
    nonisolated let reloading = Gate(1)
    /// The files as last read. A read holds the lock, away from the engine's thread.
    nonisolated let configuration: Mutex<ConfigFiles>

    /// Yields when an operator accepts what the sources hold, even if they lost data.
    nonisolated let acceptance = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))

    /// What clients follow.
    nonisolated let happenings = Mutex(Happenings())

    let loop: NetworkLoop
    let directory: ConfigDirectory
    let start: Timestamp
    let measures = TransactionMeasures()
    var files = Files()
    /// Whether the files were read, or looked for in vain.
    var hasReadFiles = false
    /// What clients declared, and declare.
    var memory: ClientMemory
    /// What of the history could not be read at the start, for the operator.
    nonisolated let historyWarnings: [String]
    /// Why the history was last only in memory; nil: it was not.
    var historyObstacle: String?
    /// Declared interfaces as they were last reported.
    var interfaceFacts: [String: InterfaceFacts] = [:]
    /// Whether files were read that wait for other sources.
    var hasWaitingFiles = false
    /// Whether they have waited long enough.
    var isPatienceOver = false
    /// What is to be said of sources that are not files.
    var sourceWarnings: [String: String] = [:]
    /// Which files changed since they were read.
    var changedFiles = FileChanges.none

    /// Why the engine can't go on.
    private var obstacle: AgentError?
    /// The latest moment at which changed files are read, nanoseconds of CLOCK_MONOTONIC.
    var filesDueAtLatest: Int64 = 0

    var network: HostNetwork { loop.network }

    /// The engine's own thread.
    public nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    /// Makes an engine that does nothing until ``run()``.
    ///
    /// - Throws: when the process has no descriptors left.
    public init(_ options: Options, manager: ServiceManager, logger: Logger) throws(AgentError) {
        self.options = options
        self.manager = manager
        services = NetworkServices(options.services, logger: logger)
        let containers = ContainerWatch(options.containers, logger: logger)
        self.containers = containers
        self.logger = logger
        let network = HostNetwork(options.settings, clients: options.services.clients)
        network.reconciler.repairsDrift = options.repairsDrift
        network.looksForContainers = { names in containers.look(for: Set(names.map(ContainerQuery.init))) }
        if options.etcd != nil { network.awaitedSources.insert(EtcdSource.name) }
        if options.kubernetes != nil { network.awaitedSources.insert(KubernetesSource.name) }
        clock = network.clock
        start = clock.now
        do {
            // The one before us may still be stopping.
            try network.world.lock(patience: .seconds(10)) { inUse in
                logger.info("waiting for its end", metadata: ["what": "\(inUse)"])
            }
        } catch let inUse as LabelInUse {
            throw AgentError("\(inUse); stop it or give another --label")
        } catch {
            throw AgentError("the label '\(options.settings.label)' can't be taken hold of: \(error)")
        }
        memory = try ClientMemory(options.journal)
        for warning in memory.warnings { logger.warning("values of clients", metadata: ["problem": "\(warning)"]) }
        let past: HistoryStore.Opened
        do {
            past = try HistoryStore.open(options.history)
        } catch {
            throw AgentError("the history can't be kept: \(error)")
        }
        history = past.store
        historyWarnings = past.warnings
        do {
            loop = try NetworkLoop(network)
        } catch {
            throw AgentError("the event loop can't be made: \(error)")
        }
        thread = ThreadExecutor { [waker = loop.waker] in waker.wakeUp() }
        guard let directory = ConfigDirectory(path: options.configPath) else {
            throw AgentError("no inotify instance is left; raise fs.inotify.max_user_instances")
        }
        self.directory = directory
        configuration = Mutex(
            ConfigFiles(
                paths: [options.configPath], label: options.settings.label, names: HostNames.resolver,
                silence: .isMistakeAfterWords))
        (reloads, reloadRequests) = AsyncStream.makeStream()
        loop.auditInterval = options.auditInterval
        loop.set(.watchdog, at: manager.watchdogInterval.map { _ in 0 })
        Self.restore(past, in: network, logger)
    }

    // MARK: - The thread's life

    /// Starts the thread and keeps the network until the task is cancelled, which leaves everything as it is.
    public nonisolated func run() async throws {
        do {
            try thread.start { self.assumeIsolated { $0.turn() } }
        } catch {
            throw AgentError("\(error)")
        }
        try await listen()
        await readInitialFile()
        await reload(.start)
        await noteFilesRead()
        if await hasServiceChanges() { try await reloading.run { await self.declareServices() } }
        await withDiscardingTaskGroup { group in
            group.addTask { await self.services.run() }
            group.addTask { await self.followServices() }
            group.addTask { await self.containers.run() }
            group.addTask { await self.followContainers() }
            group.addTask { await self.endPatience() }
            for await reason in reloads { await reload(reason) }
            group.cancelAll()
        }
        happenings.withLock { $0.finish() }
        await history.settle()
        if let obstacle = await obstacle { throw obstacle }
    }

    private func noteFilesRead() {
        hasReadFiles = true
        enforceInitial()
        enforceRestored()
    }

    /// Asks for the configuration to be read again.
    public nonisolated func requestReload(_ reason: ReloadReason) { reloadRequests.yield(reason) }

    /// Ends the engine's run, as it can't do what it is there for.
    func end(_ reason: AgentError) {
        obstacle = reason
        reloadRequests.finish()
    }

    private func listen() throws(AgentError) {
        do {
            try loop.add(directory.descriptor, token: Token.files)
            if directory.mounts >= 0 { try loop.addPriority(directory.mounts, token: Token.mounts) }
            try loop.watch()
        } catch {
            throw AgentError("can't subscribe to the kernel's events: \(error)")
        }
    }

    /// Waits for what happens next, and handles it.
    private func turn() {
        do {
            take(try loop.turn())
        } catch {
            preconditionFailure("epoll_wait: \(error)")
        }
    }
}

/// Why an agent can't start, in words for the operator.
public struct AgentError: Error, Sendable, CustomStringConvertible {
    /// What is wrong and what to do.
    public let description: String

    /// Makes an error.
    public init(_ description: String) { self.description = description }
}

/// Why the configuration is read.
public enum ReloadReason: String, Sendable {
    /// The agent starts.
    case start
    /// The files changed.
    case files
    /// They can't be watched, and it is time to look at them.
    case poll
    /// `SIGHUP`.
    case signal
    /// Somebody asked for it by the control service.
    case request
}
