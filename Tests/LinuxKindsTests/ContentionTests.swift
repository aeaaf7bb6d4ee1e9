import Testing

@testable import LinuxKinds

/// What only one link can have passes from one to another in one change, and back.
@Suite("what only one link can have", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct ContentionTests {
    /// A name that the kernel refuses.
    private static let refused = "name: default, type: BRIDGE, enabled: true"

    /// From one configuration to another and back, first undone and then for good.
    private func exchange(_ host: Sandbox, _ one: Config, _ two: Config, _ look: (Config) throws -> Void) throws {
        let agent = try host.apply(one.text)
        try look(one)
        for (before, after) in [(one, two), (two, one)] {
            var wrong = after
            wrong.interfaces.append(Self.refused)
            let transaction = try agent.apply(wrong.text, tolerant: true, revertOnFailure: true)
            #expect(transaction?.reverted == true && transaction?.revertErrors ?? [] == [])
            #expect(
                transaction?.entries.filter { !$0.error.isEmpty && !$0.key.hasSuffix("/default") }.map(\.line) == [])
            try look(before)
            #expect(try host.agent().plan(before.text) == [])
            try agent.apply(after.text)
            #expect(agent.problems == [])
            try look(after)
            try host.expectInPlace(after.text, agent)
        }
    }

    @Test(
        "a MACVLAN and a bridge exchange the links below them", arguments: [nil, "x"] as [String?],
        ["BRIDGE", "PASSTHRU"])
    func ports(_ namespace: String?, _ mode: String) throws {
        try Sandbox.run { host in
            func config(_ parent: String, _ port: String) -> Config {
                Config(interfaces: [
                    veth("p", "p1"), veth("p1", "p", in: "y"), veth("q", "q1"), veth("q1", "q", in: "y"),
                    "name: br, type: BRIDGE, enabled: true, bridge: {ports: [\(port)]}",
                    "name: m, type: MACVLAN, enabled: true, ipAddresses: [10.6.0.1/24], macvlan: {parent: \(parent), mode: \(mode)}"
                        + place(namespace),
                ])
            }
            let (one, two) = (config("p", "q"), config("q", "p"))
            try exchange(host, one, two) { (now: Config) throws in
                let (parent, port) = now.text == one.text ? ("p", "q") : ("q", "p")
                #expect(try host.link(port)?.master == "br")
                #expect(try host.link(parent)?.master == "")
                #expect(try host.addresses("m", in: namespace) == ["10.6.0.1/24"])
                let below = try host.link(parent)?.index
                #expect(
                    try host.ip("link show m", in: namespace).contains(
                        namespace == nil ? "m@\(parent)" : "m@if\(below ?? 0)"))
            }
        }
    }

    @Test("a MACVLAN moves from one interface to another that has the same number in another namespace")
    func sameNumber() throws {
        try Sandbox.run { host in
            func config(_ parent: String) -> String {
                linux(
                    veth("p", "p1", in: "x"), veth("p1", "p", in: "x"), veth("q", "q1", in: "y"),
                    veth("q1", "q", in: "y"),
                    "name: m, type: MACVLAN, enabled: true, macvlan: {parent: \(parent)}" + place("z"))
            }
            let agent = try host.apply(config("p"))
            let (first, second) = (try host.link("p", in: "x"), try host.link("q", in: "y"))
            #expect(first?.index == second?.index)
            let index = try host.link("m", in: "z")?.index
            try agent.apply(config("q"))
            try host.expectInPlace(config("q"), agent)
            #expect(try host.link("m", in: "z")?.index != index)
            // With the other one it stays.
            try host.ip("link del p", in: "x")
            #expect(try host.link("m", in: "z") != nil)
        }
    }

    @Test("one MACVLAN gives up the interface that another one is to have for itself")
    func passthrough() throws {
        try Sandbox.run { host in
            func config(_ first: String, _ second: String) -> Config {
                Config(interfaces: [
                    veth("p", "p1"), veth("p1", "p", in: "y"), veth("q", "q1"), veth("q1", "q", in: "y"),
                    "name: m, type: MACVLAN, enabled: true, macvlan: {parent: \(first), mode: PASSTHRU}",
                    "name: n, type: MACVLAN, enabled: true, macvlan: {parent: \(second), mode: PASSTHRU}" + place("x"),
                ])
            }
            try exchange(host, config("p", "q"), config("q", "p")) { _ in }
        }
    }

    @Test("an MTU that falls takes along that of what is built on the link, and both come back", arguments: ["x", "z"])
    func mtu(_ namespace: String) throws {
        try Sandbox.run { host in
            func config(_ mtu: Int) -> Config {
                Config(interfaces: [
                    veth("p", "p1", in: "y", "mtu: \(mtu)"), veth("p1", "p", in: "y", "mtu: \(mtu)"),
                    "name: m, type: MACVLAN, enabled: true, macvlan: {parent: p}" + place(namespace),
                ])
            }
            let large = config(9000)
            let agent = try host.apply(large.text)
            #expect(try host.link("m", in: namespace)?.mtu == 9000)
            var wrong = config(1400)
            wrong.interfaces.append(Self.refused)
            let transaction = try agent.apply(wrong.text, tolerant: true, revertOnFailure: true)
            #expect(transaction?.reverted == true && transaction?.revertErrors ?? [] == [])
            #expect(try host.link("m", in: namespace)?.mtu == 9000)
            try agent.apply(config(1400).text)
            #expect(try host.link("m", in: namespace)?.mtu == 1400)
            // What goes and comes back with a smaller link below has a larger one then.
            var other = config(9000)
            other.interfaces = Array(other.interfaces.dropLast()) + [Self.refused]
            let second = try agent.apply(other.text, tolerant: true, revertOnFailure: true)
            #expect(second?.reverted == true && second?.revertErrors ?? [] == [])
            #expect(try host.link("m", in: namespace)?.mtu == 1400)
            try host.expectInPlace(config(1400).text)
        }
    }

    @Test("two interfaces exchange their names")
    func names() throws {
        try Sandbox.run { host in
            func config(_ first: String, _ second: String) -> Config {
                Config(interfaces: [
                    "name: b, type: BRIDGE, enabled: true, hostIfName: \(first), ipAddresses: [10.1.0.1/24]",
                    "name: t, type: TAP, enabled: true, hostIfName: \(second), tuntap: {mode: TAP}",
                ])
            }
            try exchange(host, config("one", "two"), config("two", "one")) { (now: Config) throws in
                let isFirst = now.text == config("one", "two").text
                #expect(try host.link("one")?.kind == (isFirst ? "bridge" : "tun"))
            }
            // A new link gets the name of one that is renamed.
            let plain = Config(interfaces: ["name: b, type: BRIDGE, enabled: true, hostIfName: one"])
            let next = Config(interfaces: [
                "name: b, type: BRIDGE, enabled: true, hostIfName: two",
                "name: t, type: TAP, enabled: true, hostIfName: one, tuntap: {mode: TAP}",
            ])
            try exchange(host, plain, next) { _ in }
        }
    }

    @Test("two VXLANs exchange their networks", arguments: [nil, "x"] as [String?])
    func vxlan(_ namespace: String?) throws {
        try Sandbox.run { host in
            func config(_ first: Int, _ second: Int) -> Config {
                Config(interfaces: [
                    "name: v, type: VXLAN, enabled: true, ipAddresses: [10.1.0.1/24], vxlan: {vni: \(first), remote: 192.0.2.1}"
                        + place(namespace),
                    "name: w, type: VXLAN, enabled: true, vxlan: {vni: \(second), remote: 192.0.2.2}"
                        + place(namespace),
                ])
            }
            try exchange(host, config(5, 6), config(6, 5)) { (_: Config) throws in
                #expect(try host.addresses("v", in: namespace) == ["10.1.0.1/24"])
            }
        }
    }

    @Test("a VXLAN gets an interface below, another one, and none", arguments: [nil, "x"] as [String?])
    func vxlanParent(_ namespace: String?) throws {
        try Sandbox.run { host in
            func config(_ parent: String?) -> Config {
                Config(interfaces: [
                    veth("p", "q", "ipAddresses: [192.0.2.9/24]"), veth("q", "p"),
                    "name: v, type: VXLAN, enabled: true, vxlan: {vni: 5, remote: 192.0.2.1\(parent.map { ", parent: \($0)" } ?? "")}"
                        + place(namespace),
                ])
            }
            for (one, two) in [(nil, "p"), ("p", "q"), ("q", nil)] as [(String?, String?)] {
                try exchange(host, config(one), config(two)) { (now: Config) throws in
                    let parent = now.text == config(one).text ? one : two
                    let below = try host.link("v", in: namespace)?.data["link"]
                    #expect((below == nil) == (parent == nil))
                }
            }
        }
    }

    @Test("a VXLAN is undone though the interface below is made again")
    func below() throws {
        try Sandbox.run { host in
            func config(_ peer: String) -> Config {
                Config(interfaces: [
                    veth("p", peer, "ipAddresses: [192.0.2.9/24]"), veth(peer, "p"),
                    "name: v, type: VXLAN, enabled: true, mtu: 1400, vxlan: {vni: 5, remote: 192.0.2.1, parent: p}",
                ])
            }
            try exchange(host, config("q"), config("r")) { (_: Config) throws in
                #expect(try host.link("v")?.data["link"] as? String == "p")
                #expect(try host.link("v")?.mtu == 1400)
            }
        }
    }

    @Test("two VLANs exchange their tags", .enabled(if: Kernel.hasVLAN, Kernel.reason))
    func vlan() throws {
        try Sandbox.run { host in
            func config(_ first: Int, _ second: Int) -> Config {
                Config(interfaces: [
                    veth("p", "q"), veth("q", "p"),
                    "name: v, type: VLAN, enabled: true, ipAddresses: [10.1.0.1/24], vlan: {parent: p, id: \(first)}",
                    "name: w, type: VLAN, enabled: true, vlan: {parent: p, id: \(second)}",
                ])
            }
            try exchange(host, config(5, 6), config(6, 5)) { (_: Config) throws in
                #expect(try host.addresses("v") == ["10.1.0.1/24"])
            }
        }
    }

    /// How the ends of a tunnel are written: the block, and two other ends.
    private static let ends: [(type: String, block: String, remotes: [String])] = [
        ("GRE", "tunnel: {local: 192.0.2.1, key: 7, remote", ["192.0.2.2", "192.0.2.3", "192.0.2.4"]),
        ("IPIP", "tunnel: {local: 192.0.2.1, remote", ["192.0.2.2", "192.0.2.3", "192.0.2.4"]),
        ("SIT", "tunnel: {local: 192.0.2.1, parent: p, remote", ["192.0.2.2", "192.0.2.3", "192.0.2.4"]),
        ("IP6GRE", "tunnel: {local: 'fd00::1', parent: p, remote", ["'fd00::2'", "'fd00::3'", "'fd00::4'"]),
        ("IP6TNL", "tunnel: {local: 'fd00::1', remote", ["'fd00::2'", "'fd00::3'", "'fd00::4'"]),
        ("GENEVE", "geneve: {vni: 5, remote", ["192.0.2.2", "192.0.2.3", "192.0.2.4"]),
    ]

    @Test(
        "two tunnels exchange their ends, and one takes those that another one leaves",
        .enabled(if: Kernel.hasTunnels, Kernel.reason), arguments: ends.map(\.type))
    func tunnels(_ type: String) throws {
        try Sandbox.run { host in
            let (_, block, remotes) = try #require(Self.ends.first { $0.type == type })
            func config(_ first: Int, _ second: Int) -> Config {
                Config(interfaces: [
                    veth("p", "q", "ipAddresses: [192.0.2.1/24, 'fd00::1/64']"), veth("q", "p"),
                    "name: s, type: \(type), enabled: true, mtu: 1300, \(block): \(remotes[first])}",
                    "name: t, type: \(type), enabled: true, mtu: 1350, ipAddresses: ['fd77::1/64'], \(block): \(remotes[second])}",
                ])
            }
            for next in [config(1, 0), config(1, 2), config(2, 0)] {
                try exchange(host, config(0, 1), next) { (_: Config) throws in
                    #expect(try host.link("s")?.mtu == 1300)
                    #expect(try host.link("t")?.mtu == 1350)
                    #expect(try host.addresses("t").contains("fd77::1/64"))
                }
            }
        }
    }

    @Test(
        "a tunnel is undone though the interface below is made again",
        .enabled(if: Kernel.hasTunnels, Kernel.reason), arguments: ["GRE", "SIT", "IP6GRE"])
    func tunnelBelow(_ type: String) throws {
        try Sandbox.run { host in
            let isV6 = type == "IP6GRE"
            let ends = isV6 ? "local: 'fd00::1', remote: 'fd00::2'" : "local: 192.0.2.1, remote: 192.0.2.2"
            func config(_ peer: String) -> Config {
                Config(interfaces: [
                    veth("p", peer, "ipAddresses: [192.0.2.1/24, 'fd00::1/64']"), veth(peer, "p"),
                    "name: t, type: \(type), enabled: true, mtu: 1350, tunnel: {\(ends), parent: p}",
                ])
            }
            try exchange(host, config("q"), config("r")) { (_: Config) throws in
                #expect(try host.link("t")?.data["link"] as? String == "p")
                #expect(try host.link("t")?.mtu == 1350)
            }
        }
    }

    @Test(
        "a tunnel that is changed keeps its MTU", .enabled(if: Kernel.hasTunnels, Kernel.reason),
        arguments: TunnelCase.all)
    func tunnelMTU(_ tunnel: TunnelCase) throws {
        try Sandbox.run { host in
            func config(_ block: String) -> Config {
                Config(interfaces: [
                    "name: t, type: \(tunnel.type), enabled: true, mtu: 1333, \(block)",
                    "name: p, type: VETH, enabled: true, ipAddresses: [192.0.2.1/24, 'fd00::1/64'], veth: {peerIfName: q}",
                    veth("q", "p"),
                ])
            }
            // Another key is a change in place as well.
            let others =
                [tunnel.changed]
                + (tunnel.changed.contains("key: 7") ? [tunnel.first.replacing("key: 7", with: "key: 8")] : [])
            for other in others {
                try exchange(host, config(tunnel.first), config(other)) { (_: Config) throws in
                    #expect(try host.link("t")?.mtu == 1333)
                }
            }
        }
    }
}
