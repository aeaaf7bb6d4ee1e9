internal import Concurrency
internal import EtcdClient
internal import Logging
internal import Model
internal import Synchronization

/// Declares what is in etcd, one change after the other.
actor EtcdIntake {
    /// How long it must be quiet until what was written to an etcd that lost its mind is taken for all that is wanted.
    private static let rest = Duration.seconds(1)
    /// The most problems and failures that are reported one by one.
    private static let mostTold = 20

    /// How long what is to be remembered may wait to be written.
    private static let writingRest = Duration.seconds(1)

    private var mirror: EtcdMirror
    /// Where what was seen is kept for the next life of the agent; nil: nowhere.
    private let path: String?
    /// What stands there.
    private var written: EtcdMemory?
    private var isWriting = false
    private let backend: any ConfigurationBackend
    private let logger: Logger
    private nonisolated let gate = Gate(1)
    private let hasStopped = Mutex(false)
    /// Counts what was taken in.
    private var generation: UInt64 = 0
    /// The endpoint that last reported the content of etcd.
    private var endpoint = ""
    /// Why etcd was not available the last time.
    private var lastLoss = ""

    init(_ mirror: EtcdMirror, path: String? = nil, backend: any ConfigurationBackend, logger: Logger) {
        self.mirror = mirror
        self.path = path
        self.backend = backend
        self.logger = logger
    }

    /// Takes in what etcd tells, and returns when it is declared. What was taken in is declared even when the task is cancelled.
    ///
    /// - Throws: `EtcdError` when etcd can't be asked for what it held before.
    nonisolated func take(_ update: EtcdUpdate, from connection: EtcdConnection) async throws(EtcdError) {
        var hasOtherPast = false
        if case .state(let snapshot) = update { hasOtherPast = try await self.hasOtherPast(snapshot, connection) }
        await Task { [hasOtherPast] in
            try? await gate.run { await self.settle(update, hasOtherPast, connection.endpoint) }
        }.value
    }

    /// Whether etcd holds something else for the revision that was seen last. False when that is compacted.
    private func hasOtherPast(_ snapshot: EtcdSnapshot, _ connection: EtcdConnection) async throws(EtcdError) -> Bool {
        guard let last = mirror.unproven(by: snapshot) else { return false }
        do throws(EtcdError) {
            return EtcdMemory.Content(try await connection.range(mirror.range, at: last.revision).entries)
                != last.content
        } catch {
            if error.isOfConnection { throw error }
            return false
        }
    }

    /// Tells that etcd was reached.
    func noteConnection(_ connection: EtcdConnection) {
        logger.info(
            "connected to etcd",
            metadata: ["endpoint": "\(connection.endpoint)", "version": "\(connection.status.version)"])
    }

    /// Tells that there is no etcd, once for each reason, and has the status say so.
    func noteLoss(_ error: EtcdError) async {
        if lastLoss == error.description { return }
        lastLoss = error.description
        logger.warning("no etcd; what is in force stays", metadata: ["error": "\(error)"])
        await backend.note(EtcdSource.name, "no etcd, what is in force stays: \(error)")
    }

    /// Gives up what could not be declared yet.
    nonisolated func stop() { hasStopped.withLock { $0 = true } }

    private func settle(_ update: EtcdUpdate, _ hasOtherPast: Bool, _ endpoint: EtcdEndpoint) async {
        generation += 1
        self.endpoint = "\(endpoint)"
        switch update {
        case .state(let snapshot):
            lastLoss = ""
            switch mirror.take(snapshot, hasOtherPast: hasOtherPast) {
            case .change(let change):
                logger.info(
                    "read from etcd",
                    metadata: [
                        "endpoint": "\(endpoint)", "keys": .stringConvertible(snapshot.entries.count),
                        "revision": .stringConvertible(snapshot.revision),
                    ])
                await declare(change)
                await backend.note(EtcdSource.name, nil)
            case .keep(let reason):
                let effect =
                    "what is in force stays until a key is written, or 'nsm-agent resync --accept-empty' says that this is meant"
                await backend.note(EtcdSource.name, "etcd \(endpoint): \(reason); \(effect)")
                logger.warning(
                    "etcd is not believed",
                    metadata: ["endpoint": "\(endpoint)", "why": "\(reason)", "effect": "\(effect)"])
            }
        case .events(let events, let revision): await declare(mirror.take(events, revision: revision))
        }
        remember()
        if mirror.wasWrittenInDoubt { settleDoubtWhenQuiet(generation, endpoint) }
    }

    /// A client that refills an empty etcd writes more than one key.
    private nonisolated func settleDoubtWhenQuiet(_ number: UInt64, _ endpoint: EtcdEndpoint) {
        Task {
            try? await Task.sleep(for: Self.rest)
            try? await gate.run { await self.settleDoubt(number, endpoint) }
        }
    }

    /// Takes what is in etcd for what is wanted, even if it seems to have lost something.
    nonisolated func accept() async { try? await gate.run { await self.settleDoubt() } }

    private func settleDoubt() async {
        guard mirror.isInDoubt else { return }
        logger.info("what is in etcd counts again, as it was asked for")
        await declare(mirror.settleDoubt())
        remember()
        await backend.note(EtcdSource.name, nil)
    }

    private func settleDoubt(_ number: UInt64, _ endpoint: EtcdEndpoint) async {
        guard number == generation, mirror.wasWrittenInDoubt else { return }
        logger.info("keys were written; what is in etcd counts again", metadata: ["endpoint": "\(endpoint)"])
        await declare(mirror.settleDoubt())
        remember()
        await backend.note(EtcdSource.name, nil)
    }

    // MARK: - For the next life

    /// Keeps what was seen: at once what is new about the cluster, and soon what else changed.
    private func remember() {
        guard path != nil, let memory = mirror.memory, memory != written else { return }
        let isNew = written?.cluster != memory.cluster || (written?.content.count == 0) != (memory.content.count == 0)
        if isNew { return write() }
        if isWriting { return }
        isWriting = true
        Task {
            try? await Task.sleep(for: Self.writingRest)
            write()
            isWriting = false
        }
    }

    /// Keeps what was seen last.
    func write() {
        guard let path, let memory = mirror.memory, memory != written else { return }
        written = memory
        do throws(JournalFailure) {
            try memory.write(to: path)
        } catch {
            logger.warning(
                "what etcd held is not known after a restart, so it will not be noticed if it is lost",
                metadata: ["error": "\(error)"])
        }
    }

    private func declare(_ change: EtcdMirror.Change) async {
        tell(change.problems.map { ($0.key, $0.text) }, "an entry of etcd is not used")
        if change.isEmpty { return }
        let request = ConfigurationRequest(
            source: EtcdSource.name, values: change.values, removed: change.removed, replacesAll: change.replacesAll,
            entries: StoredEntries(
                store: EntryStore(name: endpoint, prefix: mirror.prefix), revisions: change.revisions))
        var backoff = Backoff(first: .milliseconds(50), limit: .seconds(2))
        var told = ""
        while !hasStopped.withLock({ $0 }) {
            do {
                let answer = try await backend.change(request)
                tell(answer.failures.map { ($0.key, $0.text) }, "a value from etcd is not in force")
                return
            } catch {
                // The agent makes it so by itself; to say it again would overrule what others wrote meanwhile.
                if let refusal = error as? ConfigurationRefusal, refusal.isDeclared { return }
                if "\(error)" != told {
                    told = "\(error)"
                    logger.warning("what is in etcd can't be declared yet", metadata: ["error": "\(error)"])
                }
                try? await Task.sleep(for: backoff.wait())
            }
        }
    }

    private func tell(_ problems: [(key: String, text: String)], _ message: Logger.Message) {
        for (key, text) in problems.prefix(Self.mostTold) {
            logger.warning(message, metadata: ["key": "\(key)", "error": "\(text)"])
        }
        if problems.count > Self.mostTold {
            logger.warning(message, metadata: ["more": .stringConvertible(problems.count - Self.mostTold)])
        }
    }
}
