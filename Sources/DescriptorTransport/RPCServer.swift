internal import CLinux
public import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
internal import Glibc
public import Logging
internal import NIOCore
internal import NIOHTTP2
internal import NIOPosix
internal import SPIFFE
internal import Synchronization

/// Serves gRPC on a listener. In every handler ``ConnectionInfo/current`` tells who calls.
public final class RPCServer: Sendable {
    private let listener: ServerListener
    private let acceptor: Acceptor
    private let server: GRPCServer<HTTP2ServerTransport.Custom<Acceptor>>
    private let calls: CallContext

    /// Makes a server that takes connections once it runs.
    ///
    /// - Parameters:
    ///   - takesDescriptors: Whether a service asks for descriptors that callers send. Otherwise they are closed as they arrive.
    ///   - admission: Who may connect to a Unix socket; everybody who can open its file unless given.
    ///   - handshakeTimeout: How long a peer may take for its handshake.
    public init(
        _ listener: ServerListener, security: Security, services: [any RegistrableRPCService],
        interceptors: [any ServerInterceptor] = [], takesDescriptors: Bool = true,
        admission: @escaping Admission = { _ in nil }, handshakeTimeout: Duration = .seconds(10), logger: Logger
    ) {
        self.listener = listener
        let connections = Connections()
        calls = CallContext(connections)
        acceptor = Acceptor(
            listener: listener, security: security, connections: connections, takesDescriptors: takesDescriptors,
            admission: admission, handshakeTimeout: handshakeTimeout, logger: logger)
        var config = HTTP2ServerTransport.Custom<Acceptor>.Config.defaults
        // Programs with thousands of connections have a stream open for each.
        config.http2.maxConcurrentStreams = 16384
        let limit = config.rpc.maxRequestPayloadSize
        config.channelDebuggingCallbacks.onAcceptHTTP2Stream = { channel in
            channel.eventLoop.makeCompletedFuture {
                let sync = channel.pipeline.syncOperations
                let parent = try channel.parent?.pipeline.syncOperations.handler(type: ConnectionMark.self)
                try sync.addHandler(StreamMark(parent?.id ?? 0), position: .first)
                try sync.addHandler(MessageLimit(limit), position: .first)
            }
        }
        server = GRPCServer(
            transport: HTTP2ServerTransport.Custom(listenerFactory: acceptor, config: config), services: services,
            interceptors: [calls] + interceptors)
    }

    /// Serves until ``stop()`` is called or the task is cancelled.
    ///
    /// - Throws: when it can't serve.
    public func run() async throws {
        try await withTaskCancellationHandler {
            // Away from our own task: a transport that is cancelled drops what it has not looked at yet. It ends by itself
            // when its channels are closed.
            try await Task { try await server.serve() }.value
        } onCancel: {
            acceptor.end()
        }
    }

    /// Takes no more connections, gives calls a second to end, and drops the rest.
    public func stop() {
        acceptor.stopAccepting()
        Task {
            for _ in 0..<50 where calls.count > 0 { try? await Task.sleep(for: .milliseconds(20)) }
            acceptor.end()
        }
    }
}

/// The connections of a server by their numbers.
final class Connections: Sendable {
    private let all = Mutex<[UInt64: ConnectionInfo]>([:])
    func add(_ info: ConnectionInfo) { all.withLock { $0[info.id] = info } }
    func remove(_ id: UInt64) { all.withLock { _ = $0.removeValue(forKey: id) } }
    subscript(id: UInt64) -> ConnectionInfo? { all.withLock { $0[id] } }
}

/// Marks a connection's channel with its number.
final class ConnectionMark: ChannelInboundHandler {
    typealias InboundIn = NIOAny
    let id: UInt64
    init(_ id: UInt64) { self.id = id }
}

/// Puts the connection's number into the headers of each call, in place of anything that a peer wrote there.
final class StreamMark: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame.FramePayload
    typealias InboundOut = HTTP2Frame.FramePayload
    static let header = "nsm-agent-connection"
    private let id: UInt64
    init(_ id: UInt64) { self.id = id }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard case .headers(var payload) = unwrapInboundIn(data) else { return context.fireChannelRead(data) }
        payload.headers.replaceOrAdd(name: Self.header, value: String(id))
        context.fireChannelRead(wrapInboundOut(.headers(payload)))
    }
}

/// Makes the connection of a call known to its handler, and counts the calls.
final class CallContext: ServerInterceptor {
    private let connections: Connections
    private let running = Atomic<Int>(0)

    init(_ connections: Connections) { self.connections = connections }

    /// Calls that are being served.
    var count: Int { running.load(ordering: .relaxed) }

    func intercept<Input: Sendable, Output: Sendable>(
        request: StreamingServerRequest<Input>, context: ServerContext,
        next: @Sendable (StreamingServerRequest<Input>, ServerContext) async throws -> StreamingServerResponse<Output>
    ) async throws -> StreamingServerResponse<Output> {
        let number = request.metadata[stringValues: StreamMark.header].first { _ in true }.flatMap { UInt64($0) }
        guard let number, let info = connections[number] else {
            throw RPCError(code: .unavailable, message: "the connection has ended")
        }
        var request = request
        request.metadata.removeAllValues(forKey: StreamMark.header)
        running.wrappingAdd(1, ordering: .relaxed)
        defer { running.wrappingSubtract(1, ordering: .relaxed) }
        var response = try await ConnectionInfo.$current.withValue(info) { try await next(request, context) }
        // What streams writes after the handler has returned.
        if case .success(var contents) = response.accepted {
            let producer = contents.producer
            contents.producer = { writer in
                try await ConnectionInfo.$current.withValue(info) { try await producer(writer) }
            }
            response.accepted = .success(contents)
        }
        return response
    }
}
