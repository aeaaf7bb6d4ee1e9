internal import Agent
internal import Model
internal import Reconciler

/// What an apply did, for people and programs.
struct ApplicationReport {
    private let transactions: [Transaction]
    private let counts: [ValueState: Int]
    private let bad: [ValueStatus]
    private let duration: Duration
    private let isReverted: Bool
    private var done: [Transaction.Verb: Int] = [:]
    private var inPlace = 0

    init(_ result: Application.Result) {
        transactions = result.transactions
        counts = result.counts
        bad = result.values.filter { !HostNetwork.isGood($0.state) }
        duration = result.duration
        isReverted = result.isReverted
        var changed = Set<Key>()
        for entry in transactions.lazy.flatMap(\.entries) where entry.error.isEmpty {
            done[entry.verb, default: 0] += 1
            if entry.verb != .delete { changed.insert(entry.key) }
        }
        let good = counts.filter { HostNetwork.isGood($0.key) }.values.reduce(0, +)
        inPlace = max(0, good - changed.count)
    }

    private func count(_ states: ValueState...) -> Int { states.reduce(0) { $0 + (counts[$1] ?? 0) } }

    /// What is not as it should be, one line each, for standard error.
    var problems: String {
        var text = ""
        for transaction in transactions where transaction.reverted {
            for entry in transaction.entries where entry.verb != .revert && !entry.error.isEmpty {
                text += "nsm-agent: \(entry.key): \(entry.error)\n"
            }
            for error in transaction.revertErrors { text += "nsm-agent: could not be undone: \(error)\n" }
        }
        if isReverted { return text }
        for loss in transactions.lazy.flatMap(\.losses) { text += "nsm-agent: \(loss)\n" }
        for value in bad { text += "nsm-agent: \(value.key): \(Self.problem(value))\n" }
        return text
    }

    private static func problem(_ value: ValueStatus) -> String {
        switch value.state {
        case .pending:
            let reasons = value.details.joined(separator: ", ")
            return "pending" + (reasons.isEmpty ? "" : ", waits for \(reasons)")
        case .unimplemented: return "this kind of value is not supported"
        case .invalid: return value.error.isEmpty ? "invalid" : value.error
        case .nonexistent, .missing, .removed, .configured, .obtained, .discovered, .failed, .retrying:
            return value.error.isEmpty ? value.state.name.lowercased() : value.error
        }
    }

    func text(_ terminal: Terminal) -> String {
        if isReverted {
            return "\(terminal.paint("Undone", .red)) in \(Text.duration(duration)), as something failed.\n"
        }
        var parts: [String] = []
        let words: [(verb: Transaction.Verb, word: String)] = [
            (.create, "created"), (.update, "changed"), (.recreate, "recreated"), (.delete, "deleted"),
        ]
        for (verb, word) in words {
            if let number = done[verb] { parts.append("\(number) \(word)") }
        }
        let isNothing = parts.isEmpty
        let pending = count(.pending)
        let failed = counts.filter { !HostNetwork.isGood($0.key) }.values.reduce(0, +) - pending
        if isNothing, pending == 0, failed == 0 {
            return "Nothing to do: \(Text.count(inPlace, "value")) in place.\n"
        }
        if isNothing { parts.append("nothing to do") }
        if inPlace > 0 { parts.append("\(inPlace) in place") }
        if pending > 0 { parts.append(terminal.paint("\(pending) pending", .yellow)) }
        if failed > 0 { parts.append(terminal.paint("\(failed) failed", .red)) }
        let word = pending + failed == 0 ? terminal.paint("Applied", .green) : "Applied in part"
        return "\(word) in \(Text.duration(duration)): \(parts.joined(separator: ", ")).\n"
    }

    var tree: Tree {
        let operations = transactions.flatMap(\.entries).map { entry -> Tree in
            var pairs: [(String, Tree)] = [
                ("action", .string(entry.verb.rawValue)), ("key", .string(entry.key)),
                ("summary", .string(entry.summary)),
                ("state", .string(entry.after.name)),
            ]
            if !entry.error.isEmpty { pairs.append(("error", .string(entry.error))) }
            return .mapping(pairs)
        }
        let problems = bad.map { value -> Tree in
            [
                "key": .string(value.key), "state": .string(value.state.name), "error": .string(value.error),
                "details": .texts(value.details),
            ]
        }
        let parts = duration.components
        return [
            "operations": .sequence(operations), "losses": .texts(transactions.flatMap(\.losses)),
            "problems": .sequence(problems), "undone": .bool(isReverted),
            "summary": [
                "created": .count(done[.create] ?? 0), "changed": .count(done[.update] ?? 0),
                "recreated": .count(done[.recreate] ?? 0), "deleted": .count(done[.delete] ?? 0),
                "inPlace": .count(inPlace), "pending": .count(count(.pending)),
                "failed": .count(count(.failed, .retrying, .invalid, .unimplemented, .missing)),
                "microseconds": .int(parts.seconds * 1_000_000 + parts.attoseconds / 1_000_000_000_000),
            ],
        ]
    }
}
