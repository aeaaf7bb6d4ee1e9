internal import Concurrency
internal import Agent
internal import ArgumentParser
internal import Model
internal import Northbound
internal import Reconciler

struct Status: WaitingCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show every value with its state, and what it waits for.",
        discussion: "Exit status 1 if a value is not configured, or if the files have mistakes.")

    @Argument(help: "Only values whose key starts with this.")
    var keyPrefix = ""
    @Flag(name: .shortAndLong, help: "Show it again whenever it changes, until Ctrl-C.")
    var watch = false
    @OptionGroup var socket: AgentOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        var request = Nsmagent_Control_StatusRequest()
        request.keyPrefix = keyPrefix
        var report = StatusReport(try await socket.client().answer { [request] in try await $0.status(request) })
        Show.tree(report.tree, as: output.output) { report.text($0) }
        while watch {
            try await Task.sleep(for: .milliseconds(500))
            let next = StatusReport(try await socket.client().answer { [request] in try await $0.status(request) })
            if next.isSame(as: report) { continue }
            report = next
            if output.output == .table { Show.text(Terminal.output.width != nil ? "\u{1b}[H\u{1b}[2J" : "\n") }
            Show.tree(report.tree, as: output.output) { report.text($0) }
        }
        if !report.isGood { throw Failure.said(status: ExitStatus.failure) }
    }
}

/// What an agent said of itself and its values.
private struct StatusReport {
    private let response: Nsmagent_Control_StatusResponse
    private let now = Timestamp.now

    init(_ response: Nsmagent_Control_StatusResponse) { self.response = response }

    /// Whether all is as the files say.
    var isGood: Bool {
        response.mistakes.isEmpty && response.values.allSatisfy { HostNetwork.isGood(ValueState($0.status.state)) }
    }

    /// Whether the same is to be told, but for the time that passed.
    func isSame(as other: StatusReport) -> Bool {
        var (ours, others) = (response, other.response)
        for index in ours.values.indices { ours.values[index].retryIn = 0 }
        for index in others.values.indices { others.values[index].retryIn = 0 }
        (ours.uptime, others.uptime) = (0, 0)
        return ours == others
    }

    func text(_ terminal: Terminal) -> String {
        var text = ""
        if !response.mistakes.isEmpty {
            text += terminal.paint("The files have mistakes and are not in force:", .red) + "\n"
            for mistake in response.mistakes { text += "  \(mistake)\n" }
            text += "\n"
        }
        for warning in response.warnings { text += terminal.paint("Warning: ", .yellow) + warning + "\n" }
        if !response.warnings.isEmpty { text += "\n" }
        if !response.values.isEmpty {
            var table = Table("KEY", "STATE", "SINCE", "DETAIL")
            for value in response.values {
                let state = ValueState(value.status.state)
                table.add(
                    .init(value.status.key), .init(state.name, state.colour),
                    .init(value.since.map { Text.age(seconds: now.since($0).components.seconds) } ?? ""),
                    .init(Self.detail(value, state)))
            }
            text += table.text(terminal) + "\n"
        }
        return text + summary + "\n"
    }

    private static func detail(_ value: Nsmagent_Control_Value, _ state: ValueState) -> String {
        let sources = sources(value)
        if HostNetwork.isGood(state) {
            return ([value.summary] + value.status.details + sources).joined(separator: "; ")
        }
        var parts: [String] = []
        if !value.status.error.isEmpty { parts.append(value.status.error) }
        let details = value.status.details.joined(separator: ", ")
        if !details.isEmpty { parts.append(state == .pending ? "waits for \(details)" : details) }
        if value.retryIn > 0 { parts.append("next try in \(Text.age(seconds: Int64(value.retryIn.rounded(.up))))") }
        return ((parts.isEmpty ? [value.summary] : parts) + sources).joined(separator: "; ")
    }

    /// Who declares it, and who does in vain.
    private static func sources(_ value: Nsmagent_Control_Value) -> [String] {
        if value.source.isEmpty { return [] }
        let others = value.otherSources.isEmpty ? "" : ", not from \(value.otherSources.joined(separator: ", "))"
        return ["from \(value.source)\(others)"]
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

    var tree: Tree {
        let values = response.values.map { value -> Tree in
            var pairs: [(String, Tree)] = [
                ("key", .string(value.status.key)), ("summary", .string(value.summary)),
                ("state", .string(ValueState(value.status.state).name)),
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
}
