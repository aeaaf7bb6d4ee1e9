import Model
import Testing

@testable import LinuxKinds

/// A tunnel: how it is made, what is changed in place, and what makes it anew.
struct TunnelCase: CustomTestStringConvertible, Sendable {
    let type: String
    /// What `ip -d link` says of the first: a field and its text.
    let data: [String: String]
    let first: String
    let changed: String
    let other: String

    var testDescription: String { type }

    private static func over4(_ type: String, key: String = "") -> TunnelCase {
        TunnelCase(
            type: type, data: ["local": "192.0.2.1", "remote": "192.0.2.2", "ttl": "9"],
            first: "tunnel: {local: 192.0.2.1, remote: 192.0.2.2, parent: p, ttl: 9\(key)}",
            changed: "tunnel: {local: 192.0.2.1, remote: 192.0.2.3, parent: p, ttl: 11, tos: 16\(key)}",
            other: "tunnel: {local: 192.0.2.1, parent: p}")
    }

    private static func over6(_ type: String, key: String = "") -> TunnelCase {
        TunnelCase(
            type: type, data: ["local": "fd00::1", "remote": "fd00::2", "ttl": "64"],
            first: "tunnel: {local: 'fd00::1', remote: 'fd00::2', parent: p\(key)}",
            changed:
                "tunnel: {local: 'fd00::1', remote: 'fd00::3', parent: p, ttl: 11, tos: 16, noEncapsulationLimit: true\(key)}",
            other: "tunnel: {external: true}")
    }

    static let all = [
        over4("GRE", key: ", key: 7"), over4("GRETAP"), over4("IPIP"), over4("SIT"),
        over6("IP6GRE"), over6("IP6GRETAP", key: ", key: 0"), over6("IP6TNL"),
        TunnelCase(
            type: "GENEVE", data: ["id": "5", "remote": "192.0.2.2", "ttl": "9"],
            first: "geneve: {vni: 5, remote: 192.0.2.2, ttl: 9}",
            changed: "geneve: {vni: 5, remote: 192.0.2.3, ttl: 11, tos: 16}", other: "geneve: {external: true}"),
    ]
}

@Suite("tunnels and MACVTAP", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct TunnelTests {
    private func yaml(_ type: String, _ block: String, _ namespace: String?) -> String {
        linux(
            "name: t, type: \(type), enabled: true, ipAddresses: ['fd77::1/64'], \(block)" + place(namespace),
            "name: p, type: VETH, enabled: true, ipAddresses: [192.0.2.1/24, 'fd00::1/64'], veth: {peerIfName: q}"
                + place(namespace), veth("q", "p", in: "y"))
    }

    @Test(
        "made, changed in place, made anew, exported and removed", .enabled(if: Kernel.hasTunnels, Kernel.reason),
        arguments: TunnelCase.all, [nil, "x"] as [String?])
    func life(_ tunnel: TunnelCase, _ namespace: String?) throws {
        try Sandbox.run { host in
            let first = yaml(tunnel.type, tunnel.first, namespace)
            let agent = try host.apply(first)
            let link = try #require(try host.link("t", in: namespace))
            #expect(link.kind == tunnel.type.lowercased() && link.isUp)
            for (field, value) in tunnel.data { #expect(link.data[field].map { "\($0)" } == value, "\(field)") }
            try host.expectInPlace(first, agent)
            let exported = YAMLWriter.write(
                ConfigDocument.tree(of: try host.agent().world.export(namespace: nil, all: false)))
            #expect(try host.agent().plan(exported) == [], "\(exported)")

            let changed = yaml(tunnel.type, tunnel.changed, namespace)
            try agent.change(to: changed)
            #expect(agent.problems == [])
            #expect(try host.link("t", in: namespace)?.index == link.index)
            try host.expectInPlace(changed, agent)

            let other = yaml(tunnel.type, tunnel.other, namespace)
            try agent.change(to: other)
            #expect(agent.problems == [])
            #expect(try host.link("t", in: namespace)?.index != link.index)
            // The kernel gives addresses of its own to tunnels without another end.
            #expect(try host.addresses("t", in: namespace).contains("fd77::1/64"))
            try host.expectInPlace(other, agent)

            try agent.change(to: linux(veth("p", "q", in: namespace), veth("q", "p", in: "y")))
            #expect(try host.link("t", in: namespace) == nil)
        }
    }

    @Test("packets go through", .enabled(if: Kernel.hasTunnels, Kernel.reason), arguments: ["GRE", "IPIP", "GENEVE"])
    func traffic(_ type: String) throws {
        try Sandbox.run { host in
            func block(_ mine: Int, _ other: Int) -> String {
                type == "GENEVE"
                    ? "geneve: {vni: 5, remote: 192.0.2.\(other)}"
                    : "tunnel: {local: 192.0.2.\(mine), remote: 192.0.2.\(other)}"
            }
            try host.apply(
                linux(
                    veth("p", "q", "ipAddresses: [192.0.2.1/24]"),
                    veth("q", "p", in: "y", "ipAddresses: [192.0.2.2/24]"),
                    "name: s, type: \(type), enabled: true, ipAddresses: [10.7.0.1/24], \(block(1, 2))",
                    "name: t, type: \(type), enabled: true, ipAddresses: [10.7.0.2/24], \(block(2, 1))" + place("y")))
            try host.command("ping -c 1 -W 5 10.7.0.2")
        }
    }

    @Test(
        "a MACVTAP has its device", .enabled(if: Kernel.hasMACVTAP, Kernel.reason), arguments: [nil, "x"] as [String?])
    func macvtap(_ namespace: String?) throws {
        try Sandbox.run { host in
            func yaml(_ mode: String) -> String {
                linux(
                    "name: t, type: MACVTAP, enabled: true, physAddress: '02:00:00:00:00:21', macvtap: {parent: p, mode: \(mode)}"
                        + place(namespace), veth("p", "q"), veth("q", "p", in: "y"))
            }
            let agent = try host.apply(yaml("VEPA"))
            let link = try #require(try host.link("t", in: namespace))
            #expect(link.kind == "macvtap" && link.data["mode"] as? String == "vepa")
            try host.expectInPlace(yaml("VEPA"), agent)
            try agent.change(to: yaml("PRIVATE"))
            #expect(try host.link("t", in: namespace)?.index == link.index)
            try agent.change(to: yaml("PASSTHRU"))
            #expect(agent.problems == [])
            #expect(try host.link("t", in: namespace)?.data["mode"] as? String == "passthru")
            try host.expectInPlace(yaml("PASSTHRU"), agent)
        }
    }
}
