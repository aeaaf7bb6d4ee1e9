internal import Concurrency
internal import Netlink

/// Runs asynchronous work on the thread that waits for it.
///
/// The thread is the executor of the work and of everything that belongs to it, so no pool of workers is started. Dispatch's
/// wakes up once a second as long as the process lives; the program has workers of its own for what libraries start beside,
/// see ``OwnWorkers``.
public enum Foreground {
    /// Runs `body` to its end on this thread.
    public static func run(_ body: @escaping @Sendable () async throws -> Void) throws {
        let loop = try EventLoop()
        let thread = CallingThread(waker: loop.waker)
        let outcome = Promise<Result<Void, any Error>>()
        Task.detached(executorPreference: thread) {
            do {
                try await body()
                outcome.keep(.success(()))
            } catch {
                outcome.keep(.failure(error))
            }
        }
        while true {
            thread.runJobs()
            if let result = outcome.present { return try result.get() }
            _ = try loop.wait(timeoutMilliseconds: -1)
        }
    }

    private final class CallingThread: TaskExecutor {
        private let jobs: JobQueue

        init(waker: EventLoop.Waker) { jobs = JobQueue { waker.wakeUp() } }

        func enqueue(_ job: consuming ExecutorJob) { jobs.add(UnownedJob(job)) }

        func runJobs() { jobs.drain { $0.runSynchronously(on: asUnownedTaskExecutor()) } }
    }
}
