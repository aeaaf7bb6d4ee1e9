internal import Concurrency
internal import Model
internal import Reconciler

/// How values were over time, as far as the history knows.
struct Timeline: Sendable {
    /// A value between two changes.
    struct Record: Sendable {
        let key: Key
        let since: Timestamp
        /// Nil: it is so now.
        var until: Timestamp?
        let state: ValueState
        /// The transaction that made it so; nil: none that is remembered.
        let transaction: UInt64?
        let error: String
        let base: Key?

        /// What is said of it, by name.
        var flags: [(name: String, text: String)] {
            var flags: [(String, String)] = []
            if let transaction { flags.append(("last-update", "TXN-\(transaction)")) }
            flags.append(("value-state", state.name))
            if let descriptor = DescriptorName.name(ofKey: key) { flags.append(("descriptor", descriptor)) }
            if !error.isEmpty { flags.append(("error", error)) }
            if let base { flags.append(("derived", base)) }
            switch state {
            case .configured, .obtained, .discovered: break
            case .nonexistent, .missing, .unimplemented, .removed, .pending, .invalid, .failed, .retrying:
                flags.append(("unavailable", ""))
            }
            return flags
        }

        func covers(_ time: Timestamp) -> Bool { since <= time && (until.map { time < $0 } ?? true) }
    }

    /// The names that ``Record/flags`` can have.
    static let flagNames: Set<String> = [
        "last-update", "error", "value-state", "unavailable", "descriptor", "derived",
    ]

    /// By key, the oldest first.
    private(set) var records: [Key: [Record]] = [:]

    init(_ transactions: [Transaction], _ statuses: [ValueStatus]) {
        let now = Dictionary(statuses.map { ($0.key, $0) }, uniquingKeysWith: { first, _ in first })
        for transaction in transactions {
            let end = transaction.start.advanced(by: transaction.duration)
            for entry in transaction.entries where !entry.key.isEmpty {
                close(entry.key, at: end)
                guard entry.after != .removed, entry.after != .nonexistent else { continue }
                records[entry.key, default: []].append(
                    Record(
                        key: entry.key, since: end, state: entry.after, transaction: transaction.sequence,
                        error: entry.error, base: now[entry.key]?.baseKey))
            }
        }
        for (key, list) in records where now[key] == nil {
            if let last = list.last, last.until == nil { close(key, at: last.since) }
        }
        for status in statuses {
            let last = records[status.key]?.last
            if let last, last.until == nil, last.state == status.state { continue }
            close(status.key, at: status.since)
            records[status.key, default: []].append(
                Record(
                    key: status.key, since: status.since, state: status.state, transaction: nil, error: status.error,
                    base: status.baseKey))
        }
    }

    private mutating func close(_ key: Key, at time: Timestamp) {
        guard let index = records[key]?.indices.last, records[key]?[index].until == nil else { return }
        records[key]?[index].until = time
    }

    /// How everything was at a time, sorted by key.
    func snapshot(at time: Timestamp) -> [Record] {
        records.values.compactMap { $0.last { $0.covers(time) } }.sorted { $0.key < $1.key }
    }
}

/// Writes records of values.
struct RecordJSON: Sendable {
    let json: ValueJSON
    /// Declared values.
    let values: [Key: ModelValue]
    /// What depends on what.
    let edges: [Key: [GraphEdge]]

    init(_ json: ValueJSON, _ declared: [DeclaredValue], _ edges: [GraphEdge]) {
        self.json = json
        values = Dictionary(declared.map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first })
        self.edges = Dictionary(grouping: edges, by: \.from)
    }

    func record(_ record: Timeline.Record) throws -> JSON {
        // What the value was before is not remembered.
        let value = record.until == nil ? values[record.key] : nil
        let encoded: JSON
        if let value {
            encoded = try json.value(value)
        } else {
            encoded = record.key.hasPrefix("config/") ? .null : json.empty
        }
        return .object([
            ("Since", ValueJSON.time(record.since)), ("Until", record.until.map(ValueJSON.time) ?? ValueJSON.never),
            ("Key", .string(record.key)), ("Label", .string(Self.label(record.key))), ("Value", encoded),
            ("Flags", .object(record.flags.map { ($0.name, .string($0.text)) })), ("MetadataFields", metadata(value)),
            ("Targets", targets(record)), ("TargetUpdateOnly", false),
        ])
    }

    private static func label(_ key: Key) -> String {
        ModelRegistry.model(forKey: key).map { String(key.dropFirst($0.keyPrefix.count)) } ?? key
    }

    private func metadata(_ value: ModelValue?) -> JSON {
        guard case .interface(let message)? = value else { return .null }
        let name = message.hostIfName.isEmpty ? message.name : message.hostIfName
        return .object([("host-iface-name", .array([.string(name)]))])
    }

    private func targets(_ record: Timeline.Record) -> JSON {
        guard record.until == nil, let edges = edges[record.key] else { return .null }
        return .array(
            edges.map { edge in
                .object([
                    ("Relation", edge.isDerived ? "derives" : "depends-on"), ("Label", .string(edge.to)),
                    ("ExpectedKey", .string(edge.to)),
                    ("MatchingKeys", edge.isUnmet ? .null : .array([.string(edge.to)])),
                ])
            })
    }
}
