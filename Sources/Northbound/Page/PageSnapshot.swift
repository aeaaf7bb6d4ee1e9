internal import Model
internal import Reconciler

/// All that the page shows at one time, as JSON.
struct PageSnapshot: Sendable {
    /// The most values that are shown. Those that need somebody's attention come first, then those that users declare.
    static let mostValues = 25_000
    /// The most transactions that are shown, the newest.
    static let mostTransactions = 200

    /// The agent itself.
    private var agent: String
    /// How many values are not shown.
    private let omitted: Int
    /// Values by their keys, and what they look like.
    private let values: [Key: (value: PageValue, text: String)]
    /// What was done, oldest first.
    private let transactions: [(number: UInt64, text: String)]

    /// Looks at the engine. What has not changed since another look is not written anew.
    init(_ backend: any RESTBackend, after last: PageSnapshot? = nil) async {
        let all = await backend.statuses(prefix: "")
        var context = PageValue.Context()
        for value in await backend.declaredValues() { context.declared[value.key] = value.value }
        for device in await backend.devices(withTraffic: false) {
            context.devices[device.message.name] = .init(device)
        }
        for edge in await backend.dependencies(prefix: "") where !edge.isDerived {
            context.needs[edge.from, default: []].append(edge.to)
        }
        let transactions = await backend.pastTransactions()
        self.init(await backend.agentReport(), all, context, transactions, after: last)
    }

    init(
        _ report: AgentReport, _ all: [ProvidedStatus], _ context: PageValue.Context, _ transactions: [Transaction],
        after last: PageSnapshot? = nil
    ) {
        let shown = Self.mostUseful(all)
        omitted = all.count - shown.count
        agent = Self.agent(report, omitted: omitted)
        var values: [Key: (value: PageValue, text: String)] = [:]
        for status in shown {
            let value = PageValue(status, context)
            let known = last?.values[status.status.key]
            let text = known.flatMap { $0.value == value ? $0.text : nil }
            values[status.status.key] = (value, text ?? value.json.compact)
        }
        self.values = values
        self.transactions = transactions.suffix(Self.mostTransactions).map {
            ($0.sequence, Self.transaction($0).compact)
        }
    }

    /// All of it.
    var text: String {
        let values = values.sorted { $0.key < $1.key }.map(\.value.text)
        return Self.object([
            ("agent", agent), ("values", Self.list(values)), ("transactions", Self.list(transactions.map(\.text))),
        ])
    }

    /// What is another than before; nil: nothing is.
    func change(since old: PageSnapshot) -> String? {
        var parts: [(String, String)] = []
        if agent != old.agent { parts.append(("agent", agent)) }
        let changed = values.filter { old.values[$0.key]?.text != $0.value.text }.sorted { $0.key < $1.key }
        if !changed.isEmpty { parts.append(("values", Self.list(changed.map(\.value.text)))) }
        let gone = old.values.keys.filter { values[$0] == nil }.sorted()
        if !gone.isEmpty { parts.append(("gone", JSON.array(gone.map { .string($0) }).compact)) }
        let last = old.transactions.last?.number ?? 0
        let new = transactions.filter { $0.number > last }.map(\.text)
        if !new.isEmpty { parts.append(("transactions", Self.list(new))) }
        return parts.isEmpty ? nil : Self.object(parts)
    }

    /// Takes up what the agent says of itself. Returns the change; nil: it is the same as before.
    mutating func note(_ report: AgentReport) -> String? {
        let new = Self.agent(report, omitted: omitted)
        if new == agent { return nil }
        agent = new
        return Self.object([("agent", agent)])
    }

    // MARK: - Parts

    private static func list(_ texts: [String]) -> String { "[\(texts.joined(separator: ","))]" }

    private static func object(_ parts: [(String, String)]) -> String {
        "{\(parts.map { "\"\($0)\":\($1)" }.joined(separator: ","))}"
    }

    private static func mostUseful(_ all: [ProvidedStatus]) -> [ProvidedStatus] {
        if all.count <= mostValues { return all }
        func order(_ value: ProvidedStatus) -> Int {
            (isGood(value.status.state) ? 2 : 0) + (value.status.baseKey == nil ? 0 : 1)
        }
        return (0..<4).lazy.flatMap { wanted in all.lazy.filter { order($0) == wanted } }.prefix(mostValues).map(\.self)
    }

    private static func isGood(_ state: ValueState) -> Bool {
        switch state {
        case .configured, .obtained, .discovered: true
        case .nonexistent, .missing, .unimplemented, .removed, .pending, .invalid, .failed, .retrying: false
        }
    }

    private static func agent(_ report: AgentReport, omitted: Int) -> String {
        JSON.fields([
            ("version", .string(report.version)), ("label", .string(report.label)),
            ("start", PageValue.milliseconds(report.start)), ("ready", .bool(report.isReady)),
            ("mistakes", texts(report.mistakes)), ("warnings", texts(report.warnings)),
            ("omitted", omitted > 0 ? .int(Int64(omitted)) : nil),
        ]).compact
    }

    private static func texts(_ texts: [String]) -> JSON? {
        texts.isEmpty ? nil : .array(texts.prefix(100).map(PageValue.bounded))
    }

    private static func transaction(_ transaction: Transaction) -> JSON {
        var verbs: [String: Int64] = [:]
        for entry in transaction.entries { verbs[entry.verb.rawValue, default: 0] += 1 }
        let failures = transaction.entries.count { !$0.error.isEmpty }
        return .fields([
            ("number", .uint(transaction.sequence)), ("reason", .string(transaction.reason.text)),
            ("start", PageValue.milliseconds(transaction.start)), ("seconds", .double(transaction.duration.seconds)),
            ("verbs", .object(verbs.sorted { $0.key < $1.key }.map { ($0.key, .int($0.value)) })),
            ("failed", failures > 0 ? .int(Int64(failures)) : nil),
            ("omitted", transaction.omitted > 0 ? .int(Int64(transaction.omitted)) : nil),
            ("found", transaction.found.isEmpty ? nil : .string(transaction.found.text)),
            ("details", texts(transaction.found.details)),
            ("reverted", transaction.reverted ? true : nil), ("losses", texts(transaction.losses)),
        ])
    }
}
