import Testing

@Suite("routes with a preferred address", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct RouteSourceTests {
    @Test("a route waits for the address that it prefers, whoever has it and on whatever link")
    func source() throws {
        try Sandbox.run { host in
            try host.ip("link add eth0 type veth peer name eth1")
            for name in ["eth0", "eth1"] { try host.ip("link set \(name) up") }
            let uplink = "name: up, type: EXISTING, hostIfName: eth0, enabled: true, ipAddresses: [10.0.0.1/24]"
            let routes = [
                "outgoingInterface: up, dstNetwork: 10.1.0.0/16, gwAddr: 10.0.0.2, srcAddr: 10.7.0.1",
                "outgoingInterface: up, dstNetwork: 10.2.0.0/16, gwAddr: 10.0.0.2, srcAddr: 10.8.0.1",
            ]
            let agent = host.agent()
            try agent.watch()
            try agent.apply(linux(uplink, routes: routes))
            let waiting = "src_addr-available: no interface has the address"
            #expect(
                agent.problems.count == 2
                    && agent.problems.allSatisfy { $0.contains("PENDING") && $0.contains(waiting) })
            try host.ip("addr add 10.7.0.1/32 dev eth1")
            #expect(try agent.settle { try host.routes().contains { $0.contains("src 10.7.0.1") } })
            try host.ip("route add local 10.8.0.0/24 dev lo table local")
            try agent.apply(linux(uplink, routes: routes))
            #expect(agent.problems == [])
            try host.ip("addr del 10.7.0.1/32 dev eth1")
            #expect(try agent.settle { agent.problems.count == 1 && agent.problems[0].contains("10.7.0.1") })
            // One that is made with the route.
            let more = uplink.replacing("10.0.0.1/24", with: "10.0.0.1/24, 10.7.0.1/32")
            try agent.apply(linux(more, routes: routes))
            try host.expectInPlace(linux(more, routes: routes), agent)
            #expect(agent.problems == [])
        }
    }

    @Test("a route that waits is made once its preferred address comes by a later change of ours")
    func laterSource() throws {
        try Sandbox.run { host in
            let route = "outgoingInterface: a, dstNetwork: 10.1.0.0/16, gwAddr: 10.0.0.2, srcAddr: 10.7.0.1"
            let agent = host.agent()
            try agent.apply(RouteTests().config(route))
            try agent.watch()
            #expect(agent.problems.count == 1)
            let other = "name: d, type: TAP, enabled: true, ipAddresses: [10.7.0.1/32]" + place("x")
            try agent.change(to: RouteTests().config(route))
            try agent.change(to: Config(interfaces: RouteTests.pair + [other], routes: [route]).text)
            #expect(agent.problems == [])
            #expect(try host.routes(in: "x") == ["10.1.0.0/16 via 10.0.0.2 dev a src 10.7.0.1"])
        }
    }

    @Test("a route that is there stays while the address that it is to prefer is not")
    func lostSource() throws {
        try Sandbox.run { host in
            func yaml(_ v4: String) -> String {
                RouteTests().config(
                    "outgoingInterface: a, dstNetwork: 10.1.0.0/16, gwAddr: 10.0.0.2, srcAddr: \(v4)",
                    "outgoingInterface: a, dstNetwork: 'fd05::/64', gwAddr: 'fd00::2', srcAddr: 'fd07::1'")
            }
            try host.addNamespaces("x")
            try host.ip("link add e type bridge", in: "x")
            try host.ip("link set e up", in: "x")
            try host.ip("addr add fd07::1/128 dev e nodad", in: "x")
            let agent = try host.apply(yaml("10.0.0.5"))
            try agent.apply(yaml("10.9.9.9"))
            #expect(agent.problems.count == 1 && agent.problems[0].contains("10.1.0.0"))
            #expect(try host.routes(in: "x") == ["10.1.0.0/16 via 10.0.0.2 dev a src 10.0.0.5"])
            try agent.apply(yaml("10.0.0.1"))
            #expect(agent.problems == [])
            try host.ip("addr del fd07::1/128 dev e", in: "x")
            // Some kernels leave it to a route by another link as it is: `fib6_remove_prefsrc`, net/ipv6/route.c.
            let isKept = try host.routes(in: "x", v6: true).contains { $0.hasPrefix("fd05::/64") && $0.contains("src") }
            try agent.apply(yaml("10.0.0.1"))
            #expect(agent.problems.count == (isKept ? 0 : 1) && agent.problems.allSatisfy { $0.contains("fd05::") })
            #expect(
                try host.routes(in: "x", v6: true).contains(
                    "fd05::/64 via fd00::2 dev a \(isKept ? "src fd07::1 " : "")metric 1024"))
        }
    }

    @Test("a network that others made local is so no more once its link goes")
    func lostNetwork() throws {
        try Sandbox.run { host in
            func yaml(_ sources: [String], isThere: Bool = true) -> String {
                Config(
                    interfaces: [
                        veth("a", "b", "ipAddresses: [10.0.0.1/24]"), veth("b", "a", in: "x"),
                    ] + (isThere ? [veth("c", "d"), veth("d", "c")] : []),
                    routes: sources.enumerated().map { number, source in
                        "outgoingInterface: a, dstNetwork: 10.\(number + 1).0.0/16, gwAddr: 10.0.0.2, srcAddr: \(source)"
                    }
                ).text
            }
            let agent = host.agent()
            try agent.watch()
            try agent.change(to: yaml([]))
            try host.ip("route add local 10.8.0.0/24 dev c table local")
            try agent.quiesce()
            try agent.change(to: yaml(["10.8.0.1"]))
            #expect(agent.problems == [])
            // The kernel tells nothing of IPv4 routes that go with a link.
            try agent.change(to: yaml(["10.8.0.1"], isThere: false))
            try agent.quiesce()
            try agent.change(to: yaml(["10.8.0.1", "10.8.0.2"], isThere: false))
            let waiting = agent.problems.filter { $0.contains("10.2.0.0") }
            #expect(waiting.count == 1)
            #expect(waiting.allSatisfy { $0.contains("PENDING src_addr-available") }, "\(waiting)")
        }
    }
}
