import TestSupport
import Testing

@Suite("order, failure, return", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct OrderAndFailureTests {
    private static let config = Config(
        interfaces: [
            veth("a", "b", in: "x", host: "eth0", "mtu: 1450, ipAddresses: [10.0.0.1/24, 10.0.0.2/24, 'fd00::1/64']"),
            veth("b", "a", in: "y", host: "eth0", "ipAddresses: [10.0.0.3/24]"), veth("c", "d", in: "x", host: "eth1"),
            veth("d", "c"),
            "name: br, type: BRIDGE, enabled: true, ipAddresses: [10.5.0.1/24], bridge: {ports: [d, t]}",
            "name: t, type: TAP, enabled: true, tuntap: {mode: TAP}",
            "name: m, type: MACVLAN, enabled: true, physAddress: '02:00:00:00:00:31', macvlan: {parent: c}, ipAddresses: [10.6.0.1/24]"
                + place("y"),
            "name: v, type: VXLAN, enabled: true, vxlan: {vni: 5, remote: 10.5.0.9, parent: br}" + place("x"),
            "name: l, type: LOOPBACK, enabled: true, ipAddresses: [10.7.0.1/32]" + place("y"),
        ],
        routes: [
            "outgoingInterface: a, dstNetwork: 0.0.0.0/0, gwAddr: 10.77.0.1",
            "outgoingInterface: a, dstNetwork: 10.77.0.1/32, scope: LINK",
            "outgoingInterface: a, dstNetwork: 10.78.0.0/16, gwAddr: 10.0.0.9, srcAddr: 10.0.0.2",
            "dstNetwork: 10.79.0.0/16, type: PROHIBIT" + place("y"),
            "dstNetwork: 10.80.0.0/16, nextHops: [{gwAddr: 10.0.0.9, outgoingInterface: a}, {gwAddr: 10.77.0.1, outgoingInterface: a, weight: 2}]",
        ],
        arps: ["interface: a, ipAddress: 10.0.0.9, hwAddress: '02:00:00:00:00:09'"],
        rules: ["name: r, priority: 100, from: 10.0.0.0/8, table: 100" + place("y")],
        namespaces: ["name: y", "name: z"])
    private static let names = ["x", "y", "z"]

    @Test("the order of items makes no difference", arguments: 1...6)
    func permutations(_ seed: UInt64) throws {
        let expected = try Sandbox.run { host in
            try host.apply(Self.config.text)
            return try host.picture(of: Self.names)
        }
        var generator = SeededGenerator(seed: seed)
        let shuffled = Self.config.shuffled(using: &generator).text
        try Sandbox.run { host in
            try host.apply(shuffled)
            let picture = try host.picture(of: Self.names)
            #expect(picture == expected)
        }
    }

    @Test("in any number of steps the end is the same", arguments: 1...4)
    func steps(_ seed: UInt64) throws {
        let expected = try Sandbox.run { host in
            try host.apply(Self.config.text)
            return try host.picture(of: Self.names)
        }
        var generator = SeededGenerator(seed: seed)
        let all = Self.config.text.split(separator: "\n").map(String.init)
        try Sandbox.run { host in
            let agent = host.agent()
            for _ in 0..<6 {
                let some = all.filter { !$0.contains("- {") || Bool.random(using: &generator) }
                let text = zip(some, some.dropFirst() + [""]).filter {
                    $0.contains("- {") || $0 == "linuxConfig:" || $1.contains("- {")
                }.map(\.0)
                try agent.apply(text.joined(separator: "\n"), tolerant: true)
                #expect(
                    agent.problems.allSatisfy { $0.contains("PENDING") },
                    "\(agent.problems.filter { !$0.contains("PENDING") })")
            }
            try agent.apply(Self.config.text)
            #expect(agent.problems == [])
            let picture = try host.picture(of: Self.names)
            #expect(picture == expected)
            try host.expectInPlace(Self.config.text, agent)
        }
    }

    @Test(
        "a value the kernel refuses leaves the others configured, with the kernel's words",
        arguments: [
            // There is a folder of that name for what applies to all interfaces.
            (veth("a", "b", in: "x", "hostIfName: default, ipAddresses: [10.0.0.1/24]"), "invalid argument"),
            (
                veth("a", "b", in: "x", "sysctls: {rp_filter: '99999999999'}, ipAddresses: [10.0.0.1/24]"),
                "'99999999999' was refused"
            ),
        ])
    func refused(_ item: String, _ words: String) throws {
        try Sandbox.run { host in
            let agent = host.agent()
            try agent.apply(
                linux(item, veth("b", "a"), veth("c", "d", in: "x", "ipAddresses: [10.1.0.1/24]"), veth("d", "c")),
                tolerant: true)
            #expect(
                agent.problems.contains { $0.contains("FAILED") && $0.lowercased().contains(words) },
                "\(agent.problems)")
            #expect(try host.addresses("c", in: "x") == ["10.1.0.1/24"])
            #expect(agent.interface("c")?.state == .configured)
            try host.apply(linux(veth("a", "b", in: "x", "ipAddresses: [10.0.0.1/24]"), veth("b", "a")))
        }
    }

    @Test("a value that nobody checked is checked before it gets here, and the others are configured")
    func unchecked() throws {
        try Sandbox.run { host in
            let agent = host.agent()
            let text = linux(
                veth("a", "b", in: "x", "mtu: 65574"), veth("b", "a"),
                veth("c", "d", in: "x", "ipAddresses: [10.1.0.1/24]"), veth("d", "c"))
            try agent.apply(text, tolerant: true)
            #expect(agent.interface("a")?.state == .invalid)
            #expect(
                agent.interface("a")?.error
                    == "linux.interfaces.interface 'a': mtu '65574' is out of range for VETH (68–65535)")
            #expect(try host.addresses("c", in: "x") == ["10.1.0.1/24"])
        }
    }

    @Test("routes the kernel refuses, beside others")
    func refusedRoutes() throws {
        try Sandbox.run { host in
            let interfaces = [veth("a", "b", in: "x", "ipAddresses: [10.0.0.1/24]"), veth("b", "a")]
            let agent = host.agent()
            try agent.apply(
                Config(
                    interfaces: interfaces,
                    routes: [
                        "outgoingInterface: a, dstNetwork: 10.1.0.0/16, gwAddr: 10.0.0.255",
                        "outgoingInterface: a, dstNetwork: 10.2.0.0/16, gwAddr: 10.0.0.2",
                    ]
                ).text)
            #expect(agent.problems.allSatisfy { $0.contains("FAILED") && $0.contains("EINVAL") }, "\(agent.problems)")
            #expect(agent.problems.contains { $0.contains("Nexthop has invalid gateway") })
            #expect(try host.routes(in: "x") == ["10.2.0.0/16 via 10.0.0.2 dev a"])
        }
    }

    @Test("a failure is tried again, and succeeds when its reason is gone")
    func retry() throws {
        try Sandbox.run { host in
            try host.addNamespaces("x")
            try host.ip("link add name a type bridge", in: "x")
            let agent = host.agent(retry: .init(firstDelay: .milliseconds(1)))
            let yaml = linux(veth("a", "b", in: "x"), veth("b", "a"))
            try agent.apply(yaml)
            #expect(agent.interface("a")?.state == .retrying)
            try host.ip("link del dev a", in: "x")
            try agent.world.readAll()
            agent.reconciler.forgetFailures()
            agent.reconciler.reconcile(reason: .retry)
            #expect(agent.problems == [])
            try host.expectInPlace(yaml, agent)
        }
    }

    @Test("with revert on failure everything is as it was", arguments: [false, true])
    func revert(_ isFirst: Bool) throws {
        try Sandbox.run { host in
            let agent = host.agent()
            try host.addNamespaces("x", "y", "z")
            if !isFirst { try agent.apply(Self.config.text) }
            let before = try host.picture(of: Self.names)
            let bad = Self.config.text.replacing("10.0.0.1/24, ", with: "").replacing("mtu: 1450", with: "mtu: 1400")
                .replacing("vni: 5", with: "vni: 6").replacing("name: t,", with: "name: t, hostIfName: t9,")
                .replacing(
                    "dstNetwork: 10.79.0.0/16, type: PROHIBIT", with: "dstNetwork: 10.81.0.0/16, type: BLACKHOLE"
                )
                .replacing("gwAddr: 10.0.0.9, srcAddr: 10.0.0.2", with: "gwAddr: 10.0.0.255")
            let transaction = try agent.apply(bad, tolerant: true, revertOnFailure: true)
            #expect(transaction?.reverted == true)
            #expect(transaction?.revertErrors ?? [] == [])
            let picture = try host.picture(of: Self.names)
            #expect(picture == before)
            if !isFirst { try host.expectInPlace(Self.config.text) }
        }
    }
}
