import Testing

@testable import Reconciler

@Suite("Failure, retry and revert")
struct FailureTests {
    let bench = Bench()

    private func fail(_ name: String, times: Int = .max, retriable: Bool = true, sort: Character? = nil) {
        bench.world.failures[name] = .init(text: "\(name) refused", retriable: retriable, times: times, sort: sort)
    }

    @Test("a failure stops only what depends on it, and is named there", arguments: [false, true])
    func stopsDependants(skips: Bool) {
        bench.world.skips = skips
        fail("a")
        bench.declare([
            Item("a").with(.part("p", of: "a")), Item("b", needs: [.key("k/p")]), Item("c"),
        ])
        bench.run()
        #expect(bench.things == ["c"])
        #expect(bench.state("k/a") == .retrying)
        #expect(bench.status("k/a")?.error == "a refused")
        #expect(bench.status("k/a")?.lastOperation == .create)
        #expect(bench.state("k/p") == .pending)
        #expect(bench.status("k/p")?.details == ["k/a failed"])
        #expect(bench.status("k/b")?.details == ["needs-k/p (k/p)"])
        #expect(bench.state("k/c") == .configured)
        let entry = bench.last?.entries.first { $0.key == "k/p" }
        #expect(entry?.error == (skips ? "skipped, as k/a failed" : "p: no parent a (k/a failed)"))
    }

    @Test("retries wait 1, 2, 4 … 60 seconds, keep the error, and try only what is due")
    func backoff() {
        fail("a")
        bench.declare([Item("a"), Item("b")])
        bench.run()
        var waits: [Duration] = []
        for _ in 0..<8 {
            guard let next = bench.reconciler.nextTry else { break }
            waits.append(next.since(bench.clock.now))
            #expect(bench.run() == [])
            bench.clock.advance(.milliseconds(500))
            fail("other")
            bench.put(Item("other"))
            #expect(bench.run() == ["c other"])
            #expect(bench.state("k/a") == .retrying)
            #expect(bench.status("k/a")?.error == "a refused")
            bench.drop("k/other")
            bench.clock.advance(to: next)
            #expect(bench.run(.retry) == ["c a"])
        }
        #expect(waits == [1, 2, 4, 8, 16, 32, 60, 60].map { .seconds($0) })
        bench.world.failures = [:]
        bench.clock.advance(.seconds(60))
        #expect(bench.run(.retry) == ["c a"])
        #expect(bench.state("k/a") == .configured)
        #expect(bench.status("k/a")?.error == "")
        #expect(bench.reconciler.nextTry == nil)
    }

    @Test("a changed spec is tried at once and from the first wait on; the old retry is obsolete")
    func obsoleteRetry() {
        fail("a")
        bench.declare([Item("a")])
        bench.run()
        bench.clock.advance(.seconds(1))
        bench.run()
        bench.clock.advance(.seconds(2))
        bench.run()
        bench.put(Item("a", ["x": "1"]))
        #expect(bench.reconciler.nextTry == nil)
        #expect(bench.run() == ["c a"])
        #expect(bench.reconciler.nextTry?.since(bench.clock.now) == .seconds(1))
        bench.drop("k/a")
        #expect(bench.reconciler.nextTry == nil)
        #expect(bench.run() == [])
    }

    @Test("a failed value whose dependency goes waits for that and starts afresh")
    func failedLosesDependency() {
        fail("b")
        bench.declare([Item("a"), Item("b", needs: [.key("k/a")])])
        bench.run()
        bench.drop("k/a")
        bench.run()
        #expect(bench.state("k/b") == .pending)
        #expect(bench.reconciler.nextTry == nil)
        bench.world.failures = [:]
        bench.put(Item("a"))
        #expect(bench.run() == ["c a", "c b"])
    }

    @Test("what can't be retried is given up, until it changes or is asked for")
    func givenUp() {
        fail("a", retriable: false)
        bench.declare([Item("a"), Item("b")])
        bench.run()
        #expect(bench.state("k/a") == .failed)
        #expect(bench.reconciler.nextTry == nil)
        bench.clock.advance(.seconds(100))
        #expect(bench.run() == [])
        #expect(bench.reconciler.plan().blocked.map(\.reasons) == [["a refused"]])
        bench.reconciler.forgetFailures()
        #expect(bench.run() == ["c a"])
        bench.world.failures = [:]
        bench.put(Item("a", ["x": "1"]))
        #expect(bench.run() == ["c a"])
        #expect(bench.state("k/a") == .configured)
    }

    @Test("without a retry policy nothing is retried")
    func neverRetries() {
        let bench = Bench(retry: .never)
        bench.world.failures["a"] = .init()
        bench.declare([Item("a")])
        bench.run()
        #expect(bench.state("k/a") == .failed)
        #expect(bench.reconciler.nextTry == nil)
        #expect(bench.run() == [])
    }

    @Test("a failed update keeps the old thing, and what depends on it")
    func failedUpdate() {
        bench.declare([Item("a", ["x": "1"]), Item("b", needs: [.key("k/a")])])
        bench.run()
        fail("a", sort: "u")
        bench.put(Item("a", ["x": "2"]))
        #expect(bench.run() == ["u a"])
        #expect(bench.state("k/a") == .retrying)
        #expect(bench.status("k/a")?.lastOperation == .update)
        #expect(bench.state("k/b") == .configured)
        #expect(bench.things == ["a", "b"])
        #expect(bench.run() == [])
        bench.world.failures = [:]
        bench.clock.advance(.seconds(1))
        #expect(bench.run() == ["u a"])
    }

    @Test("a failed recreate takes along what depends on it, and all come back")
    func failedRecreate() {
        bench.declare([Item("a").with(.part("p", of: "a")), Item("b", needs: [.key("k/a")])])
        bench.run()
        fail("a", sort: "c")
        bench.put(Item("a", ["kind": "new"]).with(.part("p", of: "a")))
        bench.run()
        #expect(bench.things == [])
        #expect(bench.reconciler.stateCounts() == [.retrying: 1, .pending: 2])
        bench.world.failures = [:]
        bench.clock.advance(.seconds(1))
        #expect(bench.run(.retry) == ["c a", "c b", "c p"])
    }

    @Test("a failed value leaves nothing half made")
    func halfMade() {
        bench.world.failures["a"] = .init(leavesHalf: true, sort: "c")
        bench.declare([Item("a", ["x": "1"]), Item("b")])
        bench.run()
        #expect(bench.things == ["b"])
        #expect(bench.state("k/a") == .retrying)
        #expect(bench.status("k/a")?.error == "refused")
    }

    @Test("the failure of one half of a pair grows its wait, and the other half waits for it")
    func failedPair() {
        func half(_ name: String, _ peer: String) -> Item {
            Item(name, needs: [.key("k/\(peer)")]).setting { $0.peer = peer }
        }
        fail("a")
        bench.declare([half("a", "b"), half("b", "a")])
        bench.run()
        #expect(bench.state("k/a") == .retrying)
        #expect(bench.status("k/b")?.details == ["needs-k/a (k/a failed)"])
        bench.clock.advance(.seconds(1))
        bench.run()
        #expect(bench.reconciler.nextTry?.since(bench.clock.now) == .seconds(2))
        bench.world.failures = [:]
        bench.clock.advance(.seconds(2))
        #expect(bench.run() == ["c a"])
        #expect(bench.reconciler.stateCounts() == [.configured: 2])
    }

    @Test("a removal that fails is shown, and tried again when it is due")
    func failedRemoval() {
        bench.declare([Item("a"), Item("b")])
        bench.run()
        fail("a", sort: "d")
        bench.declare([Item("b")])
        #expect(bench.run() == ["d a"])
        let status = bench.status("k/a")
        #expect(status?.state == .retrying)
        #expect(status?.lastOperation == .delete)
        #expect(status?.error == "a refused")
        #expect(bench.last?.entries.first?.after == .retrying)
        #expect(bench.reconciler.stateCounts() == [.configured: 1, .retrying: 1])
        #expect(bench.run() == [])
        bench.clock.advance(.seconds(1))
        #expect(bench.run() == ["d a"])
        #expect(bench.reconciler.nextTry?.since(bench.clock.now) == .seconds(2))
        bench.world.failures = [:]
        bench.clock.advance(.seconds(2))
        #expect(bench.run() == ["d a"])
        #expect(bench.reconciler.nextTry == nil)
        #expect(bench.reconciler.status().map(\.key) == ["k/b"])
    }

    @Test("progress counts values as they are done, over all rounds")
    func progress() {
        fail("b", times: 1)
        bench.declare([Item("a"), Item("b"), Item("c")])
        var seen: [[Int]] = []
        bench.reconciler.reconcile(reason: .apply) { done, total in seen.append([done, total]) }
        #expect(seen == [[1, 3], [2, 3], [3, 3]])
    }

    // MARK: - Revert

    @Test("the third of five values fails: the first two are undone in reverse order")
    func revertsFirst() {
        fail("c")
        bench.declare(["a", "b", "c", "d", "e"].map { Item($0) })
        #expect(bench.run(revert: true) == ["c a", "c b", "c c", "c d", "c e", "d e", "d d", "d b", "d a"])
        #expect(bench.things == [])
        #expect(bench.last?.reverted == true)
        #expect(bench.last?.entries.filter { $0.verb == .revert }.map(\.key) == ["k/e", "k/d", "k/b", "k/a"])
        #expect(bench.last?.revertErrors == [])
        #expect(bench.state("k/c") == .failed)
        #expect(bench.status("k/c")?.error == "c refused")
        #expect(bench.status("k/a")?.details == ["undone, as k/c failed"])
        // What was wanted before is not known, so nothing happens until something else is wanted.
        bench.world.failures = [:]
        bench.clock.advance(.seconds(100))
        #expect(bench.run() == [])
        #expect(bench.reconciler.nextTry == nil)
        bench.put(Item("f"))
        #expect(bench.run() == ["c a", "c b", "c d", "c e", "c f"])
    }

    @Test("a revert returns to the values before, and to their states")
    func revertsToPast() {
        bench.declare([Item("a", ["x": "1"]).with(.part("p", of: "a")), Item("b"), Item("gone")])
        bench.run()
        let before = bench.world.real
        let status = bench.reconciler.status()
        fail("c")
        bench.declare([
            Item("a", ["x": "2"]).with(.part("q", of: "a")), Item("b", ["kind": "other"]), Item("c"), Item("d"),
        ])
        bench.drop("k/d")
        bench.put(Item("d"), source: "late")
        bench.run(revert: true)
        #expect(bench.world.real == before)
        #expect(bench.reconciler.status().map(\.key) == status.map(\.key))
        #expect(bench.reconciler.stateCounts() == [.configured: 4])
        #expect(bench.last?.reverted == true)
        #expect(bench.last?.entries.first { $0.key == "k/c" }?.error == "c refused")
        #expect(bench.run() == [])
        #expect(bench.last == nil)
    }

    @Test("a failing revert is reported and tried again")
    func failingRevert() {
        bench.declare([Item("a", ["x": "1"])])
        bench.run()
        fail("c")
        bench.declare([Item("a0"), Item("c")])
        bench.world.failures["a0"] = .init(text: "stuck", times: 1, sort: "d")
        bench.run(revert: true)
        #expect(bench.last?.revertErrors == ["d a0: stuck"])
        // The rounds after the revert removed it all the same.
        #expect(bench.things == ["a"])
        #expect(bench.state("k/a") == .configured)
        #expect(bench.reconciler.stateCounts() == [.configured: 1])
    }

    @Test("what failed before does not undo a transaction")
    func oldFailureDoesNotRevert() {
        fail("a")
        bench.declare([Item("a")])
        bench.run()
        bench.clock.advance(.seconds(1))
        bench.put(Item("b"))
        bench.run(revert: true)
        #expect(bench.last?.reverted == false)
        #expect(bench.things == ["b"])
    }

    @Test("a value that can't be made undoes a transaction too")
    func blockedReverts() {
        bench.world.outside { $0.things["x"] = Thing() }
        bench.declare([Item("a"), Item("x")])
        bench.run(revert: true)
        #expect(bench.things == ["x"])
        #expect(bench.last?.reverted == true)
        #expect(bench.state("k/x") == .failed)
    }
}
