internal import Synchronization

/// Calls back when the time of a key is over. One sleeping task, whatever the number of keys; none when there are none.
package final class Expiries: Sendable {
    private struct State {
        var ends: [String: Timestamp] = [:]
        var timer: Task<Void, Never>?
        var due: Timestamp?
        var over: (@Sendable (String) async -> Void)?
    }
    private let state = Mutex(State())

    /// Makes a clock without keys.
    package init() {}

    /// Sets what is called for each key whose time is over.
    package func whenOver(_ body: @escaping @Sendable (String) async -> Void) { state.withLock { $0.over = body } }

    /// Sets or moves the end of a key; nil forgets it.
    package func set(_ key: String, to end: Timestamp?) {
        state.withLock { state in
            state.ends[key] = end
            // A later end is noticed when the timer wakes for the earlier one.
            if let end, end < state.due ?? Timestamp(nanoseconds: .max) { arm(&state) }
            if state.ends.isEmpty { disarm(&state) }
        }
    }

    /// Forgets all keys.
    package func clear() {
        state.withLock { state in
            state.ends = [:]
            disarm(&state)
        }
    }

    private func disarm(_ state: inout State) {
        state.timer?.cancel()
        state.timer = nil
        state.due = nil
    }

    private func arm(_ state: inout State) {
        disarm(&state)
        guard let due = state.ends.values.min() else { return }
        state.due = due
        state.timer = Task {
            // The wall clock may be set while we sleep; it is asked again at least every minute.
            let wait = min(max(due.since(.now), .zero), .seconds(60))
            guard (try? await Task.sleep(for: wait)) != nil else { return }
            self.wake()
        }
    }

    private func wake() {
        let (ended, over) = state.withLock { state in
            let now = Timestamp.now
            let ended = state.ends.filter { $0.value <= now }.map(\.key)
            for key in ended { state.ends[key] = nil }
            arm(&state)
            return (ended, state.over)
        }
        guard let over else { return }
        for key in ended { Task { await over(key) } }
    }
}
