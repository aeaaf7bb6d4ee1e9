internal import Glibc
internal import Netlink
internal import Synchronization

/// The one thread an ``Engine`` lives on.
///
/// It is the engine's executor: calls from elsewhere become jobs, which end the thread's wait for events and run between
/// two waits. Events are handled on the thread itself, without a hop.
public final class EngineThread: SerialExecutor {
    private let jobs: JobQueue
    /// The thread, once it runs.
    private let runner = Atomic<UInt>(0)

    init(waker: EventLoop.Waker) { jobs = JobQueue(waker: waker) }

    /// Takes a job; it runs as soon as the thread is done with what it does now.
    public func enqueue(_ job: consuming ExecutorJob) { jobs.add(UnownedJob(job)) }

    /// Stops the program unless this is the thread.
    public func checkIsolated() {
        precondition(isIsolatingCurrentContext() == true, "not on the engine's thread")
    }

    /// Whether this is the thread.
    public func isIsolatingCurrentContext() -> Bool? {
        runner.load(ordering: .relaxed) == UInt(pthread_self())
    }

    /// Starts the thread. `turn` waits for events and handles them, again and again as long as the process lives.
    ///
    /// - Throws: when the process may not have another thread.
    func start(_ turn: @escaping @Sendable () -> Void) throws(AgentError) {
        let body = Body { [self] in
            runner.store(UInt(pthread_self()), ordering: .relaxed)
            while true {
                jobs.drain { $0.runSynchronously(on: asUnownedSerialExecutor()) }
                turn()
            }
        }
        var thread = pthread_t()
        let context = Unmanaged.passRetained(body)
        let result = pthread_create(&thread, nil, enginePthread, context.toOpaque())
        guard result == 0 else {
            context.release()
            throw AgentError("no thread can be made: \(String(cString: strerror(result))); raise the limit of tasks")
        }
        pthread_detach(thread)
    }

    fileprivate final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }
}

/// What the thread starts with. A free function, as closures passed to C inherit checks of where they were written.
private func enginePthread(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    if let context { Unmanaged<EngineThread.Body>.fromOpaque(context).takeRetainedValue().run() }
    return nil
}
