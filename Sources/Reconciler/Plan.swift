public import Concurrency

/// What is to be done, before anything is done.
public struct Plan<Operation: Sendable>: Sendable {
    /// What happens to a value.
    public enum Verb: String, Sendable, Hashable {
        /// It is made: `+`.
        case create
        /// It is changed in place: `~`.
        case update
        /// It is taken away and made anew: `±`.
        case recreate
        /// It is taken away: `-`.
        case delete

        /// The sign in a printed plan.
        public var sign: String {
            switch self {
            case .create: "+"
            case .update: "~"
            case .recreate: "±"
            case .delete: "-"
            }
        }
    }

    /// One value's part of the plan.
    public struct Step: Sendable {
        /// What happens.
        public var verb: Verb
        /// The value's key.
        public var key: Key
        /// What it is, in one line.
        public var summary: String
        /// What differs now.
        public var differences: [Difference]
        /// Its operations, as a range of ``Plan/operations``.
        public var operations: Range<Int>
        /// The node, for the reconciler; nil for something that no value stands for.
        var node: Int?
    }

    /// A value that waits.
    public struct Waiting: Sendable {
        /// The value's key.
        public var key: Key
        /// What it is, in one line.
        public var summary: String
        /// What it waits for.
        public var reasons: [String]
    }

    /// What is to be done, in order.
    public var steps: [Step] = []
    /// All operations of all steps, in order.
    public var operations: [Operation] = []
    /// Values that would stay pending, and why.
    public var waiting: [Waiting] = []
    /// Values that can't be made or changed now, and why: invalid ones and those that failed and are not due yet too.
    public var blocked: [Waiting] = []
    /// What of others goes and does not come back, in words.
    public var losses: [String] = []
    /// How many values are as they should be.
    public var inPlace = 0

    /// Whether there is nothing to do.
    public var isEmpty: Bool { steps.isEmpty }
}

/// A finished transaction.
public struct Transaction: Sendable {
    /// What was done to a value; the raw values are the words shown.
    public enum Verb: String, Sendable, Hashable, CaseIterable {
        /// It was made.
        case create
        /// It was changed in place.
        case update
        /// It was taken away and made anew.
        case recreate
        /// It was taken away.
        case delete
        /// What was done to it was undone.
        case revert

        init<Operation>(_ verb: Plan<Operation>.Verb) {
            switch verb {
            case .create: self = .create
            case .update: self = .update
            case .recreate: self = .recreate
            case .delete: self = .delete
            }
        }
    }

    /// One thing that was done.
    public struct Entry: Sendable, Hashable {
        /// What was done.
        public var verb: Verb
        /// Key of the value; empty for an operation of an undoing that failed.
        public var key: Key
        /// What was done, for people.
        public var summary: String
        /// State of the value before.
        public var before: ValueState
        /// State of the value after.
        public var after: ValueState
        /// Text of the error; empty: it succeeded.
        public var error: String

        /// Makes one from its parts.
        public init(
            verb: Verb, key: Key, summary: String, before: ValueState, after: ValueState, error: String
        ) {
            self.verb = verb
            self.key = key
            self.summary = summary
            self.before = before
            self.after = after
            self.error = error
        }
    }

    /// Its number, from 1.
    public var sequence: UInt64
    /// What started it.
    public var reason: Reason
    /// When it started.
    public var start: Timestamp
    /// How long it took.
    public var duration: Duration
    /// What was done, in order.
    public var entries: [Entry]
    /// How many more entries there were, which the history does not keep.
    public var omitted = 0
    /// Whether it was undone because something failed.
    public var reverted = false
    /// What of others went and did not come back, in words.
    public var losses: [String] = []
    /// What was found before anything was done.
    public var found = Found()
    /// Whether it is the first one since the program started.
    public var isFirst = false

    /// Makes one from its parts.
    public init(
        sequence: UInt64, reason: Reason, start: Timestamp, duration: Duration, entries: [Entry], omitted: Int = 0,
        reverted: Bool = false, losses: [String] = [], found: Found = Found(), isFirst: Bool = false
    ) {
        self.sequence = sequence
        self.reason = reason
        self.start = start
        self.duration = duration
        self.entries = entries
        self.omitted = omitted
        self.reverted = reverted
        self.losses = losses
        self.found = found
        self.isFirst = isFirst
    }

    /// What could not be undone; empty: everything was, or nothing had to be.
    public var revertErrors: [String] {
        entries.filter { $0.verb == .revert && !$0.error.isEmpty }.map { "\($0.summary): \($0.error)" }
    }
}

extension Transaction {
    /// How the world was before a transaction: at the start of the program, or when the world reported changes.
    public struct Found: Sendable, Hashable {
        /// The most details that are kept.
        static let mostDetails = 100

        /// Values that were as declared.
        public var inPlace = 0
        /// Values that were declared and not there, or had gone.
        public var missing = 0
        /// Values that were there otherwise than declared.
        public var different = 0
        /// What carried our mark and no value claimed.
        public var leftovers = 0
        /// What had gone, or was changed and how, a line each: the first 100.
        public var details: [String] = []

        /// Nothing.
        public init() {}

        /// Whether there is nothing to tell.
        public var isEmpty: Bool { inPlace == 0 && missing == 0 && different == 0 && leftovers == 0 }

        /// In words, such as `12 in place, 1 missing`; empty: there is nothing to tell.
        public var text: String {
            let parts = [
                (inPlace, "in place"), (missing, "missing"), (different, "different"), (leftovers, "left over"),
            ]
            return parts.filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }.joined(separator: ", ")
        }

        /// Takes up a value that had changed by itself.
        mutating func add(_ summary: String, isGone: Bool, _ differences: [Difference]) {
            if isGone { missing += 1 } else { different += 1 }
            if details.count >= Self.mostDetails { return }
            let changes = differences.map(\.description).joined(separator: ", ")
            details.append(isGone ? "\(summary) is gone" : changes.isEmpty ? summary : "\(summary): \(changes)")
        }
    }
}
