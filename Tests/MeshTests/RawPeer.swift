import MeshTransport
import NIOCore
import NIOPosix
import NIOSSL
import NIOTLS
import SPIFFE
import Synchronization

/// A peer below gRPC: what it sends after the handshake, or instead of one, is made by hand.
final class RawPeer: Sendable {
    private let channel: any Channel
    private let inbox: Inbox

    private init(_ channel: any Channel, _ inbox: Inbox) {
        self.channel = channel
        self.inbox = inbox
    }

    deinit { channel.close(promise: nil) }

    /// Connects to a Unix socket.
    ///
    /// - Parameters:
    ///   - identity: What it shows in a TLS handshake; nil: there is no TLS.
    ///   - reads: Whether it ever reads after the handshake.
    static func connect(_ address: MeshTransport.SocketAddress, _ identity: Identity?, reads: Bool = true)
        async throws -> RawPeer
    {
        guard case .unix(let path) = address else { throw MeshFixture.Failure("no Unix socket") }
        let inbox = Inbox()
        let loop = MultiThreadedEventLoopGroup.singleton.any()
        let ready = identity.map { _ in loop.makePromise(of: Void.self) }
        let channel: any Channel
        do {
            channel = try await ClientBootstrap(group: loop).channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let sync = channel.pipeline.syncOperations
                    if let identity {
                        try sync.addHandler(
                            NIOSSLClientHandler(
                                context: try NIOSSLContext(configuration: configuration(identity)), serverHostname: nil,
                                customVerificationCallback: { $1.succeed(.certificateVerified) }))
                    }
                    try sync.addHandler(InboxHandler(inbox, ready))
                }
            }.connect(unixDomainSocketPath: path).get()
        } catch {
            ready?.fail(error)
            throw error
        }
        try await ready?.futureResult.get()
        if !reads { try await channel.setOption(.autoRead, value: false).get() }
        return RawPeer(channel, inbox)
    }

    private static func configuration(_ identity: Identity) throws -> TLSConfiguration {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.certificateChain = try identity.svid.chain.map {
            .certificate(try NIOSSLCertificate(bytes: $0, format: .der))
        }
        configuration.privateKey = .privateKey(
            try NIOSSLPrivateKey(bytes: identity.svid.privateKeyPKCS8, format: .der))
        configuration.certificateVerification = .noHostnameVerification
        configuration.applicationProtocols = ["h2"]
        return configuration
    }

    /// Sends bytes; what can't be sent as the peer has closed is nobody's trouble.
    func send(_ bytes: [UInt8]) async {
        try? await channel.writeAndFlush(ByteBuffer(bytes: bytes)).get()
    }

    /// Sends bytes and does not wait until they are gone.
    func sendLater(_ bytes: [UInt8]) { channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil) }

    func close() async { try? await channel.close() }

    /// What the other side sent so far.
    var received: [UInt8] { inbox.values.withLock { $0.bytes } }
    /// Whether the other side has closed.
    var isClosed: Bool { !channel.isActive }
    /// Whether the other side sent a GOAWAY frame with an error, closed, or took one stream back.
    var isRefused: Bool { isClosed || HTTP2.frames(received).contains { $0.kind == 3 || $0.kind == 7 } }
}

private final class Inbox: Sendable {
    let values = Mutex((bytes: [UInt8](), hasEnded: false))
}

private final class InboxHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let inbox: Inbox
    /// Told once how the handshake ends.
    private var ready: EventLoopPromise<Void>?

    init(_ inbox: Inbox, _ ready: EventLoopPromise<Void>?) {
        self.inbox = inbox
        self.ready = ready
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = Array(unwrapInboundIn(data).readableBytesView)
        inbox.values.withLock { $0.bytes += bytes }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted? = event as? TLSUserEvent {
            ready?.succeed()
            ready = nil
        }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        ready?.fail(error)
        ready = nil
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        ready?.fail(TransportError("closed"))
        ready = nil
        context.fireChannelInactive()
    }
}

/// Frames by hand. Source: RFC 9113, section 4.1 for frames; RFC 7541, section 6.2.2 for headers.
enum HTTP2 {
    static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    static func frame(
        _ kind: UInt8, _ payload: [UInt8] = [], flags: UInt8 = 0, stream: UInt32 = 0, length: Int? = nil
    ) -> [UInt8] {
        let size = length ?? payload.count
        let head = [UInt8(size >> 16 & 0xff), UInt8(size >> 8 & 0xff), UInt8(size & 0xff), kind, flags]
        return head + bytes(stream) + payload
    }

    /// The preface and empty settings.
    static var start: [UInt8] { preface + frame(4) }

    static func bytes(_ number: UInt32) -> [UInt8] {
        [UInt8(number >> 24), UInt8(number >> 16 & 0xff), UInt8(number >> 8 & 0xff), UInt8(number & 0xff)]
    }

    /// A call: headers with these beside those that gRPC needs.
    static func headers(_ method: String, _ others: [(String, String)] = [], stream: UInt32 = 1) -> [UInt8] {
        let all: [(String, String)] =
            [
                (":method", "POST"), (":scheme", "https"), (":path", "/\(method)"), (":authority", "localhost"),
                ("content-type", "application/grpc"), ("te", "trailers"),
            ] + others
        var block: [UInt8] = []
        for (name, value) in all { block += [0] + text(name) + text(value) }
        return frame(1, block, flags: 4, stream: stream)
    }

    /// A gRPC message, whole, or with a length that is not its own.
    static func message(_ bytes: [UInt8], stream: UInt32 = 1, isLast: Bool = true, length: UInt32? = nil) -> [UInt8] {
        frame(
            0, [0] + Self.bytes(length ?? UInt32(bytes.count)) + bytes, flags: isLast ? 1 : 0, stream: stream)
    }

    private static func text(_ text: String) -> [UInt8] {
        let bytes = Array(text.utf8)
        guard bytes.count >= 127 else { return [UInt8(bytes.count)] + bytes }
        var rest = bytes.count - 127
        var length: [UInt8] = [127]
        while rest >= 128 {
            length.append(UInt8(rest & 0x7f | 0x80))
            rest >>= 7
        }
        return length + [UInt8(rest)] + bytes
    }

    static func frames(_ bytes: [UInt8]) -> [(kind: UInt8, payload: ArraySlice<UInt8>)] {
        var frames: [(UInt8, ArraySlice<UInt8>)] = []
        var rest = bytes[...]
        while rest.count >= 9 {
            let start = rest.startIndex
            let size = Int(rest[start]) << 16 | Int(rest[start + 1]) << 8 | Int(rest[start + 2])
            guard rest.count >= 9 + size else { break }
            frames.append((rest[start + 3], rest[(start + 9)..<(start + 9 + size)]))
            rest = rest[(start + 9 + size)...]
        }
        return frames
    }
}
