internal import Concurrency
internal import Model
internal import Reconciler

/// The agent for read-only clients: expensive answers are computed once a second, however many clients ask.
struct LookerBackend: RESTBackend {
    private let backend: any RESTBackend
    private let declared: Recent<[DeclaredValue]>
    private let inPlace: Recent<Result<[ModelValue], any Error>>
    private let states: Recent<[ProvidedStatus]>
    private let transactions: Recent<[Transaction]>
    private let edges: Recent<[GraphEdge]>
    private let links: Recent<[InterfaceDevice]>
    private let traffic: Recent<[InterfaceDevice]>

    init(_ backend: any RESTBackend) {
        self.backend = backend
        declared = Recent { await backend.declaredValues() }
        inPlace = Recent {
            do {
                return .success(try await backend.observedValues())
            } catch {
                return .failure(error)
            }
        }
        states = Recent { await backend.statuses(prefix: "") }
        transactions = Recent { await backend.pastTransactions() }
        edges = Recent { await backend.dependencies(prefix: "") }
        links = Recent { await backend.devices(withTraffic: false) }
        traffic = Recent { await backend.devices(withTraffic: true) }
    }

    func declaredValues() async -> [DeclaredValue] { await declared.value() }
    /// Who looks repairs nothing.
    func valuesInPlace() async throws -> [ModelValue] { try await observedValues() }
    func observedValues() async throws -> [ModelValue] { try await inPlace.value().get() }
    func statuses(prefix: String) async -> [ProvidedStatus] {
        let all = await states.value()
        return prefix.isEmpty ? all : all.filter { $0.status.key.hasPrefix(prefix) }
    }
    func pastTransactions() async -> [Transaction] { await transactions.value() }
    func dependencies(prefix: String) async -> [GraphEdge] {
        prefix.isEmpty ? await edges.value() : await backend.dependencies(prefix: prefix)
    }
    func devices(withTraffic: Bool) async -> [InterfaceDevice] { await (withTraffic ? traffic : links).value() }

    // MARK: - What takes no time, or is not for lookers

    func agentReport() async -> AgentReport { await backend.agentReport() }
    func turns() -> AsyncStream<Void> { backend.turns() }
    func routeProtocol() async -> UInt8 { await backend.routeProtocol() }
    func status(key: Key) async -> ProvidedStatus? { await backend.status(key: key) }
    func parts(key: Key) async -> [ValueStatus] { await backend.parts(key: key) }
    func sources(of keys: [Key]) async -> [[String]] { await backend.sources(of: keys) }
    func read(configuration bytes: [UInt8]) async -> LoadedConfig { await backend.read(configuration: bytes) }
    func logLevel() async -> String? { await backend.logLevel() }
    func setLogLevel(_ name: String) async -> Bool { await backend.setLogLevel(name) }
    func resynchronise(retries: Bool) async throws -> Transaction? {
        try await backend.resynchronise(retries: retries)
    }
    func change(_ request: ConfigurationRequest) async throws -> ConfigurationAnswer {
        try await backend.change(request)
    }
    func waitUntilDone(_ keys: [Key]) async { await backend.waitUntilDone(keys) }
    func stateChanges(isOwn: Bool) -> AsyncStream<[DeclaredValue]> { backend.stateChanges(isOwn: isOwn) }
    func interfaceEvents(from number: UInt64) -> AsyncStream<InterfaceEvent> { backend.interfaceEvents(from: number) }
}

/// Something that takes long to read, read once for all who want it within some time.
actor Recent<Value: Sendable> {
    private let time: Duration
    private let read: @Sendable () async -> Value
    private var last: (start: ContinuousClock.Instant, reading: Task<Value, Never>)?

    init(for time: Duration = .seconds(1), _ read: @escaping @Sendable () async -> Value) {
        self.time = time
        self.read = read
    }

    func value() async -> Value {
        if let last, ContinuousClock.now - last.start < time { return await last.reading.value }
        let reading = Task { [read] in await read() }
        last = (.now, reading)
        return await reading.value
    }
}
