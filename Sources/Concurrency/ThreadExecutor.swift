internal import Glibc
internal import Synchronization

/// A thread that actors live on, as their calls wait for the kernel or step into namespaces.
///
/// Calls from elsewhere become jobs, which end the thread's wait and run between two waits. The thread lives as long as the
/// process.
package final class ThreadExecutor: SerialExecutor {
    /// The process may have no other thread.
    package struct Refused: Error, CustomStringConvertible {
        /// The error of pthread_create(3).
        package let code: Int32
        /// What is wrong and what to do.
        package var description: String {
            "no thread can be made: \(String(cString: strerror(code))); raise the limit of tasks"
        }
    }
    private let jobs: JobQueue
    /// The thread, once it runs.
    private let runner = Atomic<UInt>(0)

    /// Makes an executor whose thread has more to do than jobs; it is to be started.
    ///
    /// - Parameter wakeUp: Ends the wait of the closure that ``start(_:)`` takes.
    package init(wakeUp: @escaping @Sendable () -> Void) { jobs = JobQueue(wakeUp: wakeUp) }

    /// Starts a thread that has nothing to do but jobs.
    ///
    /// - Throws: when the process may not have another thread.
    package static func started() throws(Refused) -> ThreadExecutor {
        let bell = Bell()
        let executor = ThreadExecutor { bell.ring() }
        try executor.start { bell.wait() }
        return executor
    }

    /// Takes a job; it runs as soon as the thread is done with what it does now.
    package func enqueue(_ job: consuming ExecutorJob) { jobs.add(UnownedJob(job)) }

    /// Stops the program unless this is the thread.
    package func checkIsolated() { precondition(isIsolatingCurrentContext() == true, "not on the executor's thread") }

    /// Whether this is the thread.
    package func isIsolatingCurrentContext() -> Bool? {
        runner.load(ordering: .relaxed) == UInt(pthread_self())
    }

    /// Starts the thread. `turn` waits for events and handles them, again and again as long as the process lives.
    ///
    /// - Throws: when the process may not have another thread.
    package func start(_ turn: @escaping @Sendable () -> Void) throws(Refused) {
        let body = Body { [self] in
            runner.store(UInt(pthread_self()), ordering: .relaxed)
            while true {
                jobs.drain { $0.runSynchronously(on: asUnownedSerialExecutor()) }
                turn()
            }
        }
        var thread = pthread_t()
        let context = Unmanaged.passRetained(body)
        let result = pthread_create(&thread, nil, threadBody, context.toOpaque())
        guard result == 0 else {
            context.release()
            throw Refused(code: result)
        }
        pthread_detach(thread)
    }

    fileprivate final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }
}

/// What the thread starts with. A free function, as closures passed to C inherit checks of where they were written.
private func threadBody(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    if let context { Unmanaged<ThreadExecutor.Body>.fromOpaque(context).takeRetainedValue().run() }
    return nil
}

/// What a thread waits for that waits for nothing else. Rings are counted, so none is missed.
private final class Bell: Sendable {
    // Any thread may use a semaphore at any time, sem_overview(7); its place is this object's until the end.
    private nonisolated(unsafe) let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

    init() { sem_init(semaphore, 0, 0) }

    deinit {
        sem_destroy(semaphore)
        semaphore.deallocate()
    }

    func ring() { sem_post(semaphore) }

    /// Returns early when a signal is handled meanwhile; the thread looks for jobs then, and waits again.
    func wait() { sem_wait(semaphore) }
}
