internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import Synchronization

/// Serves the controller's health over HTTP: `/healthz`, whether it is alive; `/readyz`, whether it does its work.
public struct HealthServer: Sendable {
    /// The health to report.
    public final class Facts: Sendable {
        /// What the controller waits for before it does its work.
        public enum Lack: String, Sendable {
            /// Resources were not listed yet.
            case resources = "the API server has not told the resources yet"
            /// etcd does not answer.
            case etcd = "etcd does not answer"
        }

        private let lack = Mutex<Lack?>(nil)

        /// A controller that waits to become the leader counts as doing its work.
        public init() {}

        /// What is missing; nil: nothing.
        public var missing: Lack? {
            get { lack.withLock { $0 } }
            set { lack.withLock { $0 = newValue } }
        }
    }

    private let host: String
    private let port: Int
    private let facts: Facts

    /// Makes a server that does not listen yet.
    public init(host: String, port: Int, facts: Facts) {
        self.host = host
        self.port = port
        self.facts = facts
    }

    /// Serves until the task is cancelled.
    ///
    /// - Throws: when the address is not available.
    public func run() async throws {
        let counts = ConnectionCounts()
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(ChannelOptions.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { [facts] channel in
                channel.eventLoop.makeCompletedFuture {
                    let peer = channel.remoteAddress?.ipAddress ?? ""
                    guard counts.begin(peer) else { throw ChannelError.ioOnClosedChannel }
                    channel.closeFuture.whenComplete { _ in counts.end(peer) }
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline(withErrorHandling: true)
                    try channel.pipeline.syncOperations.addHandler(HealthHandler(facts: facts))
                }
            }
            .bind(host: host, port: port).get()
        try await withTaskCancellationHandler {
            try await channel.closeFuture.get()
        } onCancel: {
            channel.close(promise: nil)
        }
    }
}

/// Counts connections, so that no client takes all descriptors.
private final class ConnectionCounts: Sendable {
    private static let most = (all: 64, peer: 16)
    private let counts = Mutex<[String: Int]>([:])

    func begin(_ peer: String) -> Bool {
        counts.withLock { counts in
            guard counts.values.reduce(0, +) < Self.most.all, counts[peer, default: 0] < Self.most.peer else {
                return false
            }
            counts[peer, default: 0] += 1
            return true
        }
    }

    func end(_ peer: String) {
        counts.withLock { counts in
            let count = counts[peer, default: 1] - 1
            counts[peer] = count > 0 ? count : nil
        }
    }
}

/// Answers one request and closes.
private final class HealthHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let facts: HealthServer.Facts
    private var path = ""
    private var timeout: Scheduled<Void>?

    init(facts: HealthServer.Facts) { self.facts = facts }

    func channelActive(context: ChannelHandlerContext) {
        // Who says nothing must not keep a descriptor.
        let channel = context.channel
        timeout = context.eventLoop.scheduleTask(in: .seconds(10)) { channel.close(promise: nil) }
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        timeout?.cancel()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): path = head.uri
        case .body: break
        case .end: answer(context)
        }
    }

    private func answer(_ context: ChannelHandlerContext) {
        let (status, text): (HTTPResponseStatus, String) =
            switch path {
            case "/healthz", "/livez": (.ok, "ok")
            case "/readyz": facts.missing.map { (.serviceUnavailable, $0.rawValue) } ?? (.ok, "ok")
            default: (.notFound, "there is /healthz and /readyz")
            }
        let body = ByteBuffer(string: text + "\n")
        let headers: HTTPHeaders = [
            "Content-Type": "text/plain", "Content-Length": "\(body.readableBytes)", "Connection": "close",
        ]
        context.write(
            wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: status, headers: headers))), promise: nil)
        context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
        let channel = context.channel
        context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in channel.close(promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
