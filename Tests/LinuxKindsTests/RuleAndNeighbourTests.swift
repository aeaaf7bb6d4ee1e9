import Testing

@Suite("policy rules and neighbours", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct RuleAndNeighbourTests {
    @Test("rules of both families, every field")
    func rules() throws {
        try Sandbox.run { host in
            let space = place("x")
            let rules = [
                "name: r1, priority: 100, from: 10.0.0.0/8, table: 100" + space,
                "name: r2, priority: 101, to: 10.1.0.5, iif: eth0, table: 101" + space,
                "name: r3, priority: 102, oif: eth1, fwmark: 16, table: 102" + space,
                "name: r4, priority: 103, fwmark: 16, fwmask: 240, table: 300" + space,
                "name: r5, priority: 104, from: 'fd00::/64', table: 100" + space,
                "name: r6, priority: 105, family: IPV6, iif: lo, table: 100" + space,
                "name: r7, priority: 106, from: 10.9.0.0/16, action: BLACKHOLE" + space,
                "name: r8, priority: 107, from: 10.8.0.0/16, action: UNREACHABLE" + space,
                "name: r9, priority: 108, from: 10.7.0.0/16, action: PROHIBIT, invert: true" + space,
                "name: r10, priority: 100, from: 10.0.0.0/8, table: 200",
            ]
            let agent = try host.apply(linux(rules: rules))
            #expect(
                try host.rules(in: "x") == [
                    "100: from 10.0.0.0/8 lookup 100", "101: from all to 10.1.0.5 iif eth0 [detached] lookup 101",
                    "102: from all fwmark 0x10 oif eth1 [detached] lookup 102",
                    "103: from all fwmark 0x10/0xf0 lookup 300", "106: from 10.9.0.0/16 blackhole",
                    "107: from 10.8.0.0/16 unreachable", "108: not from 10.7.0.0/16 prohibit",
                ])
            #expect(
                try host.rules(in: "x", v6: true) == [
                    "104: from fd00::/64 lookup 100", "105: from all iif lo lookup 100",
                ])
            #expect(try host.rules() == ["100: from 10.0.0.0/8 lookup 200"])
            let changed = linux(rules: ["name: r1, priority: 100, from: 10.0.0.0/8, table: 150" + space])
            try agent.apply(changed)
            #expect(try host.rules(in: "x") == ["100: from 10.0.0.0/8 lookup 150"])
            #expect(try host.rules(in: "x", v6: true) == [])
            #expect(try host.rules() == [])
            try host.expectInPlace(changed, agent)
        }
    }

    @Test("a foreign rule stays; a deleted one of ours comes back")
    func ruleDrift() throws {
        try Sandbox.run { host in
            try host.addNamespaces("x")
            try host.ip("rule add priority 50 from 10.0.0.0/8 lookup 5", in: "x")
            let agent = try host.apply(
                linux(rules: [
                    "name: r, priority: 100, from: 10.0.0.0/8, table: 100" + place("x"),
                    "name: s, priority: 100, family: IPV6, iif: lo, table: 100" + place("x"),
                ]))
            try agent.watch()
            try host.ip("rule del priority 100", in: "x")
            try host.ip("-6 rule del priority 100", in: "x")
            #expect(try agent.settle { try host.rules(in: "x").count == 2 && host.rules(in: "x", v6: true).count == 1 })
            try agent.apply("")
            #expect(try host.rules(in: "x") == ["50: from 10.0.0.0/8 lookup 5"])
        }
    }

    @Test("an identical rule of someone else's stays, whatever becomes of ours")
    func ruleConflict() throws {
        try Sandbox.run { host in
            try host.ip("rule add priority 100 from 10.0.0.0/8 lookup 5")
            let agent = host.agent()
            try agent.apply(linux(rules: ["name: r, priority: 100, from: 10.0.0.0/8, table: 5"]))
            #expect(agent.problems == [])
            #expect(agent.world.modifyingRequests == 0)
            // When it goes, ours takes its place.
            try agent.watch()
            try host.ip("rule del priority 100")
            #expect(try agent.settle { try host.rules() == ["100: from 10.0.0.0/8 lookup 5"] })
            #expect(agent.world.modifyingRequests == 1)
            try host.ip("rule add priority 100 from 10.0.0.0/8 lookup 5")
            try agent.apply("")
            #expect(try host.rules() == ["100: from 10.0.0.0/8 lookup 5"])
            #expect(try host.ip("-d rule show").contains("proto \(agent.world.ownership.proto)") == false)
        }
    }

    private static let pair = [veth("a", "b", in: "x", "ipAddresses: [10.0.0.1/24, 'fd00::1/64']"), veth("b", "a")]

    @Test("permanent and proxy neighbours, IPv4 and IPv6")
    func neighbours() throws {
        try Sandbox.run { host in
            func yaml(_ mac: String) -> String {
                Config(
                    interfaces: Self.pair,
                    arps: [
                        "interface: a, ipAddress: 10.0.0.2, hwAddress: '\(mac)'",
                        "interface: a, ipAddress: 'fd00::2', hwAddress: '\(mac)'",
                        "interface: a, ipAddress: 10.0.0.3, proxy: true",
                        "interface: a, ipAddress: 'fd00::3', proxy: true",
                    ]
                ).text
            }
            let agent = try host.apply(yaml("02:00:00:00:00:AA"))
            #expect(
                try host.neighbours("a", in: "x") == [
                    "10.0.0.2 lladdr 02:00:00:00:00:aa PERMANENT", "fd00::2 lladdr 02:00:00:00:00:aa PERMANENT",
                ])
            #expect(try host.proxies("a", in: "x") == ["10.0.0.3 proxy", "fd00::3 proxy"])
            try agent.apply(yaml("02:00:00:00:00:bb"))
            try host.expectInPlace(yaml("02:00:00:00:00:bb"), agent)
            #expect(try host.neighbours("a", in: "x").allSatisfy { $0.contains("02:00:00:00:00:bb") })
            try agent.apply(Config(interfaces: Self.pair).text)
            #expect(try host.neighbours("a", in: "x") == [] && host.proxies("a", in: "x") == [])
        }
    }

    @Test("foreign neighbours stay; deleted, replaced and learned ones of ours are put right")
    func neighbourDrift() throws {
        try Sandbox.run { host in
            let yaml = Config(
                interfaces: Self.pair,
                arps: [
                    "interface: a, ipAddress: 10.0.0.2, hwAddress: '02:00:00:00:00:aa'",
                    "interface: a, ipAddress: 'fd00::2', hwAddress: '02:00:00:00:00:aa'",
                    "interface: a, ipAddress: 10.0.0.3, proxy: true",
                ]
            ).text
            let agent = try host.apply(yaml)
            try host.ip("neigh add 10.0.0.9 lladdr 02:00:00:00:00:09 dev a nud permanent", in: "x")
            try agent.watch()
            let all = try host.neighbours("a", in: "x")
            try host.ip("neigh del 10.0.0.2 dev a", in: "x")
            try host.ip("neigh del fd00::2 dev a", in: "x")
            #expect(try agent.settle { try host.neighbours("a", in: "x") == all })
            // The kernel says nothing of proxy entries: those come back when the namespace is read again.
            try host.ip("neigh del proxy 10.0.0.3 dev a", in: "x")
            try agent.apply(yaml)
            #expect(try host.proxies("a", in: "x") == ["10.0.0.3 proxy"])
            try host.ip("neigh replace 10.0.0.2 lladdr 02:00:00:00:00:ee dev a nud permanent", in: "x")
            #expect(try agent.settle { try host.neighbours("a", in: "x") == all })
            try host.ip("neigh change 10.0.0.2 lladdr 02:00:00:00:00:aa dev a nud reachable", in: "x")
            #expect(try agent.settle { try host.neighbours("a", in: "x") == all })
            try host.expectInPlace(yaml, agent)
            try agent.apply(Config(interfaces: Self.pair).text)
            #expect(try host.neighbours("a", in: "x") == ["10.0.0.9 lladdr 02:00:00:00:00:09 PERMANENT"])
        }
    }

    @Test("the link goes down and up: neighbours are back")
    func flushedNeighbours() throws {
        try Sandbox.run { host in
            let yaml = Config(
                interfaces: Self.pair,
                arps: [
                    "interface: a, ipAddress: 10.0.0.2, hwAddress: '02:00:00:00:00:aa'",
                    "interface: a, ipAddress: 'fd00::2', hwAddress: '02:00:00:00:00:aa'",
                ]
            ).text
            let agent = try host.apply(yaml)
            try agent.watch()
            let all = try host.neighbours("a", in: "x")
            try host.ip("link set dev a down", in: "x")
            #expect(
                try agent.settle { try host.neighbours("a", in: "x") == all && host.link("a", in: "x")?.isUp == true })
            try host.ip("neigh flush dev a nud permanent", in: "x")
            #expect(try agent.settle { try host.neighbours("a", in: "x") == all })
            try host.expectInPlace(yaml, agent)
        }
    }

    @Test("a neighbour on an interface nobody declares")
    func unmanaged() throws {
        try Sandbox.run { host in
            try host.addNamespaces("x")
            let yaml = linux(arps: ["interface: eth9, ipAddress: 10.0.0.2, hwAddress: '02:00:00:00:00:aa'" + place("x")]
            )
            let agent = host.agent()
            try agent.apply(yaml)
            #expect(agent.problems.count == 1 && agent.problems[0].contains("is not there and not declared"))
            try agent.watch()
            try host.ip("link add eth9 type veth peer name eth8", in: "x")
            try host.ip("link set eth9 up", in: "x")
            #expect(try agent.settle { agent.problems == [] })
            #expect(try host.neighbours("eth9", in: "x") == ["10.0.0.2 lladdr 02:00:00:00:00:aa PERMANENT"])
        }
    }
}
