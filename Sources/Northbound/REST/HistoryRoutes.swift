internal import Concurrency
internal import HTTPTypes
internal import Hummingbird
internal import Model
internal import Reconciler

/// `/scheduler/…`: what was done, and how values were over time.
struct HistoryRoutes: Sendable {
    let backend: any RESTBackend
    let json: ValueJSON

    // MARK: - Transactions

    func transactions(_ call: RESTCall) async throws -> Response {
        let format = call.query["format"] ?? "json"
        let number = try call.query.number("seq-num", "ParseUint", as: UInt64.self)
        let since = try call.query.number("since", "ParseInt", as: Int64.self)
        let until = try call.query.number("until", "ParseInt", as: Int64.self)
        let all = await backend.pastTransactions()
        guard format == "json" || format == "text" else { throw RESTError("unrecognized output format") }
        if let number {
            guard let transaction = all.first(where: { $0.sequence == number }) else { throw Self.unknown }
            if format == "text" { return .text(TransactionJSON.text(transaction, indent: 0)) }
            return .json(TransactionJSON.transaction(transaction))
        }
        let wanted = all.filter { transaction in
            let end = transaction.start.advanced(by: transaction.duration)
            return since.map { end.nanoseconds >= $0 } ?? true
                && until.map { transaction.start.nanoseconds <= $0 } ?? true
        }
        if format == "text" {
            return .text(
                wanted.map { "Transaction #\($0.sequence):\n" + TransactionJSON.text($0, indent: 4) }
                    .joined(separator: "\n"))
        }
        return call.array(wanted) { TransactionJSON.transaction($0) }
    }

    private static let unknown = RESTError("transaction with such sequence number is not recorded", .notFound)

    // MARK: - Values over time

    private func timeline() async -> Timeline {
        await Timeline(backend.pastTransactions(), backend.statuses(prefix: "").map(\.status))
    }

    /// How one value was over time.
    private func timeline(of key: Key) async -> [Timeline.Record] {
        let transactions = await backend.pastTransactions().map { transaction in
            var transaction = transaction
            transaction.entries.removeAll { $0.key != key }
            return transaction
        }
        return await Timeline(transactions, backend.status(key: key).map { [$0.status] } ?? []).records[key] ?? []
    }

    private func writer() async -> RecordJSON {
        await RecordJSON(json, backend.declaredValues(), backend.dependencies(prefix: ""))
    }

    func timeline(_ call: RESTCall) async throws -> Response {
        guard let key = call.query["key"] else { throw RESTError("missing key argument") }
        let time = try call.query.number("time", "ParseInt", as: Int64.self)
        let records = await timeline(of: key)
        let writer = await writer()
        if let time {
            let found = records.last { $0.covers(Timestamp(nanoseconds: time)) }
            return .json(try found.map(writer.record) ?? .null)
        }
        return .json(records.isEmpty ? .null : .array(try records.map(writer.record)))
    }

    func snapshot(_ call: RESTCall) async throws -> Response {
        let time = try call.query.number("time", "ParseInt", as: Int64.self)
        let records = await timeline().snapshot(at: time.map { Timestamp(nanoseconds: $0) } ?? .now)
        if records.isEmpty { return .json(.null) }
        let writer = await writer()
        return call.array(records) { try writer.record($0) }
    }

    func flagStatistics(_ call: RESTCall) async throws -> Response {
        guard let flag = call.query["flag"] else { throw RESTError("missing flag argument") }
        guard Timeline.flagNames.contains(flag) else {
            let known = Timeline.flagNames.sorted().joined(separator: ", ")
            throw RESTError("unknown flag '\(flag.prefix(100))'; there are \(known)")
        }
        let prefixes = call.query.all("prefix")
        var (total, counts) = (0, [String: Int]())
        for record in await timeline().records.values.joined() {
            guard prefixes.isEmpty || prefixes.contains(where: { record.key.hasPrefix($0) }) else { continue }
            total += 1
            if let text = record.flags.first(where: { $0.name == flag })?.text { counts[text, default: 0] += 1 }
        }
        let sorted = counts.sorted { $0.key < $1.key }.map { ($0.key, JSON.int(Int64($0.value))) }
        return .json(.object([("TotalCount", .int(Int64(total))), ("PerValueCount", .object(sorted))]))
    }

    // MARK: - Graph

    func graph(_ call: RESTCall) async throws -> Response {
        var records = await timeline()
        var title = "current"
        var time: Timestamp?
        if let number = try call.query.number("txn", "ParseUint", as: UInt64.self) {
            let transactions = await backend.pastTransactions()
            guard let found = transactions.first(where: { $0.sequence == number }) else { throw Self.unknown }
            time = found.start.advanced(by: found.duration)
            title = "transaction \(number)"
            records = await Timeline(
                transactions.filter { $0.sequence <= number }, backend.statuses(prefix: "").map(\.status))
        }
        guard ["dot", "raw"].contains(call.query["format"] ?? "") else {
            throw RESTError("no pictures are drawn here: ask with format=dot, and 'dot -Tsvg' draws what is answered")
        }
        let nodes = records.snapshot(at: time ?? .now)
        let edges = await backend.dependencies(prefix: "")
        return .text(Self.dot(nodes, edges, title: title))
    }

    private static func dot(_ nodes: [Timeline.Record], _ edges: [GraphEdge], title: String) -> String {
        let known = Set(nodes.map(\.key))
        var text = "digraph kvscheduler {\n    label=\(quote("\(nodes.count) keys - \(title)"));\n    rankdir=LR;\n"
        text += "    node [shape=box style=filled fontname=Courier];\n"
        for node in nodes {
            let colour = colour(node.state)
            let hint = "[\(node.state.name)] \(node.key)" + (node.error.isEmpty ? "" : "\n\(node.error)")
            text += "    \(quote(node.key)) [fillcolor=\(colour) tooltip=\(quote(hint))];\n"
        }
        for edge in edges where known.contains(edge.from) {
            let style = edge.isDerived ? "color=gray" : edge.isUnmet ? "color=red style=dashed" : "color=black"
            text += "    \(quote(edge.from)) -> \(quote(edge.to)) [\(style)];\n"
        }
        return text + "}\n"
    }

    private static func quote(_ text: String) -> String {
        "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n") + "\""
    }

    private static func colour(_ state: ValueState) -> String {
        switch state {
        case .configured: "palegreen"
        case .obtained, .discovered: "lightyellow"
        case .pending: "lightblue"
        case .invalid, .failed, .retrying: "salmon"
        case .nonexistent, .missing, .unimplemented, .removed: "lightgray"
        }
    }
}
