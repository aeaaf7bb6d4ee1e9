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
        self.status.error = status.error
        self.status.lastOperation =
            Ligato_Kvscheduler_TxnOperation(rawValue: status.lastOperation.rawValue) ?? .undefined
        self.status.details = status.details
        baseKey = status.baseKey ?? ""
        (sinceSeconds, sinceNanos) = status.since.parts
        if let due = status.nextTry { retryIn = max(0.001, Double(due.nanoseconds - now.nanoseconds) / 1e9) }
        summary = status.summary.isEmpty ? status.kind : status.summary
    }
}

extension Nsmagent_Control_Transaction {
    /// A finished transaction; its start must be a time of the wall clock.
    public init(_ transaction: Transaction) {
        self.init()
        sequence = transaction.sequence
        reason = transaction.reason
        (startSeconds, startNanos) = transaction.start.parts
        durationUs = transaction.duration.microseconds
        operations = transaction.entries.map { entry in
            var operation = Nsmagent_Control_Operation()
            operation.verb = entry.verb
            operation.key = entry.key
            operation.summary = entry.summary
            operation.before = Ligato_Kvscheduler_ValueState(entry.before)
            operation.after = Ligato_Kvscheduler_ValueState(entry.after)
            operation.error = entry.error
            return operation
        }
    }
}

extension Nsmagent_Control_GraphResponse {
    /// A graph. What an edge names without being a value becomes a node without a state.
    public init(_ values: [ValueStatus], edges: [GraphEdge]) {
        self.init()
        var known: Set<String> = []
        for value in values {
            known.insert(value.key)
            nodes.append(.with(value.key, Ligato_Kvscheduler_ValueState(value.state), value.summary))
        }
        for edge in edges {
            if known.insert(edge.to).inserted { nodes.append(.with(edge.to, .nonexistent, edge.to)) }
            var line = Nsmagent_Control_GraphEdge()
            line.from = edge.from
            line.to = edge.to
            line.derived = edge.isDerived
            line.unmet = edge.isUnmet
            self.edges.append(line)
        }
    }
}

extension Nsmagent_Control_GraphNode {
    fileprivate static func with(_ key: String, _ state: Ligato_Kvscheduler_ValueState, _ label: String) -> Self {
        var node = Self()
        node.key = key
        node.state = state
        node.label = label
        return node
    }
}

extension Ligato_Kvscheduler_ValueState {
    fileprivate init(_ state: ValueState) { self = Self(rawValue: state.rawValue) ?? .nonexistent }
}

extension Timestamp {
    fileprivate var parts: (seconds: Int64, nanoseconds: Int32) {
        (nanoseconds / 1_000_000_000, Int32(nanoseconds % 1_000_000_000))
    }
}

extension Duration {
    fileprivate var microseconds: Int64 {
        components.seconds * 1_000_000 + components.attoseconds / 1_000_000_000_000
    }
}
