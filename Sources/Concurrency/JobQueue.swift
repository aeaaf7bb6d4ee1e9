internal import Synchronization

/// Work for one thread, which it takes up between two of its waits.
package final class JobQueue: Sendable {
    private struct State {
        var jobs: [UnownedJob] = []
        /// The thread looks again before it waits.
        var isDraining = false
    }
    private let wakeUp: @Sendable () -> Void
    private let state = Mutex(State())

    /// - Parameter wakeUp: Ends the thread's wait, or the next one if it does not wait now.
    package init(wakeUp: @escaping @Sendable () -> Void) { self.wakeUp = wakeUp }

    /// Adds a job and ends the thread's wait.
    package func add(_ job: UnownedJob) {
        let isWaiting = state.withLock { state in
            state.jobs.append(job)
            return !state.isDraining && state.jobs.count == 1
        }
        if isWaiting { wakeUp() }
    }

    /// Hands out jobs, also those that are added meanwhile, until there is none.
    package func drain(_ run: (UnownedJob) -> Void) {
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
