import TestSupport
import Testing

@testable import LinuxKinds

@Suite("ownership", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct OwnershipTests {
    /// A configuration with one of everything, names and numbers of its own.
    private func everything(_ n: Int) -> String {
        linux(
            veth("a\(n)", "b\(n)", in: "x", "ipAddresses: [10.\(n).0.1/24, 'fd0\(n)::1/64']"),
            veth("b\(n)", "a\(n)", in: "y"),
            "name: br\(n), type: BRIDGE, enabled: true, bridge: {ports: [t\(n)]}" + place("x"),
            "name: t\(n), type: TAP, enabled: true, tuntap: {mode: TAP}" + place("x"),
            routes: [
                "outgoingInterface: a\(n), dstNetwork: 10.9\(n).0.0/16, gwAddr: 10.\(n).0.2",
                "outgoingInterface: a\(n), dstNetwork: 'fd9\(n)::/64', gwAddr: 'fd0\(n)::2'",
                "dstNetwork: 10.8\(n).0.0/16, type: BLACKHOLE" + place("x"),
            ],
            arps: [
                "interface: a\(n), ipAddress: 10.\(n).0.9, hwAddress: '02:00:00:00:00:09'",
                "interface: a\(n), ipAddress: 10.\(n).0.8, proxy: true",
            ],
            rules: ["name: r\(n), priority: 10\(n), from: 10.\(n).0.0/16, table: 100" + place("x")],
            namespaces: ["name: own\(n)"])
    }

    @Test("two labels side by side on the same namespaces never touch each other's objects")
    func labels() throws {
        try Sandbox.run { host in
            let (one, two) = (host.label + "-1", host.label + "-2")
            try host.apply(everything(1), label: one)
            try host.apply(everything(2), label: two)
            let both = try host.picture(of: ["x", "y", "own1", "own2"])
            try host.expectInPlace(everything(1), label: one)
            try host.agent(label: two).apply("")
            try host.expectInPlace(everything(1), label: one)
            #expect(host.namespaces == ["own1", "x", "y"])
            try host.apply(everything(2), label: two)
            #expect(try host.picture(of: ["x", "y", "own1", "own2"]) == both)
            try host.agent(label: one).apply("")
            try host.expectInPlace(everything(2), label: two)
        }
    }

    @Test("labels that follow to the same number are kept apart", arguments: ["protocol", "link group"])
    func collision(of number: String) throws {
        try Sandbox.run { host in
            let one = host.label
            let other = try #require(
                (0..<1_000_000).lazy.map { "\(host.label)-\($0)" }.first { label in
                    number == "protocol"
                        ? Ownership(label: label).proto == Ownership(label: one).proto
                        : Ownership(label: label).linkGroup == Ownership(label: one).linkGroup
                })
            let marks = try host.apply(everything(1), label: one).world.ownership
            let others = try host.apply(everything(2), label: other).world.ownership
            #expect(marks == Ownership(label: one))
            #expect(marks.proto != others.proto)
            #expect(marks.linkGroup != others.linkGroup)
            let both = try host.picture(of: ["x", "y", "own1", "own2"])
            try host.expectInPlace(everything(1), label: one)
            try host.expectInPlace(everything(2), label: other)
            #expect(try host.picture(of: ["x", "y", "own1", "own2"]) == both)
            // The first one goes, and the second keeps the number under which its objects are.
            try host.agent(label: one).apply("")
            try host.expectInPlace(everything(2), label: other)
            try host.agent(label: other).apply("")
            #expect(host.namespaces == ["x", "y"])
        }
    }

    @Test("removal of one item removes exactly that")
    func exact() throws {
        try Sandbox.run { host in
            let all = everything(1)
            let agent = try host.apply(all)
            let lines = all.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
            for index in lines.indices
            where lines[index].contains("- {") && !lines[index].contains("type: VETH")
                && !lines[index].contains("type: TAP")
            {
                var fewer = lines
                fewer[index] = ""
                let text = fewer.joined(separator: "\n")
                try agent.apply(text)
                #expect(agent.problems == [], "without \(lines[index])")
                try host.expectInPlace(text, agent)
                let before = agent.world.modifyingRequests
                try agent.apply(all)
                #expect(agent.problems == [])
                #expect(agent.world.modifyingRequests > before, "without \(lines[index])")
                try host.expectInPlace(all, agent)
            }
        }
    }

    @Test("foreign objects stay, whatever comes and goes")
    func foreign() throws {
        try Sandbox.run { host in
            try host.addNamespaces("x")
            for command in [
                "link add f0 type veth peer name f1", "link set f0 up", "link set f1 up",
                "addr add 10.200.0.1/24 dev f0", "addr add fd20::1/64 dev f0 nodad",
                "route add 10.201.0.0/16 via 10.200.0.2", "-6 route add fd21::/64 via fd20::2 dev f0",
                "neigh add 10.200.0.3 lladdr 02:00:00:00:00:03 dev f0 nud permanent",
                "rule add priority 77 from 10.0.0.0/8 lookup 77", "route add blackhole 10.202.0.0/16",
                "link add fbr type bridge", "link set f1 master fbr",
            ] { try host.ip(command, in: "x") }
            let before = try host.picture(of: ["x"])
            let agent = try host.apply(everything(1))
            try agent.apply("")
            #expect(agent.problems == [])
            #expect(try host.picture(of: ["x"]) == before)
        }
    }

    @Test("foreign addresses and routes on our own links stay")
    func foreignOnOurs() throws {
        try Sandbox.run { host in
            let agent = try host.apply(everything(1))
            try host.ip("addr add 10.77.0.1/24 dev a1", in: "x")
            try host.ip("route add 10.78.0.0/16 via 10.77.0.2 dev a1", in: "x")
            try host.ip("neigh add 10.77.0.3 lladdr 02:00:00:00:00:03 dev a1 nud permanent", in: "x")
            try agent.apply(everything(1))
            try host.expectInPlace(everything(1), agent)
            #expect(try host.addresses("a1", in: "x").contains("10.77.0.1/24"))
            #expect(try host.routes(in: "x").contains("10.78.0.0/16 via 10.77.0.2 dev a1"))
            #expect(try host.neighbours("a1", in: "x").count == 2)
        }
    }

    @Test("leftovers of a former life are found in namespaces nobody names any more")
    func leftovers() throws {
        try Sandbox.run { host in
            try host.addNamespaces("x", "y")
            try host.apply(everything(1))
            let yaml = linux(veth("p", "q"), veth("q", "p"))
            let agent = try host.apply(yaml)
            #expect(agent.problems == [])
            #expect(try host.links(in: "x").map(\.name) == ["lo"])
            #expect(try host.links(in: "y").map(\.name) == ["lo"])
            #expect(
                try host.routes(in: "x", table: "all").filter { !$0.contains("scope host") && !$0.contains("127.") }
                    == [])
            #expect(try host.rules(in: "x") == [])
            #expect(host.namespaces == ["x", "y"])
        }
    }

    @Test("links that were made and never got their alias are removed")
    func unmarked() throws {
        try Sandbox.run { host in
            try host.addNamespaces("x")
            let group = host.agent().world.ownership.linkGroup
            try host.ip("link add half0 type veth peer name half1")
            try host.ip("link set half0 group \(group)")
            try host.ip("link set half1 group \(group) netns \(host.file("x"))")
            try host.ip("link add left type bridge", in: "x")
            try host.ip("link set left group \(group)", in: "x")
            try host.ip("link add other type bridge", in: "x")
            try host.ip("link set other group 17", in: "x")
            try host.apply(linux("name: br, type: BRIDGE, enabled: true"))
            #expect(try host.links().map(\.name).sorted() == ["br", "lo"])
            #expect(try host.links(in: "x").map(\.name).sorted() == ["lo", "other"])
        }
    }

    @Test("links that a kill in a removal left in the group that was about to go: wanted ones come back, others go")
    func throwAwayGroup() throws {
        try Sandbox.run { host in
            func bridges(_ names: ClosedRange<Int>) -> String {
                Config(interfaces: names.map { "name: br\($0), type: BRIDGE, enabled: true" }).text
            }
            let agent = try host.apply(bridges(1...6))
            let group = agent.world.ownership.throwAwayGroup
            let before = try host.links()
            for number in 1...4 { try host.ip("link set br\(number) group \(group)") }
            // Two more go beside those that stay of that group.
            try host.apply(bridges(1...3))
            let kept = try host.links()
            #expect(kept.map(\.index) == before.filter { !["br4", "br5", "br6"].contains($0.name) }.map(\.index))
            #expect(Set(kept.filter { $0.name != "lo" }.map(\.group)) == [before.first { $0.name == "br1" }?.group])
            for number in 1...3 { try host.ip("link set br\(number) group \(group)") }
            try host.apply("")
            #expect(try host.links().map(\.name) == ["lo"])
            // Before a link has its alias, the group is all that tells whose it is.
            try host.ip("link add half type bridge")
            try host.ip("link set half group \(group)")
            try host.apply("")
            #expect(try host.links().map(\.name) == ["lo"])
        }
    }

    @Test("a pair of which one half never got its mark is finished")
    func halfMarked() throws {
        try Sandbox.run { host in
            let yaml = linux(veth("a", "b", in: "x", "ipAddresses: [10.0.0.1/24]"), veth("b", "a", in: "y"))
            try host.apply(yaml)
            try Command.run(["nsenter", "--net=\(host.file("y"))", "ip", "link", "set", "dev", "b", "alias", ""])
            try host.ip("link set dev b down", in: "y")
            let agent = host.agent()
            try agent.apply(yaml)
            #expect(agent.problems == [])
            try host.expectInPlace(yaml, agent)
        }
    }

    @Test("delete everything, also what a fresh agent finds")
    func deleteAll() throws {
        try Sandbox.run { host in
            let yaml = Config(
                interfaces: (0..<40).flatMap { n in
                    [
                        veth("h\(n)", "p\(n)", in: "host0", "ipAddresses: [10.1.\(n).1/30]"),
                        veth("p\(n)", "h\(n)", in: "p\(n)", host: "eth0", "ipAddresses: [10.1.\(n).2/30]"),
                    ]
                }, routes: (0..<40).map { "outgoingInterface: p\($0), dstNetwork: 0.0.0.0/0, gwAddr: 10.1.\($0).1" }
            ).text
            try host.apply(yaml)
            let fresh = host.agent()
            try fresh.apply("")
            #expect(fresh.problems == [])
            #expect(host.namespaces == [])
            let again = host.agent()
            try again.apply("")
            #expect(again.world.modifyingRequests == 0)
        }
    }
}
