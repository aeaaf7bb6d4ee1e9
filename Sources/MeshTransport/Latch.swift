internal import Synchronization

/// Opens once; any number of tasks wait for it.
final class Latch: Sendable {
    private struct State {
        var isOpen = false
        var waiting: [UInt64: CheckedContinuation<Void, Never>] = [:]
        var cancelled: Set<UInt64> = []
        var next: UInt64 = 0
    }
    private let state = Mutex(State())

    /// Lets all go on who wait, and all who come later.
    func open() {
        let waiting = state.withLock { state in
            defer { state.waiting = [:] }
            state.isOpen = true
            return state.waiting.values
        }
        for one in waiting { one.resume() }
    }

    /// Returns when it is open, or the task is cancelled.
    func wait() async {
        let number = state.withLock { state in
            state.next += 1
            return state.next
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let goesOn = state.withLock { state in
                    if state.isOpen || state.cancelled.remove(number) != nil { return true }
                    state.waiting[number] = continuation
                    return false
                }
                if goesOn { continuation.resume() }
            }
        } onCancel: {
            let waiting = state.withLock { state in
                guard let waiting = state.waiting.removeValue(forKey: number) else {
                    if !state.isOpen { state.cancelled.insert(number) }
                    return nil as CheckedContinuation<Void, Never>?
                }
                return waiting
            }
            waiting?.resume()
        }
        state.withLock { _ = $0.cancelled.remove(number) }
    }
}
