internal import Concurrency
public import MeshTransport
internal import GRPCCore
internal import Logging
package import SPIFFE
internal import Synchronization

/// The one transport connection to a peer that all who talk to it share: made when it is needed, made again when it is
/// gone, and replaced after the identity was rotated.
///
/// Open calls stay on the connection they began on. ``run()`` must run for calls to be made.
public final class PeerConnector: Sendable {
    /// Where the peer listens.
    public let address: SocketAddress
    /// Who we are to it.
    public let component: Component

    /// The data paths of the connections that were had by way of it.
    let echoes: EchoWatch
    /// What the peer says of the connections.
    let watch = ConnectionWatch()
    /// Requests on their way, by service: one that hangs must not hold up others.
    private let gates = Mutex<[String: Gate]>([:])

    private struct State {
        var current: ClientConnection?
        var dial: Task<ClientConnection, any Error>?
        var backoff = Backoff()
        var nextDial = ContinuousClock.now
        var lastError: String?
        var peer: SPIFFEID?
    }
    private let state = Mutex(State())
    private let takesDescriptors: Bool
    private let admission: Admission
    private let made: AsyncStream<ClientConnection>
    private let madeHere: AsyncStream<ClientConnection>.Continuation

    /// Makes a connector that has not dialled yet.
    public convenience init(_ address: SocketAddress, component: Component) {
        // Clients and endpoints ask for no descriptors.
        self.init(address, component: component, takesDescriptors: false) { _ in nil }
    }

    /// Makes a connector that has not dialled yet.
    ///
    /// - Parameters:
    ///   - takesDescriptors: Whether descriptors are asked for that the peer sends.
    ///   - admission: Decides about the listener's process before a byte is sent.
    package init(
        _ address: SocketAddress, component: Component, takesDescriptors: Bool,
        admission: @escaping Admission = { _ in nil }
    ) {
        self.address = address
        self.component = component
        self.admission = admission
        echoes = EchoWatch(logger: component.logger)
        self.takesDescriptors = takesDescriptors
        (made, madeHere) = AsyncStream.makeStream()
    }

    /// Serves the connections until the task is cancelled; then they are dropped.
    public func run() async {
        await withDiscardingTaskGroup { group in
            group.addTask { await self.echoes.run() }
            group.addTask { await self.watch.run(self) }
            for await connection in made {
                group.addTask {
                    await connection.run()
                    self.forget(connection)
                }
            }
            let last = state.withLock { state in
                defer { state.current = nil }
                state.dial?.cancel()
                return state.current
            }
            last?.closeNow()
            group.cancelAll()
        }
    }

    /// Where requests for a service stand in line.
    func gate(for service: String) -> Gate {
        gates.withLock { gates in
            if let gate = gates[service] { return gate }
            let gate = Gate(Gate.requests)
            gates[service] = gate
            return gate
        }
    }

    /// Whether there is an open connection.
    package var isConnected: Bool { state.withLock { $0.current.map { !$0.isClosed } ?? false } }

    /// Who the peer is that was reached last; nil without identities, and before.
    package var peerID: SPIFFEID? { state.withLock { $0.peer } }

    /// Why the peer could not be reached the last time; nil when it could.
    public var lastError: String? { state.withLock { $0.lastError } }

    /// An open connection with the newest identity.
    ///
    /// - Parameter limit: How long to wait for the peer to be there.
    /// - Throws: ``NSMError`` with the reason of the last try.
    package func connection(within limit: Duration) async throws -> ClientConnection {
        let deadline = ContinuousClock.now + limit
        while true {
            try Task.checkCancellation()
            if let open = await openConnection() { return open }
            let wait = state.withLock { $0.nextDial } - .now
            if wait > .zero {
                guard ContinuousClock.now + wait < deadline else {
                    try await Task.sleep(until: deadline, clock: .continuous)
                    throw NSMError(.unreachable, lastError ?? "\(address.url) can't be reached")
                }
                try await Task.sleep(for: wait)
                continue
            }
            do {
                return try await dial().value
            } catch {
                guard ContinuousClock.now < deadline else { throw error }
            }
        }
    }

    /// Takes no more calls to a connection on which the peer shows an identity that it has replaced since. The next one shows
    /// the new one.
    package func leave(_ connection: ClientConnection) {
        state.withLock { if $0.current === connection { $0.current = nil } }
        connection.close()
    }

    private func openConnection() async -> ClientConnection? {
        guard let current = state.withLock({ $0.current }), !current.isClosed else { return nil }
        guard case .identity(let source) = component.security, let local = current.info.local else { return current }
        let reason: String
        if let newest = try? await source.identity(), newest.svid.chain != local.svid.chain {
            reason = "the identity was rotated"
        } else if let peer = current.info.peer, peer.notAfter <= .now {
            // It may have a newer one by now, which it shows in a handshake only.
            reason = "the peer's certificate has ended"
        } else {
            return current
        }
        component.logger.debug("a new connection follows: \(reason)", metadata: ["peer": "\(address.url)"])
        leave(current)
        return nil
    }

    /// Calls a peer; once more on a new connection when it signs with another identity than the one it showed on the present
    /// one.
    ///
    /// - Parameter caller: Who calls, if its tokens are other than usual.
    /// - Throws: ``NSMError``, and what `body` throws.
    package func call<Result>(
        within limit: Duration, as caller: Component? = nil, _ body: (Calls) async throws -> Result
    ) async throws -> Result {
        let connection = try await connection(within: limit)
        do {
            return try await body(Calls(connection, component: caller ?? component))
        } catch let error as NSMError where error.code == .outdated {
            leave(connection)
            let next = try await self.connection(within: limit)
            return try await body(Calls(next, component: caller ?? component))
        }
    }

    /// One dial at a time, shared by all callers that wait for it.
    private func dial() -> Task<ClientConnection, any Error> {
        state.withLock { state in
            if let dial = state.dial { return dial }
            let dial = Task { try await self.connect() }
            state.dial = dial
            return dial
        }
    }

    private func connect() async throws -> ClientConnection {
        do {
            let connection = try await ClientConnection.connect(
                to: address, security: component.security, timeout: component.dialTimeout,
                takesDescriptors: takesDescriptors, admission: admission, logger: component.logger)
            state.withLock { state in
                state.current = connection
                state.peer = connection.info.peer?.id
                state.dial = nil
                state.backoff.reset()
                state.lastError = nil
            }
            if case .terminated = madeHere.yield(connection) {
                connection.closeNow()
                throw CancellationError()
            }
            return connection
        } catch {
            let failure = NSMError(.unreachable, "\(error)")
            state.withLock { state in
                state.dial = nil
                state.nextDial = .now + state.backoff.wait()
                state.lastError = failure.text
            }
            throw failure
        }
    }

    private func forget(_ connection: ClientConnection) {
        state.withLock { if $0.current === connection { $0.current = nil } }
    }
}
