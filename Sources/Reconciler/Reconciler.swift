/// Values, their dependency graph, plans, transactions and history.
///
/// Imports nothing of ours but `Concurrency` and knows neither Linux nor NSM: what a value is and how the world is changed
/// comes from the ``Value`` and ``World`` conformances.

public import Concurrency

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
        /// What was declared, withdrawn or observed since the last time, what is due for another try, and what these
        /// concern. It takes time for that alone. Before the first time it is all values.
        case changes
        /// The values with these keys besides, after the world reported a change of them.
        case keys(Set<Key>)
    }

    /// The world that is kept.
    public let world: W
    /// When failed values are tried again.
    public var retry: RetryPolicy
    /// Whether a difference that the world reports is repaired, or only shown.
    public var repairsDrift = true {
        didSet { if repairsDrift, !oldValue { graph.markShown() } }
    }
    /// Whether what is at a place stays for now, although it carries our mark and no value claims it. Set it anew when its
    /// answers change.
    ///
    /// It is asked for what a look at everything finds. What values leave behind that were declared to this reconciler is
    /// removed in any case.
    public var spares: (W.Place) -> Bool = { _ in false } {
        didSet { isSparedDue = true }
    }

    // Its own, for the files of this folder.
    let graph: Graph<W>
    var sources = Sources<W>()
    var retries = RetryQueue()
    /// Removals that failed, of things that no value stands for any more.
    var removals: [Key: FailedRemoval<W>] = [:]
    /// Whether all values were reconciled once, so that what was declared before is known.
    var knowsPast = false
    /// Whether only a look at everything tells how things are.
    var isAllDue = true
    /// Where leftovers are that were spared.
    var spared: Set<W.Place> = []
    private var isSparedDue = false
    /// Whether nothing is done until something else is declared.
    var isParked = false
    /// What was shown of drift that is left alone, until a transaction tells it.
    var shown = Transaction.Found()
    /// Whether a look at the world at the start is a transaction even if nothing was to be done.
    public var recordsStart = false
    /// Whether there was a transaction since the program started.
    private var hasBegun = false
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
        graph = Graph(world: world)
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
            let wanted = sources.set(key, of: source, to: desired, hasPast: knowsPast)
            if settle(key, wanted, at: time) > 0 { isParked = false }
        }
    }

    /// Puts into the graph what the sources say of a key. Returns the number of changes.
    func settle(_ key: Key, at time: Timestamp) -> Int { settle(key, sources.desired(key), at: time) }

    private func settle(_ key: Key, _ desired: Desired<W>?, at time: Timestamp) -> Int {
        let isChanged =
            if let desired {
                graph.put(key, desired, at: time)
            } else {
                graph.remove(key, at: time)
            }
        if isChanged, !removals.isEmpty { removals[key]?.makeDue() }
        return isChanged ? 1 : 0
    }

    /// Notes what is said of a value that somebody else keeps; nil: nobody keeps it. It takes effect when changes are
    /// reconciled. Of a key that nobody declares nothing is kept.
    public func observe(_ key: Key, _ observation: Observation?) {
        guard let node = graph.node(key), node.observation != observation else { return }
        node.observation = observation
        if node.isObserved { graph.dirty.insert(node.id) }
    }

    // MARK: - Making it so

    /// What ``reconcile(reason:scope:revertOnFailure:progress:)`` of all values would do. Afterwards the world is believed
    /// to be as planned, so it must be read anew before it is planned again. States of values do not change.
    public func plan() -> Plan<W.Operation> {
        if isParked { return Plan() }
        var planner = Planner(graph, holds: holds(), spares: spares)
        planner.planAll()
        for node in graph.nodes where node.value == nil {
            planner.block(node)
        }
        // What values claim is as planned too.
        isAllDue = true
        return planner.plan
    }

    /// Makes the world so.
    ///
    /// With `revertOnFailure`, a failure of something that did not fail before undoes the transaction: the world returns
    /// to what it was, and the sources to what they declared when they were last reconciled. Before the first time that is
    /// not known; then the values stay declared, as PENDING, and nothing more is done until something else is declared.
    /// - Parameters:
    ///   - reason: what started it, for the history.
    ///   - scope: which values to look at.
    ///   - revertOnFailure: undo everything when one value fails.
    ///   - progress: called as values are done, with how many are done of how many.
    /// - Returns: what was done; nil when there was nothing to do.
    @discardableResult
    public func reconcile(
        reason: Transaction.Reason, scope: Scope = .all, revertOnFailure: Bool = false,
        progress: ((Int, Int) -> Void)? = nil
    ) -> Transaction? {
        if isParked { return nil }
        let start = now()
        var log = Log()
        var holds = holds()
        let before = revertOnFailure ? world.snapshot() : nil
        var isSettled = false
        let isStart = recordsStart && !knowsPast
        for round in 0..<Self.rounds where !isSettled && !isParked {
            let planner = round == 0 ? makePlanner(scope, holds) : makePlanner(scope.afterwards, holds)
            let isRepair = if case .keys = scope { round == 0 } else { false }
            if round == 0 { log.found = found(planner, isStart: isStart, isRepair: isRepair) }
            let results = execute(planner.plan, done: log.stepCount, progress)
            log.stepCount += planner.plan.steps.count
            log.losses += planner.plan.losses + world.takeLosses()
            let failures = record(planner, results, isRepair: isRepair, into: &log)
            let culprit = log.isReverted || before == nil ? nil : failures.culprit
            isSettled = failures.isEmpty && culprit == nil
            if isSettled { break }
            world.refreshAfterFailure()
            if let before, let culprit {
                revert(to: before, culprit: culprit, failures, log: &log)
                holds = self.holds()
            } else {
                holds.nodes.formUnion(failures.nodes)
                holds.removals.formUnion(failures.removals)
            }
        }
        if !isSettled { isAllDue = true }
        finish(&log)
        if log.found.isEmpty { log.found = shown }
        shown = Transaction.Found()
        guard !log.entries.isEmpty || !log.found.isEmpty else { return nil }
        return keep(reason: reason, start: start, log)
    }

    /// Rounds of one transaction: each failure can free or block others, which the next round settles.
    private static var rounds: Int { 16 }

    /// The largest number of a transaction that is taken in: no file may leave too few for those to come.
    private static var mostRestored: UInt64 { 1 << 62 }

    /// Takes in transactions of an earlier life of the program, oldest first; numbers go on behind the last one.
    ///
    /// - Precondition: there was no transaction yet.
    public func restore(_ past: [Transaction]) {
        precondition(!hasBegun && history.transactions.isEmpty, "transactions are restored before there are others")
        for transaction in past where transaction.sequence <= Self.mostRestored {
            history.add(transaction)
            sequence = transaction.sequence
        }
    }

    func holds() -> Holds {
        if removals.isEmpty { return Holds(now: now(), keepsDrift: !repairsDrift) }
        let time = now()
        let resting = removals.lazy.filter { $0.value.rests(at: time) }.map { $0.key }
        return Holds(
            now: time, removals: Set(resting), leftBehind: Set(removals.keys), keepsDrift: !repairsDrift)
    }

    private func makePlanner(_ scope: Scope, _ holds: Holds) -> Planner<W> {
        switch scope {
        case .all: break
        case .changes: if !isAllDue, let planner = planChanges([], holds) { return planner }
        case .keys(let keys): if !isAllDue, let planner = planChanges(keys, holds) { return planner }
        }
        isAllDue = true
        var planner = Planner(graph, holds: holds, spares: spares)
        planner.planAll()
        return planner
    }

    /// Returns nil when all values have to be planned instead.
    private func planChanges(_ keys: Set<Key>, _ holds: Holds) -> Planner<W>? {
        graph.resolve()
        var reported = keys.union(world.takeConcerned()).compactMap { graph.ids[$0] }
        if !repairsDrift { reported = show(reported, holds) }
        graph.dirty.formUnion(reported)
        for id in retries.takeDue(at: holds.now) where graph.isDue(id, at: holds.now) { graph.dirty.insert(id) }
        if isSparedDue {
            isSparedDue = false
            for place in spared where !spares(place) {
                spared.remove(place)
                graph.released.insert(place)
            }
        }
        // What a removal left that failed is looked for where it was.
        // No key path: one into a generic type keeps the compiler from making this for the world that there is.
        let places = removals.values.flatMap { $0.places }
        if removals.values.contains(where: { $0.places.isEmpty && !$0.rests(at: holds.now) }) { return nil }
        var planner = Planner(graph, holds: holds)
        planner.planSome(graph.dirty, places: places)
        if !planner.needsAll { return planner }
        if !planner.plan.operations.isEmpty { world.refreshAfterFailure() }
        return nil
    }

    /// Shows how values differ that are there. Returns those for which more is to be done.
    private func show(_ ids: [Int], _ holds: Holds) -> [Int] {
        var shown: [Int] = []
        var others: [Int] = []
        for case let node? in ids.lazy.map({ [graph] in graph[$0] }) {
            let isPlain = node.available && !node.isObserved && !graph.dirty.contains(node.id)
            if isPlain, node.value?.unmetConditions(in: world).isEmpty == true {
                shown.append(node.id)
            } else {
                others.append(node.id)
            }
        }
        if shown.isEmpty { return others }
        // Those that differ are looked at too: they may have been changed back.
        var looking = holds
        looking.keepsDrift = false
        var planner = Planner(graph, holds: looking)
        others += planner.compareOnly(shown)
        show(planner)
        return others
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

    private func keep(reason: Transaction.Reason, start: Timestamp, _ log: Log) -> Transaction {
        sequence += 1
        let transaction = Transaction(
            sequence: sequence, reason: reason, start: start, duration: now().since(start), entries: log.entries,
            reverted: log.isReverted, losses: log.losses, found: log.found, isFirst: !hasBegun)
        hasBegun = true
        history.add(transaction)
        return transaction
    }
}

extension Reconciler.Scope {
    /// What the later rounds of a transaction look at.
    fileprivate var afterwards: Self {
        switch self {
        case .all: .all
        case .changes, .keys: .changes
        }
    }
}
