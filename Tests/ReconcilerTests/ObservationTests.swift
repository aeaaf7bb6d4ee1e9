import Concurrency
import Reconciler
import Testing

/// A value that somebody else keeps.
struct Kept: Value {
    typealias W = FakeWorld
    static var kind: String { "kept" }
    static var rank: Int { 9 }
    static var isObserved: Bool { true }
    var key: Key
    var needs: [Key] = []
    var dependencies: [Dependency<FakeWorld>] {
        needs.map { Dependency(label: "needs-\($0)", target: .key($0)) }
    }
    var summary: String { "kept \(key)" }
    func assess(in world: FakeWorld) -> Assessment<Change> {
        world.mistakes.append("an observed value was compared")
        return .inPlace
    }
}

@Suite("Values that are kept elsewhere")
struct ObservationTests {
    private let world = FakeWorld()

    private func reconciler() -> Reconciler<FakeWorld> {
        let reconciler = Reconciler(world: world, now: { Timestamp(nanoseconds: 1_000_000_000) })
        reconciler.replace(source: "s", with: [("k", .value(Kept(key: "k"))), ("k/a", .value(Item("a")))])
        return reconciler
    }

    private func status(_ reconciler: Reconciler<FakeWorld>) -> String {
        let status = reconciler.status(prefix: "k").first { $0.key == "k" }
        return "\(status?.state.name ?? "") \(status?.error ?? "") \(status?.details.joined() ?? "")"
    }

    @Test(
        "the state is what is said, as soon as it is said, and nothing is retried",
        arguments: [Reconciler<FakeWorld>.Scope.all, .changes])
    func states(scope: Reconciler<FakeWorld>.Scope) {
        let reconciler = reconciler()
        func say(_ observation: Observation?) -> String {
            reconciler.observe("k", observation)
            reconciler.reconcile(reason: .apply, scope: scope)
            #expect(reconciler.nextTry == nil)
            return status(reconciler)
        }
        #expect(say(nil) == "PENDING  somebody who keeps it")
        #expect(say(.waiting(["an answer"])) == "PENDING  an answer")
        #expect(say(.blocked("nobody answers")) == "RETRYING nobody answers ")
        #expect(say(.blocked("still nobody")) == "RETRYING still nobody ")
        #expect(say(.inPlace) == "CONFIGURED  ")
        #expect(say(.blocked("gone")) == "RETRYING gone ")
        #expect(say(.waiting(["an answer"])) == "PENDING  an answer")
        #expect(say(.inPlace) == "CONFIGURED  ")
    }

    @Test("what is said is no step of a transaction, and fails none")
    func transactions() {
        let reconciler = reconciler()
        reconciler.observe("k", .blocked("nobody answers"))
        let transaction = reconciler.reconcile(reason: .apply, revertOnFailure: true)
        #expect(transaction?.entries.map(\.key) == ["k/a"] && transaction?.reverted == false)
        reconciler.observe("k", .inPlace)
        #expect(reconciler.reconcile(reason: .apply) == nil)
        #expect(status(reconciler) == "CONFIGURED  ")
        reconciler.observe("k", .blocked("gone"))
        #expect(reconciler.reconcile(reason: .apply, scope: .keys(["k"])) == nil)
        #expect(status(reconciler) == "RETRYING gone ")
        #expect(world.mistakes == [])
    }

    @Test("a plan shows why it is not there")
    func plan() {
        let reconciler = reconciler()
        reconciler.observe("k", .blocked("nobody answers"))
        let plan = reconciler.plan()
        #expect(plan.blocked.map(\.reasons) == [["nobody answers"]] && plan.steps.map(\.key) == ["k/a"])
    }
}
