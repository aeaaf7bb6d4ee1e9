/// What can be there in one pass of a planner, and why the rest can't.
struct Prospects<W: World> {
    /// Nodes that can be there, as far as is known before they are compared with the world.
    let isPossible: [Bool]
    /// Nodes that are left alone, as they failed.
    let isHeld: [Bool]
    /// Nodes that could be there if none were held; empty when that makes no difference.
    private let isPossibleUnheld: [Bool]
    private let conditions: [Int: [String]]
    private let leftBehind: Set<Key>

    /// - Parameter absent: nodes that are taken not to be possible now.
    init(_ graph: Graph<W>, _ world: W, _ holds: Holds, absent: Set<Int>) {
        var conditions: [Int: [String]] = [:]
        var isHeld = [Bool](repeating: false, count: graph.states.count)
        var isExcluded = isHeld
        var isAnyAbsent = !absent.isEmpty
        for id in absent { isExcluded[id] = true }
        for id in graph.order {
            guard let node = graph[id] else { continue }
            if let unmet = node.value?.unmetConditions(in: world), !unmet.isEmpty {
                conditions[id] = unmet
                isExcluded[id] = true
            } else if holds.contains(node) {
                isHeld[id] = true
                // A value that could not be changed is still there in its old form.
                if !node.available {
                    isExcluded[id] = true
                    isAnyAbsent = true
                }
            }
        }
        isPossible = Readiness(graph.states, graph.dependants, excluding: isExcluded).isPossible
        if isAnyAbsent {
            var isUnmet = [Bool](repeating: false, count: graph.states.count)
            for id in conditions.keys { isUnmet[id] = true }
            isPossibleUnheld = Readiness(graph.states, graph.dependants, excluding: isUnmet).isPossible
        } else {
            isPossibleUnheld = []
        }
        self.isHeld = isHeld
        leftBehind = holds.leftBehind
        self.conditions = conditions
    }

    /// Whether a held node has all it needs, so that it is only its own failure that keeps it back.
    func staysHeld(_ node: Node<W>, in graph: Graph<W>, isThere: [Bool]) -> Bool {
        if node.available { return isThere[node.id] }
        return isPossibleButForSelf(node, in: graph, isThere: isThere)
    }

    /// Whether a node that is not there has all it needs. Nodes that need it in turn are no reason for it to wait: they
    /// wait for it.
    func isPossibleButForSelf(_ node: Node<W>, in graph: Graph<W>, isThere: [Bool]) -> Bool {
        if conditions[node.id] != nil { return false }
        return node.requirements.allSatisfy { requirement in
            requirement.isMet { id in
                isThere[id] || isPossibleUnheld[id] && graph[id]?.component == node.component
            }
        }
    }

    /// Whether something of the node may be in the world although it can't be there.
    func hadHope(_ node: NodeState) -> Bool {
        isPossible[node.id]
            && (node.available || node.state == .nonexistent || leftBehind.contains(node.key))
    }

    /// Why a node waits: conditions of the world, then labels of dependencies, with the key of what is declared but not
    /// there.
    func reasons(
        for node: Node<W>, in graph: Graph<W>, stuck: [Int: Verdict], isThere: [Bool]
    ) -> [String] {
        func hasFailed(_ target: Node<W>) -> Bool {
            switch stuck[target.id] {
            case .blocked, .failing: return true
            case nil, .waiting, .stalled: break
            }
            return isHeld[target.id] && staysHeld(target, in: graph, isThere: isThere)
        }
        var reasons = conditions[node.id] ?? []
        var circle: [String] = []
        for requirement in node.requirements where !requirement.isMet(by: { isThere[$0] }) {
            switch requirement {
            case .one(let id):
                guard let target = graph[id] else { continue }
                let hasFailed = hasFailed(target)
                let word = hasFailed ? " failed" : target.value == nil ? " \(target.state.name.lowercased())" : ""
                let label = node.dependency(on: target.key)?.label ?? target.key
                let reason = label == target.key ? label + word : "\(label) (\(target.key)\(word))"
                if target.component == node.component, !hasFailed {
                    circle.append(reason)
                } else {
                    reasons.append(reason)
                }
            case .any(_, let label), .unmet(let label):
                reasons.append(node.dependencies[label].label)
            }
        }
        // Those that wait for this one are worth a word only if it waits for nothing else.
        return reasons.isEmpty ? circle : reasons
    }
}

/// Finds out whether a value that waits may be able to go on, from it and what it needs alone.
///
/// May say yes to one that can't, never no to one that can.
struct HopeSearch<W: World> {
    let graph: Graph<W>
    let world: W
    let holds: Holds
    private var hopeful: Set<Int> = []
    private var hopeless: Set<Int> = []

    init(graph: Graph<W>, world: W, holds: Holds) {
        self.graph = graph
        self.world = world
        self.holds = holds
    }

    mutating func mayBeReady(_ node: Node<W>, depth: Int = 0) -> Bool {
        if hopeful.contains(node.id) { return true }
        if hopeless.contains(node.id) { return false }
        if depth == Self.deepest { return true }
        guard let value = node.value, !holds.contains(node), value.unmetConditions(in: world).isEmpty else {
            hopeless.insert(node.id)
            return false
        }
        // Those that need each other may become ready together.
        hopeful.insert(node.id)
        for requirement in node.requirements {
            var isMet = false
            requirement.forEachTarget { id in
                guard !isMet, let target = graph[id] else { return }
                isMet = target.available || mayBeReady(target, depth: depth + 1)
            }
            if isMet { continue }
            hopeful.remove(node.id)
            hopeless.insert(node.id)
            return false
        }
        return true
    }

    /// Deeper chains are answered with yes.
    private static var deepest: Int { 64 }
}
