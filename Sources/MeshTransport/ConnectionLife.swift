internal import NIOCore

/// Stands before all others in a connection of a server: knows what the connection uses, and ends one that is used for nothing.
final class ConnectionLife: ChannelInboundHandler {
    typealias InboundIn = NIOAny

    let load: ConnectionLoad
    /// How long the peer may take until its first word of HTTP/2.
    private let patience: TimeAmount
    private let idleTime: Duration?
    private var timer: Scheduled<Void>?
    private var isQuiescing = false
    private let start = NIODeadline.now()
    /// What stands before the handlers of the open calls, by their streams.
    private var calls: [UInt32: CallGuard] = [:]

    /// How long a peer may take to close an idle connection.
    private static let farewell = TimeAmount.seconds(30)

    init(_ load: ConnectionLoad, patience: Duration, idleTime: Duration?) {
        self.load = load
        self.patience = TimeAmount(patience)
        self.idleTime = idleTime
    }

    func handlerAdded(context: ChannelHandlerContext) {
        schedule(min(patience, idleTime.map { TimeAmount($0) } ?? patience), context)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        stop()
        calls = [:]
    }

    func channelInactive(context: ChannelHandlerContext) {
        stop()
        context.fireChannelInactive()
    }

    func add(_ call: CallGuard, _ stream: UInt32) { calls[stream] = call }
    func remove(_ stream: UInt32) { calls[stream] = nil }

    /// Whether a call has been open for longer than a time; false when there is none.
    func isOpen(_ stream: UInt32, longerThan time: TimeAmount) -> Bool {
        calls[stream].map { .now() - $0.start >= time } ?? false
    }

    /// The peer has cancelled a call; false when there is none.
    func cancel(_ stream: UInt32, _ code: UInt32) -> Bool {
        guard let call = calls[stream] else { return false }
        call.cancel(code)
        return true
    }

    private func stop() {
        timer?.cancel()
        timer = nil
    }

    private func schedule(_ time: TimeAmount, _ context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        timer = context.eventLoop.scheduleTask(in: time) {
            let (life, context) = bound.value
            life.look(context)
        }
    }

    private func look(_ context: ChannelHandlerContext) {
        guard load.hasBegun else {
            let left = patience - (.now() - start)
            if left > .zero { return schedule(left, context) }
            load.report("it says nothing")
            return context.close(promise: nil)
        }
        guard let idleTime else { return }
        let idle = load.idleTime
        if isQuiescing {
            // Calls that are still open end it when they end.
            if idle > .zero { context.close(promise: nil) }
            return
        }
        guard idle >= idleTime else { return schedule(TimeAmount(idleTime - idle), context) }
        isQuiescing = true
        // HTTP/2 asks the peer to begin nothing more, and ends the connection when it has answered.
        context.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
        schedule(Self.farewell, context)
    }
}
