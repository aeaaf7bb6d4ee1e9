internal import Concurrency
internal import CLinux
package import GRPCCore
package import GRPCNIOTransportHTTP2Posix
internal import Glibc
package import Logging
internal import NIOCore
internal import NIOPosix
internal import NIOSSL
internal import SPIFFE
internal import Synchronization

/// One transport connection to a peer, for any number of calls. It does not come back by itself.
package final class ClientConnection: Sendable {
    /// Who is at the other end, and the descriptors beside the bytes.
    package let info: ConnectionInfo
    /// Makes the calls.
    package let client: GRPCClient<HTTP2ClientTransport.WrappedChannel>

    private let channel: any Channel
    private let ending = Latch()
    private let openCalls = OpenCalls()
    /// How long a call may take to learn that its connection has ended.
    private static let notice = Duration.seconds(1)

    private init(_ info: ConnectionInfo, _ transport: HTTP2ClientTransport.WrappedChannel, _ channel: any Channel) {
        self.info = info
        self.channel = channel
        client = GRPCClient(transport: transport)
        // The transport's half must outlive the channel, also when it never ran.
        channel.closeFuture.whenComplete { [openCalls] _ in
            withExtendedLifetime(transport) { openCalls.end(after: Self.notice) }
        }
    }

    deinit { channel.close(promise: nil) }

    /// Connects, and shakes hands.
    ///
    /// - Parameters:
    ///   - trust: How a server is recognised that has no identity of SPIFFE's; nil: it is not.
    ///   - timeout: How long both may take together, and the wait for an identity of our own.
    ///   - takesDescriptors: Whether the caller will ask for descriptors that the peer sends. Otherwise they are closed as they
    ///     arrive.
    ///   - admission: Decides about the listener's process before a byte is sent; admits every one by default.
    /// - Throws: ``TransportError`` with the reason, also the one for which the peer was refused.
    package static func connect(
        to address: SocketAddress, security: Security, trust: ServerTrust? = nil, timeout: Duration,
        takesDescriptors: Bool = true, admission: @escaping Admission = { _ in nil }, logger: Logger
    ) async throws(TransportError) -> ClientConnection {
        if case .tcp(_, let port) = address, UInt16(exactly: port) == nil {
            throw TransportError("\(address.url): a port from 0 to 65535 is needed, not \(port)")
        }
        let deadline = ContinuousClock.now + timeout
        var identity: Identity?
        if case .identity(let source) = security {
            do {
                identity = try await withDeadline(deadline, "there is no identity yet") { try await source.identity() }
            } catch {
                throw TransportError("\(address.url): \(error)")
            }
        }
        let handshake = identity.map { identity in
            Handshake(identity) {
                logger.warning("peer refused", metadata: ["at": "\(address.url)", "error": "\($0)"])
            }
        }
        do {
            let channel = DescriptorChannel(isTaking: takesDescriptors)
            return try await connect(address, channel, identity, handshake, trust, admission, deadline)
        } catch {
            let refusal = handshake?.refusal.map { "the peer is refused: \($0)" }
            let reason = refusal ?? trust?.refusal ?? trust?.explanation(error) ?? "\(error)"
            throw TransportError("\(address.url): \(reason)")
        }
    }

    private static func connect(
        _ address: SocketAddress, _ descriptors: DescriptorChannel, _ identity: Identity?, _ handshake: Handshake?,
        _ trust: ServerTrust?, _ admission: Admission, _ deadline: ContinuousClock.Instant
    ) async throws -> ClientConnection {
        let loop = try RelayLoop.shared()
        let group = try EventLoops.shared()
        let id = loop.newID()
        let socket = try await UnixConnection(
            address, descriptors, id: id, loop: loop, admission: admission, deadline: deadline)
        let done = group.any().makePromise(of: Void.self)
        let made = Mutex<(any Channel)?>(nil)
        let transport: HTTP2ClientTransport.WrappedChannel
        do {
            transport = try await .wrapping(config: .defaults { $0.http2.authority = "localhost" }) { configure in
                let bootstrap = ClientBootstrap(group: group)
                let setUp:
                    @Sendable (any Channel) -> EventLoopFuture<HTTP2ClientTransport.WrappedChannel.ConfiguredChannel> =
                        {
                            channel in
                            made.withLock { $0 = channel }
                            return channel.eventLoop.makeCompletedFuture {
                                try addHandlers(channel, identity, handshake, trust, done)
                            }.flatMap { configure(channel) }
                        }
                switch (address, socket) {
                case (.tcp(let host, let port), _):
                    let left = TimeAmount(deadline - .now)
                    return try await bootstrap.connectTimeout(left).keepingAlive().connect(
                        host: host, port: port, channelInitializer: setUp)
                case (.unix, let socket?):
                    return try await bootstrap.withConnectedSocket(socket.inner, channelInitializer: setUp)
                case (.unix, nil):
                    throw TransportError("there is no socket")
                }
            }
        } catch {
            done.fail(error)
            // Without a channel the socket has no owner.
            if let socket, made.withLock({ $0 == nil }) { Glibc.close(socket.inner) }
            throw error
        }
        guard let channel = made.withLock({ $0 }) else { throw TransportError("there is no channel") }
        do {
            try await awaitHandshake(done.futureResult, of: channel, until: deadline)
        } catch {
            // The transport's half must outlive the channel: a channel that has already closed, as its peer hung up,
            // releases that half one turn of its event loop later.
            channel.close(promise: nil)
            try? await channel.closeFuture.get()
            withExtendedLifetime(transport) {}
            throw error
        }
        let info = ConnectionInfo(
            id: id, descriptors: socket?.channel, credentials: socket?.credentials,
            address: socket == nil ? channel.remoteAddress?.ipAddress : nil, user: nil, peer: handshake?.peer,
            local: identity)
        return ClientConnection(info, transport, channel)
    }

    private static func addHandlers(
        _ channel: any Channel, _ identity: Identity?, _ handshake: Handshake?, _ trust: ServerTrust?,
        _ done: EventLoopPromise<Void>
    ) throws {
        let sync = channel.pipeline.syncOperations
        if let identity, let handshake {
            let context = try TLSContexts.context(identity, isServer: false)
            try sync.addHandler(
                NIOSSLClientHandler(
                    context: context, serverHostname: nil,
                    customVerificationCallback: { handshake.verify($0, $1) }))
            try sync.addHandler(HandshakeWatch(done))
        } else if let trust {
            try sync.addHandler(NIOSSLClientHandler(context: trust.context, serverHostname: trust.name))
            try sync.addHandler(AlertWatch(trust))
            try sync.addHandler(HandshakeWatch(done))
        } else {
            done.succeed()
        }
        let limits = TransportLimits()
        try sync.addHandler(
            FrameGuard(isServer: false, budget: FrameBudget(burst: limits.frames, rate: limits.frameRate)))
    }

    /// Serves the connection until it ends.
    package func run() async {
        // It ends with an error when the peer is gone; what was open then tells its own callers.
        try? await client.runConnections()
        try? await channel.close()
    }

    /// Runs a call, and gives it up when the connection has ended: the transport never answers one that begins in the moment
    /// in which its channel closes, and neither its time limit nor a cancellation end it then.
    ///
    /// - Throws: what `body` throws; ``TransportError`` when it was given up.
    package func whileOpen<Result: Sendable>(
        _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        // The first of several ends counts.
        let outcome = Promise<Swift.Result<Result, any Error>>()
        let call = Task {
            do {
                outcome.keep(.success(try await body()))
            } catch {
                outcome.keep(.failure(error))
            }
        }
        let number = openCalls.add { outcome.keep(.failure(TransportError("the connection has ended"))) }
        defer { openCalls.remove(number) }
        return try await withTaskCancellationHandler {
            try await outcome.value().get()
        } onCancel: {
            call.cancel()
        }
    }

    /// Ends it when the open calls are done.
    package func close() {
        ending.open()
        client.beginGracefulShutdown()
    }

    /// Returns when ``close()`` was called, so that long calls move to another connection; or when the task is cancelled.
    package func isToEnd() async { await ending.wait() }

    /// Drops it, and the open calls with it.
    package func closeNow() {
        client.beginGracefulShutdown()
        channel.close(promise: nil)
    }

    /// Whether it has ended.
    package var isClosed: Bool { !channel.isActive }
}

extension ClientBootstrap {
    /// A peer whose host went away is noticed within a minute. Source: TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT, tcp(7), as
    /// linux/tcp.h numbers them.
    fileprivate func keepingAlive() -> Self {
        func option(_ name: CInt) -> ChannelOptions.Types.SocketOption {
            ChannelOptions.Types.SocketOption(level: .tcp, name: NIOBSDSocket.Option(rawValue: name))
        }
        return channelOption(.socketOption(.so_keepalive), value: 1)
            .channelOption(option(4), value: Int(CL_KEEPALIVE_IDLE))
            .channelOption(option(5), value: Int(CL_KEEPALIVE_INTERVAL))
            .channelOption(option(6), value: Int(CL_KEEPALIVE_COUNT))
    }
}

/// A connected Unix socket behind a relay.
private struct UnixConnection {
    /// The end that the transport takes over.
    let inner: Int32
    let channel: DescriptorChannel
    let credentials: PeerCredentials?

    /// Nil for TCP.
    init?(
        _ address: SocketAddress, _ descriptors: DescriptorChannel, id: UInt64, loop: RelayLoop,
        admission: Admission, deadline: ContinuousClock.Instant
    ) async throws {
        guard case .unix(let path) = address else { return nil }
        let socket = try await Self.connect(path, deadline)
        credentials = PeerCredentials(socket: socket, isAccepted: false)
        if let refusal = admission(credentials) {
            Glibc.close(socket)
            throw TransportError(refusal)
        }
        var pair: [Int32] = [-1, -1]
        let result = cl_stream_pair(&pair)
        guard result == 0 else {
            Glibc.close(socket)
            throw DescriptorError("a socket pair can't be made", code: -result)
        }
        channel = descriptors
        inner = pair[0]
        loop.post(.relay(id: id, outer: socket, inner: pair[1], channel))
    }

    private static func connect(_ path: String, _ deadline: ContinuousClock.Instant) async throws -> Int32 {
        while true {
            let result: Int32
            if path.hasPrefix("@") {
                result = cl_abstract_connect(String(path.dropFirst()))
            } else {
                let (short, kept) = try shortened(path)
                result = withExtendedLifetime(kept) { cl_unix_connect(short) }
            }
            if result >= 0 { return result }
            guard result == -EAGAIN, ContinuousClock.now < deadline else {
                let hint =
                    switch -result {
                    case ENOENT: "; nobody has made the socket yet"
                    case ECONNREFUSED: "; nobody listens there any more"
                    case EACCES: "; this user may not connect"
                    case EAGAIN: "; the listener does not take connections"
                    default: ""
                    }
                throw TransportError("\(String(cString: strerror(-result)))\(hint)")
            }
            try await Task.sleep(for: .milliseconds(5))
        }
    }
}
