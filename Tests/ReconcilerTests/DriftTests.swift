import Testing

@testable import Reconciler

@Suite("Drift")
struct DriftTests {
    let bench = Bench()

    init() {
        bench.declare([
            Item("l", ["flag": "1"]).with(.part("p", of: "l", ["volatile": "1"]), .part("q", of: "l")),
            Item("r", needs: [.key("k/p")]), Item("other", ["x": "1"]),
        ])
        bench.run()
        bench.world.assessments = 0
    }

    @Test("what is deleted comes back, and nothing else is looked at")
    func comesBack() {
        bench.world.outside { $0.remove("other") }
        #expect(bench.repair("k/other", "k/nobody") == ["c other"])
        #expect(bench.world.assessments == 1)
        #expect(bench.last?.entries.map(\.before) == [.missing])
        #expect(bench.last?.entries.map(\.after) == [.configured])
        #expect(bench.repair("k/other") == [])
        #expect(bench.last == nil)
    }

    @Test("what a repair needs or flushes comes back with it")
    func dependants() {
        bench.world.outside { $0.remove("l") }
        #expect(bench.repair("k/l") == ["c l", "c p", "c q"])
        bench.world.outside { $0.things["l"]?.attributes["flag"] = "0" }
        #expect(bench.repair("k/l") == ["u l", "c p"])
        #expect(bench.reconciler.stateCounts() == [.configured: 5])
    }

    @Test("a repair that fails is tried again later; what depends on it waits")
    func failedRepair() {
        bench.world.failures["l"] = .init()
        bench.world.outside { $0.remove("l") }
        bench.run(.drift, scope: .keys(["k/l", "k/p", "k/q"]))
        #expect(bench.things == ["other"])
        #expect(bench.state("k/l") == .retrying)
        #expect(bench.state("k/r") == .pending)
        #expect(bench.repair("k/l", "k/p", "k/r") == [])
        bench.world.failures = [:]
        bench.clock.advance(.seconds(1))
        #expect(bench.run(.retry).count == 4)
    }

    @Test("a condition that goes makes values wait, and one that comes lets them go on")
    func conditions() {
        bench.put(Item("n").setting { $0.condition = "ns" })
        bench.put(Item("m", needs: [.key("k/n")]))
        bench.run()
        bench.world.assessments = 0
        #expect(bench.repair("k/n", "k/m") == [])
        #expect(bench.world.assessments == 0)
        bench.world.outside { $0.conditions = ["ns"] }
        #expect(bench.repair("k/n") == ["c n", "c m"])
        bench.world.outside { $0.conditions = [] }
        bench.repair("k/n").forEach { _ in }
        #expect(bench.state("k/n") == .pending)
        #expect(bench.state("k/m") == .pending)
    }

    @Test("a circle that waits for the world goes on when an event of one member comes")
    func circleGoesOn() {
        bench.put(Item("x", needs: [.key("k/y")]).setting { $0.condition = "ns" })
        bench.put(Item("y", needs: [.key("k/x")]))
        bench.run()
        bench.world.outside { $0.conditions = ["ns"] }
        #expect(bench.repair("k/y") == ["c x", "c y"])
    }

    @Test("a fight is recognised, and left alone for longer each time")
    func fight() {
        var pauses: [Duration] = []
        for _ in 0..<7 {
            var repairs = 0
            while bench.reconciler.nextTry == nil, repairs < 50 {
                bench.world.outside { $0.things["other"]?.attributes = ["x": "theirs"] }
                #expect(bench.repair("k/other") == ["u other"])
                bench.clock.advance(.milliseconds(1))
                repairs += 1
            }
            #expect(repairs == 11)
            #expect(bench.state("k/other") == .retrying)
            #expect(bench.status("k/other")?.error.contains("another program") == true)
            bench.world.outside { $0.things["other"]?.attributes = ["x": "theirs"] }
            #expect(bench.repair("k/other") == [])
            #expect(bench.run() == [])
            guard let next = bench.reconciler.nextTry else { return }
            pauses.append(next.since(bench.clock.now) + .milliseconds(1))
            bench.clock.advance(to: next)
            #expect(bench.run(.retry) == ["u other"])
            #expect(bench.state("k/other") == .configured)
        }
        #expect(pauses == [2, 4, 8, 16, 32, 60, 60].map { .seconds($0) })
    }

    @Test("rare repairs are no fight")
    func noFight() {
        for _ in 0..<40 {
            bench.world.outside { $0.remove("other") }
            #expect(bench.repair("k/other") == ["c other"])
            bench.clock.advance(.seconds(1))
        }
        #expect(bench.state("k/other") == .configured)
    }

    @Test("with repair off a difference is shown, and seen when it goes away")
    func showsOnly() {
        bench.reconciler.repairsDrift = false
        bench.world.outside { $0.things["other"]?.attributes["x"] = "2" }
        #expect(bench.repair("k/other") == [])
        #expect(bench.state("k/other") == .failed)
        #expect(bench.status("k/other")?.error == "changed from outside: x 2 → 1; repair is off")
        bench.world.outside { $0.remove("l") }
        #expect(bench.repair("k/l", "k/p", "k/q") == [])
        #expect(bench.state("k/l") == .missing)
        #expect(bench.status("k/p")?.error == "changed from outside: it is gone; repair is off")
        #expect(bench.world.real == bench.world.belief)
        // A retry of something else does not repair it either.
        bench.put(Item("new"))
        #expect(bench.run() == ["c new"])
        bench.world.outside { $0.things["other"]?.attributes["x"] = "1" }
        #expect(bench.repair("k/other") == [])
        #expect(bench.state("k/other") == .configured)
        bench.reconciler.repairsDrift = true
        #expect(bench.repair("k/l") == ["c l", "c p", "c q"])
        #expect(Set(bench.reconciler.stateCounts().keys) == [.configured])
    }

    @Test("values that wait for the world go on with repair off too")
    func waitingGoesOn() {
        bench.put(Item("n").setting { $0.condition = "ns" })
        bench.run()
        bench.reconciler.repairsDrift = false
        bench.world.outside {
            $0.remove("other")
            $0.conditions = ["ns"]
        }
        #expect(bench.repair("k/n", "k/other") == ["c n"])
        #expect(bench.state("k/other") == .missing)
    }
}
