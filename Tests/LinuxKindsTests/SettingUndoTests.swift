import Glibc
import LinuxKinds
import Reconciler
import TestSupport
import Testing

/// What the kernel tells nobody of comes back as well.
@Suite("an undo of settings", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct SettingUndoTests {
    /// Something that the kernel refuses.
    private let bad = "name: all, type: TAP, enabled: true"

    private let files = [
        "ipv4/conf/eth0/rp_filter", "ipv4/conf/eth0/promote_secondaries", "ipv4/conf/eth0/forwarding",
        "ipv4/neigh/eth0/base_reachable_time_ms", "ipv6/conf/eth0/mtu", "ipv6/conf/eth0/forwarding",
        "ipv6/conf/eth0/disable_ipv6", "ipv6/conf/eth0/accept_ra",
    ]

    private func settings(_ host: Sandbox, in namespace: String? = nil) throws -> [String] {
        try files.map { try "\($0) \(host.sysctl("net/\($0)", in: namespace))" }
    }

    private func expectUndone(_ agent: TestAgent, _ yaml: String) throws {
        let transaction = try agent.apply(yaml, revertOnFailure: true)
        #expect(transaction?.reverted == true)
        #expect(transaction?.revertErrors == [])
    }

    @Test("an existing interface has the settings that it had, whoever made them")
    func existing() throws {
        try Sandbox.run { host in
            try host.ip("link add eth0 type veth peer name eth1")
            for name in ["eth1", "eth0"] { try host.ip("link set \(name) up") }
            // With the carrier the kernel sets the MTU of IPv6.
            while !(try host.ip("link show eth0").contains("state UP")) { usleep(5000) }
            try host.command("sysctl -qw net.ipv4.conf.eth0.rp_filter=2 net.ipv6.conf.eth0.mtu=1400")
            try host.ip("addr add fd00::100/64 dev eth0 nodad")
            try host.ip("route add fd01::/64 via fd00::9 dev eth0 proto static")
            let before = (try settings(host), try host.ip("-6 addr show dev eth0 scope global"))
            let agent = try host.apply(linux("name: eth0, type: EXISTING, enabled: true"))
            let changed =
                "name: eth0, type: EXISTING, enabled: true, mtu: 1450, sysctls: {rp_filter: '1', ipv4.forwarding: '1', ipv6.forwarding: '1', promote_secondaries: '1', ipv4.base_reachable_time_ms: '40000', ipv6.mtu: '1300'}"
            try expectUndone(agent, linux(changed, bad))
            let first = try settings(host)
            #expect(first == before.0)
            let disabled = "name: eth0, type: EXISTING, enabled: true, sysctls: {disable_ipv6: '1', accept_ra: '0'}"
            let lost = try agent.apply(linux(disabled, bad), revertOnFailure: true)
            #expect(lost?.reverted == true && lost?.revertErrors == [])
            let second = try settings(host)
            #expect(second == before.0)
            #expect(try host.ip("-6 addr show dev eth0 scope global") == before.1)
            #expect(try host.ip("-6 route show fd01::/64").contains("via fd00::9"))
        }
    }

    @Test("a link that gets another name at the same time has its settings again")
    func renamed() throws {
        try Sandbox.run { host in
            func tap(_ name: String, _ filter: Int) -> String {
                "name: t, type: TAP, hostIfName: \(name), enabled: true, sysctls: {rp_filter: '\(filter)'}"
            }
            let agent = try host.apply(linux(tap("h1", 2)))
            try expectUndone(agent, linux(tap("h2", 1), bad))
            #expect(try host.sysctl("net/ipv4/conf/h1/rp_filter") == "2")
        }
    }

    @Test("what an address loses with IPv6 is told")
    func disabling() throws {
        try Sandbox.run { host in
            try host.ip("link add eth0 type veth peer name eth1")
            for name in ["eth1", "eth0"] { try host.ip("link set \(name) up") }
            try host.ip("addr add fd00::100/64 dev eth0 nodad")
            let agent = host.agent()
            let transaction = try agent.apply(
                linux("name: eth0, type: EXISTING, enabled: true, sysctls: {disable_ipv6: '1'}"))
            #expect(transaction?.losses == ["eth0 loses fd00::100/64"])
            #expect(agent.problems == [])
        }
    }

    @Test("forwarding of single interfaces comes back with that of their namespace", arguments: ["ipv4", "ipv6"])
    func forwarding(_ family: String) throws {
        try Sandbox.run { host in
            try host.addNamespaces("blue")
            for name in ["e0", "e1", "e2"] { try host.ip("link add \(name) type veth peer name \(name)p", in: "blue") }
            let file = family == "ipv4" ? "ip_forward" : "conf.all.forwarding"
            let all = "net.\(family).\(file)"
            for setting in ["e0.forwarding=1", "e2.forwarding=1", "default.forwarding=1", "all.accept_redirects=1"] {
                try host.command("sysctl -qw net.\(family).conf.\(setting)", in: "blue")
            }
            let names = ["e0", "e1", "e1p", "e2", "lo", "default", "all"].map { "\(family)/conf/\($0)/forwarding" }
            func picture() throws -> [String] {
                try (names + ["\(family)/conf/all/accept_redirects"]).map {
                    try "\($0) \(host.sysctl("net/\($0)", in: "blue"))"
                }
            }
            let before = try picture()
            func yaml(_ forward: Int?, _ more: String...) -> String {
                var config = Config()
                config.namespaces = ["name: blue" + (forward.map { ", sysctls: {\(all): '\($0)'}" } ?? "")]
                config.interfaces =
                    ["name: e2, type: EXISTING, enabled: true, sysctls: {\(family).forwarding: '1'}" + place("blue")]
                    + more
                return config.text
            }
            let agent = host.agent()
            try agent.apply(yaml(nil))
            try expectUndone(agent, yaml(1, bad))
            #expect(try picture() == before)
            // Another value, and one that was there before.
            try agent.apply(yaml(1))
            #expect(try picture().prefix(5).allSatisfy { $0.hasSuffix("1") })
            try host.command("sysctl -qw net.\(family).conf.e1.forwarding=0", in: "blue")
            let second = try picture()
            try expectUndone(agent, yaml(0, bad))
            #expect(try picture() == second)
        }
    }

    @Test("forwarding that is declared for an interface stays, and a plan says what else changes")
    func declaredForwarding() throws {
        try Sandbox.run { host in
            try host.addNamespaces("blue")
            for name in ["e0", "e1", "e2"] { try host.ip("link add \(name) type veth peer name \(name)p", in: "blue") }
            let interface =
                "name: e0, type: EXISTING, enabled: true, sysctls: {ipv4.forwarding: '0'}" + place("blue")
            let agent = try host.apply(linux(interface, namespaces: ["name: blue"]))
            let yaml = linux(interface, namespaces: ["name: blue, sysctls: {net.ipv4.ip_forward: '1'}"])
            let plan = try host.agent().plan(yaml)
            #expect(
                plan == [
                    "~ net.ipv4.ip_forward = 1 in blue: net.ipv4.ip_forward 0 → 1, ipv4.forwarding of e0p, e1, e1p and 3 more 0 → 1"
                ])
            try agent.apply(yaml)
            #expect(try host.sysctl("net/ipv4/conf/e0/forwarding", in: "blue") == "0")
            #expect(try host.sysctl("net/ipv4/conf/e1/forwarding", in: "blue") == "1")
            try host.expectInPlace(yaml, agent)
        }
    }

    @Test("a link that is made again has its settings and offloads", arguments: [nil, "x"] as [String?])
    func removal(_ namespace: String?) throws {
        try Sandbox.run { host in
            let ends = [
                veth(
                    "a", "b", in: namespace, host: "eth0",
                    "mtu: 9000, ipAddresses: [10.0.0.1/24], sysctls: {rp_filter: '2', ipv6.mtu: '1300', ipv4.base_reachable_time_ms: '40000'}"
                ).replacing("peerIfName: b", with: "peerIfName: b, txChecksumOffloading: CHKSM_OFFLOAD_DISABLED"),
                veth("b", "a"),
            ]
            let yaml = Config(interfaces: ends).text
            let agent = try host.apply(yaml)
            // Set by somebody else.
            try host.command("sysctl -qw net.ipv4.conf.eth0.promote_secondaries=1", in: namespace)
            let before = try settings(host, in: namespace)
            try expectUndone(agent, linux(bad))
            let after = try settings(host, in: namespace)
            #expect(after == before)
            #expect(try host.agent().plan(yaml) == [])
        }
    }
}
