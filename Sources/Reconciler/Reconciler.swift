/// Keeps a world as the declared values say.
///
/// Declared values come from sources; ``reconcile(reason:scope:revertOnFailure:progress:)`` compares them with the world
/// and closes the gap. Whatever the order of changes, the same declared values lead to the same world.
/// Belongs to one thread of control, like its world.
public final class Reconciler<W: World> {
    /// Which values a reconciliation looks at.
    public enum Scope: Sendable {
        /// All values, and what carries our mark without belonging to any.
        case all
        /// The values with these keys, after the world reported a change of them.
        case keys(Set<Key>)
    }

    /// The world that is kept.
    public let world: W
    /// When failed values are tried again.
    public var retry: RetryPolicy
    /// Whether a difference that the world reports is repaired, or only shown.
    public var repairsDrift = true

    // Its own, for the files of this folder.
    var graph = Graph<W>()
    var sources = Sources<W>()
    var retries = RetryQueue()
    /// Removals that failed, of things that no value stands for any more.
    var removals: [Key: FailedRemoval] = [:]
    /// Whether all values were reconciled once, so that what was declared before is known.
    var knowsPast = false
    /// Whether nothing is done until something else is declared.
    var isParked = false
    var history: History
    let now: @Sendable () -> Timestamp
    private var sequence: UInt64 = 0

    /// Makes a reconciler without values.
    /// - Parameters:
    ///   - world: what to keep.
    ///   - retry: when failed values are tried again.
    ///   - historyLimit: how many transactions are kept, at least 1.
    ///   - historyBytes: how many bytes they may keep together. The newest is kept in any case; a quarter of this is the
    ///     most that one may have, and what it did beyond is left out, see ``Transaction/omitted``.
    ///   - now: the clock.
    public init(
        world: W, retry: RetryPolicy = RetryPolicy(), historyLimit: Int = 500, historyBytes: Int = 16 << 20,
        now: @escaping @Sendable () -> Timestamp
    ) {
        self.world = world
        self.retry = retry
        history = History(limit: historyLimit, budget: historyBytes)
        self.now = now
    }

    // MARK: - What is wanted

    /// Replaces everything a source declares. Returns how many values changed.
    @discardableResult
    public func replace(source: String, with values: [(key: Key, desired: Desired<W>)]) -> Int {
        var wanted: [Key: Desired<W>] = [:]
        wanted.reserveCapacity(values.count)
        for (key, desired) in values { wanted[key] = desired }
        return replace(source: source, with: wanted)
    }

    func replace(source: String, with wanted: [Key: Desired<W>]) -> Int {
        let time = now()
        let old = sources.replace(source, with: wanted)
        var changes = 0
        for key in old.keys where wanted[key] == nil { changes += settle(key, at: time) }
        for key in wanted.keys { changes += settle(key, at: time) }
        if changes > 0 { isParked = false }
        return changes
    }

    /// Declares or, with nil, withdraws single values of a source.
    public func change(source: String, _ changes: [(key: Key, desired: Desired<W>?)]) {
        let time = now()
        for (key, desired) in changes {
            sources.set(key, of: source, to: desired)
            if settle(key, at: time) > 0 { isParked = false }
        }
    }

    /// Puts into the graph what the sources say of a key. Returns the number of changes.
    func settle(_ key: Key, at time: Timestamp) -> Int {
        let isChanged =
            if let desired = sources.desired(key) {
                graph.put(key, desired, at: time)
            } else {
                graph.remove(key, at: time)
            }
        if isChanged, !removals.isEmpty { removals[key]?.makeDue() }
        return isChanged ? 1 : 0
    }

    // MARK: - Making it so

    /// What ``reconcile(reason:scope:revertOnFailure:progress:)`` would do. Afterwards the world is believed to be as
    /// planned, so it must be read anew before it is planned again. States of values do not change.
    public func plan() -> Plan<W.Operation> {
        if isParked { return Plan() }
        graph.resolve()
        var planner = Planner(world: world, holds: holds())
        planner.planAll(graph)
        for node in graph.nodes where node.value == nil {
            planner.block(node)
        }
        return planner.plan
    }

    /// Makes the world so.
    ///
    /// With `revertOnFailure`, a failure of something that did not fail before undoes the transaction: the world returns
    /// to what it was, and the sources to what they declared when all was last reconciled. Before the first time that is
    /// not known; then the values stay declared, as PENDING, and nothing more is done until something else is declared.
    /// - Parameters:
    ///   - reason: what started it, for the history.
    ///   - scope: which values to look at.
    ///   - revertOnFailure: undo everything when one value fails.
    ///   - progress: called as values are done, with how many are done of how many.
    /// - Returns: what was done; nil when there was nothing to do.
    @discardableResult
    public func reconcile(
        reason: String, scope: Scope = .all, revertOnFailure: Bool = false, progress: ((Int, Int) -> Void)? = nil
    ) -> Transaction? {
        if isParked { return nil }
        let start = now()
        var log = Log()
        var holds = holds()
        let before = revertOnFailure ? world.snapshot() : nil
        for round in 0..<Self.rounds {
            let scope = round == 0 ? scope : .all
            guard let planner = makePlanner(scope, holds) else { return nil }
            let results = execute(planner.plan, done: log.stepCount, progress)
            log.stepCount += planner.plan.steps.count
            let isRepair = if case .keys = scope { true } else { false }
            let failures = record(planner, results, isRepair: isRepair, into: &log)
            let culprit = log.isReverted ? nil : failures.culprit
            if failures.isEmpty, culprit == nil || before == nil {
                // What some keys need is done; now for what all others make of it.
                if planner.needsAll { continue }
                break
            }
            world.refreshAfterFailure()
            if let before, let culprit {
                revert(to: before, culprit: culprit, failures, log: &log)
                if isParked { break }
                holds = self.holds()
            } else {
                holds.nodes.formUnion(failures.nodes)
                holds.removals.formUnion(failures.removals)
            }
        }
        if case .all = scope { finishPass(&log) }
        guard !log.entries.isEmpty else { return nil }
        return keep(reason: reason, start: start, log)
    }

    /// Rounds of one transaction: each failure can free or block others, which the next round settles.
    private static var rounds: Int { 16 }

    func holds() -> Holds {
        let time = now()
        let resting = removals.lazy.filter { $0.value.rests(at: time) }.map(\.key)
        return Holds(
            now: time, removals: Set(resting), leftBehind: Set(removals.keys), keepsDrift: !repairsDrift)
    }

    /// Returns nil when there is nothing to do.
    private func makePlanner(_ scope: Scope, _ holds: Holds) -> Planner<W>? {
        graph.resolve()
        var planner = Planner(world: world, holds: holds)
        guard case .keys(let keys) = scope else {
            planner.planAll(graph)
            return planner
        }
        if !repairsDrift {
            // Those that differ are looked at too: they may have been changed back.
            var looking = holds
            looking.keepsDrift = false
            planner = Planner(world: world, holds: looking)
        }
        planner.planSome(keys.compactMap { graph.ids[$0] }, graph)
        if !repairsDrift {
            show(planner)
            if !planner.needsAll { return nil }
            planner = Planner(world: world, holds: holds)
            planner.planAll(graph)
        } else if planner.needsAll, planner.plan.isEmpty {
            planner = Planner(world: world, holds: holds)
            planner.planAll(graph)
        }
        return planner
    }

    /// Executes a plan, and translates progress from operations to steps.
    private func execute(
        _ plan: Plan<W.Operation>, done: Int, _ progress: ((Int, Int) -> Void)?
    ) -> [OperationResult] {
        let total = done + plan.steps.count
        var steps = 0
        func tell(_ operations: Int) {
            let before = steps
            while steps < plan.steps.count, plan.steps[steps].operations.upperBound <= operations { steps += 1 }
            if steps > before { progress?(done + steps, total) }
        }
        if plan.operations.isEmpty {
            tell(0)
            return []
        }
        guard progress != nil else { return world.execute(plan.operations) }
        let results = world.execute(plan.operations, progress: tell)
        tell(plan.operations.count)
        return results
    }

    private func keep(reason: String, start: Timestamp, _ log: Log) -> Transaction {
        sequence += 1
        let transaction = Transaction(
            sequence: sequence, reason: reason, start: start, duration: now().since(start), entries: log.entries,
            reverted: log.isReverted)
        history.add(transaction)
        return transaction
    }
}
