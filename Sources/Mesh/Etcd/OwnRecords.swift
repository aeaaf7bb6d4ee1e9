internal import EtcdClient
internal import MeshTransport

/// What a mesh keeps in the etcd that it shares with others, beside what stands there. Pure: says what is to be done next.
///
/// All it writes goes with its lease, and only as long as the record of the mesh itself is that of this process. What an
/// earlier process of the mesh wrote stays until its lease ends: endpoints come back one after the other, and other hosts see no
/// gap.
///
/// Anybody who writes to this etcd can put keys below our name. Those that are neither wanted nor go with our lease are not
/// remembered, whatever their number.
struct OwnRecords {
    /// What tells one value from another. Nobody can choose values that are taken for each other: each process has hashes of
    /// its own.
    private struct Digest: Hashable {
        let size: Int
        let hash: Int

        init(_ value: [UInt8]) {
            size = value.count
            hash = value.hashValue
        }
    }
    private struct Wanted {
        let value: [UInt8]
        let digest: Digest

        init(_ value: [UInt8]) {
            self.value = value
            digest = Digest(value)
        }
    }
    /// A key as it stands in etcd.
    private struct Stored {
        var digest: Digest
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
    private var wanted: [RegistryKey: Wanted] = [:]
    private var stored: [RegistryKey: Stored] = [:]
    /// What stands under the key of the mesh; nil: nothing that a mesh may have written.
    private var present: [UInt8]?
    /// The lease that all we write goes with; nil: none was needed yet.
    private var lease: Int64?
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
    /// The most keys that are remembered beside those that are wanted. More that somebody else puts under our lease stay until
    /// the lease ends, or until etcd is read anew.
    static let mostSurplus = 4096
    /// How many keys are remembered.
    var storedCount: Int { stored.count }

    // MARK: - What is wanted

    /// Sets what others are to find under a key; nil: nothing.
    mutating func want(_ value: [UInt8]?, under key: RegistryKey) {
        wanted[key] = value.map(Wanted.init)
        if let old = stored[key], !isRemembered(key, old.lease) { stored[key] = nil }
    }

    /// Wants no endpoints but these.
    mutating func wantEndpoints(only names: Set<String>) {
        wanted = wanted.filter { key, _ in
            if case .endpoint(let name, _) = key { names.contains(name) } else { true }
        }
        forgetForeign()
    }

    /// Wants no services but these.
    mutating func wantServices(only names: Set<String>) {
        wanted = wanted.filter { key, _ in
            if case .service(let name, _) = key { names.contains(name) } else { true }
        }
        forgetForeign()
    }

    /// Says who answers at our address.
    mutating func present(as record: MeshRecord) { self.record = record }

    // MARK: - What stands in etcd

    /// A connection begins: what was seen by the former one may not be so any more.
    mutating func expectAnew() { isComplete = false }

    /// Takes in all that stands there.
    mutating func reset(_ entries: [EtcdEntry]) {
        stored = [:]
        present = nil
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
            let isRoom = stored[key] != nil || stored.count < wanted.count + Self.mostSurplus
            guard isRemembered(key, entry.lease), isRoom || wanted[key] != nil || key == ownKey else {
                return stored.removeValue(forKey: key) != nil
            }
            stored[key] = Stored(digest: Digest(entry.value), lease: entry.lease, revision: entry.modRevision)
            if key == ownKey { present = entry.value.count <= RegistryRecord.largest ? entry.value : nil }
        case .delete(_, let revision):
            guard let known = stored[key], known.revision < revision else { return false }
            stored[key] = nil
            if key == ownKey { present = nil }
        }
        return true
    }

    private func isRemembered(_ key: RegistryKey, _ lease: Int64) -> Bool {
        lease == self.lease || wanted[key] != nil || key == ownKey
    }

    private mutating func forgetForeign() { stored = stored.filter { isRemembered($0.key, $0.value.lease) } }

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
        if self.lease != lease {
            self.lease = lease
            forgetForeign()
        }
        guard isComplete else { return .wait }
        let mine = record.bytes
        let known = stored[ownKey]
        if present == mine, known?.lease == lease {
            hasClaimed = true
            let operations = operations(lease)
            return operations.isEmpty ? .nothing : .write(operations)
        }
        if let present, let other = try? RegistryRecord.mesh(present, record.name), !isOurs(other) {
            return .taken(by: other)
        }
        return .claim([.put(key: ownKey.text(root: root), value: mine, lease: lease)], revision: known?.revision ?? 0)
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
        for (key, new) in wanted where stored[key]?.digest != new.digest || stored[key]?.lease != lease {
            guard hasRoom(RegistryKey.longest + new.value.count) else { return operations }
            operations.append(.put(key: key.text(root: root), value: new.value, lease: lease))
        }
        for (key, old) in stored where old.lease == lease && wanted[key] == nil && key != ownKey {
            guard hasRoom(RegistryKey.longest) else { return operations }
            operations.append(.delete(.key(key.text(root: root))))
        }
        return operations
    }
}
