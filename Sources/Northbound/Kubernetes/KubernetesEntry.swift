internal import Concurrency
internal import KubernetesClient
internal import Reconciler

/// What an agent says of a resource in its status.
struct KubernetesEntry: Equatable, Sendable {
    var name: String
    var microservice = ""
    var observedGeneration: Int64 = 0
    var values = 0
    var configured = 0
    var pending = 0
    var failed = 0
    /// The first ones.
    var errors: [String] = []

    /// The most errors that are reported, and how long one may be.
    static let mostErrors = 5
    private static let longestError = 512

    /// What is to be said of a resource.
    init(_ resource: KubernetesMirror.Known, _ statuses: [ValueStatus?], label: String, name: String) {
        self.name = name
        microservice = label
        observedGeneration = resource.object.generation
        values = resource.values.count
        switch resource.verdict {
        case .accepted: break
        case .invalid(let mistakes):
            failed += mistakes.count
            mistakes.forEach { note($0) }
        case .conflict(let text):
            failed += 1
            note(text)
        }
        for status in statuses {
            guard let status else {
                pending += 1
                continue
            }
            switch status.state {
            case .configured, .obtained, .discovered: configured += 1
            case .pending, .missing, .nonexistent, .removed: pending += 1
            case .invalid, .failed, .retrying, .unimplemented:
                failed += 1
                note("\(status.key): \(status.error.isEmpty ? status.state.name : status.error)")
            }
        }
        if failed == 0, let waiting = statuses.compactMap({ $0 }).first(where: { $0.state == .pending }) {
            let reason = waiting.details.isEmpty ? "" : ": waits for \(waiting.details.joined(separator: ", "))"
            note("\(waiting.key)\(reason)")
        }
    }

    /// What a status says of an agent; nil: nothing that can be read.
    init?(_ json: JSONValue) {
        guard let name = json["name"]?.string else { return nil }
        // A client that may write a status can write any number.
        func number(_ key: String) -> Int { Int(min(max(json[key]?.int ?? 0, 0), Int64(Int32.max))) }
        self.name = name
        microservice = json["microservice"]?.string ?? ""
        observedGeneration = json["observedGeneration"]?.int ?? 0
        values = number("values")
        configured = number("configured")
        pending = number("pending")
        failed = number("failed")
        errors = json["errors"]?.array?.compactMap(\.string) ?? []
    }

    private mutating func note(_ error: String) {
        if errors.count < Self.mostErrors { errors.append(error.limited(to: Self.longestError)) }
    }

    func json(at time: Timestamp) -> JSONValue {
        [
            "name": .string(name), "microservice": .string(microservice),
            "observedGeneration": .int(observedGeneration),
            // Seconds, as Kubernetes has them.
            "time": .string(time.rfc3339Seconds), "values": .int(values), "configured": .int(configured),
            "pending": .int(pending), "failed": .int(failed), "errors": .array(errors.map(JSONValue.string)),
        ]
    }
}

extension Timestamp {
    /// As Kubernetes writes times.
    var rfc3339Seconds: String { "\(rfc3339(fractionDigits: 1).dropLast(3))Z" }
}

extension String {
    /// Its beginning, in whole characters.
    func limited(to bytes: Int) -> String {
        if utf8.count <= bytes { return self }
        var end = utf8.index(startIndex, offsetBy: bytes - 3)
        while end > startIndex, utf8[end] & 0xc0 == 0x80 { end = utf8.index(before: end) }
        return self[..<end] + "..."
    }
}
