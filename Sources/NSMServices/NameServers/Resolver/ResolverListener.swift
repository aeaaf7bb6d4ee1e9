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
    /// More streams are not taken at once.
    static let mostStreams = 64
    /// A stream that says nothing for so long is closed.
    static let idle = TimeAmount.seconds(15)

    private let channels: [any Channel]

    /// Takes the sockets over.
    ///
    /// - Parameter take: Called on an event loop; may not wait.
    static func start(
        _ sockets: ResolverSockets, on group: any EventLoopGroup, take: @escaping @Sendable (ResolverArrival) -> Void
    ) async throws -> ResolverListener {
        var channels: [any Channel] = []
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
                let room = Room()
                channels.append(
                    try await ServerBootstrap(group: group)
                        .childChannelInitializer { channel in
                            channel.eventLoop.makeCompletedFuture {
                                guard room.enter() else { throw ChannelError.ioOnClosedChannel }
                                channel.closeFuture.whenComplete { _ in room.leave() }
                                try channel.pipeline.syncOperations.addHandlers([
                                    IdleStateHandler(allTimeout: Self.idle),
                                    ByteToMessageHandler(DNSFrameDecoder(limit: DNSRequest.largest)),
                                    StreamHandler(take),
                                ])
                            }
                        }
                        .withBoundSocket(stream).get())
            }
        } catch {
            for channel in channels { channel.close(promise: nil) }
            throw error
        }
        return ResolverListener(channels: channels)
    }

    /// Waits until one of the sockets is closed, or the task is cancelled, and closes all.
    func run() async {
        await withTaskCancellationHandler {
            for channel in channels {
                try? await channel.closeFuture.get()
                close()
            }
        } onCancel: {
            close()
        }
    }

    private func close() { for channel in channels { channel.close(promise: nil) } }

    /// Counts streams.
    private final class Room: Sendable {
        private let count = Mutex(0)

        func enter() -> Bool {
            count.withLock { count in
                guard count < ResolverListener.mostStreams else { return false }
                count += 1
                return true
            }
        }

        func leave() { count.withLock { $0 -= 1 } }
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

    private let take: @Sendable (ResolverArrival) -> Void

    init(_ take: @escaping @Sendable (ResolverArrival) -> Void) { self.take = take }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let channel = context.channel
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

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is IdleStateHandler.IdleStateEvent { context.close(promise: nil) }
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
