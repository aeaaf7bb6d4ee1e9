import GRPCCore
import Glibc
import Logging
import Synchronization
import TestSupport
import Testing

@testable import MeshTransport

/// What one peer may use of a server. The tests run as the host's root; a stranger is root of another network namespace.
@Suite("Limits of a peer", .serialized)
struct PeerLimitTests {
    /// Serves while `body` runs.
    private func withServer(
        _ limits: TransportLimits, capacity: Capacity = .ofProcess, messageLimit: Int = 1 << 20,
        admission: @escaping Admission = { _ in nil }, logger: Logger = TransportTests.quiet,
        _ body: (MeshTransport.SocketAddress) async throws -> Void
    ) async throws {
        let address = SocketAddress.unix(TransportTests.path())
        let server = RPCServer(
            try ServerListener(address, mode: 0o777), security: .insecure, services: [EchoService()],
            admission: admission, limits: limits, capacity: capacity, messageLimit: messageLimit, logger: logger)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run() }
            try await body(address)
            // Nobody is remembered who uses nothing.
            while server.peerCount > 0 { try await Task.sleep(for: .milliseconds(5)) }
            group.cancelAll()
        }
    }

    private func connect(_ address: MeshTransport.SocketAddress) async throws -> ClientConnection {
        try await ClientConnection.connect(
            to: address, security: .insecure, timeout: .seconds(60), logger: TransportTests.quiet)
    }

    /// The status of the first call that has ended.
    private static func status(_ received: [UInt8]) -> [UInt8]? {
        Frames.parse(received).first { $0.kind == 1 && $0.flags & 1 != 0 }.map { Array($0.payload) }
    }

    private static func isRefused(_ received: [UInt8]) -> Bool {
        Frames.parse(received).contains { $0.kind == 3 && $0.payload.allSatisfy { $0 == 0 } }
    }

    @Test("a stranger takes all it can, and root still gets in", .timeLimit(.minutes(10)))
    func connections() async throws {
        let log = CountingLog()
        let logger = Logger(label: "test") { _ in log }
        // Twenty connections in all, of which two are root's alone.
        try await withServer(TransportLimits(), capacity: Capacity(files: 120), logger: logger) { address in
            guard case .unix(let path) = address else { return }
            let script = """
                import select, socket, sys, time
                taken = [socket.socket(socket.AF_UNIX) for _ in range(50)]
                for one in taken:
                    one.connect('\(path)')
                    try: one.sendall(b'PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n' + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
                    except OSError: pass
                poller = select.poll()
                for one in taken: poller.register(one, 0)
                closed, end = 0, time.monotonic() + 30
                while closed < 40 and time.monotonic() < end: closed = len(poller.poll(100))
                print(closed, flush=True)
                sys.stdin.readline()
                """
            let hold = TransportTests.path()
            #expect(mkfifo(hold, 0o600) == 0)
            defer { unlink(hold) }
            async let closed = onThread {
                try Command.run(["unshare", "-n", "sh", "-c", "exec python3 -c \"$1\" < \(hold)", "sh", script])
            }
            // The script begins when somebody holds the other end, and ends when nobody does.
            let gate = try await onThread { open(hold, O_WRONLY) }
            while log.count == 0 { try await Task.sleep(for: .milliseconds(5)) }
            let root = try await connect(address)
            let running = Task { await root.run() }
            #expect(try await call(root, "x") == "x")
            close(gate)
            // Half of all is the most for one.
            #expect(try await closed == "40\n")
            root.closeNow()
            await running.value
        }
        #expect(log.count == 1)
    }

    @Test("calls beyond the limit are refused with a status, and others go on", .timeLimit(.minutes(10)))
    func calls() async throws {
        for isPeer in [false, true] {
            var limits = TransportLimits()
            if isPeer { limits.rootCalls = 3 } else { limits.rootStreams = 3 }
            try await withServer(limits) { address in
                try await onThread {
                    let clients = try (0..<(isPeer ? 4 : 1)).map { _ in try RawClient(address) }
                    for client in clients { client.send(Frames.start) }
                    let refused = (0..<4).map { number in
                        let client = clients[isPeer ? number : 0]
                        client.send(Frames.headers(stream: UInt32(2 * number + 1)) + Frames.ping())
                        // Until the server has looked at it.
                        return Self.isRefused(client.receive { Frames.parse($0).contains { $0.kind == 6 } })
                    }
                    #expect(refused == [false, false, false, true])
                    let last = clients[clients.count - 1]
                    // One ends, and there is room again.
                    clients[0].send(Frames.message([120], stream: 1))
                    _ = clients[0].receive { Self.status($0) != nil }
                    last.send(Frames.headers(stream: 21) + Frames.message([121], stream: 21))
                    let answer = last.receive { Frames.parse($0).contains { $0.kind == 0 } }
                    #expect(Frames.parse(answer).contains { $0.kind == 0 && $0.payload.last == 121 })
                }
            }
        }
    }

    @Test("bytes of unfinished messages are bounded on a connection and on all of a peer", .timeLimit(.minutes(10)))
    func bytes() async throws {
        for isPeer in [false, true] {
            var limits = TransportLimits()
            limits.connectionBytes = isPeer ? 1 << 20 : 60_000
            limits.peerBytes = isPeer ? 60_000 : 1 << 20
            try await withServer(limits) { address in
                try await onThread {
                    let clients = try (0..<(isPeer ? 8 : 1)).map { _ in try RawClient(address) }
                    for client in clients { client.send(Frames.start) }
                    var refused = 0
                    for number in 0..<8 {
                        let stream = UInt32(2 * number + 1)
                        let client = clients[isPeer ? number : 0]
                        client.send(
                            Frames.headers(stream: stream)
                                + Frames.message(
                                    [UInt8](repeating: 0, count: 10_000), stream: stream, isLast: false,
                                    length: 1_000_000) + Frames.ping())
                        // Until the server has looked at it.
                        let received = client.receive { Frames.parse($0).contains { $0.kind == 6 } }
                        if Self.isRefused(received) { refused += 1 }
                    }
                    #expect(refused > 0 && refused <= 3)
                }
                // All comes back when they go.
                let other = try await connect(address)
                let running = Task { await other.run() }
                let long = String(repeating: "x", count: 50_000)
                while (try? await call(other, long)) != long { try await Task.sleep(for: .milliseconds(5)) }
                for _ in 0..<20 { #expect(try await call(other, long) == long) }
                other.closeNow()
                await running.value
            }
        }
    }

    @Test("a message of more than the limit is refused before it is read", .timeLimit(.minutes(10)))
    func messages() async throws {
        try await withServer(TransportLimits(), messageLimit: 1000) { address in
            let connection = try await connect(address)
            let running = Task { await connection.run() }
            #expect(try await call(connection, String(repeating: "x", count: 1000)).count == 1000)
            let error = await #expect(throws: RPCError.self) {
                try await call(connection, String(repeating: "x", count: 1001))
            }
            #expect(error?.code == .resourceExhausted && error?.message.contains("1000") == true)
            connection.closeNow()
            await running.value
        }
    }

    @Test("descriptors that nobody asks for are counted over all connections of a peer")
    func descriptors() throws {
        var limits = TransportLimits()
        limits.descriptors = 10
        let table = PeerTable(limits, capacity: .ofProcess, place: "test", logger: TransportTests.quiet)
        let first = DescriptorChannel(account: table.account(.address("a")))
        let second = DescriptorChannel(account: table.account(.address("a")))
        let third = DescriptorChannel(account: table.account(.address("b")))
        for _ in 0..<20 { first.arrived(try pipe("x")) }
        #expect(first.unclaimed == 10)
        second.arrived(try pipe("x"))
        third.arrived(try pipe("x"))
        #expect(second.unclaimed == 0 && third.unclaimed == 1)
        first.finish()
        second.arrived(try pipe("x"))
        #expect(second.unclaimed == 1)
        // All peers together: an eighth of the open files.
        let small = PeerTable(
            TransportLimits(), capacity: Capacity(files: 80), place: "test", logger: TransportTests.quiet)
        let channels = (0..<4).map { DescriptorChannel(account: small.account(.address("\($0)"))) }
        for channel in channels { for _ in 0..<4 { channel.arrived(try pipe("x")) } }
        #expect(channels.map(\.unclaimed) == [4, 4, 2, 0])
    }

    @Test("descriptors that a peer does not read are counted, too")
    func sentDescriptors() throws {
        var limits = TransportLimits()
        limits.sentDescriptors = 10
        let table = PeerTable(limits, capacity: .ofProcess, place: "test", logger: TransportTests.quiet)
        let channels = (0..<2).map { _ in DescriptorChannel(account: table.account(.address("a"))) }
        for number in 0..<10 { try channels[number % 2].send(try pipe("x")) }
        for channel in channels { #expect(throws: DescriptorError.self) { try channel.send(try pipe("x")) } }
        #expect(channels[0].takeOutgoing() != nil)
        // The first sixty-four go at once, as each removal moves all that follow; here all five have gone.
        while channels[0].takeOutgoing() != nil {}
        for _ in 0..<5 { try channels[0].send(try pipe("x")) }
    }

    @Test("a connection without calls is ended as HTTP/2 does it, one with a call is not", .timeLimit(.minutes(10)))
    func idle() async throws {
        var limits = TransportLimits()
        limits.idleTime = .milliseconds(50)
        try await withServer(limits) { address in
            let idle = try await connect(address)
            let codes = try await onThread {
                let busy = try RawClient(address)
                busy.send(Frames.start + Frames.headers())
                let quiet = try RawClient(address)
                quiet.send(Frames.start)
                let frames = Frames.parse(quiet.receive { Frames.parse($0).contains { $0.kind == 7 } })
                #expect(frames.contains { $0.goAway == 0 })
                busy.send(Frames.message([120]))
                let answer = busy.receive { Frames.parse($0).contains { $0.kind == 0 } }
                return Frames.parse(answer).compactMap(\.goAway)
            }
            #expect(codes.isEmpty)
            // One of ours goes when it is told.
            await idle.run()
            #expect(idle.isClosed)
        }
    }

    @Test("who says nothing is dropped, and who may not connect is told of once", .timeLimit(.minutes(10)))
    func refusals() async throws {
        let log = CountingLog()
        let logger = Logger(label: "test") { _ in log }
        try await withServer(TransportLimits(), admission: { _ in "nobody may" }, logger: logger) { address in
            try await onThread {
                for _ in 0..<10 {
                    let client = try RawClient(address)
                    #expect(client.receive().isEmpty && client.isClosed)
                }
            }
        }
        #expect(log.count == 1)
    }

    @Test("peers are told apart by user and namespace, and by network over TCP")
    func keys() {
        #expect(PeerKey(nil, "10.0.0.1") == .address("10.0.0.1"))
        #expect(PeerKey(nil, "2001:db8:0:1::5") == PeerKey(nil, "2001:db8:0:1:ffff::7"))
        #expect(PeerKey(nil, "2001:db8:0:1::5") != PeerKey(nil, "2001:db8:0:2::5"))
        #expect(PeerKey(nil, "::ffff:10.0.0.1") != PeerKey(nil, "::ffff:10.0.0.2"))
        #expect(PeerKey(nil, nil) == .unknown)
    }
}

/// Counts warnings.
private final class CountingLog: LogHandler, Sendable {
    private let warnings = Atomic<Int>(0)
    var count: Int { warnings.load(ordering: .relaxed) }
    var metadata: Logger.Metadata {
        get { [:] }
        set {}
    }
    var logLevel: Logger.Level {
        get { .warning }
        set {}
    }
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { nil }
        set {}
    }
    func log(event: LogEvent) { warnings.add(1, ordering: .relaxed) }
}
