import Concurrency
import Crypto
import MeshTransport
import GRPCCore
import NSM
import NetworkTypes
import SPIFFE
import TestSupport
import Testing
import X509

@testable import Mesh

@Suite("A mesh on one host", .serialized)
struct MeshTests {
    @Test("a client is connected to an endpoint, refreshed and closed")
    func connect() async throws {
        let mesh = try MeshFixture()
        defer { mesh.remove() }
        try await mesh.withNamespace("mt-client") { clientSpace in
            try await mesh.withNamespace("mt-server") { serverSpace in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    let identity = try mesh.identity("nsmgr")
                    let manager = try mesh.manager(identity)
                    group.addTask { try await manager.run() }
                    let server = PeerConnector(mesh.managerSocket, component: try mesh.component("server"))
                    group.addTask { await server.run() }
                    let endpoint = NetworkServiceEndpoint(
                        name: "server",
                        services: [.init(name: "icmp", ipam: PointToPointIPAM("172.16.0.0/24,2001:db8::/64"))],
                        socket: "\(mesh.directory)/server.sock", manager: server, namespace: serverSpace)
                    group.addTask { try await endpoint.run() }
                    let asker = PeerConnector(mesh.managerSocket, component: try mesh.component("client"))
                    group.addTask { await asker.run() }
                    let client = NetworkServiceClient(
                        .init(id: "client-0", networkService: "icmp", interfaceName: "nsm-1", namespace: clientSpace),
                        manager: asker)
                    let running = Task { await client.run() }
                    try await eventually("connected") { client.connection != nil }
                    let connection = try #require(client.connection)
                    #expect(connection.path.pathSegments.map(\.name) == ["client", "host-nsmgr", "server"])
                    #expect(connection.context.ipContext.srcIpAddrs == ["172.16.0.2/32", "2001:db8::1/128"])
                    _ = try run("ip netns exec mt-client ping -c1 -W2 172.16.0.1")
                    _ = try run("ip netns exec mt-client ping -c1 -W2 2001:db8::")
                    let before = try run("ip -n mt-client -j link show nsm-1")
                    try await client.refresh()
                    #expect(try run("ip -n mt-client -j link show nsm-1") == before)
                    // What it signs onward has the new key; the client's transport connection showed it the old one.
                    identity.replace(try mesh.newIdentity("nsmgr"))
                    for _ in 0..<2 { try await client.refresh() }
                    #expect(try run("ip -n mt-client -j link show nsm-1") == before)
                    // Also while it is kept: nothing has it again behind our back.
                    try await client.close()
                    await running.value
                    #expect(throws: (any Error).self) { try run("ip -n mt-client link show nsm-1") }
                    await #expect(throws: NSMError.self) { try await client.refresh() }
                    #expect(endpoint.state.connections.isEmpty)
                    group.cancelAll()
                }
            }
        }
    }
}

@Suite("A mesh whose parts fail", .serialized)
struct MeshFailureTests {
    /// Runs a mesh with a client that is connected to one of two endpoints: to the first unless echoes have little time, which a
    /// busy machine may need for them.
    func withPair(
        _ name: String,
        liveness: LivenessCheck = LivenessCheck(interval: .milliseconds(200), timeout: .seconds(60)),
        _ body: (MeshFixture, NetworkServiceClient, _ endpoints: [Task<Void, any Error>]) async throws -> Void
    ) async throws {
        let mesh = try MeshFixture()
        defer { mesh.remove() }
        try await mesh.withNamespace("\(name)-c") { clientSpace in
            try await mesh.withNamespace("\(name)-s") { serverSpace in
                let manager = try mesh.manager()
                let managing = Task { try await manager.run() }
                var connectors: [Task<Void, Never>] = []
                var endpoints: [Task<Void, any Error>] = []
                for number in 0..<2 {
                    let connector = PeerConnector(
                        mesh.managerSocket, component: try mesh.component("\(name)-e\(number)"))
                    connectors.append(Task { await connector.run() })
                    let endpoint = NetworkServiceEndpoint(
                        name: "\(name)-e\(number)",
                        services: [.init(name: "svc", ipam: PointToPointIPAM("172.16.\(number).0/24"))],
                        socket: "\(mesh.directory)/e\(number).sock", manager: connector, namespace: serverSpace,
                        registersServices: false)
                    endpoints.append(Task { try await endpoint.run() })
                    try await eventually("registered") { endpoint.state.registeredUntil != nil }
                }
                let asker = PeerConnector(mesh.managerSocket, component: try mesh.component("\(name)-client"))
                connectors.append(Task { await asker.run() })
                let client = NetworkServiceClient(
                    .init(
                        id: "c-0", networkService: "svc", interfaceName: "nsm-1", namespace: clientSpace,
                        liveness: liveness),
                    manager: asker)
                let running = Task { await client.run() }
                try await eventually("connected") { client.connection != nil }
                try await body(mesh, client, endpoints)
                running.cancel()
                await running.value
                try? await client.close()
                for task in connectors { task.cancel() }
                for task in endpoints { task.cancel() }
                managing.cancel()
                for task in connectors { await task.value }
                for task in endpoints { _ = await task.result }
                _ = await managing.result
            }
        }
    }

    @Test("the data path dies, and the client is connected to another endpoint")
    func reselect() async throws {
        let liveness = LivenessCheck(interval: .milliseconds(200), timeout: .milliseconds(400))
        try await withPair("mf1", liveness: liveness) { mesh, client, _ in
            func endpoint() -> String? { client.connection?.networkServiceEndpointName }
            let first = endpoint()
            _ = try run("ip -n mf1-c link set nsm-1 down")
            try await eventually("another endpoint") { ![nil, "", first].contains(endpoint()) }
            // With slow echoes it may go on to the next one.
            try await eventually("an echo") {
                let address = client.connection?.context.ipContext.destinationPrefixes.first?.address
                return address.map { (try? run("ip netns exec mf1-c ping -c1 -W1 \($0)")) != nil } ?? false
            }
            try await eventually("one link") {
                try run("ip -n mf1-c -o link").split(separator: "\n").count == 2
            }
        }
    }

    @Test("a service that is taken back ends its connections, and one that is offered again at once does not")
    func withdrawn() async throws {
        try await withPair("mf4") { mesh, client, endpoints in
            let connector = PeerConnector(mesh.managerSocket, component: try mesh.component("mf4-e0"))
            let connecting = Task { await connector.run() }
            let registry = RegistryClient(connector)
            func takeBack(_ name: String) async throws {
                try await registry.unregister(NSMNetworkServiceEndpoint.with { $0.name = name }, socket: nil)
            }
            let other = PeerConnector(mesh.managerSocket, component: try mesh.component("mf4-e1"))
            let connectingOther = Task { await other.run() }
            endpoints[1].cancel()
            _ = await endpoints[1].result
            try await RegistryClient(other).unregister(
                NSMNetworkServiceEndpoint.with { $0.name = "mf4-e1" }, socket: nil)
            connectingOther.cancel()
            await connectingOther.value
            let before = try run("ip -n mf4-c -j link show nsm-1")
            // The endpoint sees by its watch that it was removed, and registers again.
            try await takeBack("mf4-e0")
            try await eventually("the same again") { client.refreshes > 0 }
            #expect(try run("ip -n mf4-c -j link show nsm-1") == before)
            endpoints[0].cancel()
            _ = await endpoints[0].result
            try await takeBack("mf4-e0")
            try await eventually("the link is gone") { (try? run("ip -n mf4-c link show nsm-1")) == nil }
            connecting.cancel()
            await connecting.value
        }
    }

    @Test("wrong tokens, wrong audiences and paths of others are refused, and nobody else notices")
    func badPeers() async throws {
        try await withPair("mf2") { mesh, client, _ in
            let component = try mesh.component("mf2-evil")
            let connection = try await ClientConnection.connect(
                to: mesh.managerSocket, security: component.security, timeout: .seconds(60), logger: mesh.logger)
            let running = Task { await connection.run() }
            let service = Networkservice_NetworkService.Client(wrapping: connection.client)
            let local = try #require(connection.info.local)
            let peer = try #require(connection.info.peer)
            func metadata(_ audience: String, _ end: Timestamp, key: P256.Signing.PrivateKey? = nil) throws -> Metadata
            {
                let token = try Token.sign(
                    subject: local.svid.id.description, audience: [audience], expires: end,
                    key: key ?? local.svid.privateKey)
                return ["nsm-client-token": "\(token)", "nsm-client-token-expires": "\(end.rfc3339)"]
            }
            var request = Networkservice_NetworkServiceRequest()
            request.connection.id = "x"
            request.connection.networkService = "svc"
            request.connection.path.pathSegments = [
                .with { segment in
                    segment.name = "mf2-evil"
                    segment.id = "x"
                }
            ]
            request.mechanismPreferences = [.kernel(name: "nsm-9", inodeURL: "inode://4/1")]
            let later = Timestamp.now.advanced(by: .seconds(60))
            let good = peer.id.description
            for bad in [
                [:], try metadata("spiffe://example.org/other", later),
                try metadata(good, Timestamp.now.advanced(by: .seconds(-5))),
                try metadata(good, later, key: P256.Signing.PrivateKey()),
            ] as [Metadata] {
                await #expect(throws: RPCError.self) { try await service.request(request, metadata: bad) }
            }
            // A path that claims to be somebody else's, and one without segments.
            var other = request
            other.connection.id = "y"
            await #expect(throws: RPCError.self) { try await service.request(other, metadata: metadata(good, later)) }
            other.connection.path = NSMPath()
            await #expect(throws: RPCError.self) { try await service.request(other, metadata: metadata(good, later)) }
            // Closing what nobody knows is no error.
            _ = try await service.close(request.connection, metadata: metadata(good, later))
            connection.closeNow()
            await running.value
            try await client.refresh()
            _ = try run("ip netns exec mf2-c ping -c1 -W2 172.16.0.1")
        }
    }
}

@Suite("The authority of a host")
struct HostAuthorityTests {
    @Test("it is kept for root alone, and the same after a start")
    func kept() async throws {
        let mesh = try MeshFixture()
        defer { mesh.remove() }
        let state = "\(mesh.directory)/state"
        func open(_ domain: String = "host.local") throws -> HostAuthority {
            try HostAuthority(directory: state, trustDomain: domain, host: "h", logger: mesh.logger)
        }
        let identity = try open().issue(SPIFFEID("spiffe://host.local/host/h/user/7"))
        #expect(identity.svid.id.description == "spiffe://host.local/host/h/user/7")
        _ = try await open().issue(open().managerID()).bundles.verify(chain: identity.svid.chain)
        #expect(try run("stat -c %a \(state) \(state)/authority.pem") == "700\n600\n")
        #expect(throws: SPIFFEError.self) { try open("other.local") }
        _ = try run("chmod 755 \(state)")
        #expect(throws: SPIFFEError.self) { try open() }
        _ = try run("chmod 700 \(state)")
        _ = try run("truncate -s 100 \(state)/authority.pem")
        #expect(throws: SPIFFEError.self) { try open() }
    }

    @Test("whoever has a valid identity trusts all others, also while a next authority takes over")
    func renewal() async throws {
        let mesh = try MeshFixture()
        defer { mesh.remove() }
        func open() throws -> HostAuthority {
            try HostAuthority(
                directory: "\(mesh.directory)/state", trustDomain: "host.local", host: "h", logger: mesh.logger)
        }
        var authority = try open()
        let id = try authority.managerID()
        let start = Timestamp.now
        var valid: [Identity] = []
        var signers: Set<[UInt8]> = []
        // Nothing happens for months. The days around the changes, in steps of less than half an identity's life.
        for day in [0, 244, 364, 489] {
            for step in 0..<140 {
                let now = start.advanced(by: .seconds(3600 * 24 * day + 1500 * step))
                if step % 29 == 0 { authority = try open() }
                let identity = try authority.issue(id, at: now)
                valid = valid.filter { $0.svid.notAfter > now } + [identity]
                let leaf = try Certificate(derEncoded: identity.svid.chain[0])
                for other in valid {
                    let signer = try #require(other.bundles.authorities["host.local"]).first { der in
                        let certificate = try? Certificate(derEncoded: der)
                        return certificate?.publicKey.isValidSignature(leaf.signature, for: leaf) == true
                    }
                    signers.insert(try #require(signer, "day \(day), step \(step)"))
                }
            }
        }
        #expect(signers.count == 3)
    }
}
