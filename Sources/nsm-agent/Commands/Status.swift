internal import Agent
internal import ArgumentParser
internal import Model
internal import Northbound
internal import Reconciler

struct Status: WaitingCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show every value with its state, and what it waits for.",
        discussion: """
            Values stand under the namespace they are in; those that are not configured come last. Exit status 1 if a value \
            is not configured, if the files have mistakes, or if nothing has that name.
            """)

    @Argument(
        help: ArgumentHelp(
            "Only values with this name, such as br0 or 10.0.0.1, of this namespace, or whose key starts with this.",
            valueName: "name"), completion: Completions.values)
    var name = ""
    @Flag(help: "Only values that are not configured.")
    var problems = false
    @Option(
        name: .customLong("state"), parsing: .singleValue,
        help: ArgumentHelp("Only values in this state. Can be given more than once.", valueName: "state"))
    var states: [ShownState] = []
    @Flag(help: "Only mistakes, warnings and the number of values in each state.")
    var summary = false
    @Flag(name: .shortAndLong, help: "Show it again whenever it changes, until Ctrl-C.")
    var watch = false
    @OptionGroup var socket: AgentOptions
    @Option(name: .shortAndLong, help: "How to show it: table, wide (with keys), json or yaml.")
    var output = WideFormat.table

    func run() async throws {
        var report = try await ask()
        if !name.isEmpty, report.isEmpty { throw Failure("no value has the name '\(name)'\(try await hint())") }
        show(report)
        while watch {
            try await Task.sleep(for: .milliseconds(500))
            let next = try await ask()
            if next.isSame(as: report) { continue }
            report = next
            if output.isText { Show.text(Terminal.output.width != nil ? "\u{1b}[H\u{1b}[2J" : "\n") }
            show(report)
        }
        if !report.isGood { throw Failure.said(status: ExitStatus.failure) }
    }

    private func show(_ report: StatusReport) {
        switch output {
        case .table: Show.text(report.text(Terminal.output, showsKeys: false, isShort: summary))
        case .wide: Show.text(report.text(Terminal.output, showsKeys: true, isShort: summary))
        case .json: Show.text(JSONWriter.write(report.tree))
        case .yaml: Show.text(YAMLWriter.write(report.tree))
        }
    }

    private func ask() async throws -> StatusReport {
        var response = try await ask(keyPrefix: name)
        if !name.isEmpty, response.values.isEmpty {
            response = try await ask(keyPrefix: "")
            response.values.removeAll { !$0.isCalled(name) }
        }
        return StatusReport(response, filter: .init(problems: problems, states: Set(states.map(\.state))))
    }

    private func ask(keyPrefix: String) async throws -> Nsmagent_Control_StatusResponse {
        var request = Nsmagent_Control_StatusRequest()
        request.keyPrefix = keyPrefix
        return try await socket.client().answer { [request] in try await $0.status(request) }
    }

    private func hint() async throws -> String {
        let names = Set(try await ask(keyPrefix: "").values.flatMap(\.names))
        return Suggestion.phrase(for: name, among: names.sorted()) + "; 'nsm-agent status' lists all"
    }
}

/// A state as it is written on a command line.
struct ShownState: ExpressibleByArgument, Sendable {
    let state: ValueState

    init?(argument: String) {
        guard let state = ValueState.allCases.first(where: { $0.name == argument.uppercased() }) else { return nil }
        self.state = state
    }

    static var allValueStrings: [String] { ValueState.allCases.map { $0.name.lowercased() } }
}

/// How what has keys is shown.
enum WideFormat: String, ExpressibleByArgument, CaseIterable {
    case table
    case wide
    case json
    case yaml

    /// Whether it is for people.
    var isText: Bool {
        switch self {
        case .table, .wide: true
        case .json, .yaml: false
        }
    }
}

extension Nsmagent_Control_Value {
    /// The words that it is found by.
    fileprivate var names: [String] {
        let parts = status.key.split(separator: "/").suffix(2).map { String($0) }
        let words = summary.split(whereSeparator: { $0 == " " || $0 == "," }).map { String($0) }
        return namespace.isEmpty ? parts + words : parts + words + [namespace]
    }

    /// Whether a name is a word of it, or an address without its length.
    fileprivate func isCalled(_ name: String) -> Bool {
        status.key.split(separator: "/").contains { $0 == name }
            || names.contains { $0 == name || $0.hasPrefix(name + "/") }
    }
}
