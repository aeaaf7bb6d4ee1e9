import TestSupport
import Testing

@testable import Model

@Suite("tables of nf_tables")
struct FilterTableTests {
    static func message(_ ruleset: String, _ fill: (inout Nsmagent_Linux_FilterTable) -> Void = { _ in })
        -> Nsmagent_Linux_FilterTable
    {
        var message = Nsmagent_Linux_FilterTable()
        message.name = "t"
        message.ruleset = ruleset
        fill(&message)
        return message
    }

    static func spec(_ message: Nsmagent_Linux_FilterTable) -> FilterTableSpec? {
        guard case .filterTable(let spec)? = ModelValue.filterTable(message).checked().specification else { return nil }
        return spec
    }

    static func mistakes(_ message: Nsmagent_Linux_FilterTable) -> [String] {
        ModelValue.filterTable(message).checked().findings.map(\.description)
    }

    @Test("the inside of a table is taken, without comments, line for line")
    func taken() throws {
        let text = """
            # first
            define wan = eth0
            set s { type ipv4_addr; flags dynamic, timeout; } # a set { "
            chain c {
                type filter hook input priority 0; policy drop;
                iifname $wan log prefix "a # } b: " accept comment "é"
            }
            """
        let spec = try #require(Self.spec(Self.message(text)))
        #expect(spec.text.split(separator: "\n", omittingEmptySubsequences: false).count == 8)
        #expect(
            spec.text.hasPrefix("\ndefine wan = eth0\nset s { type ipv4_addr; flags dynamic, timeout; } \nchain c {\n"))
        #expect(spec.text.contains("log prefix \"a # } b: \" accept comment \"é\"\n}\n"))
        #expect(spec.devices == [])
    }

    @Test(
        "what leaves the table, names files or is no text is refused, with its place",
        arguments: [
            ("chain c { }\n}\ntable ip x {", "line 2, column 1: this '}' closes the table"),
            ("} ; flush ruleset ; table ip x {", "line 1, column 1: this '}' closes the table"),
            ("chain c {", "line 1, column 9: this '{' is never closed"),
            ("include \"/etc/shadow\"", "line 1, column 1: 'include' can't be in a ruleset"),
            ("chain c {\n\tinclude \"/etc/shadow\"\n}", "line 2, column 2: 'include'"),
            ("flush ruleset", "line 1, column 1: 'flush' does not start"),
            ("chain c { }; add table ip x", "line 1, column 14: 'add' does not start"),
            ("table ip x { }", "line 1, column 1: 'table' can't be in a ruleset"),
            ("comment \"mine\"", "line 1, column 1: the comment of a table says whose it is"),
            ("flags owner;", "line 1, column 7: a table with the flag 'owner'"),
            ("chain c { log prefix \"a\n\" }", "line 1, column 22: this quoted text is not closed in its line"),
            ("chain c { log prefix \"a\\\" }\" }", "a control character or '\\' can't be"),
            ("chain c { \\\n }", "line 1, column 11: '\\' can't be in a ruleset"),
            ("chain c {\r\n}", "a control character (13)"), ("chain c { \u{0} }", "a control character (0)"),
            ("chain c { \u{1b}[0m }", "a control character (27)"), ("chain ü { }", "other than ASCII"),
            ("\"x\"", "a quoted text does not start"),
            (String(repeating: "#", count: 1 << 20) + "#", "longer than 1 MiB"),
        ])
    func refused(text: String, words: String) {
        let mistakes = Self.mistakes(Self.message(text))
        #expect(mistakes.first?.contains(words) == true, "\(mistakes)")
        #expect(mistakes.first?.hasPrefix("ruleset ") == true)
        #expect(Self.spec(Self.message(text)) == nil)
    }

    @Test("links that the kernel knows by number are found")
    func devices() {
        let text = """
            chain a { type filter hook ingress devices = { eth1, "eth2" } priority 0; }
            chain b { type filter hook ingress device eth3 priority 0; }
            chain c { iif eth4 oif != "eth5" iifname eth9 oif { eth6,
              eth7 } tcp dport { 22, 80 } accept; iif vmap { lo : accept, eth8 : accept }; }
            """
        #expect(Self.spec(Self.message(text))?.devices.isSuperset(of: (1...8).map { "eth\($0)" }) == true)
        #expect(Self.spec(Self.message(text))?.devices.contains("eth9") == false)
        #expect(Self.spec(Self.message(text))?.devices.isDisjoint(with: ["22", "tcp", "accept"]) == true)
    }

    @Test("masquerade and forward are checked field by field")
    func translation() {
        func check(_ fill: (inout Nsmagent_Linux_FilterTable) -> Void) -> String {
            Self.mistakes(Self.message("", fill)).joined(separator: "\n")
        }
        #expect(check { _ in }.contains("has nothing in it"))
        #expect(check { $0.masquerade = [.init()] }.contains("masquerade[0] is for all packets"))
        #expect(
            check {
                $0.masquerade = [.with { $0.out = "a\"b" }]
            }.contains("masquerade[0].out 'a\"b' holds a quotation mark"))
        #expect(
            check {
                $0.family = .ip
                $0.masquerade = [.with { $0.from = "fd00::/8" }]
            }.contains("masquerade[0].from 'fd00::/8' is IPv6, which a table of family ip does not see"))
        #expect(
            check {
                $0.family = .bridge
                $0.masquerade = [.with { $0.out = "a" }]
            }.contains("needs a table of family inet, ip or ip6"))
        for (to, problem) in [
            ("", "forward[0].to is missing"), ("host", "is not an address"), ("10.0.0.1:0", "is not an address"),
            ("10.0.0.1:65536", "is not an address"), ("fd00::1:80x", "is not an address"),
            ("[10.0.0.1]:80", "is not an address"),
            ("10.0.0.1:80; drop", "is not an address"),
        ] {
            #expect(
                check {
                    $0.forward = [.with { ($0.port, $0.to) = (80, to) }]
                }.contains(problem), "\(to)")
        }
        #expect(check { $0.forward = [.with { $0.to = "10.0.0.1" }] }.contains("forward[0].port '0' is not a port"))
        #expect(check { ($0.name, $0.ruleset) = ("a b", "chain c { }") }.contains("is not a name of a table"))
        #expect(
            check { ($0.table, $0.ruleset) = ("a{", "chain c { }") }.contains("table 'a{' is not a name of a table"))
    }

    @Test("tables of iptables and its kin are left to them")
    func othersNames() {
        func mistakes(_ family: Nsmagent_Linux_FilterTable.Family, _ table: String) -> String {
            Self.mistakes(Self.message("chain c { }") { ($0.family, $0.table) = (family, table) }).joined()
        }
        #expect(mistakes(.ip, "nat").contains("is a table of iptables"))
        #expect(mistakes(.bridge, "broute").contains("is a table of ebtables"))
        #expect(mistakes(.inet, "nat") == "")
        #expect(mistakes(.ip, "nat4") == "")
    }

    @Test("files say families and protocols in the words of nft")
    func words() throws {
        let yaml = """
            linuxConfig:
              nftables:
                - name: nat66
                  family: ip6
                  forward: [{port: 53, protocol: udp, to: "[fd00::2]:5353"}]
            """
        let config = ConfigLoader.load(bytes: Array(yaml.utf8), name: "a.yaml")
        #expect(config.mistakes.map(\.description) == [])
        #expect(config.items.map(\.key) == ["config/nsmagent/linux/v1/nftables/nat66"])
    }

    @Test("whatever is written, braces stay balanced and nothing but objects of the table starts outside of them")
    func fuzz() {
        var generator = SeededGenerator(seed: 11)
        let parts = [
            "chain c {", "}", "{", "flush ruleset", "table ip x {", "include \"/etc/shadow\"", "\"", "#", "\n", ";",
            "\\",
            "'", "set s { type ipv4_addr; }", "comment \"}\"", "define x = {", "include", "/*", "*/", "\u{0}", "\r",
            "ü",
            "delete table inet a", "accept", " ", "$x", "@s", "flags owner", "log prefix \"} flush ruleset {\"",
        ]
        var accepted = 0
        for _ in 0..<20_000 {
            let count = Int.random(in: 1...8, using: &generator)
            let text = (0..<count).map { _ in parts.randomElement(using: &generator) ?? "" }.joined(separator: " ")
            guard let spec = Self.spec(Self.message(text)) else { continue }
            accepted += 1
            var depth = 0
            var isQuoted = false
            for byte in spec.text.utf8 {
                if byte == UInt8(ascii: "\"") { isQuoted.toggle() }
                if isQuoted { continue }
                #expect(byte != UInt8(ascii: "#"), "\(text)")
                if byte == UInt8(ascii: "{") { depth += 1 }
                if byte == UInt8(ascii: "}") { depth -= 1 }
                #expect(depth >= 0, "\(text)")
            }
            #expect(depth == 0 && !isQuoted, "\(text)")
            #expect(!spec.text.contains("\\"), "\(text)")
        }
        #expect(accepted > 100)
    }
}
