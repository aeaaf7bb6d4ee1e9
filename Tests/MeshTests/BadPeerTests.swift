import Concurrency
import CLinux
import Crypto
import MeshTransport
import GRPCCore
import Glibc
import NSM
import SPIFFE
import SwiftProtobuf
import TestSupport
import Testing

@testable import Mesh

/// The socket of a manager or an endpoint that is mistreated, and a client that must not notice.
struct Target: Sendable {
    let mesh: MeshFixture
    let name: String
    let address: SocketAddress
    let client: NetworkServiceClient

    /// The identity of whoever listens there.
    var id: String { "spiffe://example.org/\(name)" }

    /// Those who behave are served: on connections they have, and on new ones.
    func expectHealthy(_ after: String) async throws {
        try await client.refresh()
        try await withEvil("good") { connection, _ in
            let health = Grpc_Health_V1_Health.Client(wrapping: connection.client)
            let answer = try await health.check(Grpc_Health_V1_HealthCheckRequest())
            #expect(answer.status == .serving, "after \(after)")
        }
    }

    /// A connection with an identity of the mesh, closed behind `body`.
    func withEvil(
        _ name: String = "evil", _ body: (ClientConnection, Component) async throws -> Void
    ) async throws {
        let component = try mesh.component(name)
        let connection = try await ClientConnection.connect(
            to: address, security: component.security, timeout: .seconds(60), logger: mesh.logger)
        let running = Task { await connection.run() }
        do {
            try await body(connection, component)
        } catch {
            connection.closeNow()
            await running.value
            throw error
        }
        connection.closeNow()
        await running.value
    }

    func request(_ caller: String = "evil", _ id: String = "x") -> Networkservice_NetworkServiceRequest {
        var request = Networkservice_NetworkServiceRequest()
        request.connection.id = id
        request.connection.networkService = "svc"
        request.connection.path.pathSegments = [
            .with { segment in
                segment.name = caller
                segment.id = id
            }
        ]
        request.mechanismPreferences = [.kernel(name: "nsm-9", inodeURL: "inode://4/1")]
        return request
    }

    /// The metadata of a call with a token that is right but for what is given.
    func metadata(
        _ identity: Identity, audience: String? = nil, lifetime: Duration = .seconds(60), subject: String? = nil,
        key: P256.Signing.PrivateKey? = nil
    ) throws -> [(String, String)] {
        let end = Timestamp.now.advanced(by: lifetime)
        let token = try Token.sign(
            subject: subject ?? identity.svid.id.description, audience: [audience ?? id], expires: end,
            key: key ?? identity.svid.privateKey)
        return [(WellKnown.token, token), (WellKnown.tokenExpires, end.rfc3339)]
    }
}

@Suite("Bad peers", .serialized)
struct BadPeerTests {
    /// A manager and one of its endpoints, after each other.
    func withTargets(_ name: String, _ body: (Target) async throws -> Void) async throws {
        _ = cl_raise_file_limit()
        try await MeshFailureTests().withPair(name) { mesh, client, _ in
            for target in [
                Target(mesh: mesh, name: "nsmgr", address: mesh.managerSocket, client: client),
                Target(mesh: mesh, name: "\(name)-e0", address: .unix("\(mesh.directory)/e0.sock"), client: client),
            ] {
                try await body(target)
                try await target.expectHealthy("all")
            }
        }
    }

    /// What is sent after a good handshake, and what it is.
    static let malformed: [(String, [UInt8])] = [
        ("no preface", Array("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".utf8)),
        ("a frame longer than allowed", begun(HTTP2.frame(0, [1, 2, 3], stream: 1, length: 0xff_ffff))),
        ("data of a stream that was never opened", begun(HTTP2.frame(0, [1, 2, 3], stream: 1))),
        ("headers that can't be decoded", begun(HTTP2.frame(1, [255, 255, 255, 255, 255, 255], flags: 4, stream: 1))),
        ("a stream with an even number", begun(HTTP2.headers("x/y", stream: 2))),
        ("settings of five bytes", begun(HTTP2.frame(4, [0, 0, 0, 0, 0]))),
        ("a ping of seven bytes", begun(HTTP2.frame(6, [0, 0, 0, 0, 0, 0, 0]))),
        ("a window that grows by nothing", begun(HTTP2.frame(8, [0, 0, 0, 0]))),
        ("a continuation of nothing", begun(HTTP2.frame(9, [0x82], flags: 4, stream: 1))),
        ("settings for a stream", begun(HTTP2.frame(4, stream: 1))),
        (
            "a message longer than it can be",
            begun(
                HTTP2.headers("networkservice.NetworkService/Request"),
                HTTP2.message([1, 2, 3], isLast: false, length: .max))
        ),
        ("streams that are reset as soon as they are opened", resets),
    ]

    private static func begun(_ parts: [UInt8]...) -> [UInt8] { HTTP2.start + parts.flatMap { $0 } }

    private static var resets: [UInt8] {
        var bytes = HTTP2.start
        for number: UInt32 in 0..<2000 {
            bytes += HTTP2.headers("connection.MonitorConnection/MonitorConnections", stream: 2 * number + 1)
            bytes += HTTP2.frame(3, [0, 0, 0, 8], stream: 2 * number + 1)
        }
        return bytes
    }

    @Test("malformed frames end the connection or the stream, and nobody else notices")
    func frames() async throws {
        try await withTargets("bp1") { target in
            let identity = try target.mesh.newIdentity("evil")
            for (what, bytes) in Self.malformed {
                let peer = try await RawPeer.connect(target.address, identity)
                await peer.send(bytes)
                try await eventually("\(target.name) refuses \(what)", within: .seconds(20)) { peer.isRefused }
                await peer.close()
            }
            try await target.expectHealthy("malformed frames")
        }
    }

    @Test("bytes that are no TLS, and plain HTTP/2, end the connection")
    func garbage() async throws {
        try await withTargets("bp2") { target in
            for bytes in [[UInt8](repeating: UInt8(ascii: "x"), count: 70_000), HTTP2.start] {
                let peer = try await RawPeer.connect(target.address, nil)
                await peer.send(bytes)
                try await eventually("\(target.name) closes") { peer.isClosed }
            }
        }
    }

    @Test("a peer that connects and says nothing is dropped in time, and many of them keep nobody out")
    func silent() async throws {
        try await withTargets("bp3") { target in
            var silent: [RawPeer] = []
            for _ in 0..<300 { silent.append(try await RawPeer.connect(target.address, nil)) }
            try await target.expectHealthy("300 silent peers")
            try await eventually("the oldest are dropped") { silent.prefix(40).allSatisfy(\.isClosed) }
            try await eventually("all are dropped") { silent.allSatisfy(\.isClosed) }
        }
    }

    @Test("messages over the limit are refused with a reason")
    func huge() async throws {
        try await withTargets("bp4") { target in
            for size in [5 << 20, 32 << 20] {
                try await target.withEvil { connection, component in
                    var request = target.request()
                    request.connection.labels["filler"] = String(repeating: "x", count: size)
                    let error = await #expect(throws: NSMError.self) {
                        try await Calls(connection, component: component).request(request, timeout: .seconds(60))
                    }
                    #expect(error?.text.contains("exceeds the limit") == true, "\(error?.text ?? "none")")
                }
            }
        }
    }

    @Test("tokens for others, of others, ended and replayed are refused, and so are connections of others")
    func tokens() async throws {
        try await withTargets("bp5") { target in
            let victim = try target.mesh.newIdentity("bp5-client")
            try await target.withEvil { connection, _ in
                let own = try #require(connection.info.local)
                let service = Networkservice_NetworkService.Client(wrapping: connection.client)
                for (what, pairs) in [
                    ("no token", []),
                    ("a wrong audience", try target.metadata(own, audience: "spiffe://example.org/other")),
                    ("a token for the other", try target.metadata(own, audience: "spiffe://example.org/bp5-e1")),
                    ("an ended token", try target.metadata(own, lifetime: .seconds(-5))),
                    ("another key", try target.metadata(own, key: P256.Signing.PrivateKey())),
                    ("another subject", try target.metadata(own, subject: victim.svid.id.description)),
                    // Good in itself: captured from a connection of the victim's.
                    ("a replayed token", try target.metadata(victim)),
                ] as [(String, [(String, String)])] {
                    let error = await #expect(throws: RPCError.self, "\(what)") {
                        try await service.request(target.request(), metadata: callMetadata(pairs))
                    }
                    #expect(
                        [.permissionDenied, .unauthenticated].contains(error?.code),
                        "\(what)")
                    #expect(error?.message.isEmpty == false)
                }
                try await expectRefusal(of: service, own, target)
            }
            #expect(target.client.connection != nil)
        }
    }

    /// Ids can be seen by all who watch; they must not suffice to close or take over what is another's.
    private func expectRefusal(
        of service: Networkservice_NetworkService.Client<some ClientTransport>, _ own: Identity, _ target: Target
    ) async throws {
        let known = try #require(target.client.connection)
        let segment = try #require(
            known.path.pathSegments.first { $0.name == (target.name == "nsmgr" ? "host-nsmgr" : target.name) })
        var stolen = target.request()
        stolen.connection.path.pathSegments.append(
            .with { other in
                other.name = segment.name
                other.id = segment.id
            })
        let metadata = callMetadata(try target.metadata(own))
        await #expect(throws: RPCError.self) { try await service.close(stolen.connection, metadata: metadata) }
        await #expect(throws: RPCError.self) { try await service.request(stolen, metadata: metadata) }
    }

    @Test("a descriptor that is named and does not come is told")
    func missing() async throws {
        try await withTargets("bp6") { target in
            // An endpoint needs none of its callers'.
            guard target.name == "nsmgr" else { return }
            try await target.withEvil { connection, component in
                let error = await #expect(throws: NSMError.self) {
                    try await Calls(connection, component: component).request(target.request(), timeout: .seconds(60))
                }
                #expect(error?.text.contains("descriptor") == true, "\(error?.text ?? "none")")
            }
        }
    }

    @Test("thousands of descriptors that nobody asked for are closed")
    func flood() async throws {
        try await withTargets("bp7") { target in
            var sent: Set<Inode> = []
            try await target.withEvil { connection, _ in
                let channel = try #require(connection.info.descriptors)
                let health = Grpc_Health_V1_Health.Client(wrapping: connection.client)
                for _ in 0..<40 {
                    for _ in 0..<50 {
                        let pipe = try Pipe()
                        sent.insert(pipe.end.inode)
                        try channel.send(pipe.end)
                    }
                    _ = try await health.check(Grpc_Health_V1_HealthCheckRequest())
                    // What is on its way, at the sender's and at the receiver's.
                    #expect(openCount(sent) <= 256 + 100)
                }
                try await eventually("the surplus is closed") { openCount(sent) <= 256 }
            }
            try await eventually("nothing is left") { openCount(sent) == 0 }
        }
    }

    @Test("peers that close in the middle of a request leave nothing behind")
    func closing() async throws {
        try await withTargets("bp8") { target in
            let identity = try target.mesh.newIdentity("evil")
            let bytes = Array(try target.request().serializedBytes() as [UInt8])
            let method = "networkservice.NetworkService/Request"
            for cut in [1, bytes.count / 2, bytes.count] {
                for _ in 0..<20 {
                    let peer = try await RawPeer.connect(target.address, identity)
                    let whole =
                        HTTP2.start + HTTP2.headers(method, try target.metadata(identity)) + HTTP2.message(bytes)
                    await peer.send(Array(whole.prefix(whole.count - bytes.count + cut)))
                    await peer.close()
                }
            }
            // The same with descriptors, by calls that are given up at once.
            var sent: Set<Inode> = []
            for _ in 0..<20 {
                try await target.withEvil { connection, component in
                    let pipe = try Pipe()
                    sent.insert(pipe.end.inode)
                    var request = target.request()
                    request.mechanismPreferences = [.kernel(name: "nsm-9", inodeURL: pipe.end.inode.url)]
                    try connection.info.descriptors?.send(pipe.end)
                    let message = request
                    let call = Task {
                        try await Calls(connection, component: component).request(message, timeout: .seconds(60))
                    }
                    connection.closeNow()
                    _ = await call.result
                }
            }
            try await eventually("no descriptor is left") { openCount(sent) == 0 }
        }
    }

    @Test("a request that is refused leaves no descriptor, whatever it is refused for")
    func refusedDescriptors() async throws {
        try await withTargets("bp10") { target in
            try await target.withEvil { connection, component in
                let pipe = try Pipe()
                func ask(_ change: (inout Networkservice_NetworkServiceRequest) -> Void) async throws {
                    var request = target.request()
                    request.mechanismPreferences = [.kernel(name: "nsm-9", inodeURL: pipe.end.inode.url)]
                    change(&request)
                    try connection.info.descriptors?.send(pipe.end)
                    let message = request
                    await #expect(throws: (any Error).self) {
                        try await Calls(connection, component: component).request(message, timeout: .seconds(60))
                    }
                }
                try await ask { $0.mechanismPreferences += Array(repeating: .kernel(name: "x"), count: 64) }
                try await ask { $0.mechanismPreferences[0].parameters["name"] = "a name that is too long" }
                try await ask { $0.connection.networkService = "nobody's" }
                try await ask { $0.connection.path.index = 7 }
                var gone = target.request().connection
                gone.mechanism = .kernel(name: "nsm-9", inodeURL: pipe.end.inode.url)
                try connection.info.descriptors?.send(pipe.end)
                try? await Calls(connection, component: component).close(gone, timeout: .seconds(60))
                let inode = pipe.end.inode
                // Ours is one, and what is sent by another connection would be closed with it.
                try await eventually("the mesh holds none", within: .seconds(20)) { openCount([inode]) == 1 }
            }
        }
    }

    @Test("peers that never read what they watch hold nobody up")
    func slow() async throws {
        try await withTargets("bp9") { target in
            let identity = try target.mesh.newIdentity("evil")
            let peer = try await RawPeer.connect(target.address, identity, reads: false)
            peer.sendLater(HTTP2.start)
            for number in 0..<200 {
                let stream = UInt32(2 * number + 1)
                peer.sendLater(
                    HTTP2.headers(
                        "connection.MonitorConnection/MonitorConnections", try target.metadata(identity), stream: stream
                    )
                        + HTTP2.message([], stream: stream))
            }
            for _ in 0..<100 { try await target.client.refresh() }
            try await target.expectHealthy("a slow reader")
            await peer.close()
        }
    }
}

private func callMetadata(_ pairs: [(String, String)]) -> Metadata {
    var metadata = Metadata()
    for (key, value) in pairs { metadata.addString(value, forKey: key) }
    return metadata
}

/// The reading end of a pipe whose writing end is closed.
struct Pipe {
    let end: Descriptor

    init() throws {
        var ends: [Int32] = [-1, -1]
        guard Glibc.pipe(&ends) == 0 else { throw MeshFixture.Failure("no pipe: \(errno)") }
        close(ends[1])
        end = try Descriptor(owning: ends[0])
    }
}

/// How many descriptors of these files are open in this process.
func openCount(_ inodes: Set<Inode>) -> Int {
    guard let directory = opendir("/proc/self/fd") else { return -1 }
    defer { closedir(directory) }
    var count = 0
    while let entry = readdir(directory) {
        let name = withUnsafeBytes(of: entry.pointee.d_name) {
            String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        var status = stat()
        guard let number = Int32(name), fstat(number, &status) == 0 else { continue }
        if inodes.contains(Inode(device: UInt64(status.st_dev), number: UInt64(status.st_ino))) { count += 1 }
    }
    return count
}
