/// What a planner leaves alone.
struct Holds {
    var now: Timestamp
    /// Nodes that failed in this transaction.
    var nodes: Set<Int> = []
    /// Removals that failed, until they are due.
    var removals: Set<Key> = []
    /// Keys of all removals that failed, due or not.
    var leftBehind: Set<Key> = []
    /// Whether differences that were shown stay as they are.
    var keepsDrift = false

    func contains(_ node: NodeState) -> Bool {
        if let due = node.nextTry, due > now { return true }
        return node.hasGivenUp || keepsDrift && node.isDriftShown || nodes.contains(node.id)
    }
}

/// What was found out about a value that has no step and is not in place.
enum Verdict {
    /// It waits for what is known before it is compared.
    case waiting([String])
    /// It waits, as its comparison says.
    case stalled([String])
    case blocked(String)
    /// Somebody else tries, without success so far.
    case failing(String)
}

/// Works out what to do, by comparing each value with a world in which everything before it was already done.
///
/// Changes what the world is believed to look like, and no node.
struct Planner<W: World> {
    /// How the comparison of a value ended.
    private enum Outcome {
        case inPlace
        case step
        case impossible(Verdict)
    }

    let world: W
    let holds: Holds
    private(set) var plan = Plan<W.Operation>()
    /// Nodes that are as they should be.
    private(set) var inPlace: [Int] = []
    /// What was found out about each node that was looked at, has no step, and is not in place.
    private(set) var verdicts: [(id: Int, verdict: Verdict)] = []
    /// Whether the values that were planned are not all that the change concerns.
    private(set) var needsAll = false
    /// Keys of leftovers that were left, as they are held.
    private(set) var heldRemovals: Set<Key> = []

    init(world: W, holds: Holds) {
        self.world = world
        self.holds = holds
    }

    // MARK: - All values

    /// Plans all values, and the removal of what no value claims. The order of the graph must be resolved.
    ///
    /// When a value turns out impossible only as it is compared, everything is gone over again without it, so that what
    /// depends on it goes too. That is rare: most reasons to wait are known before.
    mutating func planAll(_ graph: Graph<W>) {
        _ = world.takeDisturbance()
        var stuck: [Int: Verdict] = [:]
        // Those that were impossible last time are taken to be so, until their comparison says otherwise.
        var suspects: Set<Int> = []
        for case let node? in graph.states where node.isSuspect && !node.available { suspects.insert(node.id) }
        world.beginPass()
        for _ in 0..<Self.passes {
            var needsAnother = pass(graph, &stuck, &suspects)
            if needsAnother == .fromStart {
                // Values of a circle were planned before another one of it turned out impossible.
                plan = Plan()
                verdicts = []
                inPlace = []
                world.refreshAfterFailure()
                _ = world.takeDisturbance()
                world.beginPass()
                continue
            }
            if world.takeDisturbance() { needsAnother = .onTop }
            if needsAnother == .no { break }
            world.forgetClaims()
        }
    }

    /// A bound on what a world can make us repeat. Three are needed at most when values keep to the rules.
    private static var passes: Int { 8 }

    /// Whether all values have to be gone over once more.
    private enum Another { case no, onTop, fromStart }

    /// Goes over all values once.
    private mutating func pass(
        _ graph: Graph<W>, _ stuck: inout [Int: Verdict], _ suspects: inout Set<Int>
    ) -> Another {
        startPass()
        let prospects = Prospects(graph, world, holds, absent: suspects.union(stuck.keys))
        for id in graph.order where prospects.isPossible[id] { graph[id]?.value?.claim(in: world) }
        for removal in world.leftoversToRemoveFirst() { remove(removal) }
        var isThere = prospects.isPossible
        var another = Another.no
        var waiting: [Node<W>] = []
        for id in graph.order {
            guard let node = graph[id] else { continue }
            if !stuck.isEmpty, let verdict = stuck[id] {
                if prospects.isPossibleButForSelf(node, in: graph, isThere: isThere) {
                    note(node, verdict)
                } else {
                    waiting.append(node)
                }
            } else if prospects.isHeld[id], prospects.staysHeld(node, in: graph, isThere: isThere) {
                let reason = node.error
                plan.blocked.append(.init(key: node.key, summary: node.value?.summary ?? "", reasons: [reason]))
            } else if !suspects.isEmpty, suspects.contains(id),
                prospects.isPossibleButForSelf(node, in: graph, isThere: isThere)
            {
                if let verdict = impossibility(of: node) {
                    stuck[id] = verdict
                    note(node, verdict)
                } else {
                    suspects.remove(id)
                    another = .onTop
                }
            } else if isThere[id], node.isSatisfied(by: isThere) {
                guard case .impossible(let verdict) = assess(node) else { continue }
                stuck[id] = verdict
                isThere[id] = false
                if prospects.hadHope(node) { another = .onTop }
            } else {
                if isThere[id], prospects.hadHope(node) { another = .onTop }
                isThere[id] = false
                waiting.append(node)
            }
        }
        for node in waiting {
            note(node, .waiting(prospects.reasons(for: node, in: graph, stuck: stuck, isThere: isThere)))
        }
        for removal in world.leftoversToRemoveLast() { remove(removal) }
        return !stuck.isEmpty && reliesOnTheAbsent(graph, isThere) ? .fromStart : another
    }

    /// Compares a value with the world only to see whether it is still impossible.
    private func impossibility(of node: Node<W>) -> Verdict? {
        switch node.value?.assess(in: world).verdict {
        case .waiting(let reasons): .stalled(reasons)
        case .blocked(let reason): .blocked(reason)
        case .failing(let reason): .failing(reason)
        case nil, .inPlace, .create, .update, .recreate: nil
        }
    }

    private mutating func startPass() {
        verdicts.removeAll(keepingCapacity: true)
        inPlace.removeAll(keepingCapacity: true)
        plan.waiting = []
        plan.blocked = []
        plan.inPlace = 0
    }

    /// Whether a value of a circle was taken to be there before another one turned out not to be.
    private func reliesOnTheAbsent(_ graph: Graph<W>, _ isThere: [Bool]) -> Bool {
        graph.states.contains { node in
            guard let node, isThere[node.id] else { return false }
            return !node.isSatisfied(by: isThere)
        }
    }

    // MARK: - Some values

    /// Plans some values again, after the world changed, and what depends on those that need a change. Takes time for
    /// these alone, and notes when that is not enough and all have to be planned after it.
    mutating func planSome(_ ids: some Sequence<Int>, _ graph: Graph<W>) {
        _ = world.takeDisturbance()
        var queue = Heap<Int>()
        var queued: Set<Int> = []
        var looks: [Int: Int] = [:]
        for case let node? in ids.map({ graph[$0] }) where node.position >= 0 && queued.insert(node.position).inserted {
            queue.insert(node.position)
        }
        while let position = queue.popFirst() {
            queued.remove(position)
            let id = graph.order[position]
            // In a circle, a change of one can disturb another that was looked at before.
            guard let node = graph[id], looks[id, default: 0] < 2 else { continue }
            looks[id, default: 0] += 1
            let steps = plan.steps.count
            if !planAgain(node, graph) { needsAll = true }
            if plan.steps.count == steps { continue }
            for case let dependant? in graph.dependants[id].lazy.map({ graph[$0] }) {
                if dependant.position >= 0, queued.insert(dependant.position).inserted {
                    queue.insert(dependant.position)
                }
            }
        }
        if world.takeDisturbance() { needsAll = true }
    }

    /// Returns false when the change is one that others have to know of.
    private mutating func planAgain(_ node: Node<W>, _ graph: Graph<W>) -> Bool {
        guard let value = node.value, !holds.contains(node) else { return true }
        guard node.available else {
            var search = HopeSearch(graph: graph, world: world, holds: holds)
            return !search.mayBeReady(node)
        }
        guard value.unmetConditions(in: world).isEmpty else { return false }
        switch assess(node) {
        case .inPlace, .step: return true
        case .impossible: return false
        }
    }

    // MARK: - One value

    /// Compares a value with the world. After a step, others may build on it.
    private mutating func assess(_ node: Node<W>) -> Outcome {
        guard let value = node.value else { return .impossible(.blocked(node.error)) }
        let assessment = value.assess(in: world)
        let verb: Plan<W.Operation>.Verb
        switch assessment.verdict {
        case .inPlace:
            inPlace.append(node.id)
            plan.inPlace += 1
            return .inPlace
        case .waiting(let reasons):
            note(node, .stalled(reasons))
            return .impossible(.stalled(reasons))
        case .blocked(let reason):
            note(node, .blocked(reason))
            return .impossible(.blocked(reason))
        case .failing(let reason):
            note(node, .failing(reason))
            return .impossible(.failing(reason))
        case .create: verb = .create
        case .update: verb = .update
        case .recreate: verb = .recreate
        }
        let range = add(assessment.operations)
        plan.steps.append(
            .init(
                verb: verb, key: node.key, summary: value.summary, differences: assessment.differences,
                operations: range, node: node.id))
        return .step
    }

    private mutating func note(_ node: Node<W>, _ verdict: Verdict) {
        verdicts.append((node.id, verdict))
        switch verdict {
        case .waiting(let reasons), .stalled(let reasons):
            plan.waiting.append(.init(key: node.key, summary: node.value?.summary ?? "", reasons: reasons))
        case .blocked(let reason), .failing(let reason):
            plan.blocked.append(.init(key: node.key, summary: node.value?.summary ?? "", reasons: [reason]))
        }
    }

    /// Notes a value that can never be made as it is written.
    mutating func block(_ node: Node<W>) {
        plan.blocked.append(.init(key: node.key, summary: node.summary, reasons: [node.error]))
    }

    private mutating func remove(_ removal: Removal<W.Operation>) {
        if !holds.removals.isEmpty, holds.removals.contains(removal.key) {
            heldRemovals.insert(removal.key)
            return
        }
        plan.steps.append(
            .init(
                verb: .delete, key: removal.key, summary: removal.summary, differences: [],
                operations: add(removal.operations), node: nil))
    }

    private mutating func add(_ operations: [W.Operation]) -> Range<Int> {
        let start = plan.operations.count
        for operation in operations {
            plan.operations.append(operation)
            world.simulate(operation)
        }
        return start..<plan.operations.count
    }
}
