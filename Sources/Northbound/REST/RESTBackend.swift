public import Concurrency
public import Model
public import Reconciler

/// The agent, in a few words and numbers.
public struct AgentReport: Sendable {
    /// Its version.
    public var version: String
    /// The commit that was built; empty: unknown.
    public var commit: String
    /// Whose objects it keeps.
    public var label: String
    /// When it was started, by the wall clock.
    public var start: Timestamp
    /// Whether it has read its files, so that what it says is how things are.
    public var isReady: Bool
    /// What is wrong with the files.
    public var mistakes: [String]
    /// What is to be said of them.
    public var warnings: [String]
    /// How many values are in each state.
    public var counts: [ValueState: Int]
    /// How many declared connections to network services, and services that are offered, are in each state.
    public var services: [String: Int]
    /// Requests to the kernel, and its reports.
    public var kernel: Kernel

    /// Numbers since the start.
    public struct Kernel: Sendable, Hashable {
        /// Lists of operations that were handed to it.
        public var batches: UInt64
        /// How long they took together.
        public var batchSeconds: Double
        /// Operations in them.
        public var operations: UInt64
        /// Events that it reported.
        public var events: UInt64
        /// How often it could not report all of them.
        public var overruns: UInt64

        /// Makes them.
        public init(batches: UInt64, batchSeconds: Double, operations: UInt64, events: UInt64, overruns: UInt64) {
            self.batches = batches
            self.batchSeconds = batchSeconds
            self.operations = operations
            self.events = events
            self.overruns = overruns
        }
    }

    /// Makes a report.
    public init(
        version: String, commit: String = "", label: String, start: Timestamp, isReady: Bool, mistakes: [String],
        warnings: [String], counts: [ValueState: Int], services: [String: Int], kernel: Kernel
    ) {
        self.version = version
        self.commit = commit
        self.label = label
        self.start = start
        self.isReady = isReady
        self.mistakes = mistakes
        self.warnings = warnings
        self.counts = counts
        self.services = services
        self.kernel = kernel
    }
}

/// A value's state and who provides the value.
public struct ProvidedStatus: Sendable {
    /// Its state; times are those of the wall clock.
    public var status: ValueStatus
    /// The source that is heard; empty: nobody declares it.
    public var source: String
    /// Sources that declare it as well and are not heard.
    public var otherSources: [String]

    /// Makes one.
    public init(status: ValueStatus, source: String, otherSources: [String]) {
        self.status = status
        self.source = source
        self.otherSources = otherSources
    }
}

/// A declared interface and its device in the kernel.
public struct InterfaceDevice: Sendable {
    /// As it was declared.
    public var message: Ligato_Linux_Interfaces_Interface
    /// The name in the kernel.
    public var hostName: String
    /// `ifi_index`.
    public var index: Int32
    /// `IFLA_LINK`.
    public var parent: Int32
    /// `IFLA_MASTER`.
    public var master: Int32
    /// `IFLA_OPERSTATE`.
    public var operationalState: UInt8
    /// `ifi_flags`.
    public var flags: UInt32
    /// `IFLA_ADDRESS` as text; empty: it has none.
    public var hardwareAddress: String
    /// `IFLA_MTU`.
    public var mtu: UInt32
    /// What it carried, where the kernel tells.
    public var traffic: Traffic?

    /// What a device carried.
    public struct Traffic: Sendable, Hashable {
        /// Packets that came.
        public var receivedPackets: UInt64 = 0
        /// Packets that left.
        public var sentPackets: UInt64 = 0
        /// Bytes that came.
        public var receivedBytes: UInt64 = 0
        /// Bytes that left.
        public var sentBytes: UInt64 = 0
        /// Packets that came with errors.
        public var receiveErrors: UInt64 = 0
        /// Packets that could not be sent.
        public var sendErrors: UInt64 = 0
        /// Packets that came and were dropped.
        public var receiveDrops: UInt64 = 0
        /// Packets that were to be sent and were dropped.
        public var sendDrops: UInt64 = 0

        /// None.
        public init() {}
    }

    /// Makes one.
    public init(
        message: Ligato_Linux_Interfaces_Interface, hostName: String, index: Int32, parent: Int32, master: Int32,
        operationalState: UInt8, flags: UInt32, hardwareAddress: String, mtu: UInt32, traffic: Traffic?
    ) {
        self.message = message
        self.hostName = hostName
        self.index = index
        self.parent = parent
        self.master = master
        self.operationalState = operationalState
        self.flags = flags
        self.hardwareAddress = hardwareAddress
        self.mtu = mtu
        self.traffic = traffic
    }
}

/// What the REST face asks of an agent beside its configuration.
public protocol RESTBackend: ConfigurationBackend {
    /// The agent itself.
    func agentReport() async -> AgentReport
    /// What the kernel has of ours; what differs stays as it is.
    ///
    /// - Throws: when it can't be read.
    func observedValues() async throws -> [ModelValue]
    /// The number in `rtm_protocol` of routes that are ours, from rtnetlink(7).
    func routeProtocol() async -> UInt8
    /// Values under a key prefix, sorted by key.
    func statuses(prefix: String) async -> [ProvidedStatus]
    /// The value with a key; nil: there is none.
    func status(key: Key) async -> ProvidedStatus?
    /// What is derived from the value with a key, sorted by key.
    func parts(key: Key) async -> [ValueStatus]
    /// Which sources declare the values with these keys, in the same order: the one that is heard, then the others.
    func sources(of keys: [Key]) async -> [[String]]
    /// Yields when the engine has done something. Turns that nobody waits for are one.
    func turns() -> AsyncStream<Void>
    /// Past transactions, oldest first; their starts are times of the wall clock.
    func pastTransactions() async -> [Transaction]
    /// What depends on what, of values under a key prefix.
    func dependencies(prefix: String) async -> [GraphEdge]
    /// Declared interfaces that are in the kernel, sorted by name.
    func devices(withTraffic: Bool) async -> [InterfaceDevice]
    /// Reads the kernel and makes it as it is wanted. Returns the transaction; nil: nothing was to be done.
    ///
    /// - Parameter retries: Whether what failed is tried again, also what was given up.
    /// - Throws: ``ConfigurationRefusal``.
    func resynchronise(retries: Bool) async throws -> Transaction?
    /// Reads a text as a configuration.
    func read(configuration bytes: [UInt8]) async -> LoadedConfig
    /// The least level that is logged; nil: it is not known.
    func logLevel() async -> String?
    /// Changes the least level that is logged. Returns whether there is such a level.
    func setLogLevel(_ name: String) async -> Bool
}
