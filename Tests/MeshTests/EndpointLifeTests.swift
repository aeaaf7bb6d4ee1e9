import GRPCCore
import MeshTransport
import NSM
import NetworkTypes
import SPIFFE
import Synchronization
import TestSupport
import Testing

@testable import Mesh

@Suite("Endpoints and clients through a mesh", .serialized)
struct EndpointLifeTests {
    /// A client and an endpoint of one service in namespaces of their own.
    private func withService(
        _ name: String, _ service: NetworkServiceEndpoint.Service,
        _ body: (MeshFixture, NetworkServiceEndpoint, NetworkServiceClient) async throws -> Void
    ) async throws {
        let mesh = try MeshFixture()
        defer { mesh.remove() }
        try await mesh.withNamespace("\(name)-c") { clientSpace in
            try await mesh.withNamespace("\(name)-s") { serverSpace in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    let manager = try mesh.manager()
                    group.addTask { try await manager.run() }
                    let server = PeerConnector(mesh.managerSocket, component: try mesh.component("server"))
                    group.addTask { await server.run() }
                    let endpoint = NetworkServiceEndpoint(
                        name: "server", services: [service], socket: "\(mesh.directory)/server.sock", manager: server,
                        namespace: serverSpace)
                    group.addTask { try await endpoint.run() }
                    let asker = PeerConnector(mesh.managerSocket, component: try mesh.component("client"))
                    group.addTask { await asker.run() }
                    let client = NetworkServiceClient(
                        .init(
                            id: "client-0", networkService: service.name, interfaceName: "nsm-1", namespace: clientSpace
                        ),
                        manager: asker)
                    try await body(mesh, endpoint, client)
                    group.cancelAll()
                }
            }
        }
    }

    @Test("policies and name servers that an endpoint replaces reach the client on the same link")
    func replace() async throws {
        func policy(_ port: String) -> NSMPolicyRoute {
            .with { policy in
                policy.proto = "6"
                policy.dstPort = port
            }
        }
        let service = NetworkServiceEndpoint.Service(
            name: "svc", ipam: PointToPointIPAM("172.16.0.0/24"), policies: [policy("80")])
        try await withService("el1", service) { _, endpoint, client in
            let running = Task { await client.run() }
            func rules() throws -> String { try run("ip -n el1-c rule show") }
            try await eventually("connected") { client.connection != nil }
            #expect(try rules().contains("dport 80"))
            let link = try run("ip -n el1-c -j link show nsm-1")
            let dns = NSMDNSConfig.with { $0.dnsServerIps = ["172.16.0.1"] }
            endpoint.replace(policies: [policy("443"), policy("22")], dns: [dns], of: "svc")
            try await eventually("the new policies") {
                client.connection?.context.ipContext.policies.map(\.dstPort) == ["443", "22"]
            }
            #expect(client.connection?.context.dnsContext.configs == [dns])
            #expect(try rules().contains("dport 443") && rules().contains("dport 22") && !rules().contains("dport 80"))
            #expect(try run("ip -n el1-c -j link show nsm-1") == link)
            _ = try run("ip netns exec el1-c ping -c1 -W2 172.16.0.1")
            running.cancel()
            await running.value
        }
    }

    @Test("an endpoint that can't answer at the moment is asked once more before its client is told")
    func passingFailure() async throws {
        let asked = Mutex(0)
        let service = NetworkServiceEndpoint.Service(
            name: "svc", ipam: PointToPointIPAM("172.16.0.0/24"),
            admit: { _ in
                let isFirst = asked.withLock { asked in
                    asked += 1
                    return asked == 1
                }
                if isFirst { throw RPCError(code: .unavailable, message: "file already closed") }
                return EndpointAdmission()
            })
        try await withService("el9", service) { _, endpoint, client in
            try await eventually("registered") { endpoint.state.registeredUntil != nil }
            // By itself it would not ask again.
            try await client.refresh()
            #expect(client.connection != nil)
            #expect(asked.withLock { $0 } == 2)
        }
    }

    @Test("a client that ends while its request is under way leaves nothing behind")
    func endWhileAsking() async throws {
        let (gate, open) = AsyncStream.makeStream(of: Void.self)
        let asked = Mutex(false)
        let service = NetworkServiceEndpoint.Service(
            name: "svc", ipam: PointToPointIPAM("172.16.0.0/24"),
            admit: { _ in
                asked.withLock { $0 = true }
                for await _ in gate {}
                return EndpointAdmission()
            })
        try await withService("el2", service) { _, endpoint, client in
            let (ends, end) = AsyncStream.makeStream(of: Void.self)
            let running = Task { try await client.run { for await _ in ends {} } }
            try await eventually("the endpoint is asked") { asked.withLock { $0 } }
            end.finish()
            open.finish()
            try await running.value
            guard case .closed = client.state else {
                Issue.record("the client is \(client.state)")
                return
            }
            #expect(endpoint.state.connections.isEmpty)
            #expect(throws: (any Error).self) { try run("ip -n el2-c link show nsm-1") }
            // The states have an end.
            var last = ""
            for await state in client.states { last = "\(state)" }
            #expect(last == "closed")
        }
    }
}
