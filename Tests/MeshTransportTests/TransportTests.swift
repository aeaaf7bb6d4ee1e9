import Concurrency
import GRPCCore
import Glibc
import Logging
import SPIFFE
import Synchronization
import TestSupport
import Testing

@testable import MeshTransport

@Suite("gRPC with descriptors", .serialized)
struct TransportTests {
    static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    static func path() -> String { "/tmp/nsm-dt-\(UInt64.random(in: 0...UInt64.max)).sock" }

    /// Serves an echo and connects to it.
    func withServer(
        _ security: Security, _ client: Security? = nil,
        _ body: (SocketAddress, @escaping @Sendable () async throws -> ClientConnection) async throws -> Void
    ) async throws {
        let address = SocketAddress.unix(Self.path())
        let listener = try ServerListener(address)
        let server = RPCServer(listener, security: security, services: [EchoService()], logger: Self.quiet)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run() }
            try await body(address) {
                try await ClientConnection.connect(
                    to: address, security: client ?? security, timeout: .seconds(60), logger: Self.quiet)
            }
            group.cancelAll()
        }
    }

    func identity(_ name: String, _ authority: CertificateAuthority) throws -> FixedIdentity {
        FixedIdentity(
            Identity(
                svid: try authority.issue(SPIFFEID("spiffe://example.org/\(name)"), lifetime: .seconds(600)),
                bundles: try authority.bundles()))
    }

    @Test("descriptors travel both ways with every call, and none is left", arguments: [false, true])
    func descriptors(isSecure: Bool) async throws {
        let authority = try CertificateAuthority(newFor: "example.org", lifetime: .seconds(3600))
        let security: Security = isSecure ? .identity(try identity("a", authority)) : .insecure
        try await withServer(security) { _, connect in
            let connection = try await connect()
            let running = Task { await connection.run() }
            try await exchange(connection, count: 200)
            let before = try openDescriptors()
            try await exchange(connection, count: isSecure ? 10_000 : 1000)
            #expect(try openDescriptors() <= before + 2)
            #expect(connection.info.descriptors?.unclaimed == 0)
            #expect(connection.info.credentials?.pid == getpid())
            #expect((connection.info.peer?.id.path == "/a") == isSecure)
            connection.closeNow()
            await running.value
            #expect(connection.isClosed)
        }
    }

    @Test("the same descriptor with many calls side by side is there for each of them")
    func shared() async throws {
        let channel = DescriptorChannel()
        let descriptor = try pipe("x")
        for _ in 0..<50 { channel.arrived(try descriptor.duplicate()) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<50 {
                group.addTask { _ = try await channel.receive(descriptor.inode, within: .seconds(60)) }
            }
            try await group.waitForAll()
        }
        #expect(channel.unclaimed == 0)
        await #expect(throws: DescriptorError.self) {
            _ = try await channel.receive(descriptor.inode, within: .milliseconds(10))
        }
        let waiting = Task { try await channel.receive(descriptor.inode, within: .seconds(60)) }
        waiting.cancel()
        await #expect(throws: DescriptorError.self) { _ = try await waiting.value }
        channel.finish()
        await #expect(throws: DescriptorError.self) {
            _ = try await channel.receive(descriptor.inode, within: .seconds(60))
        }
    }

    @Test("a message gives up the descriptor that it did not need, and that one alone")
    func given() async throws {
        let channel = DescriptorChannel()
        let descriptor = try pipe("x")
        for _ in 0..<3 { channel.arrived(try descriptor.duplicate()) }
        let url = descriptor.inode.url
        _ = ComingDescriptor(url, channel)
        let needed = ComingDescriptor(url, channel)
        _ = try await needed?.receive(within: .seconds(60))
        #expect(channel.unclaimed == 1)
        _ = ComingDescriptor(url, channel)
        #expect(channel.unclaimed == 0)
        #expect(ComingDescriptor("unix:///x", channel) == nil)
        #expect(ComingDescriptor(url, nil) == nil)
    }

    @Test("what nobody asks for is closed: the oldest of too many, after a while, and at once where nobody ever asks")
    func unclaimed() async throws {
        let channel = DescriptorChannel(longestWait: .milliseconds(50))
        let first = try pipe("first")
        channel.arrived(first)
        for _ in 0..<DescriptorChannel.capacity { channel.arrived(try pipe("x")) }
        #expect(channel.unclaimed == DescriptorChannel.capacity)
        await #expect(throws: DescriptorError.self) {
            _ = try await channel.receive(first.inode, within: .milliseconds(1))
        }
        while channel.unclaimed > 0 { try await Task.sleep(for: .milliseconds(5)) }
        // It looks again when more comes.
        channel.arrived(first)
        while channel.unclaimed > 0 { try await Task.sleep(for: .milliseconds(5)) }
        let closed = DescriptorChannel(isTaking: false)
        closed.arrived(first)
        #expect(closed.unclaimed == 0)
    }

    @Test("what waits for a peer that does not read is one descriptor for each file, and not without end")
    func outgoing() throws {
        let channel = DescriptorChannel()
        let path = "/proc/self/ns/net"
        let first = try Descriptor.open(path, pathOnly: true)
        try channel.send(first)
        for _ in 1..<DescriptorChannel.longestQueue { try channel.send(try Descriptor.open(path, pathOnly: true)) }
        #expect(throws: DescriptorError.self) { try channel.send(first) }
        for _ in 0..<DescriptorChannel.longestQueue { #expect(channel.takeOutgoing() === first) }
        #expect(channel.takeOutgoing() == nil)
        // The two ends of a pipe are one file, and not the same.
        var ends: [Int32] = [-1, -1]
        #expect(Glibc.pipe(&ends) == 0)
        for end in ends { try channel.send(Descriptor(owning: end)) }
        #expect(channel.takeOutgoing()?.number == ends[0] && channel.takeOutgoing()?.number == ends[1])
    }

    @Test("a peer that says nothing is dropped in time")
    func silent() async throws {
        let authority = try CertificateAuthority(newFor: "example.org", lifetime: .seconds(3600))
        let path = Self.path()
        let server = RPCServer(
            try ServerListener(.unix(path)), security: .identity(try identity("a", authority)),
            services: [EchoService()],
            handshakeTimeout: .milliseconds(100), logger: Self.quiet)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run() }
            let script =
                "import socket;s=socket.socket(socket.AF_UNIX);s.connect('\(path)');s.settimeout(60);print(len(s.recv(1)))"
            let bytes = try Command.run(["python3", "-c", script])
            #expect(bytes == "0\n")
            group.cancelAll()
        }
    }

    @Test("a server that says nothing is given up in time")
    func silentServer() async throws {
        let authority = try CertificateAuthority(newFor: "example.org", lifetime: .seconds(3600))
        for address in [SocketAddress.unix(Self.path()), .tcp(host: "127.0.0.1", port: 0)] {
            // Connections wait in its queue.
            let listener = try ServerListener(address)
            let error = await #expect(throws: TransportError.self) {
                try await ClientConnection.connect(
                    to: listener.address, security: .identity(try identity("a", authority)),
                    timeout: .milliseconds(200), logger: Self.quiet)
            }
            #expect(error?.description.contains("too long") == true)
        }
    }

    @Test("over TCP all is the same, but for descriptors")
    func tcp() async throws {
        let authority = try CertificateAuthority(newFor: "example.org", lifetime: .seconds(3600))
        for host in ["127.0.0.1", "::1"] {
            let listener = try ServerListener(.tcp(host: host, port: 0))
            let security = Security.identity(try identity("a", authority))
            let server = RPCServer(listener, security: security, services: [EchoService()], logger: Self.quiet)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await server.run() }
                let connection = try await ClientConnection.connect(
                    to: listener.address, security: security, timeout: .seconds(60), logger: Self.quiet)
                let running = Task { await connection.run() }
                for number in 0..<100 { #expect(try await call(connection, "\(number)") == "\(number)") }
                #expect(connection.info.descriptors == nil && connection.info.credentials == nil)
                #expect(connection.info.peer?.id.path == "/a")
                // Both ends look after a peer that went without a word.
                let end = ContinuousClock.now + .seconds(60)
                while try keptAlive(listener.address) < 2, ContinuousClock.now < end {
                    try await Task.sleep(for: .milliseconds(20))
                }
                #expect(try keptAlive(listener.address) == 2)
                // What names a descriptor is told that there can be none.
                await #expect(throws: RPCError.self) { try await call(connection, "inode://1/2") }
                let stranger = Security.identity(
                    try identity("b", CertificateAuthority(newFor: "example.org", lifetime: .seconds(60))))
                await #expect(throws: TransportError.self) {
                    try await ClientConnection.connect(
                        to: listener.address, security: stranger, timeout: .seconds(60), logger: Self.quiet)
                }
                connection.closeNow()
                await running.value
                group.cancelAll()
            }
        }
    }

    /// Idle sockets from or to an address with a keepalive timer.
    private func keptAlive(_ address: SocketAddress) throws -> Int {
        let sockets = try Command.run(["ss", "-Htno", "state", "established"]).split(separator: "\n")
        let place = address.url.dropFirst("tcp://".count)
        return sockets.filter { $0.contains(place) && $0.contains("timer:(keepalive") }.count
    }

    @Test("a peer whose certificate has ended is refused, and its tokens end with it")
    func ended() async throws {
        let authority = try CertificateAuthority(newFor: "example.org", lifetime: .seconds(3600))
        let short = Identity(
            svid: try authority.issue(SPIFFEID("spiffe://example.org/short"), lifetime: .seconds(5)),
            bundles: try authority.bundles())
        let security = Security.identity(try identity("a", authority))
        try await withServer(security, .identity(FixedIdentity(short))) { _, connect in
            let before = try await connect()
            let running = Task { await before.run() }
            #expect(try await call(before, "x") == "x")
            while Timestamp.now <= short.svid.notAfter.advanced(by: .seconds(1)) {
                try await Task.sleep(for: .milliseconds(20))
            }
            await expectRefusal(connect)
            before.closeNow()
            await running.value
        }
    }

    /// Sends a pipe with a text in it with each call, and gets one back.
    func exchange(_ connection: ClientConnection, count: Int) async throws {
        let channel = try #require(connection.info.descriptors)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<count {
                if number >= 16 { try await group.next() }
                group.addTask {
                    let sent = try pipe("ping \(number)")
                    try channel.send(sent)
                    let answer = try await call(connection, sent.inode.url)
                    let back = try await channel.receive(#require(Inode(url: answer)), within: .seconds(60))
                    #expect(try content(back) == "pong ping \(number)")
                }
            }
            try await group.waitForAll()
        }
    }

    @Test("peers of another authority, and peers without a certificate, are refused and disturb nobody")
    func refused() async throws {
        let authority = try CertificateAuthority(newFor: "example.org", lifetime: .seconds(3600))
        let other = try CertificateAuthority(newFor: "example.org", lifetime: .seconds(3600))
        let security = Security.identity(try identity("a", authority))
        try await withServer(security) { address, connect in
            let good = try await connect()
            let running = Task { await good.run() }
            let stranger = Security.identity(try identity("b", other))
            await #expect(throws: TransportError.self) {
                try await ClientConnection.connect(
                    to: address, security: stranger, timeout: .seconds(60), logger: Self.quiet)
            }
            await #expect(throws: (any Error).self) {
                let plain = try await ClientConnection.connect(
                    to: address, security: .insecure, timeout: .seconds(60), logger: Self.quiet)
                let plainRunning = Task { await plain.run() }
                defer { plainRunning.cancel() }
                _ = try await call(plain, "hello")
            }
            try garbage(address)
            #expect(try await call(good, "text") == "text")
            good.closeNow()
            await running.value
        }
    }

    @Test("a rotated identity counts for new connections, and old ones go on")
    func rotation() async throws {
        let authority = try CertificateAuthority(newFor: "example.org", lifetime: .seconds(3600))
        let source = try identity("a", authority)
        try await withServer(.identity(source)) { _, connect in
            let old = try await connect()
            let oldRunning = Task { await old.run() }
            source.replace(try await identity("b", authority).identity())
            let new = try await connect()
            let newRunning = Task { await new.run() }
            #expect(old.info.peer?.id.path == "/a" && new.info.peer?.id.path == "/b")
            #expect(try await call(old, "x") == "x")
            #expect(try await call(new, "y") == "y")
            old.closeNow()
            new.closeNow()
            await oldRunning.value
            await newRunning.value
        }
    }

    @Test("nobody listens, or somebody else does: the error says so")
    func addresses() async throws {
        let address = SocketAddress.unix(Self.path())
        await #expect(throws: TransportError.self) {
            try await ClientConnection.connect(
                to: address, security: .insecure, timeout: .seconds(1), logger: Self.quiet)
        }
        let first = try ServerListener(address)
        #expect(throws: TransportError.self) { try ServerListener(address) }
        withExtendedLifetime(first) {}
        #expect(SocketAddress(url: "unix:///a/b") == .unix("/a/b"))
        #expect(SocketAddress(url: "tcp://[::1]:5001") == .tcp(host: "::1", port: 5001))
        #expect(SocketAddress(url: "1.2.3.4:80") == .tcp(host: "1.2.3.4", port: 80))
        for bad in ["", "unix:", "unix://a", "tcp://x", "tcp://:1", "x:70000"] {
            #expect(SocketAddress(url: bad) == nil)
        }
    }

    /// Bytes that are no TLS.
    private func garbage(_ address: SocketAddress) throws {
        guard case .unix(let path) = address else { return }
        let script = "import socket;s=socket.socket(socket.AF_UNIX);s.connect('\(path)');s.sendall(b'x'*70000)"
        _ = try? Command.run(["python3", "-c", script])
    }
}

/// Answers a text with itself, and the inode URL of a descriptor with that of another one.
struct EchoService: RegistrableRPCService {
    static let method = MethodDescriptor(fullyQualifiedService: "test.Echo", method: "Call")

    func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
        router.registerHandler(forMethod: Self.method, deserializer: Text(), serializer: Text()) { request, _ in
            var words: [String] = []
            for try await word in request.messages { words.append(word) }
            let text = words.joined()
            guard let inode = Inode(url: text) else { return StreamingServerResponse(single: .init(message: text)) }
            guard let channel = ConnectionInfo.current?.descriptors else {
                throw RPCError(code: .internalError, message: "no connection")
            }
            let received = try await channel.receive(inode, within: .seconds(60))
            let answer = try pipe("pong " + content(received))
            try channel.send(answer)
            return StreamingServerResponse(single: .init(message: answer.inode.url))
        }
    }
}

struct Text: MessageSerializer, MessageDeserializer {
    func serialize<Bytes: GRPCContiguousBytes>(_ message: String) throws -> Bytes { Bytes(message.utf8) }
    func deserialize<Bytes: GRPCContiguousBytes>(_ bytes: Bytes) throws -> String {
        bytes.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
    }
}

func call(_ connection: ClientConnection, _ text: String) async throws -> String {
    var options = CallOptions.defaults
    options.timeout = .seconds(60)
    return try await connection.client.unary(
        request: ClientRequest(message: text), descriptor: EchoService.method, serializer: Text(), deserializer: Text(),
        options: options
    ) { try $0.message }
}

/// Expects that a peer is refused: in the handshake, or, as TLS 1.3 lets a client end its handshake before the server has
/// looked at it, by the first call at the latest.
func expectRefusal(_ connect: () async throws -> ClientConnection) async {
    await #expect(throws: (any Error).self) {
        let connection = try await connect()
        let running = Task { await connection.run() }
        let result = await Task { try await call(connection, "hello") }.result
        connection.closeNow()
        await running.value
        _ = try result.get()
    }
}
