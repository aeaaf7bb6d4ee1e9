public import Concurrency
internal import Model
public import Reconciler

extension Nsmagent_Control_Value {
    /// What a status says.
    /// - Parameters:
    ///   - status: the status; its times must be those of the wall clock.
    ///   - now: the wall clock.
    public init(_ status: ValueStatus, now: Timestamp) {
        self.init()
        self.status.key = status.key
        self.status.state = Ligato_Kvscheduler_ValueState(status.state)
        self.status.error = status.error.bounded
        self.status.lastOperation =
            Ligato_Kvscheduler_TxnOperation(rawValue: status.lastOperation.rawValue) ?? .undefined
        self.status.details = Self.bounded(status.details)
        baseKey = status.baseKey ?? ""
        (sinceSeconds, sinceNanos) = status.since.parts
        if let due = status.nextTry { retryIn = max(0.001, Double(due.nanoseconds - now.nanoseconds) / 1e9) }
        summary = status.summary.isEmpty ? status.kind : status.summary.bounded
        kind = status.kind
    }

    /// The first details, up to a size that is useful to a reader, and the number of those left out.
    private static func bounded(_ details: [String]) -> [String] {
        var rest = 64 << 10
        let start = details.prefix { detail in
            rest -= detail.utf8.count
            return rest >= 0
        }
        if start.count == details.count { return details }
        return start + ["and \(details.count - start.count) more"]
    }
}

extension Nsmagent_Control_Transaction {
    /// Some of what was done in a finished transaction, whose start must be a time of the wall clock.
    public init(_ transaction: Transaction, _ entries: some Sequence<Transaction.Entry>) {
        self.init(head: transaction)
        operations = entries.map { Nsmagent_Control_Operation($0) }
    }

    /// A finished transaction without what was done in it.
    init(head transaction: Transaction) {
        self.init()
        sequence = transaction.sequence
        reason = transaction.reason.text
        (startSeconds, startNanos) = transaction.start.parts
        durationUs = transaction.duration.microseconds
        omitted = UInt64(transaction.omitted)
        if transaction.found.isEmpty { return }
        found.inPlace = UInt64(transaction.found.inPlace)
        found.missing = UInt64(transaction.found.missing)
        found.different = UInt64(transaction.found.different)
        found.leftovers = UInt64(transaction.found.leftovers)
        found.details = transaction.found.details.map(\.bounded)
    }
}

extension Nsmagent_Control_Operation {
    /// What was done to one value.
    init(_ entry: Transaction.Entry) {
        self.init()
        verb = entry.verb.rawValue
        key = entry.key
        summary = entry.summary.bounded
        before = Ligato_Kvscheduler_ValueState(entry.before)
        after = Ligato_Kvscheduler_ValueState(entry.after)
        error = entry.error.bounded
    }
}

extension Nsmagent_Control_GraphNode {
    init(_ key: String, _ state: ValueState, _ label: String) {
        self.init()
        self.key = key
        self.state = Ligato_Kvscheduler_ValueState(state)
        self.label = label.bounded
    }
}

extension Nsmagent_Control_GraphEdge {
    init(_ edge: GraphEdge) {
        self.init()
        from = edge.from
        to = edge.to
        derived = edge.isDerived
        unmet = edge.isUnmet
    }
}

extension String {
    /// The text, or as much of it as is of use to a reader.
    fileprivate var bounded: String {
        let most = 64 << 10
        return utf8.count <= most ? self : String(decoding: utf8.prefix(most), as: UTF8.self) + "…"
    }
}

extension Ligato_Kvscheduler_ValueState {
    fileprivate init(_ state: ValueState) { self = Self(rawValue: state.rawValue) ?? .nonexistent }
}

extension Duration {
    fileprivate var microseconds: Int64 {
        components.seconds * 1_000_000 + components.attoseconds / 1_000_000_000_000
    }
}
