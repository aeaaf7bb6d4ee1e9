import Glibc
import Testing

@testable import Reconciler

@Suite("Change by change")
struct IncrementalTests {
    /// How many lives of each size; `NSM_LIVES` makes it more.
    private static let lives = getenv("NSM_LIVES").flatMap { UInt64(String(cString: $0)) } ?? 8

    /// A failing seed is printed.
    @Test("a life of single changes ends where one look at everything ends", arguments: 0..<lives)
    func few(batch: UInt64) {
        var shares: [Int] = []
        for seed in batch * 50..<batch * 50 + 50 {
            guard let share = check(seed: seed, size: 20, steps: 25) else { return }
            shares.append(share)
        }
        // Otherwise there would be little to see.
        let mean = shares.reduce(0, +) / shares.count
        #expect(mean < 50, "\(mean) % of the transactions looked at everything")
    }

    @Test("so it does among two hundred values", arguments: 0..<lives / 2)
    func many(seed: UInt64) { check(seed: seed, size: 200, steps: 40) }

    @Test("so it does among two thousand values", arguments: 0..<lives / 8)
    func thousands(seed: UInt64) { check(seed: seed, size: 2_000, steps: 25) }

    /// Returns how many percent of the transactions looked at everything; nil: there was a mistake.
    @discardableResult
    private func check(seed: UInt64, size: Int, steps: Int) -> Int? {
        var life = IncrementalLife(seed: seed, size: size)
        life.live(steps: steps)
        life.heal()
        let differences = life.differences()
        #expect(differences == [], "seed \(seed), \(size) values")
        let plan = life.bench.reconciler.plan()
        #expect(plan.isEmpty, "seed \(seed), \(size) values: \(plan.steps.map(\.summary))")
        return differences.isEmpty && plan.isEmpty ? life.fullPercentage : nil
    }

    // MARK: - Cost

    /// What one change asks of the world among so many values: comparisons, claims, conditions, places.
    private func work(among count: Int, _ prepare: (Bench) -> Void = { _ in }, _ change: (Bench) -> Void) -> [Int] {
        let bench = Bench()
        var items = [Item("bridge")]
        for number in 0..<count / 4 {
            items.append(
                Item("l\(number)", needs: [.key("k/bridge")]).with(.part("p\(number)", of: "l\(number)")))
            items.append(Item("r\(number)", needs: [.key("k/p\(number)")]))
        }
        items.append(Item("w", needs: [.key("k/nobody")]).setting { $0.condition = "ns" })
        bench.declare(items)
        prepare(bench)
        bench.run()
        bench.world.resetWork()
        change(bench)
        #expect(bench.world.fullSearches == 0)
        return bench.world.work
    }

    private func isFlat(_ prepare: (Bench) -> Void = { _ in }, _ change: (Bench) -> Void) -> Bool {
        let work = [100, 2_000, 20_000].map { self.work(among: $0, prepare, change) }
        return work[0] == work[1] && work[1] == work[2] && work[0].reduce(0, +) > 0
    }

    @Test("a change asks the same of the world, however many values there are")
    func costOfDeclarations() {
        #expect(
            isFlat {
                $0.put(Item("new", needs: [.key("k/bridge")])); $0.runChanges()
            })
        #expect(
            isFlat {
                $0.put(Item("r3", ["x": "2"], needs: [.key("k/p3")])); $0.runChanges()
            })
        #expect(
            isFlat {
                $0.drop("k/l3"); $0.runChanges()
            })
        #expect(
            isFlat {
                $0.put(Item("nobody")); $0.runChanges()
            })
        #expect(
            isFlat {
                $0.put(Item("c", needs: [.key("k/d")]))
                $0.put(Item("d", needs: [.key("k/c"), .key("k/l3")]))
                $0.runChanges()
                $0.drop("k/d")
                $0.runChanges()
            })
    }

    @Test("so does what others do, and what fails")
    func costOfReports() {
        #expect(
            isFlat {
                $0.world.outside { $0.remove("l3") }
                $0.run(.drift, scope: .keys(["k/l3", "k/p3"]))
            })
        #expect(
            isFlat {
                $0.world.outside { $0.conditions = ["ns"] }
                $0.run(.drift, scope: .keys(["k/w"]))
            })
        #expect(
            isFlat {
                $0.world.failures["new"] = .init(times: 2, leavesHalf: true)
                $0.put(Item("new"))
                $0.runChanges()
                $0.clock.advance(.seconds(1))
                $0.runChanges()
                $0.clock.advance(.seconds(2))
                $0.runChanges()
            })
        #expect(
            isFlat {
                $0.world.failures["r3"] = .init(times: 2, sort: "d")
                $0.drop("k/r3")
                $0.runChanges()
                $0.clock.advance(.seconds(1))
                $0.runChanges()
            })
        #expect(
            isFlat {
                $0.reconciler.change(source: "s", [("kept", .value(Kept(key: "kept", needs: ["k/l3"])))])
                $0.put(Item("user", needs: [.key("kept")]))
                $0.reconciler.observe("kept", .inPlace)
            } _: {
                $0.reconciler.observe("kept", .blocked("gone"))
                $0.runChanges()
                $0.reconciler.observe("kept", .inPlace)
                $0.runChanges()
            })
    }

    @Test("nothing changed, nothing asked")
    func nothing() {
        #expect(work(among: 2_000) { $0.runChanges() } == [0, 0, 0, 0, 0])
        #expect(work(among: 2_000) { $0.run(scope: .keys([])) } == [0, 0, 0, 0, 0])
    }

    // MARK: - Single cases

    @Test("what a change of a value takes along comes back with it, and what waits for it goes on")
    func dependants() {
        let bench = Bench()
        bench.declare([
            Item("l", ["flag": "1"]).with(.part("p", of: "l", ["volatile": "1"])), Item("r", needs: [.key("k/p")]),
            Item("w", needs: [.key("k/new")]), Item("other"),
        ])
        bench.runChanges()
        bench.world.resetWork()
        bench.put(Item("l", ["flag": "2"]).with(.part("p", of: "l", ["volatile": "1"])))
        #expect(bench.runChanges() == ["u l", "c p"])
        bench.put(Item("new"))
        #expect(bench.runChanges() == ["c new", "c w"])
        bench.drop("k/new")
        #expect(Set(bench.runChanges()) == ["d new", "d w"])
        #expect(bench.status("k/w")?.details == ["needs-k/new"])
        bench.drop("k/l")
        #expect(Set(bench.runChanges()) == ["d l", "d r"])
        #expect(bench.world.fullSearches == 0)
        #expect(bench.world.mistakes == [])
    }

    @Test("a failure undoes what was changed, and the sources return to the last change that went well")
    func revert() {
        let bench = Bench()
        bench.declare([Item("a", ["x": "1"]), Item("b")])
        bench.runChanges()
        bench.put(Item("a", ["x": "2"]))
        bench.runChanges(revert: true)
        bench.world.failures["c"] = .init()
        bench.put(Item("a", ["x": "3"]))
        bench.put(Item("c"))
        bench.runChanges(revert: true)
        #expect(bench.last?.reverted == true)
        #expect(bench.world.real.things["a"]?.attributes == ["x": "2"])
        #expect(bench.reconciler.status().map(\.key) == ["k/a", "k/b"])
        #expect(bench.runChanges() == [])
        #expect(bench.last == nil)
    }

    @Test("of two values that want one place the first has it, and the other when it goes")
    func rivals() {
        let bench = Bench()
        bench.put(Item("x", ["of": "1"]).setting { $0.key = "k/1" })
        bench.put(Item("x", ["of": "2"]).setting { $0.key = "k/2" })
        bench.runChanges()
        #expect(bench.world.real.things["x"]?.owner == "k/1")
        #expect(bench.status("k/2")?.error == "k/1 has x")
        bench.drop("k/1")
        bench.clock.advance(.seconds(1))
        bench.runChanges()
        #expect(bench.world.real.things["x"]?.owner == "k/2")
        #expect(bench.state("k/2") == .configured)
    }

    @Test("a removal that failed is tried again where it was, or, if that is not told, by a look at everything")
    func failedRemoval() {
        for tellsPlaces in [true, false] {
            let bench = Bench()
            bench.world.tellsPlaces = tellsPlaces
            bench.declare([Item("a"), Item("b")])
            bench.runChanges()
            bench.world.resetWork()
            bench.world.failures["a"] = .init(times: 2, sort: "d")
            bench.drop("k/a")
            #expect(bench.runChanges() == ["d a"])
            bench.put(Item("c"))
            #expect(bench.runChanges() == ["c c"])
            #expect(bench.state("k/a") == .retrying)
            bench.clock.advance(.seconds(1))
            #expect(bench.runChanges() == ["d a"])
            bench.clock.advance(.seconds(2))
            #expect(bench.runChanges() == ["d a"])
            #expect(bench.things == ["b", "c"])
            #expect(bench.state("k/a") == nil)
            #expect(bench.reconciler.nextTry == nil)
            #expect((bench.world.fullSearches == 0) == tellsPlaces)
        }
    }

    @Test("what is spared stays until it is no longer, and then goes without a search")
    func spares() {
        let bench = Bench()
        bench.declare([Item("a"), Item("b").with(.part("p", of: "b"))])
        bench.run()
        let next = bench.restarted()
        next.reconciler.spares = { $0 != "a" }
        next.declare([])
        #expect(next.run() == ["d a"])
        #expect(next.things == ["b", "p"])
        next.world.resetWork()
        #expect(next.runChanges() == [])
        next.reconciler.spares = { _ in false }
        #expect(next.runChanges() == ["d b"])
        #expect(next.things == [])
        #expect(next.world.fullSearches == 0)
    }

    @Test("values that wait for one that failed say so, and no longer when it did not")
    func words() {
        let bench = Bench()
        bench.declare([Item("a").setting { $0.condition = "ns" }, Item("b", needs: [.key("k/a")])])
        bench.runChanges()
        #expect(bench.status("k/b")?.details == ["needs-k/a (k/a)"])
        bench.world.failures["a"] = .init()
        bench.world.outside { $0.conditions = ["ns"] }
        bench.run(scope: .keys(["k/a"]))
        #expect(bench.status("k/b")?.details == ["needs-k/a (k/a failed)"])
        bench.world.outside { $0.conditions = [] }
        bench.run(scope: .keys(["k/a"]))
        #expect(bench.status("k/b")?.details == ["needs-k/a (k/a)"])
    }
}
