import Model
import Netlink
import TestSupport
import Testing

@testable import LinuxKinds

@Suite("many rule chains of one table", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct RuleLoadTests {
    private static let count = 30

    private static func config(_ address: String) -> String {
        let names = (1...count).map { "c\($0)" }
        let chains = names.map { "{name: \($0), chainType: CUSTOM, chainName: \($0), rules: ['-s \(address) -j DROP']" }
        let jumps = names.map { "'-j \($0)'" }.joined(separator: ", ")
        let first = "{name: in, chainType: INPUT, defaultPolicy: DROP, rules: [\(jumps)]"
        return "linuxConfig:\n  namespaces: [{name: x}]\n  RuleChain:\n"
            + (chains + [first]).map { "    - \($0)\(place("x"))}\n" }.joined()
    }

    @Test("they come, change and go by one text, and stay as they are when one of them can't be")
    func oneText() throws {
        try Sandbox.run { host in
            try host.addNamespaces("x")
            let events = try host.watchRules(in: "x")
            let agent = host.agent()
            var generation = try events()
            func changes() throws -> UInt32 {
                let now = try events()
                defer { generation = now }
                return now - generation
            }
            try agent.apply(Self.config("10.0.0.1"))
            #expect(agent.problems == [])
            #expect(try host.iptables(in: "x").count { $0.contains("10.0.0.1/32") } == Self.count)
            // The kernel counts what is changed at once.
            #expect(try changes() == 1)
            try agent.apply(Self.config("10.0.0.2"))
            #expect(try host.iptables(in: "x").count { $0.contains("10.0.0.2/32") } == Self.count)
            #expect(try changes() == 1)
            let runs = agent.world.programs.runs
            try agent.apply("linuxConfig: {namespaces: [{name: x}]}")
            #expect(agent.problems == [])
            #expect(agent.world.programs.runs - runs <= 2)
            #expect(
                try !host.iptables(in: "x").contains { $0.hasPrefix("-A") || $0.hasSuffix(" -") || $0.contains("DROP") }
            )
            #expect(try changes() == 1)
        }
    }

    @Test("what somebody puts into a chain of ours while it is changed stays there")
    func meanwhile() throws {
        try Sandbox.run { host in
            try host.addNamespaces("x")
            let agent = host.agent()
            func mine(_ rules: String) -> String {
                "linuxConfig:\n  RuleChain:\n    - {name: m, chainType: CUSTOM, chainName: mine, rules: [\(rules)]\(place("x"))}\n"
            }
            try agent.apply(mine("'-s 10.0.0.1 -j DROP', '-s 10.0.0.2 -j DROP'"))
            let prefix = agent.world.rulePrefix
            func table() throws -> SavedTable {
                let text = try host.command("iptables-nft-save -t filter", in: "x")
                return try #require(SavedTable(text, of: .filter, prefix: prefix))
            }
            let before = try table()
            var after = before
            let mark = RuleMark(agent.world.ownership, name: "m")
            let rules = ["-s 10.0.0.3/32", "-s 10.0.0.4/32"].map {
                SavedTable.Rule("\($0) \(mark.match) -j DROP", prefix: prefix)
            }
            after.put(SavedTable.Part(mark: mark, chain: "mine", isCustom: true, policy: nil, rules: rules))
            try host.command("iptables-nft -I mine 2 -s 10.9.9.9 -j ACCEPT", in: "x")
            try host.restore(try #require(before.text(to: after)), in: "x", options: "--noflush")
            let now = try #require(try table()["mine"]?.rules.map(\.text))
            #expect(now.count == 3)
            #expect(now.contains("-s 10.9.9.9/32 -j ACCEPT"))
            // It is somebody's, and stays so.
            try agent.apply(mine("'-s 10.0.0.5 -j DROP'"))
            #expect(try table()["mine"]?.rules.map(\.text).contains("-s 10.9.9.9/32 -j ACCEPT") == true)
            try agent.apply("linuxConfig: {}")
            #expect(try table()["mine"]?.rules.map(\.text) == ["-s 10.9.9.9/32 -j ACCEPT"])
        }
    }

    @Test("what others change while ours is made is no reason to forget what is made next")
    func interrupted() throws {
        try Sandbox.run { host in
            try host.addNamespaces("x")
            func config(_ names: String, verdict: String = "accept") -> String {
                let items = names.map { table("\($0)", in: "x", ruleset: "chain c { \(verdict); }") }
                let chains = names.map {
                    "    - {name: c\($0), chainType: CUSTOM, chainName: c\($0), table: \($0 == "b" ? "NAT" : "FILTER"), "
                        + "rules: ['-p tcp -j \(verdict.uppercased())']\(place("x"))}\n"
                }
                return tables(items[0])
                    + items.dropFirst().map { "    - " + $0.replacing("\n", with: "\n      ") + "\n" }
                    .joined() + "  RuleChain:\n" + chains.joined()
            }
            let agent = host.agent()
            try agent.change(to: config("a"))
            try agent.watch()
            // Nobody hears of this before the next tables are being made.
            _ = try host.nft("add table ip others", in: "x")
            try agent.change(to: config("abd"))
            #expect(agent.problems == [])
            try agent.change(to: config("abd", verdict: "return"))
            #expect(agent.problems == [])
            try agent.quiesce()
            let rules = try host.iptables(in: "x").filter { $0.hasPrefix("-A") }.map(host.unmarked)
            #expect(rules.sorted() == ["a", "b", "d"].map { "-A c\($0) -p tcp -j RETURN" })
            for name in ["a", "b", "d"] { #expect(try host.nft("list table inet \(name)", in: "x").contains("return")) }
        }
    }

    @Test("a mistake in a text opens nothing: what was in force stays until the text is right, or gone")
    func refused() throws {
        try Sandbox.run { host in
            try host.addNamespaces("x")
            func config(_ port: String) -> String {
                tables(
                    table(
                        "t", in: "x", ruleset: "chain c { type filter hook input priority 0; tcp dport \(port) drop; }")
                )
                    + "  RuleChain:\n    - {name: c, chainType: INPUT, defaultPolicy: DROP, "
                    + "rules: ['-p tcp --dport \(port) -j ACCEPT']\(place("x"))}\n"
            }
            let agent = try host.apply(config("22"))
            let wanted = try host.ruleset(in: "x")
            for agent in [agent, host.agent()] {
                try agent.apply(config("nonsense"))
                #expect(agent.problems.count == 2)
                #expect(try host.ruleset(in: "x") == wanted)
                // Another try by itself.
                agent.reconciler.forgetFailures()
                try agent.world.readAll()
                agent.reconciler.reconcile(reason: .apply)
                #expect(try host.ruleset(in: "x") == wanted)
            }
            try agent.watch()
            try agent.change(to: config("nonsense"))
            try agent.change(to: config("23"))
            #expect(agent.problems == [])
            #expect(try host.ruleset(in: "x").contains("dport 23 drop"))
            try agent.change(to: config("nonsense"))
            #expect(try host.ruleset(in: "x").contains("dport 23 drop"))
            try agent.change(to: "linuxConfig: {}")
            #expect(try agent.settle { try !host.ruleset(in: "x").contains("dport") })
        }
    }

    @Test("nor does one in an edit that also moves the value to another namespace")
    func refusedAndMoved() throws {
        try Sandbox.run { host in
            try host.addNamespaces("x", "y")
            func config(_ port: String, _ namespace: String) -> String {
                tables(
                    table(
                        "t", in: namespace,
                        ruleset: "chain c { type filter hook input priority 0; tcp dport \(port) drop; }"))
                    + "  RuleChain:\n    - {name: c, chainType: INPUT, "
                    + "rules: ['-p tcp --dport \(port) -j ACCEPT']\(place(namespace))}\n"
            }
            let agent = try host.apply(config("22", "x"))
            let wanted = try host.ruleset(in: "x")
            for agent in [agent, host.agent()] {
                try agent.apply(config("nonsense", "y"))
                #expect(agent.problems.count == 2)
                #expect(try host.ruleset(in: "x") == wanted)
            }
            try agent.apply(config("23", "y"))
            #expect(agent.problems == [])
            #expect(try !host.ruleset(in: "x").contains("dport"))
            #expect(try host.ruleset(in: "y").contains("dport 23 drop"))
        }
    }

    @Test("nor does a mistake that is found without nft")
    func invalid() throws {
        try Sandbox.run { host in
            let agent = try host.apply(tables(table("t", ruleset: "chain c { tcp dport 22 drop; }")))
            let wanted = try host.ruleset()
            var message = Nsmagent_Linux_FilterTable()
            message.name = "t"
            message.ruleset = "chain c {"
            for agent in [agent, host.agent()] {
                agent.declare([(TableKeys.key("t"), .filterTable(message))])
                try agent.world.readAll()
                agent.reconciler.reconcile(reason: .apply)
                #expect(agent.state(TableKeys.key("t")) == .invalid)
                #expect(try host.ruleset() == wanted)
            }
            try agent.apply(tables())
            #expect(try !host.ruleset().contains("dport"))
        }
    }

    @Test("what iptables makes of rules is learned once, whosever they are")
    func learnedOnce() throws {
        try Sandbox.run { host in
            let names = (1...10).map { "p\($0)" }
            let rules =
                "'-s 10.0.0.1 -p tcp -m comment --comment \"/\" --dport http -j DROP', '-m comment --comment / -j ACCEPT'"
            let chains = names.map { "    - {name: 'in \($0)', chainType: INPUT, rules: [\(rules)]\(place($0))}\n" }
            let agent = try host.apply(
                "linuxConfig:\n  namespaces: [\(names.map { "{name: \($0)}" }.joined(separator: ", "))]\n  RuleChain:\n"
                    + chains.joined())
            // Two to learn, and one to load each.
            #expect(agent.world.programs.runs <= 12 + names.count)
            #expect(
                try host.iptables(in: "p7").filter { $0.hasPrefix("-A") } == [
                    "-A INPUT -s 10.0.0.1/32 -p tcp -m comment --comment \"/vnf-agent/\(host.label)/in%20p7\" -m comment "
                        + "--comment \"/\" -m tcp --dport 80 -j DROP",
                    "-A INPUT -m comment --comment \"/vnf-agent/\(host.label)/in%20p7\" -m comment --comment \"/\" -j ACCEPT",
                ])
        }
    }

    @Test("operations of one table are done with the last of them, unless something of its namespace comes between")
    func groups() throws {
        let empty = SavedTable(empty: .filter)
        func load(_ namespace: Int, _ table: String = "filter") throws -> LinuxOperation {
            var new = empty
            new.chains.append(SavedTable.Chain(name: "c"))
            let action = try #require(
                RuleChainClass.load(FilterTable.ID(.ip, table), from: empty, to: new, what: "load"))
            return LinuxOperation(namespace: namespace, action)
        }
        func other(_ namespace: Int) -> LinuxOperation {
            LinuxOperation(namespace: namespace, .sysctl(path: "/", value: "0"))
        }
        let loads = RuleLoads([
            try load(1), try load(2), try load(1, "nat"), other(2), try load(1), try load(2), other(3), try load(1),
        ])
        #expect((0..<8).filter(loads.isLater) == [0, 4])
        #expect((0..<8).map { loads.group(endingWith: $0) } == [nil, nil, nil, nil, nil, nil, nil, [0, 4, 7]])
    }
}

extension Sandbox {
    /// Asks how often the rules of a namespace were changed.
    fileprivate func watchRules(in namespace: String) throws -> () throws -> UInt32 {
        let place = try NetworkNamespace(path: "\(directory)/\(namespace)")
        let socket = try FilterSocket(in: place)
        return { try socket.generation() }
    }
}
