internal import Concurrency
internal import KubernetesClient

/// A resource's status as it is written, with the times of what does not change.
struct StatusText {
    /// What is applied on the server's side.
    let wish: JSONValue
    /// The same as a change of the resource as it was read: older servers can't take the last entry out of a list otherwise.
    let change: JSONValue
    /// Whether the resource says so already.
    let isSaid: Bool
    /// The events that report the change to users.
    let notices: [KubernetesNotice]

    init(_ said: ResourceConditions, of object: KubernetesObject, at time: Timestamp) {
        let now = JSONValue.string(time.rfc3339(fractionDigits: 0))
        let old = object["status"]
        let oldConditions = old?["conditions"]?.array ?? []
        var notices: [KubernetesNotice] = []
        let conditions = said.conditions.map { condition in
            let before = oldConditions.first { $0["type"]?.string == condition.type }
            if let notice = Self.notice(condition, before) { notices.append(notice) }
            return Self.json(condition, before, object.generation, now)
        }
        self.notices = notices
        let oldAgents = (old?["agents"]?.array ?? []).filter { $0["name"] == $0["microservice"] }
        let agents = said.agents.map { entry in
            let text = Self.json(entry, object.generation)
            let before = oldAgents.first { $0["name"]?.string == entry.microservice }
            var timed = text
            timed["time"] = Self.says(before, text) ? before?["time"] ?? now : now
            return timed
        }
        // A text that is empty is left out: older servers make null of it, and then refuse that.
        let status: JSONValue = .fields([
            ("observedGeneration", .int(object.generation)), ("controller", .string(ControllerSettings.manager)),
            ("status", .string(said.word)), ("message", Self.text(said.message)), ("conditions", .array(conditions)),
            ("agents", agents.isEmpty ? nil : .array(agents)),
        ])
        wish = [
            "apiVersion": "pantheon.tech/v1", "kind": "CNFConfiguration",
            // Only what was read is changed: a replica that does not lead any more knows less.
            "metadata": [
                "name": .string(object.name), "namespace": .string(object.namespace),
                "resourceVersion": .string(object.resourceVersion),
            ],
            "status": status,
        ]
        let others = (old?["agents"]?.array ?? []).filter { $0["name"] != $0["microservice"] }
        var whole = status
        whole["message"] = Self.text(said.message) ?? .null
        whole["agents"] = .array(others + agents)
        change = ["metadata": ["resourceVersion": .string(object.resourceVersion)], "status": whole]
        let isRest = ["observedGeneration", "controller", "status", "message"].allSatisfy { old?[$0] == status[$0] }
        let areConditions = conditions.allSatisfy { condition in oldConditions.contains { Self.says($0, condition) } }
        let areAgents =
            oldAgents.count == agents.count
            && agents.allSatisfy { agent in oldAgents.contains { Self.says($0, agent) } }
        isSaid = isRest && areConditions && areAgents
    }

    /// Members that are left out when they are empty.
    private static let optional = ["message", "errors"]

    /// Whether an object says what another one says, as far as that one goes.
    private static func says(_ old: JSONValue?, _ new: JSONValue) -> Bool {
        (new.members ?? []).allSatisfy { old?[$0.key] == $0.value } && optional.allSatisfy { old?[$0] == new[$0] }
    }

    private static func text(_ text: String) -> JSONValue? { text.isEmpty ? nil : .string(text) }

    private static func json(
        _ condition: Condition, _ before: JSONValue?, _ generation: Int64, _ now: JSONValue
    ) -> JSONValue {
        let isSame = before?["status"]?.string == condition.state.rawValue
        return .fields([
            ("type", .string(condition.type)), ("status", .string(condition.state.rawValue)),
            ("reason", .string(condition.reason)), ("message", text(condition.message)),
            ("observedGeneration", .int(generation)),
            ("lastTransitionTime", isSame ? before?["lastTransitionTime"] ?? now : now),
        ])
    }

    private static func json(_ entry: AgentEntry, _ generation: Int64) -> JSONValue {
        .fields([
            ("name", .string(entry.microservice)), ("microservice", .string(entry.microservice)),
            ("observedGeneration", .int(generation)), ("values", .int(entry.values)),
            ("configured", .int(entry.configured)), ("pending", .int(entry.pending)), ("failed", .int(entry.failed)),
            ("errors", entry.errors.isEmpty ? nil : .array(entry.errors.map { .string($0) })),
        ])
    }

    /// What is worth an event: that something begins to be so, or is wrong.
    private static func notice(_ condition: Condition, _ before: JSONValue?) -> KubernetesNotice? {
        let isNew =
            before?["status"]?.string != condition.state.rawValue || before?["reason"]?.string != condition.reason
        let action = ["Accepted": "Accept", "Applied": "Apply", "Ready": "Configure"][condition.type] ?? condition.type
        if condition.state == .yes {
            guard isNew else { return nil }
            let note = condition.message.isEmpty ? "what it says was understood" : condition.message
            return KubernetesNotice(reason: condition.reason, action: action, note: note)
        }
        guard ["Invalid", "NotAllowed", "Conflict", "Failed"].contains(condition.reason),
            isNew || before?["message"]?.string != condition.message
        else { return nil }
        return KubernetesNotice(isWarning: true, reason: condition.reason, action: action, note: condition.message)
    }
}
