internal import Concurrency
internal import Agent
internal import ArgumentParser
internal import Model
internal import Northbound
internal import Reconciler

struct History: WaitingCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what the daemon did, and when.",
        discussion: "With the number of a transaction: everything that was done in it.")

    @Argument(help: ArgumentHelp("Number of a transaction.", valueName: "number"))
    var sequence: UInt64?
    @Option(help: ArgumentHelp("At most this many, the newest.", valueName: "number"))
    var limit: UInt32?
    @Flag(name: .shortAndLong, help: "Go on with what is done from now on, until Ctrl-C.")
    var follow = false
    @OptionGroup var socket: AgentOptions
    @OptionGroup var output: OutputOptions

    mutating func validate() throws {
        if follow, sequence != nil { throw ValidationError("--follow shows what comes; leave the number out") }
    }

    func run() async throws {
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
        var table = Table("NUMBER", "START", "REASON", "DURATION", "OPERATIONS")
        for transaction in transactions {
            let failures = transaction.operations.count { !$0.error.isEmpty }
            table.add(
                .init("\(transaction.sequence)"), .init(time(transaction)), .init(transaction.reason),
                .init(Text.duration(.microseconds(transaction.durationUs))),
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
                if transaction.omitted > 0 { pairs.append(("omitted", .uint(transaction.omitted))) }
                return .mapping(pairs)
            })
    }
}
