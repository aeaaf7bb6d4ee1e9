internal import Agent
internal import Concurrency
internal import Model
internal import Northbound
internal import Reconciler

/// What an agent said of itself and its values.
struct StatusReport {
    /// Which values are shown.
    struct Filter {
        /// Only those that are not as they should be.
        var problems = false
        /// Only those in one of these states; empty: all.
        var states: Set<ValueState> = []

        func shows(_ state: ValueState) -> Bool {
            if problems, HostNetwork.isGood(state) { return false }
            return states.isEmpty || states.contains(state)
        }
    }

    private let response: Nsmagent_Control_StatusResponse
    private let shown: [Nsmagent_Control_Value]
    private let now = Timestamp.now

    init(_ response: Nsmagent_Control_StatusResponse, filter: Filter) {
        self.response = response
        shown = response.values.filter { filter.shows(ValueState($0.status.state)) }
    }

    /// Whether none of the requested values exists.
    var isEmpty: Bool { response.values.isEmpty }

    /// Whether all is as the files say.
    var isGood: Bool { response.mistakes.isEmpty && response.values.allSatisfy(\.isGood) }

    /// Whether the same is to be said, but for the time that passed.
    func isSame(as other: StatusReport) -> Bool {
        var (ours, others) = (response, other.response)
        for index in ours.values.indices { ours.values[index].retryIn = 0 }
        for index in others.values.indices { others.values[index].retryIn = 0 }
        (ours.uptime, others.uptime) = (0, 0)
        return ours == others
    }

    // MARK: - For people

    /// - Parameters:
    ///   - showsKeys: whether keys have a column.
    ///   - isShort: whether only problems of the agent and the counts are shown.
    func text(_ terminal: Terminal, showsKeys: Bool, isShort: Bool) -> String {
        var text = ""
        if !isShort, !shown.isEmpty { text += table(showsKeys).text(terminal) + "\n" }
        for warning in response.warnings { text += terminal.paint("Warning: ", .yellow) + warning + "\n" }
        if !response.warnings.isEmpty { text += "\n" }
        if !response.mistakes.isEmpty {
            text += terminal.paint("The files have mistakes and are not in force:", .red) + "\n"
            for mistake in response.mistakes { text += "  \(mistake)\n" }
            text += "\n"
        }
        return text + summary + "\n"
    }

    private func table(_ showsKeys: Bool) -> Table {
        var table =
            showsKeys ? Table("VALUE", "STATE", "SINCE", "KEY", "DETAIL") : Table("VALUE", "STATE", "SINCE", "DETAIL")
        let (good, bad) = (shown.filter(\.isGood), shown.filter { !$0.isGood })
        add(good, to: &table, showsKeys)
        if !good.isEmpty, !bad.isEmpty {
            table.addHeading("")
            table.addHeading("Not configured:", .bold)
        }
        add(bad, to: &table, showsKeys)
        return table
    }

    /// Adds values, each namespace under its name, and what is a part of another value behind that.
    private func add(_ values: [Nsmagent_Control_Value], to table: inout Table, _ showsKeys: Bool) {
        let namespaces = Set(values.map(\.namespace)).sorted()
        var parts: [String: [Nsmagent_Control_Value]] = [:]
        let bases = Set(values.map(\.status.key))
        for value in values where bases.contains(value.baseKey) { parts[value.baseKey, default: []].append(value) }
        for namespace in namespaces {
            let isOne = namespaces == [""] && Set(shown.map(\.namespace)) == [""]
            if !isOne { table.addHeading(namespace.isEmpty ? "the agent's own namespace" : namespace, .bold) }
            let indent = isOne ? "" : "  "
            for value in values where value.namespace == namespace && !bases.contains(value.baseKey) {
                add(value, to: &table, indent: indent, showsKeys)
                for part in parts[value.status.key] ?? [] { add(part, to: &table, indent: indent + "  ", showsKeys) }
            }
        }
    }

    private func add(_ value: Nsmagent_Control_Value, to table: inout Table, indent: String, _ showsKeys: Bool) {
        let state = ValueState(value.status.state)
        let since = value.since.map { Text.age(seconds: now.since($0).components.seconds) } ?? ""
        let start: [Table.Cell] = [.init(indent + value.name), .init(state.name, state.colour), .init(since)]
        let key: [Table.Cell] = showsKeys ? [.init(value.status.key)] : []
        table.add(start + key + [.init(Self.detail(value, state))])
    }

    private static func detail(_ value: Nsmagent_Control_Value, _ state: ValueState) -> String {
        let sources = sources(value)
        if HostNetwork.isGood(state) { return (value.status.details + sources).joined(separator: "; ") }
        var parts: [String] = []
        if !value.status.error.isEmpty { parts.append(value.status.error) }
        let details = value.status.details.joined(separator: ", ")
        if !details.isEmpty { parts.append(state == .pending ? "waits for \(details)" : details) }
        if value.retryIn > 0 { parts.append("next try in \(Text.age(seconds: Int64(value.retryIn.rounded(.up))))") }
        return (parts + sources).joined(separator: "; ")
    }

    /// Who declares it, and who does in vain.
    private static func sources(_ value: Nsmagent_Control_Value) -> [String] {
        if value.source.isEmpty { return [] }
        let others = value.otherSources.isEmpty ? "" : ", not from \(value.otherSources.joined(separator: ", "))"
        // A place in a file says that it is one.
        let files = "files "
        let source = value.source.hasPrefix(files) ? String(value.source.dropFirst(files.count)) : value.source
        return ["from \(source)\(others)"]
    }

    private var summary: String {
        var counts: [ValueState: Int] = [:]
        for value in response.values { counts[ValueState(value.status.state), default: 0] += 1 }
        let parts = ValueState.allCases.compactMap { state in
            counts[state].map { "\($0) \(state.name.lowercased())" }
        }
        let values = Text.count(response.values.count, "value") + (parts.isEmpty ? "" : ": ")
        let repairs = response.repairs ? "" : " Drift is only reported."
        return values + parts.joined(separator: ", ") + "." + repairs
    }

    // MARK: - For programs

    var tree: Tree {
        let values = shown.map { value -> Tree in
            var pairs: [(String, Tree)] = [
                ("key", .string(value.status.key)), ("kind", .string(value.kind)), ("summary", .string(value.summary)),
                ("namespace", .string(value.namespace)), ("state", .string(ValueState(value.status.state).name)),
                ("since", .string(value.since?.rfc3339(fractionDigits: 3) ?? "")),
            ]
            if !value.baseKey.isEmpty { pairs.append(("partOf", .string(value.baseKey))) }
            if !value.source.isEmpty { pairs.append(("source", .string(value.source))) }
            if !value.otherSources.isEmpty { pairs.append(("otherSources", .texts(value.otherSources))) }
            if !value.status.error.isEmpty { pairs.append(("error", .string(value.status.error))) }
            if !value.status.details.isEmpty { pairs.append(("details", .texts(value.status.details))) }
            if value.retryIn > 0 { pairs.append(("retryInSeconds", .double(value.retryIn))) }
            return .mapping(pairs)
        }
        return [
            "version": .string(response.version), "label": .string(response.label), "pid": .int(Int64(response.pid)),
            "uptimeSeconds": .double(response.uptime), "repairs": .bool(response.repairs),
            "files": .texts(response.files), "mistakes": .texts(response.mistakes),
            "warnings": .texts(response.warnings), "values": .sequence(values),
        ]
    }
}

extension Nsmagent_Control_Value {
    /// When it entered its state; nil when what was said is no time.
    fileprivate var since: Timestamp? { Timestamp(seconds: sinceSeconds, nanos: sinceNanos) }

    fileprivate var isGood: Bool { HostNetwork.isGood(ValueState(status.state)) }

    /// What it is and its name, as ip(8) says them: `bridge br0`, `address 10.0.0.1/24 on br0`. The namespace is said elsewhere.
    fileprivate var name: String {
        let end = " in \(namespace)"
        let short = !namespace.isEmpty && summary.hasSuffix(end) ? String(summary.dropLast(end.count)) : summary
        switch kind {
        case "interface": return named(short)
        case "NSM client": return named("\(kind) \(short)")
        case "admin state", "settings", "membership", "": return short
        default: return short.hasPrefix(kind) ? short : "\(kind) \(short)"
        }
    }

    /// With the name that others use for it, where that is another one.
    private func named(_ text: String) -> String {
        let name = status.key.split(separator: "/").last.map { String($0) } ?? ""
        return text.split(separator: " ").contains { $0 == name } ? text : "\(text) (\(name))"
    }
}
