import Concurrency
import Testing

@Suite("Promises", .timeLimit(.minutes(10)))
struct PromiseTests {
    @Test("the first value counts, whether it comes before or after who waits for it")
    func first() async throws {
        let early = Promise<Int>()
        #expect(early.present == nil)
        #expect(early.keep(1))
        #expect(!early.keep(2))
        #expect(early.present == 1)
        #expect(await early.value() == 1)
        #expect(await early.value(orIfCancelled: 3) == 1)

        let late = Promise<Int?>()
        async let value = late.value(orIfCancelled: 3)
        await Task.yield()
        #expect(late.keep(nil))
        #expect(await value == nil)
        #expect(late.present == .some(nil))
    }

    @Test("a cancellation ends the wait, and whoever keeps the promise later learns that")
    func cancelled() async {
        let promise = Promise<Int>()
        let waiting = Task { await promise.value(orIfCancelled: -1) }
        await Task.yield()
        waiting.cancel()
        #expect(await waiting.value == -1)
        #expect(!promise.keep(1))
    }

    @Test("of a value and a cancellation at once exactly one counts, and both sides know which")
    func races() async {
        for _ in 0..<5000 {
            let promise = Promise<Bool>()
            let waiting = Task { await promise.value(orIfCancelled: false) }
            let keeping = Task { promise.keep(true) }
            waiting.cancel()
            #expect(await keeping.value == waiting.value)
        }
    }
}

@Suite("Latches", .timeLimit(.minutes(10)))
struct LatchTests {
    @Test("all go on when it opens, who comes later at once, and who is cancelled before")
    func opens() async throws {
        let latch = Latch()
        let cancelled = Task { await latch.wait() }
        try await until { latch.waiting == 1 }
        cancelled.cancel()
        await cancelled.value
        #expect(latch.waiting == 0)
        let waiting = (0..<10).map { _ in Task { await latch.wait() } }
        try await until { latch.waiting == 10 }
        latch.open()
        for task in waiting { await task.value }
        await latch.wait()
        #expect(latch.waiting == 0)
    }

    @Test("one that never opens keeps nothing of those who were cancelled")
    func forgets() async {
        let latch = Latch()
        for _ in 0..<1000 {
            let task = Task { await latch.wait() }
            if Bool.random() { await Task.yield() }
            task.cancel()
            await task.value
        }
        #expect(latch.waiting == 0)
    }
}
