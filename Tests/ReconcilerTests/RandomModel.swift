import TestSupport
import Testing

@testable import Reconciler

/// Makes random declarations over a small set of names, so that they often meet.
struct RandomModel {
    var random: SeededGenerator
    let size: Int
    /// Names come from this many places on, so that they meet in a large model too.
    var center = 0
    private let window: Int

    init(seed: UInt64) {
        random = SeededGenerator(seed: seed)
        size = 3 + random.below(10)
        window = size
    }

    init(seed: UInt64, size: Int) {
        random = SeededGenerator(seed: seed)
        self.size = size
        window = min(size, 12)
    }

    var groups: [String] { size == window ? ["g0", "g1"] : ["g0-\(center / 12)", "g1-\(center / 12)"] }
    static let conditions = ["w0", "w1", "w2", "impossible"]

    mutating func name() -> String { "n\((center + random.below(window)) % size)" }

    mutating func anyKey() -> Key {
        switch random.below(10) {
        case 0: "k/nobody"
        case 1, 2: "k/\(name()).\(random.below(3))"
        default: "k/\(name())"
        }
    }

    mutating func need() -> Item.Need {
        switch random.below(6) {
        case 0: .ifDeclared(anyKey())
        case 1: .anyOf(groups[random.below(2)], unless: random.chance(30) ? anyKey() : nil)
        case 2: .tagged(groups[random.below(2)], tag: "\(random.below(2))")
        default: .key(anyKey())
        }
    }

    mutating func item(_ name: String, parent: String? = nil) -> Item {
        var item = Item(name)
        item.parent = parent
        item.attributes["x"] = "\(random.below(3))"
        if random.chance(30) { item.attributes["tag"] = "\(random.below(2))" }
        if random.chance(20) { item.attributes["kind"] = "\(random.below(2))" }
        for _ in 0..<max(0, random.below(5) - 2) { item.needs.append(need()) }
        if random.chance(15) { item.condition = Self.conditions[random.below(3)] }
        if random.chance(30) { item.groups = [groups[random.below(2)]] }
        if random.chance(8) { item.verdict = random.chance(50) ? "blocked" : "waiting" }
        if parent != nil {
            if random.chance(40) { item.attributes["volatile"] = "1" }
            if random.chance(30) { item.attributes[random.chance(50) ? "primary" : "secondary"] = "1" }
            return item
        }
        if random.chance(40) { item.attributes["flag"] = "\(random.below(2))" }
        for index in 0..<3 where random.chance(30) { item.parts.append(self.item("\(name).\(index)", parent: name)) }
        // A key that others may derive as well.
        if random.chance(15) { item.parts.append(Item("shared", ["of": name])) }
        return item
    }

    /// One end of a pair: it needs the other, and one operation makes both.
    mutating func half(_ pair: Int, _ end: Int) -> Item {
        let names = ["v\(pair)a", "v\(pair)b"]
        var item = item(names[end])
        item.needs.append(.key("k/\(names[1 - end])"))
        item.peer = names[1 - end]
        // Only the first end is ever made anew: if both were, each would undo what was done to the other.
        if end == 1 { item.attributes["kind"] = nil }
        return item
    }

    mutating func declarations() -> [Item] {
        var items: [Item] = []
        for index in 0..<size where random.chance(75) {
            if size != window { center = max(0, index - window / 2) }
            items.append(item("n\(index)"))
        }
        for pair in 0..<2 where random.chance(60) {
            items += (0..<2).compactMap { random.chance(85) ? half(pair, $0) : nil }
        }
        return items
    }

    mutating func oneItem() -> Item {
        switch random.below(10) {
        case 0: item("shared")
        case 1, 2: half(random.below(2), random.below(2))
        default: item(name())
        }
    }

    mutating func desired(_ item: Item) -> Desired<FakeWorld> {
        random.chance(5)
            ? .invalid(kind: "item", summary: item.summary, error: "wrong", fields: ["x"]) : .value(item)
    }
}

/// One random life of a reconciler.
struct RandomLife {
    var model: RandomModel
    var bench = Bench()
    /// What the sources declare, to start again from.
    var declared: [String: [Key: Desired<FakeWorld>]] = [:]

    /// States that were not true.
    var mistakes: [String] = []

    init(seed: UInt64) {
        model = RandomModel(seed: seed)
        let foreign = Thing(attributes: ["theirs": "1"])
        bench.world.outside { $0.things["foreign"] = foreign }
        bench.world.skips = model.random.chance(50)
    }

    mutating func live() {
        for _ in 0..<(3 + model.random.below(10)) {
            step()
            if model.random.chance(40) { failSomething() }
            if model.random.chance(20) { bench.world.failures = [:] }
            if model.random.chance(30) { bench.clock.advance(.milliseconds(model.random.below(9000))) }
            if model.random.chance(70) {
                let revert = model.random.chance(15)
                bench.run(revert: revert)
                if revert { adoptAfterRevert() }
                if !bench.reconciler.isParked { mistakes += unmetNeeds() }
            }
        }
    }

    private mutating func step() {
        let source = ["files", "grpc"][model.random.below(2)]
        switch model.random.below(9) {
        case 0, 1:
            let values = model.declarations().map { ($0.key, model.desired($0)) }
            declared[source] = Dictionary(values) { $1 }
            bench.reconciler.replace(source: source, with: values.map { (key: $0.0, desired: $0.1) })
        case 2, 3, 4:
            let item = model.oneItem()
            let desired = model.desired(item)
            declared[source, default: [:]][item.key] = desired
            bench.reconciler.change(source: source, [(item.key, desired)])
        case 5:
            let key = model.random.chance(10) ? "k/shared" : "k/\(model.name())"
            declared[source]?[key] = nil
            bench.reconciler.change(source: source, [(key, nil)])
        case 6:
            drift()
        case 7:
            let condition = RandomModel.conditions[model.random.below(4)]
            let isThere = model.random.chance(60)
            bench.world.outside {
                if isThere { $0.conditions.insert(condition) } else { $0.conditions.remove(condition) }
            }
            reportAll()
        default:
            if model.random.chance(30) { restart() }
        }
    }

    private mutating func drift() {
        let names = bench.world.real.things.keys.filter { $0 != "foreign" }.sorted()
        if names.isEmpty { return }
        let name = names[model.random.below(names.count)]
        let owner = bench.world.real.things[name]?.owner
        let isDeletion = model.random.chance(60)
        bench.world.outside {
            if isDeletion { $0.remove(name) } else { $0.things[name]?.attributes["x"] = "drifted" }
        }
        if model.random.chance(50) { reportAll() } else if let owner { bench.run(.drift, scope: .keys([owner])) }
    }

    private mutating func reportAll() {
        let keys = bench.reconciler.status().map(\.key).filter { _ in model.random.chance(50) }
        bench.run(.drift, scope: .keys(Set(keys)))
    }

    private mutating func failSomething() {
        var failure = FakeWorld.Failure(times: 1 + model.random.below(4))
        failure.retriable = model.random.chance(80)
        failure.leavesHalf = model.random.chance(30)
        if model.random.chance(50) { failure.sort = ["c", "u", "d"][model.random.below(3)] }
        let name =
            switch model.random.below(10) {
            case 0, 1, 2: "\(model.name()).\(model.random.below(3))"
            case 3: "v\(model.random.below(2))\(["a", "b"][model.random.below(2)])"
            default: model.name()
            }
        bench.world.failures[name] = failure
    }

    private mutating func restart() {
        bench = bench.restarted()
        for (source, values) in declared {
            bench.reconciler.replace(source: source, with: values.map { (key: $0.key, desired: $0.value) })
        }
    }

    /// After a revert the sources declare what they did before; read it back, as a test can.
    private mutating func adoptAfterRevert() {
        guard bench.last?.reverted == true, !bench.reconciler.isParked else { return }
        declared = bench.reconciler.sources.values
    }

    /// After all values were looked at, what is configured is there and has what it needs.
    private func unmetNeeds() -> [String] {
        let graph = bench.reconciler.graph
        return graph.nodes.compactMap { node in
            guard let item = node.value as? Item, node.state == .configured else { return nil }
            let isMet = node.requirements.allSatisfy { $0.isMet { graph[$0]?.available == true } }
            let isThere = bench.world.real.things[item.name]?.attributes == item.attributes
            return isMet && isThere ? nil : "\(node.key) needs met: \(isMet), there: \(isThere)"
        }
    }

    /// All failures heal; retries come due until nothing is left to do.
    mutating func heal() {
        bench.world.failures = [:]
        let gaveUp =
            bench.reconciler.status().contains { $0.state == .failed }
            || bench.reconciler.removals.values.contains { $0.nextTry == nil }
        if gaveUp || bench.reconciler.isParked { bench.reconciler.forgetFailures() }
        bench.run()
        for _ in 0..<20 {
            guard let next = bench.reconciler.nextTry else { break }
            bench.clock.advance(to: next)
            bench.run(.retry)
        }
    }

    /// Things are lost and changed, and only their keys are reported.
    mutating func repairIncrementally() {
        for _ in 0..<4 {
            let owned = bench.world.real.things.filter { $0.value.owner != nil }.keys.sorted()
            if owned.isEmpty { return }
            var keys: Set<Key> = []
            for _ in 0...model.random.below(3) {
                let name = owned[model.random.below(owned.count)]
                guard let owner = bench.world.real.things[name]?.owner else { continue }
                let isDeletion = model.random.chance(70)
                bench.world.outside {
                    if isDeletion { $0.remove(name) } else { $0.things[name]?.attributes["x"] = "drifted" }
                }
                keys.insert(owner)
            }
            bench.run(.drift, scope: .keys(keys))
            bench.clock.advance(.seconds(6))
        }
    }

    /// The same declarations applied once to an empty world.
    func cleanApply(shuffledWith seed: UInt64? = nil) -> Bench {
        let clean = Bench()
        clean.world.outside {
            $0.things["foreign"] = Thing(attributes: ["theirs": "1"])
            $0.conditions = bench.world.real.conditions
        }
        var random = SeededGenerator(seed: seed ?? 0)
        for (source, values) in declared.shuffled(using: &random) {
            let pairs = values.map { (key: $0.key, desired: $0.value) }.sorted { $0.key < $1.key }
            for pair in seed == nil ? pairs : pairs.shuffled(using: &random) {
                clean.reconciler.change(source: source, [(pair.key, pair.desired)])
            }
        }
        clean.run()
        return clean
    }
}
