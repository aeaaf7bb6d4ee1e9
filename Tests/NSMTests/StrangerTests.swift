import Concurrency
import GRPCCore
import MeshTransport
import SPIFFE
import TestSupport
import Testing

@testable import NSM

/// Callers of an endpoint who want more than their own.
@Suite("An endpoint and strangers", .serialized)
struct StrangerTests {
    private func fixture() throws -> EndpointFixture {
        try EndpointFixture([.init(name: "s", ipam: PointToPointIPAM("10.0.0.0/24"))])
    }

    @Test("what a client says of the endpoint's half is left out, and its wish within the pools is taken")
    func half() async throws {
        let fixture = try fixture()
        try await fixture.run {
            try await fixture.withCalls { calls in
                var request = EndpointFixture.request("c", "s")
                request.connection.context = .with { context in
                    context.ipContext.srcIpAddrs = ["10.0.0.9/32", "198.51.100.1/32"]
                    context.ipContext.dstIpAddrs = ["10.0.0.8/32", "10.0.0.77/32", "8.8.8.8/32", "0.0.0.0/1"]
                    context.ipContext.dstRoutes = [.with { $0.prefix = "0.0.0.0/0" }]
                    context.ipContext.ipNeighbors = [.with { $0.ip = "10.0.0.1" }]
                    context.ipContext.policies = [.with { $0.proto = "6" }]
                    context.ipContext.extraPrefixes = ["10.1.0.0/16"]
                    context.ethernetContext.dstMac = "02:00:00:00:00:01"
                    context.ethernetContext.vlanTag = 7
                }
                let answer = try await calls.request(request, timeout: EndpointTests.patience)
                let context = answer.context
                #expect(context.ipContext.srcIpAddrs == ["10.0.0.9/32", "198.51.100.1/32"])
                #expect(context.ipContext.dstIpAddrs == ["10.0.0.8/32"])
                #expect(context.ipContext.dstRoutes.map(\.prefix) == ["10.0.0.9/32"])
                #expect(context.ipContext.ipNeighbors.isEmpty && context.ipContext.policies.isEmpty)
                #expect(context.ipContext.extraPrefixes.isEmpty)
                #expect(context.ethernetContext.dstMac.isEmpty && context.ethernetContext.vlanTag == 0)
            }
        }
    }

    @Test("a connection is who asked for it: nobody else sees, renews, closes or replaces it, whatever his path says")
    func owners() async throws {
        let fixture = try fixture()
        try await fixture.run {
            try await fixture.withCalls { calls in
                let mine = try await calls.request(EndpointFixture.request("c", "s"), timeout: EndpointTests.patience)
                try await fixture.withCalls("stranger") { strangers in
                    // The path that he learnt, with the owner's token in its first segment.
                    var forged = mine
                    forged.path.index = 0
                    var request = Networkservice_NetworkServiceRequest()
                    request.connection = forged
                    request.mechanismPreferences = [.kernel(name: "nsm-1")]
                    let message = request
                    let refused = await #expect(throws: NSMError.self) {
                        _ = try await strangers.request(message, timeout: EndpointTests.patience)
                    }
                    #expect(refused?.code == .forbidden)
                    let kept = await #expect(throws: NSMError.self) {
                        try await strangers.close(forged, timeout: EndpointTests.patience)
                    }
                    #expect(kept?.code == .forbidden)
                    // The same client by another way is another connection, and replaces none.
                    let other = try await strangers.request(
                        EndpointFixture.request("c", "s"), timeout: EndpointTests.patience)
                    #expect(other.context.ipContext.srcIpAddrs != mine.context.ipContext.srcIpAddrs)
                    #expect(fixture.endpoint.state.connections.count == 2)
                    try await strangers.monitor(NSMMonitorScopeSelector()) { event in
                        #expect(event.connections.count == 1)
                        return false
                    }
                }
                #expect(
                    try await calls.request(self.again(mine), timeout: EndpointTests.patience).context == mine.context)
            }
        }
    }

    @Test("a client that comes by another way each time is remembered once")
    func ways() async throws {
        let connections = EndpointConnections(
            [.init(name: "s", ipam: PointToPointIPAM("10.0.0.0/24"))],
            component: Component(name: "endpoint", security: .insecure, logger: EndpointFixture.quiet),
            namespace: "/proc/self/ns/net", changed: { _ in })
        let address = SocketAddress.unix("/tmp/nsm-st-\(UInt64.random(in: 0...UInt64.max)).sock")
        let server = RPCServer(
            try ServerListener(address), security: .insecure, services: [connections], logger: EndpointFixture.quiet)
        let serving = Task { try await server.run() }
        defer { serving.cancel() }
        let asker = Component(name: "manager", security: .insecure, logger: EndpointFixture.quiet)
        let connection = try await ClientConnection.connect(
            to: address, security: .insecure, timeout: .seconds(60), logger: EndpointFixture.quiet)
        let running = Task { await connection.run() }
        let calls = Calls(connection, component: asker)
        let end = Timestamp.now.advanced(by: .seconds(600))
        var request = Networkservice_NetworkServiceRequest()
        request.connection.id = "m"
        request.connection.networkService = "s"
        request.connection.path.index = 2
        request.connection.path.pathSegments = ["client", "between", "manager"].map { name in
            .with { segment in
                (segment.name, segment.id) = (name, name == "manager" ? "m" : name)
            }
        }
        request.mechanismPreferences = [.kernel(name: "nsm-1")]
        for number in 0..<100 {
            for place in 0..<2 {
                let token = Token.insecure(subject: "spiffe://test.com/\(place)/\(number)", expires: end)
                request.connection.path.pathSegments[place].setToken(CallToken(text: token, expires: end))
            }
            request.connection = try await calls.request(request, timeout: EndpointTests.patience)
            #expect(connections.knownClients == 1 && connections.monitor.count == 1)
        }
        try await calls.close(request.connection, timeout: EndpointTests.patience)
        #expect(connections.knownClients == 0 && connections.monitor.count == 0)
        connection.closeNow()
        await running.value
        connections.end()
    }

    private func again(_ connection: NSMConnection) -> Networkservice_NetworkServiceRequest {
        .with { request in
            request.connection = connection
            request.mechanismPreferences = [.kernel(name: "nsm-1")]
        }
    }
}
