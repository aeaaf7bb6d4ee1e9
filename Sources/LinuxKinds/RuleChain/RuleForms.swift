internal import Model
internal import Netlink

/// What iptables makes of rules, as it writes them once they are loaded in a scratch namespace: each list of rules once.
///
/// `-s 10.0.0.1 -p tcp --dport http` and `-p tcp -s 10.0.0.1/32 -m tcp --dport 80` are the same rule, and a rule with two
/// addresses is two.
final class RuleForms {
    /// All that the answer depends on.
    struct Question: Hashable {
        var table: FilterTable.ID
        /// The chain of the rules, which says what targets are possible there.
        var chain: String
        /// As the user wrote them.
        var rules: [String]
        /// Chains of the table that are no built-in ones.
        var others: Set<String>
    }

    /// With the mark of nobody: whose rules are makes no other difference.
    private var known: [Question: [String]] = [:]
    /// Bytes of the rules that are remembered, and the most of them.
    private var size = 0
    private static let mostBytes = 64 << 20

    private static let nobody = RuleMark(text: "/")

    /// The rules as iptables writes them, with a mark.
    /// - Throws: what iptables says of them, with the rule that it means.
    func rules(
        for question: Question, in table: RuleChainSpec.Table, mark: RuleMark, prefix: String, _ programs: Programs
    ) throws(ProgramError) -> [SavedTable.Rule] {
        if question.rules.isEmpty { return [] }
        return try texts(for: question, in: table, programs).map { text in
            // It stands before all that a user wrote but addresses and links.
            SavedTable.Rule(text.replacing(Self.nobody.match, with: mark.match, maxReplacements: 1), prefix: prefix)
        }
    }

    private func texts(
        for question: Question, in table: RuleChainSpec.Table, _ programs: Programs
    ) throws(ProgramError) -> [String] {
        if let rules = known[question] { return rules }
        let rules = try learn(question, table, programs)
        if size > Self.mostBytes {
            known.removeAll()
            size = 0
        }
        size += question.rules.reduce(0) { $0 + 2 * $1.utf8.count } + rules.reduce(0) { $0 + $1.utf8.count }
        known[question] = rules
        return rules
    }

    private func learn(
        _ question: Question, _ table: RuleChainSpec.Table, _ programs: Programs
    ) throws(ProgramError) -> [String] {
        let restore = Program.iptablesRestore(question.table.family)
        let save = Program.iptablesSave(question.table.family)
        let scratch: NetworkNamespace
        do throws(KernelError) {
            scratch = try programs.scratch()
        } catch {
            throw .notStarted(
                restore, what: "it needs an empty network namespace to try rules in, which takes CAP_SYS_ADMIN",
                "\(error)")
        }
        // Without `--noflush` the whole table is what is loaded.
        let chains = question.others.sorted().map { ":\($0) - [0:0]" }
        let rules = question.rules.map { "-A \(question.chain) \(Self.nobody.marked($0))" }
        let head = ["*\(question.table.name)"] + chains
        do throws(ProgramError) {
            try programs.run(
                restore, ["-w"], input: (head + rules + ["COMMIT", ""]).joined(separator: "\n"), in: scratch)
        } catch {
            throw error.placed(behind: head.count, rules: question.rules.count)
        }
        let text = try programs.run(save, ["-t", question.table.name], in: scratch)
        guard let chain = SavedTable(text, of: table, prefix: Self.nobody.text)?[question.chain] else {
            throw .refused(save, words: "the rules are not in the table after they were loaded")
        }
        // Such as `-p all`. It would be taken for a note of ours.
        if chain.rules.contains(where: { RuleText.words(of: $0.text)?.count == 4 }) {
            throw .refused(restore, words: "a rule has neither a match nor a target; give it one of them")
        }
        return chain.rules.map(\.text)
    }
}

extension ProgramError {
    /// The same error with the rule that it means: `Error occurred at line: 4`, or `line 4 failed: …`, becomes `rules[1]: …`.
    fileprivate func placed(behind leadingLines: Int, rules: Int) -> ProgramError {
        guard case .refused(let program, let words) = self else { return self }
        var number: Int?
        var kept: [String] = []
        for line in words.split(separator: "\n", omittingEmptySubsequences: true) {
            var text = String(line).trimmingSpace
            // Its name and version, with the words in the next line.
            if text.hasPrefix(program.name), text.hasSuffix("):") { continue }
            if let start = text.firstRange(of: "): "), text.hasPrefix(program.name) {
                text = String(text[start.upperBound...])
            } else if text.hasPrefix("\(program.name): ") {
                text = String(text.dropFirst(program.name.utf8.count + 2))
            }
            if text.hasPrefix("Try `") || text.isEmpty { continue }
            if text.hasPrefix("Error occurred at line: ") {
                number = Int(text.dropFirst("Error occurred at line: ".count))
                continue
            }
            if text.hasPrefix("line ") {
                let parts = text.dropFirst(5).split(separator: " ", maxSplits: 1)
                if parts.count == 2, let line = Int(parts[0].filter(\.isNumber)) {
                    number = line
                    text = String(parts[1])
                    if text.hasPrefix("failed: ") { text = String(text.dropFirst(8)) }
                }
            }
            kept.append(text)
        }
        let said = kept.joined(separator: "; ")
        guard let number, (1...max(rules, 1)).contains(number - leadingLines) else {
            return .refused(program, words: said)
        }
        return .refusedRule(program, index: number - leadingLines - 1, words: said)
    }
}
