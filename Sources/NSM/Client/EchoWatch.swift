internal import Concurrency
internal import Logging
internal import Synchronization

/// Watches the data paths of all connections of a program, many by one look: a wake-up for each of them would cost more than
/// the echoes.
final class EchoWatch: Sendable {
    /// What is looked at together.
    private struct Group: Hashable {
        let namespace: String
        let check: LivenessCheck
    }
    private struct Watched {
        let paths: @Sendable () -> [EchoPath]
        let death: Promise<String?>
    }
    private struct State {
        var watched: [Group: [UInt64: Watched]] = [:]
        /// Groups that are looked at. One in which nobody has addresses to ask rests.
        var running: Set<Group> = []
        var next: UInt64 = 0
        var isOver = false

        /// Returns whether looks have to begin.
        mutating func begin(_ group: Group) -> Bool {
            watched[group]?.isEmpty == false && !isOver && running.insert(group).inserted
        }

        /// The paths of a group and whose they are; nil, and the group rests, when there are none.
        mutating func paths(of group: Group) -> (paths: [EchoPath], owners: [UInt64])? {
            if watched[group]?.isEmpty == true { watched[group] = nil }
            var (paths, owners) = ([EchoPath](), [UInt64]())
            for (number, one) in watched[group] ?? [:] {
                let own = one.paths()
                paths += own
                owners += repeatElement(number, count: own.count)
            }
            if !paths.isEmpty { return (paths, owners) }
            running.remove(group)
            return nil
        }
    }
    private let state = Mutex(State())
    private let groups: AsyncStream<Group>
    private let begin: AsyncStream<Group>.Continuation
    private let logger: Logger

    /// How many groups are looked at, with a wake-up at each look.
    var groupsLookedAt: Int { state.withLock { $0.running.count } }

    init(logger: Logger) {
        self.logger = logger
        (groups, begin) = AsyncStream.makeStream()
    }

    /// Looks at what is watched until the task is cancelled. Costs nothing while nothing is.
    func run() async {
        await withDiscardingTaskGroup { tasks in
            for await group in groups { tasks.addTask { await self.run(group) } }
            tasks.cancelAll()
        }
        let rest = state.withLock { state in
            defer { state.watched = [:] }
            state.isOver = true
            return state.watched.values.flatMap(\.values)
        }
        for watched in rest { watched.death.keep(nil) }
    }

    /// Waits until one of the paths of a connection is dead, and returns why; nil when the task was cancelled.
    ///
    /// - Parameter paths: The connection's paths, asked for at each look.
    func death(
        namespace: String, _ check: LivenessCheck, paths: @escaping @Sendable () -> [EchoPath]
    ) async -> String? {
        let group = Group(namespace: namespace, check: check)
        let death = Promise<String?>()
        let hasPaths = !paths().isEmpty
        let (number, begins) = state.withLock { state in
            state.next += 1
            if state.isOver {
                death.keep(nil)
                return (state.next, false)
            }
            state.watched[group, default: [:]][state.next] = Watched(paths: paths, death: death)
            return (state.next, hasPaths && state.begin(group))
        }
        if begins { begin.yield(group) }
        let reason = await death.value(orIfCancelled: nil)
        state.withLock { _ = $0.watched[group]?.removeValue(forKey: number) }
        return reason
    }

    /// Says that a connection which is watched has paths, perhaps for the first time.
    func notePaths(namespace: String, _ check: LivenessCheck) {
        let group = Group(namespace: namespace, check: check)
        if state.withLock({ $0.begin(group) }) { begin.yield(group) }
    }

    /// Looks at a group until there is nothing to look at.
    private func run(_ group: Group) async {
        let check = EchoCheck(timeout: group.check.timeout, namespace: group.namespace)
        var lastReason = ""
        while (try? await Task.sleep(for: group.check.interval, tolerance: group.check.interval / 10)) != nil {
            guard let (paths, owners) = state.withLock({ $0.paths(of: group) }) else { return }
            let outcomes: [EchoOutcome] = await check.run(paths)
            for (owner, outcome) in zip(owners, outcomes) {
                switch outcome {
                case .alive: continue
                case .dead(let reason): end(group, owner, reason)
                case .unknown(let reason):
                    if reason == lastReason { continue }
                    lastReason = reason
                    logger.debug("data paths can't be checked", metadata: ["error": "\(reason)"])
                }
            }
        }
    }

    private func end(_ group: Group, _ number: UInt64, _ reason: String) {
        let watched = state.withLock { $0.watched[group]?.removeValue(forKey: number) }
        watched?.death.keep(reason)
    }
}
