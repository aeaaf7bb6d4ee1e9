internal import NIOCore
internal import NIOHPACK
internal import NIOHTTP2

/// Stands before the handler of each stream of a server. Counts what the call uses, and tells the handler whose it is by a
/// header, in place of anything that a peer wrote there.
///
/// What is too much is refused with a status that says so before it is read; the transport itself would only reset the stream.
final class CallGuard: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame.FramePayload
    typealias InboundOut = HTTP2Frame.FramePayload
    typealias OutboundOut = HTTP2Frame.FramePayload

    /// Carries the number of the call.
    static let header = "nsm-agent-call"
    /// What a message costs beside its bytes.
    static let overhead = 256
    /// What a header costs beside its bytes.
    private static let field = 64

    private let life: ConnectionLife
    private let stream: UInt32
    let start = NIODeadline.now()
    private var context: ChannelHandlerContext?
    private let calls: CallTable
    private let limit: Int
    private var call: CallLoad?
    private var hasStream = false
    /// What came of the five bytes before the present message.
    private var head: [UInt8] = []
    /// How much of the present message is to come.
    private var left = 0
    private var isRefusing = false

    /// - Parameter limit: The longest message, in bytes.
    init(_ life: ConnectionLife, _ stream: UInt32, _ calls: CallTable, limit: Int) {
        self.life = life
        self.stream = stream
        self.calls = calls
        self.limit = limit
    }

    private var connection: ConnectionLoad { life.load }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        life.add(self, stream)
    }

    /// The peer has cancelled the call.
    func cancel(_ code: UInt32) {
        isRefusing = true
        guard let context else { return }
        // As if HTTP/2 had reported it: this cancels the call's handler.
        context.fireChannelRead(wrapInboundOut(.rstStream(HTTP2ErrorCode(networkCode: Int(code)))))
        context.close(promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if isRefusing { return }
        switch unwrapInboundIn(data) {
        case .headers(var payload) where call == nil:
            switch begin() {
            case .success(let call):
                let bytes = payload.headers.reduce(0) { $0 + $1.name.utf8.count + $1.value.utf8.count + Self.field }
                if let reason = call.keep(bytes) { return refuse(CallLoad.Refusal(reason: reason), context) }
                payload.headers.replaceOrAdd(name: Self.header, value: String(call.number))
                context.fireChannelRead(wrapInboundOut(.headers(payload)))
            case .failure(let refusal): refuse(refusal, context)
            }
        case .data(let payload):
            guard case .byteBuffer(let bytes) = payload.data else { return }
            if let refusal = count(bytes.readableBytesView) { return refuse(refusal, context) }
            context.fireChannelRead(data)
        case .headers, .priority, .rstStream, .settings, .pushPromise, .ping, .goAway, .windowUpdate,
            .alternativeService, .origin:
            context.fireChannelRead(data)
        }
    }

    private func begin() -> Result<CallLoad, CallLoad.Refusal> {
        if let reason = connection.openStream() { return .failure(CallLoad.Refusal(reason: reason)) }
        hasStream = true
        let begun = calls.begin(on: connection)
        if case .success(let begun) = begun { call = begun }
        return begun
    }

    func channelInactive(context: ChannelHandlerContext) {
        end()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        end()
        self.context = nil
    }

    private func end() {
        life.remove(stream)
        if hasStream { connection.closeStream() }
        hasStream = false
        if let call { calls.remove(call.number) }
        call = nil
        isRefusing = true
    }

    /// Counts the messages in some bytes; returns why they are too much.
    ///
    /// Source: Length-Prefixed-Message, gRPC over HTTP2: a byte that tells whether it is compressed, and four of its length.
    private func count(_ bytes: ByteBufferView) -> CallLoad.Refusal? {
        var rest = bytes[...]
        while let byte = rest.first {
            if left > 0 {
                let count = min(left, rest.count)
                if let reason = call?.receive(count) { return CallLoad.Refusal(reason: reason) }
                rest = rest.dropFirst(count)
                left -= count
            } else {
                head.append(byte)
                rest = rest.dropFirst()
                guard head.count == 5 else { continue }
                left = head.dropFirst().reduce(0) { $0 << 8 | Int($1) }
                head = []
                if left > limit {
                    return CallLoad.Refusal(
                        reason: "a message of \(left) bytes exceeds the limit of \(limit)",
                        cause: "a message exceeds the limit of \(limit) bytes")
                }
                if let reason = call?.receive(Self.overhead) { return CallLoad.Refusal(reason: reason) }
            }
            if left == 0, head.isEmpty { call?.finishMessage() }
        }
        return nil
    }

    private func refuse(_ refusal: CallLoad.Refusal, _ context: ChannelHandlerContext) {
        isRefusing = true
        connection.report(refusal.cause)
        let headers = HPACKHeaders([
            (":status", "200"), ("content-type", "application/grpc"),
            // Source: RESOURCE_EXHAUSTED, grpc/grpc, doc/statuscodes.md.
            ("grpc-status", "8"), ("grpc-message", refusal.reason),
        ])
        context.write(wrapOutboundOut(.headers(.init(headers: headers, endStream: true))), promise: nil)
        // Closing the channel would say CANCEL, which some clients take for the answer. Source: RFC 9113, section 8.1.
        context.writeAndFlush(wrapOutboundOut(.rstStream(.noError)), promise: nil)
    }
}
