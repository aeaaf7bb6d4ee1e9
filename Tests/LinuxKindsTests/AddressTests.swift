import TestSupport
import Testing

@Suite("addresses, allocations, settings", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct AddressTests {
    /// A pair of which `a` in `x` has some fields.
    private func pair(_ fields: String, routes: [String] = [], arps: [String] = [], allocations: [String] = [])
        -> String
    {
        linux(veth("a", "b", in: "x", fields), veth("b", "a"), routes: routes, arps: arps, allocations: allocations)
    }

    @Test("every way to write an address")
    func spellings() throws {
        try Sandbox.run { host in
            let yaml = pair(
                "ipAddresses: [10.0.0.1/24, 10.0.1.1, 'FD00:0:0::1/64', 'fd01::1', 'fe80::1/64'], addresses: [{address: 10.2.0.1, peer: 10.2.0.2/32}, {address: 'fd03::1/64', nodad: true}, {address: 'fd04::1', peer: 'fd04::2/128'}]"
            )
            try host.apply(yaml)
            #expect(
                try host.addresses("a", in: "x") == [
                    "10.0.0.1/24", "10.0.1.1/32", "10.2.0.1 peer 10.2.0.2/32", "fd00::1/64", "fd01::1/128",
                    "fd03::1/64",
                    "fd04::1 peer fd04::2/128", "fe80::1/64",
                ])
            #expect(try host.ip("-6 addr show dev a", in: "x").contains("fd03::1/64 scope global nodad"))
            try host.agent().apply(pair("ipAddresses: [10.0.0.1/24]"))
            #expect(try host.addresses("a", in: "x") == ["10.0.0.1/24"])
        }
    }

    @Test("another spelling of the same address changes nothing")
    func respelled() throws {
        try Sandbox.run { host in
            try host.apply(pair("ipAddresses: [10.0.1.1, 'FD00:0:0::1/64']"))
            try host.expectInPlace(pair("ipAddresses: [10.0.1.1/32, 'fd00::1/64']"))
        }
    }

    @Test(
        "the same address with another prefix length",
        arguments: [("10.0.0.1/24", "10.0.0.1/16"), ("'fd00::1/64'", "'fd00::1/48'"), ("10.0.0.1/16", "10.0.0.1/24")])
    func otherLength(_ old: String, _ new: String) throws {
        try Sandbox.run { host in
            let agent = try host.apply(pair("ipAddresses: [\(old)]"))
            try agent.apply(pair("ipAddresses: [\(new)]"))
            #expect(agent.problems == [])
            #expect(try host.addresses("a", in: "x") == [new.replacing("'", with: "")])
            try host.expectInPlace(pair("ipAddresses: [\(new)]"), agent)
        }
    }

    @Test("the kernel's labels of addresses on a link with a new name are taken away at once")
    func renamedLink() throws {
        try Sandbox.run { host in
            func yaml(_ name: String) -> String {
                linux(
                    veth("a", "b", in: "x", host: name, "ipAddresses: [10.0.0.1/24, 10.0.1.1/24, 10.0.0.2/24]"),
                    veth("b", "a"))
            }
            let agent = try host.apply(yaml("one"))
            try agent.apply(yaml("two"))
            #expect(agent.problems == [])
            try host.expectInPlace(yaml("two"), agent)
        }
    }

    @Test("the only address is replaced, and the default route stays")
    func replaceOnly() throws {
        try Sandbox.run { host in
            func yaml(_ last: Int) -> String {
                pair(
                    "ipAddresses: [10.0.0.\(last)/24, 'fd00::\(last)/64']",
                    routes: [
                        "outgoingInterface: a, dstNetwork: 0.0.0.0/0, gwAddr: 10.0.0.9",
                        "outgoingInterface: a, dstNetwork: '::/0', gwAddr: 'fd00::9'",
                    ])
            }
            let agent = try host.apply(yaml(1))
            try agent.apply(yaml(2))
            #expect(agent.problems == [])
            #expect(try host.addresses("a", in: "x") == ["10.0.0.2/24", "fd00::2/64"])
            #expect(try host.routes(in: "x") == ["default via 10.0.0.9 dev a"])
            #expect(try host.routes(in: "x", v6: true) == ["default via fd00::9 dev a metric 1024"])
            try host.expectInPlace(yaml(2), agent)
        }
    }

    @Test("the only address is replaced by one of another network, and routes follow")
    func replaceNetwork() throws {
        try Sandbox.run { host in
            func yaml(_ net: Int) -> String {
                pair(
                    "ipAddresses: [10.0.\(net).1/24]",
                    routes: [
                        "outgoingInterface: a, dstNetwork: 0.0.0.0/0, gwAddr: 10.0.\(net).9",
                        "outgoingInterface: a, dstNetwork: 10.50.0.0/16",
                    ])
            }
            let agent = try host.apply(yaml(1))
            try agent.apply(yaml(2))
            #expect(agent.problems == [])
            #expect(try host.routes(in: "x") == ["10.50.0.0/16 dev a scope link", "default via 10.0.2.9 dev a"])
            try host.expectInPlace(yaml(2), agent)
        }
    }

    @Test(
        "one of several addresses of a network goes, primary or secondary",
        arguments: [[1, 2], [2, 3], [1, 3], [3], [2]])
    func secondary(_ rest: [Int]) throws {
        try Sandbox.run { host in
            func yaml(_ numbers: [Int]) -> String {
                pair(
                    "ipAddresses: [\(numbers.map { "10.0.0.\($0)/24" }.joined(separator: ", "))]",
                    routes: [
                        "outgoingInterface: a, dstNetwork: 0.0.0.0/0, gwAddr: 10.0.0.9"
                    ])
            }
            let agent = try host.apply(yaml([1, 2, 3]))
            try agent.apply(yaml(rest))
            #expect(agent.problems == [])
            #expect(try host.addresses("a", in: "x") == rest.map { "10.0.0.\($0)/24" })
            try host.expectInPlace(yaml(rest), agent)
        }
    }

    @Test("an address moves to another interface")
    func moves() throws {
        try Sandbox.run { host in
            func yaml(_ first: String, _ second: String) -> String {
                linux(
                    veth("a", "b", in: "x", "ipAddresses: [\(first)]"), veth("b", "a"),
                    veth("c", "d", in: "x", "ipAddresses: [\(second)]"), veth("d", "c"))
            }
            let agent = try host.apply(yaml("10.0.0.1/24, 'fd00::1/64'", ""))
            try agent.apply(yaml("", "10.0.0.1/24, 'fd00::1/64'"))
            #expect(agent.problems == [])
            #expect(try host.addresses("c", in: "x") == ["10.0.0.1/24", "fd00::1/64"])
            #expect(try host.addresses("a", in: "x") == [])
            try host.expectInPlace(yaml("", "10.0.0.1/24, 'fd00::1/64'"), agent)
        }
    }

    @Test("an IPv6 address where IPv6 is disabled enables it")
    func disabledIPv6() throws {
        try Sandbox.run { host in
            try host.addNamespaces("x")
            for name in ["all", "default", "lo"] {
                try Command.run([
                    "nsenter", "--net=\(host.file("x"))", "sh", "-c",
                    "echo 1 > /proc/sys/net/ipv6/conf/\(name)/disable_ipv6",
                ])
            }
            let yaml = linux(
                veth("a", "b", in: "x", "ipAddresses: ['fd00::1/64']"), veth("b", "a"),
                "name: l, type: LOOPBACK, enabled: true, ipAddresses: ['fd01::1/128']" + place("x"))
            try host.apply(yaml)
            #expect(try host.addresses("a", in: "x") == ["fd00::1/64"])
            #expect(try host.addresses("lo", in: "x").contains("fd01::1/128"))
        }
    }

    @Test("allocated addresses, gateways, neighbours")
    func netalloc() throws {
        try Sandbox.run { host in
            let allocations = [
                "networkName: net, interfaceName: a, address: 10.0.0.1/24, gw: 10.0.0.254",
                "networkName: far, interfaceName: z, address: 10.8.0.0/16",
            ]
            func yaml(_ allocations: [String]) -> String {
                pair(
                    "ipAddresses: ['alloc:net']",
                    routes: [
                        "outgoingInterface: a, dstNetwork: 0.0.0.0/0, gwAddr: 'alloc:net/a/GW'",
                        "outgoingInterface: a, dstNetwork: 'alloc:far/z', gwAddr: 10.0.0.7",
                    ],
                    arps: ["interface: a, ipAddress: 'alloc:net/a', hwAddress: '02:00:00:00:00:09'"],
                    allocations: allocations)
            }
            let agent = try host.apply(yaml(allocations))
            #expect(try host.addresses("a", in: "x") == ["10.0.0.1/24"])
            #expect(try host.routes(in: "x") == ["10.8.0.0/16 via 10.0.0.7 dev a", "default via 10.0.0.254 dev a"])
            let moved = yaml([
                "networkName: net, interfaceName: a, address: 10.0.0.2/24, gw: 10.0.0.253",
                "networkName: far, interfaceName: z, address: 10.9.0.0/16",
            ])
            try agent.apply(moved)
            #expect(agent.problems == [])
            #expect(try host.addresses("a", in: "x") == ["10.0.0.2/24"])
            #expect(try host.routes(in: "x") == ["10.9.0.0/16 via 10.0.0.7 dev a", "default via 10.0.0.253 dev a"])
            try host.expectInPlace(moved, agent)
            // Without the allocation what refers to it waits.
            try agent.apply(yaml([]), tolerant: true)
            #expect(agent.state("linux/interface/a/address/alloc_ref/alloc:net") == .pending)
            #expect(try host.addresses("a", in: "x") == [])
            #expect(try host.routes(in: "x") == [])
        }
    }

    @Test("settings below /proc/sys, IPv4, IPv6 and neighbour ones")
    func sysctls() throws {
        try Sandbox.run { host in
            func yaml(_ settings: String) -> String { pair("sysctls: {\(settings)}, ipAddresses: [10.0.0.1/24]") }
            let agent = try host.apply(
                yaml(
                    "ipv4.forwarding: '1', ipv6.forwarding: '1', proxy_arp: '1', rp_filter: '2', accept_ra: '0', ipv4.base_reachable_time_ms: '40000'"
                ))
            #expect(try host.sysctl("net/ipv4/conf/a/forwarding", in: "x") == "1")
            #expect(try host.sysctl("net/ipv6/conf/a/forwarding", in: "x") == "1")
            #expect(try host.sysctl("net/ipv4/conf/a/proxy_arp", in: "x") == "1")
            #expect(try host.sysctl("net/ipv4/conf/a/rp_filter", in: "x") == "2")
            #expect(try host.sysctl("net/ipv6/conf/a/accept_ra", in: "x") == "0")
            #expect(try host.sysctl("net/ipv4/neigh/a/base_reachable_time_ms", in: "x") == "40000")
            try agent.apply(yaml("ipv4.forwarding: '0'"))
            #expect(try host.sysctl("net/ipv4/conf/a/forwarding", in: "x") == "0")
            try host.expectInPlace(yaml("ipv4.forwarding: '0'"), agent)
        }
    }

    @Test("a setting of a dotted host name")
    func dottedName() throws {
        try Sandbox.run { host in
            try host.apply(
                linux(
                    veth(
                        "a", "b", in: "x", host: "eth0.5",
                        "sysctls: {ipv4.forwarding: '1'}, ipAddresses: ['fd00::1/64']"), veth("b", "a")))
            #expect(try host.sysctl("net/ipv4/conf/eth0.5/forwarding", in: "x") == "1")
        }
    }

    @Test("a setting is put right when it was changed and everything is read again")
    func sysctlDrift() throws {
        try Sandbox.run { host in
            let yaml = pair("sysctls: {proxy_arp: '1'}")
            let agent = try host.apply(yaml)
            try Command.run([
                "nsenter", "--net=\(host.file("x"))", "sh", "-c", "echo 0 > /proc/sys/net/ipv4/conf/a/proxy_arp",
            ])
            try agent.apply(yaml)
            #expect(try host.sysctl("net/ipv4/conf/a/proxy_arp", in: "x") == "1")
        }
    }
}
