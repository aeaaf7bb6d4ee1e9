internal import Concurrency
internal import Glibc
public import Logging
internal import Synchronization

/// Follows container engines as long as something is looked for, and says what is found.
///
/// Nothing is opened as long as nothing is looked for. Each engine is followed by itself: one that hangs holds up nobody.
public final class ContainerWatch: Sendable {
    private struct State {
        var wanted: Set<ContainerQuery> = []
        var table: ContainerTable
        /// As they were last reported.
        var answers: [ContainerQuery: ContainerAnswer] = [:]
        /// What has another answer since somebody asked.
        var changed: Set<ContainerQuery> = []
        /// Waits until something is looked for, or nothing any more.
        var turn: (isWanted: Bool, promise: Promise<Void>)?
    }

    /// Where engines are.
    public let settings: ContainerSettings
    /// Yields when answers changed.
    public let changes: AsyncStream<Void>
    private let changed: AsyncStream<Void>.Continuation
    private let state: Mutex<State>
    private let logger: Logger

    /// Makes a watch that does nothing until ``run()``.
    public init(_ settings: ContainerSettings, logger: Logger) {
        self.settings = settings
        self.logger = logger
        state = Mutex(State(table: ContainerTable(settings)))
        (changes, changed) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    // MARK: - What is looked for

    /// From now on these are looked for, and no others.
    public func look(for queries: Set<ContainerQuery>) {
        state.withLock { state in
            let (former, new) = (state.wanted.subtracting(queries), queries.subtracting(state.wanted))
            state.wanted = queries
            for query in former {
                state.answers[query] = nil
                state.changed.remove(query)
                state.table.forget(query)
            }
            settle(new, &state)
            if let turn = state.turn, turn.isWanted != queries.isEmpty {
                state.turn = nil
                turn.promise.keep(())
            }
        }
    }

    /// What is known of what is looked for.
    public var answers: [ContainerQuery: ContainerAnswer] { state.withLock(\.answers) }

    /// What changed since the last call.
    public func takeChanges() -> [ContainerQuery: ContainerAnswer] {
        state.withLock { state in
            defer { state.changed = [] }
            return state.answers.filter { state.changed.contains($0.key) }
        }
    }

    private func settle(_ queries: some Sequence<ContainerQuery>, _ state: inout State) {
        for query in queries where state.wanted.contains(query) {
            let answer = state.table.answer(query)
            if state.answers[query] == answer { continue }
            state.answers[query] = answer
            state.changed.insert(query)
        }
        if !state.changed.isEmpty { changed.yield() }
    }

    // MARK: - Following

    /// Follows the engines while something is looked for, until the task is cancelled.
    public func run() async {
        while !Task.isCancelled {
            await wait(untilWanted: true)
            if Task.isCancelled { return }
            await withDiscardingTaskGroup { group in
                for index in settings.engines.indices { group.addTask { await self.follow(index) } }
                await wait(untilWanted: false)
                group.cancelAll()
            }
            // Nothing of what was known is followed any more.
            state.withLock { $0.table = ContainerTable(settings) }
        }
    }

    private func wait(untilWanted isWanted: Bool) async {
        let promise = Promise<Void>()
        let isSo = state.withLock { state in
            if state.wanted.isEmpty != isWanted { return true }
            state.turn = (isWanted, promise)
            return false
        }
        if !isSo { await promise.value(orIfCancelled: ()) }
    }

    private func follow(_ index: Int) async {
        let engine = settings.engines[index]
        var backoff = Backoff(first: .milliseconds(100), limit: settings.longestWait)
        var told: String?
        while !Task.isCancelled {
            let began = ContinuousClock.now
            guard access(engine.socket, F_OK) == 0 else {
                note(.absent, index)
                backoff.reset()
                try? await Task.sleep(for: settings.absence)
                continue
            }
            var failure = ""
            var isSpeechless = false
            do {
                try Self.checkOwner(of: engine.socket)
                let source = source(index)
                switch engine.speech {
                case .docker: try await DockerFollower(settings, engine.socket, source).follow()
                case .cri: try await CRIFollower(settings, engine.socket, source).follow()
                }
            } catch {
                failure = "\(error)"
                isSpeechless = (error as? ContainerError)?.isSpeechless == true
            }
            if Task.isCancelled { return }
            if .now - began > settings.longestWait {
                backoff.reset()
                told = nil
            }
            // A look at all of it from time to time is no failure.
            if failure.isEmpty { continue }
            if told != failure {
                told = failure
                // Beside Docker a containerd is as it should be without that.
                logger.log(
                    level: isSpeechless && !settings.areNamed ? .debug : .warning,
                    "a container engine can't be followed",
                    metadata: ["engine": "\(engine.socket)", "error": "\(failure)"])
            }
            let words = "\(engine.socket): \(failure)"
            note(isSpeechless ? .speechless(words) : .failing(words), index)
            try? await Task.sleep(for: isSpeechless ? settings.speechlessWait : backoff.wait())
        }
    }

    /// Who listens at a socket says which process is root's to work in: it has to be root's, or the agent's own user's.
    private static func checkOwner(of socket: String) throws(ContainerError) {
        var status = stat()
        guard stat(socket, &status) == 0 else { throw ContainerError(String(cString: strerror(errno))) }
        guard status.st_mode & S_IFMT == S_IFSOCK else { throw ContainerError("it is not a socket") }
        guard status.st_uid == 0 || status.st_uid == geteuid() else {
            throw ContainerError("the socket belongs to user \(status.st_uid), who is not trusted")
        }
    }

    private func note(_ standing: ContainerTable.Standing, _ index: Int) {
        state.withLock { state in
            if state.table.note(standing, of: index) { settle(state.wanted, &state) }
        }
    }

    private func source(_ index: Int) -> ContainerSource {
        ContainerSource(
            isWanted: { query in self.state.withLock { $0.wanted.contains(query) } },
            known: { self.state.withLock { $0.table.containers(of: index) } },
            list: { all in
                self.state.withLock { state in
                    let isNew = state.table.note(.listed, of: index)
                    let concerned = state.table.list(all, of: index)
                    self.settle(isNew ? state.wanted : concerned, &state)
                }
            },
            put: { container in
                self.state.withLock { state in self.settle(state.table.put(container, of: index), &state) }
            },
            remove: { id in
                self.state.withLock { state in self.settle(state.table.remove(id, of: index), &state) }
            },
            noteUnseen: { reason in
                self.state.withLock { state in
                    if state.table.noteUnseen(reason, of: index) { self.settle(state.wanted, &state) }
                }
            })
    }
}

/// Where what an engine says goes.
struct ContainerSource: Sendable {
    /// Whether somebody looks for it at this moment.
    let isWanted: @Sendable (ContainerQuery) -> Bool
    /// The containers of the engine that can be found.
    let known: @Sendable () -> [Container]
    /// These are all of them.
    let list: @Sendable ([Container]) -> Void
    /// This one runs.
    let put: @Sendable (Container) -> Void
    /// This one does so no more.
    let remove: @Sendable (String) -> Void
    /// Some can't be looked at, and why; nil: all can.
    let noteUnseen: @Sendable (String?) -> Void
}
