internal import Concurrency
internal import Netlink
internal import Synchronization

/// Runs asynchronous work on the thread that waits for it.
///
/// The thread is the executor of the work and of everything that belongs to it, so no pool of workers is started. On
/// Linux that pool wakes up once a second as long as the process lives.
public enum Foreground {
    /// Runs `body` to its end on this thread.
    public static func run(_ body: @escaping @Sendable () async throws -> Void) throws {
        let loop = try EventLoop()
        let thread = CallingThread(waker: loop.waker)
        let outcome = Outcome()
        Task.detached(executorPreference: thread) {
            do {
                try await body()
                outcome.end(.success(()))
            } catch {
                outcome.end(.failure(error))
            }
        }
        while true {
            thread.runJobs()
            if let result = outcome.result { return try result.get() }
            _ = try loop.wait(timeoutMilliseconds: -1)
        }
    }

    private final class Outcome: Sendable {
        private let state = Mutex<Result<Void, any Error>?>(nil)
        var result: Result<Void, any Error>? { state.withLock { $0 } }
        func end(_ result: Result<Void, any Error>) { state.withLock { $0 = result } }
    }

    private final class CallingThread: TaskExecutor {
        private let jobs: JobQueue

        init(waker: EventLoop.Waker) { jobs = JobQueue { waker.wakeUp() } }

        func enqueue(_ job: consuming ExecutorJob) { jobs.add(UnownedJob(job)) }

        func runJobs() { jobs.drain { $0.runSynchronously(on: asUnownedTaskExecutor()) } }
    }
}
