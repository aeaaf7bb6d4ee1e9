internal import CLinux
internal import Glibc
internal import Synchronization

/// A thread that actors can live on: the forwarder's, whose calls wait for the kernel and step into namespaces.
final class ForwarderThread: SerialExecutor {
    private let jobs = Mutex<[UnownedJob]>([])
    /// An eventfd(2) that can be read as long as there are jobs.
    private let waker: Int32

    init() {
        waker = cl_eventfd()
        precondition(waker >= 0, "no descriptor is left")
        var thread = pthread_t()
        let result = pthread_create(&thread, nil, forwarderThread, Unmanaged.passRetained(self).toOpaque())
        precondition(result == 0, "no thread can be made")
        pthread_detach(thread)
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        jobs.withLock { $0.append(job) }
        var one: UInt64 = 1
        write(waker, &one, 8)
    }

    /// The thread lives as long as the process.
    fileprivate func run() {
        while true {
            guard cl_wait_readable(waker, -1) == 1 else { continue }
            var count: UInt64 = 0
            read(waker, &count, 8)
            let waiting = jobs.withLock { jobs in
                defer { jobs = [] }
                return jobs
            }
            for job in waiting { job.runSynchronously(on: asUnownedSerialExecutor()) }
        }
    }
}

/// A free function, as closures passed to C inherit checks of where they were written.
private func forwarderThread(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    if let context { Unmanaged<ForwarderThread>.fromOpaque(context).takeUnretainedValue().run() }
    return nil
}
