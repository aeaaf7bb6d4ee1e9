import Foundation
import Testing

@testable import LinuxKinds

@Suite("forwarding entries", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct ForwardingTests {
    private static let below = [veth("p", "q", "ipAddresses: [192.0.2.1/24]"), veth("q", "p", in: "y")]

    private func vxlan(_ block: String, _ fdb: String..., namespace: String? = nil) -> String {
        Config(
            interfaces: Self.below + [
                "name: v, type: VXLAN, enabled: true, vxlan: {vni: 7, \(block)}" + place(namespace)
            ],
            fdb: fdb
        ).text
    }

    /// Where a VXLAN sends what, as bridge(8) tells it, but for the flag that is our mark.
    private func entries(_ host: Sandbox, _ device: String = "v", in namespace: String? = nil) throws -> [String] {
        try host.command("bridge fdb show dev \(device)", in: namespace).split(separator: "\n")
            .map { line in
                line.replacing(" sticky", with: "").replacing(#/ (via|link-netnsid) \S+/#, with: "")
                    .trimmingCharacters(in: .whitespaces)
            }
            .filter { $0.hasPrefix("00:") || $0.hasPrefix("02:00:00") || $0.hasPrefix("01:00:5e:7") }.sorted()
    }

    private static let zero = "00:00:00:00:00:00"

    @Test("a VXLAN has several other ends, which come and go alone", arguments: [nil, "x"] as [String?])
    func remotes(_ namespace: String?) throws {
        try Sandbox.run { host in
            let agent = host.agent()
            var index: Int?
            for ends in [[2, 3], [2, 3, 4], [4], [5, 6]] {
                let list = ends.map { "192.0.2.\($0)" }.joined(separator: ", ")
                let yaml = vxlan("local: 192.0.2.1, parent: p, remotes: [\(list)]", namespace: namespace)
                try agent.change(to: yaml)
                #expect(agent.problems == [])
                let expected = ends.map { "\(Self.zero) dst 192.0.2.\($0) self permanent" }
                #expect(try entries(host, in: namespace) == expected)
                let link = try host.link("v", in: namespace)?.index
                #expect(index == nil || index == link, "the VXLAN stays")
                index = link
                try host.expectInPlace(yaml, agent)
            }
            try agent.change(to: vxlan("remote: 192.0.2.9", namespace: namespace))
            #expect(agent.problems == [])
            #expect(try entries(host, in: namespace) == ["\(Self.zero) dst 192.0.2.9 self permanent"])
        }
    }

    @Test("entries of MAC addresses, with all that they can have, move in one request")
    func entriesOfVXLAN() throws {
        try Sandbox.run { host in
            func yaml(_ end: String) -> String {
                vxlan(
                    "local: 192.0.2.1, port: 8472", "mac: '02:00:00:00:00:05', interface: v, dst: \(end)",
                    "mac: '\(Self.zero)', interface: v, dst: 192.0.2.7, vni: 9, port: 4790",
                    "mac: '01:00:5e:70:00:01', interface: v, dst: 192.0.2.2",
                    "mac: '01:00:5e:70:00:01', interface: v, dst: 192.0.2.3",
                    // What the VXLAN has anyway is not told by the kernel.
                    "mac: '02:00:00:00:00:06', interface: v, dst: 192.0.2.8, vni: 7, port: 8472")
            }
            let agent = try host.apply(yaml("192.0.2.2"))
            func expected(_ end: String) -> [String] {
                [
                    "\(Self.zero) dst 192.0.2.7 port 4790 vni 9 self permanent",
                    "01:00:5e:70:00:01 dst 192.0.2.2 self permanent",
                    "01:00:5e:70:00:01 dst 192.0.2.3 self permanent", "02:00:00:00:00:05 dst \(end) self permanent",
                    "02:00:00:00:00:06 dst 192.0.2.8 self permanent",
                ]
            }
            #expect(try entries(host) == expected("192.0.2.2"))
            let before = agent.world.modifyingRequests
            try agent.change(to: yaml("192.0.2.3"))
            #expect(agent.world.modifyingRequests == before + 1)
            #expect(try entries(host) == expected("192.0.2.3"))
            try host.expectInPlace(yaml("192.0.2.3"), agent)
            try agent.change(to: vxlan("local: 192.0.2.1, port: 8472"))
            #expect(try entries(host) == [])
        }
    }

    @Test("what others have on a VXLAN of ours stays: learned, of routing daemons, and plain")
    func others() throws {
        try Sandbox.run { host in
            let yaml = vxlan(
                "local: 192.0.2.1, remotes: [192.0.2.2]", "mac: '02:00:00:00:00:05', interface: v, dst: 192.0.2.2")
            let agent = try host.apply(yaml)
            for entry in [
                "02:00:00:00:00:0a dev v dst 192.0.2.4", "02:00:00:00:00:0b dev v dst 192.0.2.4 extern_learn sticky",
                "02:00:00:00:00:0c dev v dst 192.0.2.4 extern_learn", "02:00:00:00:00:0d dev v dst 192.0.2.4 dynamic",
            ] { try host.command("bridge fdb add \(entry)") }
            let all = try entries(host)
            #expect(all.count == 6)
            try host.expectInPlace(yaml, agent)
            try host.agent().apply(yaml)
            #expect(try entries(host) == all)
            try host.agent().apply(vxlan("local: 192.0.2.1"))
            #expect(try entries(host).count == 4)
        }
    }

    @Test("a bridge's entry waits for its port, and stays where it is declared")
    func bridge() throws {
        try Sandbox.run { host in
            func yaml(_ ports: String, _ port: String) -> String {
                Config(
                    interfaces: [
                        "name: br, type: BRIDGE, enabled: true, bridge: {ports: [\(ports)]}", veth("p", "pp"),
                        veth("pp", "p", in: "x"), veth("q", "qq"), veth("qq", "q", in: "x"),
                    ], fdb: ["mac: '02:00:00:00:00:05', interface: \(port)"]
                ).text
            }
            let agent = host.agent()
            try agent.change(to: yaml("q", "p"))
            #expect(agent.problems.count == 1 && agent.problems[0].contains("port-of-bridge: p"), "\(agent.problems)")
            try agent.change(to: yaml("p, q", "p"))
            #expect(agent.problems == [])
            #expect(try host.command("bridge fdb show dev p").contains("02:00:00:00:00:05 sticky master br static"))
            try host.expectInPlace(yaml("p, q", "p"), agent)
            try agent.change(to: yaml("p, q", "q"))
            #expect(agent.problems == [])
            #expect(try host.command("bridge fdb show dev q").contains("02:00:00:00:00:05 sticky master br static"))
            #expect(try !host.command("bridge fdb show dev p").contains("02:00:00:00:00:05"))
            try host.expectInPlace(yaml("p, q", "q"), agent)
        }
    }

    @Test("a bridge has an entry once: another program moves it, and two values for it are told apart")
    func once() throws {
        try Sandbox.run { host in
            func yaml(_ ports: String...) -> String {
                Config(
                    interfaces: [
                        "name: br, type: BRIDGE, enabled: true, bridge: {ports: [p, q]}", veth("p", "pp"),
                        veth("pp", "p", in: "x"), veth("q", "qq"), veth("qq", "q", in: "x"),
                    ], fdb: ports.map { "mac: '02:00:00:00:00:05', interface: \($0)" }
                ).text
            }
            let agent = try host.apply(yaml("p"))
            try agent.watch()
            try host.command("bridge fdb replace 02:00:00:00:00:05 dev q master static")
            #expect(
                try agent.settle { try host.command("bridge fdb show dev p").contains("02:00:00:00:00:05 sticky") })
            try agent.quiesce()
            try agent.change(to: yaml("p", "q"))
            #expect(agent.problems.count == 1 && agent.problems[0].contains("PENDING place-in-bridge"))
            try agent.change(to: yaml("q"))
            #expect(
                try agent.settle { try host.command("bridge fdb show dev q").contains("02:00:00:00:00:05 sticky") })
            #expect(agent.problems == [])
            try agent.quiesce()
            try host.expectInPlace(yaml("q"), agent)
        }
    }

    @Test(
        "an entry of somebody else is not taken over without a word, and comes back when that is undone",
        arguments: [true, false])
    func stranger(isOfBridge: Bool) throws {
        try Sandbox.run { host in
            let links =
                isOfBridge
                ? [
                    "name: br, type: BRIDGE, enabled: true, bridge: {ports: [p, s]}", veth("s", "t"),
                    veth("t", "s", in: "y"),
                ]
                : ["name: v, type: VXLAN, enabled: true, vxlan: {vni: 7, local: 192.0.2.1}"]
            func yaml(_ fdb: String..., broken: Bool = false) -> String {
                let more = broken ? ["name: default, type: BRIDGE"] : []
                return Config(interfaces: Self.below + links + more, fdb: fdb).text
            }
            let mac = "02:00:00:00:00:05"
            let command = isOfBridge ? "add \(mac) dev s master static" : "add \(mac) dev v dst 192.0.2.9"
            let agent = try host.apply(yaml())
            try host.command("bridge fdb \(command)")
            let show = "bridge fdb show \(isOfBridge ? "br br" : "dev v")"
            // Multicast groups come and go.
            func shown() throws -> [Substring] {
                try host.command(show).split(separator: "\n").filter { $0.hasPrefix(mac) }
            }
            let before = try shown()
            let wanted = "mac: '\(mac)', interface: " + (isOfBridge ? "p" : "v, dst: 192.0.2.2")
            let plan = try host.agent().plan(yaml(wanted))
            #expect(plan.count == 1 && plan[0].contains("somebody else"), "\(plan)")
            #expect(plan.first?.contains(isOfBridge ? "dev s → p" : "dst 192.0.2.9 → 192.0.2.2") == true, "\(plan)")
            let transaction = try agent.apply(yaml(wanted, broken: true), tolerant: true, revertOnFailure: true)
            #expect(transaction?.reverted == true && transaction?.revertErrors ?? [] == [])
            let after = try shown()
            #expect(after == before)
            try agent.change(to: yaml(wanted))
            #expect(agent.problems == [])
            #expect(try host.command(show).contains(isOfBridge ? "\(mac) dev p sticky" : "dst 192.0.2.2"))
            try host.expectInPlace(yaml(wanted), agent)
            try agent.change(to: yaml())
            #expect(try !host.command(show).contains(mac))
        }
    }

    @Test("what a VXLAN sends to its own remote is not taken for ours")
    func ownRemote() throws {
        try Sandbox.run { host in
            let yaml = vxlan("local: 192.0.2.1, remote: 192.0.2.9", "mac: '\(Self.zero)', interface: v, dst: 192.0.2.7")
            let agent = host.agent()
            try agent.change(to: yaml)
            #expect(agent.problems.count == 1 && agent.problems[0].contains("name all of them in its 'remotes'"))
            try host.command("bridge fdb append \(Self.zero) dev v dst 192.0.2.8 sticky")
            try host.agent().apply(vxlan("local: 192.0.2.1, remote: 192.0.2.9"))
            #expect(try entries(host).contains { $0.hasPrefix("\(Self.zero) dst 192.0.2.9") })
        }
    }

    @Test("frames reach every other end")
    func traffic() throws {
        try Sandbox.run { host in
            let ends = (2...3).flatMap { number in
                [
                    veth("p\(number)", "e\(number)"),
                    veth("e\(number)", "p\(number)", in: "e\(number)", "ipAddresses: [192.0.2.\(number)/24]"),
                    "name: v\(number), type: VXLAN, enabled: true, hostIfName: v, ipAddresses: [10.7.0.\(number)/24], vxlan: {vni: 7, local: 192.0.2.\(number), remotes: [192.0.2.1]}"
                        + place("e\(number)"),
                ]
            }
            try host.apply(
                Config(
                    interfaces: ends + [
                        "name: under, type: BRIDGE, enabled: true, ipAddresses: [192.0.2.1/24], bridge: {ports: [p2, p3]}",
                        "name: v, type: VXLAN, enabled: true, ipAddresses: [10.7.0.1/24], vxlan: {vni: 7, local: 192.0.2.1, remotes: [192.0.2.2, 192.0.2.3]}",
                    ]
                ).text)
            try host.command("ping -c 1 -W 5 10.7.0.2")
            try host.command("ping -c 1 -W 5 10.7.0.3")
        }
    }
}
