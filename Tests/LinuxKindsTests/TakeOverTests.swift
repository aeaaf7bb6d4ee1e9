import Testing

@testable import LinuxKinds

@Suite("what the agent before this one left", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct TakeOverTests {
    private static let links = [
        "name: p, type: VETH, enabled: true, ipAddresses: [10.0.0.1/24], veth: {peerIfName: q}", veth("q", "p"),
    ]
    private static let route = "outgoingInterface: p, dstNetwork: 10.9.0.0/16, gwAddr: 10.0.0.2"

    /// Links with its alias and no group, an address and a route without marks.
    private func prepare(_ host: Sandbox) throws {
        try host.ip("link add p type veth peer name q")
        for name in ["p", "q"] {
            try host.ip("link set \(name) alias /vnf-agent/\(host.label)/\(name)")
            try host.ip("link set \(name) up")
        }
        try host.ip("address add 10.0.0.1/24 dev p")
        try host.ip("route add 10.9.0.0/16 via 10.0.0.2 dev p")
    }

    @Test("its route becomes ours, and goes with its value")
    func takeOver() throws {
        try Sandbox.run { host in
            try prepare(host)
            let yaml = Config(interfaces: Self.links, routes: [Self.route]).text
            let agent = try host.apply(yaml)
            #expect(try !host.ip("route show proto boot").contains("10.9.0.0/16"))
            try host.expectInPlace(yaml, agent)
            try agent.apply(Config(interfaces: Self.links).text)
            #expect(try !host.ip("route").contains("10.9.0.0/16"))
            // What stood there before is forgotten, too.
            let other = Config(
                interfaces: Self.links, routes: ["outgoingInterface: p, dstNetwork: 10.9.0.0/16, gwAddr: 10.0.0.3"]
            ).text
            try agent.apply(other)
            #expect(agent.problems == [])
        }
    }

    @Test("its route that differs becomes ours as well, and stays so when a kill comes before the links are marked")
    func changed() throws {
        try Sandbox.run { host in
            try prepare(host)
            let other = "outgoingInterface: p, dstNetwork: 10.9.0.0/16, gwAddr: 10.0.0.3"
            let second = "outgoingInterface: p, dstNetwork: 10.8.0.0/16, gwAddr: 10.0.0.3"
            try host.ip("route add 10.8.0.0/16 via 10.0.0.2 dev p")
            // As one who is killed leaves it: some of it is done, and the marks of links come last.
            try host.apply(Config(interfaces: Self.links, routes: [other]).text)
            for name in ["p", "q"] { try host.ip("link set \(name) group default") }
            #expect(try host.ip("route show 10.9.0.0/16").contains("via 10.0.0.3"))
            #expect(try host.ip("route show proto boot").contains("10.8.0.0/16 via 10.0.0.2"))
            let yaml = Config(interfaces: Self.links, routes: [other, second]).text
            let agent = try host.apply(yaml)
            #expect(try !host.ip("-d link show p").contains("group default"))
            #expect(try host.ip("route show proto boot") == "")
            #expect(try host.routes().contains("10.8.0.0/16 via 10.0.0.3 dev p"))
            // What comes to the links without our mark by now, and differs, is somebody else's.
            try agent.apply(Config(interfaces: Self.links).text)
            try host.ip("route add 10.8.0.0/16 via 10.0.0.2 dev p")
            try agent.apply(yaml)
            #expect(agent.problems.count == 1 && agent.problems[0].contains("not ours"))
        }
    }

    @Test("an undo gives a route that differed back as it was")
    func undoChanged() throws {
        try Sandbox.run { host in
            try prepare(host)
            let routes = ["outgoingInterface: p, dstNetwork: 10.9.0.0/16, gwAddr: 10.0.0.3"]
            let refused = ["name: default, type: BRIDGE"]
            let transaction = try host.agent().apply(
                Config(interfaces: Self.links + refused, routes: routes).text, tolerant: true, revertOnFailure: true)
            #expect(transaction?.reverted == true && transaction?.revertErrors ?? [] == [])
            #expect(try host.ip("route show proto boot").contains("10.9.0.0/16 via 10.0.0.2"))
            #expect(try host.ip("-d link show p").contains("group default"))
        }
    }

    @Test("a route on a link of ours that lost its mark while nobody looked becomes ours again after a restart")
    func lostMark() throws {
        try Sandbox.run { host in
            let yaml = Config(interfaces: Self.links, routes: [Self.route]).text
            try host.apply(yaml)
            try host.ip("route del 10.9.0.0/16")
            try host.ip("route add 10.9.0.0/16 via 10.0.0.2 dev p")
            let agent = try host.apply(yaml)
            #expect(try !host.ip("route show proto boot").contains("10.9.0.0/16"))
            try agent.apply(Config(interfaces: Self.links).text)
            #expect(try !host.ip("route").contains("10.9.0.0/16"))
        }
    }

    @Test("its addresses become ours, and go with their values")
    func addresses() throws {
        try Sandbox.run { host in
            try prepare(host)
            let agent = try host.apply(Config(interfaces: Self.links).text)
            let bare = Config(interfaces: [veth("p", "q"), veth("q", "p")]).text
            try agent.apply(bare)
            #expect(try host.addresses("p") == [])
            try host.expectInPlace(bare, agent)
        }
    }

    @Test("an undo gives the route back as it was")
    func undo() throws {
        try Sandbox.run { host in
            try prepare(host)
            let refused = ["name: default, type: BRIDGE"]
            let yaml = Config(interfaces: Self.links + refused, routes: [Self.route]).text
            let agent = host.agent()
            let transaction = try agent.apply(yaml, tolerant: true, revertOnFailure: true)
            #expect(transaction?.reverted == true && transaction?.revertErrors ?? [] == [])
            #expect(try host.ip("route show proto boot").contains("10.9.0.0/16 via 10.0.0.2"))
        }
    }
}
