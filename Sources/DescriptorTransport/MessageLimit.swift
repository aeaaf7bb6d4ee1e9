internal import NIOCore
internal import NIOHPACK
internal import NIOHTTP2

/// Refuses messages that are too long with a status that says so, before they are read. The transport itself would only reset
/// the stream.
final class MessageLimit: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame.FramePayload
    typealias InboundOut = HTTP2Frame.FramePayload
    typealias OutboundOut = HTTP2Frame.FramePayload

    private let limit: Int
    /// What came of the five bytes before the present message.
    private var head: [UInt8] = []
    /// How much of the present message is to come.
    private var left = 0
    private var isRefusing = false

    /// - Parameter limit: The longest message, in bytes.
    init(_ limit: Int) { self.limit = limit }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if isRefusing { return }
        if case .data(let payload) = unwrapInboundIn(data), case .byteBuffer(let bytes) = payload.data,
            let length = lengthOverLimit(bytes.readableBytesView)
        {
            return refuse(length, context)
        }
        context.fireChannelRead(data)
    }

    /// Source: Length-Prefixed-Message, gRPC over HTTP2: a byte that tells whether it is compressed, and four of its length.
    private func lengthOverLimit(_ bytes: ByteBufferView) -> Int? {
        var rest = bytes[...]
        while let byte = rest.first {
            if left > 0 {
                let count = min(left, rest.count)
                rest = rest.dropFirst(count)
                left -= count
                continue
            }
            head.append(byte)
            rest = rest.dropFirst()
            if head.count == 5 {
                left = head.dropFirst().reduce(0) { $0 << 8 | Int($1) }
                head = []
                if left > limit { return left }
            }
        }
        return nil
    }

    private func refuse(_ length: Int, _ context: ChannelHandlerContext) {
        isRefusing = true
        let headers = HPACKHeaders([
            (":status", "200"), ("content-type", "application/grpc"),
            // Source: RESOURCE_EXHAUSTED, grpc/grpc, doc/statuscodes.md.
            ("grpc-status", "8"), ("grpc-message", "a message of \(length) bytes exceeds the limit of \(limit)"),
        ])
        context.write(wrapOutboundOut(.headers(.init(headers: headers, endStream: true))), promise: nil)
        // Closing the channel would say CANCEL, which some clients take for the answer. Source: RFC 9113, section 8.1.
        context.writeAndFlush(wrapOutboundOut(.rstStream(.noError)), promise: nil)
    }
}
