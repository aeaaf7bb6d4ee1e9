internal import GRPCCore
public import Logging
public import SPIFFE
internal import Synchronization

/// The identity that the SPIFFE Workload API gives this process, followed for as long as ``run()`` runs.
///
/// While the API is away the last identity stays.
public final class WorkloadIdentity: IdentitySource {
    private let socket: String
    private let hint: String?
    private let logger: Logger
    /// By how much the waits between tries grow.
    private let step: Duration
    private let store = IdentityStore()
    private let error = Mutex<String?>(nil)
    /// How long the API may take to take the connection.
    private static let patience = Duration.seconds(10)

    /// Asks a Workload API.
    ///
    /// - Parameters:
    ///   - socket: Where it is: `unix:///path`, `unix:@name` or `tcp://address:port`; see ``WorkloadEndpoint``.
    ///   - hint: Which identity to take when there are several: the first with this hint. Nil: the first of all.
    ///   - logger: What goes wrong goes here.
    public convenience init(socket: String, hint: String? = nil, logger: Logger) {
        self.init(socket: socket, hint: hint, logger: logger, step: .seconds(1))
    }

    /// Waits one, two … thirty `step`s after tries that failed one after another.
    package init(socket: String, hint: String? = nil, logger: Logger, step: Duration) {
        self.socket = socket
        self.hint = hint
        self.logger = logger
        self.step = step
    }

    /// The newest identity; waits for the first one.
    public func identity() async throws -> Identity { try await store.wait() }

    /// The present identity, if there is one, and then each new one.
    public func identities() -> AsyncStream<Identity> { store.follow() }

    /// Whether there is one.
    public var hasIdentity: Bool { store.current != nil }

    /// Why the last attempt brought no identity; nil if the API answered it.
    public var lastError: String? { error.withLock { $0 } }

    /// Follows the API until the task is cancelled, or the API says that the request is wrong.
    public func run() async {
        var failures = 0
        while !Task.isCancelled {
            let before = store.current?.svid.chain
            do {
                try await follow()
                note("the stream ended")
            } catch let error as RPCError where error.code == .invalidArgument {
                note("the Workload API refuses the request: \(error.message)")
                return
            } catch is CancellationError {
                return
            } catch {
                note("\(error)")
            }
            failures = store.current?.svid.chain != before ? 1 : min(failures + 1, 30)
            let wait = step * failures * Double.random(in: 0.8...1)
            guard (try? await Task.sleep(for: wait)) != nil else { return }
        }
    }

    private func note(_ text: String) {
        if Task.isCancelled { return }
        let message = "the Workload API at \(socket): \(text)"
        let isNew = error.withLock { error in
            defer { error = message }
            return error != message
        }
        if isNew { logger.warning("no new identity", metadata: ["error": "\(message)"]) }
    }

    private func follow() async throws {
        let address = try WorkloadEndpoint(socket).address
        let connection = try await ClientConnection.connect(
            to: address, security: .insecure, timeout: Self.patience, takesDescriptors: false, logger: logger)
        defer { connection.closeNow() }
        try await withThrowingDiscardingTaskGroup { group in
            group.addTask { await connection.run() }
            defer { group.cancelAll() }
            try await connection.whileOpen { try await self.fetch(connection) }
            connection.closeNow()
        }
    }

    private func fetch(_ connection: ClientConnection) async throws {
        let api = SPIFFESpiffeWorkloadAPI.Client(wrapping: connection.client)
        try await api.fetchX509SVID(SPIFFEX509SVIDRequest(), metadata: ["workload.spiffe.io": "true"]) { response in
            for try await message in response.messages {
                do {
                    let identity = try Identity(message, hint: self.hint)
                    // Before anybody can have it.
                    self.error.withLock { $0 = nil }
                    self.store.replace(identity)
                } catch {
                    self.note("an answer can't be used: \(error)")
                }
            }
        }
    }
}
