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
