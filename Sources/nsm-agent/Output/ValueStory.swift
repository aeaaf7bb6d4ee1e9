internal import Concurrency
internal import Model
internal import Northbound
internal import Reconciler

/// All that a daemon knows of one value, on one screen.
struct ValueStory {
    private let status: Nsmagent_Control_Value
    private let parts: [Nsmagent_Control_Value]
    private let value: ModelValue?
    /// What was done with it and with its parts, the newest last.
    private let steps: [(transaction: Nsmagent_Control_Transaction, operation: Nsmagent_Control_Operation)]
    private let now = Timestamp.now

    /// How many steps are told.
    private static let mostSteps = 5

    /// Asks the daemon.
    init(_ key: Key, client: ControlClient) async throws {
        let all = try await client.status(Nsmagent_Control_StatusRequest()).values
        guard let status = all.first(where: { $0.status.key == key }) else {
            let close = all.map(\.status.key).first { $0.hasSuffix("/\(key.split(separator: "/").last ?? "")") }
            throw Failure(
                "the agent knows no value '\(key)'"
                    + (close.map { "; did you mean '\($0)'?" } ?? "; 'nsm-agent status' lists all"))
        }
        self.status = status
        parts = all.filter { $0.baseKey == key && $0.status.key != key }
        let base = status.baseKey.isEmpty ? key : status.baseKey
        value = try await client.declaredValues().first { $0.value.key == base }?.value
        let keys = Set([key] + parts.map(\.status.key))
        let history = try await client.history(Nsmagent_Control_HistoryRequest())
        steps = history.flatMap { transaction in
            transaction.operations.filter { keys.contains($0.key) }.map { (transaction, $0) }
        }
    }

    func text(_ terminal: Terminal) -> String {
        let state = ValueState(status.status.state)
        var lines = [status.status.key + (status.summary.isEmpty ? "" : ": \(status.summary)")]
        func add(_ name: String, _ text: String) { lines.append("  \(Text.pad(name, 13))\(text)") }
        if !status.baseKey.isEmpty, status.baseKey != status.status.key { add("part of", status.baseKey) }
        if !status.source.isEmpty { add("wanted by", status.source) }
        if !status.otherSources.isEmpty { add("overruled", status.otherSources.joined(separator: ", ")) }
        let since = Timestamp(seconds: status.sinceSeconds, nanos: status.sinceNanos)
        let age = since.map { ", since \(Text.age(seconds: now.since($0).components.seconds))" } ?? ""
        add("state", terminal.paint(state.name, state.colour) + age)
        if !status.status.error.isEmpty { add("why", status.status.error) }
        for detail in status.status.details { add(state == .pending ? "waits for" : "more", detail) }
        if status.retryIn > 0 { add("next try", "in \(Text.age(seconds: Int64(status.retryIn.rounded(.up))))") }
        for part in parts {
            let state = ValueState(part.status.state)
            let error = part.status.error.isEmpty ? "" : ": \(part.status.error)"
            add("part", "\(part.status.key) \(terminal.paint(state.name, state.colour))\(error)")
        }
        for (transaction, operation) in steps.suffix(Self.mostSteps) {
            let time =
                Timestamp(seconds: transaction.startSeconds, nanos: transaction.startNanos)?.rfc3339(fractionDigits: 3)
                ?? ""
            let what = operation.error.isEmpty ? operation.summary : "failed: \(operation.error)"
            add(
                "done", "\(time) \(operation.verb) \(what) (transaction \(transaction.sequence), \(transaction.reason))"
            )
        }
        if steps.isEmpty { add("done", "nothing that is remembered: it was found in place") }
        guard let value else { return lines.joined(separator: "\n") + "\n" }
        return lines.joined(separator: "\n") + "\n\n" + YAMLWriter.write(ConfigDocument.tree(of: [value]))
    }
}
