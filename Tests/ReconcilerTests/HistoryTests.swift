import Concurrency
import Testing

@testable import Reconciler

@Suite("History")
struct HistoryTests {
    private func transaction(_ number: UInt64, entries: Int, failing: Set<Int> = []) -> Transaction {
        let entries = (0..<entries).map { index in
            Transaction.Entry(
                verb: .create, key: "config/linux/interfaces/v2/interface/\(index)", summary: "veth \(index) in pod",
                before: .nonexistent, after: .configured, error: failing.contains(index) ? "refused" : "")
        }
        return Transaction(
            sequence: number, reason: .apply, start: Timestamp(nanoseconds: 0), duration: .zero, entries: entries)
    }

    @Test("as many are kept as the number and the bytes allow, the newest ones")
    func bounds() {
        var history = History(limit: 10, budget: 1 << 20)
        for number in 1...100 { history.add(transaction(UInt64(number), entries: 10)) }
        #expect(history.transactions.map(\.sequence) == Array(91...100))
        for number in 101...200 {
            history.add(transaction(UInt64(number), entries: 1000))
            #expect(history.bytes <= 1 << 20)
            #expect(history.bytes == history.transactions.reduce(0) { $0 + $1.bytes })
        }
        #expect(history.transactions.last?.sequence == 200)
        #expect(history.transactions.last?.entries.count == 1000)
        #expect((2...9).contains(history.transactions.count))
    }

    @Test("one that is too large is kept without some of what succeeded, and says how much is missing")
    func cut() throws {
        let whole = transaction(1, entries: 10_000, failing: [3, 9_999])
        var history = History(limit: 10, budget: 1 << 20)
        history.add(transaction(0, entries: 1))
        history.add(whole)
        let kept = try #require(history.transactions.last)
        #expect(history.transactions.count == 2)
        #expect(kept.bytes <= 1 << 18)
        #expect(kept.omitted > 0)
        #expect(kept.entries.count + kept.omitted == 10_000)
        // In the order of what was done.
        #expect(kept.entries.first?.key == whole.entries.first?.key)
        #expect(kept.entries[3].error == "refused")
        #expect(kept.entries.last?.error == "refused")
    }

    @Test("a retry that fails like the one before takes its place, and nothing else's")
    func retries() {
        func retry(_ number: UInt64, failing: Set<Int>) -> Transaction {
            var retry = transaction(number, entries: 2, failing: failing)
            retry.reason = .retry
            return retry
        }
        var history = History(limit: 10, budget: 1 << 20)
        history.add(transaction(1, entries: 2, failing: [0]))
        for number in 2...50 { history.add(retry(UInt64(number), failing: [0])) }
        #expect(history.transactions.map(\.sequence) == [1, 50])
        history.add(retry(51, failing: [1]))
        history.add(transaction(52, entries: 1))
        history.add(retry(53, failing: [1]))
        for number in 54...55 { history.add(retry(UInt64(number), failing: [])) }
        #expect(history.transactions.map(\.sequence) == [1, 50, 51, 52, 53, 54, 55])
        #expect(history.bytes == history.transactions.reduce(0) { $0 + $1.bytes })
    }

    @Test("without any budget the newest one is still told")
    func none() {
        var history = History(limit: 0, budget: 0)
        for number in 1...3 { history.add(transaction(UInt64(number), entries: 5)) }
        #expect(history.transactions.map(\.sequence) == [3])
        #expect(history.transactions.map(\.omitted) == [5])
    }

    @Test("what an earlier life did comes first, and numbers go on behind it")
    func restored() throws {
        let reconciler = Reconciler(world: FakeWorld(), now: { Timestamp(nanoseconds: 0) })
        reconciler.restore([transaction(7, entries: 1), transaction(9, entries: 2)])
        reconciler.recordsStart = true
        #expect(reconciler.lastSequence == 9)
        let start = reconciler.reconcile(reason: .start)
        #expect(start == nil, "without a value there is nothing to tell")
        reconciler.replace(source: "test", with: [(Item("a").key, .value(Item("a")))])
        let next = try #require(reconciler.reconcile(reason: .files))
        #expect(next.sequence == 10 && next.isFirst)
        #expect(reconciler.transactions.map(\.sequence) == [7, 9, 10])
    }

    @Test("what was found at the start is told, even if nothing was to be done")
    func foundAtStart() throws {
        let world = FakeWorld()
        func start() -> Transaction? {
            let reconciler = Reconciler(world: world, now: { Timestamp(nanoseconds: 0) })
            reconciler.recordsStart = true
            reconciler.replace(source: "test", with: [(Item("a").key, .value(Item("a")))])
            return reconciler.reconcile(reason: .files)
        }
        let first = try #require(start())
        #expect(first.found.missing == 1 && first.found.inPlace == 0 && first.found.text == "1 missing")
        let second = try #require(start())
        #expect(second.entries.isEmpty && second.found.inPlace == 1 && second.isFirst)
    }

    @Test("whoever reconciles is told everything, whatever the history keeps of it")
    func uncut() {
        let world = FakeWorld()
        let reconciler = Reconciler(world: world, historyBytes: 4096, now: { Timestamp(nanoseconds: 0) })
        let items = (0..<200).map { Item("item \($0)") }
        reconciler.replace(source: "files", with: items.map { ($0.key, .value($0)) })
        #expect(reconciler.reconcile(reason: .apply)?.entries.count == 200)
        #expect(reconciler.transactions.first.map { $0.entries.count + $0.omitted } == 200)
        #expect(reconciler.transactions.first.map { $0.entries.count < 20 } == true)
    }
}
