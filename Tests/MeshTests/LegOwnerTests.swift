import Concurrency
import Crypto
import MeshTransport
import NSM
import SPIFFE
import TestSupport
import Testing

@testable import Mesh

extension OnTheKernel {
    /// Connections between hosts are known by ids in paths, which anybody can make up.
    @Suite("Whose the legs between hosts are") struct LegOwnerTests {
        /// Runs hosts `a` and `b`, a client at the first, and its endpoint at the second.
        private func withPair(
            _ body: (RemoteFixture, _ a: TestHost, _ b: TestHost, NetworkServiceClient) async throws -> Void
        ) async throws {
            let hosts = try RemoteFixture()
            defer { hosts.end() }
            let b = try hosts.host("b")
            let a = try hosts.host("a", peers: [b.remote])
            _ = try hosts.endpoint("server", at: b)
            let client = try hosts.client("client", at: a)
            try await eventually("connected") { client.connection != nil }
            try await body(hosts, a, b, client)
            // Whoever was there before has what it had.
            let before = try hosts.spaces.link("client", "nsm-db")["ifindex"] as? Int
            let segments = client.connection?.path.pathSegments.map(\.id)
            try await client.refresh()
            #expect(client.connection?.path.pathSegments.map(\.id) == segments)
            #expect(try hosts.spaces.link("client", "nsm-db")["ifindex"] as? Int == before)
            for prefix in try #require(client.connection).context.ipContext.destinationPrefixes {
                try await eventually("packets pass") {
                    (try? hosts.spaces.inside("client", "ping -c1 -W2 \(prefix.address)")) != nil
                }
            }
        }

        private static let patience = Duration.seconds(30)

        private static func segment(_ name: String, _ id: String, token: String = "") -> NSMPathSegment {
            .with { segment in
                (segment.name, segment.id, segment.token) = (name, id, token)
                if !token.isEmpty {
                    segment.setToken(CallToken(text: token, expires: .now.advanced(by: .seconds(600))))
                }
            }
        }

        /// A request for a tunnel from a host of the test.
        private static func request(_ segments: [NSMPathSegment], at index: Int) throws
            -> Networkservice_NetworkServiceRequest
        {
            let mechanism = TunnelMechanism(source: try address("192.0.2.9"), port: 4789).mechanism
            return .with { request in
                request.connection.id = segments[index].id
                request.connection.networkService = "db"
                request.connection.path.index = UInt32(index)
                request.connection.path.pathSegments = segments
                request.mechanismPreferences = [mechanism]
            }
        }

        @Test("another host can't take, move or close one, and has none by an id that it makes up")
        func foreignHost() async throws {
            try await withPair { hosts, a, b, client in
                let path = try #require(client.connection).path.pathSegments
                let far = try #require(try hosts.spaces.links("server").first)
                let vni = hosts.vni("server", far)
                try await hosts.withCalls("c/nsmgr", to: b.remote) { calls in
                    // With all that the owner's path has, its tokens included, but for the caller's own.
                    for id in [path[2].id, "9c1e6b1e-0000-8000-8000-000000000000"] {
                        var segments = path
                        segments[2].id = id
                        let answer = try await calls.request(
                            try Self.request([Self.segment("c-nsmgr", path[1].id)] + segments[2...], at: 0),
                            timeout: Self.patience)
                        let own = answer.path.pathSegments[1]
                        #expect(own.name == "b-nsmgr" && own.id != id && own.id != path[2].id)
                        #expect(b.manager.requests.monitor.owner(own.id)?.description == "spiffe://example.org/c/nsmgr")
                        #expect(answer.path.pathSegments[2].id != path[3].id)
                        #expect(answer.context.ipContext.srcIpAddrs != client.connection?.context.ipContext.srcIpAddrs)
                        var stolen = answer
                        stolen.path.pathSegments[1].id = path[2].id
                        let forged = stolen
                        let refused = await #expect(throws: NSMError.self) {
                            try await calls.close(forged, timeout: Self.patience)
                        }
                        #expect(refused?.code == .forbidden)
                        try await calls.close(answer, timeout: Self.patience)
                    }
                    try await calls.monitor(NSMMonitorScopeSelector()) { event in
                        #expect(event.connections.isEmpty)
                        return false
                    }
                }
                #expect(hosts.vni("server", far) == vni)
                #expect(
                    b.manager.requests.monitor.owner(path[2].id)?.description == "spiffe://example.org/a/nsmgr")
            }
        }

        @Test("a manager that passes on what its clients say of ids gives none the other's")
        func otherClient() async throws {
            try await withPair { hosts, a, b, client in
                let path = try #require(client.connection).path.pathSegments
                let end = Timestamp.now.advanced(by: .seconds(600))
                let token = try Token.sign(
                    subject: "spiffe://example.org/other", audience: ["spiffe://example.org/a/nsmgr"], expires: end,
                    key: P256.Signing.PrivateKey())
                try await hosts.withCalls("a/nsmgr", to: b.remote) { calls in
                    let segments = [Self.segment("other", "other-0", token: token)] + path[1...]
                    let answer = try await calls.request(
                        try Self.request(segments, at: 1), timeout: Self.patience)
                    #expect(answer.path.pathSegments[2].id != path[2].id)
                    var stolen = answer
                    stolen.path.pathSegments[2].id = path[2].id
                    let forged = stolen
                    await #expect(throws: NSMError.self) { try await calls.close(forged, timeout: Self.patience) }
                    try await calls.close(answer, timeout: Self.patience)
                }
            }
        }

        @Test("a client of the same host has no other's, at another host or at an endpoint")
        func sameHost() async throws {
            try await withPair { hosts, a, b, client in
                _ = try hosts.spaces.make("evil")
                let near = try hosts.client("near", at: b)
                try await eventually("connected") { near.connection != nil }
                for (host, victim) in [(a, client), (b, near)] {
                    let path = try #require(victim.connection).path.pathSegments
                    let space = try Descriptor.open(hosts.path("evil"), pathOnly: true)
                    try await hosts.withCalls("evil", to: host.socket) { calls in
                        let own = [Self.segment("evil", "evil-0"), Self.segment("\(host.name)-nsmgr", "x")]
                        var request = try Self.request(own + path[2...], at: 0)
                        request.mechanismPreferences = [.kernel(name: "nsm-db", inodeURL: space.inode.url)]
                        request.connection.networkServiceEndpointName = "server"
                        try calls.connection.info.descriptors?.send(space)
                        let answer = try await calls.request(request, timeout: Self.patience)
                        #expect(answer.path.pathSegments.count == path.count)
                        #expect(Set(answer.path.pathSegments.map(\.id)).isDisjoint(with: path.map(\.id)))
                        #expect(answer.context.ipContext.srcIpAddrs != victim.connection?.context.ipContext.srcIpAddrs)
                        try await calls.close(answer, timeout: Self.patience)
                    }
                    try await victim.refresh()
                    #expect(victim.connection?.path.pathSegments.map(\.id) == path.map(\.id))
                }
            }
        }

        @Test("a mesh that was started again asks the next one for a connection's id there")
        func startedAgain() async throws {
            let hosts = try RemoteFixture()
            defer { hosts.end() }
            let remote = try hosts.host("b").remote
            try hosts.host("a", peers: [remote])
            _ = try hosts.endpoint("server", at: hosts.named("b"))
            let client = try hosts.client("client", at: hosts.named("a"))
            let near = try hosts.client("near", at: hosts.named("b"))
            try await eventually("connected") { client.connection != nil && near.connection != nil }
            let indexes = try ["client", "near"].map { try hosts.spaces.link($0, "nsm-db")["ifindex"] as? Int }
            let segments = [client, near].map { $0.connection?.path.pathSegments.map(\.id) }
            let addresses = [client, near].map { $0.connection?.context.ipContext.srcIpAddrs }
            for name in ["a", "b"] {
                try await hosts.restart(name)
                // The endpoint registers again, and the clients ask again by themselves.
                try await eventually("all connections are known again") {
                    try hosts.named("a").manager.requests.monitor.connections.values.map(\.state) == [.up]
                        && hosts.named("b").manager.requests.monitor.connections.values.map(\.state) == [.up, .up]
                }
                for one in [client, near] { try await one.refresh() }
                #expect([client, near].map { $0.connection?.path.pathSegments.map(\.id) } == segments, "\(name)")
                #expect([client, near].map { $0.connection?.context.ipContext.srcIpAddrs } == addresses, "\(name)")
                #expect(
                    try ["client", "near"].map { try hosts.spaces.link($0, "nsm-db")["ifindex"] as? Int } == indexes,
                    "\(name)")
            }
        }

        @Test("an id of an earlier version is kept as long as nobody has it")
        func formerVersion() async throws {
            try await withPair { hosts, a, b, client in
                let first = Self.segment("c-nsmgr", "c-0")
                let former = MeshRequests.stableID(client: first, namespace: "", peer: "spiffe://example.org/c/nsmgr")
                let request = try Self.request([first, Self.segment("b-nsmgr", former)], at: 0)
                try await hosts.withCalls("c/nsmgr", to: b.remote) { calls in
                    for _ in 0..<2 {
                        let answer = try await calls.request(request, timeout: Self.patience)
                        #expect(answer.path.pathSegments[1].id == former)
                    }
                }
                // For another host it is no former one, and now it is somebody's.
                try await hosts.withCalls("d/nsmgr", to: b.remote) { calls in
                    let answer = try await calls.request(request, timeout: Self.patience)
                    #expect(answer.path.pathSegments[1].id != former)
                }
            }
        }

        @Test("one that goes to another endpoint of the same host is not closed behind itself")
        func otherEndpoint() async throws {
            try await withPair { hosts, a, b, _ in
                _ = try hosts.endpoint("second", at: b, prefixes: "172.16.9.0/24,2001:db8:9::/64")
                try await eventually("known") { a.manager.requests.others.endpoint("second", of: "db") != nil }
                _ = try hosts.spaces.make("mover")
                let space = try Descriptor.open(hosts.path("mover"), pathOnly: true)
                try await hosts.withCalls("mover", to: a.socket) { calls in
                    var request = try Self.request([Self.segment("mover", "mover-0")], at: 0)
                    request.mechanismPreferences = [.kernel(name: "nsm-db", inodeURL: space.inode.url)]
                    var legs: [String] = []
                    for name in ["server", "second"] {
                        request.connection.networkServiceEndpointName = name
                        request.connection.clearContext()
                        try calls.connection.info.descriptors?.send(space)
                        request.connection = try await calls.request(request, timeout: Self.patience)
                        #expect(request.connection.networkServiceEndpointName == name)
                        legs.append(request.connection.path.pathSegments[2].id)
                    }
                    #expect(legs[0] == legs[1])
                    // The endpoint that it had is told in the background.
                    try await eventually("gone from the first") { try hosts.spaces.links("server").count == 1 }
                    try await Task.sleep(for: .seconds(1))
                    #expect(b.manager.requests.monitor.connection(legs[0])?.networkServiceEndpointName == "second")
                    #expect(try hosts.spaces.links("second").count == 1)
                    for prefix in request.connection.context.ipContext.destinationPrefixes {
                        try await eventually("packets pass") {
                            (try? hosts.spaces.inside("mover", "ping -c1 -W2 \(prefix.address)")) != nil
                        }
                    }
                }
            }
        }
    }
}
