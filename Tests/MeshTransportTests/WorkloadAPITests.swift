import MeshTransport
import GRPCCore
import Logging
import SPIFFE
import Synchronization
import Testing

/// Our Workload API client with our Workload API service, over real sockets.
@Suite("The Workload API", .serialized)
struct WorkloadAPITests {
    let authority: CertificateAuthority
    let path = TransportTests.path()

    init() throws { authority = try CertificateAuthority(newFor: "example.org", lifetime: .seconds(3600)) }

    private func identity(_ name: String, _ bundles: TrustBundles? = nil) throws -> Identity {
        Identity(
            svid: try authority.issue(SPIFFEID("spiffe://example.org/\(name)"), lifetime: .seconds(600)),
            bundles: try bundles ?? authority.bundles())
    }

    /// Serves while `body` runs.
    private func withService(
        _ identities: @escaping @Sendable (ServerContext) async throws -> AsyncStream<Identity>,
        _ body: () async throws -> Void
    ) async throws {
        let server = RPCServer(
            try ServerListener(.unix(path)), security: .insecure,
            services: [WorkloadAPIService(identities: identities)],
            logger: TransportTests.quiet)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run() }
            defer { group.cancelAll() }
            try await body()
        }
    }

    /// Follows the service while `body` runs, in haste.
    private func withClient(_ body: (WorkloadIdentity) async throws -> Void) async throws {
        let client = WorkloadIdentity(socket: "unix://\(path)", logger: TransportTests.quiet, step: .milliseconds(20))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await client.run() }
            defer { group.cancelAll() }
            try await body(client)
        }
    }

    private func eventually(_ condition: () async throws -> Bool) async throws {
        while try await !condition() { try await Task.sleep(for: .milliseconds(5)) }
    }

    @Test(
        "the last identity stays while the API is away, and a new one comes when it is back", .timeLimit(.minutes(10)))
    func outage() async throws {
        try await withClient { client in
            try await eventually { client.lastError?.contains(path) == true }
            let first = FixedIdentity(try identity("first"))
            try await withService({ _ in first.identities() }) {
                let identity = try await client.identity()
                #expect(identity.svid.id.path == "/first" && client.lastError == nil)
            }
            try await eventually { client.lastError != nil }
            #expect(try await client.identity().svid.id.path == "/first")
            let second = FixedIdentity(try identity("second"))
            try await withService({ _ in second.identities() }) {
                try await eventually { try await client.identity().svid.id.path == "/second" }
                #expect(client.lastError == nil)
            }
        }
    }

    @Test("over TCP too, and a place that is none is told of", .timeLimit(.minutes(10)))
    func tcp() async throws {
        let source = FixedIdentity(try identity("far"))
        let listener = try ServerListener(.tcp(host: "127.0.0.1", port: 0))
        let server = RPCServer(
            listener, security: .insecure, services: [WorkloadAPIService { _ in source.identities() }],
            takesDescriptors: false, logger: TransportTests.quiet)
        let client = WorkloadIdentity(socket: listener.address.url, logger: TransportTests.quiet)
        let wrong = WorkloadIdentity(socket: "/no/url", logger: TransportTests.quiet, step: .milliseconds(1))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run() }
            group.addTask { await client.run() }
            group.addTask { await wrong.run() }
            #expect(try await client.identity().svid.id.path == "/far")
            try await eventually { wrong.lastError?.contains("has no scheme") == true }
            group.cancelAll()
        }
    }

    @Test("rotated identities come by the same stream, each once", .timeLimit(.minutes(10)))
    func rotation() async throws {
        let source = FixedIdentity(try identity("0"))
        let calls = Atomic<Int>(0)
        try await withService({ _ in
            calls.add(1, ordering: .relaxed)
            return source.identities()
        }) {
            try await withClient { client in
                var seen = client.identities().makeAsyncIterator()
                for number in 0..<20 {
                    #expect(await seen.next()?.svid.id.path == "/\(number)")
                    source.replace(try identity("\(number + 1)"))
                }
                #expect(calls.load(ordering: .relaxed) == 1)
            }
        }
    }

    @Test("who has no identity yet asks again until there is one; who asks wrongly does not", .timeLimit(.minutes(10)))
    func permission() async throws {
        let calls = Atomic<Int>(0)
        let source = FixedIdentity(try identity("late"))
        try await withService({ _ in
            guard calls.add(1, ordering: .relaxed).newValue > 4 else {
                throw RPCError(code: .permissionDenied, message: "no identity issued")
            }
            return source.identities()
        }) {
            try await withClient { client in
                try await eventually { client.lastError?.contains("no identity issued") == true }
                #expect(try await client.identity().svid.id.path == "/late")
                #expect(calls.load(ordering: .relaxed) == 5)
            }
        }
        try await withService({ _ in throw RPCError(code: .invalidArgument, message: "wrong") }) {
            let client = WorkloadIdentity(
                socket: "unix://\(path)", logger: TransportTests.quiet, step: .milliseconds(1))
            await client.run()
            #expect(client.lastError?.contains("wrong") == true)
        }
    }

    @Test("federated bundles make peers of other domains known, and only of those", .timeLimit(.minutes(10)))
    func federation() async throws {
        let foreign = try CertificateAuthority(newFor: "foreign.org", lifetime: .seconds(3600))
        let both = try TrustBundles(["example.org": [authority.certificate], "foreign.org": [foreign.certificate]])
        let ours = FixedIdentity(try identity("ours", both))
        func security(_ authority: CertificateAuthority, _ domain: String) throws -> Security {
            .identity(
                FixedIdentity(
                    Identity(
                        svid: try authority.issue(SPIFFEID("spiffe://\(domain)/w"), lifetime: .seconds(600)),
                        bundles: both)))
        }
        try await withService({ _ in ours.identities() }) {
            try await withClient { client in
                #expect(Set(try await client.identity().bundles.authorities.keys) == ["example.org", "foreign.org"])
                let address = SocketAddress.unix(TransportTests.path())
                let server = RPCServer(
                    try ServerListener(address), security: .identity(client), services: [EchoService()],
                    logger: TransportTests.quiet)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await server.run() }
                    func connect(_ security: Security) async throws -> ClientConnection {
                        try await ClientConnection.connect(
                            to: address, security: security, timeout: .seconds(60), logger: TransportTests.quiet)
                    }
                    let friend = try await connect(try security(foreign, "foreign.org"))
                    let running = Task { await friend.run() }
                    #expect(friend.info.peer?.id.path == "/ours")
                    #expect(try await call(friend, "x") == "x")
                    friend.closeNow()
                    await running.value
                    let other = try CertificateAuthority(newFor: "other.org", lifetime: .seconds(3600))
                    await expectRefusal { try await connect(try security(other, "other.org")) }
                    // The foreign authority has no say over names of our own domain.
                    let liar = try CertificateAuthority(newFor: "example.org", lifetime: .seconds(3600))
                    await expectRefusal { try await connect(try security(liar, "example.org")) }
                    // The domain is taken out of the bundles: the next handshake counts.
                    ours.replace(try identity("ours"))
                    try await eventually { try await client.identity().bundles.authorities.count == 1 }
                    await expectRefusal { try await connect(try security(foreign, "foreign.org")) }
                    group.cancelAll()
                }
            }
        }
    }
}
