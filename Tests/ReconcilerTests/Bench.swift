import Concurrency
import Synchronization

@testable import Reconciler

/// A clock that stands until it is moved.
final class TestClock: Sendable {
    private let nanoseconds = Mutex<Int64>(1_000_000_000_000)
    var now: Timestamp { Timestamp(nanoseconds: nanoseconds.withLock { $0 }) }
    func advance(_ duration: Duration) {
        let then = now.advanced(by: duration).nanoseconds
        nanoseconds.withLock { $0 = then }
    }
    func advance(to time: Timestamp) { nanoseconds.withLock { $0 = max($0, time.nanoseconds) } }
}

/// A reconciler on a fake world.
final class Bench {
    let world: FakeWorld
    let reconciler: Reconciler<FakeWorld>
    let clock = TestClock()

    init(on world: FakeWorld = FakeWorld(), retry: RetryPolicy = RetryPolicy()) {
        self.world = world
        let clock = clock
        reconciler = Reconciler(world: world, retry: retry, now: { clock.now })
    }

    func declare(_ items: [Item], source: String = "files") {
        reconciler.replace(source: source, with: items.map { ($0.key, .value($0)) })
    }

    func put(_ item: Item, source: String = "files") {
        reconciler.change(source: source, [(item.key, .value(item))])
    }

    func drop(_ key: Key, source: String = "files") { reconciler.change(source: source, [(key, nil)]) }

    /// Reconciles, and returns what was executed.
    @discardableResult
    func run(
        _ reason: Transaction.Reason = .apply, scope: Reconciler<FakeWorld>.Scope = .all, revert: Bool = false
    ) -> [String] {
        world.log = []
        last = reconciler.reconcile(reason: reason, scope: scope, revertOnFailure: revert)
        return world.log
    }

    /// The transaction of the last run.
    private(set) var last: Transaction?

    func repair(_ keys: Key...) -> [String] { run(.drift, scope: .keys(Set(keys))) }

    /// As a daemon restarts: the world stays, the reconciler goes.
    func restarted() -> Bench {
        world.restart()
        return Bench(on: world)
    }

    /// Reconciles what changed, and returns what was executed.
    @discardableResult
    func runChanges(revert: Bool = false) -> [String] { run(.files, scope: .changes, revert: revert) }

    func status(_ key: Key) -> ValueStatus? { reconciler.status().first { $0.key == key } }
    func state(_ key: Key) -> ValueState? { status(key)?.state }
    var things: Set<String> { Set(world.real.things.keys) }
}

extension Item {
    /// A part of a thing, such as an address of a link.
    static func part(_ name: String, of parent: String, _ attributes: [String: String] = [:]) -> Item {
        var item = Item(name, attributes)
        item.parent = parent
        return item
    }

    func with(_ parts: Item...) -> Item {
        var copy = self
        copy.parts = parts
        return copy
    }

    func setting(_ change: (inout Item) -> Void) -> Item {
        var copy = self
        change(&copy)
        return copy
    }
}
