internal import CLinux
internal import GRPCNIOTransportHTTP2Posix
internal import Glibc
internal import Logging
internal import NIOCore
internal import NIOPosix
internal import NIOSSL
internal import SPIFFE
internal import Synchronization

/// Takes connections from a listener, puts relays and TLS before them, and hands them to the transport.
struct Acceptor: HTTP2ServerTransport.ListenerFactory {
    typealias Configurator = HTTP2ServerTransport.ConnectionConfigurator

    let listener: ServerListener
    let security: Security
    let connections: Connections
    let takesDescriptors: Bool
    let admission: Admission
    /// How long a peer may take for its handshake.
    let handshakeTimeout: Duration
    let logger: Logger
    private let state = State()

    /// More connections at once are closed as they come.
    private static let mostConnections = 4096
    /// With more unfinished handshakes than this the oldest go: those who mean it are done within milliseconds.
    static let mostHandshakes = 256

    var eventLoopGroup: any EventLoopGroup { MultiThreadedEventLoopGroup.singleton }

    /// The listener's life.
    private final class State: Sendable {
        struct Values {
            var watch: UInt64?
            /// The channel through which connections reach the transport, and the other end of its socket.
            var gate: (any Channel)?
            var gatePeer: Int32 = -1
            var channels: [UInt64: any Channel] = [:]
            /// Those whose handshake is not done, the oldest first.
            var handshakes: [UInt64] = []
            /// Connections that wait for an identity of ours.
            var waiting = 0
            var hasEnded = false
        }
        let values = Mutex(Values())
    }

    init(
        listener: ServerListener, security: Security, connections: Connections, takesDescriptors: Bool,
        admission: @escaping Admission, handshakeTimeout: Duration, logger: Logger
    ) {
        self.listener = listener
        self.security = security
        self.connections = connections
        self.takesDescriptors = takesDescriptors
        self.admission = admission
        self.handshakeTimeout = handshakeTimeout
        self.logger = logger
    }

    /// The transport reads configured connections from a channel. Ours is one end of a socket pair on which nothing is ever
    /// received: connections are fired into it.
    func makeListeningChannel(
        listenerConfigurator: HTTP2ServerTransport.ListenerConfigurator, connectionConfigurator: Configurator
    ) async throws -> NIOAsyncChannel<Configurator.ConnectionChannel, Never> {
        guard let loop = RelayLoop.shared else { throw TransportError("no descriptors or threads are left") }
        var pair: [Int32] = [-1, -1]
        let result = cl_stream_pair(&pair)
        guard result == 0 else { throw DescriptorError("a socket pair can't be made", code: -result) }
        let gate = try await ClientBootstrap(group: eventLoopGroup).withConnectedSocket(pair[0]) { channel in
            channel.eventLoop.makeCompletedFuture {
                try NIOAsyncChannel<Configurator.ConnectionChannel, Never>(wrappingChannelSynchronously: channel)
            }
        }
        let watch = loop.newID()
        state.values.withLock { values in
            values.gate = gate.channel
            values.gatePeer = pair[1]
            values.watch = watch
        }
        loop.post(
            .listen(id: watch, listener: listener.socket) { socket in
                accept(socket, loop: loop, gate: gate.channel, connectionConfigurator)
            })
        return gate
    }

    func stopAccepting() {
        let watch = state.values.withLock { values in
            defer { values.watch = nil }
            return values.watch
        }
        if let watch { RelayLoop.shared?.post(.remove(id: watch)) }
    }

    /// Ends everything.
    func end() {
        stopAccepting()
        let (channels, peer) = state.values.withLock { values in
            values.hasEnded = true
            defer {
                values.channels = [:]
                values.gatePeer = -1
                values.gate = nil
            }
            return (Array(values.channels.values) + (values.gate.map { [$0] } ?? []), values.gatePeer)
        }
        // The gate last, as the transport hands out what came before it closes.
        for channel in channels { channel.close(promise: nil) }
        if peer >= 0 { close(peer) }
    }

    // MARK: - One connection

    /// On the relay's thread: nothing here may wait.
    private func accept(_ socket: Int32, loop: RelayLoop, gate: any Channel, _ configurator: Configurator) {
        let isFull = state.values.withLock { values in
            values.hasEnded || values.channels.count >= Self.mostConnections || values.waiting >= Self.mostHandshakes
        }
        if isFull {
            close(socket)
            logger.warning("connection refused: too many", metadata: ["at": "\(listener.address.url)"])
            return
        }
        Task {
            do {
                try await setUp(socket, loop: loop, gate: gate, configurator)
            } catch {
                logger.debug("connection ended", metadata: ["at": "\(listener.address.url)", "error": "\(error)"])
            }
        }
    }

    private func setUp(
        _ socket: Int32, loop: RelayLoop, gate: any Channel, _ configurator: Configurator
    ) async throws {
        let deadline = ContinuousClock.now + handshakeTimeout
        var credentials: PeerCredentials?
        if case .unix = listener.address {
            credentials = PeerCredentials(socket: socket, isAccepted: true)
            if let refusal = admission(credentials) {
                close(socket)
                throw TransportError(refusal)
            }
        }
        var identity: Identity?
        if case .identity(let source) = security {
            state.values.withLock { $0.waiting += 1 }
            defer { state.values.withLock { $0.waiting -= 1 } }
            do {
                identity = try await withDeadline(deadline, "there is no identity yet") { try await source.identity() }
            } catch {
                close(socket)
                throw error
            }
        }
        let id = loop.newID()
        var inner = socket
        var channel: DescriptorChannel?
        let address = peerAddress(of: socket)
        if case .unix = listener.address {
            var pair: [Int32] = [-1, -1]
            let result = cl_stream_pair(&pair)
            guard result == 0 else {
                close(socket)
                throw DescriptorError("a socket pair can't be made", code: -result)
            }
            let made = DescriptorChannel(isTaking: takesDescriptors)
            channel = made
            inner = pair[0]
            loop.post(.relay(id: id, outer: socket, inner: pair[1], made))
        }
        let handshake = identity.map { Handshake($0, place: listener.address.url, logger: logger) }
        let (connection, done) = try await configure(inner, id, identity, handshake, configurator)
        let raw = connection.channel
        do {
            try await awaitHandshake(done, of: raw, until: deadline)
            state.values.withLock { values in values.handshakes.removeAll { $0 == id } }
        } catch {
            // The transport's half of the channel must outlive it: one that has closed already, as its peer hung up, lets go
            // of that half a turn of its loop later.
            raw.close(promise: nil)
            try? await raw.closeFuture.get()
            withExtendedLifetime(connection) {}
            throw error
        }
        connections.add(
            ConnectionInfo(
                id: id, descriptors: channel, credentials: credentials, address: address, peer: handshake?.peer,
                local: identity))
        raw.closeFuture.whenComplete { _ in
            connections.remove(id)
            // The transport's half of the channel must outlive it, also when the transport never looked at it.
            withExtendedLifetime(connection) {}
        }
        if state.values.withLock({ $0.hasEnded }) { return raw.close(promise: nil) }
        hand(connection, to: gate)
    }

    /// Notes a connection whose handshake begins, until it closes.
    private func note(_ channel: any Channel, _ id: UInt64) {
        let oldest = state.values.withLock { values -> (any Channel)? in
            values.channels[id] = channel
            values.handshakes.append(id)
            return values.handshakes.count > Self.mostHandshakes
                ? values.channels[values.handshakes.removeFirst()] : nil
        }
        oldest?.close(promise: nil)
        channel.closeFuture.whenComplete { _ in
            state.values.withLock { values in
                values.channels[id] = nil
                values.handshakes.removeAll { $0 == id }
            }
        }
    }

    private struct Configured: Sendable {
        let value: Configurator.ConnectionChannel
        let channel: any Channel
    }

    private func configure(
        _ socket: Int32, _ id: UInt64, _ identity: Identity?, _ handshake: Handshake?, _ configurator: Configurator
    ) async throws -> (Configured, EventLoopFuture<Void>) {
        let loop = eventLoopGroup.any()
        let done = loop.makePromise(of: Void.self)
        do {
            let configured = try await ClientBootstrap(group: loop).withConnectedSocket(socket) { channel in
                note(channel, id)
                return channel.eventLoop.makeCompletedFuture {
                    let sync = channel.pipeline.syncOperations
                    try sync.addHandler(ConnectionMark(id))
                    guard let identity, let handshake else { return done.succeed() }
                    let context = try TLSContexts.context(identity, isServer: true)
                    try sync.addHandler(
                        NIOSSLServerHandler(
                            context: context, customVerificationCallback: { handshake.verify($0, $1) }))
                    try sync.addHandler(HandshakeWatch(done))
                }.flatMap {
                    configurator.configure(
                        channel: channel, tls: identity == nil ? .none : .configured(requireALPN: true))
                }.map { Configured(value: $0, channel: channel) }
            }
            return (configured, done.futureResult)
        } catch {
            done.fail(error)
            throw error
        }
    }

    private func hand(_ connection: Configured, to gate: any Channel) {
        gate.eventLoop.execute {
            guard gate.isActive else { return connection.channel.close(promise: nil) }
            gate.pipeline.syncOperations.fireChannelRead(NIOAny(connection.value))
            // Without it the connection waits in the channel until the next one comes.
            gate.pipeline.syncOperations.fireChannelReadComplete()
        }
    }
}
