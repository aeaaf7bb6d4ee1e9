internal import Glibc
internal import HTTPTypes
internal import HummingbirdCore
internal import Logging
internal import MeshTransport
internal import NIOCore
internal import NIOPosix
internal import NIOSSL
internal import Synchronization

/// Who is at the other end of a connection.
struct HTTPPeer: Sendable {
    /// Whether it is a Unix socket, which only root can open.
    let isUnix: Bool
    /// Its user, as the kernel tells; nil: from another host or namespace.
    let user: UInt32?
    /// Its address; nil on Unix sockets.
    let address: String?
    /// Whether it showed a certificate that the operator's authorities have signed.
    let hasCertificate: Bool
    /// Whether nobody else reads along.
    var isEncrypted = false

    /// Whose limits count for it.
    var group: ConnectionCount.Group { .init(user: user, address: address) }

    /// For people.
    var name: String { [address, user.map { "user \($0)" }].compactMap(\.self).joined(separator: " ") }
}

/// Serves HTTP on a listener.
final class HTTPServer: Sendable {
    typealias Respond = @Sendable (Request, HTTPPeer) async -> Response

    private struct State {
        var channels: [UInt64: any Channel] = [:]
        var count: ConnectionCount
        /// When it was last reported that there are too many.
        var complaint: ContinuousClock.Instant?
        var next: UInt64 = 0
        var hasStopped = false
    }

    private let listener: ServerListener
    private let source: ConnectionSource
    private let tls: CertificateFiles?
    private let limits: RESTSettings.Limits
    private let respond: Respond
    private let logger: Logger
    private let state: Mutex<State>
    private let arrivals: AsyncStream<Arrival>
    private let arrived: AsyncStream<Arrival>.Continuation

    private struct Arrival: Sendable {
        let id: UInt64
        let connection: ConnectionSource.Connection
        let group: ConnectionCount.Group
    }

    init(
        _ listener: ServerListener, tls: CertificateFiles?, limits: RESTSettings.Limits, logger: Logger,
        respond: @escaping Respond
    ) {
        self.listener = listener
        self.tls = tls
        self.limits = limits
        self.logger = logger
        self.respond = respond
        state = Mutex(State(count: ConnectionCount(limits)))
        source = ConnectionSource(listener)
        (arrivals, arrived) = AsyncStream.makeStream(bufferingPolicy: .unbounded)
    }

    /// Serves until ``stop(within:)`` is called or the task is cancelled.
    ///
    /// - Throws: ``TransportError`` when it can't.
    func run() async throws {
        let group = try EventLoops.shared()
        try source.start { self.take($0) }
        if state.withLock({ $0.hasStopped }) { source.stop() }
        await withTaskCancellationHandler {
            await withDiscardingTaskGroup { tasks in
                for await arrival in arrivals {
                    tasks.addTask { await self.serve(arrival, on: group) }
                }
            }
        } onCancel: {
            stop(within: .zero)
        }
    }

    /// Takes no more connections, lets answers be finished for some time, and drops the rest.
    func stop(within grace: Duration) {
        let channels = state.withLock { state in
            state.hasStopped = true
            return Array(state.channels.values)
        }
        source.stop()
        arrived.finish()
        for channel in channels { channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent()) }
        Task {
            try? await Task.sleep(for: grace)
            for channel in state.withLock({ Array($0.channels.values) }) { channel.close(promise: nil) }
        }
    }

    // MARK: - Connections

    /// On the thread of all listeners: nothing here may wait.
    private func take(_ connection: ConnectionSource.Connection) {
        if case .unix = listener.address, let refusal = ControlSocket.refusal(connection.credentials) {
            logger.debug("refused", metadata: ["reason": "\(refusal)"])
            close(connection.socket)
            return
        }
        limits.giveUpUnread(connection.socket)
        let group = ConnectionCount.Group(
            user: connection.credentials?.uid ?? connection.user, address: connection.address)
        let id = state.withLock { state -> UInt64? in
            guard !state.hasStopped, state.count.begin(group) else { return nil }
            state.next += 1
            return state.next
        }
        guard let id else {
            close(connection.socket)
            complain(connection)
            return
        }
        let result = arrived.yield(Arrival(id: id, connection: connection, group: group))
        if case .terminated = result {
            close(connection.socket)
            end(id, group)
        }
    }

    /// Reports a connection that was refused, once a minute.
    private func complain(_ connection: ConnectionSource.Connection) {
        let isDue = state.withLock { state in
            let now = ContinuousClock.now
            if state.hasStopped { return false }
            if let last = state.complaint, now - last < .seconds(60) { return false }
            state.complaint = now
            return true
        }
        guard isDue else { return }
        let user = connection.credentials?.uid ?? connection.user
        logger.warning(
            "too many connections: more are refused",
            metadata: [
                "at": "\(listener.address.url)", "peer": "\(connection.address ?? "")",
                "user": "\(user.map(String.init) ?? "")",
            ])
    }

    private func end(_ id: UInt64, _ group: ConnectionCount.Group) {
        state.withLock { state in
            state.channels[id] = nil
            state.count.end(group)
        }
    }

    private func serve(_ arrival: Arrival, on group: MultiThreadedEventLoopGroup) async {
        let connection = arrival.connection
        defer { end(arrival.id, arrival.group) }
        let context = tls?.context()
        let isUnix = connection.credentials != nil
        let peer = HTTPPeer(
            isUnix: isUnix, user: connection.credentials?.uid ?? connection.user, address: connection.address,
            hasCertificate: tls?.asksClients ?? false, isEncrypted: tls != nil)
        let http = HTTP1Channel(
            responder: { [respond] request, writer, _ in
                let response = await respond(request, peer)
                try await writer.write(response: response.head, body: response.body)
            },
            configuration: .init(
                additionalChannelHandlers: [HTTPClock(self.limits)],
                httpDecoderConfiguration: .init(
                    maxHeaderFieldSize: limits.header, maxHeaderListSize: limits.header, maxHeaderFieldCount: 100)))
        let hasChannel = Atomic(false)
        do {
            let value = try await ClientBootstrap(group: group).channelOption(.allowRemoteHalfClosure, value: true)
                .withConnectedSocket(connection.socket) { [logger] channel in
                    hasChannel.store(true, ordering: .relaxed)
                    return Self.setUp(channel, context, http, logger)
                }
            let hasStopped = state.withLock { state in
                state.channels[arrival.id] = value.channel
                return state.hasStopped
            }
            if hasStopped { value.channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent()) }
            await http.handle(value: value, logger: logger)
        } catch {
            // Without a channel the socket has no owner.
            if !hasChannel.load(ordering: .relaxed) { close(connection.socket) }
            logger.debug("connection ended", metadata: ["at": "\(listener.address.url)", "error": "\(error)"])
        }
    }

    private static func setUp(
        _ channel: any Channel, _ context: NIOSSLContext?, _ http: HTTP1Channel, _ logger: Logger
    ) -> EventLoopFuture<HTTP1Channel.Value> {
        if let context {
            do {
                try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context))
            } catch {
                return channel.eventLoop.makeFailedFuture(error)
            }
        }
        return http.setup(channel: channel, logger: logger)
    }
}

extension RESTSettings.Limits {
    /// Lets the kernel end a TCP connection whose client reads nothing for some time. What it holds for a client can be megabytes,
    /// which are written as far as we can see. Source: `TCP_USER_TIMEOUT`, tcp(7).
    fileprivate func giveUpUnread(_ socket: Int32) {
        var milliseconds = UInt32(clamping: writeTime.components.seconds * 1000)
        // Unix sockets have no such option, and their buffers are small.
        _ = setsockopt(
            socket, Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, &milliseconds, socklen_t(MemoryLayout<UInt32>.size))
    }
}
