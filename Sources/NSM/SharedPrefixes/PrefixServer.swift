internal import Concurrency
package import GRPCCore
internal import MeshTransport
internal import NetworkTypes
internal import Synchronization

/// Divides a network among the endpoints of a service: the IPAM of vL3 networks.
///
/// A prefix is the caller's as long as its stream is open. Who comes back, also after a start of ours, asks for the one that he had.
package final class PrefixServer: Ipam_IPAM.ServiceProtocol {
    private struct State {
        var pool: PrefixPool
        /// Prefixes by the account of who has them.
        var counts: [String: Int] = [:]
    }
    private let state: Mutex<State>
    private let started = ContinuousClock.now
    private let comeback: Duration

    /// Prefixes of one stream.
    static let mostOfOneStream = 16
    /// Prefixes of one peer.
    static let mostOfOnePeer = 1024
    /// Exclusions in a request.
    static let mostExclusions = 1024

    /// Divides a network.
    ///
    /// - Parameter comeback: How long after the start those go first who ask for a prefix that they had before.
    package init(_ pool: PrefixPool, comeback: Duration = .seconds(2)) {
        state = Mutex(State(pool: pool))
        self.comeback = comeback
    }

    /// How many prefixes are given.
    package var count: Int { state.withLock { $0.pool.count } }

    /// Serves a caller until it ends the stream.
    package func managePrefixes(
        request: StreamingServerRequest<Ipam_PrefixRequest>, context: ServerContext
    ) async throws -> StreamingServerResponse<Ipam_PrefixResponse> {
        let account = ConnectionInfo.current.map { PeerIdentity($0).account } ?? ""
        return StreamingServerResponse { writer in
            let own = Mutex<Set<IPPrefix>>([])
            defer { for prefix in own.withLock({ $0 }) { self.free(prefix, account) } }
            try await untilCallerIsGone(context) {
                for try await message in request.messages {
                    switch message.type {
                    case .allocate:
                        let (prefix, answer) = try await self.allocate(message, account, own.withLock { $0.count })
                        own.withLock { _ = $0.insert(prefix) }
                        try await writer.write(answer)
                    case .delete:
                        guard let prefix = IPPrefix(message.prefix)?.network else { continue }
                        if own.withLock({ $0.remove(prefix) }) != nil { self.free(prefix, account) }
                    case .undefined, .UNRECOGNIZED:
                        throw RPCError(code: .invalidArgument, message: "the request is neither ALLOCATE nor DELETE")
                    }
                }
            }
            return [:]
        }
    }

    private func allocate(
        _ message: Ipam_PrefixRequest, _ account: String, _ count: Int
    ) async throws -> (IPPrefix, Ipam_PrefixResponse) {
        guard count < Self.mostOfOneStream, message.excludePrefixes.count <= Self.mostExclusions else {
            throw RPCError(
                code: .resourceExhausted,
                message: "at most \(Self.mostOfOneStream) prefixes and \(Self.mostExclusions) exclusions are possible")
        }
        var excluded: [IPPrefix] = []
        for text in message.excludePrefixes {
            guard let prefix = IPPrefix(text) else {
                throw RPCError(code: .invalidArgument, message: "'\(text.prefix(64))' is not a prefix")
            }
            excluded.append(prefix)
        }
        let wanted = IPPrefix(message.prefix)
        if wanted == nil { try await Task.sleep(until: started + comeback, clock: .continuous) }
        let prefix = try state.withLock { state in
            guard state.counts[account, default: 0] < Self.mostOfOnePeer else {
                throw RPCError(code: .resourceExhausted, message: "\(account) has \(Self.mostOfOnePeer) prefixes")
            }
            guard let prefix = state.pool.take(wanted, excluding: excluded) else {
                throw RPCError(
                    code: .resourceExhausted,
                    message: "no /\(state.pool.length) of \(state.pool.network) is left; \(state.pool.count) are given")
            }
            state.counts[account, default: 0] += 1
            return prefix
        }
        let answer = Ipam_PrefixResponse.with { answer in
            answer.prefix = "\(prefix)"
            answer.excludePrefixes = message.excludePrefixes
        }
        return (prefix, answer)
    }

    private func free(_ prefix: IPPrefix, _ account: String) {
        state.withLock { state in
            state.pool.free(prefix)
            let left = state.counts[account, default: 1] - 1
            state.counts[account] = left > 0 ? left : nil
        }
    }
}

/// Runs `body` until it ends, or the caller of a call has gone.
private func untilCallerIsGone(
    _ context: ServerContext, _ body: @escaping @Sendable () async throws -> Void
) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
        defer { group.cancelAll() }
        group.addTask { try await body() }
        group.addTask { try? await context.cancellation.cancelled }
        try await group.next()
    }
}

/// Hands what is asked to the IPAM of another host, and its answers back.
package struct PrefixRelay: Ipam_IPAM.ServiceProtocol {
    private let server: PeerConnector

    /// Asks at a server, with the identity of its connector.
    package init(_ server: PeerConnector) { self.server = server }

    /// Serves a caller until it, or the server, ends the stream.
    package func managePrefixes(
        request: StreamingServerRequest<Ipam_PrefixRequest>, context: ServerContext
    ) async throws -> StreamingServerResponse<Ipam_PrefixResponse> {
        StreamingServerResponse { [server] writer in
            try await untilCallerIsGone(context) {
                let connection: ClientConnection
                do {
                    connection = try await server.connection(within: server.component.dialTimeout)
                } catch {
                    throw RPCError(code: .unavailable, message: "the IPAM at \(server.address.url): \(error)")
                }
                try await connection.whileOpen {
                    let client = Ipam_IPAM.Client(wrapping: connection.client)
                    try await client.managePrefixes { up in
                        for try await message in request.messages { try await up.write(message) }
                    } onResponse: { response in
                        for try await message in response.messages { try await writer.write(message) }
                    }
                }
            }
            return [:]
        }
    }
}
