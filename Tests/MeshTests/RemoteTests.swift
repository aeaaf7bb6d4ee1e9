import Concurrency
import MeshTransport
import Glibc
import NSM
import NetworkTypes
import SPIFFE
import TestSupport
import Testing

@testable import Mesh

extension OnTheKernel {
    @Suite("Meshes of several hosts") struct RemoteTests {
        /// Runs hosts `a` and `b`, of which the first asks the second, and hands over both.
        private func withPair(
            _ body: (RemoteFixture, _ a: TestHost, _ b: TestHost) async throws -> Void
        ) async throws {
            let hosts = try RemoteFixture()
            defer { hosts.end() }
            let b = try hosts.host("b")
            let a = try hosts.host("a", peers: [b.remote])
            try await body(hosts, a, b)
        }

        private func pings(_ hosts: RemoteFixture, _ pod: String, _ client: NetworkServiceClient) throws {
            let context = try #require(client.connection).context.ipContext
            #expect(context.destinationPrefixes.count == 2)
            for prefix in context.destinationPrefixes {
                try hosts.spaces.inside(pod, "ping -c1 -W2 \(prefix.address)")
            }
        }

        @Test("a client is connected to an endpoint of the other host, refreshed and closed")
        func connect() async throws {
            try await withPair { hosts, a, b in
                _ = try hosts.endpoint("server", at: b)
                let client = try hosts.client("client", at: a)
                try await eventually("connected") { client.connection != nil }
                let connection = try #require(client.connection)
                #expect(connection.path.pathSegments.map(\.name) == ["client", "a-nsmgr", "b-nsmgr", "server"])
                #expect(connection.networkServiceEndpointName == "server")
                #expect(connection.mechanism.type == WellKnown.kernel)
                #expect(connection.context.mtu == 1450)
                try pings(hosts, "client", client)
                let far = try #require(try hosts.spaces.links("server").first)
                #expect(try hosts.spaces.link("server", far)["mtu"] as? Int == 1450)

                let before = try hosts.spaces.link("client", "nsm-db")["ifindex"] as? Int
                try await client.refresh()
                #expect(try hosts.spaces.link("client", "nsm-db")["ifindex"] as? Int == before)
                #expect(try hosts.spaces.link("server", far)["ifalias"] != nil)
                hosts.stop()
                try await client.close()
                #expect(try hosts.spaces.links("client") == [])
                #expect(try hosts.spaces.links("server") == [])
                #expect(b.manager.requests.monitor.connections.isEmpty)
                #expect(await b.manager.requests.forwarder.connections.isEmpty)
            }
        }

        @Test("the lesser of the hosts' MTUs is that of the connection")
        func mtu() async throws {
            let hosts = try RemoteFixture()
            defer { hosts.end() }
            let b = try hosts.host("b", mtu: 1400)
            let a = try hosts.host("a", peers: [b.remote], mtu: 1500)
            let c = try hosts.host("c", peers: [a.remote], mtu: 1380)
            _ = try hosts.endpoint("server", at: b)
            _ = try hosts.endpoint("other", at: a, prefixes: "172.16.1.0/24,2001:db8:1::/64")
            let client = try hosts.client("client", at: c)
            try await eventually("connected") { client.connection != nil }
            // Of those that a registry tells of only what it has itself counts: no request goes by way of a third host.
            #expect(client.connection?.networkServiceEndpointName == "other")
            #expect(client.connection?.context.mtu == 1330)
            try pings(hosts, "client", client)
            let far = try #require(try hosts.spaces.links("other").first)
            #expect(try hosts.spaces.link("other", far)["mtu"] as? Int == 1330)
        }

        @Test("a VXLAN identifier that is in use on the client's host is replaced on both")
        func collision() async throws {
            try await withPair { hosts, a, b in
                _ = try hosts.endpoint("server", at: b)
                let client = try hosts.client("client", at: a)
                try await eventually("connected") { client.connection != nil }
                let vni = try #require(hosts.vni("client", "nsm-db"))
                try hosts.spaces.ip("client", "link delete nsm-db")
                try hosts.spaces.ip("a", "link add foreign type vxlan id \(vni) dstport 4789 remote 192.0.2.99 dev up0")
                try await client.refresh()
                let new = try #require(hosts.vni("client", "nsm-db"))
                #expect(new != vni)
                let far = try #require(try hosts.spaces.links("server").first)
                #expect(hosts.vni("server", far) == new)
                try pings(hosts, "client", client)

                // And so it is on the endpoint's.
                try hosts.spaces.ip("server", "link delete \(far)")
                try hosts.spaces.ip("b", "link add foreign type vxlan id \(new) dstport 4789 remote 192.0.2.99 dev up0")
                try await client.refresh()
                #expect(hosts.vni("client", "nsm-db") != new)
                try pings(hosts, "client", client)
            }
        }

        @Test("identities of managers are rotated one after the other, and connections go on")
        func rotation() async throws {
            try await withPair { hosts, a, b in
                _ = try hosts.endpoint("server", at: b)
                let client = try hosts.client("client", at: a)
                try await eventually("connected") { client.connection != nil }
                let before = try hosts.spaces.link("client", "nsm-db")["ifindex"] as? Int
                for host in [b, a, b] {
                    host.identity.replace(try hosts.mesh.newIdentity("\(host.name)/nsmgr"))
                    try await client.refresh()
                }
                #expect(try hosts.spaces.link("client", "nsm-db")["ifindex"] as? Int == before)
                try pings(hosts, "client", client)
            }
        }

        @Test("endpoints are found by a registry that hosts share, and the nearest is taken")
        func shared() async throws {
            let hosts = try RemoteFixture()
            defer { hosts.end() }
            let c = try hosts.host("c")
            let b = try hosts.host("b", registry: c.remote)
            let a = try hosts.host("a", registry: c.remote)
            let far = try hosts.endpoint("far", at: b)
            let client = try hosts.client("client", at: a)
            try await eventually("connected") { client.connection != nil }
            #expect(client.connection?.networkServiceEndpointName == "far")
            try pings(hosts, "client", client)
            // The registry's own clients find it, too.
            let third = try hosts.client("third", at: c)
            try await eventually("connected") { third.connection != nil }
            #expect(third.connection?.path.pathSegments.map(\.name) == ["third", "c-nsmgr", "b-nsmgr", "far"])

            _ = try hosts.endpoint("near", at: a)
            try await eventually("registered") { a.manager.requests.store.endpoint("near") != nil }
            let second = try hosts.client("second", at: a)
            try await eventually("connected") { second.connection != nil }
            #expect(second.connection?.networkServiceEndpointName == "near")
            #expect(second.connection?.context.mtu == 1500)

            // The pod of the other one goes: its client is connected to the near one, at the full MTU again.
            far.cancel()
            try hosts.spaces.ip("far", "link delete \(try #require(try hosts.spaces.links("far").first))")
            try await eventually("healed") { client.connection?.networkServiceEndpointName == "near" }
            #expect(try hosts.spaces.link("client", "nsm-db")["mtu"] as? Int == 1500)
        }

        @Test("another host's manager is given endpoints of this host only, by a tunnel, and under a name of its own")
        func refusals() async throws {
            try await withPair { hosts, a, b in
                _ = try hosts.endpoint("server", at: b)
                try await eventually("registered") { b.manager.requests.store.endpoint("server") != nil }
                func ask(
                    _ name: String, as identity: String = "c/nsmgr",
                    _ change: (inout Networkservice_NetworkServiceRequest) -> Void
                ) async -> String {
                    do {
                        let connector = PeerConnector(b.remote, component: try hosts.mesh.component(identity))
                        let running = Task { await connector.run() }
                        defer { running.cancel() }
                        var request = Networkservice_NetworkServiceRequest()
                        request.connection.id = "one"
                        request.connection.networkService = "db"
                        request.connection.path.pathSegments = [
                            .with { segment in
                                segment.name = name
                                segment.id = "one"
                            }
                        ]
                        request.mechanismPreferences = [
                            TunnelMechanism(source: try address("192.0.2.9"), port: 4789).mechanism
                        ]
                        change(&request)
                        let message = request
                        _ = try await connector.call(within: .seconds(60)) {
                            try await $0.request(message, timeout: .seconds(60))
                        }
                        return "it was granted"
                    } catch {
                        return "\(error)"
                    }
                }
                #expect(await ask("x", as: "stranger") { _ in }.contains("only managers are served over TCP"))
                #expect(
                    await ask("x") { $0.mechanismPreferences[0].parameters["src_ip"] = "198.51.100.1" }
                        .contains("--tunnel-from allows that"))
                #expect(await ask("b-nsmgr") { _ in }.contains("both hosts' meshes are called b-nsmgr"))
                #expect(await ask("x") { $0.mechanismPreferences = [.kernel()] }.contains("tunnels only"))
                #expect(
                    await ask("x") { $0.connection.networkServiceEndpointName = "elsewhere" }
                        .contains("no endpoint elsewhere on the host of b-nsmgr"))
                #expect(
                    await ask("x") { $0.mechanismPreferences[0].parameters["src_port"] = "4790" }
                        .contains("4790 there and 4789 here"))
                #expect(
                    await ask("x") { $0.mechanismPreferences[0].parameters["src_ip"] = "fd00::1" }
                        .contains("both must be IPv4 or IPv6"))
                #expect(try hosts.spaces.links("server") == [])

                let connector = PeerConnector(b.remote, component: try hosts.mesh.component("c/nsmgr"))
                let running = Task { await connector.run() }
                defer { running.cancel() }
                let registry = RegistryClient(connector)
                let refused = await #expect(throws: NSMError.self) {
                    _ = try await registry.register(
                        .with {
                            $0.name = "x"; $0.url = "unix:///tmp/x"
                        }, socket: nil)
                }
                #expect(refused?.text.contains("a tcp:// url is needed") == true)
                // What others are told of the endpoints here is the manager's address.
                let found = try await registry.find(NSMNetworkServiceEndpoint())
                #expect(found.map(\.url) == [b.remote.url])
            }
        }

        @Test("without identities, or by a Unix socket, hosts are not joined")
        func settings() throws {
            let mesh = try MeshFixture()
            defer { mesh.remove() }
            let remote = RemoteSettings(
                listen: .tcp(host: "127.0.0.1", port: 0), tunnelAddress: try address("192.0.2.1"))
            var settings = MeshSettings(
                name: "x", address: mesh.managerSocket, security: .insecure, remote: remote, logger: mesh.logger)
            #expect(throws: NSMError.self) { try MeshManager(settings) }
            settings.security = .identity(try mesh.identity("x"))
            _ = try MeshManager(settings)
            settings.remote?.listen = .unix("\(mesh.directory)/remote.sock")
            #expect(throws: NSMError.self) { try MeshManager(settings) }
        }
    }
}

@Suite("Endpoints of other hosts") struct RemoteEndpointTests {
    private let here = RegistrySource.registry(.tcp(host: "192.0.2.1", port: 5001))
    private let there = RegistrySource.registry(.tcp(host: "192.0.2.2", port: 5001))

    private func endpoint(_ name: String, _ url: String = "tcp://192.0.2.2:5001") -> NSMNetworkServiceEndpoint {
        .with { endpoint in
            endpoint.name = name
            endpoint.networkServiceNames = ["db"]
            endpoint.url = url
        }
    }

    @Test("count for a while after their registry was lost, and go when it says so")
    func grace() {
        let store = RemoteEndpoints()
        let now = Timestamp.now
        store.add(endpoint("one"), from: there)
        store.add(endpoint("two"), from: there)
        store.add(endpoint("one", "tcp://192.0.2.3:5001"), from: there)
        #expect(store.candidates("db").count == 3)
        store.remove(endpoint("two"), from: there)
        #expect(store.candidates("db").map(\.endpoint.name) == ["one", "one"])
        store.lost(there, now: now)
        #expect(store.candidates("db", now: now.advanced(by: .seconds(59))).count == 2)
        #expect(store.candidates("db", now: now.advanced(by: .seconds(61))).isEmpty)
        // Told anew, or by another, it counts.
        store.add(endpoint("one"), from: there)
        #expect(store.candidates("db", now: now.advanced(by: .seconds(61))).count == 1)
        store.add(endpoint("one"), from: here)
        store.remove(endpoint("one"), from: there)
        #expect(store.endpoint("one", of: "db")?.host?.url == "\(there)")
        store.lost(there, now: now.advanced(by: .seconds(62)))
        #expect(store.candidates("db", now: now.advanced(by: .seconds(3600))).count == 1)
    }

    @Test("what keeps a registry from being followed is news once")
    func troubles() {
        let store = RemoteEndpoints()
        #expect(!store.note(nil, of: there) && store.troubles.isEmpty)
        #expect(store.note("nobody listens", of: there))
        #expect(!store.note("nobody listens", of: there))
        #expect(store.troubles == ["tcp://192.0.2.2:5001 can't be followed: nobody listens"])
        #expect(store.note("its certificate has ended", of: there) && store.troubles.count == 1)
        #expect(store.note(nil, of: there) && store.troubles.isEmpty)
    }

    @Test("come after those of this host, each of both in turn")
    func order() throws {
        let store = RegistryStore { _ in }
        for name in ["h1", "h2"] {
            try store.register(
                RegistryStore.Entry(endpoint: endpoint(name, "unix:///\(name)"), socket: nil), .stranger("x"))
        }
        try store.register(RegistryStore.Entry(endpoint: endpoint("r1"), socket: nil), .stranger("x"))
        let others = [
            RegistryStore.Entry(endpoint: endpoint("r1"), socket: nil),
            RegistryStore.Entry(endpoint: endpoint("r2"), socket: nil),
        ]
        func names() -> [String] {
            store.candidates(service: "db", labels: [:], others: others).map(\.endpoint.name)
        }
        #expect(names() == ["h1", "h2", "r1", "r2"])
        #expect(names() == ["h2", "h1", "r2", "r1"])
        let service = NSMNetworkService.with { service in
            service.matches = [.with { $0.routes = [.with { $0.destinationSelector = ["zone": "far"] }] }]
        }
        #expect(store.candidates(service: "db", labels: [:], others: others, known: service).isEmpty)
    }
}
