import MeshTransport
import Glibc
import NSM
import SPIFFE
import Synchronization
import TestSupport
import Testing

@testable import Mesh

@Suite("The registry's client", .serialized)
struct RegistryClientTests {
    /// A manager in a task of its own, which can be ended and started again.
    struct Running {
        let task: Task<Void, any Error>
        let address: SocketAddress

        func end() async {
            task.cancel()
            _ = await task.result
        }
    }

    private func manager(_ mesh: MeshFixture, at address: SocketAddress? = nil) throws -> Running {
        // Over TCP there are managers only.
        var rights = MeshRights()
        rights.managers = ["spiffe://example.org/*"]
        let manager = try mesh.manager(at: address, rights: rights)
        return Running(task: Task { try await manager.run() }, address: manager.address)
    }

    /// A registry's client while `body` runs.
    private func withClient(
        _ mesh: MeshFixture, _ address: SocketAddress, _ name: String = "caller",
        _ body: (RegistryClient) async throws -> Void
    ) async throws {
        let connector = PeerConnector(address, component: try mesh.component(name))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await connector.run() }
            defer { group.cancelAll() }
            try await body(RegistryClient(connector))
        }
    }

    private static func service(_ name: String) -> NSMNetworkService {
        .with { service in
            service.name = name
            service.payload = WellKnown.ethernet
        }
    }

    private static func endpoint(_ name: String, _ services: [String] = ["s"]) -> NSMNetworkServiceEndpoint {
        .with { endpoint in
            endpoint.name = name
            endpoint.networkServiceNames = services
            endpoint.url = "tcp://127.0.0.1:1"
        }
    }

    @Test("register, find and unregister, over a Unix socket and over TCP", arguments: [false, true])
    func life(isTCP: Bool) async throws {
        let mesh = try MeshFixture()
        defer { mesh.remove() }
        let running = try manager(mesh, at: isTCP ? .tcp(host: "127.0.0.1", port: 0) : nil)
        try await withClient(mesh, running.address) { registry in
            let service = try await registry.register(Self.service("s"))
            #expect(service.pathIds == ["spiffe://example.org/caller", "spiffe://example.org/nsmgr"])
            let endpoint = try await registry.register(Self.endpoint("e"), socket: nil)
            #expect(endpoint.pathIds == service.pathIds && endpoint.url == "tcp://127.0.0.1:1")
            #expect(endpoint.hasExpirationTime && endpoint.hasInitialRegistrationTime)
            #expect(try await registry.find(Self.service("s")).map(\.name) == ["s"])
            let query = NSMNetworkServiceEndpoint.with { $0.networkServiceNames = ["s"] }
            #expect(try await registry.find(query).map(\.name) == ["e"])
            if !isTCP {
                let place = try Descriptor.open("\(mesh.directory)/nsm.io.sock", pathOnly: true)
                let local = try await registry.register(Self.endpoint("local"), socket: place)
                #expect(local.url == place.inode.url)
                try await registry.unregister(local, socket: place)
            }
            try await registry.unregister(endpoint, socket: nil)
            try await registry.unregister(service)
            #expect(try await registry.find(query).isEmpty)
            #expect(try await registry.find(Self.service("s")).isEmpty)
        }
        await running.end()
    }

    @Test("what belongs to another identity is refused as such")
    func ownership() async throws {
        let mesh = try MeshFixture()
        defer { mesh.remove() }
        let running = try manager(mesh)
        try await withClient(mesh, running.address, "owner") { owner in
            let service = try await owner.register(Self.service("s"))
            let endpoint = try await owner.register(Self.endpoint("e"), socket: nil)
            try await withClient(mesh, running.address, "other") { other in
                func expectForbidden(_ body: () async throws -> Void) async {
                    let error = await #expect(throws: NSMError.self) { try await body() }
                    #expect(error?.code == .forbidden, "\(error?.text ?? "none")")
                }
                await expectForbidden { _ = try await other.register(Self.service("s")) }
                await expectForbidden { _ = try await other.register(Self.endpoint("e"), socket: nil) }
                await expectForbidden { try await other.unregister(service) }
                await expectForbidden { try await other.unregister(endpoint, socket: nil) }
                let found = try await other.find(Self.endpoint("e"))
                #expect(found.count == 1)
            }
            try await owner.unregister(endpoint, socket: nil)
        }
        await running.end()
    }

    /// What a follower was told, `+name` or `-name`.
    final class Told: Sendable {
        private let texts = Mutex<[String]>([])
        var all: [String] { texts.withLock { $0 } }
        func note<Entry>(_ change: RegistryChange<Entry>, _ name: (Entry) -> String) {
            let text =
                switch change {
                case .present(let entry): "+\(name(entry))"
                case .gone(let entry): "-\(name(entry))"
                }
            texts.withLock { $0.append(text) }
        }
    }

    @Test("who follows goes on after a restart of the manager, and learns what went meanwhile")
    func follow() async throws {
        let mesh = try MeshFixture()
        defer { mesh.remove() }
        var running = try manager(mesh)
        let endpoints = Told()
        let services = Told()
        try await withClient(mesh, running.address) { registry in
            let query = NSMNetworkServiceEndpoint.with { $0.networkServiceNames = ["s"] }
            let following = Task { await registry.follow(query) { endpoints.note($0, \.name) } }
            let followingServices = Task { await registry.follow(NSMNetworkService()) { services.note($0, \.name) } }
            _ = try await registry.register(Self.service("s"))
            for name in ["a", "b"] { _ = try await registry.register(Self.endpoint(name), socket: nil) }
            // A renewal is no news.
            _ = try await registry.register(Self.endpoint("a"), socket: nil)
            try await eventually("both are told") { Set(endpoints.all) == ["+a", "+b"] }
            try await eventually("the service, too") { services.all == ["+s"] }
            await running.end()
            running = try manager(mesh)
            // One registers again, the other one does not.
            _ = try await registry.register(Self.endpoint("a"), socket: nil)
            try await eventually("what went is told") {
                endpoints.all.contains("-b") && services.all.last == "-s"
            }
            _ = try await registry.register(Self.endpoint("c"), socket: nil)
            try await eventually("what came is told") { endpoints.all.last == "+c" }
            try await registry.unregister(Self.endpoint("a"), socket: nil)
            try await eventually("what goes is told") { endpoints.all.last == "-a" }
            #expect(endpoints.all.filter { $0 == "+b" }.count == 1)
            following.cancel()
            followingServices.cancel()
            await following.value
            await followingServices.value
        }
        await running.end()
    }

    /// A server is gone a moment before its socket is.
    private func takingOver<Server>(_ start: () throws -> Server) async throws -> Server {
        for _ in 0..<100 {
            if let server = try? start() { return server }
            try await Task.sleep(for: .milliseconds(20))
        }
        return try start()
    }

    @Test("an endpoint registers again after the manager has lost it, and takes its registration back in the end")
    func again() async throws {
        let mesh = try MeshFixture()
        defer { mesh.remove() }
        var running = try manager(mesh)
        let connector = PeerConnector(mesh.managerSocket, component: try mesh.component("server"))
        let endpoint = NetworkServiceEndpoint(name: "server", services: [.init(name: "s")], manager: connector)
        let (ends, end) = AsyncStream.makeStream(of: Void.self)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await connector.run() }
            let serving = Task { try await endpoint.run { for await _ in ends {} } }
            try await withClient(mesh, mesh.managerSocket) { registry in
                func names() async throws -> [String] {
                    try await registry.find(NSMNetworkServiceEndpoint.with { $0.networkServiceNames = ["s"] }).map(
                        \.name)
                }
                try await eventually("registered") { try await names() == ["server"] }
                await running.end()
                running = try await takingOver { try manager(mesh) }
                try await eventually("registered again") { (try? await names()) == ["server"] }
                try await eventually("and its service") {
                    (try? await registry.find(Self.service("s")).map(\.name)) == ["s"]
                }
                end.finish()
                try await serving.value
                #expect(try await names().isEmpty && endpoint.state.registeredUntil == nil)
            }
            group.cancelAll()
        }
        await running.end()
    }
}
