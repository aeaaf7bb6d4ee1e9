internal import Glibc
internal import Synchronization

/// A thread that actors can live on: the forwarder's, whose calls wait for the kernel and step into namespaces.
final class ForwarderThread: SerialExecutor {
    private let jobs = Mutex<[UnownedJob]>([])
    /// sem_post(3) and sem_wait(3) may be called from any thread; the pointer never changes.
    private nonisolated(unsafe) let count: UnsafeMutablePointer<sem_t>

    init() {
        count = .allocate(capacity: 1)
        sem_init(count, 0, 0)
        var thread = pthread_t()
        let result = pthread_create(&thread, nil, forwarderThread, Unmanaged.passRetained(self).toOpaque())
        precondition(result == 0, "no thread can be made")
        pthread_detach(thread)
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        jobs.withLock { $0.append(job) }
        sem_post(count)
    }

    /// The thread lives as long as the process.
    fileprivate func run() {
        while true {
            while sem_wait(count) != 0 {}
            let job = jobs.withLock { $0.isEmpty ? nil : $0.removeFirst() }
            job?.runSynchronously(on: asUnownedSerialExecutor())
        }
    }
}

/// A free function, as closures passed to C inherit checks of where they were written.
private func forwarderThread(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    if let context { Unmanaged<ForwarderThread>.fromOpaque(context).takeUnretainedValue().run() }
    return nil
}
