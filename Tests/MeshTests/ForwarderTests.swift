import Glibc
import Netlink
import NetworkTypes
import TestSupport
import Testing

@testable import Mesh

extension OnTheKernel {
    @Suite("The forwarder") struct ForwarderTests {
        let spaces = Spaces()

        private func pings(_ addresses: String...) throws {
            for address in addresses { try spaces.inside("client", "ping -c1 -W2 \(address)") }
        }

        @Test("makes a pair as it was asked for")
        func create() async throws {
            let (client, endpoint) = (try spaces.make("client"), try spaces.make("server"))
            var connection = try pair(client, endpoint)
            connection.mtu = 1400
            connection.client.mac = MACAddress("02:00:00:00:00:0a")
            connection.client.resolvesPeers = true
            connection.endpoint.resolvesPeers = true
            connection.client.routes = [
                EndRoute(try #require(IPPrefix("10.1.0.0/16"))),
                EndRoute(try #require(IPPrefix("2001:db8:1::/48"))),
                EndRoute(try #require(IPPrefix("10.2.0.0/16")), gateway: try address("172.16.9.9")),
            ]
            connection.client.neighbours = [
                EndNeighbour(try address("172.16.9.9"), try #require(MACAddress("02:00:00:00:00:99")))
            ]
            let forwarder = try Forwarder()
            try await forwarder.apply(connection)
            // Nothing asks who has the address: a packet that is dropped before the links are ready is not sent again.
            let wanted = connection
            try await eventually("it carries packets") { await forwarder.carriesPackets(wanted) }
            try pings("172.16.0.1", "2001:db8::1")

            let link = try spaces.link("client", "nsm-1")
            #expect(link["mtu"] as? Int == 1400)
            #expect(link["address"] as? String == "02:00:00:00:00:0a")
            #expect(link["ifalias"] as? String == "nsm/one/c")
            #expect(try spaces.link("server", "srv-1")["mtu"] as? Int == 1400)
            #expect(try spaces.link("server", "srv-1")["ifalias"] as? String == "nsm/one/e")
            #expect(try spaces.addresses("client", "nsm-1") == ["172.16.0.2/32", "2001:db8::2/128"])
            #expect(
                try spaces.routes("client") == [
                    "172.16.0.1 dev nsm-1", "2001:db8::1 dev nsm-1", "10.1.0.0/16 via 172.16.0.1 dev nsm-1",
                    "2001:db8:1::/48 via 2001:db8::1 dev nsm-1", "10.2.0.0/16 via 172.16.9.9 dev nsm-1",
                ])
            let neighbours = try spaces.ip("client", "neigh show nud permanent")
            let peerMAC = try #require(try spaces.link("server", "srv-1")["address"] as? String)
            #expect(neighbours.contains("172.16.0.1 dev nsm-1 lladdr \(peerMAC) PERMANENT"))
            #expect(neighbours.contains("2001:db8::1 dev nsm-1 lladdr \(peerMAC) PERMANENT"))
            #expect(neighbours.contains("172.16.9.9 dev nsm-1 lladdr 02:00:00:00:00:99 PERMANENT"))
            #expect(try spaces.ip("server", "neigh show nud permanent").contains("02:00:00:00:00:0a"))
            let range = try spaces.inside("client", "cat /proc/sys/net/ipv4/ping_group_range")
            #expect(range.split(separator: "\t").map { $0.filter(\.isNumber) } == ["0", "2147483647"])
        }

        @Test("what an earlier process made and nobody asked for again is removed, and nothing else")
        func leftovers() async throws {
            let (client, endpoint) = (try spaces.make("client"), try spaces.make("server"))
            let kept = try pair(client, endpoint)
            let before = try Forwarder(owner: "a")
            try await before.apply(kept)
            for (id, name) in [("two", "nsm-2"), ("three", "nsm-3")] {
                try await before.apply(
                    CrossConnect(
                        id: id, client: ConnectionEnd(namespace: client, name: name),
                        endpoint: ConnectionEnd(namespace: endpoint, name: "srv" + name)))
            }
            try await Forwarder(owner: "b").apply(
                CrossConnect(
                    id: "four", client: ConnectionEnd(namespace: client, name: "nsm-4"),
                    endpoint: ConnectionEnd(namespace: endpoint, name: "srv-4")))
            try spaces.ip("client", "link add mine type veth peer name yours")
            let after = try Forwarder(owner: "a")
            try await after.apply(kept)
            // The same connection by another name: what it had before is a leftover, too.
            try await after.apply(
                CrossConnect(
                    id: "three", client: ConnectionEnd(namespace: client, name: "nsm-5"),
                    endpoint: ConnectionEnd(namespace: endpoint, name: "srv-5")))
            #expect(await after.removeLeftovers() == ["two", "three"])
            #expect(try spaces.links("client") == ["nsm-1", "nsm-4", "nsm-5", "mine", "yours"])
            #expect(try spaces.links("server") == ["srv-1", "srv-4", "srv-5"])
            try pings("172.16.0.1", "2001:db8::1")
        }

        @Test("touches nothing when nothing changed")
        func refresh() async throws {
            let (client, endpoint) = (try spaces.make("client"), try spaces.make("server"))
            let connection = try pair(client, endpoint)
            let forwarder = try Forwarder()
            try await forwarder.apply(connection)
            let before = try spaces.ip("client", "-j link show nsm-1")
            try await settled(client, endpoint)
            let listeners = [try Listener(client), try Listener(endpoint)]
            // A refresh brings descriptors of its own.
            try await forwarder.apply(pair(try spaces.open("client"), try spaces.open("server")))
            for listener in listeners { #expect(listener.reports.isEmpty) }
            #expect(try spaces.ip("client", "-j link show nsm-1") == before)
        }

        /// Carrier changes are told with a delay of up to a second.
        private func settled(_ spaces: NetworkNamespace...) async throws {
            let listeners = try spaces.map { try Listener($0) }
            var quiet = 0
            try await eventually("quiet") {
                try await Task.sleep(for: .milliseconds(100))
                quiet = listeners.allSatisfy { $0.reports.isEmpty } ? quiet + 1 : 0
                return quiet >= 12
            }
        }

        @Test("changes what differs and keeps the interface")
        func update() async throws {
            let (client, endpoint) = (try spaces.make("client"), try spaces.make("server"))
            var connection = try pair(client, endpoint)
            connection.client.routes = [EndRoute(try #require(IPPrefix("10.1.0.0/16")))]
            connection.client.resolvesPeers = true
            let forwarder = try Forwarder()
            try await forwarder.apply(connection)
            let index = try spaces.link("client", "nsm-1")["ifindex"] as? Int
            try spaces.ip("client", "addr add 192.0.2.7/24 dev nsm-1")

            connection.client.addresses = try prefixes("172.16.5.2/24", "172.16.5.3/24")
            connection.endpoint.addresses = try prefixes("172.16.5.1/24")
            connection.client.peers = connection.endpoint.addresses
            connection.endpoint.peers = connection.client.addresses
            connection.client.routes = [EndRoute(try #require(IPPrefix("10.3.0.0/16")))]
            connection.mtu = 1300
            try await forwarder.apply(connection)
            #expect(try spaces.link("client", "nsm-1")["ifindex"] as? Int == index)
            #expect(try spaces.link("server", "srv-1")["mtu"] as? Int == 1300)
            #expect(try spaces.addresses("client", "nsm-1") == ["172.16.5.2/24", "172.16.5.3/24"])
            #expect(try spaces.routes("client") == ["10.3.0.0/16 via 172.16.5.1 dev nsm-1"])
            #expect(try !spaces.ip("client", "neigh show nud permanent").contains("172.16.0.1"))
            try pings("172.16.5.1")

            // Without the first address of a subnet the kernel would take the second one, too.
            connection.client.addresses = try prefixes("172.16.5.3/24")
            try await forwarder.apply(connection)
            #expect(try spaces.addresses("client", "nsm-1") == ["172.16.5.3/24"])
            try pings("172.16.5.1")

            connection.client.addresses = []
            connection.mtu = nil
            try await forwarder.apply(connection)
            #expect(try spaces.addresses("client", "nsm-1") == ["172.16.5.3/24"])
            #expect(try spaces.link("client", "nsm-1")["mtu"] as? Int == 1500)
        }

        @Test("ends may have the same name in two namespaces, and be in one namespace with two names")
        func names() async throws {
            let (client, endpoint) = (try spaces.make("client"), try spaces.make("server"))
            let forwarder = try Forwarder()
            try await forwarder.apply(pair(client, endpoint, clientName: "nsm-0", endpointName: "nsm-0"))
            try pings("172.16.0.1", "2001:db8::1")
            try await forwarder.remove("one")
            try await forwarder.apply(pair(client, client, id: "two", clientName: "left", endpointName: "right"))
            #expect(try spaces.links("client") == ["left", "right"])
            _ = await refusal {
                try await forwarder.apply(pair(client, client, id: "three", clientName: "same", endpointName: "same"))
            }
            #expect(try spaces.links("client") == ["left", "right"])
            try await forwarder.remove("two")
            #expect(try spaces.links("client") == [])
        }

        @Test("leaves what is not ours alone, and clears what nobody owns")
        func foreign() async throws {
            let (client, endpoint) = (try spaces.make("client"), try spaces.make("server"))
            try spaces.ip("server", "link add srv-1 type veth peer name other")
            let forwarder = try Forwarder()
            let connection = try pair(client, endpoint)
            let error = await refusal { try await forwarder.apply(connection) }
            #expect(error?.namespace == endpoint.inode)
            #expect(error?.object == "link srv-1")
            #expect(try spaces.links("client") == [])
            #expect(try spaces.links("server") == ["srv-1", "other"])

            try spaces.ip("server", "link set srv-1 alias nsm/gone/e")
            _ = await refusal { try await forwarder.apply(connection) }
            // A connection that is not known here may be one of another forwarder.
            let group = { (owner: String) in "link set srv-1 group \(Forwarder.group(of: owner))" }
            try spaces.ip("server", group("b"))
            let other = await refusal { try await forwarder.apply(connection) { $0 != "gone" } }
            #expect(other?.object == "link srv-1")
            try spaces.ip("server", group(""))
            try await forwarder.apply(connection) { $0 != "gone" }
            #expect(try spaces.links("server") == ["srv-1"])
            try pings("172.16.0.1")

            // A process that ended between the create and the alias leaves only the group.
            try await forwarder.remove("one")
            try spaces.ip("server", "link add srv-1 type veth peer name other")
            try spaces.ip("server", "link set srv-1 group \(Forwarder.group(of: ""))")
            try await forwarder.apply(connection)
            #expect(try spaces.links("server") == ["srv-1"])
        }

        @Test("undoes everything when the last step fails")
        func undone() async throws {
            let (client, endpoint) = (try spaces.make("client"), try spaces.make("server"))
            let forwarder = try Forwarder()
            var connection = try pair(client, endpoint)
            connection.client.policies = [EndPolicy(from: IPPrefix("172.16.0.2/32"))]
            var bad = connection
            // The kernel takes no multicast address.
            bad.endpoint.addresses += try prefixes("ff02::5/128")
            let error = await refusal { try await forwarder.apply(bad) }
            #expect(error?.description.contains("address ff02::5/128 on interface srv-1") == true)
            #expect(error?.namespace == endpoint.inode)
            #expect(try spaces.links("client") == [])
            #expect(try spaces.links("server") == [])
            #expect(try spaces.ip("client", "rule").split(separator: "\n").count == 3)
            #expect(await forwarder.connections.isEmpty)
            #expect(await forwarder.openSockets == 0)

            try await forwarder.apply(connection)
            let index = try spaces.link("client", "nsm-1")["ifindex"] as? Int
            bad.client.addresses = try prefixes("172.16.7.7/32")
            _ = await refusal { try await forwarder.apply(bad) }
            #expect(try spaces.addresses("client", "nsm-1") == ["172.16.0.2/32", "2001:db8::2/128"])
            #expect(try spaces.link("client", "nsm-1")["ifindex"] as? Int == index)
            try pings("172.16.0.1", "2001:db8::1")
            try await forwarder.remove("one")
            #expect(try spaces.links("client") == [])
        }

        @Test("undoes everything when the kernel refuses the last step")
        func refused() async throws {
            let (client, endpoint) = (try spaces.make("client"), try spaces.make("server"))
            let forwarder = try Forwarder()
            var connection = try pair(client, endpoint)
            connection.client.routes = [EndRoute(try #require(IPPrefix("10.1.0.0/16")))]
            connection.client.resolvesPeers = true
            connection.client.policies = [EndPolicy(from: IPPrefix("172.16.0.2/32"))]
            var bad = connection
            // The kernel takes no next hop that is an address of the end itself.
            bad.endpoint.routes = [EndRoute(try #require(IPPrefix("10.2.0.0/16")), gateway: try address("172.16.0.1"))]
            let error = await refusal { try await forwarder.apply(bad) }
            #expect(error?.object == "route to 10.2.0.0/16 on interface srv-1")
            #expect(error?.namespace == endpoint.inode)
            #expect(error?.code == EINVAL)
            #expect(try spaces.links("client") == [])
            #expect(try spaces.links("server") == [])
            #expect(try spaces.ip("client", "rule").split(separator: "\n").count == 3)
            #expect(await forwarder.connections.isEmpty)
            #expect(await forwarder.openSockets == 0)

            try await forwarder.apply(connection)
            let before = try state()
            bad.mtu = 1400
            bad.client.addresses = try prefixes("172.16.7.7/32")
            bad.client.routes = []
            bad.client.policies = [EndPolicy(from: IPPrefix("172.16.7.7/32"))]
            _ = await refusal { try await forwarder.apply(bad) }
            for (old, new) in zip(before, try state()) { #expect(new == old) }
            try await forwarder.apply(connection)
            for (old, new) in zip(before, try state()) { #expect(new == old) }
            try pings("172.16.0.1", "2001:db8::1")
            try await forwarder.remove("one")
            #expect(try spaces.links("client") == [])
            #expect(try spaces.ip("client", "rule").split(separator: "\n").count == 3)
        }

        /// All that a connection's ends have.
        private func state() throws -> [Set<String>] {
            var result: [Set<String>] = []
            for (space, name) in [("client", "nsm-1"), ("server", "srv-1")] {
                let link = try spaces.link(space, name)
                result.append(Set(["ifindex", "mtu", "address", "ifalias", "group"].map { "\($0) \(link[$0] ?? "")" }))
                result.append(try spaces.addresses(space, name))
                for table in ["main", "1", "2"] { result.append(try spaces.routes(space, table: table)) }
                for words in ["neigh show nud permanent", "rule"] {
                    result.append(Set(try spaces.ip(space, words).split(separator: "\n").map(String.init)))
                }
            }
            return result
        }

        @Test("takes over what an earlier process made, without a change that anybody sees")
        func adopt() async throws {
            let (client, endpoint) = (try spaces.make("client"), try spaces.make("server"))
            let connection = try pair(client, endpoint)
            try await Forwarder().apply(connection)
            let index = try spaces.link("client", "nsm-1")["ifindex"] as? Int
            try await settled(client, endpoint)
            let listener = try Listener(client)
            let second = try Forwarder()
            try await second.apply(connection)
            let changes = listener.reports.filter { report in
                switch report {
                case .link, .linkRemoved, .address, .addressRemoved, .routeRemoved: true
                default: false
                }
            }
            #expect(changes.isEmpty)
            #expect(try spaces.link("client", "nsm-1")["ifindex"] as? Int == index)
            try await second.remove("one")
            #expect(try spaces.links("client") == [])
            #expect(try spaces.links("server") == [])
            try await second.remove("one")
        }

        @Test("makes a pair anew that somebody removed, and moves one to another namespace")
        func moved() async throws {
            let (client, endpoint) = (try spaces.make("client"), try spaces.make("server"))
            let forwarder = try Forwarder()
            try await forwarder.apply(pair(client, endpoint))
            try spaces.ip("client", "link del nsm-1")
            try await forwarder.apply(pair(client, endpoint))
            try pings("172.16.0.1")
            let other = try spaces.make("other")
            try await forwarder.apply(pair(client, other))
            #expect(try spaces.links("server") == [])
            #expect(try spaces.links("other") == ["srv-1"])
            try pings("172.16.0.1", "2001:db8::1")
            // Under another name nobody finds it.
            try spaces.ip("other", "link set srv-1 down")
            try spaces.ip("other", "link set srv-1 name lost")
            try await forwarder.apply(pair(client, other))
            #expect(try spaces.links("client") == ["nsm-1"])
            #expect(try spaces.links("other") == ["srv-1"])
            try pings("172.16.0.1", "2001:db8::1")
        }

        @Test("makes 200 connections in a row and holds nothing afterwards")
        func many() async throws {
            let (client, endpoint) = (try spaces.make("client"), try spaces.make("server"))
            let held = try Spaces.held([client, endpoint])
            let forwarder = try Forwarder()
            for number in 0..<200 {
                var connection = CrossConnect(
                    id: "c\(number)", client: ConnectionEnd(namespace: try spaces.open("client"), name: "c\(number)"),
                    endpoint: ConnectionEnd(namespace: try spaces.open("server"), name: "e\(number)"))
                connection.client.addresses = [try #require(IPPrefix("10.9.\(number).1/32"))]
                connection.endpoint.peers = connection.client.addresses
                try await forwarder.apply(connection)
            }
            #expect(try spaces.links("client").count == 200)
            #expect(try spaces.routes("server").count == 200)
            #expect(await forwarder.openSockets == 1)
            for number in 0..<200 { try await forwarder.remove("c\(number)") }
            #expect(try spaces.links("client") == [])
            #expect(try spaces.links("server") == [])
            #expect(await forwarder.openSockets == 0)
            #expect(try Spaces.held([client, endpoint]) == held)
        }

        @Test("keeps a bounded number of sockets")
        func sockets() async throws {
            let client = try spaces.make("client")
            let forwarder = try Forwarder()
            for number in 0..<70 {
                let endpoint = try spaces.make("s\(number)")
                try await forwarder.apply(
                    pair(endpoint, client, id: "c\(number)", clientName: "nsm-0", endpointName: "e\(number)"))
            }
            #expect(await forwarder.openSockets <= 64)
            for number in 0..<70 { try await forwarder.remove("c\(number)") }
            #expect(try spaces.links("client") == [])
            #expect(await forwarder.openSockets == 0)
        }
    }
}
