import GRPCCore
import MeshTransport
import NetworkTypes
import SPIFFE
import Synchronization
import TestSupport
import Testing

@testable import NSM

/// Prefixes that endpoints share, by the IPAM protocol of vL3 networks.
@Suite("Shared prefixes", .serialized)
struct SharedPrefixTests {
    static func prefix(_ text: String) throws -> IPPrefix { try #require(IPPrefix(text)) }

    static func pool(_ network: String, _ length: UInt8) throws -> PrefixPool {
        try #require(PrefixPool(prefix(network), length: length))
    }

    // MARK: - The pool

    @Test("parts come in order, each once, and one that is given back comes last")
    func parts() throws {
        var pool = try Self.pool("10.60.0.0/22", 24)
        let first = (0..<4).compactMap { _ in pool.take() }
        #expect(first.map { "\($0)" } == ["10.60.0.0/24", "10.60.1.0/24", "10.60.2.0/24", "10.60.3.0/24"])
        #expect(pool.take() == nil && pool.count == 4)
        pool.free(first[2])
        pool.free(first[0])
        #expect(pool.take() == first[0] && pool.take() == first[2])
        pool.free(first[1])
        #expect(pool.take(try Self.prefix("10.60.1.7/24")) == first[1])
    }

    @Test("a wish is granted when it is free and is such a part")
    func wishes() throws {
        var pool = try Self.pool("2001:db8::/48", 64)
        let wanted = try Self.prefix("2001:db8:0:7::/64")
        #expect(pool.take(wanted) == wanted)
        for other in ["2001:db8:0:7::/64", "2001:db8:0:7::/80", "2001:db9::/64", "10.0.0.0/24"] {
            let given = try #require(pool.take(try Self.prefix(other)))
            #expect(given.length == 64 && given != wanted && pool.network.contains(given.address))
        }
    }

    @Test("nothing that is excluded is given, whatever its size")
    func exclusions() throws {
        var pool = try Self.pool("10.0.0.0/16", 24)
        let excluded = try ["10.0.0.0/17", "10.0.128.9/32", "10.0.129.0/24"].map(Self.prefix)
        #expect(pool.take(try Self.prefix("10.0.1.0/24"), excluding: excluded) == (try Self.prefix("10.0.130.0/24")))
        #expect(pool.take(excluding: [.any(.v4)]) == nil)
        #expect(pool.take(excluding: [.any(.v6)]) != nil)
    }

    @Test(
        "a pool divides what can be divided",
        arguments: [
            ("10.0.0.0/24", 23), ("10.0.0.0/24", 31), ("::/64", 127), ("10.0.0.0/31", 31), ("10.0.0.0/32", 32),
            ("::/127", 127), ("::/128", 128), ("10.0.0.0/31", 24), ("::/128", 64),
        ])
    func sizes(network: String, length: UInt8) throws {
        #expect(PrefixPool(try Self.prefix(network), length: length) == nil)
    }

    @Test("no two parts overlap, and all are found, in random order")
    func random() throws {
        for seed in Seeds("prefix pools", usual: 100, long: 5000) {
            var random = SeededGenerator(seed: seed)
            let (network, length) = random.pick([("10.9.0.0/26", UInt8(28)), ("2001:db8::/120", 123), ("0.0.0.0/0", 2)])
            var pool = try Self.pool(network, length)
            let all = 1 << Int(length - pool.network.length)
            var held: [IPPrefix] = []
            for _ in 0..<60 {
                if !held.isEmpty, random.chance(40) {
                    pool.free(held.remove(at: random.below(held.count)))
                } else if let part = pool.take(random.chance(30) ? held.randomElement(using: &random) : nil) {
                    #expect(!held.contains(where: part.overlaps), "seed \(seed)")
                    held.append(part)
                } else {
                    #expect(held.count == all, "seed \(seed)")
                }
                #expect(pool.count == held.count, "seed \(seed)")
            }
        }
    }

    // MARK: - By the wire

    static func identity(_ name: String, _ authority: CertificateAuthority) throws -> Component {
        Component(
            name: name, security: .identity(FixedIdentity(try EndpointFixture.identity(name, authority))),
            dialTimeout: .seconds(1), logger: EndpointFixture.quiet)
    }

    /// Serves an IPAM while `body` runs.
    func withServer(
        _ service: any RegistrableRPCService, at address: SocketAddress, _ authority: CertificateAuthority,
        _ body: () async throws -> Void
    ) async throws {
        try await withServer(service, try ServerListener(address), authority, body)
    }

    func withServer(
        _ service: any RegistrableRPCService, _ listener: ServerListener, _ authority: CertificateAuthority,
        _ body: () async throws -> Void
    ) async throws {
        let server = RPCServer(
            listener, security: try Self.identity("ipam", authority).security, services: [service],
            logger: EndpointFixture.quiet)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run() }
            defer { group.cancelAll() }
            try await body()
        }
    }

    static func server(
        _ pool: PrefixPool, comeback: Duration = .zero, isUnlimited: Bool = true, book: PrefixBook = PrefixBook()
    ) -> PrefixServer {
        PrefixServer(pool, comeback: comeback, book: book) { info in
            PrefixCallers.Caller(account: info?.peer?.id.path ?? "", isUnlimited: isUnlimited)
        }
    }

    static func path() -> SocketAddress { .unix("/tmp/nsm-sp-\(UInt64.random(in: 0...UInt64.max)).sock") }

    /// Follows a server as an endpoint would while `body` runs.
    func withClient(
        _ name: String, _ address: SocketAddress, _ authority: CertificateAuthority,
        _ body: (SharedPrefix) async throws -> Void
    ) async throws {
        let connector = PeerConnector(address, component: try Self.identity(name, authority))
        let client = SharedPrefix(connector)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await connector.run() }
            group.addTask { await client.run { _ in } }
            defer { group.cancelAll() }
            try await body(client)
        }
    }

    @Test(
        "while one is away nobody else has its part, and it gets it again without a word of its own, by another server too",
        .timeLimit(.minutes(3)))
    func record() async throws {
        let authority = try CertificateAuthority(newFor: "example.org", lifetime: .seconds(3600))
        let address = Self.path()
        let pool = try Self.pool("10.60.0.0/16", 24)
        let part = try Self.prefix("10.60.0.0/24")
        let book = PrefixBook()
        try await withServer(Self.server(pool, book: book), at: address, authority) {
            try await withClient("a", address, authority) { a in
                try await eventually("a part") { a.grant?.prefix == part }
            }
        }
        // Its server was killed, and has what was written.
        let second = Self.server(pool, comeback: .seconds(2), book: PrefixBook(book.lines))
        try await withServer(second, at: address, authority) {
            let thief = PeerConnector(address, component: try Self.identity("b", authority))
            let wishing = SharedPrefix(thief, wish: part)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { await thief.run() }
                group.addTask { await wishing.run { _ in } }
                defer { group.cancelAll() }
                try await eventually("another part") { wishing.grant != nil }
                #expect(wishing.grant?.prefix == (try Self.prefix("10.60.1.0/24")))
                try await withClient("a", address, authority) { a in
                    try await eventually("its own part") { a.grant?.prefix == part }
                }
            }
        }
    }

    @Test(
        "endpoints get parts of their own, keep them over a restart of the server, and give them back",
        .timeLimit(.minutes(10)))
    func life() async throws {
        let authority = try CertificateAuthority(newFor: "example.org", lifetime: .seconds(3600))
        let address = Self.path()
        let pool = try Self.pool("10.60.0.0/16", 24)
        try await withClient("a", address, authority) { a in
            try await withClient("b", address, authority) { b in
                let first = Self.server(pool)
                try await withServer(first, at: address, authority) {
                    try await eventually("two prefixes") { a.grant != nil && b.grant != nil }
                    #expect(first.count == 2 && a.lastError == nil)
                }
                let before = [a.grant, b.grant]
                #expect(before[0] != before[1])
                try await eventually("the server is missed") { a.lastError != nil && b.lastError != nil }
                // A third one is there first, and must not get what is in use.
                try await withClient("c", address, authority) { c in
                    let second = Self.server(pool, comeback: .seconds(5))
                    try await withServer(second, at: address, authority) {
                        try await eventually("three prefixes") { second.count == 3 && c.grant != nil }
                        #expect([a.grant, b.grant] == before)
                        #expect(c.grant?.network == (try Self.prefix("10.60.0.0/16")))
                        #expect(c.grant?.prefix == (try Self.prefix("10.60.2.0/24")))
                    }
                }
            }
        }
    }

    @Test("who goes gives back what he had; what can't be answered is refused in words", .timeLimit(.minutes(10)))
    func requests() async throws {
        let authority = try CertificateAuthority(newFor: "example.org", lifetime: .seconds(3600))
        let address = Self.path()
        let server = Self.server(try Self.pool("10.60.0.0/23", 24))
        try await withServer(server, at: address, authority) {
            let connector = PeerConnector(address, component: try Self.identity("a", authority))
            let running = Task { await connector.run() }
            /// The answers to some requests of one stream, and how it ended.
            func ask(_ requests: [Ipam_PrefixRequest]) async throws -> ([String], String) {
                let connection = try await connector.connection(within: .seconds(60))
                let answers = Mutex<[String]>([])
                do {
                    try await Ipam_IPAM.Client(wrapping: connection.client).managePrefixes { writer in
                        for request in requests { try await writer.write(request) }
                    } onResponse: { response in
                        for try await message in response.messages { answers.withLock { $0.append(message.prefix) } }
                    }
                } catch let error as RPCError {
                    return (answers.withLock { $0 }, "\(error.code): \(error.message)")
                }
                return (answers.withLock { $0 }, "")
            }
            func request(_ type: Ipam_Type, _ prefix: String = "", _ excluded: [String] = []) -> Ipam_PrefixRequest {
                .with { request in
                    request.type = type
                    request.prefix = prefix
                    request.excludePrefixes = excluded
                }
            }
            var (prefixes, end) = try await ask([request(.allocate), request(.allocate), request(.allocate)])
            #expect(prefixes == ["10.60.0.0/24", "10.60.1.0/24"] && end.contains("no /24 of 10.60.0.0/23 is left"))
            // The stream has ended, and all is there again.
            try await eventually("nothing is held") { server.count == 0 }
            (prefixes, end) = try await ask([
                request(.allocate, "10.60.1.0/24"), request(.delete, "10.60.1.0/24"), request(.delete, "10.60.1.0/24"),
                request(.delete, "x"), request(.allocate, "10.60.1.0/24"),
            ])
            #expect(prefixes == ["10.60.1.0/24", "10.60.1.0/24"] && end.isEmpty)
            try await eventually("nothing is held") { server.count == 0 }
            (prefixes, end) = try await ask([request(.allocate, "", ["nonsense"])])
            #expect(prefixes.isEmpty && end.contains("'nonsense' is not a prefix"))
            (prefixes, end) = try await ask([request(.undefined)])
            #expect(prefixes.isEmpty && end.contains("neither ALLOCATE nor DELETE"))
            (prefixes, end) = try await ask([request(.allocate, "", Array(repeating: "10.0.0.0/8", count: 1025))])
            #expect(prefixes.isEmpty && end.contains("1024 exclusions"))
            #expect(server.count == 0)
            running.cancel()
            await running.value
        }
    }

    @Test("a peer has an eighth of the network, and others have theirs", .timeLimit(.minutes(10)))
    func limits() async throws {
        let authority = try CertificateAuthority(newFor: "example.org", lifetime: .seconds(3600))
        let address = Self.path()
        let server = Self.server(try Self.pool("10.60.0.0/20", 24), isUnlimited: false)
        try await withServer(server, at: address, authority) {
            let connectors = try ["a", "b"].map { name in
                PeerConnector(address, component: try Self.identity(name, authority))
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for connector in connectors { group.addTask { await connector.run() } }
                defer { group.cancelAll() }
                let a = (0..<4).map { _ in SharedPrefix(connectors[0]) }
                for one in a { group.addTask { await one.run { _ in } } }
                try await eventually("the limit is met") {
                    let errors = a.compactMap(\.lastError)
                    return a.count { $0.grant != nil } == 2 && errors.contains { $0.contains("has 2 prefixes") }
                }
                let b = SharedPrefix(connectors[1])
                group.addTask { await b.run { _ in } }
                try await eventually("another peer has what is its own") { b.grant != nil }
                #expect(server.count == 3)
            }
        }
    }

    @Test("a relay hands on what is asked, and ends with the server and with the caller", .timeLimit(.minutes(10)))
    func relay() async throws {
        let authority = try CertificateAuthority(newFor: "example.org", lifetime: .seconds(3600))
        let (near, far) = (Self.path(), Self.path())
        let server = Self.server(try Self.pool("10.60.0.0/16", 24))
        let connector = PeerConnector(far, component: try Self.identity("relay", authority))
        let running = Task { await connector.run() }
        try await withServer(
            PrefixRelay(connector, admit: { _ in .init(account: "x", isUnlimited: true) }), at: near, authority
        ) {
            try await withClient("a", near, authority) { a in
                try await eventually("the server is missed") { a.lastError?.contains("the IPAM at") == true }
                try await withServer(server, at: far, authority) {
                    try await eventually("a prefix") { a.grant != nil }
                    try await withClient("b", near, authority) { b in
                        try await eventually("another prefix") { b.grant != nil && b.grant != a.grant }
                        #expect(server.count == 2)
                    }
                    try await eventually("it is given back") { server.count == 1 }
                }
            }
        }
        running.cancel()
        await running.value
    }

    @Test("a relay knows whose of its host a part was, and the server takes its word", .timeLimit(.minutes(2)))
    func relayedRecord() async throws {
        let authority = try CertificateAuthority(newFor: "example.org", lifetime: .seconds(3600))
        let (near, far) = (Self.path(), Self.path())
        let server = PrefixServer(try Self.pool("10.60.0.0/16", 24), comeback: .zero) { info in
            .init(account: info?.peer?.id.path ?? "", isUnlimited: true, isRelay: true)
        }
        let connector = PeerConnector(far, component: try Self.identity("relay", authority))
        let running = Task { await connector.run() }
        let relay = PrefixRelay(connector) { info in
            .init(account: info?.peer?.id.path ?? "", isUnlimited: true)
        }
        let (first, second) = (try Self.prefix("10.60.0.0/24"), try Self.prefix("10.60.1.0/24"))
        try await withServer(server, at: far, authority) {
            try await withServer(relay, at: near, authority) {
                try await withClient("a", near, authority) { a in
                    try await eventually("a part") { a.grant?.prefix == first }
                }
                try await eventually("it is given back") { server.count == 0 }
                try await withClient("b", near, authority) { b in
                    try await eventually("another part") { b.grant?.prefix == second }
                    try await withClient("a", near, authority) { a in
                        try await eventually("its own part") { a.grant?.prefix == first }
                    }
                }
            }
        }
        running.cancel()
        await running.value
    }

    @Test(
        "answers that no network can be meant by are refused",
        arguments: ["", "x", "0.0.0.0/0", "10.0.0.0/31", "::/3", "10.0.0.1"])
    func nonsense(prefix: String) {
        #expect(throws: NSMError.self) { try SharedPrefix.grant(.with { $0.prefix = prefix }) }
    }

    // MARK: - Endpoints

    @Test("clients of an endpoint whose prefix is another one keep what lies in it and get new addresses for the rest")
    func replaced() async throws {
        let fixture = try EndpointFixture([.init(name: "svc", ipam: nil)])
        try await fixture.run {
            try await fixture.withCalls { calls in
                func request(_ connection: NSMConnection?) async throws -> NSMConnection {
                    var request = EndpointFixture.request("x", "svc")
                    if let connection { request.connection = connection }
                    return try await calls.request(request, timeout: .seconds(30))
                }
                var connection = try await request(nil)
                #expect(connection.context.ipContext.srcIpAddrs.isEmpty)
                let (both, other) = ("10.0.0.0/24,2001:db8::/120", "10.0.9.0/24,2001:db8::/120")
                fixture.endpoint.replace(addresses: try #require(PointToPointIPAM(both)), of: "svc")
                #expect(fixture.endpoint.state.connections.values.map(\.state) == [.refreshRequested])
                connection = try await request(connection)
                #expect(connection.context.ipContext.srcIpAddrs == ["10.0.0.2/32", "2001:db8::1/128"])
                fixture.endpoint.replace(addresses: try #require(PointToPointIPAM(other)), of: "svc")
                // Who comes in between does not get what the first still has.
                let second = try await calls.request(EndpointFixture.request("y", "svc"), timeout: .seconds(30))
                #expect(second.context.ipContext.srcIpAddrs == ["10.0.9.2/32", "2001:db8::3/128"])
                connection = try await request(connection)
                #expect(connection.context.ipContext.srcIpAddrs == ["2001:db8::1/128", "10.0.9.4/32"])
                #expect(connection.context.ipContext.dstIpAddrs.contains("10.0.9.3/32"))
                #expect(!connection.context.ipContext.srcRoutes.contains { $0.prefix.hasPrefix("10.0.0.") })
            }
        }
    }
}
