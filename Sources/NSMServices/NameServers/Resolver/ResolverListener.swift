internal import Glibc
internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// A question with the way back.
struct ResolverArrival: Sendable {
    let bytes: [UInt8]
    /// Who asks, as far as one is known from another.
    let client: String
    /// Whether it came as a datagram, which limits the reply.
    let isDatagram: Bool
    let reply: @Sendable ([UInt8]) -> Void
}

/// Serves sockets until they are closed.
struct ResolverListener: Sendable {
    /// With more streams the one is closed that did not ask for longest.
    static let mostStreams = 64
    /// A stream without a whole question for so long is closed.
    static let idle = TimeAmount.seconds(15)

    private let channels: [any Channel]

    /// Takes the sockets over.
    ///
    /// - Parameters:
    ///   - idle: How long a stream may be without a whole question.
    ///   - take: Called on an event loop; may not wait.
    static func start(
        _ sockets: ResolverSockets, on group: any EventLoopGroup, idle: TimeAmount = Self.idle,
        take: @escaping @Sendable (ResolverArrival) -> Void
    ) async throws -> ResolverListener {
        var channels: [any Channel] = []
        // What was not given away is ours to close.
        var ours = sockets.stream
        do {
            if let datagram = sockets.datagram {
                channels.append(
                    try await DatagramBootstrap(group: group)
                        .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 4608))
                        .channelInitializer { channel in
                            channel.eventLoop.makeCompletedFuture {
                                try channel.pipeline.syncOperations.addHandler(DatagramHandler(take))
                            }
                        }
                        .withBoundSocket(datagram).get())
            }
            if let stream = sockets.stream {
                let room = StreamRoom()
                ours = nil
                channels.append(
                    try await ServerBootstrap(group: group)
                        .childChannelInitializer { channel in
                            channel.eventLoop.makeCompletedFuture {
                                room.enter(channel)
                                channel.closeFuture.whenComplete { _ in room.leave(channel) }
                                try channel.pipeline.syncOperations.addHandlers([
                                    ByteToMessageHandler(DNSFrameDecoder(limit: DNSRequest.largest)),
                                    StreamHandler(room, idle, take),
                                ])
                            }
                        }
                        .withBoundSocket(stream).get())
            }
        } catch {
            for channel in channels { channel.close(promise: nil) }
            if let ours { Glibc.close(ours) }
            throw error
        }
        return ResolverListener(channels: channels)
    }

    /// Waits until one of the sockets is closed, or the task is cancelled, and closes all.
    func run() async {
        await withTaskCancellationHandler {
            for channel in channels { channel.closeFuture.whenComplete { _ in close() } }
            for channel in channels { try? await channel.closeFuture.get() }
        } onCancel: {
            close()
        }
    }

    private func close() { for channel in channels { channel.close(promise: nil) } }
}

/// The streams that are open. A new one always finds room: who keeps many open without asking is in nobody's way.
private final class StreamRoom: Sendable {
    private struct Stream {
        let channel: any Channel
        var use: UInt64
    }

    private struct State {
        var streams: [ObjectIdentifier: Stream] = [:]
        var uses: UInt64 = 0
    }

    private let state = Mutex(State())

    func enter(_ channel: any Channel) {
        let oldest = state.withLock { state -> (any Channel)? in
            var oldest: (any Channel)?
            if state.streams.count >= ResolverListener.mostStreams,
                let (key, stream) = state.streams.min(by: { $0.value.use < $1.value.use })
            {
                state.streams[key] = nil
                oldest = stream.channel
            }
            state.uses += 1
            state.streams[ObjectIdentifier(channel)] = Stream(channel: channel, use: state.uses)
            return oldest
        }
        oldest?.close(promise: nil)
    }

    /// Takes in that a stream has asked.
    func use(_ channel: any Channel) {
        state.withLock { state in
            state.uses += 1
            state.streams[ObjectIdentifier(channel)]?.use = state.uses
        }
    }

    func leave(_ channel: any Channel) {
        state.withLock { state in state.streams[ObjectIdentifier(channel)] = nil }
    }
}

/// Takes datagrams.
private final class DatagramHandler: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>

    private let take: @Sendable (ResolverArrival) -> Void

    init(_ take: @escaping @Sendable (ResolverArrival) -> Void) { self.take = take }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let envelope = unwrapInboundIn(data)
        let (channel, peer) = (context.channel, envelope.remoteAddress)
        take(
            ResolverArrival(
                bytes: Array(envelope.data.readableBytesView), client: peer.resolverClient, isDatagram: true
            ) { bytes in
                // What can't leave is lost, as datagrams are.
                guard channel.isWritable else { return }
                channel.writeAndFlush(
                    AddressedEnvelope(remoteAddress: peer, data: ByteBuffer(bytes: bytes)), promise: nil)
            })
    }

    /// Errors of one datagram, such as a client that is gone, are not the socket's.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {}
}

/// Takes messages of one stream.
private final class StreamHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let room: StreamRoom
    private let take: @Sendable (ResolverArrival) -> Void
    private let idle: TimeAmount
    private var timer: Scheduled<Void>?

    init(_ room: StreamRoom, _ idle: TimeAmount, _ take: @escaping @Sendable (ResolverArrival) -> Void) {
        self.room = room
        self.idle = idle
        self.take = take
    }

    func handlerAdded(context: ChannelHandlerContext) { startTimer(context) }

    func handlerRemoved(context: ChannelHandlerContext) { timer?.cancel() }

    /// Bytes alone don't start it anew.
    private func startTimer(_ context: ChannelHandlerContext) {
        timer?.cancel()
        let channel = context.channel
        timer = context.eventLoop.scheduleTask(in: idle) { channel.close(promise: nil) }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let channel = context.channel
        room.use(channel)
        startTimer(context)
        // Who asks and does not read the replies has had enough.
        guard channel.isWritable else { return context.close(promise: nil) }
        let client = "tcp \(ObjectIdentifier(channel))"
        take(
            ResolverArrival(
                bytes: Array(unwrapInboundIn(data).readableBytesView), client: client, isDatagram: false
            ) { bytes in
                channel.writeAndFlush(DNSFrameDecoder.frame(bytes), promise: nil)
            })
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

extension NIOCore.SocketAddress {
    /// Who asks: on the loopback one socket, else one host.
    fileprivate var resolverClient: String {
        let address = ipAddress ?? ""
        return address.hasPrefix("127.") || address == "::1" ? "\(address) \(port ?? 0)" : address
    }
}
