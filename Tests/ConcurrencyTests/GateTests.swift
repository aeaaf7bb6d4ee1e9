import Concurrency
import Concurrency
import Synchronization
import Testing

@Suite("Tasks in line")
struct GateTests {
    private final class Inside: Sendable {
        let counts = Mutex((now: 0, most: 0, all: 0))
        func enter() {
            counts.withLock { counts in
                counts.now += 1
                counts.all += 1
                counts.most = max(counts.most, counts.now)
            }
        }
        func leave() { counts.withLock { $0.now -= 1 } }
    }

    @Test("no more than the limit are in at a time, all get in, and who gives up leaves the line")
    func gate() async throws {
        let gate = Gate(3)
        let inside = Inside()
        let lazy = Task {
            try await gate.run { while !Task.isCancelled { try await Task.sleep(for: .seconds(60)) } }
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<100 {
                group.addTask {
                    try await gate.run {
                        inside.enter()
                        await Task.yield()
                        inside.leave()
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(inside.counts.withLock { $0.all } == 100)
        #expect(inside.counts.withLock { $0.most } <= 3)
        lazy.cancel()
        await #expect(throws: CancellationError.self) { try await lazy.value }

        let full = Gate(1)
        let (started, start) = AsyncStream.makeStream(of: Void.self)
        let holder = Task {
            try await full.run {
                start.yield()
                try await Task.sleep(for: .seconds(60))
            }
        }
        for await _ in started { break }
        let waiting = Task { try await full.run {} }
        waiting.cancel()
        await #expect(throws: CancellationError.self) { try await waiting.value }
        holder.cancel()
        await #expect(throws: CancellationError.self) { try await holder.value }
        try await full.run {}
    }

    @Test("turns go by order of arrival, past those who gave up")
    func order() async throws {
        let gate = Gate(1)
        let (opened, open) = AsyncStream.makeStream(of: Void.self)
        let (order, tell) = AsyncStream.makeStream(of: Int.self)
        let holder = Task { try await gate.run { for await _ in opened { break } } }
        try await until { gate.isFull }
        var tasks: [Task<Void, any Error>] = []
        for number in 0..<20 {
            tasks.append(Task { try await gate.run { _ = tell.yield(number) } })
            try await until { gate.waiting == number + 1 }
        }
        for number in stride(from: 0, to: 20, by: 2) { tasks[number].cancel() }
        for number in stride(from: 0, to: 20, by: 2) {
            await #expect(throws: CancellationError.self) { try await tasks[number].value }
        }
        #expect(gate.waiting == 10)
        open.yield()
        try await holder.value
        for number in stride(from: 1, to: 20, by: 2) { try await tasks[number].value }
        tell.finish()
        let taken = await order.reduce(into: [Int]()) { $0.append($1) }
        #expect(taken == Array(stride(from: 1, to: 20, by: 2)))
        #expect(gate.waiting == 0 && !gate.isFull)
    }

    @Test("a task that was cancelled before does not get in, and takes no room")
    func cancelledBefore() async throws {
        let gate = Gate(1)
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            try await gate.run { _ = Issue.record("ran") }
        }
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(!gate.isFull)
    }

    @Test("whoever is cancelled when, no room is lost and nobody stays in line", .timeLimit(.minutes(10)))
    func races() async throws {
        let gate = Gate(2)
        for _ in 0..<500 {
            let tasks = (0..<8).map { _ in Task { try await gate.run { await Task.yield() } } }
            await Task.yield()
            for task in tasks.shuffled().prefix(4) { task.cancel() }
            for task in tasks { _ = await task.result }
        }
        #expect(gate.waiting == 0 && !gate.isFull)
        try await gate.run { _ = try await gate.run {} }
    }
}
