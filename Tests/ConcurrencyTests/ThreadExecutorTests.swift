import Concurrency
import Glibc
import Synchronization
import Testing

@Suite("Threads that actors live on", .timeLimit(.minutes(10)))
struct ThreadExecutorTests {
    private actor Resident {
        private let executor: ThreadExecutor
        nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
        private var count = 0

        init(_ executor: ThreadExecutor) { self.executor = executor }

        func thread() -> UInt {
            count += 1
            return UInt(pthread_self())
        }
        func calls() -> Int { count }
        func isAtHome() -> Bool { executor.isIsolatingCurrentContext() == true }
    }

    @Test("all calls run on the one thread, whoever makes them, and none is lost")
    func one() async throws {
        let executor = try ThreadExecutor.started()
        let residents = [Resident(executor), Resident(executor)]
        let threads = await withTaskGroup(of: UInt.self) { group in
            for number in 0..<2000 { group.addTask { await residents[number % 2].thread() } }
            return await group.reduce(into: Set<UInt>()) { $0.insert($1) }
        }
        #expect(threads.count == 1)
        #expect(await residents[0].calls() == 1000)
        #expect(await residents[1].isAtHome())
        #expect(executor.isIsolatingCurrentContext() == false)
    }

    @Test("a thread with other work is woken for jobs, and goes on with its work between them")
    func turns() async throws {
        let wakes = Mutex(0)
        // They stay open, as the thread lives as long as the process.
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        let (reading, writing) = (ends[0], ends[1])
        let executor = ThreadExecutor {
            var byte: UInt8 = 1
            _ = write(writing, &byte, 1)
        }
        let resident = Resident(executor)
        try executor.start {
            var byte: UInt8 = 0
            if read(reading, &byte, 1) == 1 { wakes.withLock { $0 += 1 } }
        }
        for _ in 0..<100 { _ = await resident.thread() }
        #expect(await resident.calls() == 100)
        #expect(wakes.withLock { $0 } > 0)
    }
}
