import LinuxKinds
import Testing

@Suite("what is spared", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct SparingTests {
    private let all = linux(
        "name: nsm-1, type: EXISTING, enabled: true, ipAddresses: [10.7.0.1/24]",
        "name: nsm-2, type: EXISTING, enabled: true, ipAddresses: [10.8.0.1/24]",
        routes: [
            "outgoingInterface: nsm-1, dstNetwork: 10.9.0.0/16, gwAddr: 10.7.0.2",
            "outgoingInterface: nsm-1, dstNetwork: 10.9.0.0/16, gwAddr: 10.7.0.2, table: 7001",
            "outgoingInterface: nsm-2, dstNetwork: 10.10.0.0/16, gwAddr: 10.8.0.2",
            "outgoingInterface: nsm-2, dstNetwork: 10.11.0.0/16, gwAddr: 10.8.0.2, table: 7002",
        ],
        arps: [
            "interface: nsm-1, ipAddress: 10.7.0.9, hwAddress: '02:00:00:00:00:09'",
            "interface: nsm-2, ipAddress: 10.8.0.9, hwAddress: '02:00:00:00:00:09'",
        ],
        rules: [
            "name: a, priority: 101, from: 10.7.0.0/24, table: 7001",
            "name: b, priority: 102, from: 10.8.0.0/24, table: 7002",
        ])

    private func picture(_ host: Sandbox) throws -> String {
        let commands = [
            "-o -4 address show dev nsm-1", "-o -4 address show dev nsm-2", "route", "route show table 7001",
            "route show table 7002",
            "neighbour show nud permanent", "rule",
        ]
        return commands.map { (try? host.ip($0)) ?? "" }.joined(separator: "---\n")
    }

    @Test("what an earlier process made on a link that is spared stays, and goes when it is not")
    func links() throws {
        try Sandbox.run { host in
            try host.ip("link add nsm-1 type veth peer name p1")
            try host.ip("link add nsm-2 type veth peer name p2")
            for name in ["nsm-1", "nsm-2", "p1", "p2"] { try host.ip("link set \(name) up") }
            let bare = try picture(host)
            let first = TestAgent(host)
            try first.apply(all)
            #expect(first.problems == [])
            let before = try picture(host)
            #expect(before.contains("10.7.0.1/24") && before.contains("from 10.7.0.0/24 lookup 7001"))

            // A process that knows nothing yet of what belongs to the links.
            let second = TestAgent(host)
            let mark = second.world.ownership.markTable
            second.spare(link: { $0.hasPrefix("nsm-") }, table: { [7001, 7002, mark].contains($0) })
            try second.apply("")
            #expect(try picture(host) == before)
            #expect(second.world.modifyingRequests == 0)

            // It finds in place what is declared again.
            try second.apply(all)
            #expect(second.problems == [] && second.world.modifyingRequests == 0)

            // One link is no longer spared.
            second.spare(link: { $0 == "nsm-1" }, table: { [7001, mark].contains($0) })
            try second.apply("")
            let half = try picture(host)
            for text in ["10.7.0.1/24", "10.9.0.0/16", "10.7.0.9", "lookup 7001"] { #expect(half.contains(text)) }
            for text in ["10.8.0.1/24", "10.10.0.0/16", "10.11.0.0/16", "10.8.0.9", "lookup 7002"] {
                #expect(!half.contains(text))
            }

            second.spare()
            try second.apply("")
            #expect(try picture(host) == bare)
        }
    }

    @Test("what is spared in the agent's own namespace is not spared in others")
    func elsewhere() throws {
        try Sandbox.run { host in
            try host.addNamespaces("x")
            try host.ip("link add nsm-1 type veth peer name p1", in: "x")
            let first = TestAgent(host)
            try first.apply(
                linux("name: nsm-1, type: EXISTING, enabled: true, ipAddresses: [10.7.0.1/24]" + place("x")))
            let second = TestAgent(host)
            second.spare(link: { _ in true }, table: { _ in true })
            try second.apply("")
            #expect(try !host.ip("address show dev nsm-1", in: "x").contains("10.7.0.1"))
        }
    }
}
