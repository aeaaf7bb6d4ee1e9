internal import Concurrency
internal import Glibc
internal import NIOCore
internal import NIOPosix
internal import NetworkTypes
internal import Synchronization

/// Asks servers, each question from a socket of its own, so that its port is as hard to guess as its id; and so are the letters
/// of its name, each of which is small or capital.
struct UpstreamExchange: Sendable {
    /// Why there is no reply.
    enum Failure: Error {
        /// None came in time.
        case silent
        /// The network, or the server's host, says that there is no server.
        case unreachable
        /// It was not asked: too many wait for it, nobody needs its answer any more, or there was no socket.
        case unasked
        /// Nobody needs its answer any more, after it had this time.
        case cut(after: Duration)
        /// The name in the reply has other letters than in the question, small for capital: the server does not keep them, or
        /// somebody made the reply up.
        case otherLetters
    }

    /// The times that are waited for a datagram, one try after the other.
    static let patience: [Duration] = [.milliseconds(1200), .milliseconds(2000)]
    /// The time for a stream as a whole.
    static let streamPatience = Duration.seconds(3)
    /// So many wrong replies don't come by accident.
    private static let mostWrong = 64

    /// Where its sockets are served.
    let group: any EventLoopGroup
    private let port: UInt16
    private let waits: [Duration]
    /// Sockets at once.
    private let room = Gate(256)
    private let rooms = ServerRooms()
    private let letters = ServerLetters()

    /// - Parameters:
    ///   - port: At which servers are asked.
    ///   - waits: The times that are waited for a datagram, one try after the other.
    init(
        on group: any EventLoopGroup, port: UInt16 = ResolverAddress.standardPort, waits: [Duration] = Self.patience
    ) {
        self.group = group
        self.port = port
        self.waits = waits
    }

    /// What a server replies.
    ///
    /// - Parameter tries: How often it is asked while it is silent, at most as often as there are waits.
    /// - Throws: ``Failure``.
    func ask(_ request: DNSRequest, _ server: IPAddress, tries: Int) async throws -> DNSMessage {
        let own = rooms.room(of: server)
        guard own.waiting < ServerRooms.mostWaiting else { throw Failure.unasked }
        do {
            return try await own.run {
                try await room.run {
                    let start = ContinuousClock.now
                    do {
                        return try await exchange(request, server, tries: tries)
                    } catch {
                        guard Task.isCancelled else { throw error }
                        throw Failure.cut(after: ContinuousClock.now - start)
                    }
                }
            }
        } catch is CancellationError {
            // It was cut while it waited for its turn.
            throw Failure.unasked
        }
    }

    private func exchange(_ request: DNSRequest, _ server: IPAddress, tries: Int) async throws -> DNSMessage {
        var hasOptions = true
        for patience in waits.prefix(tries) {
            do {
                var reply = try await datagram(request, server, hasOptions, patience)
                // An old server that knows no EDNS. Source: RFC 6891, section 7.
                if hasOptions, [DNSNumber.formatError, DNSNumber.notImplemented, 16].contains(reply.code) {
                    hasOptions = false
                    reply = try await datagram(request, server, hasOptions, patience)
                }
                guard reply.isTruncated else { return reply }
                // Nobody makes up a stream that he does not see: the letters stay as they are.
                let query = request.query(id: .random(in: 0...UInt16.max), hasOptions: hasOptions)
                return try await exchange(
                    Attempt(request, query, server, isStream: true, Self.streamPatience))
            } catch Failure.silent {
                try Task.checkCancellation()
            }
        }
        throw Failure.silent
    }

    /// One question by datagram. A server whose reply has other letters is asked once more at once, from another port and with
    /// another id, and by the letters that the program wrote.
    private func datagram(
        _ request: DNSRequest, _ server: IPAddress, _ hasOptions: Bool, _ patience: Duration
    ) async throws -> DNSMessage {
        func query() -> [UInt8] { request.query(id: .random(in: 0...UInt16.max), hasOptions: hasOptions) }
        var hasOtherLetters = false
        if letters.areKept(by: server) {
            var mixed = query()
            var random = SystemRandomNumberGenerator()
            mixed.mixLetters(of: request, using: &random)
            do {
                let reply = try await exchange(Attempt(request, mixed, server, areLettersMixed: true, patience))
                // A name without letters says nothing of how they are kept.
                if request.hasLetters { letters.note(server, areKept: true) }
                return reply
            } catch Failure.otherLetters {
                hasOtherLetters = true
            }
        }
        let reply = try await exchange(Attempt(request, query(), server, patience))
        if hasOtherLetters { letters.note(server, areKept: false) }
        return reply
    }

    /// One question to one server.
    private struct Attempt: Sendable {
        let request: DNSRequest
        let query: [UInt8]
        let server: IPAddress
        let isStream: Bool
        let areLettersMixed: Bool
        let patience: TimeAmount

        init(
            _ request: DNSRequest, _ query: [UInt8], _ server: IPAddress, isStream: Bool = false,
            areLettersMixed: Bool = false, _ patience: Duration
        ) {
            self.request = request
            self.query = query
            self.server = server
            self.isStream = isStream
            self.areLettersMixed = areLettersMixed
            self.patience = .nanoseconds(patience.nanoseconds)
        }

        var id: UInt16 { UInt16(query[0]) << 8 | UInt16(query[1]) }
    }

    private func exchange(_ attempt: Attempt) async throws -> DNSMessage {
        let promise = group.next().makePromise(of: DNSMessage.self)
        let socket = SocketOfExchange()
        return try await withTaskCancellationHandler {
            do {
                let channel = try await connect(attempt, promise, socket)
                let query = attempt.query
                channel.writeAndFlush(
                    attempt.isStream ? DNSFrameDecoder.frame(query) : ByteBuffer(bytes: query), promise: nil)
            } catch let error as IOError where [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(error.errnoCode) {
                promise.fail(Failure.unasked)
            } catch {
                promise.fail(Failure.unreachable)
            }
            return try await promise.futureResult.get()
        } onCancel: {
            socket.close()
        }
    }

    private func connect(
        _ attempt: Attempt, _ promise: EventLoopPromise<DNSMessage>, _ socket: SocketOfExchange
    ) async throws -> any Channel {
        let address = try NIOCore.SocketAddress(
            packedIPAddress: ByteBuffer(bytes: attempt.server.withNetworkOrderBytes { Array($0) }), port: Int(port))
        let setUp: @Sendable (any Channel) -> EventLoopFuture<Void> = { channel in
            socket.take(channel)
            return channel.eventLoop.makeCompletedFuture {
                let pipeline = channel.pipeline.syncOperations
                if attempt.isStream {
                    try pipeline.addHandler(ByteToMessageHandler(DNSFrameDecoder(limit: Int(UInt16.max))))
                } else {
                    try pipeline.addHandler(DatagramOpener())
                }
                try pipeline.addHandler(ReplyHandler(attempt, promise))
            }
        }
        let loop = promise.futureResult.eventLoop
        guard !attempt.isStream else {
            return try await ClientBootstrap(group: loop).connectTimeout(attempt.patience).channelInitializer(setUp)
                .connect(to: address).get()
        }
        return try await DatagramBootstrap(group: loop)
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 4096))
            .channelInitializer(setUp).connect(to: address).get()
    }

    /// Waits for the reply to one query, and closes.
    private final class ReplyHandler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        private let attempt: Attempt
        private let promise: EventLoopPromise<DNSMessage>
        private var timer: Scheduled<Void>?
        private var wrong = 0

        init(_ attempt: Attempt, _ promise: EventLoopPromise<DNSMessage>) {
            self.attempt = attempt
            self.promise = promise
        }

        func handlerAdded(context: ChannelHandlerContext) {
            let channel = context.channel
            timer = context.eventLoop.scheduleTask(in: attempt.patience) { channel.close(promise: nil) }
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let bytes = Array(unwrapInboundIn(data).readableBytesView)
            if let message = try? DNSMessage(bytes), message.answers(attempt.request, id: attempt.id) {
                if !attempt.areLettersMixed || message.hasLetters(of: attempt.query) {
                    promise.succeed(message)
                } else {
                    promise.fail(Failure.otherLetters)
                }
            } else {
                wrong += 1
                if wrong < mostWrong { return }
            }
            context.close(promise: nil)
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            promise.fail(Failure.unreachable)
            context.close(promise: nil)
        }

        func channelInactive(context: ChannelHandlerContext) {
            promise.fail(Failure.silent)
            context.fireChannelInactive()
        }

        func handlerRemoved(context: ChannelHandlerContext) {
            timer?.cancel()
            promise.fail(Failure.silent)
        }
    }
}

/// How many ask each server at once: one that is silent keeps only those waiting who ask it.
private final class ServerRooms: Sendable {
    /// Questions to one server at once.
    static let most = 16
    /// More don't wait for their turn.
    static let mostWaiting = 256
    /// Rooms of servers that were asked at some time.
    private static let mostServers = 1024

    private let rooms = Mutex<[IPAddress: Gate]>([:])

    func room(of server: IPAddress) -> Gate {
        rooms.withLock { rooms in
            if let room = rooms[server] { return room }
            if rooms.count >= Self.mostServers { rooms = [:] }
            let room = Gate(Self.most)
            rooms[server] = room
            return room
        }
    }
}

/// The socket of a question, which may have to be closed before it is connected: nobody waits for what is not needed any more.
private final class SocketOfExchange: Sendable {
    private let state = Mutex<(channel: (any Channel)?, isClosed: Bool)>((nil, false))

    func take(_ channel: any Channel) {
        let isClosed = state.withLock { state in
            state.channel = channel
            return state.isClosed
        }
        if isClosed { channel.close(promise: nil) }
    }

    func close() {
        let channel = state.withLock { state in
            state.isClosed = true
            return state.channel
        }
        channel?.close(promise: nil)
    }
}

extension DNSMessage {
    /// Whether it is the reply to a query of ours.
    func answers(_ request: DNSRequest, id: UInt16) -> Bool {
        isResponse && opcode == 0 && self.id == id && question == request.question
    }

    /// Whether the question is that of a query byte by byte, capital letters too.
    func hasLetters(of query: [UInt8]) -> Bool {
        let range = Self.headerLength..<questionEnd
        return questionEnd <= query.count && bytes[range] == query[range]
    }
}

extension Duration {
    /// Nanoseconds, as far as they are a number of 64 bits.
    fileprivate var nanoseconds: Int64 {
        let (seconds, isOver) = components.seconds.multipliedReportingOverflow(by: 1_000_000_000)
        return isOver ? Int64.max : seconds &+ components.attoseconds / 1_000_000_000
    }
}
