import Concurrency
import Synchronization
import Testing

@Suite("Work in turn", .timeLimit(.minutes(10)))
struct KeyedQueueTests {
    @Test("one key at a time, and keys side by side")
    func serial() async throws {
        let queue = KeyedQueue()
        let counter = Counter()
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<200 {
                let key = "\(number % 5)"
                group.addTask {
                    try? await queue.run(key) {
                        #expect(counter.enter(key) == 1)
                        await Task.yield()
                        counter.leave(key)
                    }
                }
            }
        }
        #expect(counter.total == 200)
    }

    /// Who is inside, by key.
    final class Counter: Sendable {
        private let state = Mutex((inside: [String: Int](), total: 0))
        var total: Int { state.withLock { $0.total } }
        func enter(_ key: String) -> Int {
            state.withLock { state in
                state.total += 1
                state.inside[key, default: 0] += 1
                return state.inside[key] ?? 0
            }
        }
        func leave(_ key: String) { state.withLock { $0.inside[key, default: 0] -= 1 } }
    }

    @Test("who is cancelled while waiting does not run, and nobody behind waits for it")
    func cancelled() async throws {
        let queue = KeyedQueue()
        let (gate, open) = AsyncStream<Void>.makeStream()
        let first = Task { try await queue.run("a") { for await _ in gate { break } } }
        let second = Task { try await queue.run("a") { Issue.record("ran") } }
        try await until { queue.count(of: "a") == 2 }
        second.cancel()
        await #expect(throws: CancellationError.self) { try await second.value }
        let third = Task { try await queue.run("a") { true } }
        open.yield()
        try await first.value
        #expect(try await third.value)
    }
}
