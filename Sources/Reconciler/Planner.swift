internal import HeapModule

/// Works out what to do, by comparing values with a world in which everything before them was already done.
///
/// It looks at all values, or at those that a change concerns: the changed ones, those that may become ready with them or
/// must go with them, and those whose objects the operations touch. Either way the same declared values lead to the same
/// world. It changes what the world is believed to look like, and of nodes only what they claim.
struct Planner<W: World> {
    let graph: Graph<W>
    let world: W
    let holds: Holds
    /// Whether a leftover stays for now.
    private let spares: (W.Place) -> Bool
    /// Whether all values are looked at.
    private(set) var isFull = false
    /// Whether differences are only to be shown: nothing is claimed and nothing is left over.
    private(set) var isShowing = false

    var plan = Plan<W.Operation>()
    /// The nodes that are looked at.
    var concerned: [Int] = []
    /// What was found out about each node that was looked at, has no step, and is not in place.
    private(set) var verdicts: [(id: Int, verdict: Verdict)] = []
    /// Whether the values that were planned are not all that the change concerns: the plan is of no use.
    var needsAll = false
    /// Keys of leftovers that were left, as they are held.
    private(set) var heldRemovals: Set<Key> = []
    /// Where leftovers are that were left, as they are spared.
    private(set) var spared: Set<W.Place> = []
    /// Where the leftovers with these keys are.
    private(set) var places: [Key: Set<W.Place>] = [:]

    // Of one pass.
    var pass: Int32 = 0
    var conditions: [Int: [String]] = [:]
    var growing = Heap<Position>()
    /// Nodes that only those that left led to. They can't have become ready.
    var bystanders: [Int] = []
    var waiting: [Node<W>] = []
    /// Nodes to be compared once more, or that turned out later to be concerned.
    var again = Heap<Position>()
    var another = Another.no

    // Of all passes for a plan.
    /// Nodes that turned out impossible as they were compared, or that are observed to be.
    var stuck: [Int: Verdict] = [:]
    /// Nodes that were impossible last time and are taken to be so, until their comparison says otherwise.
    var suspects: Set<Int> = []

    /// Whether all values have to be gone over once more.
    enum Another { case no, onTop, fromStart }

    init(_ graph: Graph<W>, holds: Holds, spares: @escaping (W.Place) -> Bool = { _ in false }) {
        self.graph = graph
        world = graph.world
        self.holds = holds
        self.spares = spares
    }

    /// Nodes that are as they should be.
    var inPlace: some Sequence<NodeState> {
        concerned.lazy.compactMap { [graph] in graph.states[$0] }.filter { $0.look.isInPlace && !$0.look.hasStep }
    }

    // MARK: - All values

    /// Plans all values, and the removal of what no value claims.
    ///
    /// When a value turns out impossible only as it is compared, everything is gone over again without it, so that what
    /// depends on it goes too. That is rare: most reasons to wait are known before.
    mutating func planAll() {
        isFull = true
        graph.resolve()
        graph.sort()
        _ = world.takeDisturbed()
        _ = world.takeConcerned()
        _ = world.takeLosses()
        for case let node? in graph.states where node.isSuspect && !node.available && !node.isObserved {
            suspects.insert(node.id)
        }
        world.beginPass()
        for _ in 0..<Self.passes {
            goOverAll()
            plan.losses += world.takeLosses()
            switch another {
            case .no:
                return
            case .onTop:
                world.forgetClaims()
            case .fromStart:
                // Values of a circle were planned before another one of it turned out impossible.
                plan = Plan()
                world.refreshAfterFailure()
                _ = world.takeDisturbed()
                world.beginPass()
            }
        }
    }

    /// A bound on what a world can make us repeat. Three are needed at most when values keep to the rules.
    private static var passes: Int { 8 }

    private mutating func goOverAll() {
        startPass()
        for id in graph.order {
            if let node = graph[id] { join(node) }
        }
        settlePossible()
        claim(graph.order)
        remove(world.leftovers(.first))
        walk(graph.order)
        explain()
        remove(world.leftovers(.last))
        walk([])
        plan.inPlace = inPlace.reduce(0) { count, _ in count + 1 }
        if !stuck.isEmpty, reliesOnTheAbsent() { another = .fromStart }
    }

    private mutating func startPass() {
        graph.passes &+= 1
        pass = graph.passes
        concerned.removeAll(keepingCapacity: true)
        verdicts.removeAll(keepingCapacity: true)
        waiting.removeAll(keepingCapacity: true)
        conditions = [:]
        plan.waiting = []
        plan.blocked = []
        another = .no
    }

    /// Whether a value of a circle was taken to be there before another one turned out not to be.
    private func reliesOnTheAbsent() -> Bool {
        concerned.contains { id in
            guard let node = graph.states[id], node.look.isThere else { return false }
            return !isSatisfied(node)
        }
    }

    // MARK: - What a change concerns

    /// Plans some values and what their change concerns, and the removal of what is at the places that values have left.
    /// Takes time for these alone, and notes when that is not enough and all have to be planned instead.
    /// - Parameters:
    ///   - ids: the nodes to begin with.
    ///   - places: where to look for leftovers besides.
    mutating func planSome(_ ids: Set<Int>, places: [W.Place]) {
        _ = world.takeDisturbed()
        _ = world.takeLosses()
        startPass()
        for case let node? in ids.lazy.map({ [graph] in graph[$0] }) where node.hasValue { enlist(node) }
        grow()
        settlePossible()
        if needsAll { return }
        let order = graph.inOrder(concerned)
        claim(order)
        let early = graph.released.union(places)
        if !early.isEmpty { remove(world.leftovers(.first, at: Array(early))) }
        walk(order)
        if needsAll { return }
        explain()
        explainBystanders()
        let late = graph.released.subtracting(early)
        if !late.isEmpty { remove(world.leftovers(.first, at: Array(late))) }
        if !early.isEmpty || !late.isEmpty { remove(world.leftovers(.last, at: Array(early.union(late)))) }
        walk([])
        plan.losses = world.takeLosses()
        if reliesOnTheAbsent() { needsAll = true }
    }

    /// Compares some values that are there, only to show what differs. Returns those for which that is not enough.
    mutating func compareOnly(_ ids: [Int]) -> [Int] {
        isShowing = true
        _ = world.takeDisturbed()
        startPass()
        for case let node? in ids.lazy.map({ [graph] in graph[$0] }) { join(node) }
        walk(graph.inOrder(concerned))
        return concerned.filter { graph.states[$0]?.look.isThere == false }
    }

    // MARK: - Plan

    mutating func note(_ node: Node<W>, _ verdict: Verdict) {
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

    private mutating func remove(_ removals: [Removal<W>]) {
        for removal in removals {
            if let place = removal.place {
                if isFull, spares(place) {
                    spared.insert(place)
                    continue
                }
                places[removal.key, default: []].insert(place)
            }
            if !holds.removals.isEmpty, holds.removals.contains(removal.key) {
                heldRemovals.insert(removal.key)
                continue
            }
            let operations = add(removal.operations)
            if removal.isInternal, let last = plan.steps.indices.last, plan.steps[last].verb == .delete,
                plan.steps[last].operations.upperBound == operations.lowerBound
            {
                plan.steps[last].operations = plan.steps[last].operations.lowerBound..<operations.upperBound
                continue
            }
            plan.steps.append(
                .init(
                    verb: .delete, key: removal.key, summary: removal.summary, differences: [],
                    operations: operations, node: nil))
        }
        noteDisturbed()
    }

    /// Adds operations to the plan, as if they were done. Returns where they are.
    mutating func add(_ operations: [W.Operation]) -> Range<Int> {
        let start = plan.operations.count
        for operation in operations {
            plan.operations.append(operation)
            world.simulate(operation)
        }
        return start..<plan.operations.count
    }
}
