internal import Concurrency
internal import Agent
internal import ArgumentParser
internal import Model
internal import Northbound
internal import Reconciler

struct History: WaitingCommand {
    static let configuration = CommandConfiguration(
        commandName: "history",
        abstract: "Show what the daemon found and did, and when.",
        discussion: """
            With the number of a transaction: everything that was found and done in it. 'nsm-agent history show NUMBER' \
            writes what was declared then, by all sources together, as a configuration file; 'nsm-agent rollback NUMBER' \
            returns to it.
            """)

    @Argument(
        help: ArgumentHelp(
            "Number of a transaction; with 'show' before it what was declared then, as YAML or with --output json.",
            valueName: "number"))
    var words: [String] = []
    @Option(help: ArgumentHelp("At most this many, the newest.", valueName: "number"))
    var limit: UInt32?
    @Flag(name: .shortAndLong, help: "Go on with what is done from now on, until Ctrl-C.")
    var follow = false
    @OptionGroup var socket: AgentOptions
    @OptionGroup var output: OutputOptions

    /// The number that is asked for; nil: all are.
    private var sequence: UInt64? { words.last.flatMap { UInt64($0) } }
    private var showsConfiguration: Bool { words.first == "show" }

    mutating func validate() throws {
        let numbers = showsConfiguration ? words.dropFirst() : words[...]
        let wanted = showsConfiguration ? 1 : min(words.count, 1)
        guard numbers.count == wanted, numbers.allSatisfy({ UInt64($0) != nil }) else {
            throw ValidationError("the number of a transaction is needed, such as 'history 7' or 'history show 7'")
        }
        if follow, !words.isEmpty { throw ValidationError("--follow shows what comes; leave the number out") }
    }

    func run() async throws {
        if showsConfiguration, let sequence { return try await show(sequence) }
        var request = Nsmagent_Control_HistoryRequest()
        request.limit = limit ?? 0
        request.sequence = sequence ?? 0
        let transactions = try await socket.client().answer { [request] in try await $0.history(request) }
        if let sequence, transactions.isEmpty {
            throw Failure("transaction \(sequence) is not known; 'nsm-agent history' lists those that are")
        }
        Show.tree(Self.tree(transactions), as: output.output) { terminal in
            sequence == nil
                ? Self.table(transactions, terminal) : transactions.map { Self.details($0, terminal) }.joined()
        }
        if follow { try await follow(from: transactions.last?.sequence ?? 0) }
    }

    /// Writes what was declared when a transaction was done.
    private func show(_ sequence: UInt64) async throws {
        let past = try await socket.client().answer { try await $0.configuration(after: sequence) }
        let values = try past.knownValues(sequence)
        // What people read first is a file.
        Show.tree(ConfigDocument.whole(of: values), as: output.output == .json ? .json : .yaml) { _ in "" }
    }

    /// Shows what is done from now on, each transaction as it is done.
    private func follow(from number: UInt64) async throws {
        var last = number
        while true {
            try await Task.sleep(for: .milliseconds(500))
            let all = try await socket.client().answer { try await $0.history(Nsmagent_Control_HistoryRequest()) }
            // Numbers begin again with the daemon.
            if let newest = all.last?.sequence, newest < last { last = 0 }
            for transaction in all where transaction.sequence > last {
                Show.tree(Self.tree([transaction]), as: output.output) { "\n" + Self.details(transaction, $0) }
                last = transaction.sequence
            }
        }
    }

    private static func time(_ transaction: Nsmagent_Control_Transaction) -> String {
        Timestamp(seconds: transaction.startSeconds, nanos: transaction.startNanos)?.rfc3339(fractionDigits: 3) ?? ""
    }

    private static func table(_ transactions: [Nsmagent_Control_Transaction], _ terminal: Terminal) -> String {
        if transactions.isEmpty { return "Nothing was done yet.\n" }
        var table = Table("NUMBER", "START", "REASON", "DURATION", "FOUND", "OPERATIONS")
        for transaction in transactions {
            let failures = transaction.operations.count { !$0.error.isEmpty }
            table.add(
                .init("\(transaction.sequence)"), .init(time(transaction)), .init(transaction.reason),
                .init(Text.duration(.microseconds(transaction.durationUs))),
                .init(transaction.found.text),
                .init(summary(transaction, failures), failures > 0 ? .red : nil))
        }
        return table.text(terminal)
    }

    private static func summary(_ transaction: Nsmagent_Control_Transaction, _ failures: Int) -> String {
        var parts: [String] = []
        for verb in ["create", "update", "recreate", "delete", "revert"] {
            let count = transaction.operations.count { $0.verb == verb && $0.error.isEmpty }
            if count > 0 { parts.append("\(count) \(word(verb))") }
        }
        if failures > 0 { parts.append("\(failures) failed") }
        if transaction.omitted > 0 { parts.append("\(transaction.omitted) more, not kept") }
        if parts.isEmpty { return "nothing to do" }
        return parts.joined(separator: ", ")
    }

    private static func word(_ verb: String) -> String {
        switch verb {
        case "create": "created"
        case "update": "changed"
        case "recreate": "recreated"
        case "delete": "deleted"
        case "revert": "undone"
        default: verb
        }
    }

    private static func details(_ transaction: Nsmagent_Control_Transaction, _ terminal: Terminal) -> String {
        var text = "Transaction \(transaction.sequence), \(transaction.reason), \(time(transaction)), "
        text += "\(Text.duration(.microseconds(transaction.durationUs)))\n\n"
        if transaction.hasFound {
            text += "Found: \(transaction.found.text)\n"
            for detail in transaction.found.details { text += "  \(detail)\n" }
            text += transaction.operations.isEmpty ? "" : "\n"
        }
        if transaction.operations.isEmpty { return text + "Nothing was done.\n" }
        var table = Table("DONE", "KEY", "STATE", "DETAIL")
        for operation in transaction.operations {
            let state = ValueState(operation.after)
            let isGood = operation.error.isEmpty
            table.add(
                .init(isGood ? word(operation.verb) : "failed to \(operation.verb)", isGood ? nil : .red),
                .init(operation.key), .init(state.name, state.colour),
                .init(isGood ? operation.summary : operation.error))
        }
        text += table.text(terminal)
        if transaction.omitted > 0 { text += "\n\(transaction.omitted) more operations are not kept.\n" }
        return text
    }

    private static func tree(_ transactions: [Nsmagent_Control_Transaction]) -> Tree {
        .sequence(
            transactions.map { transaction in
                let operations = transaction.operations.map { operation -> Tree in
                    var pairs: [(String, Tree)] = [
                        ("action", .string(operation.verb)), ("key", .string(operation.key)),
                        ("summary", .string(operation.summary)),
                        ("before", .string(ValueState(operation.before).name)),
                        ("after", .string(ValueState(operation.after).name)),
                    ]
                    if !operation.error.isEmpty { pairs.append(("error", .string(operation.error))) }
                    return .mapping(pairs)
                }
                var pairs: [(String, Tree)] = [
                    ("number", .uint(transaction.sequence)), ("reason", .string(transaction.reason)),
                    ("start", .string(time(transaction))), ("microseconds", .int(transaction.durationUs)),
                    ("operations", .sequence(operations)),
                ]
                if transaction.hasFound { pairs.append(("found", transaction.found.tree)) }
                if transaction.omitted > 0 { pairs.append(("omitted", .uint(transaction.omitted))) }
                return .mapping(pairs)
            })
    }
}

extension Nsmagent_Control_ConfigurationResponse {
    /// The values.
    ///
    /// - Throws: where it is not known what was declared, with what is.
    func knownValues(_ sequence: UInt64) throws -> [ModelValue] {
        if unreadable > 0 { throw HistoryFailure.unreadable(sequence, Int(clamping: unreadable)) }
        guard known else { throw HistoryFailure.unknown(sequence, first, last) }
        return try values.map { value in
            guard let model = ModelRegistry.model(named: value.model) else {
                throw Failure("the agent answers with a model that this version does not know: \(value.model)")
            }
            return try ModelValue(model.kind, serializedBytes: value.message)
        }
    }
}

extension Nsmagent_Control_Found {
    /// In words, such as `12 in place, 1 missing`.
    var text: String {
        let parts = [
            (inPlace, "in place"), (missing, "missing"), (different, "different"), (leftovers, "left over"),
        ]
        return parts.filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }.joined(separator: ", ")
    }

    var tree: Tree {
        var pairs = [("inPlace", inPlace), ("missing", missing), ("different", different), ("leftovers", leftovers)]
            .map { ($0.0, Tree.uint($0.1)) }
        if !details.isEmpty { pairs.append(("details", .texts(details))) }
        return .mapping(pairs)
    }
}

/// Why a past configuration can't be shown.
enum HistoryFailure {
    static func unknown(_ sequence: UInt64, _ first: UInt64, _ last: UInt64) -> Failure {
        Failure(
            "what was declared at transaction \(sequence) is not known; "
                + (last == 0 ? "nothing is kept yet" : "it is known for those from \(first) to \(last)"))
    }

    static func unreadable(_ sequence: UInt64, _ count: Int) -> Failure {
        Failure(
            "transaction \(sequence): \(Text.count(count, "value")) are of models that this version does not know")
    }
}
