import GRPCCore
import NSM
import Testing

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

    private func again(_ connection: NSMConnection) -> Networkservice_NetworkServiceRequest {
        .with { request in
            request.connection = connection
            request.mechanismPreferences = [.kernel(name: "nsm-1")]
        }
    }
}
