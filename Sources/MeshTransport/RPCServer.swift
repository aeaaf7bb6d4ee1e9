internal import CLinux
package import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
internal import Glibc
package import Logging
internal import NIOCore
internal import NIOHTTP2
internal import NIOPosix
internal import SPIFFE
internal import Synchronization

/// Serves gRPC on a listener. In every handler ``ConnectionInfo/current`` identifies the caller.
package final class RPCServer: Sendable {
    private typealias Server = GRPCServer<HTTP2ServerTransport.Custom<Acceptor>>
    private struct State {
        var acceptor: Acceptor?
        var hasStopped = false
    }
    private let listener: ServerListener
    private let makeAcceptor: @Sendable () throws(TransportError) -> Acceptor
    private let makeServer: @Sendable (Acceptor) -> Server
    private let table: CallTable
    private let peers: PeerTable
    private let state = Mutex(State())

    /// Makes a server that takes connections once it runs.
    ///
    /// - Parameters:
    ///   - certificates: Certificates of the operator, where identities are none.
    ///   - takesDescriptors: Whether a service asks for descriptors that callers send. Otherwise the kernel drops them.
    ///   - admission: Who may connect to a Unix socket; everybody who can open its file unless given.
    ///   - handshakeTimeout: How long a peer may take for its handshake, and after it for the first word of HTTP/2.
    ///   - limits: What a peer may use.
    ///   - messageLimit: The longest message that a caller may send, in bytes.
    package convenience init(
        _ listener: ServerListener, security: Security, certificates: CertificateFiles? = nil,
        services: [any RegistrableRPCService],
        interceptors: [any ServerInterceptor] = [], takesDescriptors: Bool = true,
        admission: @escaping Admission = { _ in nil }, handshakeTimeout: Duration = .seconds(10),
        limits: TransportLimits = TransportLimits(), messageLimit: Int = 1 << 20, logger: Logger
    ) {
        self.init(
            listener, security: security, certificates: certificates, services: services, interceptors: interceptors,
            takesDescriptors: takesDescriptors, admission: admission, handshakeTimeout: handshakeTimeout,
            limits: limits, capacity: .ofProcess, messageLimit: messageLimit, logger: logger)
    }

    /// - Parameters:
    ///   - capacity: What all servers have together.
    ///   - observer: Called for each connection.
    init(
        _ listener: ServerListener, security: Security, certificates: CertificateFiles? = nil,
        services: [any RegistrableRPCService],
        interceptors: [any ServerInterceptor] = [], takesDescriptors: Bool = true,
        admission: @escaping Admission = { _ in nil }, handshakeTimeout: Duration = .seconds(10),
        limits: TransportLimits, capacity: Capacity, messageLimit: Int = 1 << 20, logger: Logger,
        observer: (@Sendable (any Channel) -> Void)? = nil
    ) {
        let peers = PeerTable(limits, capacity: capacity, place: listener.address.url, logger: logger)
        let table = CallTable()
        let calls = CallContext(table)
        self.listener = listener
        self.peers = peers
        self.table = table
        makeAcceptor = { () throws(TransportError) in
            try Acceptor(
                listener: listener, security: security, certificates: certificates, peers: peers,
                takesDescriptors: takesDescriptors,
                admission: admission, handshakeTimeout: handshakeTimeout, logger: logger, observer: observer)
        }
        var config = HTTP2ServerTransport.Custom<Acceptor>.Config.defaults
        // How many one may really have is counted call by call: the host's root may have more.
        config.http2.maxConcurrentStreams = max(limits.streams, limits.rootStreams)
        config.rpc.maxRequestPayloadSize = messageLimit
        config.channelDebuggingCallbacks.onAcceptHTTP2Stream = { channel in
            channel.eventLoop.makeCompletedFuture {
                guard let parent = channel.parent else { throw TransportError("the connection has ended") }
                let life = try parent.pipeline.syncOperations.handler(type: ConnectionLife.self)
                let stream = try channel.syncOptions?.getOption(HTTP2StreamChannelOptions.streamID)
                try channel.pipeline.syncOperations.addHandler(
                    CallGuard(life, UInt32(Int(stream ?? 0)), table, limit: messageLimit), position: .first)
            }
        }
        makeServer = { [config] acceptor in
            GRPCServer(
                transport: HTTP2ServerTransport.Custom(listenerFactory: acceptor, config: config), services: services,
                interceptors: [calls] + interceptors)
        }
    }

    /// Serves until ``stop(within:)`` is called or the task is cancelled.
    ///
    /// - Throws: when it can't serve, also when the process has no descriptors or threads left.
    package func run() async throws {
        let acceptor = try makeAcceptor()
        let server = makeServer(acceptor)
        let hasStopped = state.withLock { state in
            state.acceptor = acceptor
            return state.hasStopped
        }
        if hasStopped { return }
        try await withTaskCancellationHandler {
            // Away from our own task: a transport that is cancelled drops what it has not looked at yet. It ends by itself
            // when its channels are closed.
            try await Task { try await server.serve() }.value
        } onCancel: {
            acceptor.end()
        }
    }

    /// Takes no more connections, gives calls some time to end, and drops the rest.
    package func stop(within grace: Duration = .seconds(1)) {
        let acceptor = state.withLock { state in
            state.hasStopped = true
            return state.acceptor
        }
        guard let acceptor else { return }
        acceptor.stopAccepting()
        let end = ContinuousClock.now + grace
        Task {
            while table.count > 0, ContinuousClock.now < end { try? await Task.sleep(for: .milliseconds(20)) }
            acceptor.end()
        }
    }

    /// Peers that use something at the moment.
    var peerCount: Int { peers.count }
}

/// Makes the connection of a call known to its handler.
final class CallContext: ServerInterceptor {
    private let calls: CallTable

    init(_ calls: CallTable) { self.calls = calls }

    func intercept<Input: Sendable, Output: Sendable>(
        request: StreamingServerRequest<Input>, context: ServerContext,
        next: @Sendable (StreamingServerRequest<Input>, ServerContext) async throws -> StreamingServerResponse<Output>
    ) async throws -> StreamingServerResponse<Output> {
        let number = request.metadata[stringValues: CallGuard.header].first { _ in true }.flatMap { UInt64($0) }
        guard let number, let call = calls[number], let info = call.connection.info else {
            throw RPCError(code: .unavailable, message: "the connection has ended")
        }
        var request = request
        request.metadata.removeAllValues(forKey: CallGuard.header)
        request.messages = RPCAsyncSequence(wrapping: CountedMessages(base: request.messages, call: call))
        var response = try await ConnectionInfo.$current.withValue(info) { try await next(request, context) }
        // What streams writes after the handler has returned.
        if case .success(var contents) = response.accepted {
            let producer = contents.producer
            contents.producer = { writer in
                // The call counts as long as it is worked on.
                defer { withExtendedLifetime(call) {} }
                return try await ConnectionInfo.$current.withValue(info) { try await producer(writer) }
            }
            response.accepted = .success(contents)
        }
        return response
    }
}

/// The messages of a call, each of which counts until its handler has got the next one.
private struct CountedMessages<Message: Sendable>: AsyncSequence, Sendable {
    typealias Element = Message
    typealias Failure = any Error
    let base: RPCAsyncSequence<Message, any Error>
    let call: CallLoad

    func makeAsyncIterator() -> Iterator { Iterator(base: base.makeAsyncIterator(), call: call) }

    struct Iterator: AsyncIteratorProtocol {
        typealias Element = Message
        typealias Failure = any Error
        var base: RPCAsyncSequence<Message, any Error>.AsyncIterator
        let call: CallLoad
        private var hasOne = false

        init(base: RPCAsyncSequence<Message, any Error>.AsyncIterator, call: CallLoad) {
            self.base = base
            self.call = call
        }

        mutating func next(isolation actor: isolated (any Actor)?) async throws(any Error) -> Message? {
            guard let message = try await base.next(isolation: actor) else { return nil }
            if hasOne { call.leaveMessage() }
            hasOne = true
            return message
        }

        mutating func next() async throws -> Message? { try await next(isolation: nil) }
    }
}
