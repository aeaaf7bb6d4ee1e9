internal import Concurrency
internal import EtcdClient
internal import Glibc
public import Logging

/// Declares what etcd holds for this agent, and follows it.
///
/// Without etcd nothing changes: what was declared stays, and what changed meanwhile is taken in when it is back.
public struct EtcdSource: Sendable {
    /// The name under which it declares.
    public static let name = SourceName.etcd
    /// How long until the status is written again after that failed.
    private static let publishRest = Duration.seconds(10)

    private let settings: EtcdSettings
    private let backend: any ConfigurationBackend
    private let client: EtcdClient
    private let intake: EtcdIntake
    private let publisher: EtcdPublisher
    private let wishes: AsyncStream<Void>
    private let logger: Logger

    /// Makes a source that has not dialled yet.
    public init(_ settings: EtcdSettings, backend: some ConfigurationBackend, logger: Logger) {
        self.settings = settings
        self.backend = backend
        self.logger = logger
        client = EtcdClient(settings.client, logger: logger)
        let mirror = EtcdMirror(
            prefix: settings.prefix,
            expand: settings.expandsVariables
                ? { VariableText.expand($0) { name in getenv(name).map { String(cString: $0) } } } : nil,
            past: settings.memory.flatMap { EtcdMemory.read($0) })
        intake = EtcdIntake(mirror, path: settings.memory, backend: backend, logger: logger)
        wishes = backend.acceptances()
        publisher = EtcdPublisher(settings: settings, backend: backend, start: .now)
    }

    /// Follows etcd until the task is cancelled.
    public func run() async {
        if let warning = settings.client.exposure {
            logger.warning("etcd", metadata: ["problem": "\(warning)"])
            await backend.note("\(Self.name) credentials", warning)
        }
        // What can't be declared must not keep the connection's work from ending.
        await withTaskCancellationHandler {
            await follow()
            await intake.write()
        } onCancel: {
            intake.stop()
        }
    }

    private func follow() async {
        let wishes = wishes
        async let accepted: Void = {
            for await _ in wishes { await intake.accept() }
        }()
        await client.keepConnected { connection in
            await intake.noteConnection(connection)
            try await serve(connection)
        } failed: { error, _ in
            await intake.noteLoss(error)
        }
        await accepted
    }

    private func serve(_ connection: EtcdConnection) async throws {
        let range = EtcdMirror(prefix: settings.prefix).range
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await connection.follow(range) { update in try await intake.take(update, from: connection) }
            }
            group.addTask { try await probe(connection) }
            group.addTask { try await publish(connection) }
            if let history = settings.history { group.addTask { try await compact(connection, history) } }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    /// How often in succession etcd may fail to answer. Without another member that may do better, one whose disk stalls is waited
    /// for: if all its agents came anew, it would have even more to do. One that is gone is noticed all the same, by HTTP/2.
    private var mostMisses: Int { settings.client.endpoints.count > 1 ? 0 : 2 }

    /// Asks for a key of the agent's own, so it needs no rights for others.
    private func probe(_ connection: EtcdConnection) async throws {
        // After etcd was away all agents come back at once; they need not ask at once from then on.
        try await Task.sleep(for: settings.probeInterval * Double.random(in: 0...1))
        var misses = 0
        while true {
            do {
                _ = try await connection.get(settings.prefix + "check/status/v1/agent")
                misses = 0
            } catch  where error.code == .timedOut && misses < mostMisses {
                misses += 1
            } catch {
                // That is an answer, too: who may read only the configuration need not read this.
                if error.code != .forbidden { throw error }
            }
            try await Task.sleep(for: settings.probeInterval)
        }
    }

    /// Who may read the configuration may perhaps not write.
    private func publish(_ connection: EtcdConnection) async throws {
        var told = ""
        while true {
            do {
                try await publisher.run(connection)
            } catch let error as EtcdError where error.code != .unreachable {
                // An etcd that is slow to write is followed all the same: to connect anew would only add to what it has to do.
                if "\(error)" != told {
                    logger.warning("the agent's status can't be written to etcd", metadata: ["error": "\(error)"])
                }
                told = "\(error)"
            }
            try await Task.sleep(for: Self.publishRest * Double.random(in: 0.5...1))
        }
    }

    /// Removes from etcd what is older than it is to be.
    private func compact(_ connection: EtcdConnection, _ history: Duration) async throws {
        while !Task.isCancelled {
            let revision = try await connection.range(.key(settings.prefix)).revision
            try await Task.sleep(for: history)
            do {
                try await connection.compact(before: revision)
            } catch {
                if error.isOfConnection { throw error }
                logger.debug("etcd is not compacted", metadata: ["error": "\(error)"])
            }
        }
    }
}
