import DescriptorTransport
import NSM
import NetworkTypes
import SPIFFE
import TestSupport
import Testing

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
                    let manager = try mesh.manager()
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
                    group.addTask { await client.run() }
                    try await eventually("connected") { client.connection != nil }
                    let connection = try #require(client.connection)
                    #expect(connection.path.pathSegments.map(\.name) == ["client", "host-nsmgr", "server"])
                    #expect(connection.context.ipContext.srcIpAddrs == ["172.16.0.2/32", "2001:db8::1/128"])
                    _ = try run("ip netns exec mt-client ping -c1 -W2 172.16.0.1")
                    _ = try run("ip netns exec mt-client ping -c1 -W2 2001:db8::")
                    let before = try run("ip -n mt-client -j link show nsm-1")
                    try await client.refresh()
                    #expect(try run("ip -n mt-client -j link show nsm-1") == before)
                    try await client.close()
                    #expect(throws: (any Error).self) { try run("ip -n mt-client link show nsm-1") }
                    #expect(endpoint.state.connections.isEmpty)
                    group.cancelAll()
                }
            }
        }
    }
}
