/// What a planner leaves alone.
struct Holds<W: World> {
    var now: Timestamp
    /// Nodes that failed in this transaction.
    var nodes: Set<Int> = []
    /// Removals that failed, until they are due.
    var removals: Set<Key> = []
    /// Whether differences that were shown stay as they are.
    var keepsDrift = false

    func contains(_ node: Node<W>) -> Bool {
        if let due = node.nextTry, due > now { return true }
        return node.hasGivenUp || keepsDrift && node.isDriftShown || nodes.contains(node.id)
    }
}

/// Works out what to do, by comparing each value with a world in which everything before it was already done.
///
/// Changes what the world is believed to look like, and no node.
struct Planner<W: World> {
    enum Verdict {
        case inPlace
        case waiting([String])
        case blocked(String)
    }

    let world: W
    let holds: Holds<W>
    private(set) var plan = Plan<W.Operation>()
    /// What was found out about each node that was looked at and has no step.
    private(set) var verdicts: [(id: Int, verdict: Verdict)] = []
    /// Keys of leftovers that were left, as they are held.
    private(set) var heldRemovals: Set<Key> = []

    init(world: W, holds: Holds<W>) {
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
        for _ in 0..<Self.passes {
            let needsAnother = pass(graph, &stuck)
            if !world.takeDisturbance(), !needsAnother { break }
        }
    }

    /// A bound on what a world can make us repeat. Three are needed at most when values keep to the rules.
    private static var passes: Int { 8 }

    /// Goes over all values once. Returns whether that has to be repeated.
    private mutating func pass(_ graph: Graph<W>, _ stuck: inout [Int: Verdict]) -> Bool {
        startPass()
        let prospects = Prospects(graph, world, holds, stuck: stuck)
        world.beginPass()
        for id in graph.order where prospects.isPossible[id] { graph[id]?.value?.claim(in: world) }
        for removal in world.leftoversToRemoveFirst() { remove(removal) }
        var isThere = prospects.isPossible
        var needsAnother = false
        for id in graph.order {
            guard let node = graph[id] else { continue }
            if let verdict = stuck[id] {
                note(node, verdict)
            } else if prospects.isHeld[id], prospects.staysHeld(node, in: graph, isThere: isThere) {
                plan.blocked.append(
                    .init(key: node.key, summary: node.value?.summary ?? "", reasons: [node.error]))
            } else if isThere[id], node.requirements.allSatisfy({ $0.isMet(by: { isThere[$0] }) }) {
                switch assess(node) {
                case nil, .inPlace: continue
                case .some(let verdict):
                    stuck[id] = verdict
                    isThere[id] = false
                    needsAnother = needsAnother || prospects.hadHope(node)
                }
            } else {
                needsAnother = needsAnother || isThere[id] && prospects.hadHope(node)
                isThere[id] = false
                note(node, .waiting(prospects.reasons(for: node, in: graph, isThere: isThere)))
            }
        }
        for removal in world.leftoversToRemoveLast() { remove(removal) }
        return needsAnother || !stuck.isEmpty && reliesOnTheAbsent(graph, isThere)
    }

    private mutating func startPass() {
        verdicts.removeAll(keepingCapacity: true)
        plan.waiting = []
        plan.blocked = []
        plan.inPlace = 0
    }

    /// Whether a value of a circle was taken to be there before another one turned out not to be.
    private func reliesOnTheAbsent(_ graph: Graph<W>, _ isThere: [Bool]) -> Bool {
        graph.order.contains { id in
            guard isThere[id], let node = graph[id] else { return false }
            return !node.requirements.allSatisfy { $0.isMet(by: { isThere[$0] }) }
        }
    }

    // MARK: - Some values

    /// Plans some values again, after the world changed, and what depends on those that need a change. Takes time for
    /// these alone. Returns false when that is not enough and all have to be planned.
    mutating func planSome(_ ids: some Sequence<Int>, _ graph: Graph<W>) -> Bool {
        _ = world.takeDisturbance()
        var isEnough = true
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
            if !planAgain(node, graph) { isEnough = false }
            if plan.steps.count == steps { continue }
            for case let dependant? in graph.dependants[id].lazy.map({ graph[$0] }) {
                if dependant.position >= 0, queued.insert(dependant.position).inserted {
                    queue.insert(dependant.position)
                }
            }
        }
        return isEnough && !world.takeDisturbance()
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
        case nil, .inPlace: return true
        case .waiting, .blocked: return false
        }
    }

    // MARK: - One value

    /// Returns nil when there is something to do, after which others may build on the node.
    private mutating func assess(_ node: Node<W>) -> Verdict? {
        guard let value = node.value else { return .blocked(node.error) }
        let assessment = value.assess(in: world)
        let verb: Plan<W.Operation>.Verb
        switch assessment.verdict {
        case .inPlace:
            note(node, .inPlace)
            return .inPlace
        case .waiting(let reasons):
            note(node, .waiting(reasons))
            return .waiting(reasons)
        case .blocked(let reason):
            note(node, .blocked(reason))
            return .blocked(reason)
        case .create: verb = .create
        case .update: verb = .update
        case .recreate: verb = .recreate
        }
        let range = add(assessment.operations)
        plan.steps.append(
            .init(
                verb: verb, key: node.key, summary: value.summary, differences: assessment.differences,
                operations: range, node: node.id))
        return nil
    }

    private mutating func note(_ node: Node<W>, _ verdict: Verdict) {
        verdicts.append((node.id, verdict))
        switch verdict {
        case .inPlace: plan.inPlace += 1
        case .waiting(let reasons):
            plan.waiting.append(.init(key: node.key, summary: node.value?.summary ?? "", reasons: reasons))
        case .blocked(let reason):
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
