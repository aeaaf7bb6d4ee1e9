internal import Netlink
internal import Synchronization

/// Work for one thread, which it takes up between two waits of its event loop.
final class JobQueue: Sendable {
    private let waker: EventLoop.Waker
    private let jobs = Mutex<[UnownedJob]>([])

    init(waker: EventLoop.Waker) { self.waker = waker }

    /// Adds a job and ends the thread's wait.
    func add(_ job: UnownedJob) {
        let wasEmpty = jobs.withLock { jobs in
            jobs.append(job)
            return jobs.count == 1
        }
        if wasEmpty { waker.wakeUp() }
    }

    /// Hands out jobs, also those that are added meanwhile, until there is none.
    func drain(_ run: (UnownedJob) -> Void) {
        while true {
            let batch = jobs.withLock { jobs in
                let batch = jobs
                jobs.removeAll(keepingCapacity: true)
                return batch
            }
            if batch.isEmpty { return }
            for job in batch { run(job) }
        }
    }
}
