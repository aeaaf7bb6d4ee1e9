import Model
import TestSupport
import Testing

@Suite("the text of packet filter rules") struct RuleTextTests {
    /// What is wrong with a chain of these rules.
    private func mistakes(_ rules: String..., chainName: String = "c") -> [String] {
        var message = Ligato_Linux_Iptables_RuleChain()
        message.name = "n"
        message.chainName = chainName
        message.rules = rules
        return ModelValue.ruleChain(message).checked().findings.map(\.description)
    }

    @Test(
        "what belongs to a rule is taken",
        arguments: [
            "-j ACCEPT", "-p tcp --dport 80 -j ACCEPT", "! -s 10.0.0.0/8 -i eth+ -o eth1 -f -j DROP",
            "-m comment --comment \"-F \\\"quoted\\\" -A\" -j RETURN", "-j LOG --log-prefix \"-t nat: \"",
            "-m comment --comment COMMIT -j DROP", "-m comment --comment *nat",
            "-m policy --dir in --pol ipsec -j ACCEPT",
            "-m conntrack --ctstate NEW -m limit --limit 5/min --limit-burst 3 -j mychain",
            "--protocol udp --source 1.1.1.1 --destination 2.2.2.2 --in-interface a --out-interface b --jump DROP",
            "-c 5 6 -j ACCEPT", "-g other", "-m string --algo bm --string -F -j DROP",
            "-j DNAT --to-destination [fd00::1]:80",
            "-m recent --name x --update --seconds 60 -j DROP", "-m set --match-set s src -j DROP",
            "-m comment --comment \"ä it's\" -j DROP",
        ])
    func good(rule: String) { #expect(mistakes(rule) == []) }

    @Test(
        "what is more than a rule is refused",
        arguments: [
            ("-t nat -j ACCEPT", "-t"), ("-A INPUT -j ACCEPT", "-A"), ("-N x", "-N"), ("-F", "-F"),
            ("-P INPUT DROP", "-P"),
            ("-X", "-X"), ("-D INPUT 1", "-D"), ("-I INPUT", "-I"), ("-R INPUT 1", "-R"), ("-E a b", "-E"),
            ("-L", "-L"),
            ("-S", "-S"), ("-Z", "-Z"), ("-C INPUT", "-C"), ("-h", "-h"), ("-j ACCEPT -V", "-V"),
            ("-j ACCEPT -M /bin/sh", "-M"),
            ("-tnat", "-t"), ("-vt nat", "-t"), ("-vnF", "-F"), ("\"-F\"", "-F"), ("-\"F\"", "-F"),
            ("-\"t nat\"", "-t"),
            ("--table nat", "--table"), ("--tab=nat", "--tab"), ("--append INPUT", "--append"),
            ("--app INPUT", "--app"),
            ("--flush", "--flush"), ("--fl", "--fl"), ("--policy INPUT DROP", "--policy"),
            ("--new-chain x", "--new-chain"),
            ("--new x", "--new"), ("--delete-chain", "--delete-chain"), ("--rename-chain a b", "--rename-chain"),
            ("--modprobe=/bin/sh -j ACCEPT", "--modprobe"), ("--modp /bin/sh", "--modp"), ("--help", "--help"),
            ("-m comment --comment --modprobe=/bin/sh", "--modprobe"), ("--wait", "--wait"), ("-w -j ACCEPT", "-w"),
            ("--zero", "--zero"), ("--list", "--list"), ("--check INPUT", "--check"), ("--version", "--version"),
            ("--log-prefix --comment -t nat", "-t"),
        ])
    func bad(rule: String, option: String) {
        let found = mistakes(rule)
        #expect(found.count == 1)
        #expect(found.first?.contains("holds '\(option)', which is not part of a rule") == true, "\(found)")
    }

    @Test("a rule is one line of bounded length")
    func lines() {
        #expect(
            mistakes("-j ACCEPT\nCOMMIT") == [
                "rules[0] '-j ACCEPT\\u{a}COMMIT' holds a control character; a rule is one line"
            ])
        #expect(mistakes("-j ACCEPT", "-j \u{0}")[0].hasPrefix("rules[1]"))
        #expect(mistakes("-m comment --comment \"open")[0].hasSuffix("has a quote (\") that is not closed"))
        #expect(mistakes("")[0].contains("is empty"))
        #expect(mistakes(" \t ")[0].contains("is empty"))
        let long = String(repeating: "a", count: 1024)
        #expect(mistakes("-m comment --comment \(long)")[0].hasSuffix("has a word of more than 1023 bytes"))
        #expect(mistakes(String(repeating: "-j a ", count: 200))[0].hasSuffix("has more than 240 words"))
        #expect(
            mistakes(String(repeating: "a", count: 9000))[0].hasSuffix(
                "… is longer than 8192 bytes".replacing("… ", with: "…' ")))
        var message = Ligato_Linux_Iptables_RuleChain()
        message.name = "n"
        message.chainName = "c"
        message.rules = Array(repeating: "-j ACCEPT", count: 10_001)
        #expect(ModelValue.ruleChain(message).checked().findings.count == 1)
    }

    @Test("names of chains, and policies that iptables has no more")
    func chains() {
        for name in ["INPUT", "ACCEPT", "a b", "-a", "!a", "a\nb", "a\"", String(repeating: "x", count: 29)] {
            #expect(mistakes("-j DROP", chainName: name).count == 1, "\(name)")
        }
        for name in ["a", "KUBE-SVC-X", "a:b", String(repeating: "x", count: 28)] {
            #expect(mistakes("-j DROP", chainName: name) == [])
        }
        var message = Ligato_Linux_Iptables_RuleChain()
        message.name = "n"
        message.chainType = .input
        message.defaultPolicy = .queue
        let checked = ModelValue.ruleChain(message).checked()
        #expect(checked.isValid)
        #expect(checked.obstacle?.weight == .impossible)
    }

    @Test("the place of a bad rule in the file is told")
    func place() {
        let found = ModelTests.mistakes(linux("RuleChain", "{name: c, chainName: c, rules: [-j DROP, -F]}"))
        #expect(
            found == [
                "f.yaml:3:48: linux.iptables.rulechain 'c': rules[1] '-F' holds '-F', which is not part of a rule; write only what follows `-A CHAIN`"
            ])
    }

    @Test("words are parted as iptables-restore does")
    func words() {
        func words(_ text: String) -> [String]? { RuleText.words(of: text)?.map(\.text) }
        #expect(words("a  b\tc") == ["a", "b", "c"])
        #expect(words("\"a b\" c") == ["a b", "c"])
        #expect(words("a\"b c\"d") == ["ab c", "d"])
        #expect(words("\"a\\\"b\\\\\" \"\"") == ["a\"b\\", ""])
        #expect(words("a\\ b 'c d'") == ["a\\", "b", "'c", "d'"])
        #expect(words("\"a") == nil)
    }

    @Test(
        "whatever is quoted is one word again; and what is accepted stays on its line",
        arguments: [1, 2, 3, 4] as [UInt64])
    func random(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let pieces = [
            "COMMIT", "*nat", "\n", "\"", "\\", "'", " ", "-F", "-t", "nat", "-j", "ACCEPT", "--comment", "-m",
            "comment", "\t",
            ":INPUT", "DROP", "[0:0]", "#", "--", "-A", "ä", "\u{7f}", "=", "--tab", "-vF", "\r", "\u{2028}",
        ]
        for _ in 0..<3000 {
            let text = (0..<generator.below(8) + 1).map { _ in generator.pick(pieces) }.joined(
                separator: generator.chance(50) ? " " : "")
            let quoted = RuleText.quoted(text)
            #expect(RuleText.words(of: quoted)?.map(\.text) == [text], "seed \(seed): \(text.debugDescription)")
            guard mistakes(text).isEmpty else { continue }
            #expect(!text.utf8.contains { $0 < 32 && $0 != 9 }, "seed \(seed): \(text.debugDescription)")
            let first = RuleText.words(of: text)?.map(\.text) ?? []
            #expect(
                first.first.map { !["-F", "-A", "-t", "-vF", "--tab"].contains($0) } ?? false, "seed \(seed): \(text)")
        }
    }

    @Test("a rule for many pairs of addresses counts as so many rules")
    func addressLists() {
        func list(_ count: Int) -> String { (1...count).map { "\($0 % 10)" }.joined(separator: ",") }
        for rule in [
            "-s \(list(101)) -d \(list(101)) -j DROP", "--source=\(list(200)) --dst \(list(60)) -j DROP",
            "-ns\(list(500)) --destin \(list(30)) -j DROP",
        ] {
            let found = mistakes("-j ACCEPT", rule)
            #expect(found.count == 1 && found[0].hasPrefix("rules[1] "), "\(found)")
            #expect(found.first?.contains("more than 10000; nftables has sets for that") == true, "\(found)")
        }
        let many = "-s \(list(100)) -d \(list(60)) -j DROP"
        #expect(mistakes(many) == [])
        #expect(mistakes(many, many).count == 1)
        let ports = "-p tcp -m multiport --dports \(list(15)) -m comment --comment -s,\(list(400)) -s 1,2 -j DROP"
        #expect(mistakes(ports, ports, ports) == [])
    }
}
