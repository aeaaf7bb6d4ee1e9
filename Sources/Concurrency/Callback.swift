internal import Synchronization

/// A closure that is set after its caller was created, where two objects need each other.
package final class Callback<Value: Sendable>: Sendable {
    // Not the closure itself: Swift wraps one anew that stands alone behind a lock, each time it is looked at.
    private struct State {
        var body: (@Sendable (Value) -> Void)?
    }
    private let state = Mutex(State())

    /// Makes one that does nothing yet.
    package init() {}

    /// Sets what is called.
    package func set(_ body: @escaping @Sendable (Value) -> Void) { state.withLock { $0.body = body } }

    /// Calls it.
    package func callAsFunction(_ value: Value) { state.withLock { $0.body }?(value) }
}
