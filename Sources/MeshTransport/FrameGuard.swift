internal import NIOCore

/// Stands between TLS and HTTP/2. Answers PINGs, so that HTTP/2 never counts them, and ends connections that flood.
///
/// grpc-go sends a PING with nearly every message, to learn the bandwidth; the library above takes more than 200 of them in
/// half a minute for an attack and ends the connection with all calls on it. It takes more than 200 calls that are cancelled in
/// that time for one, too: a server's calls are cancelled here, so that a program may end a thousand watches at once. What is
/// malformed goes on to HTTP/2, which knows what to say. Payloads are neither looked at nor copied.
final class FrameGuard: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Bytes before the first frame of a client. Source: RFC 9113, section 3.4.
    private static let preface = 24
    private static let pingSize = FrameHead.size + 8
    private static let resetSize = FrameHead.size + 4
    /// ACKs that may wait for a peer that does not read.
    private static let mostWaiting = 64
    /// How long a peer may take to read a GOAWAY, and how much more it may send meanwhile.
    private static let lastWait = TimeAmount.seconds(1)
    private static let lastBytes = 1 << 20

    private let isServer: Bool
    private var budget: FrameBudget
    private let shared: SharedFrameBudget?
    /// How calls are cancelled here.
    struct Resets {
        /// How many short calls may be.
        var budget: FrameBudget
        /// Whether a stream has been open for long.
        let isLong: (_ stream: UInt32) -> Bool
        /// Ends the stream with an error code; false when there is none.
        let cancel: (_ stream: UInt32, _ code: UInt32) -> Bool
    }

    /// Nil: HTTP/2 ends streams.
    private var resets: Resets?
    private let began: () -> Void
    private let refused: (String) -> Void

    // What comes in.
    /// Bytes of the preface or a payload that are to come.
    private var left: Int
    private var hasBegun = false
    /// The peer does not begin as HTTP/2 does: nothing is looked at any more.
    private var isForeign = false
    /// The beginning of a frame that has not come as a whole.
    private var held = ByteBuffer()
    private var isDelivering = false
    /// What came while something was delivered.
    private var waiting: [ByteBuffer] = []
    private var isReading = false
    private var isInactive = false
    private var lastStream: UInt32 = 0

    // What goes out.
    private var outbound: FrameFollower
    /// PINGs of HTTP/2 itself that are not answered.
    private var pings = 0
    /// Streams that the peer has cancelled, and that HTTP/2 will want to reset.
    private var cancelled: Set<UInt32> = []
    private var answers = ByteBuffer()

    private var isEnded = false
    private var dropped = 0

    /// - Parameters:
    ///   - shared: What all connections of the peer may do together; nil: this one counts alone.
    ///   - resets: How calls are cancelled here; nil: by HTTP/2.
    ///   - began: Called at the first frame.
    ///   - refused: Called with the reason when a connection is closed.
    init(
        isServer: Bool, budget: FrameBudget, shared: SharedFrameBudget? = nil, resets: Resets? = nil,
        began: @escaping () -> Void = {},
        refused: @escaping (String) -> Void = { _ in }
    ) {
        self.isServer = isServer
        self.budget = budget
        self.shared = shared
        self.resets = resets
        self.began = began
        self.refused = refused
        left = isServer ? Self.preface : 0
        outbound = FrameFollower(preface: isServer ? 0 : Self.preface)
    }

    // MARK: - In

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = unwrapInboundIn(data)
        if isEnded { return drop(bytes.readableBytes, context) }
        if isDelivering {
            waiting.append(bytes)
            return
        }
        isDelivering = true
        isReading = true
        process(bytes, context)
        while !waiting.isEmpty { process(waiting.removeFirst(), context) }
        isDelivering = false
        if isInactive { endReading(context) }
    }

    private func process(_ incoming: ByteBuffer, _ context: ChannelHandlerContext) {
        if isEnded || isInactive { return }
        if isForeign { return context.fireChannelRead(wrapInboundOut(incoming)) }
        var bytes = incoming
        if held.readableBytes > 0 {
            held.writeImmutableBuffer(incoming)
            bytes = held
            held = ByteBuffer()
        }
        let run = scan(&bytes, context)
        if isEnded { return }
        if run.readableBytes > 0 { context.fireChannelRead(wrapInboundOut(run)) }
    }

    /// Looks at the frames in some bytes. PINGs are taken out, what is before them goes on, and so does what is returned.
    private func scan(_ bytes: inout ByteBuffer, _ context: ChannelHandlerContext) -> ByteBuffer {
        /// How much of `bytes` was looked at and may go on.
        var passed = 0
        while passed < bytes.readableBytes {
            if left > 0 {
                let count = min(left, bytes.readableBytes - passed)
                passed += count
                left -= count
                continue
            }
            let available = bytes.readableBytes - passed
            guard available >= FrameHead.size else { break }
            let head = bytes.withUnsafeReadableBytes { FrameHead($0, at: passed) }
            if !hasBegun {
                hasBegun = true
                began()
                isForeign = head.kind != .settings
                if isForeign { return bytes }
            }
            let size = ownSize(head)
            if available < size { break }
            guard allows(head) else {
                end("more frames without work than are allowed", context)
                return ByteBuffer()
            }
            guard size > 0, !isAnswerToHTTP2(head) else {
                if head.kind == .headers { lastStream = max(lastStream, head.stream) }
                passed += FrameHead.size
                left = head.length
                continue
            }
            if passed > 0, let before = bytes.readSlice(length: passed) {
                context.fireChannelRead(wrapInboundOut(before))
                if isEnded || isInactive { return ByteBuffer() }
            }
            passed = 0
            if let frame = bytes.readSlice(length: size) { take(frame, head) }
            if isEnded || isInactive { return ByteBuffer() }
        }
        guard passed < bytes.readableBytes else { return bytes }
        let run = bytes.readSlice(length: passed) ?? ByteBuffer()
        // A copy: a slice would keep all that came with it.
        held = ByteBuffer(bytes: bytes.readableBytesView)
        return run
    }

    /// The size of a frame that is looked at here as a whole; 0 for all others.
    private func ownSize(_ head: FrameHead) -> Int {
        if head.kind == .ping, head.length == 8, head.stream == 0 { return Self.pingSize }
        // One of a stream that was never opened is an error, for HTTP/2 to tell of.
        let isKnown = head.stream > 0 && head.stream <= lastStream
        return head.kind == .reset && head.length == 4 && isKnown && resets != nil ? Self.resetSize : 0
    }

    private func take(_ frame: ByteBuffer, _ head: FrameHead) {
        if head.kind == .ping { return answer(frame, head) }
        guard let code = frame.getInteger(at: frame.readerIndex + FrameHead.size, as: UInt32.self) else { return }
        cancelled.insert(head.stream)
        if resets?.cancel(head.stream, code) != true { cancelled.remove(head.stream) }
    }

    /// Whether the budget lets a frame in.
    private func allows(_ head: FrameHead) -> Bool {
        if head.isWork {
            budget.earn()
            return true
        }
        if head.isPlainEnd { return true }
        if head.kind == .reset, let resets {
            return resets.isLong(head.stream) || self.resets?.budget.spendAllowance(1) == true
        }
        let cost = 1 + head.length / 64
        if budget.spendEarned(cost) { return true }
        return budget.spendAllowance(cost) && shared?.spend(cost) != false
    }

    private func isAnswerToHTTP2(_ ping: FrameHead) -> Bool {
        guard ping.kind == .ping, ping.flags & FrameHead.acknowledges != 0, pings > 0 else { return false }
        pings -= 1
        return true
    }

    private func answer(_ ping: ByteBuffer, _ head: FrameHead) {
        // An acknowledgement of a ping gets no answer.
        guard head.flags & FrameHead.acknowledges == 0 else { return }
        let start = answers.writerIndex
        answers.writeImmutableBuffer(ping)
        answers.setInteger(FrameHead.acknowledges, at: start + 4)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        isReading = false
        context.fireChannelReadComplete()
        sendAnswers(context)
    }

    func channelInactive(context: ChannelHandlerContext) {
        isInactive = true
        context.fireChannelInactive()
        if !isDelivering { endReading(context) }
    }

    /// The channel does not tell that it has read all when it closes meanwhile. HTTP/2 then keeps the streams that have read
    /// something, and they keep it, and the connection is never freed.
    private func endReading(_ context: ChannelHandlerContext) {
        guard isReading else { return }
        isReading = false
        context.fireChannelReadComplete()
    }

    // MARK: - Out

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let bytes = unwrapOutboundIn(data)
        if isResetOfCancelled(bytes) {
            promise?.succeed()
            return
        }
        bytes.withUnsafeReadableBytes { bytes in
            outbound.follow(bytes) { head in
                if head.isWork { budget.earn() }
                if head.kind == .ping, head.flags & FrameHead.acknowledges == 0 { pings += 1 }
            }
        }
        context.write(data, promise: promise)
    }

    /// The peer has ended that stream itself and wants to hear no more of it.
    private func isResetOfCancelled(_ bytes: ByteBuffer) -> Bool {
        guard !cancelled.isEmpty, bytes.readableBytes == Self.resetSize, outbound.isBetweenFrames else { return false }
        let head = bytes.withUnsafeReadableBytes { FrameHead($0, at: 0) }
        return head.kind == .reset && cancelled.remove(head.stream) != nil
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        sendAnswers(context)
        context.fireChannelWritabilityChanged()
    }

    private func sendAnswers(_ context: ChannelHandlerContext) {
        guard answers.readableBytes > 0, !isEnded, outbound.isBetweenFrames else { return }
        guard context.channel.isWritable else {
            if answers.readableBytes > Self.mostWaiting * Self.pingSize {
                end("it asks and does not read the answers", context)
            }
            return
        }
        let bytes = answers
        answers = ByteBuffer()
        context.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
    }

    // MARK: - The end

    private func end(_ reason: String, _ context: ChannelHandlerContext) {
        guard !isEnded else { return }
        isEnded = true
        held = ByteBuffer()
        answers = ByteBuffer()
        refused(reason)
        guard outbound.isBetweenFrames else { return context.close(promise: nil) }
        context.writeAndFlush(wrapOutboundOut(goAway(reason)), promise: nil)
        // Closing with unread bytes would take the frame back from the peer.
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(in: Self.lastWait) { bound.value.close(promise: nil) }
    }

    /// Source: RFC 9113, section 6.8; ENHANCE_YOUR_CALM is 11.
    private func goAway(_ reason: String) -> ByteBuffer {
        let length = 8 + reason.utf8.count
        var frame = ByteBuffer()
        frame.writeBytes([0, UInt8(length >> 8 & 0xff), UInt8(length & 0xff)])
        frame.writeBytes([FrameHead.Kind.goAway.rawValue, 0, 0, 0, 0, 0])
        frame.writeInteger(isServer ? lastStream : 0)
        frame.writeInteger(UInt32(11))
        frame.writeString(reason)
        return frame
    }

    private func drop(_ count: Int, _ context: ChannelHandlerContext) {
        dropped += count
        if dropped > Self.lastBytes { context.close(promise: nil) }
    }
}
