import Testing

@testable import Reconciler

@Suite("Sources, derived values and what was left")
struct SourceTests {
    let bench = Bench()

    @Test("the alphabetically last source wins, and the other comes back")
    func precedence() {
        bench.put(Item("a", ["x": "1"]), source: "b-grpc")
        bench.put(Item("a", ["x": "2"]), source: "a-files")
        bench.run()
        #expect(bench.world.real.things["a"]?.attributes == ["x": "1"])
        bench.reconciler.replace(source: "b-grpc", with: [])
        #expect(bench.run() == ["u a"])
        #expect(bench.world.real.things["a"]?.attributes == ["x": "2"])
        bench.put(Item("a", ["x": "3"]), source: "c")
        bench.put(Item("a", ["x": "4"]), source: "a-files")
        bench.run()
        #expect(bench.world.real.things["a"]?.attributes == ["x": "3"])
        bench.drop("k/a", source: "c")
        bench.drop("k/a", source: "unknown")
        bench.run()
        #expect(bench.world.real.things["a"]?.attributes == ["x": "4"])
        bench.drop("k/a", source: "a-files")
        #expect(bench.run() == ["d a"])
    }

    @Test("replace counts what changed")
    func counts() {
        let items = [Item("a"), Item("b")]
        #expect(bench.reconciler.replace(source: "s", with: items.map { ($0.key, .value($0)) }) == 2)
        #expect(bench.reconciler.replace(source: "s", with: items.map { ($0.key, .value($0)) }) == 0)
        #expect(bench.reconciler.replace(source: "s", with: [("k/a", .value(Item("a", ["x": "1"])))]) == 2)
        #expect(bench.reconciler.valueCount == 1)
    }

    @Test("what is declared again and again before it is reconciled is kept once, and one way leads back")
    func past() {
        bench.put(Item("a", ["x": "0"]))
        bench.put(Item("b", ["x": "0"]))
        bench.run()
        func count(after changes: Int) -> Int {
            for number in 1...changes {
                bench.put(Item("a", ["x": "\(number)"]))
                bench.declare([Item("a", ["x": "\(number)"]), Item("c")])
                bench.put(Item("b", ["x": "\(number)"]))
            }
            return bench.reconciler.sources.pastCount
        }
        #expect(count(after: 1) == count(after: 100))
        bench.world.failures["c"] = .init()
        bench.run(revert: true)
        #expect(bench.reconciler.status().map(\.key) == ["k/a", "k/b"])
        #expect(bench.world.real.things["a"]?.attributes == ["x": "0"])
        #expect(bench.world.real.things["b"]?.attributes == ["x": "0"])
        #expect(bench.reconciler.sources.pastCount == 0)
    }

    @Test("a value that is withdrawn is deleted, and the history says so")
    func withdrawn() {
        bench.declare([Item("a").with(.part("p", of: "a")), Item("b")])
        bench.run()
        bench.declare([Item("b")])
        #expect(bench.run(.signal) == ["d a"])
        let entry = bench.reconciler.transactions.last?.entries.first
        #expect(entry?.verb == .delete)
        #expect(entry?.key == "k/a")
        #expect(entry?.before == .configured)
        #expect(entry?.after == .removed)
        #expect(bench.reconciler.transactions.last?.reason == .signal)
        #expect(bench.reconciler.transactions.map(\.sequence) == [1, 2])
        #expect(bench.state("k/a") == nil)
    }

    @Test("a value that stands for no object of its own is in the history too when it goes")
    func withdrawnWithoutObject() {
        bench.reconciler.change(source: "s", [("prop", .value(Property(name: "prop")))])
        bench.run()
        bench.reconciler.change(source: "s", [("prop", nil)])
        bench.run()
        #expect(bench.last?.entries.map(\.verb) == [.delete])
        #expect(bench.last?.entries.map(\.key) == ["prop"])
        bench.run()
        #expect(bench.last == nil)
    }

    @Test("a spec that derives others removes what it no longer derives")
    func switchesDerived() {
        bench.declare([Item("a").with(.part("p", of: "a"), .part("q", of: "a", ["x": "1"]))])
        bench.run()
        bench.put(Item("a").with(.part("q", of: "a", ["x": "2"]), .part("r", of: "a")))
        #expect(Set(bench.run()) == ["u q", "c r", "d p"])
        #expect(bench.state("k/p") == nil)
        #expect(bench.status("k/r")?.baseKey == "k/a")
        #expect(bench.last?.entries.map(\.verb).last == .delete)
    }

    @Test("the failure of a derived value leaves its base")
    func derivedFails() {
        bench.world.failures["p"] = .init(text: "no IPv6 here")
        bench.declare([Item("a").with(.part("p", of: "a"), .part("q", of: "a")), Item("d", needs: [.key("k/p")])])
        bench.run()
        #expect(bench.things == ["a", "q"])
        #expect(bench.state("k/a") == .configured)
        #expect(bench.status("k/p")?.error == "no IPv6 here")
        #expect(bench.status("k/d")?.details == ["needs-k/p (k/p failed)"])
        // The base is another now, so its part is tried at once.
        bench.world.failures = [:]
        bench.put(Item("a", ["v6": "1"]).with(.part("p", of: "a"), .part("q", of: "a")))
        #expect(bench.run() == ["u a", "c p", "c d"])
    }

    @Test("a derived key that collides waits outside, in whatever order they are declared", arguments: 0..<6)
    func collision(order: Int) {
        let items = [
            Item("b").with(Item("x", ["of": "b"])), Item("c").with(Item("x", ["of": "c"])), Item("x", ["of": "x"]),
        ]
        let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
        for index in orders[order] {
            bench.put(items[index])
            bench.run()
        }
        #expect(bench.world.real.things["x"]?.attributes == ["of": "x"])
        #expect(
            bench.reconciler.collisions == [
                KeyCollision(key: "k/x", holder: "k/x", loser: "k/b"),
                KeyCollision(key: "k/x", holder: "k/x", loser: "k/c"),
            ])
        bench.drop("k/x")
        bench.run()
        #expect(bench.world.real.things["x"]?.attributes == ["of": "b"])
        #expect(bench.status("k/x")?.baseKey == "k/b")
        #expect(bench.reconciler.collisions == [KeyCollision(key: "k/x", holder: "k/b", loser: "k/c")])
        bench.drop("k/b")
        bench.run()
        #expect(bench.world.real.things["x"]?.attributes == ["of": "c"])
        #expect(bench.reconciler.collisions == [])
        bench.drop("k/c")
        bench.run()
        #expect(bench.things == [])
    }

    @Test("after a restart what is in place stays, and what nobody wants any more goes")
    func restart() {
        bench.declare([Item("a").with(.part("p", of: "a"), .part("q", of: "a")), Item("b")])
        bench.run()
        let next = bench.restarted()
        next.declare([Item("a").with(.part("p", of: "a"))])
        #expect(next.run(.start) == ["d b", "d q"])
        #expect(next.status("k/a")?.lastOperation == .undefined)
        #expect(next.state("k/a") == .configured)
        #expect(next.last?.entries.map(\.before) == [.discovered, .discovered])
        let third = next.restarted()
        third.declare([Item("a").with(.part("p", of: "a"))])
        #expect(third.run() == [])
        #expect(third.last == nil)
        #expect(third.world.executions == bench.world.executions)
    }

    @Test("what others made is left alone, and blocks a value of that name")
    func foreign() {
        bench.world.outside { $0.things["a"] = Thing(attributes: ["x": "theirs"]) }
        bench.declare([Item("a", ["x": "ours"]), Item("b")])
        bench.run()
        #expect(bench.world.real.things["a"] == Thing(attributes: ["x": "theirs"]))
        #expect(bench.state("k/a") == .retrying)
        #expect(bench.status("k/a")?.error == "a belongs to another program")
        #expect(bench.last?.entries.filter { $0.key == "k/a" }.map(\.error) == ["a belongs to another program"])
        bench.declare([])
        bench.run()
        #expect(bench.things == ["a"])
    }

    @Test("a removal that takes a sibling along is mended in the same plan")
    func disturbance() {
        func link(_ parts: Item...) -> Item { Item("l").setting { $0.parts = parts } }
        bench.declare([link(.part("a", of: "l", ["primary": "1"]))])
        bench.run()
        bench.put(link(.part("b", of: "l", ["secondary": "1"])))
        #expect(bench.run() == ["c b", "d a", "c b"])
        #expect(bench.things == ["b", "l"])
        #expect(bench.world.real == bench.world.belief)
    }

    @Test("what an update flushes is put back in the same transaction")
    func flush() {
        func link(_ flag: String) -> Item {
            Item("l", ["flag": flag]).with(.part("p", of: "l", ["volatile": "1"]), .part("q", of: "l"))
        }
        bench.declare([link("1"), Item("r", needs: [.key("k/p")])])
        bench.run()
        bench.put(link("2"))
        #expect(bench.run() == ["u l", "c p"])
        bench.put(link("2").setting { $0.attributes["kind"] = "new" })
        #expect(bench.run() == ["d l", "c l", "c p", "c q"])
    }
}
