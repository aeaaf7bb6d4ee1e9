internal import Synchronization

/// The newest identity, and those who wait for it or follow it. What the sources have in common.
package final class IdentityStore: Sendable {
    private struct State {
        var identity: Identity?
        var followers: [UInt64: AsyncStream<Identity>.Continuation] = [:]
        var next: UInt64 = 0
    }
    private let state = Mutex(State())
    /// Numbers of those whose streams were cancelled. A cancelled task is locked while it says so, and an event for it waits for
    /// that: the lock under which events are told must not be taken there, or both wait for ever.
    private let ended = Mutex<[UInt64]>([])

    package init(_ identity: Identity? = nil) {
        if let identity { state.withLock { $0.identity = identity } }
    }

    package var current: Identity? { state.withLock { $0.identity } }

    package func replace(_ identity: Identity) {
        state.withLock { state in
            removeEnded(&state)
            state.identity = identity
            for follower in state.followers.values { follower.yield(identity) }
        }
    }

    package func wait() async throws -> Identity {
        if let current { return current }
        for await identity in follow() { return identity }
        throw CancellationError()
    }

    package func follow() -> AsyncStream<Identity> {
        AsyncStream(bufferingPolicy: .bufferingNewest(1)) { continuation in
            let number = state.withLock { state in
                removeEnded(&state)
                state.next += 1
                state.followers[state.next] = continuation
                if let identity = state.identity { continuation.yield(identity) }
                return state.next
            }
            continuation.onTermination = { _ in
                self.ended.withLock { $0.append(number) }
            }
        }
    }

    private func removeEnded(_ state: inout State) {
        let numbers = ended.withLock { ended in
            defer { ended = [] }
            return ended
        }
        for number in numbers { state.followers[number] = nil }
    }
}

/// An identity that is given, and replaced by whoever gave it.
public final class FixedIdentity: IdentitySource {
    private let store: IdentityStore

    /// Starts with an identity.
    public init(_ identity: Identity) { store = IdentityStore(identity) }

    /// Rotates it.
    public func replace(_ identity: Identity) { store.replace(identity) }

    /// The present one.
    public func identity() async throws -> Identity { try await store.wait() }

    /// The present one and each that replaces it.
    public func identities() -> AsyncStream<Identity> { store.follow() }
}
