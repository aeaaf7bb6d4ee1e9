import Concurrency
import GRPCCore
import Glibc
import NSM
import NetworkTypes
import Synchronization
import TestSupport
import Testing

@Suite("An endpoint and its clients", .serialized)
struct EndpointTests {
    static let patience = Duration.seconds(60)

    func service(
        _ pools: String = "10.0.0.0/24", dns: [NSMDNSConfig] = [], policies: [NSMPolicyRoute] = []
    ) -> NetworkServiceEndpoint.Service {
        .init(name: "s", ipam: PointToPointIPAM(pools), dns: dns, policies: policies)
    }

    func refresh(_ connection: NSMConnection) -> Networkservice_NetworkServiceRequest {
        .with { request in
            request.connection = connection
            request.mechanismPreferences = [.kernel(name: "nsm-1")]
        }
    }

    @Test("who follows an endpoint is told what changed, and nothing else")
    func changes() async throws {
        let fixture = try EndpointFixture([service()])
        let endpoint = fixture.endpoint
        func told(_ ids: Set<String>, gone: Int = 0) async throws {
            var (names, lost) = (Set<String>(), 0)
            try await eventually("\(ids) and \(gone) gone") {
                let changes = endpoint.takeChanges()
                names.formUnion(changes.state.connections.values.compactMap { $0.path.pathSegments.first?.id })
                lost += changes.gone.count
                return names == ids && lost == gone
            }
        }
        try await fixture.run {
            try await fixture.withCalls { calls in
                let first = try await calls.request(EndpointFixture.request("a", "s"), timeout: Self.patience)
                // The first call gives all.
                try await told(["a"])
                #expect(endpoint.takeChanges().state.connections.isEmpty)
                _ = try await calls.request(EndpointFixture.request("b", "s"), timeout: Self.patience)
                try await told(["b"])
                // Tokens that are renewed are no change.
                _ = try await calls.request(refresh(first), timeout: Self.patience)
                let idle = endpoint.takeChanges()
                #expect(idle.state.connections.isEmpty && idle.gone.isEmpty)
                try await calls.close(first, timeout: Self.patience)
                try await told([], gone: 1)
                #expect(endpoint.state.connections.count == 1)
            }
        }
    }

    @Test("clients get routes to the networks behind an endpoint, and lose those that it no longer has")
    func routes() async throws {
        let network = try #require(IPPrefix("10.0.0.0/24"))
        let fixture = try EndpointFixture([
            .init(name: "s", ipam: PointToPointIPAM("10.0.0.0/24"), routes: [network])
        ])
        try await fixture.run {
            try await fixture.withCalls { calls in
                var asked = EndpointFixture.request("a", "s")
                asked.connection.context.ipContext.srcRoutes = [.with { $0.prefix = "10.9.0.0/16" }]
                let first = try await calls.request(asked, timeout: Self.patience)
                #expect(first.context.ipContext.srcRoutes.map(\.prefix) == ["10.0.0.1/32", "10.0.0.0/24"])
                let again = try await calls.request(refresh(first), timeout: Self.patience)
                #expect(again.context.ipContext.srcRoutes == first.context.ipContext.srcRoutes)
            }
        }
    }

    @Test("policy routes and name servers are replaced without dropping a connection")
    func replace() async throws {
        func policy(_ from: String, _ port: String) -> NSMPolicyRoute {
            .with { policy in
                policy.from = from
                policy.dstPort = port
            }
        }
        func dns(_ address: String) -> NSMDNSConfig { .with { $0.dnsServerIps = [address] } }
        let fixture = try EndpointFixture([
            service(dns: [dns("10.0.0.53")], policies: [policy("192.0.2.1/32", "80"), policy("", "443")])
        ])
        try await fixture.run {
            try await fixture.withCalls { calls in
                let first = try await calls.request(EndpointFixture.request("c", "s"), timeout: Self.patience)
                #expect(first.context.ipContext.policies.map(\.dstPort) == ["80", "443"])
                #expect(first.context.ipContext.srcIpAddrs == ["10.0.0.2/32", "192.0.2.1/32"])
                #expect(first.context.dnsContext.configs == [dns("10.0.0.53")])
                #expect(try await calls.request(refresh(first), timeout: Self.patience).context == first.context)

                let asked = Mutex<[NSMState]>([])
                let watching = Task {
                    try await calls.monitor(NSMMonitorScopeSelector()) { event in
                        asked.withLock { $0 += event.connections.values.map(\.state) }
                        return true
                    }
                }
                try await eventually("the monitor says what there is") { asked.withLock { $0 } == [.up] }
                fixture.endpoint.replace(
                    policies: [policy("192.0.2.2/32", "22")], dns: [dns("10.0.0.54")], of: "s")
                try await eventually("the client is asked to come") { asked.withLock { $0.last } == .refreshRequested }
                let second = try await calls.request(refresh(first), timeout: Self.patience)
                #expect(second.context.ipContext.policies.map(\.dstPort) == ["22"])
                #expect(second.context.ipContext.srcIpAddrs == ["10.0.0.2/32", "192.0.2.2/32"])
                #expect(second.context.dnsContext.configs == [dns("10.0.0.54")])
                try await eventually("the client has come") { asked.withLock { $0.last } == .up }
                // What changes nothing asks nobody.
                fixture.endpoint.replace(policies: [policy("192.0.2.2/32", "22")], of: "s")
                fixture.endpoint.replace(policies: [], of: "other")
                _ = try await calls.request(refresh(second), timeout: Self.patience)
                #expect(asked.withLock { $0.filter { $0 == .refreshRequested }.count } == 1)
                #expect(fixture.endpoint.state.connections.count == 1)
                watching.cancel()
                _ = await watching.result
            }
        }
    }

    @Test("addresses that become excluded are replaced, and no others")
    func excluded() async throws {
        let fixture = try EndpointFixture([service("10.0.0.0/24,2001:db8::/64")])
        try await fixture.run {
            try await fixture.withCalls { calls in
                let first = try await calls.request(EndpointFixture.request("c", "s"), timeout: Self.patience)
                var again = refresh(first)
                again.connection.context.ipContext.excludedPrefixes = ["10.0.0.0/30"]
                let second = try await calls.request(again, timeout: Self.patience)
                #expect(second.context.ipContext.dstIpAddrs == ["2001:db8::/128", "10.0.0.4/32"])
                #expect(second.context.ipContext.srcIpAddrs == ["2001:db8::1/128", "10.0.0.5/32"])
                #expect(Set(second.context.ipContext.srcRoutes.map(\.prefix)) == ["2001:db8::/128", "10.0.0.4/32"])
            }
        }
    }

    @Test("a client that comes back has its addresses again: by its id, by a new id, and from its own words")
    func returning() async throws {
        let fixture = try EndpointFixture([service()])
        let refused = try EndpointFixture([service()])
        try await fixture.run {
            try await fixture.withCalls { calls in
                _ = try await calls.request(EndpointFixture.request("other", "s"), timeout: Self.patience)
                let first = try await calls.request(EndpointFixture.request("c", "s"), timeout: Self.patience)
                #expect(first.context.ipContext.srcIpAddrs == ["10.0.0.4/32"])
                // A manager between that has forgotten the connection gives it another id.
                var anew = refresh(first)
                anew.connection.path.pathSegments[1].id = "new-id"
                let second = try await calls.request(anew, timeout: Self.patience)
                #expect(second.context.ipContext == first.context.ipContext)
                #expect(Set(fixture.endpoint.state.connections.keys).contains("new-id"))
                #expect(fixture.endpoint.state.connections.count == 2)
                try await calls.close(second, timeout: Self.patience)
                // Closing it again, and what nobody knows, is no error.
                try await calls.close(second, timeout: Self.patience)
                #expect(fixture.endpoint.state.connections.count == 1)
            }
        }
        // An endpoint that starts anew knows nothing but what the client says.
        try await refused.run {
            try await refused.withCalls { calls in
                var request = EndpointFixture.request("c", "s")
                request.connection.context.ipContext.srcIpAddrs = ["10.0.0.4/32"]
                request.connection.context.ipContext.dstIpAddrs = ["10.0.0.3/32"]
                let answer = try await calls.request(request, timeout: Self.patience)
                #expect(answer.context.ipContext.srcIpAddrs == ["10.0.0.4/32"])
            }
        }
    }

    @Test("what can't be served is refused with a reason, and leaves nothing")
    func refusals() async throws {
        let fixture = try EndpointFixture([
            .init(
                name: "s", ipam: PointToPointIPAM("10.0.0.0/30"),
                admit: { request in
                    if request.labels["app"] == "evil" { throw EndpointRefusal("no evil here") }
                    return EndpointAdmission(interfaceName: request.labels["name"] ?? "cl0")
                })
        ])
        try await fixture.run {
            try await fixture.withCalls { calls in
                func refusal(
                    _ change: (inout Networkservice_NetworkServiceRequest) -> Void
                ) async -> String {
                    var request = EndpointFixture.request("c", "s")
                    change(&request)
                    let error = await #expect(throws: NSMError.self) {
                        try await calls.request(request, timeout: Self.patience)
                    }
                    return error?.text ?? ""
                }
                #expect(await refusal { $0.connection.labels = ["app": "evil"] }.contains("no evil here"))
                #expect(await refusal { $0.connection.networkService = "t" }.contains("does not offer t"))
                #expect(await refusal { $0.mechanismPreferences = [] }.contains("KERNEL"))
                #expect(await refusal { $0.connection.mechanism.type = "MEMIF" }.contains("MEMIF"))
                #expect(await refusal { $0.connection.labels = ["name": "longer-than-15-b"] }.contains("name"))
                #expect(
                    await refusal { $0.connection.context.ipContext.excludedPrefixes = ["10.0.0.0/8"] }.contains("free")
                )
                #expect(fixture.endpoint.state.connections.isEmpty)
                let answer = try await calls.request(EndpointFixture.request("c", "s@domain"), timeout: Self.patience)
                #expect(
                    answer.mechanism.interfaceName == "cl0" && answer.context.ipContext.dstIpAddrs == ["10.0.0.1/32"])
                #expect(
                    await refusal {
                        $0.connection.id = "d"; $0.connection.path.pathSegments[0].id = "d"
                    }.contains("free"))
            }
        }
    }

    @Test("no metadata makes a connection live longer than its token")
    func expiry() async throws {
        let fixture = try EndpointFixture([service()])
        try await fixture.run {
            try await fixture.withCalls { calls in
                let client = Networkservice_NetworkService.Client(wrapping: calls.connection.client)
                let token = try calls.component.token(for: calls.connection.info)
                let late = Timestamp.now.advanced(by: .seconds(1 << 30))
                let answer = try await client.request(
                    EndpointFixture.request("c", "s"),
                    metadata: [WellKnown.token: "\(token.text)", WellKnown.tokenExpires: "\(late.rfc3339)"])
                let expiry = try #require(answer.path.pathSegments[0].expiry)
                #expect(expiry <= token.expires)
            }
        }
    }

    @Test("over TCP everything is the same, but for namespaces")
    func tcp() async throws {
        // The port is known when it listens; a free one is found by listening before.
        let port = try freePort()
        let fixture = try EndpointFixture([service()], at: .tcp(host: "127.0.0.1", port: port))
        try await fixture.run {
            try await fixture.withCalls { calls in
                #expect(calls.connection.info.descriptors == nil)
                let answer = try await calls.request(EndpointFixture.request("c", "s"), timeout: Self.patience)
                #expect(answer.context.ipContext.srcIpAddrs == ["10.0.0.2/32"] && answer.mechanism.inodeURL.isEmpty)
                let again = try await calls.request(refresh(answer), timeout: Self.patience)
                #expect(again.context == answer.context)
                try await calls.close(again, timeout: Self.patience)
                #expect(fixture.endpoint.state.connections.isEmpty)
            }
        }
    }

    private func freePort() throws -> Int {
        let listener = try ServerListener(.tcp(host: "127.0.0.1", port: 0))
        guard case .tcp(_, let port) = listener.address else { throw NSMError(.local, "no port") }
        return port
    }
}

@Suite("One connection for all who talk to a peer", .serialized)
struct ConnectorTests {
    @Test("after a rotation new calls use the newest identity, and open ones go on")
    func rotation() async throws {
        let fixture = try EndpointFixture([.init(name: "s")])
        let source = FixedIdentity(try EndpointFixture.identity("manager", fixture.authority))
        let component = Component(name: "manager", security: .identity(source), logger: EndpointFixture.quiet)
        let connector = PeerConnector(fixture.address, component: component)
        try await fixture.run {
            let running = Task { await connector.run() }
            let first = try await connector.connection(within: .seconds(60))
            let same = try await connector.connection(within: .seconds(60))
            #expect(first === same)
            let events = Mutex(0)
            let watching = Task {
                try await Calls(first, component: component).monitor(NSMMonitorScopeSelector()) { _ in
                    events.withLock { $0 += 1 }
                    return true
                }
            }
            try await eventually("the stream is open") { events.withLock { $0 } == 1 }

            let newest = try EndpointFixture.identity("manager", fixture.authority)
            source.replace(newest)
            let second = try await connector.connection(within: .seconds(60))
            #expect(second !== first && second.info.local?.svid.chain == newest.svid.chain)
            _ = try await Calls(second, component: component)
                .request(EndpointFixture.request("c", "s"), timeout: .seconds(60))
            try await eventually("the old stream goes on") { events.withLock { $0 } == 2 }
            watching.cancel()
            _ = await watching.result
            try await eventually("the old connection ends with its last call") { first.isClosed }
            running.cancel()
            await running.value
            #expect(second.isClosed)
        }
    }

    @Test("a peer whose certificate has ended is called on a new connection, and one's own end is told")
    func ended() async throws {
        let fixture = try EndpointFixture([.init(name: "s")])
        let source = FixedIdentity(
            try EndpointFixture.identity("manager", fixture.authority, lifetime: .seconds(5)))
        let component = Component(name: "manager", security: .identity(source), logger: EndpointFixture.quiet)
        let connector = PeerConnector(fixture.address, component: component)
        try await fixture.run {
            let running = Task { await connector.run() }
            let connection = try await connector.connection(within: .seconds(60))
            let calls = Calls(connection, component: component)
            _ = try await calls.request(EndpointFixture.request("c", "s"), timeout: .seconds(60))
            let end = try await source.identity().svid.notAfter
            try await eventually("the identity ends") { Timestamp.now > end }
            let error = await #expect(throws: NSMError.self) {
                try await calls.request(EndpointFixture.request("c", "s"), timeout: .seconds(60))
            }
            #expect(error?.text.contains("ended") == true)
            source.replace(try EndpointFixture.identity("manager", fixture.authority))
            let next = try await connector.connection(within: .seconds(60))
            _ = try await Calls(next, component: component)
                .request(EndpointFixture.request("c", "s"), timeout: .seconds(60))
            running.cancel()
            await running.value
        }
    }
}
