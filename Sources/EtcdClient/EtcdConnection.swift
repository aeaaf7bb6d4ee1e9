internal import FoundationEssentials
internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
internal import Synchronization

/// A connection to one member of etcd.
public struct EtcdConnection: Sendable {
    typealias Client = GRPCClient<HTTP2ClientTransport.Posix>

    /// The member.
    public let endpoint: EtcdEndpoint
    /// What it said of itself when it was connected.
    public let status: EtcdStatus
    let configuration: EtcdConfiguration
    let client: Client
    private let token: Token

    /// What etcd gave for the password. It ends some time after it was last used.
    private final class Token: Sendable {
        let text = Mutex<String?>(nil)
    }

    /// Asks the member who it is.
    ///
    /// - Throws: ``EtcdError``, also when it has no leader.
    init(_ client: Client, _ endpoint: EtcdEndpoint, _ configuration: EtcdConfiguration) async throws(EtcdError) {
        self.client = client
        self.endpoint = endpoint
        self.configuration = configuration
        token = Token()
        if let credentials = configuration.credentials {
            token.text.withLock { $0 = "" }
            try await Self.authenticate(client, endpoint, configuration, credentials, token)
        }
        let maintenance = Etcdserverpb_Maintenance.Client(wrapping: client)
        let metadata = Self.metadata(token)
        let answer = try await Self.explained(endpoint) {
            try await maintenance.status(
                Etcdserverpb_StatusRequest(), metadata: metadata,
                options: Self.options(configuration, configuration.dialTimeout))
        }
        status = EtcdStatus(answer)
        guard status.leader != 0 else { throw EtcdError(.unreachable, "it has no leader", endpoint) }
        guard !status.isLearner else { throw EtcdError(.unreachable, "it only learns yet", endpoint) }
    }

    private static func authenticate(
        _ client: Client, _ endpoint: EtcdEndpoint, _ configuration: EtcdConfiguration,
        _ credentials: EtcdConfiguration.Credentials, _ token: Token
    ) async throws(EtcdError) {
        var request = Etcdserverpb_AuthenticateRequest()
        request.name = credentials.user
        request.password = credentials.password
        let message = request
        let auth = Etcdserverpb_Auth.Client(wrapping: client)
        do throws(EtcdError) {
            let answer = try await explained(endpoint) {
                try await auth.authenticate(message, options: options(configuration, configuration.dialTimeout))
            }
            token.text.withLock { $0 = answer.token }
        } catch  where error.text.contains("authentication is not enabled") {
            // An etcd with users may not require passwords yet.
            token.text.withLock { $0 = nil }
        }
    }

    // MARK: - Calls

    private static func metadata(_ token: Token) -> Metadata {
        token.text.withLock { $0 }.map { ["token": "\($0)"] } ?? [:]
    }

    /// What goes along with a stream: etcd ends it when the member loses its leader.
    func streamMetadata() -> Metadata {
        var metadata = Self.metadata(token)
        metadata.addString("true", forKey: "hasleader")
        return metadata
    }

    static func options(_ configuration: EtcdConfiguration, _ timeout: Duration?) -> CallOptions {
        var options = CallOptions.defaults
        options.timeout = timeout
        options.waitForReady = false
        // The transport takes this one as the limit of what comes in, too.
        options.maxRequestMessageBytes = configuration.messageLimit
        options.maxResponseMessageBytes = configuration.messageLimit
        return options
    }

    static func explained<Result: Sendable>(
        _ endpoint: EtcdEndpoint, _ body: @Sendable () async throws -> Result
    ) async throws(EtcdError) -> Result {
        do {
            return try await body()
        } catch let error as RPCError {
            throw EtcdError(error, endpoint)
        } catch let error as EtcdError {
            throw error
        } catch {
            throw EtcdError(.unreachable, "\(error)", endpoint)
        }
    }

    /// Makes a call, once more with a new token when the old one has ended.
    func call<Answer: Sendable>(
        _ body: @Sendable (Metadata, CallOptions) async throws -> Answer
    ) async throws(EtcdError) -> Answer {
        let options = Self.options(configuration, configuration.operationTimeout)
        do throws(EtcdError) {
            let metadata = Self.metadata(token)
            return try await Self.explained(endpoint) { try await body(metadata, options) }
        } catch {
            guard let credentials = configuration.credentials, error.code == .unauthenticated else { throw error }
            try await Self.authenticate(client, endpoint, configuration, credentials, token)
            let metadata = Self.metadata(token)
            return try await Self.explained(endpoint) { try await body(metadata, options) }
        }
    }

    /// - Throws: when behind the address there is another cluster by now.
    func requireCluster(_ header: Etcdserverpb_ResponseHeader) throws(EtcdError) {
        guard header.clusterID == status.cluster else {
            throw EtcdError(.unreachable, "another cluster answers than the one that was connected", endpoint)
        }
    }

    // MARK: - Keys

    /// The most bytes of keys and values that a range may have.
    private static let mostBytes = 256 << 20

    /// Everything in a range, at one moment, read in pages.
    ///
    /// - Parameter past: The revision to read, as long as etcd has not compacted it; nil: the present one. The revision of the
    ///   snapshot is the present one either way.
    /// - Throws: ``EtcdError``, ``EtcdError/Code/compacted(_:)`` when the past one is not there any more.
    public func range(_ range: EtcdRange, at past: Int64? = nil) async throws(EtcdError) -> EtcdSnapshot {
        var request = Etcdserverpb_RangeRequest()
        request.revision = past ?? 0
        request.key = Data(range.key)
        request.rangeEnd = Data(range.end)
        request.limit = Int64(configuration.pageSize)
        var snapshot = EtcdSnapshot(entries: [], revision: 0, cluster: status.cluster)
        var size = 0
        while true {
            let answer: Etcdserverpb_RangeResponse
            do throws(EtcdError) {
                answer = try await page(request)
            } catch  where error.code == .tooLarge && request.limit > 1 {
                request.limit = max(1, request.limit / 8)
                continue
            }
            if snapshot.revision == 0 { snapshot.revision = answer.header.revision }
            snapshot.entries += answer.kvs.map(EtcdEntry.init)
            size += answer.kvs.reduce(0) { $0 + $1.key.count + $1.value.count }
            guard size <= Self.mostBytes else {
                throw EtcdError(.tooLarge, "more than \(Self.mostBytes >> 20) MiB in the range", endpoint)
            }
            guard answer.more, let last = answer.kvs.last else { return snapshot }
            request.revision = past ?? snapshot.revision
            request.key = last.key + [0]
        }
    }

    private func page(_ request: Etcdserverpb_RangeRequest) async throws(EtcdError) -> Etcdserverpb_RangeResponse {
        let kv = Etcdserverpb_KV.Client(wrapping: client)
        let answer = try await call { try await kv.range(request, metadata: $0, options: $1) }
        try requireCluster(answer.header)
        guard (1..<Int64.max).contains(answer.header.revision) else {
            throw EtcdError(.unreachable, "the member tells an impossible revision", endpoint)
        }
        return answer
    }

    /// What is stored under a key; nil: nothing.
    ///
    /// - Throws: ``EtcdError``.
    public func get(_ key: String) async throws(EtcdError) -> EtcdEntry? { try await range(.key(key)).entries.first }

    /// Writes a key. Returns the revision.
    ///
    /// - Parameter lease: With which the key goes; 0: it stays.
    /// - Throws: ``EtcdError``.
    @discardableResult
    public func put(_ key: String, _ value: [UInt8], lease: Int64 = 0) async throws(EtcdError) -> Int64 {
        var request = Etcdserverpb_PutRequest()
        request.key = Data(key.utf8)
        request.value = Data(value)
        request.lease = lease
        let message = request
        let kv = Etcdserverpb_KV.Client(wrapping: client)
        let answer = try await call { try await kv.put(message, metadata: $0, options: $1) }
        return answer.header.revision
    }

    /// Removes keys. Returns how many there were.
    ///
    /// - Throws: ``EtcdError``.
    @discardableResult
    public func delete(_ range: EtcdRange) async throws(EtcdError) -> Int {
        var request = Etcdserverpb_DeleteRangeRequest()
        request.key = Data(range.key)
        request.rangeEnd = Data(range.end)
        let message = request
        let kv = Etcdserverpb_KV.Client(wrapping: client)
        let answer = try await call { try await kv.deleteRange(message, metadata: $0, options: $1) }
        return Int(answer.deleted)
    }

    /// Does all of `then` if all conditions hold, else all of `otherwise`. Returns whether they held.
    ///
    /// - Throws: ``EtcdError``; etcd takes 128 operations at once unless configured otherwise.
    public func transaction(
        if conditions: [EtcdCondition] = [], then: [EtcdOperation], otherwise: [EtcdOperation] = []
    ) async throws(EtcdError) -> Bool {
        var request = Etcdserverpb_TxnRequest()
        request.compare = conditions.map(\.message)
        request.success = then.map(\.message)
        request.failure = otherwise.map(\.message)
        return try await perform(request).succeeded
    }

    /// Does all of the operations, or none of them when a condition does not hold. Returns the revision; nil: none was done.
    ///
    /// - Throws: ``EtcdError``.
    public func commit(
        if conditions: [EtcdCondition] = [], _ operations: [EtcdOperation]
    ) async throws(EtcdError) -> Int64? {
        var request = Etcdserverpb_TxnRequest()
        request.compare = conditions.map(\.message)
        request.success = operations.map(\.message)
        let answer = try await perform(request)
        return answer.succeeded ? answer.header.revision : nil
    }

    private func perform(_ request: Etcdserverpb_TxnRequest) async throws(EtcdError) -> Etcdserverpb_TxnResponse {
        let kv = Etcdserverpb_KV.Client(wrapping: client)
        return try await call { try await kv.txn(request, metadata: $0, options: $1) }
    }

    /// Forgets what was before a revision.
    ///
    /// - Throws: ``EtcdError``.
    public func compact(before revision: Int64) async throws(EtcdError) {
        var request = Etcdserverpb_CompactionRequest()
        request.revision = revision
        let message = request
        let kv = Etcdserverpb_KV.Client(wrapping: client)
        _ = try await call { try await kv.compact(message, metadata: $0, options: $1) }
    }
}
