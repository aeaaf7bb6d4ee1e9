internal import Concurrency
internal import Synchronization

/// The newest identity, and the callers that wait for it or follow it. The common part of the sources.
package final class IdentityStore: Sendable {
    private struct State {
        var identity: Identity?
        var followers = Broadcast<Identity, Never, Void>()
    }
    private let state = Mutex(State())

    package init(_ identity: Identity? = nil) {
        if let identity { state.withLock { $0.identity = identity } }
    }

    package var current: Identity? { state.withLock { $0.identity } }

    package func replace(_ identity: Identity) {
        state.withLock { state in
            state.identity = identity
            state.followers.tell(identity)
        }
    }

    package func wait() async throws -> Identity {
        if let current { return current }
        for await identity in follow() { return identity }
        throw CancellationError()
    }

    package func follow() -> AsyncStream<Identity> {
        state.withLock { state in
            state.followers.follow(backlog: .newest, from: state.identity.map { [$0] } ?? [])
        }
    }
}

/// An identity that the program sets, and can replace.
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
