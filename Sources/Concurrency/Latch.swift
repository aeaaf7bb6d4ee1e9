internal import Synchronization

/// Opens once; any number of tasks wait for it.
package final class Latch: Sendable {
    private struct State {
        var isOpen = false
        var waiting: [ObjectIdentifier: Promise<Void>] = [:]
    }
    private let state = Mutex(State())

    /// Makes a latch that is closed.
    package init() {}

    /// How many wait.
    package var waiting: Int { state.withLock { $0.waiting.count } }

    /// Lets all go on who wait, and all who come later.
    package func open() {
        state.withLock { state in
            state.isOpen = true
            for turn in state.waiting.values { turn.keep(()) }
            state.waiting = [:]
        }
    }

    /// Returns when it is open, or the task is cancelled.
    package func wait() async {
        let turn = Promise<Void>()
        let isOpen = state.withLock { state in
            if !state.isOpen { state.waiting[ObjectIdentifier(turn)] = turn }
            return state.isOpen
        }
        if isOpen { return }
        await turn.value(orIfCancelled: ())
        state.withLock { _ = $0.waiting.removeValue(forKey: ObjectIdentifier(turn)) }
    }
}
