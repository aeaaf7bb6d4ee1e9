internal import Netlink
internal import Synchronization

/// Work for one thread, which it takes up between two waits of its event loop.
final class JobQueue: Sendable {
    private struct State {
        var jobs: [UnownedJob] = []
        /// The thread looks again before it waits.
        var isDraining = false
    }
    private let waker: EventLoop.Waker
    private let state = Mutex(State())

    init(waker: EventLoop.Waker) { self.waker = waker }

    /// Adds a job and ends the thread's wait.
    func add(_ job: UnownedJob) {
        let isWaiting = state.withLock { state in
            state.jobs.append(job)
            return !state.isDraining && state.jobs.count == 1
        }
        if isWaiting { waker.wakeUp() }
    }

    /// Hands out jobs, also those that are added meanwhile, until there is none.
    func drain(_ run: (UnownedJob) -> Void) {
        while true {
            let batch = state.withLock { state in
                let batch = state.jobs
                state.jobs.removeAll(keepingCapacity: true)
                state.isDraining = !batch.isEmpty
                return batch
            }
            if batch.isEmpty { return }
            for job in batch { run(job) }
        }
    }
}
