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
    /// Certificates of the operator, in place of identities.
    let certificates: CertificateFiles?
    let peers: PeerTable
    let takesDescriptors: Bool
    let admission: Admission
    /// How long a peer may take for its handshake.
    let handshakeTimeout: Duration
    let logger: Logger
    /// Called for each connection, for tests.
    let observer: (@Sendable (any Channel) -> Void)?
    let eventLoopGroup: any EventLoopGroup
    private let loop: RelayLoop
    private let state = State()

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
            var hasEnded = false
        }
        let values = Mutex(Values())
    }

    /// - Throws: ``TransportError`` when the process has no descriptors or threads left.
    init(
        listener: ServerListener, security: Security, certificates: CertificateFiles? = nil, peers: PeerTable,
        takesDescriptors: Bool,
        admission: @escaping Admission, handshakeTimeout: Duration, logger: Logger,
        observer: (@Sendable (any Channel) -> Void)? = nil
    ) throws(TransportError) {
        self.listener = listener
        self.security = security
        self.certificates = certificates
        self.peers = peers
        self.takesDescriptors = takesDescriptors
        self.admission = admission
        self.handshakeTimeout = handshakeTimeout
        self.logger = logger
        self.observer = observer
        eventLoopGroup = try EventLoops.shared()
        loop = try RelayLoop.shared()
    }

    /// The transport reads configured connections from a channel. Ours is one end of a socket pair on which nothing is ever
    /// received: connections are fired into it.
    func makeListeningChannel(
        listenerConfigurator: HTTP2ServerTransport.ListenerConfigurator, connectionConfigurator: Configurator
    ) async throws -> NIOAsyncChannel<Configurator.ConnectionChannel, Never> {
        let pair = try Self.socketPair()
        let gate: NIOAsyncChannel<Configurator.ConnectionChannel, Never>
        do {
            gate = try await ClientBootstrap(group: eventLoopGroup).withConnectedSocket(pair.0) { channel in
                channel.eventLoop.makeCompletedFuture { try NIOAsyncChannel(wrappingChannelSynchronously: channel) }
            }
        } catch {
            close(pair.1)
            throw error
        }
        let watch = loop.newID()
        state.values.withLock { values in
            values.gate = gate.channel
            values.gatePeer = pair.1
            values.watch = watch
        }
        do {
            try loop.listen(id: watch, listener) { socket in
                accept(socket, gate: gate.channel, connectionConfigurator)
            }
        } catch {
            end()
            throw error
        }
        if state.values.withLock({ $0.hasEnded }) { end() }
        return gate
    }

    func stopAccepting() {
        let watch = state.values.withLock { values in
            defer { values.watch = nil }
            return values.watch
        }
        if let watch { loop.post(.remove(id: watch)) }
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

    private static func socketPair() throws -> (Int32, Int32) {
        var pair: [Int32] = [-1, -1]
        let result = cl_stream_pair(&pair)
        guard result == 0 else { throw DescriptorError("a socket pair can't be made", code: -result) }
        return (pair[0], pair[1])
    }

    // MARK: - One connection

    private var isUnix: Bool {
        switch listener.address {
        case .unix: true
        case .tcp: false
        }
    }

    /// A connection that has just come.
    private struct Arrival: Sendable {
        let socket: Int32
        let credentials: PeerCredentials?
        let address: String?
        let user: UInt32?
        let load: ConnectionLoad
    }

    /// On the relay's thread: nothing here may wait.
    private func accept(_ socket: Int32, gate: any Channel, _ configurator: Configurator) {
        let credentials = isUnix ? PeerCredentials(socket: socket, isAccepted: true) : nil
        let address = isUnix ? nil : peerAddress(of: socket)
        let account = peers.account(PeerKey(credentials, address))
        if let reason = account.addConnection() {
            close(socket)
            peers.report(account.key, reason)
            return
        }
        let load = ConnectionLoad(id: loop.newID(), account)
        if state.values.withLock({ $0.hasEnded }) {
            close(socket)
            return load.end()
        }
        let user = isUnix ? nil : peerUser(of: socket)
        let arrival = Arrival(socket: socket, credentials: credentials, address: address, user: user, load: load)
        Task {
            do {
                try await setUp(arrival, gate: gate, configurator)
            } catch {
                load.end()
                logger.debug("connection ended", metadata: ["at": "\(listener.address.url)", "error": "\(error)"])
            }
        }
    }

    private func setUp(_ arrival: Arrival, gate: any Channel, _ configurator: Configurator) async throws {
        let deadline = ContinuousClock.now + handshakeTimeout
        let load = arrival.load
        var identity: Identity?
        do {
            if isUnix, let refusal = admission(arrival.credentials) {
                load.report(refusal)
                throw TransportError(refusal)
            }
            if case .identity(let source) = security {
                identity = try await withDeadline(deadline, "there is no identity yet") { try await source.identity() }
            }
        } catch {
            close(arrival.socket)
            throw error
        }
        let (inner, descriptors) = try relayed(arrival)
        let handshake = identity.map { identity in
            Handshake(identity) { load.report($0) }
        }
        let (connection, done) = try await configure(inner, load, identity, handshake, configurator)
        let raw = connection.channel
        do {
            try await awaitHandshake(done, of: raw, until: deadline)
            state.values.withLock { values in values.handshakes.removeAll { $0 == load.id } }
        } catch {
            // The transport's half must outlive the channel: a channel that has already closed, as its peer hung up,
            // releases that half one turn of its event loop later.
            raw.close(promise: nil)
            try? await raw.closeFuture.get()
            withExtendedLifetime(connection) {}
            throw error
        }
        load.endHandshake()
        load.info = ConnectionInfo(
            id: load.id, descriptors: descriptors, credentials: arrival.credentials, address: arrival.address,
            user: arrival.user, peer: handshake?.peer, local: identity)
        raw.closeFuture.whenComplete { _ in
            load.end()
            // The transport's half of the channel must outlive it, also when the transport never looked at it.
            withExtendedLifetime(connection) {}
        }
        if state.values.withLock({ $0.hasEnded }) { return raw.close(promise: nil) }
        hand(connection, to: gate)
    }

    /// The socket for the transport: over a Unix socket the end of a relay, else the connection itself.
    private func relayed(_ arrival: Arrival) throws -> (Int32, DescriptorChannel?) {
        guard isUnix else { return (arrival.socket, nil) }
        let pair: (Int32, Int32)
        do {
            pair = try Self.socketPair()
        } catch {
            close(arrival.socket)
            throw error
        }
        let descriptors = DescriptorChannel(isTaking: takesDescriptors, account: arrival.load.account)
        loop.post(.relay(id: arrival.load.id, outer: arrival.socket, inner: pair.1, descriptors))
        return (pair.0, descriptors)
    }

    /// Notes a connection whose handshake begins, until it closes.
    private func note(_ channel: any Channel, _ id: UInt64) {
        let oldest = state.values.withLock { values -> (any Channel)? in
            values.channels[id] = channel
            values.handshakes.append(id)
            return values.handshakes.count > peers.limits.allHandshakes
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
        _ socket: Int32, _ load: ConnectionLoad, _ identity: Identity?, _ handshake: Handshake?,
        _ configurator: Configurator
    ) async throws -> (Configured, EventLoopFuture<Void>) {
        let loop = eventLoopGroup.any()
        let done = loop.makePromise(of: Void.self)
        let hasChannel = Atomic(false)
        do {
            let configured = try await ClientBootstrap(group: loop).withConnectedSocket(socket) { channel in
                hasChannel.store(true, ordering: .relaxed)
                note(channel, load.id)
                observer?(channel)
                return channel.eventLoop.makeCompletedFuture {
                    try addHandlers(channel, load, identity, handshake, done)
                }.flatMap {
                    configurator.configure(
                        channel: channel,
                        tls: identity == nil && certificates == nil ? .none : .configured(requireALPN: true))
                }.map { Configured(value: $0, channel: channel) }
            }
            return (configured, done.futureResult)
        } catch {
            done.fail(error)
            // Without a channel the socket has no owner.
            if !hasChannel.load(ordering: .relaxed) { close(socket) }
            throw error
        }
    }

    private func addHandlers(
        _ channel: any Channel, _ load: ConnectionLoad, _ identity: Identity?, _ handshake: Handshake?,
        _ done: EventLoopPromise<Void>
    ) throws {
        let sync = channel.pipeline.syncOperations
        // Time for the handshake, and as much again for the first word after it.
        let life = ConnectionLife(load, patience: handshakeTimeout * 2, idleTime: peers.limits.idleTime)
        try sync.addHandler(life)
        if let identity, let handshake {
            let context = try TLSContexts.context(identity, isServer: true)
            try sync.addHandler(
                NIOSSLServerHandler(context: context, customVerificationCallback: { handshake.verify($0, $1) }))
            try sync.addHandler(HandshakeWatch(done))
        } else if let certificates {
            try sync.addHandler(NIOSSLServerHandler(context: certificates.context()))
            try sync.addHandler(HandshakeWatch(done))
        } else {
            done.succeed()
        }
        let limits = peers.limits
        let short = TimeAmount(limits.shortCall)
        let resets = FrameGuard.Resets(
            budget: FrameBudget(burst: limits.cancels, rate: limits.cancelRate),
            isLong: { life.isOpen($0, longerThan: short) }, cancel: { life.cancel($0, $1) })
        try sync.addHandler(
            FrameGuard(
                isServer: true, budget: FrameBudget(burst: limits.frames, rate: limits.frameRate),
                shared: load.account.frames, resets: resets, began: { load.begin() }, refused: { load.report($0) }))
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
