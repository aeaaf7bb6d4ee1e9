internal import Model

/// A table of iptables as `iptables-save` writes it, without counters.
struct SavedTable: Hashable, Sendable {
    /// A rule, as what follows `-A CHAIN `. Whose it is is read once, as a table may hold thousands.
    struct Rule: Hashable, Sendable {
        let text: String
        /// Whose it is; nil: somebody else's.
        let mark: RuleMark?
        /// What it notes; nil: it is a rule for packets.
        let note: RuleMark.Note?
        /// Where it leads: the word behind `-j` or `-g`.
        let target: String?

        init(_ text: String, prefix: String) {
            self.text = text
            (mark, note) = RuleMark.read(text, prefix: prefix).map { ($0.mark, $0.note) } ?? (nil, nil)
            target = SavedTable.target(of: text)
        }

        /// The rule that notes something.
        init(_ mark: RuleMark, _ note: RuleMark.Note) {
            text = mark.rule(for: note)
            (self.mark, self.note, target) = (mark, note, nil)
        }

        static func == (left: Self, right: Self) -> Bool { left.text == right.text }
        func hash(into hasher: inout Hasher) { hasher.combine(text) }
    }

    /// A chain with its rules.
    struct Chain: Hashable, Sendable {
        var name: String
        /// `ACCEPT` or `DROP`; nil: it is no built-in chain.
        var policy: String?
        var rules: [Rule] = []
    }

    /// `filter`, `nat` …
    let name: String
    /// Built-in ones, and then others, as they were written.
    var chains: [Chain]

    /// The table as it is where nobody used it.
    init(empty table: RuleChainSpec.Table) {
        name = table.word
        chains = table.builtIn.map { Chain(name: $0, policy: "ACCEPT") }
    }

    /// Reads what `iptables-save -t TABLE` wrote; nil: it is not that.
    ///
    /// What of the built-in chains is not there has no rules and accepts. Of a table with rules of nft's that iptables has no
    /// words for it writes a remark and nothing else.
    ///
    /// - Parameter prefix: what our marks start with.
    init?(_ text: String, of table: RuleChainSpec.Table, prefix: String) {
        self.init(empty: table)
        var index: [Substring: Int] = [:]
        for (position, chain) in chains.enumerated() { index[Substring(chain.name)] = position }
        var (isInside, wasSeen) = (false, false)
        for line in text.split(separator: "\n") where !line.hasPrefix("#") {
            if line == "*\(name)" {
                (isInside, wasSeen) = (true, true)
            } else if line == "COMMIT" {
                isInside = false
            } else if !isInside {
                return nil
            } else if line.hasPrefix(":") {
                let words = line.dropFirst().split(separator: " ")
                guard words.count >= 2 else { return nil }
                let policy = words[1] == "-" ? nil : String(words[1])
                if let known = index[words[0]] {
                    chains[known].policy = policy
                } else {
                    index[words[0]] = chains.count
                    chains.append(Chain(name: String(words[0]), policy: policy))
                }
            } else {
                guard line.hasPrefix("-A ") else { return nil }
                let rest = line.dropFirst(3)
                let end = rest.firstIndex(of: " ") ?? rest.endIndex
                guard let known = index[rest[..<end]] else { return nil }
                chains[known].rules.append(Rule(String(rest[end...].dropFirst()), prefix: prefix))
            }
        }
        if isInside || !wasSeen { return nil }
    }

    /// Where a chain is in the list.
    func position(of chain: String) -> Int? { chains.firstIndex { $0.name == chain } }

    subscript(chain: String) -> Chain? { position(of: chain).map { chains[$0] } }

    /// Whether a rule of another chain leads to a chain.
    func isReferred(to chain: String) -> Bool {
        chains.contains { other in
            other.name != chain && other.rules.contains { $0.target == chain }
        }
    }

    /// Where a rule as iptables writes it leads: the word behind `-j` or `-g`.
    static func target(of rule: String) -> String? {
        // Most rules have no quotes, and then there is less to look at.
        guard rule.utf8.contains(UInt8(ascii: "\"")) else {
            let words = rule.split(separator: " ")
            return words.firstIndex { $0 == "-j" || $0 == "-g" }.flatMap {
                words.indices.contains($0 + 1) ? String(words[$0 + 1]) : nil
            }
        }
        guard let words = RuleText.words(of: rule),
            let jump = words.firstIndex(where: { !$0.isQuoted && ($0.text == "-j" || $0.text == "-g") }),
            words.indices.contains(jump + 1)
        else { return nil }
        return words[jump + 1].text
    }
}

extension RuleChainSpec.Table {
    /// The word of iptables(8).
    var word: String {
        switch self {
        case .filter: "filter"
        case .nat: "nat"
        case .mangle: "mangle"
        case .raw: "raw"
        case .security: "security"
        }
    }

    /// Chains that are always there.
    var builtIn: [String] {
        switch self {
        case .filter, .security: ["INPUT", "FORWARD", "OUTPUT"]
        case .nat: ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"]
        case .mangle: ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"]
        case .raw: ["PREROUTING", "OUTPUT"]
        }
    }
}
