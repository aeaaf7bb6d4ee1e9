internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import NIOSSL

/// A connection to the server, for one request at a time.
final class HTTPConnection: Sendable {
    let channel: any Channel
    /// Which certificates it was made with.
    let generation: Int

    private init(_ channel: any Channel, generation: Int) {
        self.channel = channel
        self.generation = generation
    }

    /// Connects. TLS is set up when the first request is sent.
    static func connect(
        _ configuration: KubernetesConfiguration, _ secure: KubernetesIdentity.Secure?
    ) async throws(KubernetesError) -> HTTPConnection {
        let server = configuration.server
        let name = configuration.tls.serverName ?? server.host
        let isAddress = (try? SocketAddress(ipAddress: name, port: 0)) != nil
        let bootstrap = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connectTimeout(TimeAmount(configuration.limits.connectTimeout))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    if let secure {
                        // Names only: addresses are compared with that of the connection.
                        try pipeline.addHandler(
                            NIOSSLClientHandler(context: secure.context, serverHostname: isAddress ? nil : name))
                    }
                    try pipeline.addHTTPClientHandlers()
                    try pipeline.addHandler(ExchangeHandler(server: "\(server)"))
                }
            }
        do {
            let channel =
                if let socket = server.socket {
                    try await bootstrap.connect(unixDomainSocketPath: socket).get()
                } else {
                    try await watched(bootstrap).connect(host: server.host, port: server.port).get()
                }
            return HTTPConnection(channel, generation: secure?.generation ?? 0)
        } catch {
            throw KubernetesError(.unreachable, "\(server): \(ConnectionFailure.text(error))")
        }
    }

    /// A server that is gone without a word is found out in about half a minute.
    private static func watched(_ bootstrap: ClientBootstrap) -> ClientBootstrap {
        bootstrap
            .channelOption(.socketOption(.so_keepalive), value: 1)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.tcpOption(.idleBeforeProbes), value: 15)
            .channelOption(.tcpOption(.probeInterval), value: 5)
            .channelOption(.tcpOption(.probes), value: 3)
    }

    /// Sends a request; what is answered goes to `taker`.
    ///
    /// - Parameter patience: How long the server may take to begin.
    func send(_ head: HTTPRequestHead, _ body: [UInt8]?, to taker: some AnswerTaker, patience: Duration) {
        channel.eventLoop.execute { [channel] in
            do {
                let handler = try channel.pipeline.syncOperations.handler(type: ExchangeHandler.self)
                handler.begin(head, body, taker, patience, channel)
            } catch {
                taker.fail(KubernetesError(.unreachable, "the connection was lost"))
            }
        }
    }

    var isUsable: Bool { channel.isActive }

    func close() { channel.close(promise: nil) }
}

extension NIOBSDSocket.Option {
    /// `TCP_KEEPIDLE`, tcp(7).
    fileprivate static let idleBeforeProbes = NIOBSDSocket.Option(rawValue: 4)
    /// `TCP_KEEPINTVL`, tcp(7).
    fileprivate static let probeInterval = NIOBSDSocket.Option(rawValue: 5)
    /// `TCP_KEEPCNT`, tcp(7).
    fileprivate static let probes = NIOBSDSocket.Option(rawValue: 6)
}

/// Why a connection failed, in words.
enum ConnectionFailure {
    static func text(_ error: any Error) -> String {
        switch error {
        case let error as NIOConnectionError:
            if let first = error.connectionErrors.first { return text(first.error) }
            return "the name '\(error.host)' is not known"
        case let error as IOError: return String(cString: strerror(error.errnoCode))
        case is ChannelError: return "the connection was lost or could not be made in time"
        case NIOSSLError.handshakeFailed(let cause): return "TLS could not be set up: \(cause)"
        case is NIOSSLExtraError: return "TLS could not be set up: \(error)"
        default: return "\(error)"
        }
    }
}

/// Sends one request after the other, and hands each answer to its caller.
private final class ExchangeHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart

    private let server: String
    private var taker: (any AnswerTaker)?
    private var timer: Scheduled<Void>?

    init(server: String) { self.server = server }

    func begin(
        _ head: HTTPRequestHead, _ body: [UInt8]?, _ taker: some AnswerTaker, _ patience: Duration,
        _ channel: any Channel
    ) {
        guard self.taker == nil, channel.isActive else {
            taker.fail(KubernetesError(.unreachable, "\(server): the connection was lost"))
            return
        }
        self.taker = taker
        start(patience, channel)
        channel.write(HTTPClientRequestPart.head(head), promise: nil)
        if let body { channel.write(HTTPClientRequestPart.body(.byteBuffer(ByteBuffer(bytes: body))), promise: nil) }
        channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
    }

    private func start(_ patience: Duration, _ channel: any Channel) {
        timer?.cancel()
        let bound = NIOLoopBound(self, eventLoop: channel.eventLoop)
        timer = channel.eventLoop.scheduleTask(in: TimeAmount(patience)) {
            bound.value.fail(KubernetesError(.timedOut, "\(bound.value.server): no answer in time"), channel)
        }
    }

    private func fail(_ error: KubernetesError, _ channel: any Channel) {
        timer?.cancel()
        taker.take()?.fail(error)
        channel.close(promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard let taker else { return }
        switch unwrapInboundIn(data) {
        case .head(let head):
            if head.status.code < 200 { return }
            start(taker.take(head), context.channel)
            // Only now: the handshake needs to be read by itself.
            if taker.asksForParts { context.channel.setOption(.autoRead, value: false).whenFailure { _ in } }
        case .body(let part):
            do throws(KubernetesError) { try taker.take(part) } catch { fail(error, context.channel) }
        case .end:
            timer?.cancel()
            self.taker = nil
            taker.end()
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if let lines = taker as? LineAnswer, lines.isHungry { context.read() }
        context.fireChannelReadComplete()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // Servers and proxies often close without a word of TLS; what was cut off shows by itself.
        if let error = error as? NIOSSLError, case .uncleanShutdown = error { return context.close(promise: nil) }
        fail(KubernetesError(.unreachable, "\(server): \(ConnectionFailure.text(error))"), context.channel)
    }

    func channelInactive(context: ChannelHandlerContext) {
        fail(KubernetesError(.unreachable, "\(server): the server closed the connection"), context.channel)
        context.fireChannelInactive()
    }
}
