import Glibc
import Netlink
import NetworkTypes
import TestSupport
import Testing

@testable import Mesh

extension OnTheKernel {
    /// Two hosts that are joined by a veth pair, with a pod each.
    @Suite("Tunnels between hosts") struct RemoteLegTests {
        let spaces = Spaces()

        private struct Hosts {
            var left: Forwarder
            var right: Forwarder
            var client: RemoteLeg
            var server: RemoteLeg
        }

        private func hosts(_ left: String = "192.0.2.1", _ right: String = "192.0.2.2") throws -> Hosts {
            let (one, two) = (try spaces.make("left"), try spaces.make("right"))
            try spaces.ip("left", "link add up0 type veth peer name up0 netns \(spaces.names[1])")
            for (host, address) in [("left", left), ("right", right)] {
                try spaces.ip(host, "link set up0 up")
                let length = address.contains(":") ? "64 nodad" : "24"
                try spaces.ip(host, "addr add \(address)/\(length) dev up0")
            }
            var client = RemoteLeg(
                id: "at-left", end: ConnectionEnd(namespace: try spaces.make("client"), name: "nsm-1"),
                tunnel: Tunnel(vni: 77, local: try address(left), remote: try address(right)))
            var server = RemoteLeg(
                id: "at-right", end: ConnectionEnd(namespace: try spaces.make("server"), name: "nsm-1"),
                tunnel: Tunnel(vni: 77, local: try address(right), remote: try address(left)))
            client.end.addresses = try prefixes("172.16.0.2/32", "2001:db8:f::2/128")
            server.end.addresses = try prefixes("172.16.0.1/32", "2001:db8:f::1/128")
            client.end.peers = server.end.addresses
            server.end.peers = client.end.addresses
            return try Hosts(left: Forwarder(host: one), right: Forwarder(host: two), client: client, server: server)
        }

        private func pings() throws {
            try spaces.inside("client", "ping -c1 -W2 172.16.0.1")
            try spaces.inside("client", "ping -c1 -W2 2001:db8:f::1")
        }

        @Test("join two pods through the hosts' network", arguments: ["192.0.2.", "fd00::"])
        func connect(_ network: String) async throws {
            let hosts = try hosts("\(network)1", "\(network)2")
            try await hosts.left.apply(hosts.client)
            try await hosts.right.apply(hosts.server)
            try pings()
            let link = try spaces.link("client", "nsm-1")
            let most = network == "fd00::" ? 1430 : 1450
            #expect(link["mtu"] as? Int == most)
            #expect(link["ifalias"] as? String == "nsm/at-left/r")
            #expect(try await hosts.left.tunnelMTU(from: hosts.client.tunnel.local) == UInt32(most))
            // A packet of full size gets through in one piece.
            try spaces.inside("client", "ping -c1 -W2 -M do -s \(most - 28) 172.16.0.1")
            // The pods have no way of their own to the other host.
            #expect(try spaces.links("client") == ["nsm-1"])
            #expect(try spaces.links("left") == ["up0"])

            let index = link["ifindex"] as? Int
            let listener = try Listener(hosts.client.end.namespace)
            try await hosts.left.apply(hosts.client)
            #expect(listener.reports.isEmpty)
            try await Forwarder(host: try spaces.open("left")).apply(hosts.client)
            #expect(try spaces.link("client", "nsm-1")["ifindex"] as? Int == index)
            try pings()

            try await hosts.left.remove("at-left")
            try await hosts.right.remove("at-right")
            #expect(try spaces.links("client") == [])
            #expect(try spaces.links("server") == [])
            #expect(await hosts.left.connections.isEmpty)
        }

        @Test("a VNI that this host uses is told from other failures; nothing is left behind")
        func taken() async throws {
            let hosts = try hosts()
            try await hosts.left.apply(hosts.client)
            var second = hosts.client
            second.id = "second"
            second.end.name = "nsm-2"
            let error = await refusal { try await hosts.left.apply(second) }
            #expect(error?.code == EEXIST)
            #expect(error?.reason.contains("VNI") == true)
            #expect(try spaces.links("client") == ["nsm-1"])
            second.tunnel.vni = 78
            second.end.addresses = try prefixes("ff02::5/128")
            #expect(await refusal { try await hosts.left.apply(second) } != nil)
            #expect(try spaces.links("client") == ["nsm-1"])
            second.tunnel.local = try address("192.0.2.99")
            let missing = await refusal { try await hosts.left.apply(second) }
            #expect(missing?.object == "address 192.0.2.99")
        }

        @Test("addresses change in place; another tunnel replaces the old one, and so does a pair")
        func update() async throws {
            var hosts = try hosts()
            try await hosts.left.apply(hosts.client)
            try await hosts.right.apply(hosts.server)
            let index = try spaces.link("client", "nsm-1")["ifindex"] as? Int
            hosts.client.end.addresses = try prefixes("172.16.4.2/32")
            hosts.client.end.peers = try prefixes("172.16.0.1/32")
            hosts.client.mtu = 1200
            try await hosts.left.apply(hosts.client)
            #expect(try spaces.addresses("client", "nsm-1") == ["172.16.4.2/32"])
            #expect(try spaces.link("client", "nsm-1")["ifindex"] as? Int == index)
            #expect(try spaces.link("client", "nsm-1")["mtu"] as? Int == 1200)

            hosts.client.end.addresses = hosts.server.end.peers
            hosts.client.end.peers = hosts.server.end.addresses
            let small = hosts.client
            #expect(await refusal { try await hosts.left.apply(small) }?.reason.contains("1280") == true)
            #expect(try spaces.addresses("client", "nsm-1") == ["172.16.4.2/32"])

            hosts.client.mtu = nil
            hosts.client.tunnel.vni = 78
            hosts.server.tunnel.vni = 78
            try await hosts.left.apply(hosts.client)
            try await hosts.right.apply(hosts.server)
            try pings()

            // The client is healed to an endpoint on its own host, and back.
            var local = try pair(hosts.client.end.namespace, try spaces.make("near"), id: "at-left")
            local.client.addresses = hosts.client.end.addresses
            local.endpoint.addresses = hosts.server.end.addresses
            local.client.peers = local.endpoint.addresses
            local.endpoint.peers = local.client.addresses
            try await hosts.left.apply(local)
            try pings()
            #expect(try spaces.links("near") == ["srv-1"])
            try await hosts.left.apply(hosts.client)
            #expect(try spaces.links("near") == [])
            try pings()
        }
    }
}

@Suite("VXLAN network identifiers") struct VNITests {
    @Test("are kept, taken as proposed when they are free, and given back")
    func allocate() {
        var allocator = NumberAllocator()
        let first = allocator.allocate(for: "a")
        #expect(allocator.allocate(for: "a") == first)
        #expect(allocator.allocate(for: "b", proposed: first) != first)
        #expect(allocator.allocate(for: "a", proposed: 4) == 4)
        #expect(allocator.allocate(for: "c", proposed: first) == first)
        #expect((1...0xff_ffff).contains(allocator.allocate(for: "d", proposed: 0)))
        #expect((1...0xff_ffff).contains(allocator.allocate(for: "e", proposed: 0x100_0000)))
        allocator.release("a")
        #expect(allocator.allocate(for: "f", proposed: 4) == 4)
        let many = (0..<2000).map { allocator.allocate(for: "m\($0)") }
        #expect(Set(many).count == many.count)
    }
}
