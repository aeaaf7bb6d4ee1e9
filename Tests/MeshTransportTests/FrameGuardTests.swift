import Glibc
import Testing

@testable import MeshTransport

/// PINGs of honest peers, and floods of others.
@Suite("Frames without work", .serialized)
struct FrameGuardTests {
    /// Many calls when there is time for it.
    static let count = getenv("NSM_AGENT_LONG") == nil ? 3000 : 100_000

    @Test("a server answers a PING with each call, one call after another", .timeLimit(.minutes(10)))
    func server() async throws {
        try await TransportTests().withServer(.insecure) { address, _ in
            try await onThread {
                let client = try RawClient(address)
                let reader = FrameReader(client)
                client.send(Frames.start)
                var answered = 0
                for number in 0..<Self.count {
                    let stream = UInt32(2 * number + 1)
                    client.send(
                        Frames.headers(stream: stream) + Frames.message([120], stream: stream)
                            + Frames.ping(UInt64(number)))
                    // Now and then the server may send more.
                    if number % 1000 == 0 { client.send(Frames.frame(8, Frames.bytes(1 << 20))) }
                    var isDone = false
                    while !isDone || answered <= number {
                        let frame = try #require(reader.next())
                        try #require(frame.kind != 7 && frame.kind != 3)
                        if frame.kind == 6, frame.flags == 1 {
                            #expect(frame.payload.elementsEqual(Frames.ping(UInt64(answered)).suffix(8)))
                            answered += 1
                        }
                        if frame.kind == 1, frame.flags & 1 != 0 { isDone = frame.stream == stream }
                    }
                }
            }
        }
    }

    @Test("a client answers a PING with each answer, one call after another", .timeLimit(.minutes(10)))
    func client() async throws {
        let listener = try ServerListener(.unix(TransportTests.path()))
        async let answered = onThread { try Self.serve(RawClient(accepted: listener)) }
        let connection = try await ClientConnection.connect(
            to: listener.address, security: .insecure, timeout: .seconds(60), logger: TransportTests.quiet)
        let running = Task { await connection.run() }
        for _ in 0..<Self.count { #expect(try await call(connection, "x") == "y") }
        connection.closeNow()
        await running.value
        #expect(try await answered >= Self.count - 1)
    }

    /// Answers calls by hand, each with a PING; returns how many of those were answered.
    private static func serve(_ peer: RawClient) throws -> Int {
        let reader = FrameReader(peer)
        // The preface of the client has no form of a frame.
        var preface = [UInt8](repeating: 0, count: 24)
        var poller = pollfd(fd: peer.socket, events: Int16(POLLIN), revents: 0)
        poll(&poller, 1, RawClient.patience)
        guard read(peer.socket, &preface, 24) == 24 else { throw TransportError("no preface") }
        peer.send(Frames.frame(4))
        var answered = 0
        var calls = 0
        while let frame = reader.next() {
            if frame.kind == 6, frame.flags == 1 { answered += 1 }
            guard frame.kind == 0, frame.flags & 1 != 0 else { continue }
            calls += 1
            if calls % 1000 == 1 { peer.send(Frames.frame(8, Frames.bytes(1 << 20))) }
            let head: [UInt8] = [0x88] + Frames.field("content-type", "application/grpc")
            peer.send(
                Frames.frame(1, head, flags: 4, stream: frame.stream)
                    + Frames.message([121], stream: frame.stream, isLast: false) + Frames.ping(UInt64(calls))
                    + Frames.frame(1, Frames.field("grpc-status", "0"), flags: 5, stream: frame.stream))
        }
        return answered
    }

    /// Serves with limits while `body` runs.
    private func withServer(
        _ limits: TransportLimits, _ body: (MeshTransport.SocketAddress) async throws -> Void
    ) async throws {
        let address = SocketAddress.unix(TransportTests.path())
        let server = RPCServer(
            try ServerListener(address), security: .insecure, services: [EchoService()], limits: limits,
            logger: TransportTests.quiet)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run() }
            try await body(address)
            group.cancelAll()
        }
    }

    enum Flood: String, CaseIterable {
        case ping, answer, settings, priority, window, reset, emptyData, emptyContinuation, emptyHeaders, unknown
        case largeUnknown

        /// Frame by frame.
        func frame(_ number: Int) -> [UInt8] {
            let stream = UInt32(2 * number + 1)
            return switch self {
            case .ping: Frames.ping()
            case .answer: Frames.ping(isAnswer: true)
            case .settings: Frames.frame(4)
            case .priority: Frames.frame(2, [0, 0, 0, 0, 1], stream: 5)
            case .window: Frames.frame(8, Frames.bytes(1))
            case .reset: Frames.headers(stream: stream) + Frames.frame(3, Frames.bytes(8), stream: stream)
            case .emptyData: (number == 0 ? Frames.headers() : []) + Frames.frame(0, stream: 1)
            case .emptyContinuation: number == 0 ? Frames.frame(1, [0x82], stream: 1) : Frames.frame(9, stream: 1)
            case .emptyHeaders: Frames.frame(1, flags: 4, stream: stream)
            case .unknown: Frames.frame(0xfa)
            case .largeUnknown: Frames.frame(0xfa, [UInt8](repeating: 0, count: 16384))
            }
        }
    }

    @Test("a flood ends the connection and nobody else's", .timeLimit(.minutes(10)), arguments: Flood.allCases)
    func flood(_ kind: Flood) async throws {
        try await TransportTests().withServer(.insecure) { address, connect in
            let honest = try await connect()
            let running = Task { await honest.run() }
            let code = try await onThread {
                let client = try RawClient(address)
                client.send(Frames.start)
                let frames = (0..<20_000).flatMap { kind.frame($0) }
                // Sent without reading, for as long as there is room.
                client.send(frames, limit: 1000)
                let code = Frames.parse(client.receive()).lazy.compactMap(\.goAway).first
                #expect(client.isClosed)
                return code
            }
            // Heads without anything have no meaning; gRPC does not say what it ends such a connection for.
            if kind != .emptyHeaders { #expect(code == 11) }
            #expect(try await call(honest, "x") == "x")
            honest.closeNow()
            await running.value
        }
    }

    @Test("calls are cancelled a thousand at once, and the others of the connection go on", .timeLimit(.minutes(10)))
    func cancelled() async throws {
        var limits = TransportLimits()
        limits.cancels = 10
        // All calls are long ones.
        limits.shortCall = .zero
        try await withServer(limits) { address in
            try await onThread {
                let client = try RawClient(address)
                client.send(Frames.start)
                _ = client.receive { Frames.parse($0).count > 1 }
                // Only what was acknowledged holds: many calls at once.
                client.send(Frames.frame(4, flags: 1))
                for round in 0..<3 {
                    let streams = (0..<1000).map { UInt32(2 * ($0 + 1000 * round) + 1) }
                    client.send(streams.flatMap { Frames.headers(stream: $0) } + Frames.ping())
                    _ = client.receive { Frames.parse($0).contains { $0.kind == 6 } }
                    client.send(streams.flatMap { Frames.frame(3, Frames.bytes(8), stream: $0) } + Frames.ping())
                    let frames = Frames.parse(client.receive { Frames.parse($0).contains { $0.kind == 6 } })
                    // Who has cancelled a call hears no more of it.
                    #expect(!frames.contains { $0.kind == 3 || $0.kind == 7 })
                }
                client.send(Frames.headers(stream: 9001) + Frames.message([120], stream: 9001))
                let answer = client.receive { Frames.parse($0).contains { $0.kind == 0 } }
                #expect(Frames.parse(answer).contains { $0.kind == 0 && $0.payload.last == 120 })
            }
        }
    }

    @Test("who asks without end and reads no answer is ended, and so is one who floods by many connections")
    func deaf() async throws {
        var limits = TransportLimits()
        limits.peerFrames = 1500
        limits.peerFrameRate = 1
        try await withServer(limits) { address in
            try await onThread {
                let clients = try (0..<4).map { _ in try RawClient(address) }
                for client in clients { client.send(Frames.start + (0..<600).flatMap { _ in Frames.ping() }) }
                let ended = clients.count { client in
                    Frames.parse(client.receive(limit: 500)).contains { $0.goAway == 11 }
                }
                #expect(ended >= 1 && ended < 4)
            }
        }
    }

    @Test("frames are found wherever the bytes are cut")
    func cuts() async throws {
        try await TransportTests().withServer(.insecure) { address, _ in
            let bytes =
                Frames.start + Frames.ping(1) + Frames.headers() + Frames.ping(2)
                + Frames.message(Array("abc".utf8)) + Frames.ping(3)
            try await onThread {
                for size in 1..<40 {
                    let client = try RawClient(address)
                    for start in stride(from: 0, to: bytes.count, by: size) {
                        client.send(Array(bytes[start..<min(start + size, bytes.count)]))
                        if size < 5 { sched_yield() } else { usleep(200) }
                    }
                    let received = client.receive { received in
                        let frames = Frames.parse(received)
                        return frames.count { $0.kind == 6 } == 3
                            && frames.contains { $0.kind == 1 && $0.flags & 1 != 0 }
                    }
                    let frames = Frames.parse(received)
                    #expect(frames.filter { $0.kind == 6 }.map(\.payload.last) == [1, 2, 3])
                    #expect(frames.contains { $0.kind == 0 && $0.payload.suffix(3).elementsEqual("abc".utf8) })
                    #expect(!frames.contains { $0.kind == 7 })
                }
            }
        }
    }
}
