import Netlink
import NetworkTypes
import TestSupport
import Testing

@testable import Mesh

@Suite("Excluded prefixes") struct ExcludedPrefixTests {
    @Test("are networks without what everybody has, and none lies in another")
    func pure() throws {
        let excluded = ExcludedPrefixes(
            addresses: try prefixes(
                "127.0.0.1/8", "192.168.1.5/24", "fe80::1/64", "::1/128", "10.2.3.4/16", "fd00::5/64"),
            routes: try prefixes("0.0.0.0/0", "::/0", "10.0.0.0/8", "192.168.1.0/25", "ff00::/8"),
            configured: try prefixes("172.20.1.1/14", "fd00::/48"))
        let wanted = try prefixes("10.0.0.0/8", "172.20.0.0/14", "192.168.1.0/24", "fd00::/48")
        #expect(excluded.prefixes == wanted)
    }

    @Test("an operator may exclude everything")
    func everything() throws {
        let excluded = ExcludedPrefixes(
            addresses: try prefixes("10.0.0.1/8"), routes: [], configured: try prefixes("0.0.0.0/0"))
        let wanted = try prefixes("0.0.0.0/0")
        #expect(excluded.prefixes == wanted)
    }
}

extension OnTheKernel {
    @Suite("The host's prefixes") struct HostPrefixTests {
        @Test("are its addresses and routes, without those of connections")
        func read() async throws {
            let spaces = Spaces()
            let (host, pod) = (try spaces.make("host"), try spaces.make("pod"))
            try spaces.ip("host", "link add up0 type veth peer name up1")
            for name in ["up0", "up1"] { try spaces.ip("host", "link set \(name) up") }
            try spaces.ip("host", "addr add 192.168.7.1/24 dev up0")
            try spaces.ip("host", "route add 10.20.0.0/16 via 192.168.7.9")
            try spaces.ip("host", "route add default via 192.168.7.9")
            let forwarder = try Forwarder(host: host)
            try await forwarder.apply(pair(host, pod))
            let excluded = try await forwarder.excludedPrefixes(try prefixes("10.96.0.0/12"))
            let wanted = try prefixes("10.20.0.0/16", "10.96.0.0/12", "192.168.7.0/24")
            #expect(excluded.prefixes == wanted)
        }

        @Test("those of an agent's links are the host's, and none of a connection's")
        func agentsLinks() async throws {
            let spaces = Spaces()
            let (host, pod) = (try spaces.make("host"), try spaces.make("pod"))
            let forwarder = try Forwarder(host: host)
            try await forwarder.apply(pair(host, pod))
            // As an agent marks its links, whatever its label is.
            for (number, group) in [Marks.Group.agent, .tuned].enumerated() {
                try spaces.ip("host", "link add br\(number) type bridge")
                try spaces.ip("host", "link set br\(number) alias /vnf-agent/default/br\(number)")
                try spaces.ip("host", "link set br\(number) up group \(group.of(0xffff))")
                try spaces.ip("host", "addr add 172.16.\(number).1/26 dev br\(number)")
            }
            let excluded = try await forwarder.excludedPrefixes([])
            #expect(excluded.prefixes == (try prefixes("172.16.0.0/26", "172.16.1.0/26")))
        }

        @Test("a link with the mark of an earlier version is adopted, and marked anew in place")
        func formerMark() async throws {
            let spaces = Spaces()
            let (client, server) = (try spaces.make("client"), try spaces.make("server"))
            let connection = try pair(client, server)
            try await Forwarder(host: client).apply(connection)
            let names = [("client", connection.client.name), ("server", connection.endpoint.name)]
            let group = Forwarder.group(of: "")
            for (space, name) in names { try spaces.ip(space, "link set \(name) group \(Marks.Group.agent.of(group))") }
            var before: [Substring] = []
            for (space, name) in names {
                before.append(try spaces.ip(space, "-o link show \(name)").prefix { $0 != ":" })
            }
            try await Forwarder(host: client).apply(connection)
            for (number, (space, name)) in names.enumerated() {
                let link = try spaces.ip(space, "-d -o link show \(name)")
                #expect(link.prefix { $0 != ":" } == before[number] && link.contains("group \(group) "))
            }
        }
    }
}

@Suite("Aliases") struct AliasTests {
    @Test("tell the connection again")
    func roundTrip() throws {
        for id in ["one", "a/b", "6d1a0f9e-0000-8000-8000-000000000000", String(repeating: "x", count: 249)] {
            try Forwarder.check(id: id)
            for segment in Forwarder.Segment.allCases {
                #expect(Forwarder.connectionID(ofAlias: Forwarder.alias(id, segment)) == id)
            }
        }
        for alias in [nil, "", "nsm/", "nsm//c", "nsm/one/x", "one/c", "/vnf-agent/default/x"] {
            #expect(Forwarder.connectionID(ofAlias: alias) == nil)
        }
        for id in ["", String(repeating: "x", count: 250), "a\nb", "é"] {
            #expect(throws: ForwarderError.self) { try Forwarder.check(id: id) }
        }
    }
}
