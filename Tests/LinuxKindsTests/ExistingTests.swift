import Testing

@Suite("existing and loopback", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct ExistingTests {
    private func prepare(_ host: Sandbox, in namespace: String? = nil) throws {
        if let namespace { try host.addNamespaces(namespace) }
        try host.ip("link add eth0 type veth peer name eth1", in: namespace)
        try host.ip("link set eth1 up", in: namespace)
        try host.ip("link set eth0 up", in: namespace)
        try host.ip("addr add 192.0.2.1/24 dev eth0", in: namespace)
        try host.ip("addr add fd09::1/64 dev eth0 nodad", in: namespace)
    }

    @Test("what others made stays", arguments: [nil, "x"] as [String?])
    func keeps(_ namespace: String?) throws {
        try Sandbox.run { host in
            try prepare(host, in: namespace)
            try host.ip("route add default via 192.0.2.254 dev eth0 proto dhcp", in: namespace)
            let routes = try host.routes(in: namespace)
            let yaml = linux(
                "name: e, type: EXISTING, hostIfName: eth0, enabled: true, ipAddresses: [10.0.0.1/24]"
                    + place(namespace))
            let agent = try host.apply(yaml)
            let all = ["10.0.0.1/24", "192.0.2.1/24", "fd09::1/64"]
            #expect(try host.addresses("eth0", in: namespace) == all)
            #expect(try host.link("eth0", in: namespace)?.alias == "")
            try host.expectInPlace(yaml, agent)
            try agent.apply("")
            #expect(try host.addresses("eth0", in: namespace) == ["192.0.2.1/24", "fd09::1/64"])
            #expect(try host.routes(in: namespace) == routes)
        }
    }

    @Test(
        "exclusive: the addresses are exactly the declared ones, and what others lose is told",
        arguments: [nil, "x"] as [String?])
    func replaces(_ namespace: String?) throws {
        try Sandbox.run { host in
            try prepare(host, in: namespace)
            try host.ip("addr add 198.51.100.1/24 dev eth0", in: namespace)
            try host.ip("route add default via 198.51.100.254 dev eth0 proto dhcp", in: namespace)
            let yaml = linux(
                "name: e, type: EXISTING, hostIfName: eth0, enabled: true, exclusive: true, "
                    + "ipAddresses: [192.0.2.1/24, 10.0.0.1/24]" + place(namespace))
            let agent = host.agent()
            try agent.declare(yaml)
            try agent.world.readAll()
            let losses = agent.reconciler.plan().losses
            #expect(losses.count == 2)
            #expect(
                losses.contains { $0.contains("198.51.100.1/24 and the route default via 198.51.100.254 proto dhcp") })
            let transaction = try #require(try agent.apply(yaml))
            #expect(transaction.losses.prefix(2) == losses.prefix(2))
            #expect(try host.addresses("eth0", in: namespace) == ["10.0.0.1/24", "192.0.2.1/24"])
            try agent.apply("")
            // What somebody else gave the interface stays; what we gave it goes.
            #expect(try host.addresses("eth0", in: namespace) == ["192.0.2.1/24"])
            #expect(try host.link("eth0", in: namespace)?.isUp == true)
        }
    }

    @Test("with link_only and no addresses: only waits for the interface")
    func linkOnly() throws {
        try Sandbox.run { host in
            let yaml = linux("name: e, type: EXISTING, hostIfName: eth0, linkOnly: true, enabled: true")
            let agent = host.agent()
            try agent.apply(yaml)
            #expect(agent.interface("e")?.state == .pending)
            #expect(agent.interface("e")?.details == ["host-interface-exists: eth0 is not there"])
            try agent.watch()
            try prepare(host)
            #expect(try agent.settle { agent.problems == [] })
            #expect(try host.addresses("eth0") == ["192.0.2.1/24", "fd09::1/64"])
            try host.expectInPlace(yaml, agent)
        }
    }

    @Test("with link_only and addresses: each is awaited, none is changed")
    func linkOnlyWithAddresses() throws {
        try Sandbox.run { host in
            try prepare(host)
            let yaml = linux(
                "name: e, type: EXISTING, hostIfName: eth0, linkOnly: true, enabled: true, ipAddresses: [192.0.2.1/24, 10.0.0.1/24]"
            )
            let agent = host.agent()
            try agent.apply(yaml)
            #expect(
                agent.problems == [
                    "linux/interface/e/address/existing/10.0.0.1/24 PENDING address-assigned-to-interface: 10.0.0.1/24"
                ])
            try agent.watch()
            try host.ip("addr add 10.0.0.1/24 dev eth0")
            #expect(try agent.settle { agent.problems == [] })
            try host.ip("addr del 192.0.2.1/24 dev eth0")
            #expect(try agent.settle { agent.problems.count == 1 })
            try agent.apply("")
            #expect(try host.addresses("eth0") == ["10.0.0.1/24", "fd09::1/64"])
        }
    }

    @Test("enabled, MTU and MAC are applied when they are set", arguments: [nil, "x"] as [String?])
    func settings(_ namespace: String?) throws {
        try Sandbox.run { host in
            try prepare(host, in: namespace)
            try host.ip("link set eth0 down", in: namespace)
            try host.apply(
                linux(
                    "name: e, type: EXISTING, hostIfName: eth0, enabled: true, mtu: 1400, physAddress: '02:00:00:00:00:55'"
                        + place(namespace)))
            let link = try #require(try host.link("eth0", in: namespace))
            #expect((link.isUp, link.mtu, link.mac) == (true, 1400, "02:00:00:00:00:55"))
        }
    }

    @Test("the interface goes and comes: it waits, and gets everything back")
    func comesBack() throws {
        try Sandbox.run { host in
            try prepare(host)
            let yaml = linux(
                "name: e, type: EXISTING, hostIfName: eth0, enabled: true, ipAddresses: [10.0.0.1/24]",
                routes: ["outgoingInterface: e, dstNetwork: 10.5.0.0/16, gwAddr: 10.0.0.2"])
            let agent = try host.apply(yaml)
            try agent.watch()
            try host.ip("link del eth0")
            #expect(try agent.settle { agent.interface("e")?.state == .pending })
            try prepare(host)
            #expect(try agent.settle { agent.problems == [] })
            try agent.quiesce()
            #expect(try host.routes() == ["10.5.0.0/16 via 10.0.0.2 dev eth0"])
            try host.expectInPlace(yaml, agent)
        }
    }

    @Test("exclusive: foreign addresses that come later go too")
    func stripsLater() throws {
        try Sandbox.run { host in
            try prepare(host)
            let agent = try host.apply(
                linux(
                    "name: e, type: EXISTING, hostIfName: eth0, enabled: true, exclusive: true, "
                        + "ipAddresses: [10.0.0.1/24]"))
            try agent.watch()
            try host.ip("addr add 10.7.0.1/24 dev eth0")
            #expect(try agent.settle { try host.addresses("eth0") == ["10.0.0.1/24"] })
        }
    }

    @Test("loopback of any namespace, with one owner")
    func loopback() throws {
        try Sandbox.run { host in
            try host.addNamespaces("x")
            let yaml = linux(
                "name: l, type: LOOPBACK, enabled: true, ipAddresses: [10.255.0.1/32, 'fd00:ffff::1/128']" + place("x"),
                "name: own, type: LOOPBACK, enabled: true")
            try host.apply(yaml)
            #expect(try host.link("lo", in: "x")?.isUp == true)
            #expect(try host.link("lo", in: "x")?.alias == "/vnf-agent/\(host.label)/l")
            #expect(try host.addresses("lo", in: "x").contains("10.255.0.1/32"))
            let other = host.agent(label: host.label + "-2")
            try other.apply(linux("name: z, type: LOOPBACK, enabled: true" + place("x")))
            #expect(other.interface("z")?.state == .failed)
            #expect(other.interface("z")?.error.contains("alias") == true)
            try host.agent().apply("")
            #expect(try host.link("lo", in: "x")?.alias == "")
            #expect(try !host.addresses("lo", in: "x").contains("10.255.0.1/32"))
        }
    }

    @Test("TAP_TO_VPP is invalid and says what to use")
    func vpp() throws {
        try Sandbox.run { host in
            let agent = host.agent()
            try agent.apply(linux("name: t, type: TAP_TO_VPP, enabled: true, tap: {vppTapIfName: v}"), tolerant: true)
            #expect(agent.interface("t")?.state == .invalid)
            #expect(agent.interface("t")?.error.contains("use type TAP") == true)
        }
    }
}
