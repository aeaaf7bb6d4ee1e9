internal import Concurrency
internal import EtcdClient
public import Logging
internal import Synchronization

/// Declares what etcd holds for this agent, and follows it.
///
/// Without etcd nothing changes: what was declared stays, and what changed meanwhile is taken in when it is back.
public struct EtcdSource: Sendable {
    /// The name under which it declares.
    public static let name = "etcd"
    /// How often etcd is asked whether it is there.
    private static let probeInterval = Duration.seconds(5)
    /// What it is asked for; nobody writes it.
    private static let probeKey = "/probe-etcd-connection"

    private let settings: EtcdSettings
    private let client: EtcdClient
    private let intake: EtcdIntake
    private let logger: Logger

    /// Makes a source that has not dialled yet.
    public init(_ settings: EtcdSettings, backend: some ConfigurationBackend, logger: Logger) {
        self.settings = settings
        self.logger = logger
        client = EtcdClient(settings.client, logger: logger)
        intake = EtcdIntake(EtcdMirror(prefix: settings.prefix), backend: backend, logger: logger)
    }

    /// Follows etcd until the task is cancelled.
    public func run() async {
        defer { intake.stop() }
        let last = Mutex("")
        await client.keepConnected { connection in
            logger.info(
                "connected to etcd",
                metadata: ["endpoint": "\(connection.endpoint)", "version": "\(connection.status.version)"])
            last.withLock { $0 = "" }
            try await serve(connection)
        } failed: { error, _ in
            let text = error.description
            let isNew = last.withLock { last in
                defer { last = text }
                return last != text
            }
            if !isNew { return }
            logger.warning("no etcd; what is in force stays", metadata: ["error": "\(text)"])
        }
    }

    private func serve(_ connection: EtcdConnection) async throws {
        let range = EtcdMirror(prefix: settings.prefix).range
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await connection.follow(range) { update in await intake.take(update, from: connection.endpoint) }
            }
            group.addTask {
                while true {
                    try await Task.sleep(for: Self.probeInterval)
                    _ = try await connection.get(Self.probeKey)
                }
            }
            defer { group.cancelAll() }
            try await group.next()
        }
    }
}
