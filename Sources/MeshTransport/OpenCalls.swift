internal import Synchronization

/// The calls that wait on a connection, which are given up some time after it has ended. A task for each of them that waits for the
/// end would cost more than the rest of the wait.
final class OpenCalls: Sendable {
    private struct State {
        var calls: [UInt64: @Sendable () -> Void] = [:]
        var next: UInt64 = 0
        /// How long calls may still take, once the connection has ended; nil: it has not.
        var notice: Duration?
        /// Whether somebody waits for that time to be over.
        var isEnding = false
    }
    private let state = Mutex(State())

    /// Adds a call; also to a connection that has ended.
    ///
    /// - Parameter giveUp: Called once, unless the call is removed before.
    /// - Returns: the number to remove it by.
    func add(_ giveUp: @escaping @Sendable () -> Void) -> UInt64 {
        let number = state.withLock { state in
            state.next += 1
            state.calls[state.next] = giveUp
            return state.next
        }
        watch()
        return number
    }

    /// The call is over.
    func remove(_ number: UInt64) { _ = state.withLock { $0.calls.removeValue(forKey: number) } }

    /// The connection has ended. Calls that are open then, or come later, end by themselves or are given up.
    func end(after notice: Duration) {
        state.withLock { $0.notice = notice }
        watch()
    }

    /// How many are open.
    var count: Int { state.withLock { $0.calls.count } }

    /// Gives up the calls of an ended connection when their time is over.
    private func watch() {
        let found = state.withLock { state -> (notice: Duration, newest: UInt64)? in
            guard let notice = state.notice, !state.calls.isEmpty, !state.isEnding else { return nil }
            state.isEnding = true
            return (notice, state.next)
        }
        guard let (notice, newest) = found else { return }
        Task {
            try? await Task.sleep(for: notice)
            let calls = state.withLock { state in
                state.isEnding = false
                let old = state.calls.filter { $0.key <= newest }
                for number in old.keys { state.calls[number] = nil }
                return old
            }
            for giveUp in calls.values { giveUp() }
            // Those that came meanwhile have their time, too.
            watch()
        }
    }
}
