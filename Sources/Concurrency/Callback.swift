internal import Synchronization

/// A closure that is set after its caller was created, where two objects need each other.
package final class Callback<Value: Sendable>: Sendable {
    private let body = Mutex<(@Sendable (Value) -> Void)?>(nil)

    /// Makes one that does nothing yet.
    package init() {}

    /// Sets what is called.
    package func set(_ body: @escaping @Sendable (Value) -> Void) { self.body.withLock { $0 = body } }

    /// Calls it.
    package func callAsFunction(_ value: Value) { body.withLock { $0 }?(value) }
}
