import Testing

@Suite("routes", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct RouteTests {
    static let pair = [
        veth(
            "a", "b", in: "x",
            "ipAddresses: [10.0.0.1/24, 10.0.0.5/24], addresses: [{address: 'fd00::1/64', nodad: true}]"),
        veth("b", "a"),
    ]

    func config(_ routes: String...) -> String { Config(interfaces: Self.pair, routes: routes).text }

    @Test("every field")
    func fields() throws {
        try Sandbox.run { host in
            let yaml = config(
                "outgoingInterface: a, dstNetwork: 10.1.0.0/16, gwAddr: 10.0.0.2, metric: 50, srcAddr: 10.0.0.5, mtu: 1400",
                "outgoingInterface: a, dstNetwork: 10.2.0.0/16, scope: LINK",
                "outgoingInterface: a, dstNetwork: 10.3.0.7, gwAddr: 10.0.0.3, scope: GLOBAL",
                "outgoingInterface: a, dstNetwork: 10.4.1.1/16, gwAddr: 10.0.0.2, table: 100",
                "outgoingInterface: a, dstNetwork: 10.5.0.0/16, gwAddr: 10.200.0.1, onlink: true",
                "outgoingInterface: a, dstNetwork: 'fd01::/64', gwAddr: 'fd00::2', metric: 77, mtu: 1300",
                "outgoingInterface: a, dstNetwork: 'fd02::/64'",
                "outgoingInterface: a, dstNetwork: 'fd03::5', gwAddr: 'fe80::5'",
                "outgoingInterface: a, dstNetwork: 'fd04::/64', gwAddr: 'fd99::1', onlink: true, table: 100",
                "outgoingInterface: a, dstNetwork: 10.6.0.0/16, gwAddr: 0.0.0.0",
                "outgoingInterface: a, dstNetwork: 'fd05::/64', srcAddr: 'fd00::1'")
            try host.apply(yaml)
            #expect(
                try host.routes(in: "x") == [
                    "10.1.0.0/16 via 10.0.0.2 dev a src 10.0.0.5 metric 50 mtu 1400", "10.2.0.0/16 dev a scope link",
                    "10.3.0.7 via 10.0.0.3 dev a",
                    "10.5.0.0/16 via 10.200.0.1 dev a onlink", "10.6.0.0/16 dev a scope link",
                ])
            #expect(try host.routes(in: "x", table: "100") == ["10.4.0.0/16 via 10.0.0.2 dev a"])
            #expect(
                try host.routes(in: "x", v6: true) == [
                    "fd01::/64 via fd00::2 dev a metric 77 mtu 1300", "fd02::/64 dev a metric 1024",
                    "fd03::5 via fe80::5 dev a metric 1024",
                    "fd05::/64 dev a src fd00::1 metric 1024",
                ])
            #expect(
                try host.routes(in: "x", v6: true, table: "100") == ["fd04::/64 via fd99::1 dev a metric 1024 onlink"])
        }
    }

    @Test(
        "a field changes in place",
        arguments: [
            ("gwAddr: 10.0.0.2", "gwAddr: 10.0.0.3"), ("gwAddr: 10.0.0.2", "gwAddr: 10.0.0.2, mtu: 1300"),
            ("gwAddr: 10.0.0.2, metric: 5", "gwAddr: 10.0.0.2, metric: 6"),
            ("gwAddr: 10.0.0.2, table: 5", "gwAddr: 10.0.0.2, table: 6"), ("gwAddr: 10.0.0.2", "scope: LINK"),
            ("gwAddr: 10.0.0.2, srcAddr: 10.0.0.5", "gwAddr: 10.0.0.2"),
            ("gwAddr: 10.0.0.2", "gwAddr: 10.0.0.2, onlink: true"),
        ])
    func changes(_ old: String, _ new: String) throws {
        try Sandbox.run { host in
            let agent = try host.apply(config("outgoingInterface: a, dstNetwork: 10.1.0.0/16, \(old)"))
            let yaml = config("outgoingInterface: a, dstNetwork: 10.1.0.0/16, \(new)")
            try agent.apply(yaml)
            #expect(agent.problems == [])
            try host.expectInPlace(yaml, agent)
            #expect(try host.routes(in: "x", table: "all").filter { $0.hasPrefix("10.1.0.0/16") }.count == 1)
        }
    }

    @Test(
        "a field of an IPv6 route changes in place",
        arguments: [
            ("gwAddr: 'fd00::2'", "gwAddr: 'fd00::3'"), ("gwAddr: 'fd00::2'", "gwAddr: 'fd00::2', mtu: 1300"),
            ("gwAddr: 'fd00::2'", "gwAddr: 'fd00::2', metric: 6"),
            ("gwAddr: 'fd00::2', table: 5", "gwAddr: 'fd00::2'"), ("gwAddr: 'fd00::2'", "metric: 1024"),
            ("srcAddr: 'fd00::1'", "gwAddr: 'fd00::2'"),
        ])
    func changesV6(_ old: String, _ new: String) throws {
        try Sandbox.run { host in
            let agent = try host.apply(config("outgoingInterface: a, dstNetwork: 'fd01::/64', \(old)"))
            let yaml = config("outgoingInterface: a, dstNetwork: 'fd01::/64', \(new)")
            try agent.apply(yaml)
            #expect(agent.problems == [])
            try host.expectInPlace(yaml, agent)
            #expect(try host.routes(in: "x", v6: true, table: "all").filter { $0.hasPrefix("fd01::/64") }.count == 1)
        }
    }

    @Test("routes that differ in metric or table alone")
    func variants() throws {
        try Sandbox.run { host in
            let yaml = config(
                "outgoingInterface: a, dstNetwork: 10.1.0.0/16, gwAddr: 10.0.0.2, metric: 10",
                "outgoingInterface: a, dstNetwork: 10.1.0.0/16, gwAddr: 10.0.0.3, metric: 20",
                "outgoingInterface: a, dstNetwork: 10.1.0.0/16, gwAddr: 10.0.0.2, table: 7",
                "outgoingInterface: a, dstNetwork: 'fd01::/64', gwAddr: 'fd00::2', metric: 10",
                "outgoingInterface: a, dstNetwork: 'fd01::/64', gwAddr: 'fd00::3', metric: 20")
            try host.apply(yaml)
            #expect(
                try host.routes(in: "x") == [
                    "10.1.0.0/16 via 10.0.0.2 dev a metric 10", "10.1.0.0/16 via 10.0.0.3 dev a metric 20",
                ])
            #expect(try host.routes(in: "x", v6: true).count == 2)
            try host.agent().apply(
                config("outgoingInterface: a, dstNetwork: 10.1.0.0/16, gwAddr: 10.0.0.3, metric: 20"))
            #expect(try host.routes(in: "x") == ["10.1.0.0/16 via 10.0.0.3 dev a metric 20"])
            #expect(try host.routes(in: "x", table: "7") == [])
            #expect(try host.routes(in: "x", v6: true) == [])
        }
    }

    @Test("blackhole, unreachable, prohibit, in both families, without interface")
    func types() throws {
        try Sandbox.run { host in
            var routes: [String] = []
            for (index, type) in ["BLACKHOLE", "UNREACHABLE", "PROHIBIT"].enumerated() {
                routes.append("dstNetwork: 10.\(index).0.0/16, type: \(type), namespace: {type: NSID, reference: x}")
                routes.append(
                    "dstNetwork: 'fd0\(index)::/64', type: \(type), metric: 9, namespace: {type: NSID, reference: x}")
            }
            routes.append("dstNetwork: 10.9.0.0/16, type: BLACKHOLE, table: 50")
            let yaml = Config(routes: routes).text
            try host.addNamespaces("x")
            let agent = try host.apply(yaml)
            #expect(
                try host.routes(in: "x") == [
                    "blackhole 10.0.0.0/16", "prohibit 10.2.0.0/16", "unreachable 10.1.0.0/16",
                ])
            #expect(try host.routes(in: "x", v6: true).count == 3)
            #expect(try host.routes(table: "50") == ["blackhole 10.9.0.0/16"])
            // Another type for the same destination.
            let other = yaml.replacing(
                "dstNetwork: 10.0.0.0/16, type: BLACKHOLE", with: "dstNetwork: 10.0.0.0/16, type: PROHIBIT")
            try agent.apply(other)
            #expect(agent.problems == [])
            try host.expectInPlace(other, agent)
            try agent.watch()
            try host.ip("route del prohibit 10.0.0.0/16", in: "x")
            try host.ip("-6 route del blackhole fd00::/64 metric 9", in: "x")
            #expect(
                try agent.settle { try host.routes(in: "x").count == 3 && host.routes(in: "x", v6: true).count == 3 })
            try agent.apply("")
            #expect(try host.routes(in: "x") == [])
            #expect(try host.routes(in: "x", v6: true) == [])
        }
    }

    @Test("a gateway outside the networks is reachable through a route of link scope, and waits without it")
    func linkScope() throws {
        try Sandbox.run { host in
            let link = "outgoingInterface: a, dstNetwork: 10.77.0.1/32, scope: LINK"
            let far = "outgoingInterface: a, dstNetwork: 0.0.0.0/0, gwAddr: 10.77.0.1"
            let agent = try host.apply(config(far, link))
            #expect(try host.routes(in: "x") == ["10.77.0.1 dev a scope link", "default via 10.77.0.1 dev a"])
            try agent.apply(config(far), tolerant: true)
            #expect(agent.problems == ["config/linux/l3/v2/route/0.0.0.0/0/a PENDING gw-reachable: 10.77.0.1 on a"])
            #expect(try host.routes(in: "x") == [])
            try agent.apply(config(link, far))
            try host.expectInPlace(config(link, far), agent)
        }
    }

    @Test("the gateway's network goes: the route waits, and says why; it comes back with it")
    func gatewayLost() throws {
        try Sandbox.run { host in
            let route = "outgoingInterface: a, dstNetwork: 10.9.0.0/16, gwAddr: 10.0.1.2"
            func yaml(_ addresses: String, _ enabled: Bool = true) -> String {
                Config(
                    interfaces: [
                        "name: a, type: VETH, enabled: \(enabled), ipAddresses: [\(addresses)], veth: {peerIfName: b}, namespace: {type: NSID, reference: x}",
                        veth("b", "a"),
                    ], routes: [route]
                ).text
            }
            let agent = try host.apply(yaml("10.0.0.1/24, 10.0.1.1/24"))
            try agent.apply(yaml("10.0.0.1/24"))
            #expect(agent.problems == ["config/linux/l3/v2/route/10.9.0.0/16/a PENDING gw-reachable: 10.0.1.2 on a"])
            #expect(try host.routes(in: "x") == [])
            try agent.apply(yaml("10.0.1.1/24"))
            try host.expectInPlace(yaml("10.0.1.1/24"), agent)
            try agent.apply(yaml("10.0.1.1/24", false))
            #expect(agent.problems == ["config/linux/l3/v2/route/10.9.0.0/16/a PENDING outgoing-interface-is-up: a"])
            try agent.apply(yaml("10.0.1.1/24"))
            try host.expectInPlace(yaml("10.0.1.1/24"), agent)
        }
    }

    @Test(
        "a route over an interface nobody declares waits for it, for its state and for its address",
        arguments: [nil, "x"] as [String?])
    func unmanaged(_ namespace: String?) throws {
        try Sandbox.run { host in
            if let namespace { try host.addNamespaces(namespace) }
            let yaml = linux(routes: [
                "outgoingInterface: eth9, dstNetwork: 10.9.0.0/16, gwAddr: 10.0.0.2" + place(namespace)
            ])
            let agent = host.agent()
            try agent.apply(yaml)
            #expect(agent.problems.count == 1 && agent.problems[0].contains("is not there and not declared"))
            try agent.watch()
            try host.ip("link add eth9 type veth peer name eth8", in: namespace)
            try agent.quiesce()
            try agent.apply(yaml)
            #expect(agent.problems.first?.contains("outgoing-interface-is-up") == true)
            try host.ip("link set eth9 up", in: namespace)
            try agent.quiesce()
            try agent.apply(yaml)
            #expect(agent.problems.first?.contains("gw-reachable: 10.0.0.2 on eth9") == true)
            try host.ip("addr add 10.0.0.1/24 dev eth9", in: namespace)
            #expect(try agent.settle { agent.problems == [] })
            #expect(
                try host.routes(in: namespace) == [
                    "10.9.0.0/16 via 10.0.0.2 dev eth9 linkdown".replacing(" linkdown", with: "")
                ])
            try host.expectInPlace(yaml, agent)
            try host.ip("addr flush dev eth9", in: namespace)
            #expect(try agent.settle { agent.problems.count == 1 })
            #expect(try host.link("eth9", in: namespace)?.alias == "")
        }
    }

    @Test("a route that is someone else's stands in the way: the text says so, and it stays")
    func foreignRoute() throws {
        try Sandbox.run { host in
            let agent = try host.apply(config())
            try host.ip("route add 10.9.0.0/16 via 10.0.0.3 dev a proto static", in: "x")
            let yaml = config(
                "outgoingInterface: a, dstNetwork: 10.9.0.0/16, gwAddr: 10.0.0.2",
                "outgoingInterface: a, dstNetwork: 10.8.0.0/16, gwAddr: 10.0.0.2")
            try agent.apply(yaml)
            #expect(agent.problems.count == 1)
            #expect(
                agent.problems.first?.contains("a route that is not ours (proto static) has its place in x: next hop")
                    == true)
            #expect(try host.routes(in: "x") == ["10.8.0.0/16 via 10.0.0.2 dev a", "10.9.0.0/16 via 10.0.0.3 dev a"])
            try agent.apply("")
        }
    }

    @Test(
        "an identical route of someone else's is in place, and stays when ours goes; when it goes, ours takes its place"
    )
    func identicalForeignRoute() throws {
        try Sandbox.run { host in
            let agent = try host.apply(config())
            try host.ip("route add 10.9.0.0/16 via 10.0.0.3 dev a", in: "x")
            try host.ip("-6 route add fd09::/64 via fd00::3 dev a", in: "x")
            let yaml = config(
                "outgoingInterface: a, dstNetwork: 10.9.0.0/16, gwAddr: 10.0.0.3",
                "outgoingInterface: a, dstNetwork: 'fd09::/64', gwAddr: 'fd00::3'")
            let before = agent.world.modifyingRequests
            try agent.apply(yaml)
            #expect(agent.problems == [])
            #expect(agent.world.modifyingRequests == before)
            try agent.apply(config())
            #expect(try host.routes(in: "x").count == 1)
            try agent.apply(yaml)
            try agent.watch()
            try host.ip("route del 10.9.0.0/16", in: "x")
            try host.ip("-6 route del fd09::/64", in: "x")
            #expect(
                try agent.settle { try host.routes(in: "x").count == 1 && host.routes(in: "x", v6: true).count == 1 })
            try host.expectInPlace(yaml, agent)
        }
    }

    @Test("two routes for one place: the second is refused, and nothing moves to and fro")
    func samePlace() throws {
        try Sandbox.run { host in
            let interfaces = Self.pair + [veth("c", "d", in: "x", "ipAddresses: [10.5.0.1/24]"), veth("d", "c")]
            let yaml = Config(
                interfaces: interfaces,
                routes: [
                    "outgoingInterface: a, dstNetwork: 10.9.0.0/16", "outgoingInterface: c, dstNetwork: 10.9.0.0/16",
                ]
            ).text
            let agent = host.agent()
            try agent.apply(yaml, tolerant: true)
            #expect(agent.problems.count == 1 && agent.problems[0].contains("has the same table and metric"))
            let routes = try host.routes(in: "x")
            #expect(routes.count == 1)
            let fresh = host.agent()
            try fresh.apply(yaml, tolerant: true)
            #expect(fresh.world.modifyingRequests == 0)
            #expect(try host.routes(in: "x") == routes)
        }
    }

    @Test("without a next hop in common: from one interface to another")
    func otherInterface() throws {
        try Sandbox.run { host in
            let interfaces =
                Self.pair + [veth("c", "d", in: "x", "ipAddresses: [10.5.0.1/24, 'fd05::1/64']"), veth("d", "c")]
            let old = Config(
                interfaces: interfaces,
                routes: [
                    "outgoingInterface: a, dstNetwork: 0.0.0.0/0, gwAddr: 10.0.0.2",
                    "outgoingInterface: a, dstNetwork: '::/0', gwAddr: 'fd00::2'",
                ]
            ).text
            let new = Config(
                interfaces: interfaces,
                routes: [
                    "outgoingInterface: c, dstNetwork: 0.0.0.0/0, gwAddr: 10.5.0.2",
                    "outgoingInterface: c, dstNetwork: '::/0', gwAddr: 'fd05::2'",
                ]
            ).text
            let agent = try host.apply(old)
            try agent.apply(new)
            #expect(agent.problems == [])
            #expect(try host.routes(in: "x") == ["default via 10.5.0.2 dev c"])
            #expect(try host.routes(in: "x", v6: true) == ["default via fd05::2 dev c metric 1024"])
            try host.expectInPlace(new, agent)
        }
    }

    @Test("10 000 routes in one namespace")
    func many() throws {
        try Sandbox.run { host in
            let routes = (0..<10_000).map {
                "outgoingInterface: a, dstNetwork: 10.\(100 + $0 / 256 / 250).\($0 / 250).\($0 % 250)/32, gwAddr: 10.0.0.2"
            }
            let unique = Array(Set(routes)).sorted()
            let yaml = Config(interfaces: Self.pair, routes: unique).text
            let agent = try host.apply(yaml)
            #expect(try host.routes(in: "x").count == unique.count)
            // One of them changes.
            let changed = yaml.replacing(
                unique[17], with: unique[17].replacing("gwAddr: 10.0.0.2", with: "gwAddr: 10.0.0.3"))
            let before = agent.world.modifyingRequests
            try agent.apply(changed)
            #expect(agent.world.modifyingRequests == before + 1)
            try host.agent().apply("")
        }
    }
}
