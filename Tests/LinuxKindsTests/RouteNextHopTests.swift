import Testing

extension RouteTests {
    @Test("several next hops with weights, IPv4 and IPv6")
    func ecmp() throws {
        try Sandbox.run { host in
            let interfaces =
                Self.pair + [veth("c", "d", in: "x", "ipAddresses: [10.5.0.1/24, 'fd05::1/64']"), veth("d", "c")]
            func yaml(_ second: String, _ secondV6: String, _ weight: Int = 3) -> String {
                Config(
                    interfaces: interfaces,
                    routes: [
                        "dstNetwork: 10.1.0.0/16, nextHops: [{gwAddr: 10.0.0.2, outgoingInterface: a, weight: \(weight)}, {gwAddr: \(second), outgoingInterface: c}]",
                        "dstNetwork: 'fd01::/64', nextHops: [{gwAddr: 'fd00::2', outgoingInterface: a, weight: \(weight)}, {gwAddr: '\(secondV6)', outgoingInterface: c}]",
                    ]
                ).text
            }
            let agent = try host.apply(yaml("10.5.0.2", "fd05::2"))
            #expect(
                try host.routes(in: "x") == [
                    "10.1.0.0/16 nexthop via 10.0.0.2 dev a weight 3 nexthop via 10.5.0.2 dev c weight 1"
                ])
            #expect(
                try host.routes(in: "x", v6: true) == [
                    "fd01::/64 metric 1024 nexthop via fd00::2 dev a weight 3 nexthop via fd05::2 dev c weight 1"
                ])
            let other = yaml("10.5.0.3", "fd05::3", 2)
            try agent.apply(other)
            #expect(agent.problems == [])
            #expect(
                try host.routes(in: "x") == [
                    "10.1.0.0/16 nexthop via 10.0.0.2 dev a weight 2 nexthop via 10.5.0.3 dev c weight 1"
                ])
            #expect(
                try host.routes(in: "x", v6: true) == [
                    "fd01::/64 metric 1024 nexthop via fd00::2 dev a weight 2 nexthop via fd05::3 dev c weight 1"
                ])
            try host.expectInPlace(other, agent)
            // A hop of the IPv6 route goes, one that is a way of its own in the kernel.
            try agent.watch()
            try host.ip("-6 route del fd01::/64 via fd05::3 dev c", in: "x")
            #expect(try agent.settle { try host.routes(in: "x", v6: true).first?.contains("via fd05::3") == true })
            // And one with a weight, which the kernel doesn't tell then.
            try host.ip("-6 route del fd01::/64 via fd00::2 dev a", in: "x")
            #expect(
                try agent.settle {
                    try host.routes(in: "x", v6: true).first?.contains("fd00::2 dev a weight 2") == true
                })
            try host.ip("route del 10.1.0.0/16", in: "x")
            #expect(try agent.settle { try host.routes(in: "x").count == 1 })
            // From several hops to one.
            let single = Config(
                interfaces: interfaces,
                routes: [
                    "dstNetwork: 10.1.0.0/16, nextHops: [{gwAddr: 10.0.0.2, outgoingInterface: a}]",
                    "dstNetwork: 'fd01::/64', gwAddr: 'fd00::2', outgoingInterface: a",
                ]
            ).text
            try agent.apply(single)
            #expect(agent.problems == [])
            #expect(try host.routes(in: "x", v6: true) == ["fd01::/64 via fd00::2 dev a metric 1024"])
            try host.expectInPlace(single, agent)
        }
    }

    @Test(
        "one of several next hops loses its link for a moment, or its name",
        arguments: [
            "link set dev c down", "link set dev c down;link set dev c name z;link set dev z up", "link del dev c",
            "addr flush dev c",
        ])
    func ecmpLink(_ command: String) throws {
        try Sandbox.run { host in
            let interfaces =
                Self.pair + [
                    veth(
                        "c", "d", in: "x",
                        "ipAddresses: [10.5.0.1/24], addresses: [{address: 'fd05::1/64', nodad: true}]"),
                    veth("d", "c"),
                ]
            let yaml = Config(
                interfaces: interfaces,
                routes: [
                    "10.1.0.0/16, nextHops: [{gwAddr: 10.0.0.2, outgoingInterface: a}, {gwAddr: 10.5.0.2, outgoingInterface: c}]",
                    "'fd01::/64', nextHops: [{gwAddr: 'fd00::2', outgoingInterface: a}, {gwAddr: 'fd05::2', outgoingInterface: c}]",
                ]
                .map { "dstNetwork: \($0)" }
            ).text
            let agent = try host.apply(yaml)
            let before = try host.picture(of: ["x"])
            try agent.watch()
            for part in command.split(separator: ";") { try host.ip(String(part), in: "x") }
            #expect(try agent.settle { try host.picture(of: ["x"]) == before })
            let after = try host.picture(of: ["x"])
            #expect(after == before)
            #expect(agent.problems == [])
            try agent.quiesce()
            try host.expectInPlace(yaml, agent)
        }
    }
}
