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
final class Node<W: World>: NodeState {
    /// nil when the value is invalid or unimplemented.
    var value: (any Value<W>)?
    var dependencies: [Dependency<W>] = []

    init(id: Int, key: Key, value: (any Value<W>)?, kind: String, summary: String, state: ValueState, since: Timestamp)
    {
        self.value = value
        super.init(
            id: id, key: key, hasValue: value != nil, kind: kind, summary: summary, state: state, since: since)
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

/// What of a node is the same in every world. It is apart so that walks over the graph are compiled for it, and not for
/// a world that the compiler does not know: several times faster.
class NodeState {
    let id: Int
    let key: Key
    /// Whether it has a value that can be made.
    let hasValue: Bool
    final var kind: String
    final var rank = 0
    /// What it is, where there is no value that could tell.
    let summary: String
    /// The node it is derived from.
    final var base: Int?
    final var derived: [Int] = []
    /// Keys it would have derived if another value did not stand there.
    final var lost: [Key] = []
    final var groups: [String] = []

    // Where it stands.
    final var state: ValueState
    final var error = ""
    final var details: [String] = []
    final var lastOperation = LastOperation.undefined
    final var since: Timestamp
    /// Whether other values may build on it.
    final var available = false

    // Trying again.
    final var attempts = 0
    final var nextTry: Timestamp?
    /// It failed and is not tried again as it is.
    final var hasGivenUp = false
    /// It turned out impossible only as it was compared with the world.
    final var isSuspect = false
    /// It differs, which is shown and not repaired.
    final var isDriftShown = false
    final var repairs = RepairCount()

    // Valid as long as the graph does not change.
    final var requirements: [Requirement] = []
    final var depth = 0
    /// Nodes with the same number need each other.
    final var component = 0
    /// Its index in the order of the graph; -1: it has no value.
    final var position = -1

    init(
        id: Int, key: Key, hasValue: Bool, kind: String, summary: String, state: ValueState, since: Timestamp
    ) {
        self.id = id
        self.key = key
        self.hasValue = hasValue
        self.kind = kind
        self.summary = summary
        self.state = state
        self.since = since
    }

    /// Whether all it needs is among the nodes that are there.
    final func isSatisfied(by isThere: [Bool]) -> Bool {
        for requirement in requirements {
            switch requirement {
            case .one(let id): if !isThere[id] { return false }
            case .any(let ids, _): if !ids.contains(where: { isThere[$0] }) { return false }
            case .unmet: return false
            }
        }
        return true
    }

    final func enter(_ state: ValueState, error: String = "", details: [String] = [], at now: Timestamp) {
        if self.state != state {
            since = now
            self.state = state
        }
        self.error = error
        self.details = details
    }

    /// Forgets earlier tries, since what is tried next is something else.
    final func startAfresh() {
        attempts = 0
        nextTry = nil
        hasGivenUp = false
        isSuspect = false
        isDriftShown = false
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
