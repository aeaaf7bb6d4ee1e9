import Glibc
import Testing

@testable import Reconciler

/// How long one change takes among many. It asserts nothing; run it with `NSM_BENCH=1`, in a release build.
@Suite("Timing", .enabled(if: getenv("NSM_BENCH") != nil, "only measured on demand"), .serialized)
struct TimingTests {
    @Test("one change among many values", arguments: [100, 1_000, 10_000, 100_000])
    func change(count: Int) {
        let bench = Bench()
        let items = (0..<count / 2).map { Item("l\($0)", ["x": "1"]).with(.part("l\($0).p", of: "l\($0)")) }
        bench.declare(items)
        let clock = ContinuousClock()
        let first = clock.measure { bench.run() }
        var number = 1
        func best(_ body: () -> Void, after prepare: () -> Void = {}) -> Duration {
            (0..<7).map { _ in
                number += 1
                prepare()
                return clock.measure(body)
            }.min() ?? .zero
        }
        let change = best {
            bench.put(Item("l0", ["x": "\(number)"]).with(.part("l0.p", of: "l0")))
            bench.runChanges()
        }
        let add = best {
            bench.put(Item("new\(number)"))
            bench.runChanges()
        }
        let withdraw = best {
            bench.drop("k/l\(number)")
            bench.runChanges()
        }
        let drift = best {
            bench.run(scope: .keys(["k/l0"]))
        } after: {
            bench.world.outside { $0.things["l0"]?.attributes = [:] }
        }
        let all = clock.measure { bench.run() }
        print("\(count) values: first \(first), change \(change), add \(add), withdraw \(withdraw), drift \(drift)")
        print("\(count) values: all, unchanged \(all)")
    }
}
