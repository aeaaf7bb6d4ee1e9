internal import EtcdClient
internal import MeshTransport

/// What a mesh keeps in the etcd that it shares with others, beside what stands there. Pure: says what is to be done next.
///
/// All it writes goes with its lease, and only as long as the record of the mesh itself is that of this process. What an
/// earlier process of the mesh wrote stays until its lease ends: endpoints come back one after the other, and other hosts see no
/// gap.
struct OwnRecords {
    /// A key as it stands in etcd.
    struct Stored: Hashable {
        var value: [UInt8]
        var lease: Int64
        var revision: Int64
    }
    /// What is to be done.
    enum Step: Hashable {
        /// Nothing, as it is not known yet what etcd has.
        case wait
        /// Nothing, until something changes.
        case nothing
        /// Another mesh has the name.
        case taken(by: MeshRecord)
        /// Operations that count only while the key of the mesh has this revision; 0: while it is not there.
        case claim([EtcdOperation], revision: Int64)
        /// Operations that count only while the key of the mesh holds our record.
        case write([EtcdOperation])
    }

    let root: String
    /// What we say of ourselves.
    private(set) var record: MeshRecord
    /// What others are to find, by key.
    private var wanted: [RegistryKey: [UInt8]] = [:]
    private var stored: [RegistryKey: Stored] = [:]
    /// Whether `stored` is what etcd has.
    private var isComplete = false
    /// Whether the name was ours already in this process: then another one that has it is not our predecessor.
    private var hasClaimed = false

    init(root: String, record: MeshRecord) {
        self.root = root
        self.record = record
    }

    private var ownKey: RegistryKey { .mesh(record.name) }
    /// The most operations at once: etcd takes 128 unless configured otherwise.
    static let mostOperations = 100
    /// The most bytes at once: etcd takes 1.5 MiB.
    static let mostBytes = 512 << 10

    // MARK: - What is wanted

    /// Sets what others are to find under a key; nil: nothing.
    mutating func want(_ value: [UInt8]?, under key: RegistryKey) { wanted[key] = value }

    /// Wants no endpoints but these.
    mutating func wantEndpoints(only names: Set<String>) {
        wanted = wanted.filter { key, _ in
            if case .endpoint(let name, _) = key { names.contains(name) } else { true }
        }
    }

    /// Wants no services but these.
    mutating func wantServices(only names: Set<String>) {
        wanted = wanted.filter { key, _ in
            if case .service(let name, _) = key { names.contains(name) } else { true }
        }
    }

    /// Says who answers at our address.
    mutating func present(as record: MeshRecord) { self.record = record }

    // MARK: - What stands in etcd

    /// A connection begins: what was seen by the former one may not be so any more.
    mutating func expectAnew() { isComplete = false }

    /// Takes in all that stands there.
    mutating func reset(_ entries: [EtcdEntry]) {
        stored = [:]
        for entry in entries { _ = take(.put(entry)) }
        isComplete = true
    }

    /// Takes in an event, or what a write of ours has done. Returns whether it is about us and news.
    mutating func take(_ event: EtcdEvent) -> Bool {
        guard let key = RegistryKey(event.key, root: root), key.mesh == record.name else { return false }
        switch event {
        case .put(let entry):
            // Our own writes are known before they are reported.
            if let known = stored[key], known.revision >= entry.modRevision { return false }
            stored[key] = Stored(value: entry.value, lease: entry.lease, revision: entry.modRevision)
        case .delete(_, let revision):
            guard let known = stored[key], known.revision < revision else { return false }
            stored[key] = nil
        }
        return true
    }

    /// Takes in that operations of ours were done in a revision.
    mutating func done(_ operations: [EtcdOperation], revision: Int64) {
        for operation in operations {
            switch operation {
            case .put(let key, let value, let lease):
                _ = take(.put(EtcdEntry(key: Array(key.utf8), value: value, modRevision: revision, lease: lease)))
            case .delete(let range): _ = take(.delete(key: range.key, revision: revision))
            }
        }
    }

    // MARK: - What is to be done

    /// The next step with a lease.
    mutating func next(lease: Int64) -> Step {
        guard isComplete else { return .wait }
        let mine = record.bytes
        let present = stored[ownKey]
        if present?.value == mine, present?.lease == lease {
            hasClaimed = true
            let operations = operations(lease)
            return operations.isEmpty ? .nothing : .write(operations)
        }
        if let present, let other = try? RegistryRecord.mesh(present.value, record.name), !isOurs(other) {
            return .taken(by: other)
        }
        return .claim([.put(key: ownKey.text(root: root), value: mine, lease: lease)], revision: present?.revision ?? 0)
    }

    /// Whether a record was written by this process, or by the one before it: that had the same address, at which there is one
    /// process at a time.
    private func isOurs(_ other: MeshRecord) -> Bool {
        other.process == record.process || (!hasClaimed && other.address == record.address)
    }

    private func operations(_ lease: Int64) -> [EtcdOperation] {
        var operations: [EtcdOperation] = []
        var size = 0
        func hasRoom(_ bytes: Int) -> Bool {
            size += bytes
            return operations.isEmpty || (operations.count < Self.mostOperations && size <= Self.mostBytes)
        }
        for (key, value) in wanted where stored[key]?.value != value || stored[key]?.lease != lease {
            guard hasRoom(RegistryKey.longest + value.count) else { return operations }
            operations.append(.put(key: key.text(root: root), value: value, lease: lease))
        }
        for (key, old) in stored where old.lease == lease && wanted[key] == nil && key != ownKey {
            guard hasRoom(RegistryKey.longest) else { return operations }
            operations.append(.delete(.key(key.text(root: root))))
        }
        return operations
    }
}
