import NIOCore
import NIOPosix
import Testing

@testable import NSMServices

@Suite("The resolver's listener")
struct ResolverListenerTests {
    private static let group = MultiThreadedEventLoopGroup.singleton

    @Test("many streams that are open and silent are in nobody's way", .timeLimit(.minutes(10)))
    func streams() async throws {
        let place = try #require(ResolverAddress("127.0.1.14:5414"))
        // None of them is closed for its age, however long all take.
        let listener = try await ResolverListener.start(
            try ResolverSockets.bind(place), on: Self.group, idle: .hours(1)
        ) {
            $0.reply($0.bytes)
        }
        let running = Task { await listener.run() }
        let (replies, replied) = AsyncStream<[UInt8]>.makeStream()
        func connect() async throws -> any Channel {
            try await ClientBootstrap(group: Self.group)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandlers([
                            ByteToMessageHandler(DNSFrameDecoder(limit: 4096)), Collector(replied),
                        ])
                    }
                }
                .connect(host: "127.0.1.14", port: 5414).get()
        }
        var next = replies.makeAsyncIterator()
        var channels: [any Channel] = []
        for number in 0..<ResolverListener.mostStreams {
            channels.append(try await connect())
            // So the order in which they are taken is known.
            try await channels[number].writeAndFlush(DNSFrameDecoder.frame([UInt8(number)]))
            #expect(await next.next() == [UInt8(number)])
        }
        // The first one asks again, so the second is the one that did not ask for longest.
        try await channels[0].writeAndFlush(DNSFrameDecoder.frame([100]))
        #expect(await next.next() == [100])
        let another = try await connect()
        try await another.writeAndFlush(DNSFrameDecoder.frame([101]))
        #expect(await next.next() == [101])
        try await channels[1].closeFuture.get()
        try await channels[0].writeAndFlush(DNSFrameDecoder.frame([102]))
        #expect(await next.next() == [102])
        running.cancel()
        await running.value
        for channel in channels + [another] { try? await channel.close() }
    }

    private final class Collector: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let replied: AsyncStream<[UInt8]>.Continuation
        init(_ replied: AsyncStream<[UInt8]>.Continuation) { self.replied = replied }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            replied.yield(Array(unwrapInboundIn(data).readableBytesView))
        }
    }
}
