internal import Concurrency
package import GRPCCore
internal import MeshTransport
internal import NetworkTypes
internal import Synchronization

/// Divides a network among the endpoints of a service: the IPAM of vL3 networks.
///
/// A prefix is the caller's as long as its stream is open. Who comes back, also after a start of ours, asks for the one that he had,
/// or gets it as the record says that it was his. Others get it only when nothing else is left.
package final class PrefixServer: Ipam_IPAM.ServiceProtocol {
    private let pool: Mutex<PrefixPool>
    private let network: IPPrefix
    private let book: PrefixBook
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
    ///   - book: Whose parts were whose.
    ///   - admit: Who asks; throws `RPCError` for one who may not. One peer can have an eighth of the network.
    package init(
        _ pool: PrefixPool, comeback: Duration = .seconds(15), book: PrefixBook = PrefixBook(),
        admit: @escaping @Sendable (ConnectionInfo?) throws -> PrefixCallers.Caller
    ) {
        callers = PrefixCallers(most: min(1024, max(1, pool.size / 8)), admit: admit)
        network = pool.network
        self.pool = Mutex(pool)
        self.comeback = comeback
        self.book = book
    }

    /// How many prefixes are given.
    package var count: Int { pool.withLock { $0.count } }

    /// Serves a caller until it ends the stream.
    package func managePrefixes(
        request: StreamingServerRequest<Ipam_PrefixRequest>, context: ServerContext
    ) async throws -> StreamingServerResponse<Ipam_PrefixResponse> {
        let caller = try callers.enter()
        let owner = caller.owner(request.metadata)
        return StreamingServerResponse { writer in
            let own = Mutex<Set<IPPrefix>>([])
            defer {
                let rest = own.withLock { $0 }
                for prefix in rest { self.free(prefix, owner) }
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
                        let (prefix, answer) = try await self.allocate(message, caller, owner)
                        own.withLock { _ = $0.insert(prefix) }
                        try await writer.write(answer)
                        try await Task.sleep(for: Self.pace)
                    case .delete:
                        guard let prefix = IPPrefix(message.prefix)?.network,
                            own.withLock({ $0.remove(prefix) }) != nil
                        else { continue }
                        self.free(prefix, owner)
                        self.callers.give(caller)
                    case .undefined, .UNRECOGNIZED:
                        throw RPCError(code: .invalidArgument, message: "the request is neither ALLOCATE nor DELETE")
                    }
                }
            }
            return [:]
        }
    }

    private func free(_ prefix: IPPrefix, _ owner: PrefixBook.Owner) {
        // First of these: who gets it at once must find that it was somebody else's.
        book.release(prefix, owner)
        pool.withLock { $0.free(prefix) }
    }

    /// The part that a caller had: as he says, unless it was somebody else's, or as the record says. It is looked for with the pool
    /// locked, or two who ask at once would both want the same one.
    private func former(
        _ wish: IPPrefix?, _ caller: PrefixCallers.Caller, _ owner: PrefixBook.Owner, in pool: PrefixPool
    ) -> IPPrefix? {
        if let wish, pool.isFree(wish), !book.isOthers(wish, than: owner) { return wish }
        return caller.isRelay ? nil : book.former(of: owner, where: pool.isFree)
    }

    private func allocate(
        _ message: Ipam_PrefixRequest, _ caller: PrefixCallers.Caller, _ owner: PrefixBook.Owner
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
        let wish = IPPrefix(message.prefix)?.network
        let isKnown = pool.withLock { former(wish, caller, owner, in: $0) != nil }
        if !isKnown { try await Task.sleep(until: started + comeback, clock: .continuous) }
        try callers.take(caller)
        let isOthers = { self.book.isOthers($0, than: caller.isRelay ? nil : owner) }
        let prefix = try pool.withLock { pool in
            let wanted = former(wish, caller, owner, in: pool)
            let found =
                pool.take(wanted, excluding: excluded, sparing: (PrefixBook.most, isOthers))
                ?? pool.take(excluding: excluded)
            guard let prefix = found else {
                callers.give(caller)
                throw RPCError(
                    code: .resourceExhausted,
                    message: "no /\(pool.length) of \(pool.network) is left; \(pool.count) are given")
            }
            book.hold(prefix, owner)
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

/// Hands what is asked to the IPAM of another host, and its answers back. That IPAM knows this host alone: whose of this host a
/// prefix was is known here.
package final class PrefixRelay: Ipam_IPAM.ServiceProtocol {
    private let server: PeerConnector
    private let callers: PrefixCallers
    private let book: PrefixBook
    private let check: @Sendable (PeerIdentity?, IPPrefix?) async -> String?

    /// Prefixes of one peer of this host.
    static let mostOfOnePeer = 8

    /// Asks at a server, with the identity of its connector, which runs as long as ``run()`` does.
    ///
    /// - Parameters:
    ///   - book: Whose prefixes were whose.
    ///   - admit: Who asks; throws `RPCError` for one who may not.
    ///   - check: Why the server is not to be asked, or a prefix that it gave not to be used; nil: it is.
    package init(
        _ server: PeerConnector, book: PrefixBook = PrefixBook(),
        admit: @escaping @Sendable (ConnectionInfo?) throws -> PrefixCallers.Caller,
        check: @escaping @Sendable (PeerIdentity?, IPPrefix?) async -> String? = { _, _ in nil }
    ) {
        self.server = server
        self.book = book
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
        let asked = Asked(caller, caller.owner(request.metadata))
        return StreamingServerResponse { writer in
            defer {
                self.callers.leave(caller, prefixes: asked.count.withLock { $0 })
                for prefix in asked.given.withLock({ $0 }) { self.book.release(prefix, asked.owner) }
            }
            try await untilCallerIsGone(context) {
                let (messages, message) = AsyncStream.makeStream(
                    of: Ipam_PrefixRequest.self, bufferingPolicy: .bufferingOldest(Self.mostWaiting))
                let hasAsked = Latch()
                try await withThrowingTaskGroup(of: Bool.self) { group in
                    defer { group.cancelAll() }
                    group.addTask { try await self.takeIn(request, asked, message) { hasAsked.open() } }
                    group.addTask {
                        // Nobody is asked before there is something to ask.
                        await hasAsked.wait()
                        if Task.isCancelled { return true }
                        try await self.relay(messages, writer) { prefix in
                            guard asked.given.withLock({ $0.insert(prefix).inserted }) else { return }
                            self.book.hold(prefix, asked.owner)
                        }
                        return true
                    }
                    // Requests may end before the answers do.
                    while let isOver = try await group.next() { if isOver { return } }
                }
            }
            return [:]
        }
    }

    /// Reads what a caller asks for until he ends, and has it wait for the server. Returns whether he asked for nothing.
    private func takeIn(
        _ request: StreamingServerRequest<Ipam_PrefixRequest>, _ asked: Asked,
        _ messages: AsyncStream<Ipam_PrefixRequest>.Continuation, hasAsked: @Sendable () -> Void
    ) async throws -> Bool {
        var isFirst = true
        for try await asks in request.messages where !isFirst || asks.type == .allocate {
            var next = asks
            if next.type == .allocate {
                try callers.take(asked.caller)
                asked.count.withLock { $0 += 1 }
                next.prefix = wish(next.prefix, asked.owner)
            }
            if case .dropped = messages.yield(next) {
                throw RPCError(code: .resourceExhausted, message: "too many requests wait")
            }
            isFirst = false
            hasAsked()
        }
        messages.finish()
        return isFirst
    }

    /// What a stream has asked for.
    private final class Asked: Sendable {
        let caller: PrefixCallers.Caller
        let owner: PrefixBook.Owner
        /// For how many prefixes.
        let count = Mutex(0)
        let given = Mutex<Set<IPPrefix>>([])

        init(_ caller: PrefixCallers.Caller, _ owner: PrefixBook.Owner) {
            self.caller = caller
            self.owner = owner
        }
    }

    /// What is asked for: what is wished, unless it was somebody else's, or what the caller had last.
    private func wish(_ text: String, _ owner: PrefixBook.Owner) -> String {
        if let wish = IPPrefix(text)?.network, !book.isOthers(wish, than: owner) { return text }
        return book.former(of: owner) { _ in true }.map { "\($0)" } ?? ""
    }

    /// Requests that wait for the server.
    private static let mostWaiting = 32

    private func relay(
        _ messages: AsyncStream<Ipam_PrefixRequest>, _ writer: RPCWriter<Ipam_PrefixResponse>,
        given: @escaping @Sendable (IPPrefix) -> Void
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
                    if let prefix = IPPrefix(message.prefix) {
                        if let refusal = await check(nil, prefix) {
                            throw RPCError(code: .unavailable, message: refusal)
                        }
                        given(prefix.network)
                    }
                    try await writer.write(message)
                }
            }
        }
    }
}
