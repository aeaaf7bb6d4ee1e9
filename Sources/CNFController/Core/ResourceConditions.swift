/// A condition of a resource, without its times.
struct Condition: Hashable, Sendable {
    /// Whether it is so.
    enum State: String, Sendable {
        case yes = "True"
        case no = "False"
        case unknown = "Unknown"
    }

    var type: String
    var state: State
    var reason: String
    var message: String
}

/// Whether what a resource says is understood and allowed.
enum Verdict: Hashable, Sendable {
    case accepted
    /// It has mistakes: the first ones, and how many there are.
    case invalid([String], count: Int)
    /// Its namespace may not write that.
    case notAllowed(String)
}

/// What one agent says of the values that it has from a resource.
struct AgentEntry: Hashable, Sendable {
    /// The largest number of an agent's errors to report.
    static let mostErrors = 5

    var microservice: String
    var values = 0
    var reported = 0
    var configured = 0
    var pending = 0
    var failed = 0
    var errors: [String] = []

    init(_ microservice: String) { self.microservice = microservice }

    mutating func add(_ key: String, _ report: EtcdPicture.Report?) {
        values += 1
        guard let report else { return }
        reported += 1
        var isFailure = false
        switch report.state {
        case "CONFIGURED", "OBTAINED", "DISCOVERED":
            configured += 1
            return
        case "INVALID", "FAILED", "RETRYING", "UNIMPLEMENTED":
            failed += 1
            isFailure = true
        default: pending += 1
        }
        let details = report.details.joined(separator: ", ")
        let text = report.error.isEmpty ? details : report.error
        // What fails comes first: the rest often only waits for it.
        errors.insert(
            text.isEmpty ? "\(key): \(report.state)" : "\(key): \(report.state): \(text)",
            at: isFailure ? min(failed - 1, errors.count) : errors.count)
        if errors.count > Self.mostErrors { errors.removeLast() }
    }
}

/// What is to be said of a resource.
struct ResourceConditions: Hashable, Sendable {
    let conditions: [Condition]
    let agents: [AgentEntry]

    /// Whether values are in etcd, as far as a resource is concerned.
    enum Writing: Hashable, Sendable {
        case done
        /// Not yet.
        case waiting(String)
        /// Keys that others have.
        case conflict(String)
    }

    init(_ verdict: Verdict, _ writing: Writing, _ agents: [AgentEntry]) {
        var problem: (reason: String, message: String)?
        switch verdict {
        case .accepted: break
        case .invalid(let texts, let count):
            let more = count > texts.count ? " (and \(count - texts.count) more)" : ""
            problem = ("Invalid", texts.joined(separator: "\n") + more)
        case .notAllowed(let text): problem = ("NotAllowed", text)
        }
        if let problem {
            let text = "what was accepted last stays as it is"
            self.agents = agents
            conditions = [
                Condition(type: "Accepted", state: .no, reason: problem.reason, message: problem.message),
                Condition(type: "Applied", state: .no, reason: "NotAccepted", message: text),
                Condition(type: "Ready", state: .no, reason: "NotAccepted", message: text),
            ]
            return
        }
        let accepted = Condition(type: "Accepted", state: .yes, reason: "Accepted", message: "")
        let applied: Condition
        switch writing {
        case .done: applied = Condition(type: "Applied", state: .yes, reason: "Applied", message: "written to etcd")
        case .waiting(let text):
            applied = Condition(type: "Applied", state: .no, reason: "Waiting", message: text)
        case .conflict(let text):
            applied = Condition(type: "Applied", state: .no, reason: "Conflict", message: text)
        }
        self.agents = agents
        conditions = [accepted, applied, Self.ready(applied, agents)]
    }

    private static func ready(_ applied: Condition, _ agents: [AgentEntry]) -> Condition {
        func condition(_ state: Condition.State, _ reason: String, _ message: String) -> Condition {
            Condition(type: "Ready", state: state, reason: reason, message: message)
        }
        guard applied.state == .yes else { return condition(.no, "Pending", applied.message) }
        if let agent = agents.first(where: { $0.failed > 0 }) {
            return condition(.no, "Failed", "\(agent.microservice): \(agent.errors.first ?? "")")
        }
        if let agent = agents.first(where: { $0.pending > 0 }) {
            return condition(.no, "Pending", "\(agent.microservice): \(agent.errors.first ?? "")")
        }
        if let agent = agents.first(where: { $0.reported < $0.values }) {
            return condition(
                .unknown, "NoReport",
                "\(agent.microservice): \(agent.values - agent.reported) of \(agent.values) values are not reported; agents "
                    + "report with --etcd-publish-states")
        }
        return condition(.yes, "Configured", "\(agents.reduce(0) { $0 + $1.configured }) values are configured")
    }

    /// The message for readers that do not use conditions: what is wrong, or still missing.
    var message: String { conditions.first { $0.state != .yes }?.message ?? "" }

    /// The same for them in one word.
    var word: String { conditions.prefix(2).allSatisfy { $0.state == .yes } ? "Success" : "Failure" }
}
