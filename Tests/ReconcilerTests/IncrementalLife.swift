import Concurrency
import TestSupport

@testable import Reconciler

/// A random life in which everything after the first look happens change by change.
struct IncrementalLife {
    var model: RandomModel
    let bench = Bench()
    /// What the sources declare, and what is said of observed values, to start again from.
    private var declared: [String: [Key: Desired<FakeWorld>]] = [:]
    private var observed: [Key: Observation] = [:]
    /// Whether comparisons may find values of a circle impossible; which one then waits for which depends on the past.
    private let mayBeImpossible: Bool
    private(set) var mistakes: [String] = []
    private var runs = 0
    private var fullRuns = 0

    /// How many percent of the transactions looked at everything.
    var fullPercentage: Int { fullRuns * 100 / max(runs, 1) }

    private static let sources = ["api", "files", "mesh"]
    private static let keptCount = 4

    init(seed: UInt64, size: Int) {
        model = RandomModel(seed: seed, size: size)
        mayBeImpossible = seed % 5 == 0
        bench.world.skips = model.random.chance(50)
        let values = model.declarations().map { ($0.key, model.desired($0)) }
        declared["files"] = Dictionary(values) { $1 }
        bench.reconciler.replace(source: "files", with: values.map { (key: $0.0, desired: $0.1) })
        bench.runChanges()
    }

    // MARK: - Living

    mutating func live(steps: Int) {
        for _ in 0..<steps {
            model.center = model.random.below(model.size)
            step()
            if model.random.chance(30) { failSomething() }
            if model.random.chance(20) { bench.world.failures = [:] }
            if model.random.chance(30) { bench.clock.advance(.milliseconds(model.random.below(9000))) }
            if model.random.chance(70) {
                let searches = bench.world.fullSearches
                bench.runChanges(revert: model.random.chance(12))
                runs += 1
                if bench.world.fullSearches > searches { fullRuns += 1 }
                adopt()
            }
            mistakes += GraphCheck.mistakes(bench.reconciler.graph)
        }
    }

    private mutating func step() {
        switch model.random.below(12) {
        case 0, 1, 2: declare(model.oneItem())
        case 3: declare(alias())
        case 4, 5: withdraw()
        case 6: drift()
        case 7: toggleCondition()
        case 8: foreign()
        case 9: observe()
        case 10: declareKept()
        default:
            let values = model.random.chance(20) ? model.declarations() : []
            if !values.isEmpty, model.size <= 20 { replaceAll(values) } else { declare(model.oneItem()) }
        }
    }

    private mutating func declare(_ item: Item) { change(item.key, model.desired(item)) }

    private mutating func change(_ key: Key, _ desired: Desired<FakeWorld>?) {
        let source = model.random.pick(Self.sources)
        declared[source, default: [:]][key] = desired
        bench.reconciler.change(source: source, [(key, desired)])
    }

    private mutating func replaceAll(_ items: [Item]) {
        let values = items.map { ($0.key, model.desired($0)) }
        declared["mesh"] = Dictionary(values) { $1 }
        bench.reconciler.replace(source: "mesh", with: values.map { (key: $0.0, desired: $0.1) })
    }

    /// A value that wants what another wants too.
    private mutating func alias() -> Item {
        var item = model.item(model.name())
        item.key = "k/a-\(item.name)"
        item.parts = []
        return item
    }

    private mutating func withdraw() {
        let name = model.name()
        let keys = ["k/\(name)", "k/\(name)", "k/a-\(name)", "k/shared", "k/v0a", "k/v1b", "kept/1"]
        let key = model.random.pick(keys)
        // All sources withdraw it, most often.
        for source in Self.sources where model.random.chance(80) {
            declared[source]?[key] = nil
            bench.reconciler.change(source: source, [(key, nil)])
        }
    }

    private mutating func declareKept() {
        let number = model.random.below(Self.keptCount)
        var kept = Kept(key: "kept/\(number)")
        if model.random.chance(50) { kept.needs = [model.anyKey()] }
        change(kept.key, .value(kept))
        // What needs it.
        if model.random.chance(60) { declare(Item(model.name(), needs: [.key(kept.key)])) }
    }

    private mutating func observe() {
        let key = "kept/\(model.random.below(Self.keptCount))"
        let choices: [Observation?] = [.inPlace, .inPlace, .waiting(["an answer"]), .blocked("nobody"), nil]
        bench.reconciler.observe(key, model.random.pick(choices))
    }

    // MARK: - What others do

    /// Something is lost or changed, and the world says of whose.
    private mutating func drift() {
        let name = model.random.chance(60) ? model.name() : "\(model.name()).\(model.random.below(3))"
        guard let thing = bench.world.real.things[name], thing.owner != nil else { return }
        var names = [name]
        let isDeletion = model.random.chance(60)
        let owners = bench.world.real.things.mapValues(\.owner)
        bench.world.outside {
            if isDeletion { names = $0.remove(name) } else { $0.things[name]?.attributes["x"] = "drifted" }
        }
        report(Set(names.compactMap { owners[$0] ?? nil }))
    }

    private mutating func toggleCondition() {
        let condition = RandomModel.conditions[model.random.below(mayBeImpossible ? 4 : 3)]
        let isThere = model.random.chance(60)
        bench.world.outside {
            if isThere { $0.conditions.insert(condition) } else { $0.conditions.remove(condition) }
        }
        let keys = bench.reconciler.graph.nodes.compactMap { node in
            guard let item = node.value as? Item else { return nil as Key? }
            return item.condition == condition || condition == "impossible" && item.verdict != nil ? node.key : nil
        }
        report(Set(keys))
    }

    private mutating func foreign() {
        let name = model.name()
        guard let thing = bench.world.real.things[name] else {
            bench.world.outside { $0.things[name] = Thing(attributes: ["theirs": "1"]) }
            return report(["k/\(name)", "k/a-\(name)"])
        }
        if thing.owner != nil { return }
        bench.world.outside { $0.remove(name) }
        report(["k/\(name)", "k/a-\(name)"])
    }

    private mutating func report(_ keys: Set<Key>) {
        bench.run(.drift, scope: .keys(keys))
        adopt()
    }

    private mutating func failSomething() {
        var failure = FakeWorld.Failure(times: 1 + model.random.below(4))
        failure.retriable = model.random.chance(80)
        failure.leavesHalf = model.random.chance(30)
        if model.random.chance(50) { failure.sort = ["c", "u", "d"][model.random.below(3)] }
        let name = model.random.chance(30) ? "\(model.name()).\(model.random.below(3))" : model.name()
        bench.world.failures[name] = failure
    }

    /// After a revert the sources declare what they did before. What is said of values that came back is not known.
    private mutating func adopt() {
        if bench.last?.reverted == true { declared = bench.reconciler.sources.values }
    }

    // MARK: - The end

    /// All failures heal; retries come due until nothing is left to do.
    mutating func heal() {
        bench.world.failures = [:]
        let gaveUp =
            bench.reconciler.status().contains { $0.state == .failed }
            || bench.reconciler.removals.values.contains { $0.nextTry == nil }
        if gaveUp || bench.reconciler.isParked { bench.reconciler.forgetFailures() }
        bench.runChanges()
        for _ in 0..<20 {
            guard let next = bench.reconciler.nextTry else { break }
            bench.clock.advance(to: next)
            bench.runChanges()
        }
    }

    /// What is other than after one look at everything by a reconciler that knows nothing.
    func differences() -> [String] {
        let fresh = Bench(on: bench.world.copy())
        for (source, values) in declared {
            fresh.reconciler.replace(source: source, with: values.map { (key: $0.key, desired: $0.value) })
        }
        for node in bench.reconciler.graph.nodes { fresh.reconciler.observe(node.key, node.observation) }
        var result = fresh.run().map { "left to do: \($0)" }
        if fresh.world.real != bench.world.real { result.append("another world") }
        if bench.world.real != bench.world.belief { result.append("another belief") }
        let isExact = !isAmbiguous(bench) && !isAmbiguous(fresh)
        let (left, right) = (states(bench, isExact), states(fresh, isExact))
        for key in Set(left.keys).union(right.keys).sorted() where left[key] != right[key] {
            result.append("\(key): \(left[key] ?? "none"), fresh: \(right[key] ?? "none")")
        }
        return result + bench.world.mistakes + fresh.world.mistakes + mistakes
    }

    /// Of values that need each other and are all impossible, one is found so and the others wait for it; which one
    /// depends on what was tried when.
    private func isAmbiguous(_ bench: Bench) -> Bool {
        if bench.world.real.conditions.contains("impossible") { return true }
        let graph = bench.reconciler.graph
        return graph.circles.values.joined().contains { graph.states[$0]?.state == .retrying }
    }

    private func states(_ bench: Bench, _ isExact: Bool) -> [Key: String] {
        Dictionary(
            uniqueKeysWithValues: bench.reconciler.status().map { status in
                let isThere = status.state == .configured
                return (status.key, isExact ? "\(status.state.name) \(status.details) \(status.error)" : "\(isThere)")
            })
    }
}

/// The graph as it follows from the declared values, worked out once more in a simple way.
enum GraphCheck {
    static func mistakes(_ graph: Graph<FakeWorld>) -> [String] {
        graph.resolve()
        let nodes = Array(graph.nodes)
        var result = wrongLinks(graph, nodes)
        let reach = Dictionary(uniqueKeysWithValues: nodes.map { ($0.id, reachable(from: $0.id, graph)) })
        for node in nodes {
            let circle = Set((reach[node.id] ?? []).filter { reach[$0]?.contains(node.id) == true }).union([node.id])
            let known = graph.circles[node.component].map(Set.init) ?? [node.id]
            if circle != known { result.append("\(node.key) is in circle \(known), not \(circle)") }
            let outside = circle.flatMap { graph.states[$0]?.targets ?? [] }.filter { !circle.contains($0) }
            let floor = outside.compactMap { graph.states[$0]?.depth }.map { $0 + 1 }.max() ?? 0
            var level = 0
            var base = node.base
            while let id = base, circle.count > 1, circle.contains(id) {
                level += 1
                base = graph.states[id]?.base
            }
            if node.depth != floor + level { result.append("\(node.key) is at \(node.depth), not \(floor + level)") }
        }
        return result
    }

    private static func reachable(from id: Int, _ graph: Graph<FakeWorld>) -> Set<Int> {
        var found: Set<Int> = []
        var queue = graph.states[id]?.targets ?? []
        while let next = queue.popLast() {
            if !found.insert(next).inserted { continue }
            queue += graph.states[next]?.targets ?? []
        }
        return found
    }

    /// Targets are those of a graph that is made at once, and dependants are their reverse.
    private static func wrongLinks(_ graph: Graph<FakeWorld>, _ nodes: [Node<FakeWorld>]) -> [String] {
        let fresh = Graph(world: FakeWorld())
        for node in nodes where node.base == nil {
            guard let value = node.value else {
                fresh.put(
                    node.key, .invalid(kind: node.kind, summary: node.summary, error: "", fields: []),
                    at: Timestamp(nanoseconds: 0))
                continue
            }
            fresh.put(node.key, .value(value), at: Timestamp(nanoseconds: 0))
        }
        fresh.resolve()
        func keys(_ ids: [Int], _ graph: Graph<FakeWorld>) -> [Key] {
            ids.map { graph.states[$0]?.key ?? "?" }.sorted()
        }
        var reverse: [Int: Set<Int>] = [:]
        for node in nodes { for target in node.targets { reverse[target, default: []].insert(node.id) } }
        return nodes.flatMap { node in
            var result: [String] = []
            let wanted = fresh.node(node.key).map { keys($0.targets, fresh) }
            if keys(node.targets, graph) != wanted { result.append("\(node.key) needs others than \(wanted ?? [])") }
            var dependants: Set<Int> = []
            node.dependants.forEach { dependants.insert($0) }
            if dependants != reverse[node.id] ?? [] { result.append("\(node.key) has other dependants") }
            return result
        }
    }
}
