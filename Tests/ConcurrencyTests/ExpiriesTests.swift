import Concurrency
import Synchronization
import Testing

@Suite("Ends of keys", .timeLimit(.minutes(10)))
struct ExpiriesTests {
    @Test("each key whose time is over is told of once, the one that was moved or forgotten is not")
    func over() async {
        let expiries = Expiries()
        let (keys, tell) = AsyncStream.makeStream(of: String.self)
        expiries.whenOver { key in tell.yield(key) }
        let soon = Timestamp.now.advanced(by: .milliseconds(30))
        expiries.set("moved", to: soon)
        expiries.set("forgotten", to: soon)
        expiries.set("a", to: soon)
        expiries.set("b", to: .now)
        expiries.set("last", to: soon.advanced(by: .milliseconds(30)))
        expiries.set("far", to: .distantFuture)
        expiries.set("moved", to: .distantFuture)
        expiries.set("forgotten", to: nil)
        // Those of one look are told in any order; the last one ends what is listened to.
        var over: Set<String> = []
        for await key in keys {
            #expect(over.insert(key).inserted)
            if over.isSuperset(of: ["a", "b", "last"]) { break }
        }
        #expect(over == ["a", "b", "last"])
        expiries.clear()
    }
}

@Suite("Waits between tries")
struct BackoffTests {
    @Test("they double up to the limit, with jitter, and start again after a success")
    func growth() {
        for _ in 0..<100 {
            var backoff = Backoff(first: .milliseconds(10), limit: .milliseconds(60))
            for step in [10, 20, 40, 60, 60] {
                let wait = backoff.wait()
                #expect(wait >= .milliseconds(step) / 2 && wait <= .milliseconds(step))
            }
            backoff.reset()
            #expect(backoff.wait() <= .milliseconds(10))
        }
    }
}
