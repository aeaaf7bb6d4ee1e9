public import Concurrency

extension Reconciler {
    /// Past transactions, oldest first, as far as they are kept.
    public var transactions: [Transaction] { history.transactions }

    /// How many values there are, derived ones included.
    public var valueCount: Int { graph.count }

    /// When the next retry is due; nil: none is planned. Then ``reconcile(reason:scope:revertOnFailure:progress:)`` with
    /// all values tries what is due, and nothing else that failed.
    public var nextTry: Timestamp? {
        if isParked { return nil }
        let node = retries.next { id, due in graph.states[id]?.nextTry == due }
        let removal = removals.values.lazy.compactMap { $0.nextTry }.min()
        if let node, let removal { return min(node, removal) }
        return node ?? removal
    }

    /// Makes everything that failed due at once, also what was given up.
    public func forgetFailures() {
        isParked = false
        for case let node? in graph.states {
            let isHeld = node.hasGivenUp || node.nextTry != nil
            if isHeld || node.isSuspect || node.isDriftShown { graph.dirty.insert(node.id) }
            node.startAfresh()
        }
        for key in removals.keys { removals[key]?.makeDue() }
    }

    /// Makes what failed of some values due at once, as somebody asks for them again.
    public func forgetFailures(of keys: [Key]) {
        for key in keys {
            removals[key]?.makeDue()
            guard let node = graph.node(key) else { continue }
            if node.hasGivenUp || node.nextTry != nil { graph.dirty.insert(node.id) }
            node.startAfresh()
        }
    }

    /// Number of the last transaction; 0: there was none.
    public var lastSequence: UInt64 { history.transactions.last?.sequence ?? 0 }

    /// The values whose key starts with `prefix`, sorted by key; and removals that failed.
    public func status(prefix: String = "") -> [ValueStatus] {
        var result: [ValueStatus] = graph.nodes.compactMap { $0.key.hasPrefix(prefix) ? status(of: $0) : nil }
        for (key, removal) in removals where key.hasPrefix(prefix) && graph.ids[key] == nil {
            result.append(status(of: removal, key))
        }
        return result.sorted { $0.key < $1.key }
    }

    /// The value with this key, or the removal of what had it if that failed; nil: there is neither.
    public func status(of key: Key) -> ValueStatus? {
        graph.node(key).map { status(of: $0) } ?? removals[key].map { status(of: $0, key) }
    }

    /// What is derived from the value with this key, sorted by key. It takes time for these alone.
    public func parts(of key: Key) -> [ValueStatus] {
        guard let node = graph.node(key) else { return [] }
        return node.derived.compactMap { graph[$0] }.map { status(of: $0) }.sorted { $0.key < $1.key }
    }

    /// How the value with this key compares with the world as it is known; nil: there is none, or nobody compares it.
    public func comparison(of key: Key) -> ValueComparison? {
        guard let node = graph.node(key), !node.isObserved, let value = node.value else { return nil }
        let conditions = value.unmetConditions(in: world)
        if !conditions.isEmpty { return .unreachable(conditions) }
        let assessment = value.assess(in: world)
        switch assessment.verdict {
        case .inPlace: return .inPlace
        case .create: return .absent
        case .update, .recreate: return .different(assessment.differences)
        case .waiting(let reasons): return .unreachable(reasons)
        case .blocked(let reason), .failing(let reason): return .unreachable([reason])
        }
    }

    /// Where a value stands as a whole: that of what is derived from it which is worst, or its own.
    public func wholeStatus(of key: Key) -> ValueStatus? {
        guard let node = graph.node(key) else { return status(of: key) }
        var worst = status(of: node)
        var rest = node.derived
        while let id = rest.popLast() {
            guard let part = graph[id] else { continue }
            rest += part.derived
            if part.state.severity > worst.state.severity { worst = status(of: part) }
        }
        return worst
    }

    private func status(of node: Node<W>) -> ValueStatus {
        let removal = removals[node.key]
        return ValueStatus(
            key: node.key, baseKey: node.base.flatMap { graph[$0]?.key }, kind: node.kind,
            summary: node.value?.summary ?? node.summary, state: node.state,
            error: node.error.isEmpty
                ? removal.map { "its old form can't be removed: \($0.error)" } ?? "" : node.error,
            lastOperation: node.lastOperation, details: node.details, since: node.since,
            nextTry: node.nextTry ?? removal?.nextTry)
    }

    private func status(of removal: FailedRemoval<W>, _ key: Key) -> ValueStatus {
        ValueStatus(
            key: key, baseKey: nil, kind: "leftover", summary: removal.summary, state: removal.state,
            error: removal.error, lastOperation: .delete, details: [], since: removal.since,
            nextTry: removal.nextTry)
    }

    /// How many values, and removals that failed, are in each state.
    public func stateCounts() -> [ValueState: Int] {
        var counts: [ValueState: Int] = [:]
        for state in ValueState.allCases where graph.tally.counts[state.rawValue] > 0 {
            counts[state] = graph.tally.counts[state.rawValue]
        }
        for (key, removal) in removals where graph.ids[key] == nil {
            counts[removal.state, default: 0] += 1
        }
        return counts
    }

    /// Derived values that are not there because another value has their key, sorted by key.
    public var collisions: [KeyCollision] {
        graph.rejected.flatMap { key, losers in
            let holder = graph.node(key)?.base.flatMap { graph[$0]?.key } ?? key
            return losers.keys.map { KeyCollision(key: key, holder: holder, loser: $0) }
        }.sorted { ($0.key, $0.loser) < ($1.key, $1.loser) }
    }

    /// The dependency graph of the values whose key starts with `prefix`.
    public func edges(prefix: String = "") -> [GraphEdge] {
        graph.resolve()
        var result: [GraphEdge] = []
        for node in graph.nodes where node.key.hasPrefix(prefix) {
            if let base = node.base.flatMap({ graph[$0] }) {
                result.append(GraphEdge(from: base.key, to: node.key, isDerived: true, isUnmet: false))
            }
            for requirement in node.requirements {
                if case .unmet(let label) = requirement {
                    let label = node.needs[label].label
                    result.append(.init(from: node.key, to: label, isDerived: false, isUnmet: true))
                }
                requirement.forEachTarget { id in
                    guard id != node.base, let target = graph[id] else { return }
                    result.append(
                        .init(from: node.key, to: target.key, isDerived: false, isUnmet: !target.available))
                }
            }
        }
        return result
    }
}

/// How a value compares with the world.
public enum ValueComparison: Sendable, Hashable {
    /// The world is as it says.
    case inPlace
    /// What it asks for is not there.
    case absent
    /// What it asks for is there, with these differences.
    case different([Difference])
    /// It can't be compared, or not be made, for these reasons.
    case unreachable([String])
}

extension ValueState {
    /// How bad it is for a value that is wanted: 0 is good.
    fileprivate var severity: Int {
        switch self {
        case .configured, .obtained, .discovered: 0
        case .pending, .missing, .nonexistent, .removed: 1
        case .retrying: 2
        case .invalid, .failed, .unimplemented: 3
        }
    }
}

/// A derived value that is kept out, as another value has its key.
public struct KeyCollision: Sendable, Hashable {
    /// The key both want.
    public var key: Key
    /// Key of the base of the value that stands there; the key itself where it was declared.
    public var holder: Key
    /// Key of the base whose derived value is kept out.
    public var loser: Key
}

/// A line of the dependency graph.
public struct GraphEdge: Sendable, Hashable {
    /// Key of the base value, or of the value that depends.
    public var from: Key
    /// Key of the derived value, or of the value depended on; a label where nothing can meet the dependency.
    public var to: Key
    /// Whether `to` is derived from `from`.
    public var isDerived: Bool
    /// Whether the dependency is not met.
    public var isUnmet: Bool
}
