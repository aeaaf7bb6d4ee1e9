internal import Concurrency
internal import Model
internal import Northbound
internal import Reconciler

/// All that a daemon knows of one value, on one screen.
struct ValueStory {
    private let answer: Nsmagent_Control_ExplainResponse
    private let value: ModelValue?
    private let now = Timestamp.now

    /// The largest number of parts to list one by one.
    private static let mostParts = 10

    /// Asks the daemon.
    init(_ key: Key, client: ControlClient) async throws {
        let answer = try await client.explain(key)
        self.answer = answer
        guard answer.hasValue else {
            let hint =
                answer.similarKey.isEmpty
                ? "'nsm-agent status' lists all" : "did you mean '\(answer.similarKey)'?"
            throw Failure("the agent knows no value '\(key)'; \(hint)")
        }
        value = try ModelRegistry.model(named: answer.model).map {
            try ModelValue($0.kind, serializedBytes: answer.message)
        }
    }

    func text(_ terminal: Terminal) -> String {
        let status = answer.value
        let state = ValueState(status.status.state)
        var lines = [status.status.key + (status.summary.isEmpty ? "" : ": \(status.summary)")]
        func add(_ name: String, _ text: String) { lines.append("  \(Text.pad(name, 13))\(text)") }
        if !status.baseKey.isEmpty { add("part of", status.baseKey) }
        add("wanted by", status.source.isEmpty ? "no source any more" : status.source)
        for other in status.otherSources { add("overruled", other) }
        let since = Timestamp(seconds: status.sinceSeconds, nanos: status.sinceNanos)
        let age = since.map { ", since \(Text.age(seconds: now.since($0).components.seconds))" } ?? ""
        add("state", terminal.paint(state.name, state.colour) + age)
        if !status.status.error.isEmpty { add("why", status.status.error) }
        for detail in status.status.details { add(state == .pending ? "waits for" : "more", detail) }
        if status.retryIn > 0 { add("next try", "in \(Text.age(seconds: Int64(status.retryIn.rounded(.up))))") }
        for fact in answer.kernel { add("in the kernel", fact) }
        for (name, text) in parts(terminal) + steps { add(name, text) }
        guard let value else { return lines.joined(separator: "\n") + "\n" }
        return lines.joined(separator: "\n") + "\n\n" + YAMLWriter.write(ConfigDocument.tree(of: [value]))
    }

    /// Those that are not well come first.
    private func parts(_ terminal: Terminal) -> [(String, String)] {
        let bad = answer.parts.filter { !Self.isGood($0) }
        let told = (bad + answer.parts.filter(Self.isGood)).prefix(Self.mostParts)
        let lines = told.map { part in
            let state = ValueState(part.status.state)
            let error = part.status.error.isEmpty ? "" : ": \(part.status.error)"
            return ("part", "\(part.status.key) \(terminal.paint(state.name, state.colour))\(error)")
        }
        let more = answer.parts.count - told.count + Int(answer.omittedParts)
        return more > 0 ? lines + [("part", "and \(more) more")] : lines
    }

    private static func isGood(_ value: Nsmagent_Control_Value) -> Bool {
        value.status.state == .configured || value.status.state == .obtained
    }

    private var steps: [(String, String)] {
        let steps = answer.transactions.flatMap { transaction in
            transaction.operations.map { operation in
                let start = Timestamp(seconds: transaction.startSeconds, nanos: transaction.startNanos)
                let time = start?.rfc3339(fractionDigits: 3) ?? ""
                let what = operation.error.isEmpty ? operation.summary : "failed: \(operation.error)"
                let whole = "transaction \(transaction.sequence), \(transaction.reason)"
                return ("done", "\(time) \(operation.verb) \(what) (\(whole))")
            }
        }
        return steps.isEmpty ? [("done", "nothing that is remembered: it was found in place")] : steps
    }
}
