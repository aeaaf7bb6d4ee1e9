import Testing

@testable import Reconciler

@Suite("Random lives")
struct PropertyTests {
    /// Each batch has its own hundred seeds; a failing one is printed. The last batches once failed.
    @Test("a random life ends where one clean apply ends", arguments: Array(0..<20) + [341, 366])
    func converges(batch: UInt64) {
        for seed in batch * 100..<batch * 100 + 100 where !check(seed: seed) { return }
    }

    private func check(seed: UInt64) -> Bool {
        var life = RandomLife(seed: seed)
        life.live()
        life.heal()
        let bench = life.bench
        let clean = life.cleanApply()
        let isSame = bench.world.real == clean.world.real
        #expect(isSame, "seed \(seed): \(Self.difference(bench, clean))")
        #expect(bench.world.real == bench.world.belief, "seed \(seed)")
        #expect(Self.states(bench) == Self.states(clean), "seed \(seed)")
        for one in [bench, clean] {
            #expect(one.run() == [], "seed \(seed)")
            #expect(one.last == nil, "seed \(seed)")
            #expect(Self.mistakes(one) == [], "seed \(seed)")
        }
        #expect(life.mistakes == [], "seed \(seed)")
        life.repairIncrementally()
        #expect(bench.world.real == clean.world.real, "seed \(seed), incremental: \(Self.difference(bench, clean))")
        #expect(bench.run() == [], "seed \(seed), incremental")
        let shuffled = life.cleanApply(shuffledWith: seed)
        #expect(shuffled.world.real == clean.world.real, "seed \(seed), shuffled")
        #expect(
            shuffled.world.real.serials == clean.world.real.serials, "seed \(seed), shuffled: not in the same order")
        return isSame
    }

    private static func states(_ bench: Bench) -> [Key: String] {
        // Of values that need each other and are all impossible, one is found so and the others wait for it; which one
        // depends on what was tried when.
        let isExact = !bench.world.real.conditions.contains("impossible")
        return Dictionary(
            uniqueKeysWithValues: bench.reconciler.status().map { status in
                let isThere = status.state == .configured
                return (status.key, isExact ? "\(status.state.name) \(status.details) \(status.error)" : "\(isThere)")
            })
    }

    /// What a state says must be so: a thing is there exactly if its value is configured.
    private static func mistakes(_ bench: Bench) -> [String] {
        var mistakes: [String] = []
        for node in bench.reconciler.graph.nodes {
            guard let item = node.value as? Item else { continue }
            let isThere = bench.world.real.things[item.name]?.owner == node.key
            if (node.state == .configured) != isThere || node.available != isThere {
                mistakes.append("\(node.key) \(node.state.name) there: \(isThere)")
            }
            if node.state == .pending, node.details.isEmpty { mistakes.append("\(node.key) waits for nothing") }
        }
        mistakes += bench.world.mistakes
        if bench.world.real.things["foreign"] != Thing(attributes: ["theirs": "1"]) { mistakes.append("foreign") }
        return mistakes
    }

    private static func difference(_ bench: Bench, _ clean: Bench) -> String {
        let names = Set(bench.world.real.things.keys).union(clean.world.real.things.keys)
        return names.sorted().compactMap { name in
            let (left, right) = (bench.world.real.things[name], clean.world.real.things[name])
            return left == right ? nil : "\(name): \(String(describing: left)) / \(String(describing: right))"
        }.joined(separator: "; ")
    }
}
