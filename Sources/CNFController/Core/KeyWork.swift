public import EtcdClient

/// What is to be written to etcd for one resource.
public struct KeyWork: Sendable {
    /// The resource.
    public let name: ResourceName
    /// What its record says in the end: what it owns, and what another one has not taken over yet.
    public internal(set) var owned: Set<String> = []
    /// What its record says now.
    public internal(set) var recordedBefore: Set<String> = []
    /// Values that are not there yet.
    public internal(set) var puts: [(key: String, value: [UInt8])] = []
    /// Keys that go.
    public internal(set) var deletes: [String] = []

    init(name: ResourceName) { self.name = name }

    /// Whether all is as it should be.
    public var isEmpty: Bool { puts.isEmpty && deletes.isEmpty && owned == recordedBefore }

    /// One transaction, and what it leaves recorded.
    public struct Step: Sendable {
        /// What is written.
        public var operations: [EtcdOperation]
        /// What the resource's record says afterwards.
        public var recorded: Set<String>
    }

    /// The size limits of a transaction: etcd accepts 128 operations and 1.5 MiB by default.
    public struct Limits: Sendable {
        /// Operations.
        public var operations = 100
        /// Bytes of keys and values.
        public var bytes = 1 << 20

        /// The usual ones.
        public init() {}
    }

    /// The transactions, in this order. Whichever of them are done, the record names every key that is there for this resource, so
    /// a restart in between loses none: what is added is recorded before it is written, and what goes is forgotten after it went.
    public func steps(_ records: KeyRecords, _ limits: Limits = Limits()) -> [Step] {
        let changes =
            puts.map { EtcdOperation.put(key: $0.key, value: $0.value) } + deletes.map { .delete(.key($0)) }
        let size = puts.reduce(0) { $0 + $1.key.utf8.count + $1.value.count }
        let record = records.operation(name, owned)
        let recordSize = owned.reduce(0) { $0 + $1.utf8.count }
        if changes.count < limits.operations, size + recordSize <= limits.bytes {
            let all = owned == recordedBefore ? changes : changes + [record]
            return all.isEmpty ? [] : [Step(operations: all, recorded: owned)]
        }
        let union = owned.union(recordedBefore)
        var steps: [Step] = []
        if union != recordedBefore {
            steps.append(Step(operations: [records.operation(name, union)], recorded: union))
        }
        var (batch, bytes): ([EtcdOperation], Int) = ([], 0)
        func flush() {
            if !batch.isEmpty { steps.append(Step(operations: batch, recorded: union)) }
            (batch, bytes) = ([], 0)
        }
        for change in changes {
            let size = if case .put(let key, let value, _) = change { key.utf8.count + value.count } else { 0 }
            if batch.count >= limits.operations || bytes + size > limits.bytes { flush() }
            batch.append(change)
            bytes += size
        }
        flush()
        if union != owned { steps.append(Step(operations: [record], recorded: owned)) }
        return steps
    }
}

/// Where etcd keeps which keys belong to which resource: one entry each, beside what agents read.
public struct KeyRecords: Sendable {
    /// What the keys of all entries begin with.
    public let prefix: String

    /// - Parameter root: What all keys of the controller begin with, such as `/cnf-crd/`.
    public init(root: String) { prefix = root + "resources/" }

    /// The entries.
    public var range: EtcdRange { .prefix(prefix) }

    func operation(_ name: ResourceName, _ keys: Set<String>) -> EtcdOperation {
        let key = "\(prefix)\(name)"
        if keys.isEmpty { return .delete(.key(key)) }
        return .put(key: key, value: Array(keys.sorted().joined(separator: "\n").utf8))
    }

    /// Reads entries.
    public func read(_ entries: [EtcdEntry]) -> [ResourceName: Set<String>] {
        var records: [ResourceName: Set<String>] = [:]
        for entry in entries {
            let parts = entry.keyText.dropFirst(prefix.count).split(separator: "/", maxSplits: 1)
            guard entry.keyText.hasPrefix(prefix), parts.count == 2 else { continue }
            let keys = String(decoding: entry.value, as: UTF8.self).split(separator: "\n").map(String.init)
            records[ResourceName(namespace: String(parts[0]), name: String(parts[1]))] = Set(keys)
        }
        return records
    }
}
