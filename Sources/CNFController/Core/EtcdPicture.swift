internal import EtcdClient
internal import KubernetesClient

/// What etcd holds of agents' values and of what the agents say of them.
struct EtcdPicture: Sendable {
    /// What an agent says of a value.
    struct Report: Hashable, Sendable {
        /// The state, such as `CONFIGURED`.
        var state: String
        /// What went wrong.
        var error: String
        /// What it waits for.
        var details: [String]
        /// When it was written.
        var revision: Int64
    }

    private struct Value {
        var bytes: [UInt8]
        var revision: Int64
    }

    /// What the keys of all agents begin with.
    let root: String
    private var values: [String: Value] = [:]
    private var reports: [String: Report] = [:]
    /// Whether it was read through this connection, not an earlier one.
    private(set) var isComplete = false
    /// Up to which revision etcd has reported the changes: our own earlier writes add nothing to them.
    private var told: Int64 = 0

    init(root: String) { self.root = root }

    /// What is stored under a key.
    func value(_ key: String) -> [UInt8]? { values[key]?.bytes }

    /// What the agent says of the value that is stored under a key now; nil: nothing yet.
    func report(_ key: String) -> Report? {
        guard let value = values[key], let report = reports[key], report.revision > value.revision else { return nil }
        return report
    }

    /// A connection begins: what was seen by the former one may not be so any more.
    mutating func expectAnew() { isComplete = false }

    /// Takes in all that there is.
    mutating func reset(_ snapshot: EtcdSnapshot) {
        values = [:]
        reports = [:]
        for entry in snapshot.entries { _ = put(entry) }
        told = snapshot.revision
        isComplete = true
    }

    /// Takes in an event; returns the key of the value that it is about.
    mutating func take(_ event: EtcdEvent) -> String? {
        switch event {
        case .put(let entry):
            told = max(told, entry.modRevision)
            return put(entry)
        case .delete(let bytes, let revision):
            told = max(told, revision)
            let key = String(decoding: bytes, as: UTF8.self)
            switch part(of: key) {
            case .value:
                if let value = values[key], value.revision > revision { return nil }
                values[key] = nil
                return key
            case .report(let key):
                reports[key] = nil
                return key
            case .other: return nil
            }
        }
    }

    /// Records our own write before etcd reports it. If etcd has reported it already, others may have changed it since.
    mutating func take(_ operations: [EtcdOperation], revision: Int64) {
        guard revision > told else { return }
        for operation in operations {
            switch operation {
            case .put(let key, let value, _):
                if part(of: key) == .value { values[key] = Value(bytes: value, revision: revision) }
            case .delete(let range): values[String(decoding: range.key, as: UTF8.self)] = nil
            }
        }
    }

    private mutating func put(_ entry: EtcdEntry) -> String? {
        let key = entry.keyText
        switch part(of: key) {
        case .value:
            if let value = values[key], value.revision > entry.modRevision { return nil }
            values[key] = Value(bytes: entry.value, revision: entry.modRevision)
            return key
        case .report(let key):
            reports[key] = Self.report(entry)
            return key
        case .other: return nil
        }
    }

    private enum Part: Equatable {
        case value
        /// With the key of the value.
        case report(String)
        case other
    }

    private static let reportFolder = "config-status/"

    /// What stands under a key: behind root and label `config/…` or `config-status/…`.
    private func part(of key: String) -> Part {
        // Keys are bytes, whatever letters they make.
        let bytes = key.utf8
        guard bytes.starts(with: root.utf8) else { return .other }
        let rest = bytes.dropFirst(root.utf8.count)
        guard let slash = rest.firstIndex(of: UInt8(ascii: "/")) else { return .other }
        let inner = rest[rest.index(after: slash)...]
        if inner.starts(with: "config/".utf8) { return .value }
        guard inner.starts(with: Self.reportFolder.utf8) else { return .other }
        let value = inner.dropFirst(Self.reportFolder.utf8.count)
        return .report("\(Substring(bytes[..<inner.startIndex]))config/\(Substring(value))")
    }

    private static func report(_ entry: EtcdEntry) -> Report? {
        guard let json = try? JSONValue(parsing: entry.value) else { return nil }
        return Report(
            state: json["state"]?.string ?? "NONEXISTENT", error: json["error"]?.string ?? "",
            details: json["details"]?.array?.compactMap(\.string) ?? [], revision: entry.modRevision)
    }
}
