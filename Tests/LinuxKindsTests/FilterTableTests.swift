import Foundation
import Netlink
import TestSupport
import Testing

@testable import LinuxKinds

/// A configuration of tables, each as the lines of an item.
func tables(_ items: String..., namespaces: [String] = []) -> String {
    func block(_ item: String) -> String {
        "    - " + item.split(separator: "\n", omittingEmptySubsequences: false).joined(separator: "\n      ") + "\n"
    }
    let names = namespaces.isEmpty ? "" : "  namespaces:\n" + namespaces.map { "    - name: \($0)\n" }.joined()
    if items.isEmpty { return "linuxConfig:\n" + (names.isEmpty ? "  interfaces: []\n" : names) }
    return "linuxConfig:\n" + names + "  nftables:\n" + items.map(block).joined()
}

func table(_ name: String, in namespace: String? = nil, _ more: String = "", ruleset: String = "") -> String {
    var text = "name: \(name)"
    if let namespace { text += "\nnamespace: {type: NSID, reference: \(namespace)}" }
    if !more.isEmpty { text += "\n" + more }
    if !ruleset.isEmpty {
        text += "\nruleset: |\n" + ruleset.split(separator: "\n").map { "  \($0)" }.joined(separator: "\n")
    }
    return text
}

extension Sandbox {
    func nft(_ arguments: String, in namespace: String? = nil) throws -> String {
        try command("nft " + arguments, in: namespace)
    }

    func ruleset(in namespace: String? = nil) throws -> String { try nft("-s list ruleset", in: namespace) }

    /// Loads a text as somebody else would.
    func load(_ text: String, in namespace: String? = nil) throws {
        let file = "\(directory)-rules"
        try text.write(toFile: file, atomically: true, encoding: .utf8)
        defer { unlink(file) }
        _ = try nft("-f \(file)", in: namespace)
    }
}

@Suite("tables of nf_tables", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct FilterTableTests {
    static let filter = """
        set blocked { type ipv4_addr; flags interval; elements = { 192.0.2.0/24, 198.51.100.1 }; }
        chain in { # a comment
        type filter hook input priority 0; policy accept
        ip saddr @blocked counter drop
        tcp dport { 22, 80 } accept comment "a } in quotes"
        }
        """
    static let foreign = """
        table inet theirs {
        	comment "hands off"
        	chain c { type filter hook input priority 5; counter; }
        }
        table ip nat { chain post { type nat hook postrouting priority 100; masquerade; }; }

        """

    @Test("a table comes, stays, changes and goes; others stay byte for byte")
    func life() throws {
        try Sandbox.run { host in
            try host.addNamespaces("p1")
            for place in [nil, "p1"] { try host.load(Self.foreign, in: place) }
            let theirs = try host.nft("list ruleset")
            let config = tables(
                table("a", ruleset: Self.filter), table("b", in: "p1", "family: ip", ruleset: Self.filter))
            let agent = try host.apply(config)
            #expect(try host.nft("list table inet a").contains("ip saddr @blocked counter packets 0 bytes 0 drop"))
            #expect(try host.nft("list table ip b", in: "p1").contains("comment \"/vnf-agent/\(host.label)/b\""))
            try agent.apply(
                tables(
                    table("a", ruleset: Self.filter.replacing("{ 22, 80 }", with: "{ 22, 443 }")),
                    table("b", in: "p1", "family: ip6", ruleset: "chain x { accept; }")))
            #expect(agent.problems == [])
            #expect(try host.nft("list table inet a").contains("443"))
            #expect(try host.ruleset(in: "p1").contains("table ip6 b {"))
            #expect(try !host.ruleset(in: "p1").contains("table ip b {"))
            try host.agent().apply(tables())
            for place in [nil, "p1"] { #expect(try host.nft("list ruleset", in: place) == theirs) }
        }
    }

    @Test("masquerade and forward in one line each")
    func translation() throws {
        try Sandbox.run { host in
            let config = tables(
                table(
                    "nat",
                    """
                    masquerade: [{out: eth0, from: 10.0.0.0/8}, {out: eth1}]
                    forward:
                    - {in: eth0, protocol: tcp, port: 8080, to: 10.0.0.2:80}
                    - {port: 53, protocol: udp, to: "[fd00::2]:5353"}
                    - {port: 22, to: 10.0.0.3, address: 192.0.2.1}
                    """),
                table("four", "family: ip\nmasquerade: [{from: 10.1.0.0/16}]\nforward: [{port: 1, to: 10.0.0.2}]"))
            try host.apply(config)
            let text = try host.ruleset()
            for rule in [
                "oifname \"eth0\" ip saddr 10.0.0.0/8 masquerade", "oifname \"eth1\" masquerade",
                "iifname \"eth0\" meta nfproto ipv4 tcp dport 8080 dnat ip to 10.0.0.2:80",
                "udp dport 53 dnat ip6 to [fd00::2]:5353", "ip daddr 192.0.2.1 tcp dport 22 dnat ip to 10.0.0.3",
                "ip saddr 10.1.0.0/16 masquerade", "tcp dport 1 dnat to 10.0.0.2",
            ] { #expect(text.contains(rule + "\n"), "\(rule)") }
        }
    }

    @Test("a plan shows the lines that differ, and does nothing")
    func plan() throws {
        try Sandbox.run { host in
            try host.apply(tables(table("a", ruleset: Self.filter)))
            let before = try host.nft("-a list ruleset")
            let steps = try host.agent().plan(
                tables(table("a", ruleset: Self.filter.replacing("counter drop", with: "reject"))))
            let step = try #require(steps.first)
            #expect(steps.count == 1)
            #expect(step.contains("- ip saddr @blocked counter drop"))
            #expect(step.contains("+ ip saddr @blocked reject"))
            #expect(!step.contains("tcp dport"))
            #expect(try host.nft("-a list ruleset") == before)
        }
    }

    @Test("what others change is put right: a rule, all of it, the table")
    func drift() throws {
        try Sandbox.run { host in
            try host.addNamespaces("p1")
            try host.load(Self.foreign, in: "p1")
            let agent = try host.apply(tables(table("a", in: "p1", ruleset: Self.filter)))
            try agent.watch()
            let wanted = try host.ruleset(in: "p1")
            for change in [
                "add rule inet a in drop", "flush chain inet a in", "flush table inet a", "delete table inet a",
                "add element inet a blocked { 203.0.113.9 }", "add chain inet a other",
            ] {
                _ = try host.nft(change, in: "p1")
                #expect(try host.ruleset(in: "p1") != wanted, "\(change)")
                #expect(try agent.settle { try host.ruleset(in: "p1") == wanted }, "\(change)")
            }
            // As a firewall does that is loaded anew.
            for _ in 0..<3 {
                try host.load("flush ruleset\n" + Self.foreign, in: "p1")
                #expect(try agent.settle { try host.ruleset(in: "p1") == wanted })
            }
            #expect(agent.problems == [])
            // Nothing is left to do, and nothing that was done is mistaken for somebody else's.
            try agent.quiesce()
            let runs = agent.world.programs.runs
            #expect(try agent.quiesce() == [])
            #expect(agent.world.programs.runs == runs)
        }
    }

    @Test("changes of others' tables cost nothing")
    func unconcerned() throws {
        try Sandbox.run { host in
            try host.load(Self.foreign)
            let agent = try host.apply(tables(table("a", ruleset: Self.filter)))
            try agent.watch()
            try agent.quiesce()
            let runs = agent.world.programs.runs
            _ = try host.nft("add rule inet theirs c accept")
            _ = try host.nft("add table ip new")
            #expect(try agent.quiesce() == [])
            #expect(agent.world.programs.runs == runs)
        }
    }

    @Test("elements of dynamic sets are not ours, and outlive what changes nothing")
    func dynamic() throws {
        try Sandbox.run { host in
            let rules = """
                set seen { type ipv4_addr; flags dynamic,timeout; timeout 1h; }
                chain in { type filter hook input priority 0; update @seen { ip saddr }; }
                """
            let config = tables(table("a", ruleset: rules))
            let agent = try host.apply(config)
            try agent.watch()
            _ = try host.nft("add element inet a seen { 192.0.2.7 }")
            try agent.quiesce()
            try host.expectInPlace(config, agent)
            #expect(try host.ruleset().contains("192.0.2.7"))
        }
    }

    @Test("a table that is there and not ours is left alone")
    func occupied() throws {
        try Sandbox.run { host in
            try host.load("table inet a { chain c { accept; }; }\n")
            let before = try host.nft("-a list ruleset")
            let agent = host.agent()
            let config = tables(table("a", ruleset: Self.filter), table("b", ruleset: Self.filter))
            try agent.apply(config)
            #expect(agent.problems.count == 1)
            #expect(agent.problems.first?.contains("is there already and is not ours") == true)
            #expect(try host.nft("-a list ruleset").hasPrefix(before))
            _ = try host.nft("delete table inet a")
            agent.reconciler.forgetFailures()
            try agent.apply(config)
            #expect(agent.problems == [])
        }
    }

    @Test("a rule that nft refuses is that value's error, in nft's words, with its place")
    func refused() throws {
        try Sandbox.run { host in
            let agent = host.agent()
            try agent.apply(
                tables(table("a", ruleset: "chain c {\n  tcp dport nonsense drop\n}"), table("b", ruleset: Self.filter))
            )
            #expect(agent.problems.count == 1)
            // Two lines of the file come before the item, which has two before its text.
            #expect(
                agent.problems.first?.contains("test.yaml:6:21: nft says: line 2, column 13: ") == true,
                "\(agent.problems)")
            #expect(try host.ruleset().contains("table inet b {"))
        }
    }

    @Test("links that the kernel knows by number are waited for")
    func devices() throws {
        try Sandbox.run { host in
            let rules = """
                chain a { type filter hook ingress device "eth7" priority 0; accept; }
                chain b { iif { "eth7", "eth8" } accept; iif "lo" accept; oif eth7 drop; }
                """
            let agent = host.agent()
            try agent.apply(tables(table("a", "family: netdev", ruleset: rules)))
            #expect(agent.problems.first?.contains("eth7 is not there") == true, "\(agent.problems)")
            try agent.watch()
            try host.ip("link add eth7 type bridge")
            try host.ip("link add eth8 type bridge")
            #expect(try agent.settle { agent.problems == [] }, "\(agent.problems)")
            try host.ip("link del eth7")
            #expect(try agent.settle { agent.problems != [] })
            try host.ip("link add eth7 type bridge")
            #expect(try agent.settle { agent.problems == [] }, "\(agent.problems)")
            try host.expectInPlace(tables(table("a", "family: netdev", ruleset: rules)), agent)
        }
    }

    @Test("what fails takes back tables, too")
    func revert() throws {
        try Sandbox.run { host in
            let agent = try host.apply(tables(table("a", ruleset: Self.filter), table("c", ruleset: "chain x { }")))
            let before = try host.ruleset()
            try host.ip("link add taken type bridge")
            let failing =
                "  interfaces: [{name: taken, type: VETH, enabled: true, veth: {peerIfName: f}},"
                + " {name: f, type: VETH, enabled: true, veth: {peerIfName: taken}}]\n"
            let config =
                tables(table("a", ruleset: "chain new { accept; }"), table("b", ruleset: Self.filter)) + failing
            let transaction = try agent.apply(config, revertOnFailure: true)
            #expect(
                transaction?.entries.contains { $0.line.contains("create config/nsmagent/linux/v1/nftables/b") } == true
            )
            #expect(Set(try host.ruleset().split(separator: "\n")) == Set(before.split(separator: "\n")))
        }
    }

    @Test("a namespace that is made for a table, and one that comes back")
    func namespaces() throws {
        try Sandbox.run { host in
            let config = tables(table("a", in: "p1", ruleset: Self.filter), namespaces: ["p1"])
            let agent = try host.apply(config)
            try agent.watch()
            let wanted = try host.ruleset(in: "p1")
            try host.removeNamespace("p1")
            #expect(try agent.settle { (try? host.ruleset(in: "p1")) == wanted })
            try host.agent().apply(tables())
            #expect(host.namespaces == [])
        }
    }

    @Test("unchanged tables cost no program; equal ones are learned once")
    func cost() throws {
        try Sandbox.run { host in
            let names = (1...20).map { "p\($0)" }
            let items = names.map { table("nat-\($0)", in: $0, "table: nat\nmasquerade: [{out: eth0}]") }
            let list = items.map { "    - " + $0.replacing("\n", with: "\n      ") + "\n" }.joined()
            let config =
                "linuxConfig:\n  namespaces: [" + names.map { "{name: \($0)}" }.joined(separator: ", ")
                + "]\n  nftables:\n" + list
            let agent = try host.apply(config)
            // Two for the text, one to load each table and one to read it afterwards; nothing for what is unchanged.
            #expect(agent.world.programs.runs == 42)
            try agent.apply(config)
            #expect(agent.world.programs.runs == 42)
            // What is declared under another name is the same table with another mark.
            try agent.apply(config.replacing("nat-p7", with: "other"))
            #expect(agent.problems == [])
            #expect(agent.world.programs.runs == 43)
            #expect(try host.ruleset(in: "p7").contains("/other\""))
            #expect(try host.ruleset(in: "p7").contains("masquerade"))
        }
    }

    @Test("what got past every check still makes exactly one table, reads no file and stays in the scratch namespace")
    func scratch() throws {
        try Sandbox.run { host in
            try host.load(Self.foreign)
            let before = try host.nft("-a list ruleset")
            func learn(_ inside: String) throws -> TableText {
                try TableTexts().text(of: inside + "\n", family: .inet, devices: [], Programs())
            }
            for inside in [
                "}\ntable ip other {", "}\nflush ruleset\ntable inet t {\n}\ntable inet u {",
                "}\ndelete table inet t\n{",
                "}\ntable inet t { flags dormant; }\nadd table ip x\ntable inet t {", "include \"/etc/shadow\"",
                "include \"/etc/hostname\"", "}\ninclude \"/etc/passwd\"\ntable inet t {", "flags owner;",
            ] {
                let error = #expect(throws: ProgramError.self, "\(inside)") { _ = try learn(inside) }
                #expect(error.map { !"\($0)".contains("root:") } == true)
            }
            #expect(try learn("chain c { accept; }").lines.count == 3)
            #expect(try host.nft("-a list ruleset") == before)
        }
    }

    @Test("whatever is written, others' tables stay byte for byte, and no more than one table of ours is there")
    func fuzz() throws {
        try Sandbox.run { host in
            try host.load(Self.foreign)
            let before = try host.nft("-a list ruleset")
            var generator = SeededGenerator(seed: 12)
            let parts = [
                "chain c {", "}", "set s { type ipv4_addr; }", "define x = 1", "flush ruleset", "accept", "drop", ";",
                "\n",
                "type filter hook input priority 0;", "comment \"} table ip y {\"", "log prefix \"flush ruleset\"",
                "$x",
                "tcp dport 1", "counter", "jump c", "ip saddr @s", "delete table inet theirs", "flags dormant;", "#",
            ]
            let agent = host.agent()
            for _ in 0..<60 {
                let count = Int.random(in: 1...6, using: &generator)
                let words = (0..<count).map { _ in parts.randomElement(using: &generator) ?? "" }
                let config = tables(table("t", ruleset: words.joined(separator: " ")))
                try agent.apply(config, tolerant: true)
                agent.reconciler.forgetFailures()
                let now = try host.nft("-a list ruleset")
                #expect(now.hasPrefix(before.trimmingCharacters(in: .newlines)), "\(words)")
                #expect(now.components(separatedBy: "\ntable ").count <= 3, "\(words)")
            }
            try agent.apply(tables())
            #expect(try host.nft("-a list ruleset") == before)
        }
    }

    @Test("an export is taken back as what is there")
    func export() throws {
        try Sandbox.run { host in
            try host.addNamespaces("p1")
            try host.load(Self.foreign)
            let agent = try host.apply(
                tables(
                    table("a", ruleset: Self.filter),
                    table("b", in: "p1", "table: nat4\nfamily: ip\nmasquerade: [{out: eth0}]")))
            let values = try agent.world.export(namespace: nil, all: false)
            #expect(values.map(\.key).filter { $0.contains("nftables") }.count == 2)
            let fresh = host.agent()
            fresh.declare(values.map { ($0.key, $0) })
            try fresh.world.readAll()
            let transaction = fresh.reconciler.reconcile(reason: .apply)
            #expect(transaction?.entries.map(\.line) ?? [] == [])
            #expect(fresh.problems == [])
        }
    }
}
