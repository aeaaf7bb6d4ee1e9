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
