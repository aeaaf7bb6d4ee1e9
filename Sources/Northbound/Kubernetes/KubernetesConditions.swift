internal import Concurrency
internal import KubernetesClient

/// What the conditions of a resource say, from what its agents say of it.
struct KubernetesConditions: Equatable {
    /// A condition without its times.
    struct Condition: Equatable {
        var type: String
        var isTrue: Bool
        var reason: String
        var message: String
    }

    /// What sets the conditions where no controller does.
    static let controller = "nsm-agent"

    let generation: Int64
    let conditions: [Condition]

    /// - Parameters:
    ///   - own: What the agent says that sets them.
    ///   - entries: What all agents say, itself included.
    init(_ resource: KubernetesMirror.Known, _ entries: [KubernetesEntry]) {
        generation = resource.object.generation
        let accepted: Condition
        switch resource.verdict {
        case .accepted:
            // Never an empty text: servers (1.20) read it as null in what is applied, and refuse that.
            accepted = Condition(type: "Accepted", isTrue: true, reason: "Accepted", message: "all items are right")
        case .invalid(let mistakes):
            accepted = Condition(type: "Accepted", isTrue: false, reason: "Invalid", message: mistakes.first ?? "")
        case .conflict(let text):
            accepted = Condition(type: "Accepted", isTrue: false, reason: "Conflict", message: text)
        }
        guard accepted.isTrue else {
            let text = "not accepted: \(accepted.message)"
            conditions = [
                accepted, Condition(type: "Applied", isTrue: false, reason: "NotAccepted", message: text),
                Condition(type: "Ready", isTrue: false, reason: "NotAccepted", message: text),
            ]
            return
        }
        let late = entries.filter { $0.observedGeneration < resource.object.generation }.map(\.name)
        let applied =
            late.isEmpty
            ? Condition(type: "Applied", isTrue: true, reason: "Applied", message: "taken by \(entries.count) agent(s)")
            : Condition(
                type: "Applied", isTrue: false, reason: "Waiting",
                message: "not taken yet by \(late.prefix(3).joined(separator: ", "))")
        conditions = [accepted, applied, Self.ready(entries, late)]
    }

    private static func ready(_ entries: [KubernetesEntry], _ late: [String]) -> Condition {
        if let failing = entries.first(where: { $0.failed > 0 }) {
            return Condition(
                type: "Ready", isTrue: false, reason: "Failed",
                message: "\(failing.name): \(failing.errors.first ?? "\(failing.failed) values failed")")
        }
        if let waiting = entries.first(where: { $0.pending > 0 }) {
            return Condition(
                type: "Ready", isTrue: false, reason: "Pending",
                message: "\(waiting.name): \(waiting.errors.first ?? "\(waiting.pending) values wait")")
        }
        if let name = late.first {
            return Condition(type: "Ready", isTrue: false, reason: "Pending", message: "\(name) has not taken it yet")
        }
        let count = entries.reduce(0) { $0 + $1.configured }
        return Condition(type: "Ready", isTrue: true, reason: "Configured", message: "\(count) value(s) configured")
    }

    /// The members of a status. Times stay where nothing changed.
    func fields(after status: JSONValue?, at time: Timestamp) -> [(String, JSONValue)] {
        let before = status?["conditions"]?.array ?? []
        let list = conditions.map { condition -> JSONValue in
            let old = before.first { $0["type"]?.string == condition.type }
            let word = condition.isTrue ? "True" : "False"
            let since = old?["status"]?.string == word ? old?["lastTransitionTime"]?.string : nil
            return [
                "type": .string(condition.type), "status": .string(word), "reason": .string(condition.reason),
                "message": .string(condition.message.limited(to: 1024)), "observedGeneration": .int(generation),
                "lastTransitionTime": .string(since ?? time.rfc3339Seconds),
            ]
        }
        let wrong = conditions.first { !$0.isTrue && $0.type != "Ready" }
        let ready = conditions.first { $0.type == "Ready" }
        return [
            ("observedGeneration", .int(generation)), ("controller", .string(Self.controller)),
            ("conditions", .array(list)),
            // For those who know no conditions.
            ("status", wrong == nil ? "Success" : "Failure"),
            ("message", .string((wrong ?? ready)?.message.limited(to: 1024) ?? "")),
        ]
    }
}
