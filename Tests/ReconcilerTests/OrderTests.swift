import Testing

@testable import Reconciler

@Suite("Order and dependencies")
struct OrderTests {
    let bench = Bench()

    @Test("what is needed comes first, whatever the order of declaration")
    func order() {
        bench.declare([
            Item("c", needs: [.key("k/b")]), Item("b", needs: [.key("k/a")]), Item("a").with(.part("p", of: "a")),
        ])
        #expect(bench.run() == ["c a", "c b", "c p", "c c"])
        #expect(bench.reconciler.stateCounts() == [.configured: 4])
        #expect(bench.last?.entries.map(\.verb) == [.create, .create, .create, .create])
        #expect(bench.last?.entries.first?.before == .nonexistent)
        #expect(bench.last?.entries.first?.after == .configured)
        #expect(bench.run() == [])
        #expect(bench.last == nil)
    }

    @Test("a value waits for a key that nobody declares, and comes when it appears")
    func waits() {
        bench.declare([Item("b", needs: [.key("k/a")])])
        #expect(bench.run() == [])
        #expect(bench.state("k/b") == .pending)
        #expect(bench.status("k/b")?.details == ["needs-k/a"])
        bench.put(Item("a"))
        #expect(bench.run() == ["c a", "c b"])
        #expect(bench.state("k/b") == .configured)
    }

    @Test("what loses its dependency goes away and waits")
    func losesDependency() {
        bench.declare([Item("a"), Item("b", needs: [.key("k/a")]), Item("c", needs: [.key("k/b")])])
        bench.run()
        bench.drop("k/a")
        bench.run()
        #expect(bench.things == [])
        #expect(bench.state("k/b") == .pending)
        #expect(bench.status("k/c")?.details == ["needs-k/b (k/b)"])
        #expect(bench.last?.entries.first { $0.key == "k/b" }?.after == .pending)
        #expect(bench.last?.entries.first { $0.key == "k/a" }?.after == .removed)
    }

    @Test("an update that makes a dependency unmet removes the old thing")
    func updateUnmet() {
        bench.declare([Item("a", ["x": "1"])])
        bench.run()
        bench.put(Item("a", ["x": "2"], needs: [.key("k/z")]))
        #expect(bench.run() == ["d a"])
        #expect(bench.state("k/a") == .pending)
        #expect(bench.status("k/a")?.lastOperation == .delete)
        #expect(bench.last?.entries.first?.before == .configured)
        #expect(bench.last?.entries.first?.after == .pending)
        bench.put(Item("z"))
        #expect(bench.run() == ["c z", "c a"])
        #expect(bench.world.real.things["a"]?.attributes == ["x": "2"])
    }

    @Test("values that need each other are made together")
    func cycle() {
        bench.declare([Item("a", needs: [.key("k/b")])])
        bench.run()
        #expect(bench.state("k/a") == .pending)
        bench.put(Item("b", needs: [.key("k/a")]).setting { $0.condition = "netns" })
        bench.run()
        #expect(bench.state("k/a") == .pending)
        #expect(bench.status("k/a")?.details == ["needs-k/b (k/b)"])
        #expect(bench.status("k/b")?.details == ["condition netns"])
        bench.world.outside { $0.conditions = ["netns"] }
        #expect(bench.run() == ["c a", "c b"])
        bench.world.outside { $0.conditions = [] }
        #expect(Set(bench.run()) == ["d a", "d b"])
        #expect(bench.reconciler.stateCounts() == [.pending: 2])
    }

    @Test("a circle through derived values is made as well, bases before what they derive")
    func cycleThroughDerived() {
        func half(_ name: String, _ peer: String) -> Item {
            Item(name, needs: [.key("k/\(peer)-there")]).with(.part("\(name)-there", of: name))
        }
        bench.declare([half("b", "a"), half("a", "b")])
        #expect(bench.run() == ["c a", "c b", "c a-there", "c b-there"])
        bench.drop("k/b")
        bench.run()
        #expect(bench.things == [])
        #expect(bench.state("k/a") == .pending)
    }

    @Test("two halves that one operation makes are both configured")
    func pair() {
        func half(_ name: String, _ peer: String) -> Item {
            Item(name, needs: [.key("k/\(peer)")]).setting { $0.peer = peer }
        }
        bench.declare([half("a", "b"), half("b", "a")])
        #expect(bench.run() == ["c a"])
        #expect(bench.reconciler.stateCounts() == [.configured: 2])
        bench.world.outside { $0.remove("b") }
        #expect(bench.things == [])
        #expect(bench.repair("k/b") == ["c b"])
        #expect(bench.things == ["a", "b"])
        bench.declare([])
        #expect(bench.run() == ["d a"])
    }

    @Test("any of a group will do")
    func anyOf() {
        bench.declare([Item("r", needs: [.anyOf("links", unless: nil)])])
        bench.run()
        #expect(bench.status("k/r")?.details == ["any-links"])
        bench.put(
            Item("a").setting {
                $0.groups = ["links"]; $0.condition = "never"
            })
        bench.run()
        #expect(bench.state("k/r") == .pending)
        bench.put(Item("b").setting { $0.groups = ["links"] })
        #expect(bench.run() == ["c b", "c r"])
        bench.world.outside { $0.conditions = ["never"] }
        bench.run()
        bench.drop("k/b")
        #expect(bench.run() == ["d b"])
        #expect(bench.state("k/r") == .configured)
    }

    @Test("only a value of the group that matches counts")
    func anyOfMatches() {
        func link(_ tag: String) -> Item { Item("a", ["tag": tag]).setting { $0.groups = ["g"] } }
        bench.declare([link("1"), Item("r", needs: [.tagged("g", tag: "2")])])
        bench.run()
        #expect(bench.state("k/r") == .pending)
        bench.put(link("2"))
        #expect(bench.run() == ["u a", "c r"])
        bench.put(link("3"))
        #expect(bench.run() == ["d r", "u a"])
        #expect(bench.state("k/r") == .pending)
    }

    @Test("a dependency that holds only if somebody declares the key")
    func ifDeclared() {
        bench.declare([Item("r", needs: [.ifDeclared("k/a"), .anyOf("g", unless: "k/a")])])
        #expect(bench.run() == ["c r"])
        bench.put(Item("a").setting { $0.condition = "x" })
        #expect(bench.run() == ["d r"])
        #expect(bench.status("k/r")?.details.first == "if-k/a (k/a)")
        bench.drop("k/a")
        #expect(bench.run() == ["c r"])
    }

    @Test("an invalid value is there for status alone, and its dependants name it")
    func invalid() {
        bench.declare([Item("a"), Item("b", needs: [.key("k/a")])])
        bench.run()
        let wrong = Desired<FakeWorld>.invalid(kind: "item", summary: "s", error: "mtu is a word", fields: ["mtu"])
        bench.reconciler.change(source: "files", [("k/a", wrong)])
        bench.run()
        #expect(bench.things == [])
        #expect(bench.state("k/a") == .invalid)
        #expect(bench.status("k/a")?.details == ["mtu"])
        #expect(bench.status("k/b")?.details == ["needs-k/a (k/a invalid)"])
        #expect(bench.reconciler.replace(source: "files", with: [("k/a", wrong)]) == 1)
        #expect(bench.reconciler.replace(source: "files", with: [("k/a", wrong)]) == 0)
        #expect(bench.reconciler.plan().blocked.map(\.key) == ["k/a"])
        bench.reconciler.change(source: "files", [("k/u", .unimplemented(kind: "vpp", summary: "v"))])
        #expect(bench.state("k/u") == .unimplemented)
    }

    @Test("a value that turns out impossible takes along what depends on it", arguments: ["blocked", "waiting"])
    func impossible(verdict: String) {
        let a = Item("a", needs: [.key("k/b")])
        let b = Item("b", needs: [.key("k/a")]).setting { $0.verdict = verdict }
        bench.declare([a, b, Item("c", needs: [.key("k/b")]), Item("d", needs: [.key("k/c")])])
        bench.run()
        #expect(bench.things == ["a", "b", "c", "d"])
        bench.world.outside { $0.conditions = ["impossible"] }
        let planned = bench.reconciler.plan().operations
        bench.world.outside { _ in }
        #expect(bench.state("k/b") == .configured)
        bench.run()
        #expect(planned.count == 4)
        #expect(bench.things == [])
        #expect(bench.state("k/b") == (verdict == "blocked" ? .retrying : .pending))
        #expect(bench.state("k/a") == .pending)
        #expect(bench.state("k/d") == .pending)
        bench.clock.advance(.seconds(10))
        bench.run()
        bench.world.outside { $0.conditions = [] }
        bench.clock.advance(.seconds(10))
        #expect(bench.run().count == 4)
        #expect(bench.reconciler.stateCounts() == [.configured: 4])
    }

    @Test("edges show dependencies, met and unmet, and derivation")
    func edges() {
        bench.declare([Item("a").with(.part("p", of: "a")), Item("b", needs: [.key("k/a"), .key("k/z")])])
        bench.run()
        #expect(
            Set(bench.reconciler.edges()) == [
                GraphEdge(from: "k/a", to: "k/p", isDerived: true, isUnmet: false),
                GraphEdge(from: "k/b", to: "k/a", isDerived: false, isUnmet: false),
                GraphEdge(from: "k/b", to: "needs-k/z", isDerived: false, isUnmet: true),
            ])
    }

    @Test("a plan changes no state and says what a run does")
    func plan() {
        bench.declare([Item("a", ["x": "1"]), Item("w", needs: [.key("k/z")])])
        let plan = bench.reconciler.plan()
        #expect(plan.steps.map(\.key) == ["k/a"])
        #expect(plan.steps.map(\.verb.sign) == ["+"])
        #expect(plan.waiting.map(\.reasons) == [["needs-k/z"]])
        #expect(bench.state("k/a") == .nonexistent)
        #expect(bench.state("k/w") == .nonexistent)
        bench.world.outside { _ in }
        #expect(bench.run() == ["c a"])
        let second = bench.reconciler.plan()
        #expect(second.isEmpty)
        #expect(second.inPlace == 1)
        bench.put(Item("a", ["x": "2"]))
        #expect(bench.reconciler.plan().steps.first?.differences.map(\.description) == ["x 1 → 2"])
        bench.world.outside { _ in }
        bench.put(Item("a", ["x": "2", "kind": "other"]))
        #expect(bench.reconciler.plan().steps.first?.verb == .recreate)
    }
}
