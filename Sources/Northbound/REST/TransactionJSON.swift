internal import Concurrency
package import Reconciler

/// How past transactions look in answers.
package enum TransactionJSON {
    static func transaction(_ transaction: Transaction) -> JSON {
        let (type, resync) = kind(transaction)
        let inputs = type == "NBTransaction" && resync != "DownstreamResync" ? inputs(transaction) : []
        return .fields([
            ("Start", ValueJSON.time(transaction.start)),
            ("Stop", ValueJSON.time(transaction.start.advanced(by: transaction.duration))),
            ("SeqNum", .uint(transaction.sequence)), ("TxnType", .string(type)),
            ("ResyncType", resync.map { .string($0) }), ("Description", .string(transaction.reason.text)),
            ("Values", inputs.isEmpty ? nil : .array(inputs)),
            ("Executed", transaction.entries.isEmpty ? nil : .array(transaction.entries.map(operation))),
            ("Omitted", transaction.omitted > 0 ? .int(Int64(transaction.omitted)) : nil),
        ])
    }

    /// What was declared anew, as far as it was not in force before: the keys, as values are not remembered.
    private static func inputs(_ transaction: Transaction) -> [JSON] {
        var seen: Set<Key> = []
        return transaction.entries.compactMap { entry in
            guard entry.key.hasPrefix("config/"), seen.insert(entry.key).inserted else { return nil }
            return .object([("Key", .string(entry.key)), ("Origin", .int(1))])
        }
    }

    /// What clients know as the type of a transaction and of a resync.
    package static func kind(_ transaction: Transaction) -> (type: String, resync: String?) {
        switch transaction.reason {
        case .retry: ("RetryFailedOps", nil)
        case .drift, .event, .services: ("SBNotification", nil)
        case .signal, .request, .dump, .resync: ("NBTransaction", "DownstreamResync")
        case .apply, .start, .files, .source: ("NBTransaction", transaction.isFirst ? "FullResync" : nil)
        }
    }

    private static func operation(_ entry: Transaction.Entry) -> JSON {
        .fields([
            ("Operation", .string(entry.verb.operation)), ("Key", entry.key.isEmpty ? nil : .string(entry.key)),
            ("Summary", entry.summary.isEmpty ? nil : .string(entry.summary)),
            ("PrevState", .string(entry.before.name)), ("NewState", .string(entry.after.name)),
            ("NewErrMsg", entry.error.isEmpty ? nil : .string(entry.error)),
            ("IsDerived", entry.key.hasPrefix("config/") ? nil : true),
            ("IsRevert", entry.verb == .revert ? true : nil), ("IsRetry", entry.before == .retrying ? true : nil),
            ("IsRecreate", entry.verb == .recreate ? true : nil),
        ])
    }

    /// As lines for people.
    static func text(_ transaction: Transaction, indent: Int) -> String {
        let (type, resync) = kind(transaction)
        let names = [
            "NBTransaction": "NB Transaction", "SBNotification": "SB Notification", "RetryFailedOps": "RETRY",
        ]
        var lines = ["* transaction arguments:", "    - seqNum: \(transaction.sequence)"]
        let more = resync.map { $0 == "FullResync" ? ", Full Resync" : ", SB Sync" } ?? ""
        lines.append("    - type: \(names[type] ?? type)\(more)")
        lines.append("    - description: \(transaction.reason.text)")
        lines.append("* executed operations:")
        if transaction.entries.isEmpty { lines.append("    <NONE>") }
        for (number, entry) in transaction.entries.enumerated() {
            lines.append("    \(number + 1). \(entry.verb.operation):")
            lines.append("        - key: \(entry.key)")
            lines.append("        - what: \(entry.summary)")
            lines.append("        - state: \(entry.before.name) -> \(entry.after.name)")
            if !entry.error.isEmpty { lines.append("        - error: \(entry.error)") }
        }
        let space = String(repeating: " ", count: indent)
        return lines.map { space + $0 + "\n" }.joined()
    }

    /// How long transactions took, in seconds.
    static func times(_ transactions: [Transaction]) -> JSON {
        let times = transactions.map { $0.duration.seconds }
        let total = times.reduce(0, +)
        return .fields([
            ("name", "processTransaction"), ("count", .int(Int64(times.count))), ("total", .double(total)),
            ("avg", times.isEmpty ? nil : .double(total / Double(times.count))),
            ("min", times.min().map { .double($0) }), ("max", times.max().map { .double($0) }),
        ])
    }
}

extension Duration {
    var seconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}

extension Transaction.Verb {
    /// The name on the wire.
    var operation: String {
        switch self {
        case .create, .recreate: "CREATE"
        case .update: "UPDATE"
        case .delete: "DELETE"
        case .revert: "UPDATE"
        }
    }
}
