/// What a source wants to be under a key.
public enum Desired<W: World>: Sendable {
    /// A value that can be made.
    case value(any Value<W>)
    /// A value that can never be made as it is written.
    case invalid(kind: String, summary: String, error: String, fields: [String])
    /// A value that no kind takes.
    case unimplemented(kind: String, summary: String)
}

/// A value in the graph, with its state.
final class Node<W: World> {
    let id: Int
    let key: Key
    /// nil when the value is invalid or unimplemented.
    var value: (any Value<W>)?
    var kind: String
    /// What it is, where there is no value that could tell.
    let summary: String
    /// The node it is derived from.
    var base: Int?
    var derived: [Int] = []
    /// Keys it would have derived if another value did not stand there.
    var lost: [Key] = []
    var dependencies: [Dependency<W>] = []
    var groups: [String] = []

    // Where it stands.
    var state: ValueState
    var error = ""
    var details: [String] = []
    var lastOperation = LastOperation.undefined
    var since: Timestamp
    /// Whether other values may build on it.
    var available = false

    // Trying again.
    var attempts = 0
    var nextTry: Timestamp?
    /// It failed and is not tried again as it is.
    var hasGivenUp = false
    /// It turned out impossible only as it was compared with the world.
    var isSuspect = false
    /// It differs, which is shown and not repaired.
    var isDriftShown = false
    var repairs = RepairCount()

    // Valid as long as the graph does not change.
    var requirements: [Requirement] = []
    var depth = 0
    /// Nodes with the same number need each other.
    var component = 0
    /// Its index in the order of the graph; -1: it has no value.
    var position = -1

    init(id: Int, key: Key, value: (any Value<W>)?, kind: String, summary: String, state: ValueState, since: Timestamp)
    {
        self.id = id
        self.key = key
        self.value = value
        self.kind = kind
        self.summary = summary
        self.state = state
        self.since = since
    }

    func enter(_ state: ValueState, error: String = "", details: [String] = [], at now: Timestamp) {
        if self.state != state {
            since = now
            self.state = state
        }
        self.error = error
        self.details = details
    }

    /// Forgets earlier tries, since what is tried next is something else.
    func startAfresh() {
        attempts = 0
        nextTry = nil
        hasGivenUp = false
        isSuspect = false
        isDriftShown = false
    }

    /// The dependency that names `key`.
    func dependency(on key: Key) -> Dependency<W>? {
        dependencies.first { dependency in
            switch dependency.target {
            case .key(let wanted), .keyIfDeclared(let wanted): wanted == key
            case .anyOf: false
            }
        }
    }
}

/// A dependency with the nodes that can meet it.
enum Requirement {
    case one(Int)
    case any([Int], label: Int)
    /// Nothing in the graph can meet dependency number `label`.
    case unmet(label: Int)

    /// Whether a node that `isMet` meets it.
    func isMet(by isMet: (Int) -> Bool) -> Bool {
        switch self {
        case .one(let id): isMet(id)
        case .any(let ids, _): ids.contains(where: isMet)
        case .unmet: false
        }
    }

    /// Calls `body` with every node that can meet it.
    func forEachTarget(_ body: (Int) -> Void) {
        switch self {
        case .one(let id): body(id)
        case .any(let ids, _): for id in ids { body(id) }
        case .unmet: break
        }
    }
}
