import Concurrency
import Glibc
import NSM
import SPIFFE
import TestSupport
import Testing

@testable import Mesh
@testable import MeshTransport

@Suite("What the mesh says of itself")
struct MeshStatusTests {
    @Test("Only root and the mesh's user may ask, from where the mesh is")
    func decidesByTheKernel() throws {
        #expect(MeshStatus.refusal(nil) == "the kernel does not say who asks")
        var pair: [Int32] = [-1, -1]
        #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0)
        defer { for end in pair { close(end) } }
        let own = try #require(PeerCredentials(socket: pair[0], isAccepted: true))
        #expect(MeshStatus.refusal(own) == nil)
        // Of a socket that was connected the kernel does not say where it was made.
        let elsewhere = try #require(PeerCredentials(socket: pair[0], isAccepted: false))
        #expect(MeshStatus.refusal(elsewhere) == "only programs in the mesh's own network namespace may ask")
    }

    @Test("Lists come in parts", arguments: [0, 1, 255, 256, 257, 1000])
    func splitsLists(count: Int) {
        let all = (0..<count).map { number in Nsmagent_Mesh_Service.with { $0.name = "\(number)" } }
        let parts = MeshStatus.List.services(all).parts(of: 256)
        #expect(parts.count == (count + 255) / 256)
        var joined: [Nsmagent_Mesh_Service] = []
        for part in parts {
            var answer = Nsmagent_Mesh_StatusResponse()
            part(&answer)
            #expect(answer.services.count <= 256)
            joined += answer.services
        }
        #expect(joined == all)
    }

    @Test("A long list ends, and how many there are is said")
    func boundsLists() async throws {
        let fixture = try MeshFixture()
        defer { fixture.remove() }
        let manager = try fixture.manager()
        let count = MeshStatus.most + 5
        for number in 0..<count {
            var endpoint = NSMNetworkServiceEndpoint()
            endpoint.name = "e\(number)"
            endpoint.networkServiceNames = ["s"]
            try manager.store.register(
                RegistryStore.Entry(endpoint: endpoint, socket: nil),
                .stranger("peer \(number)", account: "\(number % 50)"))
        }
        let (head, lists) = await manager.status()
        #expect(head.endpointCount == UInt32(count))
        #expect(head.serviceCount == 1)
        for case .endpoints(let rows) in lists { #expect(rows.count == MeshStatus.most) }
        for case .services(let rows) in lists { #expect(rows.map(\.endpoints) == [UInt32(count)]) }
    }

    @Test("A registry that broke off is not reached any more")
    func followsPeers() {
        let endpoints = RemoteEndpoints()
        let source = RegistrySource.registry(.tcp(host: "192.0.2.2", port: 5001))
        #expect(endpoints.standing(of: source) == (nil, nil, 0))
        _ = endpoints.note(nil, of: source)
        var endpoint = NSMNetworkServiceEndpoint()
        endpoint.name = "e"
        endpoint.url = "\(source)"
        endpoints.add(endpoint, from: source)
        let reached = endpoints.standing(of: source)
        #expect(reached.since != nil && reached.trouble == nil && reached.endpoints == 1)
        _ = endpoints.note(nil, of: source)
        #expect(endpoints.standing(of: source).since == reached.since)
        _ = endpoints.note("gone", of: source)
        #expect(endpoints.standing(of: source) == (nil, "gone", 1))
    }
}
