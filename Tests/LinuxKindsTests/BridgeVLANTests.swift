import Foundation
import Testing

@testable import LinuxKinds

@Suite(
    "VLANs of bridges", .enabled(if: Sandbox.isAvailable, Sandbox.reason),
    .enabled(
        if: Kernel.filtersVLANs,
        "this kernel has no vlan_filtering; scripts/test --kernels runs these tests with one that has"))
struct BridgeVLANTests {
    private func yaml(_ bridge: String = "", fdb: String..., more: [String] = []) -> String {
        Config(
            interfaces: [
                "name: br, type: BRIDGE, enabled: true, bridge: {ports: [p, q], vlanFiltering: true\(bridge.isEmpty ? "" : ", " + bridge)}",
                veth("p", "pp"), veth("pp", "p", in: "x", "ipAddresses: [10.0.0.1/24]"), veth("q", "qq"),
                veth("qq", "q", in: "z", "ipAddresses: [10.0.0.2/24]"),
            ] + more, fdb: fdb
        ).text
    }

    /// What `bridge vlan` says of a port: `1 PVID Egress Untagged`.
    private func vlans(_ name: String, _ host: Sandbox) throws -> [String] {
        let all = try JSONSerialization.jsonObject(with: Data(host.command("bridge -compressvlans -j vlan show").utf8))
        let port = (all as? [[String: Any]])?.first { $0["ifname"] as? String == name }
        return (port?["vlans"] as? [[String: Any]] ?? []).map { vlan in
            let numbers = [vlan["vlan"], vlan["vlanEnd"]].compactMap { ($0 as? Int).map(String.init) }
            return ([numbers.joined(separator: "-")] + (vlan["flags"] as? [String] ?? [])).joined(separator: " ")
        }
    }

    private static let normal = ["1 PVID Egress Untagged"]

    @Test("ports and the bridge have those that are declared, and go back to the kernel's")
    func life() throws {
        try Sandbox.run { host in
            let agent = try host.apply(yaml())
            for name in ["br", "p", "q"] { #expect(try vlans(name, host) == Self.normal) }
            let access = yaml(
                "vlans: [{vid: 10}, {vid: 20, last: 29}], portSettings: [{interface: p, vlans: [{vid: 10, pvid: true, untagged: true}]}, {interface: q, vlans: [{vid: 20, last: 29}, {vid: 10}, {vid: 5, untagged: true}]}]"
            )
            try agent.change(to: access)
            #expect(agent.problems == [])
            #expect(try vlans("br", host) == ["10", "20-29"])
            #expect(try vlans("p", host) == ["10 PVID Egress Untagged"])
            #expect(try vlans("q", host) == ["5 Egress Untagged", "10", "20-29"])
            try host.expectInPlace(access, agent)
            // Only the flag of one differs, and the one of untagged frames is another.
            let trunk = yaml(
                "vlans: [{vid: 10}, {vid: 20, last: 29}], portSettings: [{interface: p, vlans: [{vid: 10}]}, {interface: q, vlans: [{vid: 20, last: 29}, {vid: 10, pvid: true}, {vid: 5}]}]"
            )
            let before = agent.world.modifyingRequests
            try agent.change(to: trunk)
            #expect(agent.world.modifyingRequests == before + 2)
            #expect(try vlans("p", host) == ["10"])
            #expect(try vlans("q", host) == ["5", "10 PVID", "20-29"])
            try host.expectInPlace(trunk, agent)
            let normal = yaml("vlans: [{vid: 1, pvid: true, untagged: true}]")
            try agent.change(to: normal)
            for name in ["br", "p", "q"] { #expect(try vlans(name, host) == Self.normal) }
            try host.expectInPlace(normal, agent)
            // Without any declaration they are the business of others.
            try agent.change(to: yaml())
            try host.command("bridge vlan add dev q vid 99")
            try host.expectInPlace(yaml(), agent)
            #expect(try vlans("q", host) == Self.normal + ["99"])
        }
    }

    @Test("a port that joins, or is made anew, gets its own; a bridge that learns to tell them apart, too")
    func joins() throws {
        try Sandbox.run { host in
            let tagged = yaml("portSettings: [{interface: p, vlans: [{vid: 7}]}]")
            let plain = tagged.replacing("vlanFiltering: true", with: "vlanFiltering: false")
                .replacing(", portSettings: [{interface: p, vlans: [{vid: 7}]}]", with: "")
            let agent = try host.apply(plain)
            // What nobody looks at is not looked at here, until it counts.
            try host.command("bridge vlan add dev q vid 99")
            try host.expectInPlace(plain, agent)
            try agent.change(to: tagged)
            #expect(agent.problems == [])
            #expect(try vlans("p", host) == ["7"] && vlans("q", host) == Self.normal)
            try host.expectInPlace(tagged, agent)
            try agent.watch()
            for command in ["ip link set p nomaster", "ip link del p", "ip link del dev br"] {
                try host.command(command)
                #expect(try agent.settle(seconds: 20) { try vlans("p", host) == ["7"] }, "\(command)")
                try agent.quiesce()
                try host.expectInPlace(tagged, agent)
            }
        }
    }

    @Test("what bridge(8) changes is put back at once")
    func drift() throws {
        try Sandbox.run { host in
            let yaml = yaml(
                "vlans: [{vid: 3}], portSettings: [{interface: p, vlans: [{vid: 7, pvid: true}, {vid: 9}]}]")
            let agent = try host.apply(yaml)
            try agent.watch()
            for command in [
                "bridge vlan del dev p vid 7", "bridge vlan add dev p vid 9 pvid",
                "bridge vlan add dev p vid 9 untagged",
                "bridge vlan add dev q vid 100-200", "bridge vlan del dev br vid 3 self",
                "bridge vlan add dev br vid 4 self",
            ] {
                try host.command(command)
                #expect(
                    try agent.settle(seconds: 20) {
                        try vlans("p", host) == ["7 PVID", "9"] && vlans("q", host) == Self.normal
                            && vlans("br", host) == ["3"]
                    }, "\(command)")
            }
            try agent.quiesce()
            try host.expectInPlace(yaml, agent)
        }
    }

    @Test("frames pass between ports of one VLAN, and not between others")
    func traffic() throws {
        try Sandbox.run { host in
            func settings(_ p: Int, _ q: Int) -> String {
                let ports = [("p", p), ("q", q)].map {
                    "{interface: \($0.0), vlans: [{vid: \($0.1), pvid: true, untagged: true}]}"
                }
                return yaml("portSettings: [\(ports.joined(separator: ", "))]")
            }
            let agent = try host.apply(settings(10, 10))
            try host.command("ping -c 1 -W 10 10.0.0.2", in: "x")
            try agent.change(to: settings(10, 11))
            #expect(throws: (any Error).self) { try host.command("ping -c 1 -W 1 10.0.0.2", in: "x") }
        }
    }

    @Test("a forwarding entry of a VLAN is for that alone, and an export finds all in place")
    func forwarding() throws {
        try Sandbox.run { host in
            let yaml = yaml(
                "vlans: [{vid: 1}], portSettings: [{interface: p, vlans: [{vid: 10}, {vid: 11}]}]",
                fdb: "mac: '02:00:00:00:00:05', interface: p, vlan: 10", "mac: '02:00:00:00:00:06', interface: p")
            let agent = try host.apply(yaml)
            let shown = try host.command("bridge fdb show dev p")
            #expect(shown.contains("02:00:00:00:00:05 vlan 10 sticky master br static"))
            #expect(!shown.contains("02:00:00:00:00:05 vlan 11") && shown.contains("02:00:00:00:00:06"))
            try agent.watch()
            try host.command("bridge fdb replace 02:00:00:00:00:05 dev p vlan 10 master static")
            #expect(
                try agent.settle(seconds: 20) {
                    try host.command("bridge fdb show dev p").contains("02:00:00:00:00:05 vlan 10 sticky")
                })
            try agent.quiesce()
            try host.expectInPlace(yaml, agent)
        }
    }
}
