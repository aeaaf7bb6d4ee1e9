internal import Concurrency
internal import NIOCore
internal import NIOPosix
internal import NetworkTypes

/// Asks servers, each question from a socket of its own, so that its port is as hard to guess as its id.
struct UpstreamExchange: Sendable {
    /// Why there is no reply.
    enum Failure: Error {
        /// None came in time.
        case silent
        /// The network, or the server's host, says that there is no server.
        case unreachable
    }

    /// The times that are waited for a datagram, one try after the other.
    static let patience: [Duration] = [.milliseconds(1200), .milliseconds(2000)]
    /// The time for a stream as a whole.
    static let streamPatience = Duration.seconds(3)
    /// So many wrong replies are no accident.
    fileprivate static let mostWrong = 64

    /// Where its sockets are served.
    let group: any EventLoopGroup
    private let port: UInt16
    /// Sockets at once.
    private let room = Gate(256)

    /// - Parameter port: At which servers are asked.
    init(on group: any EventLoopGroup, port: UInt16 = ResolverAddress.standardPort) {
        self.group = group
        self.port = port
    }

    /// What a server replies.
    ///
    /// - Throws: ``Failure``, and `CancellationError`.
    func ask(_ request: DNSRequest, _ server: IPAddress) async throws -> DNSMessage {
        try await room.run {
            var hasOptions = true
            for patience in Self.patience {
                do {
                    var reply = try await exchange(request, server, hasOptions, isStream: false, patience)
                    // An old server that knows no EDNS. Source: RFC 6891, section 7.
                    if hasOptions, [DNSNumber.formatError, DNSNumber.notImplemented, 16].contains(reply.code) {
                        hasOptions = false
                        reply = try await exchange(request, server, hasOptions, isStream: false, patience)
                    }
                    guard reply.isTruncated else { return reply }
                    return try await exchange(request, server, hasOptions, isStream: true, Self.streamPatience)
                } catch Failure.silent {
                    try Task.checkCancellation()
                }
            }
            throw Failure.silent
        }
    }

    private func exchange(
        _ request: DNSRequest, _ server: IPAddress, _ hasOptions: Bool, isStream: Bool, _ patience: Duration
    ) async throws -> DNSMessage {
        let query = request.query(id: .random(in: 0...UInt16.max), hasOptions: hasOptions)
        let loop = group.next()
        let promise = loop.makePromise(of: DNSMessage.self)
        let channel: any Channel
        do {
            let address = try NIOCore.SocketAddress(
                packedIPAddress: ByteBuffer(bytes: server.withNetworkOrderBytes { Array($0) }), port: Int(port))
            let wait = TimeAmount.nanoseconds(patience.nanoseconds)
            let setUp: @Sendable (any Channel) -> EventLoopFuture<Void> = { channel in
                channel.eventLoop.makeCompletedFuture {
                    if isStream {
                        try channel.pipeline.syncOperations.addHandler(
                            ByteToMessageHandler(DNSFrameDecoder(limit: Int(UInt16.max))))
                    } else {
                        try channel.pipeline.syncOperations.addHandler(DatagramOpener())
                    }
                    try channel.pipeline.syncOperations.addHandler(ReplyHandler(query, request, promise, wait))
                }
            }
            channel =
                isStream
                ? try await ClientBootstrap(group: loop).connectTimeout(wait).channelInitializer(setUp)
                    .connect(to: address).get()
                : try await DatagramBootstrap(group: loop)
                    .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 4096))
                    .channelInitializer(setUp).connect(to: address).get()
        } catch {
            promise.fail(Failure.unreachable)
            return try await promise.futureResult.get()
        }
        return try await withTaskCancellationHandler {
            channel.writeAndFlush(isStream ? DNSFrameDecoder.frame(query) : ByteBuffer(bytes: query), promise: nil)
            return try await promise.futureResult.get()
        } onCancel: {
            channel.close(promise: nil)
        }
    }
}

/// Waits for the reply to one query, and closes.
private final class ReplyHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let id: UInt16
    private let request: DNSRequest
    private let promise: EventLoopPromise<DNSMessage>
    private let patience: TimeAmount
    private var timer: Scheduled<Void>?
    private var wrong = 0

    init(_ query: [UInt8], _ request: DNSRequest, _ promise: EventLoopPromise<DNSMessage>, _ patience: TimeAmount) {
        id = UInt16(query[0]) << 8 | UInt16(query[1])
        self.request = request
        self.promise = promise
        self.patience = patience
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let channel = context.channel
        timer = context.eventLoop.scheduleTask(in: patience) { channel.close(promise: nil) }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = Array(unwrapInboundIn(data).readableBytesView)
        if let message = try? DNSMessage(bytes), message.answers(request, id: id) {
            promise.succeed(message)
        } else {
            wrong += 1
            if wrong < UpstreamExchange.mostWrong { return }
        }
        context.close(promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        promise.fail(UpstreamExchange.Failure.unreachable)
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        promise.fail(UpstreamExchange.Failure.silent)
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        timer?.cancel()
        promise.fail(UpstreamExchange.Failure.silent)
    }
}

extension DNSMessage {
    /// Whether it is the reply to a query of ours.
    func answers(_ request: DNSRequest, id: UInt16) -> Bool {
        isResponse && opcode == 0 && self.id == id && question == request.question
    }
}

extension Duration {
    /// Nanoseconds, as far as they are a number of 64 bits.
    fileprivate var nanoseconds: Int64 {
        let (seconds, isOver) = components.seconds.multipliedReportingOverflow(by: 1_000_000_000)
        return isOver ? Int64.max : seconds &+ components.attoseconds / 1_000_000_000
    }
}
