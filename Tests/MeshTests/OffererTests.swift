import Concurrency
import Crypto
import GRPCCore
import Logging
import NSM
import SPIFFE
import SwiftProtobuf
import Synchronization
import Testing

@testable import Mesh
@testable import MeshTransport

/// What is written.
private final class Written: RPCWriterProtocol {
    private let all = Mutex<[NSMNetworkServiceEndpointResponse]>([])
    func write(_ element: NSMNetworkServiceEndpointResponse) async throws { all.withLock { $0.append(element) } }
    func write(contentsOf elements: some Sequence<NSMNetworkServiceEndpointResponse>) async throws {
        all.withLock { $0 += elements }
    }
    var lines: [String] {
        all.withLock { $0 }.map { ($0.deleted ? "-" : "+") + $0.networkServiceEndpoint.name }
    }
    var ids: [String] { all.withLock { $0.first?.networkServiceEndpoint.pathIds ?? [] } }
    var urls: Set<String> { Set(all.withLock { $0 }.map(\.networkServiceEndpoint.url)) }
}

/// A registry that does not know of those who offer the same, as meshes of before: it shows one endpoint.
private struct OldRegistry: NSMNetworkServiceEndpointRegistry.ServiceProtocol {
    /// Why it shows nothing; nil: it does.
    var refusal: @Sendable () -> RPCError? = { nil }

    func register(
        request: ServerRequest<NSMNetworkServiceEndpoint>, context: ServerContext
    ) async throws -> ServerResponse<NSMNetworkServiceEndpoint> {
        ServerResponse(message: request.message)
    }

    func unregister(
        request: ServerRequest<NSMNetworkServiceEndpoint>, context: ServerContext
    ) async throws -> ServerResponse<Google_Protobuf_Empty> {
        ServerResponse(message: Google_Protobuf_Empty())
    }

    func find(
        request: ServerRequest<NSMNetworkServiceEndpointQuery>, context: ServerContext
    ) async throws -> StreamingServerResponse<NSMNetworkServiceEndpointResponse> {
        if let refusal = refusal() { throw refusal }
        return StreamingServerResponse { writer in
            try await writer.write(.with { $0.networkServiceEndpoint.name = "x" })
            return [:]
        }
    }
}

/// What is heard of those who offer the same.
private final class Heard: Sendable {
    private let all = Mutex<(troubles: [String], names: [String])>(([], []))
    func note(trouble: String?) { all.withLock { $0.troubles.append(trouble ?? "none") } }
    func note(_ change: RegistryChange<NSMNetworkServiceEndpoint>) {
        if case .present(let other) = change { all.withLock { $0.names.append(other.name) } }
    }
    var trouble: String? { all.withLock { $0.troubles.last } }
    var names: Set<String> { all.withLock { Set($0.names) } }
}

@Suite("Those who offer the same service")
struct OffererTests {
    @Test("all are told of, those of other hosts too, without their addresses; then each change")
    func follow() async throws {
        let store = RegistryStore { _ in }
        let others = RemoteEndpoints()
        try store.register(RegistryTests.endpoint("a", ["s", "t"]), .stranger("A"))
        try store.register(RegistryTests.endpoint("other", ["t"]), .stranger("B"))
        var remote = RegistryTests.endpoint("far").endpoint
        remote.url = "tcp://192.0.2.2:5001"
        let source = RegistrySource.registry(.tcp(host: "192.0.2.2", port: 5001))
        others.add(remote, from: source)
        let written = Written()
        let offerers = Offerers(service: "s", store: store, others: others)
        try await offerers.write(to: RPCWriter(wrapping: written), watch: false)
        #expect(written.lines == ["+a", "+far"] && written.urls == [""])
        let watched = Written()
        let watching = Task { try await offerers.write(to: RPCWriter(wrapping: watched), watch: true) }
        try await eventually("what there is") { watched.lines == ["+a", "+far"] }
        try store.register(RegistryTests.endpoint("b"), .stranger("B"))
        try await eventually("one more") { watched.lines.last == "+b" }
        // A renewal is no news.
        try store.register(RegistryTests.endpoint("b"), .stranger("B"))
        others.remove(remote, from: source)
        try await eventually("one less") { watched.lines.last == "-far" }
        store.remove("a")
        try await eventually("another one less") { watched.lines.last == "-a" }
        #expect(watched.lines == ["+a", "+far", "+b", "-far", "-a"])
        watching.cancel()
        _ = await watching.result
    }

    @Test("who is no offerer any more is told nothing more, and of two of one name all identities are told")
    func ends() async throws {
        let store = RegistryStore { _ in }
        let others = RemoteEndpoints()
        var near = RegistryTests.endpoint("a")
        near.endpoint.pathIds = ["spiffe://a.example/x", "spiffe://a.example/nsmgr"]
        try store.register(near, .stranger("A"))
        var far = RegistryTests.endpoint("a").endpoint
        (far.url, far.pathIds) = ("tcp://192.0.2.2:5001", ["spiffe://b.example/x"])
        others.add(far, from: .registry(.tcp(host: "192.0.2.2", port: 5001)))
        let written = Written()
        let offerers = Offerers(service: "s", store: store, others: others)
        let viewer = Caller.stranger("A").identity
        let watching = Task {
            try await offerers.write(to: RPCWriter(wrapping: written), watch: true) { store.offers("s", viewer) }
        }
        try await eventually("both") { written.ids == ["spiffe://a.example/x", "spiffe://b.example/x"] }
        store.remove("a")
        await #expect(throws: RPCError.self) { try await watching.value }
        #expect(written.lines == ["+a"])
    }

    @Test("of a link between endpoints of one network a forwarder makes no more than the link")
    func links() {
        var context = NSMConnectionContext()
        context.mtu = 1400
        context.ethernetContext.srcMac = "02:00:00:00:00:01"
        context.ipContext.srcIpAddrs = ["10.60.0.2/32"]
        context.ipContext.dstIpAddrs = ["10.60.0.1/32"]
        context.ipContext.srcRoutes = [.with { $0.prefix = "0.0.0.0/1" }]
        context.ipContext.policies = [.init()]
        var wanted = NSMConnection()
        #expect(context.made(for: wanted) == context)
        wanted.context.extraContext[WellKnown.networkOrigin] = "e"
        let made = context.made(for: wanted)
        #expect(made.ipContext == NSMIPContext() && made.mtu == 1400 && made.ethernetContext == context.ethernetContext)
    }

    @Test("who has an endpoint of a service offers it, and nobody else")
    func offers() throws {
        let store = RegistryStore { _ in }
        try store.register(RegistryTests.endpoint("a"), .stranger("A"))
        #expect(store.offers("s", Caller.stranger("A").identity) && !store.offers("s", Caller.stranger("B").identity))
        #expect(!store.offers("t", Caller.stranger("A").identity))
        store.remove("a")
        #expect(!store.offers("s", Caller.stranger("A").identity))
    }

    /// Follows those who offer the same as the endpoint `own` at a registry with an identity of this name, while `body` runs.
    private func withFollower(
        _ own: String, _ registry: OldRegistry, named name: String, _ body: (Heard) async throws -> Void
    ) async throws {
        let mesh = try MeshFixture()
        defer { mesh.remove() }
        let identity = try mesh.identity(name)
        let connector = PeerConnector(mesh.managerSocket, component: try mesh.component("caller"))
        let heard = Heard()
        let (socket, logger) = (mesh.managerSocket, mesh.logger)
        try await withThrowingTaskGroup(of: Void.self) { group in
            defer { group.cancelAll() }
            let server = RPCServer(
                try ServerListener(socket), security: .identity(identity), services: [registry], logger: logger)
            group.addTask { try await server.run() }
            group.addTask { await connector.run() }
            group.addTask {
                await RegistryClient(connector).followOfferers(of: "s", as: own) {
                    heard.note(trouble: $0)
                } body: {
                    heard.note($0)
                }
            }
            try await body(heard)
        }
    }

    @Test("a mesh of before is not taken at its word, and a registry of another kind is", arguments: [true, false])
    func others(isOurs: Bool) async throws {
        try await withFollower("own", OldRegistry(), named: isOurs ? "host/h/nsmgr" : "nsmgr") { heard in
            let trouble = isOurs ? "the manager does not tell of other endpoints" : "none"
            try await eventually("an answer") { heard.trouble == trouble }
            if !isOurs { try await eventually("an endpoint") { heard.names == ["x"] } }
            #expect(heard.names.isEmpty == isOurs)
        }
    }

    @Test("a registry that shows the own endpoint alone, and does not say that it shows all, may have others")
    func alone() async throws {
        try await withFollower("x", OldRegistry(), named: "nsmgr") { heard in
            try await eventually("an answer") { heard.trouble?.contains("shows this endpoint alone") == true }
        }
    }

    @Test("why a registry tells nothing is told, and no longer once it does")
    func refused() async throws {
        let refusal = Mutex<RPCError?>(RPCError(code: .failedPrecondition, message: "not before noon"))
        let registry = OldRegistry { refusal.withLock { $0 } }
        try await withFollower("own", registry, named: "nsmgr") { heard in
            try await eventually("it is refused") { heard.trouble?.contains("not before noon") == true }
            refusal.withLock { $0 = nil }
            try await eventually("it is heard") { heard.trouble == "none" && heard.names == ["x"] }
        }
    }

    /// What the registry shows a peer who says that he offers the service `s`, or why it shows nothing.
    private func shown(_ info: ConnectionInfo, _ registry: EndpointRegistry) async -> String {
        let end = Timestamp.now.advanced(by: .seconds(60))
        let request = ServerRequest(
            metadata: [
                WellKnown.token: "\(Token.insecure(subject: "spiffe://test.com/subject", expires: end))",
                WellKnown.tokenExpires: "\(end.rfc3339)", WellKnown.offering: "s",
            ], message: NSMNetworkServiceEndpointQuery())
        do {
            return try await withServerContextRPCCancellationHandle { cancellation in
                let context = ServerContext(
                    descriptor: NSMNetworkServiceEndpointRegistry.Method.Find.descriptor, remotePeer: "", localPeer: "",
                    cancellation: cancellation)
                return try await ConnectionInfo.$current.withValue(info) {
                    let written = Written()
                    let contents = try await registry.find(request: request, context: context).accepted.get()
                    _ = try await contents.producer(RPCWriter(wrapping: written))
                    return written.lines.joined(separator: " ")
                }
            }
        } catch {
            return "\((error as? RPCError)?.message ?? "\(error)")"
        }
    }

    @Test("only who offers a service is shown who else does, or who is trusted; and never another host")
    func rights() async throws {
        let store = RegistryStore { _ in }
        let insecure = Component(
            name: "nsmgr", security: .insecure, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        var settings = MeshRights()
        settings.managers = ["spiffe://example.org/nsmgr"]
        let registry = EndpointRegistry(
            store: store, component: insecure, rights: Rights(settings: settings, ownDomain: nil, host: "h"),
            others: RemoteEndpoints())
        func info(_ number: UInt64, isLocal: Bool = true, id: String? = nil) throws -> ConnectionInfo {
            ConnectionInfo(
                id: number, descriptors: isLocal ? DescriptorChannel() : nil, credentials: nil,
                address: isLocal ? nil : "192.0.2.1", user: nil,
                peer: try id.map {
                    .init(id: try SPIFFEID($0), publicKey: P256.Signing.PrivateKey().publicKey, notAfter: .now)
                }, local: nil)
        }
        let (offerer, stranger) = (try info(1), try info(2))
        try store.register(RegistryTests.endpoint("a"), .stranger("A"))
        try store.register(RegistryTests.endpoint("mine"), .stranger("\(PeerIdentity(offerer))"))
        #expect(await shown(offerer, registry) == "+a +mine")
        #expect(await shown(stranger, registry).contains("offers no s here"))
        let manager = "spiffe://example.org/nsmgr"
        #expect(await shown(try info(3, id: manager), registry) == "+a +mine")
        let far = await shown(try info(4, isLocal: false, id: manager), registry)
        #expect(far.contains("only endpoints of this host may see the others"))
        store.remove("mine")
        #expect(await shown(offerer, registry).contains("offers no s here"))
    }

    @Test("a client of one endpoint goes to no other")
    func pinned() async throws {
        let mesh = try MeshFixture()
        defer { mesh.remove() }
        try await mesh.withNamespace("vt-client") { clientSpace in
            try await mesh.withNamespace("vt-server") { serverSpace in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    defer { group.cancelAll() }
                    let manager = try mesh.manager()
                    group.addTask { try await manager.run() }
                    func connector(_ name: String) throws -> PeerConnector {
                        let connector = PeerConnector(mesh.managerSocket, component: try mesh.component(name))
                        group.addTask { await connector.run() }
                        return connector
                    }
                    let (one, asker) = (try connector("one"), try connector("client"))
                    func endpoint(_ name: String, _ network: String) -> NetworkServiceEndpoint {
                        NetworkServiceEndpoint(
                            name: name, services: [.init(name: "s", ipam: PointToPointIPAM(network))],
                            socket: "\(mesh.directory)/\(name).sock", manager: one, namespace: serverSpace)
                    }
                    let first = endpoint("first", "172.16.0.0/24")
                    group.addTask { try await first.run() }
                    let client = NetworkServiceClient(
                        .init(
                            id: "c", networkService: "s", interfaceName: "nsm-1", namespace: clientSpace,
                            endpointName: "second"), manager: asker)
                    group.addTask { await client.run() }
                    try await eventually("it is refused") {
                        guard case .connecting(_, let error?) = client.state else { return false }
                        return error.contains("the endpoint second does not offer s here")
                    }
                    let second = endpoint("second", "172.16.1.0/24")
                    group.addTask { try await second.run() }
                    try await eventually("connected") { client.connection != nil }
                    #expect(client.connection?.networkServiceEndpointName == "second")
                    #expect(first.state.connections.isEmpty)
                }
            }
        }
    }
}
