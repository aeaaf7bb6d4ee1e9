import Glibc
import MeshTransport
import NSM
import NetworkTypes
import TestSupport
import Testing

@testable import Mesh
@testable import Netlink

@Suite("Mechanisms of tunnels") struct TunnelMechanismTests {
    /// A pair of keys that `wg genkey` and `wg pubkey` made.
    static let pair = (
        secret: "mEHZEe1rXbHgaW4ZCHqNRiBX3eQMWEW1mJfUgPanq2w=", key: "nWd6zmmpbdDvaOuvgPSnBkEU+YnvB0pfC7Yd6ZhioHs="
    )
    private static let other = "se19BmIZ096vj0p13JTyRvgq3JfVqHsXvkxc0yCXDn8="

    private func identity() throws -> WireGuardIdentity {
        let secret = try #require(WireGuardSecret(base64: Array(Self.pair.secret.utf8)))
        return try #require(WireGuardIdentity(secret, port: 51821))
    }

    @Test("a key's public half is that of wg pubkey, and the private one is never printed")
    func keys() throws {
        let identity = try identity()
        #expect("\(identity.publicKey)" == Self.pair.key)
        #expect(!"\(identity)".contains(Self.pair.secret) && !String(reflecting: identity).contains(Self.pair.secret))
        #expect(WireGuardIdentity(.none, port: 1) == nil)
        let made = try #require(WireGuardIdentity(newAt: 51820))
        let again = try #require(WireGuardIdentity(newAt: 51820))
        #expect(made.publicKey != again.publicKey && made.privateKey == made.privateKey.clamped)
        #expect(made.moved(to: 7).publicKey == made.publicKey && made.moved(to: 7).port == 7)
    }

    @Test("VXLAN travels with the parameters of stock forwarders")
    func vxlan() throws {
        var mechanism = TunnelMechanism(source: try address("192.0.2.1"), port: 4789)
        #expect(mechanism.mechanism.cls == "REMOTE" && mechanism.mechanism.type == "VXLAN")
        #expect(mechanism.mechanism.parameters == ["src_ip": "192.0.2.1", "src_port": "4789"])
        mechanism.destination = try address("192.0.2.2")
        mechanism.destinationPort = 4789
        mechanism.details = .vxlan(vni: 77)
        #expect(
            mechanism.mechanism.parameters == [
                "src_ip": "192.0.2.1", "src_port": "4789", "dst_ip": "192.0.2.2", "dst_port": "4789", "vni": "77",
            ])
        #expect(TunnelMechanism(mechanism.mechanism) == mechanism)
    }

    @Test("WireGuard travels with the parameters of stock forwarders")
    func wireGuard() throws {
        var mechanism = TunnelMechanism(source: try address("2001:db8::1"), try identity())
        #expect(mechanism.mechanism.cls == "REMOTE" && mechanism.mechanism.type == "WIREGUARD")
        #expect(
            mechanism.mechanism.parameters == [
                "src_ip": "2001:db8::1", "src_port": "51821", "src_public_key": Self.pair.key,
            ])
        mechanism.destination = try address("2001:db8::2")
        mechanism.destinationPort = 51820
        mechanism.details = .wireGuard(source: try identity().publicKey, destination: WireGuardKey(Self.other))
        #expect(
            mechanism.mechanism.parameters == [
                "src_ip": "2001:db8::1", "src_port": "51821", "src_public_key": Self.pair.key,
                "dst_ip": "2001:db8::2", "dst_port": "51820", "dst_public_key": Self.other,
            ])
        #expect(TunnelMechanism(mechanism.mechanism) == mechanism)
    }

    @Test("what can't be read is no tunnel; stock forwarders have one port")
    func mistakes() throws {
        let good = TunnelMechanism(source: try address("192.0.2.1"), try identity()).mechanism
        func read(_ key: String, _ value: String?) -> TunnelMechanism? {
            var mechanism = good
            mechanism.parameters[key] = value
            return TunnelMechanism(mechanism)
        }
        #expect(read("src_port", nil)?.sourcePort == 51820 && read("src_port", "0")?.sourcePort == 51820)
        #expect(read("dst_port", "0")?.destinationPort == nil && read("dst_port", "7")?.destinationPort == 7)
        var vxlan = TunnelMechanism(source: try address("192.0.2.1"), port: 4790).mechanism
        #expect(TunnelMechanism(vxlan)?.sourcePort == 4790)
        vxlan.parameters["src_port"] = "0"
        vxlan.parameters["dst_port"] = "0"
        #expect(TunnelMechanism(vxlan)?.sourcePort == 4789 && TunnelMechanism(vxlan)?.destinationPort == nil)
        #expect(read("dst_public_key", "x")?.keys?.destination == nil)
        for value in [nil, "", "x", String(repeating: "A", count: 43) + "=", Self.pair.key + "A"] {
            #expect(read("src_public_key", value) == nil, "\(value ?? "none")")
        }
        #expect(read("src_ip", nil) == nil && read("src_ip", "host") == nil)
        var other = good
        other.type = "IPSEC"
        #expect(TunnelMechanism(other) == nil)
    }

    @Test("headers take what they take")
    func overhead() {
        #expect(ForwarderMechanism.vxlan.overhead(.v4) == 50 && ForwarderMechanism.vxlan.overhead(.v6) == 70)
        #expect(ForwarderMechanism.wireGuard.overhead(.v4) == 60 && ForwarderMechanism.wireGuard.overhead(.v6) == 80)
    }

    @Test("numbers of a small range run out")
    func numbers() {
        var ports = NumberAllocator(5...6)
        let all = [ports.allocate(for: "a"), ports.allocate(for: "b")]
        #expect(Set(all) == [5, 6] && ports.isFull(but: "c") && !ports.isFull(but: "a"))
        ports.release("a")
        #expect(!ports.isFull(but: "c") && ports.count == 1)
    }
}

extension OnTheKernel {
    /// What is possible depends on the kernel: Debian's has WireGuard, and `scripts/test --kernels` runs these tests with it.
    @Suite("WireGuard between hosts") struct WireGuardTunnelTests {
        private static let isThere = (try? WireGuardSocket(in: nil)) != nil
        private static let reason: Comment =
            "this kernel has no WireGuard; scripts/test --kernels runs these tests with one that has"

        private func withHosts(
            _ a: [ForwarderMechanism], _ b: [ForwarderMechanism], payload: String = "IP",
            _ body: (RemoteFixture, NetworkServiceClient) async throws -> Void
        ) async throws {
            let hosts = try RemoteFixture()
            defer { hosts.end() }
            let second = try hosts.host("b") { $0.tunnels = b }
            let first = try hosts.host("a", peers: [second.remote]) { $0.tunnels = a }
            _ = try hosts.endpoint("server", at: second, payload: payload)
            try await body(hosts, try hosts.client("client", at: first))
        }

        /// The kind of a pod's link.
        private func kind(_ hosts: RemoteFixture, _ pod: String) throws -> String? {
            let name = try #require(try hosts.spaces.links(pod).first)
            return (try hosts.spaces.link(pod, name)["linkinfo"] as? [String: Any])?["info_kind"] as? String
        }

        private func pings(_ hosts: RemoteFixture, _ client: NetworkServiceClient) throws {
            for prefix in try #require(client.connection).context.ipContext.destinationPrefixes {
                try hosts.spaces.inside("client", "ping -c1 -W5 \(prefix.address)")
            }
        }

        @Test("has no port that a link in a pod asks for beside those of tunnels")
        func foreignPort() throws {
            let hosts = try RemoteFixture()
            defer { hosts.end() }
            let requests = try hosts.host("a").manager.requests
            for port: UInt16 in [1, 53, 51819, 61820, 65535] {
                let known = try #require(WireGuardIdentity(newAt: port))
                let accepted = try requests.accepted(known, of: "one")
                #expect(NumberAllocator.wireGuardPorts.contains(UInt32(accepted.port)), "\(port)")
                #expect(accepted.publicKey == known.publicKey)
            }
            let own = try #require(WireGuardIdentity(newAt: 51820))
            #expect(try requests.accepted(own, of: "two") == own)
            #expect(requests.ports.withLock(\.count) == 2)
        }

        @Test("is left out when no port is left, and VXLAN is made")
        func fullOfPorts() async throws {
            let hosts = try RemoteFixture()
            defer { hosts.end() }
            let second = try hosts.host("b") { $0.tunnels = [.wireGuard, .vxlan] }
            let first = try hosts.host("a", peers: [second.remote]) { $0.tunnels = [.wireGuard, .vxlan] }
            for host in hosts.hosts {
                // Nothing asks the kernel for one here, so it need not have it.
                await host.manager.requests.forwarder.note(hasWireGuard: true)
                host.manager.requests.ports.withLock { ports in
                    for number in NumberAllocator.wireGuardPorts {
                        _ = ports.allocate(for: "other-\(number)", proposed: number)
                    }
                }
            }
            _ = try hosts.endpoint("server", at: second, payload: "IP")
            let client = try hosts.client("client", at: first)
            try await eventually("connected") { client.connection != nil }
            #expect(try kind(hosts, "client") == "vxlan" && kind(hosts, "server") == "vxlan")
            try pings(hosts, client)
        }

        @Test("is taken when it is preferred and the kernel has it, else VXLAN")
        func preferred() async throws {
            try await withHosts([.wireGuard, .vxlan], [.vxlan, .wireGuard]) { hosts, client in
                try await eventually("connected") { client.connection != nil }
                #expect(try kind(hosts, "client") == (Self.isThere ? "wireguard" : "vxlan"))
                #expect(try kind(hosts, "server") == (Self.isThere ? "wireguard" : "vxlan"))
                #expect(client.connection?.context.mtu == (Self.isThere ? 1440 : 1450))
                try pings(hosts, client)
            }
        }

        @Test("is not taken unless it is preferred")
        func order() async throws {
            try await withHosts([.vxlan, .wireGuard], [.wireGuard, .vxlan]) { hosts, client in
                try await eventually("connected") { client.connection != nil }
                #expect(try kind(hosts, "client") == "vxlan")
            }
        }

        @Test("is not taken for frames")
        func frames() async throws {
            try await withHosts([.wireGuard, .vxlan], [.wireGuard, .vxlan], payload: "ETHERNET") { hosts, client in
                try await eventually("connected") { client.connection != nil }
                #expect(try kind(hosts, "client") == "vxlan")
            }
        }

        @Test("is taken when the other host makes no other tunnels")
        func only() async throws {
            try await withHosts([.vxlan, .wireGuard], [.wireGuard]) { hosts, client in
                if Self.isThere {
                    try await eventually("connected") { client.connection != nil }
                    #expect(try kind(hosts, "server") == "wireguard")
                } else {
                    try await eventually("refused") { "\(client.state)".contains("this host makes no tunnels") }
                    #expect(try hosts.spaces.links("server") == [] && hosts.spaces.links("client") == [])
                }
            }
        }

        @Test(
            "joins pods, keeps keys and links over refreshes and starts, and follows a link that is made again",
            .enabled(if: isThere, reason))
        func life() async throws {
            try await withHosts([.wireGuard], [.wireGuard]) { hosts, client in
                try await eventually("connected") { client.connection != nil }
                try pings(hosts, client)
                // A packet of full size gets through in one piece.
                let peer = try #require(client.connection?.context.ipContext.destinationPrefixes.first).address
                try hosts.spaces.inside("client", "ping -c1 -W5 -M do -s \(1440 - 28) \(peer)")
                let far = try #require(try hosts.spaces.links("server").first)
                let index = try hosts.spaces.link("client", "nsm-db")["ifindex"] as? Int
                let device = { (pod: String, link: String) throws -> WireGuardDevice in
                    let index = try #require(try hosts.spaces.link(pod, link)["ifindex"] as? Int)
                    return try WireGuardSocket(in: hosts.spaces.open(pod)).device(index: Int32(index))
                }
                let before = (try device("client", "nsm-db"), try device("server", far))
                #expect(before.0.peers.keys.first == before.1.publicKey && before.0.peers.count == 1)
                try await client.refresh()
                #expect(try device("client", "nsm-db").publicKey == before.0.publicKey)

                // Forwarders that were started again know both keys from the kernel alone.
                for host in hosts.hosts {
                    let forwarder = host.manager.requests.forwarder
                    for id in await forwarder.connections { await forwarder.letGo(id) }
                }
                try await client.refresh()
                #expect(try device("client", "nsm-db").publicKey == before.0.publicKey)
                #expect(try device("server", far).publicKey == before.1.publicKey)
                #expect(try device("server", far).listenPort == before.1.listenPort)
                #expect(try hosts.spaces.link("client", "nsm-db")["ifindex"] as? Int == index)
                try pings(hosts, client)

                // The endpoint's link is gone: it gets another key, of which the client's end is told.
                try hosts.spaces.ip("server", "link delete \(far)")
                for host in hosts.hosts where host.name == "b" {
                    let forwarder = host.manager.requests.forwarder
                    for id in await forwarder.connections { await forwarder.letGo(id) }
                }
                try await client.refresh()
                #expect(try device("server", far).publicKey != before.1.publicKey)
                #expect(try hosts.spaces.link("client", "nsm-db")["ifindex"] as? Int == index)
                try pings(hosts, client)

                hosts.stop()
                try await client.close()
                #expect(try hosts.spaces.links("client") == [] && hosts.spaces.links("server") == [])
                #expect(hosts.hosts.allSatisfy { $0.manager.requests.ports.withLock(\.count) == 0 })
            }
        }

        @Test(
            "has a new key when its other end is on another host, also when that is seen after a start only",
            .enabled(if: isThere, reason))
        func moves() async throws {
            let hosts = try RemoteFixture()
            defer { hosts.end() }
            let others = try ["b", "c"].map { try hosts.host($0) { $0.tunnels = [.wireGuard] } }
            let a = try hosts.host("a", peers: others.map(\.remote)) { $0.tunnels = [.wireGuard] }
            for (number, host) in others.enumerated() {
                let prefixes = "172.16.\(number).0/24,2001:db8:\(number)::/64"
                _ = try hosts.endpoint("on-\(host.name)", at: host, prefixes: prefixes, payload: "IP")
            }
            try await eventually("both are known") {
                others.allSatisfy { a.manager.requests.others.endpoint("on-\($0.name)", of: "db") != nil }
            }
            _ = try hosts.spaces.make("mover")
            let space = try Descriptor.open(hosts.path("mover"), pathOnly: true)
            func device(_ pod: String) throws -> WireGuardDevice {
                let name = try #require(try hosts.spaces.links(pod).first)
                let index = try #require(try hosts.spaces.link(pod, name)["ifindex"] as? Int)
                return try WireGuardSocket(in: hosts.spaces.open(pod)).device(index: Int32(index))
            }
            try await hosts.withCalls("mover", to: a.socket) { calls in
                var request = Networkservice_NetworkServiceRequest()
                request.connection.id = "mover-0"
                request.connection.networkService = "db"
                request.connection.path.pathSegments = [
                    .with { segment in
                        (segment.name, segment.id) = ("mover", "mover-0")
                    }
                ]
                request.mechanismPreferences = [.kernel(name: "nsm-db", inodeURL: space.inode.url)]
                var keys: [WireGuardKey] = []
                for (name, isForgotten) in [("on-b", false), ("on-c", false), ("on-b", true), ("on-b", true)] {
                    if isForgotten {
                        a.manager.requests.known.withLock { $0 = [:] }
                        for id in await a.manager.requests.forwarder.connections {
                            await a.manager.requests.forwarder.letGo(id)
                        }
                    }
                    request.connection.networkServiceEndpointName = name
                    request.connection.clearContext()
                    try calls.connection.info.descriptors?.send(space)
                    request.connection = try await calls.request(request, timeout: .seconds(60))
                    let (near, far) = (try device("mover"), try device(name))
                    keys.append(try #require(near.publicKey))
                    #expect(Array(near.peers.keys) == [far.publicKey] && Array(far.peers.keys) == [near.publicKey])
                    for prefix in request.connection.context.ipContext.destinationPrefixes {
                        try await eventually("packets pass") {
                            (try? hosts.spaces.inside("mover", "ping -c1 -W5 \(prefix.address)")) != nil
                        }
                    }
                }
                // The last time its other end was the same.
                #expect(Set(keys[..<3]).count == 3 && keys[2] == keys[3], "\(keys)")
            }
        }

        @Test("takes another port where somebody listens", .enabled(if: isThere, reason))
        func port() async throws {
            let hosts = try RemoteFixture()
            defer { hosts.end() }
            let host = try hosts.host("a")
            let taken = try hosts.spaces.make("taken")
            let forwarder = host.manager.requests.forwarder
            func leg(_ id: String, _ identity: WireGuardIdentity) throws -> RemoteLeg {
                var leg = RemoteLeg(
                    id: id, end: ConnectionEnd(namespace: taken, name: id),
                    tunnel: Tunnel(
                        WireGuardEnd(
                            own: identity, peer: try #require(WireGuardKey(TunnelMechanismTests.pair.key))),
                        local: try address("192.0.2.1"), remote: try address("192.0.2.2"), port: 51820))
                leg.end.addresses = try prefixes("172.16.0.1/32")
                return leg
            }
            let first = try #require(WireGuardIdentity(newAt: 51820))
            try await forwarder.apply(try leg("one", first))
            let second = try #require(WireGuardIdentity(newAt: 51820))
            let wanted = try leg("two", second)
            let error = await refusal { try await forwarder.apply(wanted) }
            #expect(error?.code == EADDRINUSE)
            #expect(wanted.tunnel.isTaken(try #require(error)))
            #expect(try hosts.spaces.links("taken") == ["one"])
            try await forwarder.apply(try leg("two", second.moved(to: 51821)))
            #expect(try hosts.spaces.links("taken") == ["one", "two"])
        }
    }
}

extension Forwarder {
    fileprivate func note(hasWireGuard: Bool) { knownWireGuard = hasWireGuard }
}
