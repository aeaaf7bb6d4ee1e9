internal import Synchronization

/// A value that one task waits for and another one gives, once.
///
/// All waits here are made of it. An object that lets tasks wait makes a promise under its own lock, keeps it there or at once, and
/// waits for it outside of the lock. What a cancellation touches is the promise alone, never the object's lock: a cancelled
/// task is locked while it says so, and the thread that resumes it waits for that, so a lock that both take would stop both for ever.
package final class Promise<Value: Sendable>: Sendable {
    private enum State {
        case open
        case awaited(CheckedContinuation<Value, Never>)
        case kept(Value)
    }
    private let state = Mutex(State.open)

    /// Makes a promise that is not kept yet.
    package init() {}

    /// Gives the value, unless there is one already.
    ///
    /// - Returns: Whether this is the value; false: the wait had ended before, such as by a cancellation.
    @discardableResult
    package func keep(_ value: Value) -> Bool {
        let (isFirst, waiting) = state.withLock { state -> (Bool, CheckedContinuation<Value, Never>?) in
            switch state {
            case .open:
                state = .kept(value)
                return (true, nil)
            case .awaited(let continuation):
                state = .kept(value)
                return (true, continuation)
            case .kept: return (false, nil)
            }
        }
        waiting?.resume(returning: value)
        return isFirst
    }

    /// The value, if it is there already.
    package var present: Value? {
        state.withLock { state in
            if case .kept(let value) = state { return .some(value) }
            return nil
        }
    }

    /// Waits for the value. For one task, and one time.
    package func value() async -> Value {
        await withCheckedContinuation { continuation in
            let kept = state.withLock { state -> Value? in
                if case .kept(let value) = state { return .some(value) }
                state = .awaited(continuation)
                return nil
            }
            if let kept { continuation.resume(returning: kept) }
        }
    }

    /// Waits for the value, and gives `last` itself when the task is cancelled before. For one task, and one time.
    package func value(orIfCancelled last: Value) async -> Value {
        await withTaskCancellationHandler {
            await value()
        } onCancel: {
            keep(last)
        }
    }
}
