import Foundation
import LinuxKinds
import TestSupport
import Testing

@Suite("rule chains of iptables", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct RuleChainTests {
    /// A configuration of rule chains in namespace `x`, each with what stands between its braces.
    private static func chains(_ items: String..., interfaces: [String] = []) -> String {
        let links = interfaces.map { "    - {\(veth($0, "peer", in: "x"))}\n    - {\(veth("peer", $0))}\n" }.joined()
        return "linuxConfig:\n  namespaces:\n    - {name: x}\n" + (links.isEmpty ? "" : "  interfaces:\n" + links)
            + "  RuleChain:\n" + items.map { "    - {\($0)\(place("x"))}\n" }.joined()
    }

    private func key(_ name: String) -> String { "config/linux/iptables/v2/rulechain/\(name)" }

    @Test("chains and policies of all tables and both families, also fewer than three")
    func everything() throws {
        try Sandbox.run { host in
            let tables = [
                ("FILTER", "INPUT"), ("NAT", "PREROUTING"), ("MANGLE", "FORWARD"), ("RAW", "PREROUTING"),
                ("SECURITY", "FORWARD"),
            ]
            var items: [String] = []
            for family in ["IPV4", "IPV6"] {
                for (table, chain) in tables {
                    let name = "\(family)-\(table)"
                    items.append(
                        "name: \(name), protocol: \(family), table: \(table), chainType: \(chain), rules: ['-i eth0 -p tcp --dport http -j mine']"
                    )
                    items.append(
                        "name: \(name)-mine, protocol: \(family), table: \(table), chainType: CUSTOM, chainName: mine, rules: ['-p udp -j RETURN']"
                    )
                }
            }
            let text = "linuxConfig:\n  RuleChain:\n" + items.map { "    - {\($0)\(place("x"))}\n" }.joined()
            let agent = try host.apply(text)
            for v6 in [false, true] {
                for (table, chain) in tables {
                    let rules = try host.iptables(in: "x", table: table.lowercased(), v6: v6)
                    #expect(
                        rules.filter { $0.hasPrefix("-A") }.map(host.unmarked) == [
                            "-A \(chain) -i eth0 -p tcp -m tcp --dport 80 -j mine", "-A mine -p udp -j RETURN",
                        ])
                }
            }
            try agent.apply("linuxConfig: {}")
            #expect(agent.problems == [])
        }
    }

    @Test("rules of others are as before after apply, change, drift, revert and delete")
    func others() throws {
        try Sandbox.run { host in
            try host.addNamespaces("x")
            try host.restore(
                """
                *filter
                :INPUT DROP [0:0]
                :theirs - [0:0]
                :shared - [0:0]
                -A INPUT -s 10.9.9.9 -m comment --comment "a \\"b\\" c" -j theirs
                -A INPUT -j shared
                -A INPUT -p icmp -j ACCEPT
                -A theirs -j LOG --log-prefix "x y "
                -A shared -j RETURN
                COMMIT
                *nat
                -A POSTROUTING -o eth9 -j MASQUERADE
                COMMIT
                """, in: "x")
            let before = try host.iptables(in: "x")
            let first = Self.chains(
                "name: in, chainType: INPUT, defaultPolicy: ACCEPT, rules: ['-i lo -j ACCEPT', '-j mine', '-s 1.1.1.1,2.2.2.2 -j DROP']",
                "name: my chain, chainType: CUSTOM, chainName: mine, rules: ['-p tcp -j ACCEPT']",
                "name: shared, chainType: CUSTOM, chainName: shared, rules: ['-p udp -j ACCEPT']")
            let agent = try host.apply(first)
            func foreign() throws -> [String] { try host.iptables(in: "x").filter { !$0.contains("/vnf-agent/") } }
            #expect(
                Set(try foreign()).symmetricDifference(before) == [":INPUT DROP", ":mine -"])
            // Others come in between.
            try host.command("iptables-nft -I INPUT 2 -s 10.8.8.8 -j DROP", in: "x")
            try host.command("iptables-nft -A INPUT -s 10.7.7.7 -j DROP", in: "x")
            try host.expectInPlace(first)
            let between = try foreign()
            // Drift.
            try agent.watch()
            try host.command(
                "iptables-nft -D INPUT -s 2.2.2.2 -j DROP -m comment --comment /vnf-agent/\(host.label)/in", in: "x")
            #expect(try agent.settle { try host.iptables(in: "x").contains { $0.contains("2.2.2.2") } })
            #expect(try foreign() == between)
            // A change that fails is undone as a whole.
            let withRules = try host.iptables(in: "x")
            let failing = Self.chains(
                "name: in, chainType: INPUT, rules: ['-i lo -j DROP']",
                "name: wrong, chainType: OUTPUT, rules: ['-j nowhere']")
            let undone = try agent.apply(failing, revertOnFailure: true)
            #expect(undone?.reverted == true)
            #expect(Set(try host.iptables(in: "x")) == Set(withRules))
            // All of ours goes, and what was there is there.
            try agent.apply("linuxConfig: {}")
            try host.command("iptables-nft -D INPUT -s 10.8.8.8 -j DROP", in: "x")
            try host.command("iptables-nft -D INPUT -s 10.7.7.7 -j DROP", in: "x")
            #expect(try host.iptables(in: "x") == before)
        }
    }

    @Test("a table with rules that iptables can't show is left as it is")
    func incompatible() throws {
        try Sandbox.run { host in
            try host.addNamespaces("x")
            try host.command("iptables-nft -A INPUT -s 10.9.9.9 -j DROP", in: "x")
            _ = try host.nft("add rule ip filter INPUT fib daddr type local accept", in: "x")
            let before = try host.nft("list ruleset", in: "x")
            let agent = host.agent()
            let text = Self.chains("name: in, chainType: INPUT, rules: ['-p tcp -j ACCEPT']")
            for _ in 0..<2 {
                try agent.apply(text)
                #expect(agent.problems.contains { $0.contains("holds what iptables can't show") }, "\(agent.problems)")
                #expect(try host.nft("list ruleset", in: "x") == before)
            }
        }
    }

    @Test("a rule that says nothing is no rule", arguments: ["-p all", "-s 0.0.0.0/0"])
    func emptyRule(rule: String) throws {
        try Sandbox.run { host in
            try host.addNamespaces("x")
            let agent = host.agent()
            try agent.apply(Self.chains("name: in, chainType: INPUT, defaultPolicy: DROP, rules: ['\(rule)']"))
            #expect(agent.problems.contains { $0.contains("neither a match nor a target") }, "\(agent.problems)")
            #expect(try !host.iptables(in: "x").contains(":INPUT DROP"))
        }
    }

    @Test("a flush is repaired, as often as it comes, and the way back is not forgotten")
    func flush() throws {
        try Sandbox.run { host in
            try host.addNamespaces("x")
            let text = Self.chains(
                "name: in, chainType: INPUT, defaultPolicy: DROP, rules: ['-j mine']",
                "name: mine, chainType: CUSTOM, chainName: mine, rules: ['-j ACCEPT']",
                "name: nat, table: NAT, chainType: POSTROUTING, rules: ['-o eth0 -j MASQUERADE']")
            let agent = try host.apply(text)
            let whole = try host.iptables(in: "x")
            try agent.watch()
            for command in [
                "iptables-nft -F", "nft flush ruleset", "iptables-nft -t nat -F", "iptables-nft -P INPUT ACCEPT",
                "nft delete table ip nat", "iptables-nft -F",
            ] {
                try host.command(command, in: "x")
                #expect(try agent.settle { Set(try host.iptables(in: "x")) == Set(whole) }, "\(command)")
            }
            #expect(agent.problems == [])
            try agent.apply("linuxConfig: {}")
            let rest = try host.iptables(in: "x")
            #expect(rest.filter { $0.hasPrefix("-A") || $0.hasSuffix("-") || $0.hasSuffix("DROP") } == [])
        }
    }

    @Test("what is left after a crash is found by its mark")
    func leftovers() throws {
        try Sandbox.run { host in
            try host.addNamespaces("x")
            try host.command("iptables-nft -A INPUT -s 10.9.9.9 -j DROP", in: "x")
            let before = try host.iptables(in: "x", table: "filter")
            try host.apply(
                Self.chains(
                    "name: in, chainType: INPUT, defaultPolicy: DROP, rules: ['-j one']",
                    "name: one, chainType: CUSTOM, chainName: one, rules: ['-j two']",
                    "name: two, chainType: CUSTOM, chainName: two"))
            // Another agent that knows nothing of it, and one with another label.
            try host.agent(label: "other").apply("linuxConfig: {}")
            #expect(try host.iptables(in: "x", table: "filter").count > before.count)
            try host.agent().apply("linuxConfig: {}")
            #expect(try host.iptables(in: "x", table: "filter") == before)
        }
    }

    @Test("a chain waits for its interfaces, and comes and goes with them")
    func interfaces() throws {
        try Sandbox.run { host in
            let chain = "name: c, interfaces: [e], chainType: INPUT, rules: ['-i e -j DROP']"
            let agent = host.agent()
            try agent.apply(Self.chains(chain))
            #expect(agent.status(key("c"))?.state == .pending)
            #expect(agent.status(key("c"))?.details == ["interface-exists-e"])
            try agent.apply(Self.chains(chain, interfaces: ["e"]))
            #expect(agent.problems == [])
            #expect(try host.iptables(in: "x").contains { $0.hasPrefix("-A INPUT -i e") })
            try agent.apply(Self.chains(chain))
            #expect(try !host.iptables(in: "x").contains { $0.hasPrefix("-A") })
        }
    }

    @Test("a rule that iptables does not take is named, and a plan shows the lines that differ")
    func words() throws {
        try Sandbox.run { host in
            let agent = host.agent()
            try agent.apply(
                Self.chains("name: c, chainType: INPUT, rules: ['-j ACCEPT', '-p tcp --dport 80000 -j DROP']"))
            let error = agent.status(key("c"))?.error ?? ""
            #expect(
                error.hasSuffix(
                    "test.yaml:5:56: rules[1]: iptables-nft-restore says: invalid port/service `80000' specified"),
                "\(error)")
            try agent.apply(Self.chains("name: c, chainType: INPUT, rules: ['-j nowhere']"))
            #expect(agent.status(key("c"))?.error.contains("'nowhere' does not exist") == true)
            try agent.apply(Self.chains("name: c, chainType: INPUT, rules: ['-s 10.0.0.1 -j DROP', '-j ACCEPT']"))
            #expect(agent.problems == [])
            let plan = try agent.plan(
                Self.chains("name: c, chainType: INPUT, rules: ['-s 10.0.0.2 -j DROP', '-j ACCEPT']"))
            #expect(
                plan == [
                    "~ rule chain INPUT of table filter in x: rules -s 10.0.0.1/32 -j DROP → , rules  → -s 10.0.0.2/32 -j DROP"
                ])
            // What was only planned is not taken for done.
            #expect(try host.iptables(in: "x").contains { $0.contains("10.0.0.1/32") })
            try agent.apply(Self.chains("name: c, chainType: INPUT, rules: ['-s 10.0.0.2 -j DROP', '-j ACCEPT']"))
            #expect(try host.iptables(in: "x").contains { $0.contains("10.0.0.2/32") })
        }
    }

    @Test("a changed value leaves its former chain, table and family")
    func moves() throws {
        try Sandbox.run { host in
            let agent = try host.apply(
                Self.chains("name: c, chainType: INPUT, defaultPolicy: DROP, rules: ['-j ACCEPT']"))
            for item in [
                "name: c, chainType: OUTPUT, rules: ['-j ACCEPT']",
                "name: c, table: NAT, chainType: OUTPUT, rules: ['-j ACCEPT']",
                "name: c, protocol: IPV6, chainType: OUTPUT, rules: ['-j ACCEPT']",
                "name: c, chainType: CUSTOM, chainName: own, rules: ['-j ACCEPT']",
            ] {
                try agent.change(to: Self.chains(item))
                #expect(agent.problems == [])
                let all = try host.iptables(in: "x") + host.iptables(in: "x", v6: true)
                #expect(all.filter { $0.hasPrefix("-A") }.count == 1, "\(item): \(all)")
                #expect(!all.contains { $0.hasSuffix("DROP") })
            }
        }
    }

    @Test("texts of strangers do nothing but what one rule does", arguments: [1, 2] as [UInt64])
    func strangers(seed: UInt64) throws {
        try Sandbox.run { host in
            try host.addNamespaces("x")
            try host.command("iptables-nft -A INPUT -s 10.9.9.9 -j DROP", in: "x")
            try host.command("iptables-nft -t nat -A OUTPUT -s 10.9.9.9 -j ACCEPT", in: "x")
            let before = try host.iptables(in: "x")
            var generator = SeededGenerator(seed: seed)
            let pieces = [
                "COMMIT", "*nat", "\"", "\\\\", "-F", "-t", "nat", "-j", "ACCEPT", "--comment", "-m", "comment",
                ":INPUT", "DROP",
                "#", "--", "-s", "10.0.0.1", "!", "-p", "tcp", "--dport", "80", "-X", "--flush",
            ]
            for _ in 0..<60 {
                let rule = (0..<generator.below(7) + 1).map { _ in generator.pick(pieces) }.joined(separator: " ")
                let agent = host.agent()
                let text = Self.chains("name: c, chainType: INPUT, rules: [\(quoted(rule))]")
                try agent.apply(text, tolerant: true)
                let rules = try host.iptables(in: "x")
                #expect(
                    rules.filter { !$0.contains("/vnf-agent/") } == before, "seed \(seed): \(rule)")
                #expect(rules.count <= before.count + 1, "seed \(seed): \(rule)")
            }
        }
    }

    private func quoted(_ text: String) -> String { "'" + text.replacing("'", with: "''") + "'" }
}

extension Sandbox {
    /// What iptables-save writes, without counters and comments.
    func iptables(in namespace: String?, table: String? = nil, v6: Bool = false) throws -> [String] {
        let text = try command("ip\(v6 ? "6" : "")tables-nft-save" + (table.map { " -t \($0)" } ?? ""), in: namespace)
        return text.split(separator: "\n").filter { !$0.hasPrefix("#") }.map { line in
            line.hasPrefix(":") ? line.split(separator: " ").dropLast().joined(separator: " ") : String(line)
        }
    }

    /// A rule without our mark.
    func unmarked(_ rule: String) -> String {
        guard let start = rule.firstRange(of: " -m comment --comment \"/vnf-agent/") else { return rule }
        let rest = rule[start.upperBound...]
        guard let end = rest.firstIndex(of: "\"") else { return rule }
        return String(rule[..<start.lowerBound]) + rest[rest.index(after: end)...]
    }

    /// Has iptables-restore load a text, as somebody else would.
    func restore(_ text: String, in namespace: String, options: String = "") throws {
        let path = "/tmp/\(label).rules"
        try (text + "\n").write(toFile: path, atomically: true, encoding: .utf8)
        defer { unlink(path) }
        try command("iptables-nft-restore \(options) \(path)", in: namespace)
    }
}
