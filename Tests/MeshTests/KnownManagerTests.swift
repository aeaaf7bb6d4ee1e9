import NSM
import SPIFFE
import Testing

@testable import Mesh

extension OnTheKernel {
    @Suite("Managers of whom etcd tells") struct KnownManagersOnTheKernel {
        @Test("a manager that answers where etcd says that another one is gets no requests")
        func expected() async throws {
            let hosts = try RemoteFixture()
            defer { hosts.end() }
            let (b, a) = (try hosts.host("b"), try hosts.host("a"))
            _ = try hosts.endpoint("server", at: b)
            let others = a.manager.requests.others
            var endpoint = sharedEndpoint("server")
            endpoint.url = b.remote.url
            others.add(endpoint, from: .mesh("b-nsmgr"))
            others.add(try SPIFFEID("spiffe://example.org/c/nsmgr"), at: b.remote, from: .mesh("b-nsmgr"))
            let client = try hosts.client("client", at: a)
            try await eventually("the reason") {
                "\(client.state)".contains(
                    "spiffe://example.org/b/nsmgr answers at \(b.remote.url), where etcd says that"
                        + " spiffe://example.org/c/nsmgr is")
            }
            #expect(b.manager.requests.monitor.connections.isEmpty)
            others.add(try SPIFFEID("spiffe://example.org/b/nsmgr"), at: b.remote, from: .mesh("b-nsmgr"))
            try await eventually("connected") { client.connection != nil }
        }
    }
}
