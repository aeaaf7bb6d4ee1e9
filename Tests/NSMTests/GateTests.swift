import Synchronization
import Testing

@testable import NSM

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

    @Test("a mailbox outlives its readers, and forgets the oldest first")
    func mailbox() async {
        let box = Mailbox<Int>(limit: 2)
        let reader = Task { await box.next() }
        reader.cancel()
        #expect(await reader.value == nil)
        for number in 1...3 { box.put(number) }
        #expect(await box.next() == 2)
        #expect(await box.next() == 3)
        async let later = box.next()
        await Task.yield()
        box.put(4)
        #expect(await later == 4)
    }
}
