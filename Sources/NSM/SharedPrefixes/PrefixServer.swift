internal import Concurrency
package import GRPCCore
internal import MeshTransport
internal import NetworkTypes
internal import Synchronization

/// Divides a network among the endpoints of a service: the IPAM of vL3 networks.
///
/// A prefix is the caller's as long as its stream is open. Who comes back, also after a start of ours, asks for the one that he had.
package final class PrefixServer: Ipam_IPAM.ServiceProtocol {
    private let pool: Mutex<PrefixPool>
    private let network: IPPrefix
    private let callers: PrefixCallers
    private let started = ContinuousClock.now
    private let comeback: Duration

    /// Prefixes of one stream.
    static let mostOfOneStream = 16
    /// Exclusions in a request.
    static let mostExclusions = 1024
    /// How soon one request of a stream may follow another.
    static let pace = Duration.milliseconds(100)

    /// Divides a network.
    ///
    /// - Parameters:
    ///   - comeback: How long after the start those go first who ask for a prefix that they had before. They try every two
    ///     seconds, and their transport connections may take as long.
    ///   - admit: Who asks; throws `RPCError` for one who may not. One peer can have an eighth of the network.
    package init(
        _ pool: PrefixPool, comeback: Duration = .seconds(15),
        admit: @escaping @Sendable (ConnectionInfo?) throws -> PrefixCallers.Caller
    ) {
        callers = PrefixCallers(most: min(1024, max(1, pool.size / 8)), admit: admit)
        network = pool.network
        self.pool = Mutex(pool)
        self.comeback = comeback
    }

    /// How many prefixes are given.
    package var count: Int { pool.withLock { $0.count } }

    /// Serves a caller until it ends the stream.
    package func managePrefixes(
        request: StreamingServerRequest<Ipam_PrefixRequest>, context: ServerContext
    ) async throws -> StreamingServerResponse<Ipam_PrefixResponse> {
        let caller = try callers.enter()
        return StreamingServerResponse { writer in
            let own = Mutex<Set<IPPrefix>>([])
            defer {
                let rest = own.withLock { $0 }
                for prefix in rest { self.pool.withLock { $0.free(prefix) } }
                self.callers.leave(caller, prefixes: rest.count)
            }
            try await untilCallerIsGone(context) {
                for try await message in request.messages {
                    switch message.type {
                    case .allocate:
                        guard own.withLock({ $0.count }) < Self.mostOfOneStream else {
                            throw RPCError(
                                code: .resourceExhausted,
                                message: "a stream has at most \(Self.mostOfOneStream) prefixes")
                        }
                        let (prefix, answer) = try await self.allocate(message, caller)
                        own.withLock { _ = $0.insert(prefix) }
                        try await writer.write(answer)
                        try await Task.sleep(for: Self.pace)
                    case .delete:
                        guard let prefix = IPPrefix(message.prefix)?.network,
                            own.withLock({ $0.remove(prefix) }) != nil
                        else { continue }
                        self.pool.withLock { $0.free(prefix) }
                        self.callers.give(caller)
                    case .undefined, .UNRECOGNIZED:
                        throw RPCError(code: .invalidArgument, message: "the request is neither ALLOCATE nor DELETE")
                    }
                }
            }
            return [:]
        }
    }

    private func allocate(
        _ message: Ipam_PrefixRequest, _ caller: PrefixCallers.Caller
    ) async throws -> (IPPrefix, Ipam_PrefixResponse) {
        guard message.excludePrefixes.count <= Self.mostExclusions else {
            throw RPCError(
                code: .resourceExhausted, message: "at most \(Self.mostExclusions) exclusions are possible")
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
        try callers.take(caller)
        let prefix = try pool.withLock { pool in
            guard let prefix = pool.take(wanted, excluding: excluded) else {
                callers.give(caller)
                throw RPCError(
                    code: .resourceExhausted,
                    message: "no /\(pool.length) of \(pool.network) is left; \(pool.count) are given")
            }
            return prefix
        }
        let answer = Ipam_PrefixResponse.with { answer in
            answer.prefix = "\(prefix)"
            answer.excludePrefixes = message.excludePrefixes
            answer.network = "\(network)"
        }
        return (prefix, answer)
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
package final class PrefixRelay: Ipam_IPAM.ServiceProtocol {
    private let server: PeerConnector
    private let callers: PrefixCallers
    private let check: @Sendable (PeerIdentity?, IPPrefix?) async -> String?

    /// Prefixes of one peer of this host.
    static let mostOfOnePeer = 8

    /// Asks at a server, with the identity of its connector, which runs as long as ``run()`` does.
    ///
    /// - Parameters:
    ///   - admit: Who asks; throws `RPCError` for one who may not.
    ///   - check: Why the server is not to be asked, or a prefix that it gave not to be used; nil: it is.
    package init(
        _ server: PeerConnector, admit: @escaping @Sendable (ConnectionInfo?) throws -> PrefixCallers.Caller,
        check: @escaping @Sendable (PeerIdentity?, IPPrefix?) async -> String? = { _, _ in nil }
    ) {
        self.server = server
        callers = PrefixCallers(most: Self.mostOfOnePeer, admit: admit)
        self.check = check
    }

    /// Keeps the connection to the server until the task is cancelled.
    package func run() async { await server.run() }

    /// Serves a caller until it, or the server, ends the stream.
    package func managePrefixes(
        request: StreamingServerRequest<Ipam_PrefixRequest>, context: ServerContext
    ) async throws -> StreamingServerResponse<Ipam_PrefixResponse> {
        let caller = try callers.enter()
        return StreamingServerResponse { writer in
            let asked = Asked()
            defer { self.callers.leave(caller, prefixes: asked.count.withLock { $0 }) }
            try await untilCallerIsGone(context) {
                let (messages, message) = AsyncStream.makeStream(
                    of: Ipam_PrefixRequest.self, bufferingPolicy: .bufferingOldest(Self.mostWaiting))
                let hasAsked = Latch()
                try await withThrowingTaskGroup(of: Bool.self) { group in
                    defer { group.cancelAll() }
                    group.addTask {
                        var isFirst = true
                        for try await next in request.messages where !isFirst || next.type == .allocate {
                            if next.type == .allocate {
                                try self.callers.take(caller)
                                asked.count.withLock { $0 += 1 }
                            }
                            if case .dropped = message.yield(next) {
                                throw RPCError(code: .resourceExhausted, message: "too many requests wait")
                            }
                            isFirst = false
                            hasAsked.open()
                        }
                        message.finish()
                        return isFirst
                    }
                    group.addTask {
                        // Nobody is asked before there is something to ask.
                        await hasAsked.wait()
                        if Task.isCancelled { return true }
                        try await self.relay(messages, writer)
                        return true
                    }
                    // Requests may end before the answers do.
                    while let isOver = try await group.next() { if isOver { return } }
                }
            }
            return [:]
        }
    }

    /// For how many prefixes a stream has asked.
    private final class Asked: Sendable {
        let count = Mutex(0)
    }

    /// Requests that wait for the server.
    private static let mostWaiting = 32

    private func relay(
        _ messages: AsyncStream<Ipam_PrefixRequest>, _ writer: RPCWriter<Ipam_PrefixResponse>
    ) async throws {
        let connection: ClientConnection
        do {
            connection = try await server.connection(within: server.component.dialTimeout)
        } catch {
            throw RPCError(code: .unavailable, message: "the IPAM at \(server.address.url): \(error)")
        }
        if let refusal = await check(PeerIdentity(connection.info), nil) {
            throw RPCError(code: .unavailable, message: "the IPAM at \(server.address.url): \(refusal)")
        }
        try await connection.whileOpen { [check] in
            let client = Ipam_IPAM.Client(wrapping: connection.client)
            try await client.managePrefixes { up in
                for await message in messages { try await up.write(message) }
            } onResponse: { response in
                for try await message in response.messages {
                    if let prefix = IPPrefix(message.prefix), let refusal = await check(nil, prefix) {
                        throw RPCError(code: .unavailable, message: refusal)
                    }
                    try await writer.write(message)
                }
            }
        }
    }
}
