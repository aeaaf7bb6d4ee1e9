public import Concurrency

/// Where a value stands; the numbers are those of `ligato.kvscheduler.ValueState`.
public enum ValueState: Int, Sendable, Hashable, CaseIterable {
    /// Not there, and nobody wants it.
    case nonexistent = 0
    /// Wanted and not there.
    case missing = 1
    /// Wanted, but no kind of value takes it.
    case unimplemented = 2
    /// Taken away.
    case removed = 3
    /// There, as wanted.
    case configured = 4
    /// There without our doing.
    case obtained = 5
    /// Found there, not yet confirmed.
    case discovered = 6
    /// Waits for something.
    case pending = 7
    /// Can never be made as it is written.
    case invalid = 8
    /// The last try failed; no other is planned.
    case failed = 9
    /// The last try failed; another is planned.
    case retrying = 10

    /// The name on the wire, such as `CONFIGURED`.
    public var name: String {
        switch self {
        case .nonexistent: "NONEXISTENT"
        case .missing: "MISSING"
        case .unimplemented: "UNIMPLEMENTED"
        case .removed: "REMOVED"
        case .configured: "CONFIGURED"
        case .obtained: "OBTAINED"
        case .discovered: "DISCOVERED"
        case .pending: "PENDING"
        case .invalid: "INVALID"
        case .failed: "FAILED"
        case .retrying: "RETRYING"
        }
    }
}

/// What was last done to a value; the numbers are those of `ligato.kvscheduler.TxnOperation`.
public enum LastOperation: Int, Sendable, Hashable {
    /// Nothing.
    case undefined = 0
    /// It was checked.
    case validate = 1
    /// It was made.
    case create = 2
    /// It was changed.
    case update = 3
    /// It was taken away.
    case delete = 4
}

/// A value's state, for people and programs.
public struct ValueStatus: Sendable, Hashable {
    /// Key of the value.
    public var key: Key
    /// Key of the value it is derived from; nil: it is none.
    public var baseKey: Key?
    /// The word for its kind.
    public var kind: String
    /// What it is, in one line.
    public var summary: String
    /// Where it stands.
    public var state: ValueState
    /// Text of the last error; empty: none.
    public var error: String
    /// What was last done.
    public var lastOperation: LastOperation
    /// Invalid fields, or what it waits for.
    public var details: [String]
    /// When it came into this state.
    public var since: Timestamp
    /// When the next try is due; nil: none is planned.
    public var nextTry: Timestamp?
}
