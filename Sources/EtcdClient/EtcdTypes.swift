internal import FoundationEssentials

/// The keys that are meant: one, or all in a range.
public struct EtcdRange: Sendable, Hashable {
    /// The first key.
    public let key: [UInt8]
    /// The first key that is not meant any more; empty: only `key` is meant; one zero byte: all from `key` on.
    public let end: [UInt8]

    /// One key.
    public static func key(_ key: String) -> EtcdRange { EtcdRange(key: Array(key.utf8), end: []) }

    /// All keys that begin with a text; with an empty one all there are.
    public static func prefix(_ prefix: String) -> EtcdRange {
        let key = Array(prefix.utf8)
        var end = key
        while let last = end.popLast() {
            if last < 0xff {
                end.append(last + 1)
                return EtcdRange(key: key, end: end)
            }
        }
        return EtcdRange(key: key.isEmpty ? [0] : key, end: [0])
    }
}

/// A key and what is stored under it.
public struct EtcdEntry: Sendable, Hashable {
    /// The key.
    public var key: [UInt8]
    /// What is stored.
    public var value: [UInt8]
    /// The revision in which the key came to be.
    public var createRevision: Int64
    /// The revision in which it was last written.
    public var modRevision: Int64
    /// How many times it was written since it came to be.
    public var version: Int64
    /// The lease with which it goes; 0: it stays.
    public var lease: Int64

    /// The key as text.
    public var keyText: String { String(decoding: key, as: UTF8.self) }

    /// Makes an entry.
    public init(
        key: [UInt8], value: [UInt8], createRevision: Int64 = 0, modRevision: Int64, version: Int64 = 1,
        lease: Int64 = 0
    ) {
        self.key = key
        self.value = value
        self.createRevision = createRevision
        self.modRevision = modRevision
        self.version = version
        self.lease = lease
    }

    init(_ message: Etcdserverpb_KeyValue) {
        self.init(
            key: Array(message.key), value: Array(message.value), createRevision: message.createRevision,
            modRevision: message.modRevision, version: message.version, lease: message.lease)
    }
}

/// What a range held at one moment.
public struct EtcdSnapshot: Sendable {
    /// The entries, sorted by key.
    public var entries: [EtcdEntry]
    /// The revision of the moment.
    public var revision: Int64
    /// The cluster that said so.
    public var cluster: UInt64

    /// Makes a snapshot.
    public init(entries: [EtcdEntry], revision: Int64, cluster: UInt64) {
        self.entries = entries
        self.revision = revision
        self.cluster = cluster
    }
}

/// A key was written or removed.
public enum EtcdEvent: Sendable, Hashable {
    /// It was written.
    case put(EtcdEntry)
    /// It was removed in a revision.
    case delete(key: [UInt8], revision: Int64)

    /// The key.
    public var key: [UInt8] {
        switch self {
        case .put(let entry): entry.key
        case .delete(let key, _): key
        }
    }

    /// Bytes of the key and the value.
    var byteCount: Int {
        switch self {
        case .put(let entry): entry.key.count + entry.value.count
        case .delete(let key, _): key.count
        }
    }

    init(_ message: Etcdserverpb_Event) {
        switch message.type {
        case .put, .UNRECOGNIZED: self = .put(EtcdEntry(message.kv))
        case .delete: self = .delete(key: Array(message.kv.key), revision: message.kv.modRevision)
        }
    }
}

/// What a member says of itself.
public struct EtcdStatus: Sendable, Hashable {
    /// The cluster it belongs to.
    public var cluster: UInt64
    /// The member.
    public var member: UInt64
    /// The newest revision that it knows of.
    public var revision: Int64
    /// Its version, such as `3.4.23`.
    public var version: String
    /// The leader that it follows; 0: there is none.
    public var leader: UInt64
    /// What is wrong with it, such as a full database.
    public var errors: [String]
    /// Whether it only learns yet.
    public var isLearner: Bool

    init(_ message: Etcdserverpb_StatusResponse) {
        cluster = message.header.clusterID
        member = message.header.memberID
        revision = message.header.revision
        version = message.version
        leader = message.leader
        errors = message.errors
        isLearner = message.isLearner
    }
}

/// What must hold for the first half of a transaction to be done.
public struct EtcdCondition: Sendable, Hashable {
    enum Subject: Sendable, Hashable {
        case modRevision(Int64)
        case createRevision(Int64)
        case value([UInt8])
    }
    let key: [UInt8]
    let subject: Subject

    /// The key was last written in this revision; 0: it is not there.
    public static func key(_ key: String, hasModRevision revision: Int64) -> EtcdCondition {
        EtcdCondition(key: Array(key.utf8), subject: .modRevision(revision))
    }

    /// The key came to be in this revision.
    public static func key(_ key: String, hasCreateRevision revision: Int64) -> EtcdCondition {
        EtcdCondition(key: Array(key.utf8), subject: .createRevision(revision))
    }

    /// The key holds this value.
    public static func key(_ key: String, hasValue value: [UInt8]) -> EtcdCondition {
        EtcdCondition(key: Array(key.utf8), subject: .value(value))
    }

    var message: Etcdserverpb_Compare {
        var message = Etcdserverpb_Compare()
        message.key = Data(key)
        message.result = .equal
        switch subject {
        case .modRevision(let revision):
            message.target = .mod
            message.modRevision = revision
        case .createRevision(let revision):
            message.target = .create
            message.createRevision = revision
        case .value(let value):
            message.target = .value
            message.value = Data(value)
        }
        return message
    }
}

/// One step of a transaction.
public enum EtcdOperation: Sendable, Hashable {
    /// Writes a key.
    case put(key: String, value: [UInt8], lease: Int64 = 0)
    /// Removes keys.
    case delete(EtcdRange)

    var message: Etcdserverpb_RequestOp {
        var message = Etcdserverpb_RequestOp()
        switch self {
        case .put(let key, let value, let lease):
            message.requestPut.key = Data(key.utf8)
            message.requestPut.value = Data(value)
            message.requestPut.lease = lease
        case .delete(let range):
            message.requestDeleteRange.key = Data(range.key)
            message.requestDeleteRange.rangeEnd = Data(range.end)
        }
        return message
    }
}
