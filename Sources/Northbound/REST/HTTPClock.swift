internal import NIOCore
internal import NIOHTTPTypes

/// Ends connections whose clients take too long: for a header, for a body, or for reading what they asked for.
final class HTTPClock: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    private enum Phase {
        /// For the header of a request.
        case header
        /// For its body.
        case body
        /// The answer is being made.
        case answer
        /// The answer is on its way.
        case writing
    }

    private let limits: RESTSettings.Limits
    private var phase = Phase.header
    private var alarm: Scheduled<Void>?
    /// Whether the answer has ended before the request has.
    private var isEarly = false

    init(_ limits: RESTSettings.Limits) { self.limits = limits }

    func handlerAdded(context: ChannelHandlerContext) { wait(context, limits.headerTime) }

    func handlerRemoved(context: ChannelHandlerContext) { alarm?.cancel() }

    func channelInactive(context: ChannelHandlerContext) {
        alarm?.cancel()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head:
            phase = .body
            wait(context, limits.bodyTime)
        case .body: break
        case .end:
            if phase == .body {
                phase = .answer
                alarm?.cancel()
            }
        }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let part = unwrapOutboundIn(data)
        if phase == .body { isEarly = true }
        if !isEarly { phase = .writing }
        let written = promise ?? context.eventLoop.makePromise()
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        wait(context, limits.writeTime)
        let isEnd = if case .end = part { true } else { false }
        written.futureResult.whenSuccess {
            let (clock, context) = bound.value
            clock.wrote(context, isEnd: isEnd)
        }
        context.write(data, promise: written)
    }

    private func wrote(_ context: ChannelHandlerContext, isEnd: Bool) {
        guard context.channel.isActive else { return }
        guard isEnd else { return wait(context, limits.writeTime) }
        if isEarly {
            // What is left of the request is nobody's any more. The client gets time to read the answer.
            phase = .header
            context.close(mode: .output, promise: nil)
            return wait(context, .seconds(1))
        }
        // The next request may have come meanwhile.
        if phase == .writing {
            phase = .header
            wait(context, limits.idleTime)
        }
    }

    private func wait(_ context: ChannelHandlerContext, _ time: Duration) {
        alarm?.cancel()
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        alarm = context.eventLoop.scheduleTask(in: TimeAmount(time)) { bound.value.close(promise: nil) }
    }
}
