internal import Synchronization

/// The newest identity, and those who wait for it or follow it. What the sources have in common.
final class IdentityStore: Sendable {
    private struct State {
        var identity: Identity?
        var followers: [UInt64: AsyncStream<Identity>.Continuation] = [:]
        var next: UInt64 = 0
    }
    private let state = Mutex(State())

    init(_ identity: Identity? = nil) {
        if let identity { state.withLock { $0.identity = identity } }
    }

    var current: Identity? { state.withLock { $0.identity } }

    func replace(_ identity: Identity) {
        state.withLock { state in
            state.identity = identity
            for follower in state.followers.values { follower.yield(identity) }
        }
    }

    func wait() async throws -> Identity {
        if let current { return current }
        for await identity in follow() { return identity }
        throw CancellationError()
    }

    func follow() -> AsyncStream<Identity> {
        AsyncStream(bufferingPolicy: .bufferingNewest(1)) { continuation in
            let number = state.withLock { state in
                state.next += 1
                state.followers[state.next] = continuation
                if let identity = state.identity { continuation.yield(identity) }
                return state.next
            }
            continuation.onTermination = { _ in
                self.state.withLock { _ = $0.followers.removeValue(forKey: number) }
            }
        }
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
