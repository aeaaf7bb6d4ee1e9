internal import NIOCore
internal import NIOHTTPTypes

/// Ends connections whose clients take too long: for a header, for a body, or for reading what they asked for.
final class HTTPClock: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    private let limits: RESTSettings.Limits
    private var alarm: Scheduled<Void>?
    /// Requests of which the header has come. A client may send the next ones before it is answered.
    private var begun = 0
    /// Requests that have come completely.
    private var ended = 0
    /// Requests whose answers have been made.
    private var answered = 0
    /// Parts of answers that are on their way.
    private var unwritten = 0
    /// Whether an answer was made before its request had ended.
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
            begun += 1
            if begun == answered + 1 { expect(context) }
        case .body: break
        case .end:
            ended += 1
            if ended == answered + 1 { expect(context) }
        }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        if begun > answered, ended <= answered { isEarly = true }
        let isEnd = if case .end = unwrapOutboundIn(data) { true } else { false }
        if isEnd { answered += 1 }
        // Only what is written is progress, not what is to be written.
        if unwritten == 0 { wait(context, limits.writeTime) }
        unwritten += 1
        let written = promise ?? context.eventLoop.makePromise()
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        written.futureResult.whenComplete { _ in
            let (clock, context) = bound.value
            clock.wrote(context, isEnd: isEnd)
        }
        context.write(data, promise: written)
    }

    private func wrote(_ context: ChannelHandlerContext, isEnd: Bool) {
        unwritten -= 1
        guard context.channel.isActive else { return }
        if isEarly, isEnd {
            // Nothing reads the rest of the request. The client gets time to read the answer.
            context.close(mode: .output, promise: nil)
            return wait(context, .seconds(1))
        }
        if unwritten > 0 { wait(context, limits.writeTime) } else { expect(context) }
    }

    /// Gives the client time for what is missing of its next request. Until it has read what was written, that counts.
    private func expect(_ context: ChannelHandlerContext) {
        guard unwritten == 0, !isEarly else { return }
        if begun <= answered {
            wait(context, limits.idleTime)
        } else if ended <= answered {
            wait(context, limits.bodyTime)
        } else {
            // It is our turn.
            alarm?.cancel()
        }
    }

    private func wait(_ context: ChannelHandlerContext, _ time: Duration) {
        alarm?.cancel()
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        alarm = context.eventLoop.scheduleTask(in: TimeAmount(time)) { bound.value.close(promise: nil) }
    }
}
