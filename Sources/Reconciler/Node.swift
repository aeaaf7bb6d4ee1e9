internal import Concurrency

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
    /// Where the object that it claims is.
    var place: W.Place?

    init(
        id: Int, key: Key, value: (any Value<W>)?, kind: String, summary: String, state: ValueState, since: Timestamp,
        tally: Tally
    ) {
        self.value = value
        super.init(
            id: id, key: key, hasValue: value != nil, kind: kind, summary: summary, state: state, since: since,
            tally: tally)
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

/// How many nodes are in each state.
final class Tally {
    private(set) var counts = [Int](repeating: 0, count: ValueState.allCases.count)

    func enter(_ state: ValueState) { counts[state.rawValue] += 1 }
    func leave(_ state: ValueState) { counts[state.rawValue] -= 1 }
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
    final private(set) var state: ValueState
    final var error = ""
    final var details: [String] = []
    final var lastOperation = LastOperation.undefined
    final var since: Timestamp
    /// Whether other values may build on it.
    final var available = false
    /// Whether values that wait for it say that it failed.
    final var isToldFailed = false
    /// Whether it was declared since it was last settled.
    final var isChanged = true
    /// Whether somebody else keeps it, and what was last said of it.
    final var isObserved = false
    final var observation: Observation?
    private let tally: Tally

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

    // What follows from the declarations; kept by the graph.
    final var requirements: [Requirement] = []
    /// All nodes that can meet a requirement, each once.
    final var targets: [Int] = []
    /// The nodes of whose targets it is one.
    final var dependants = NodeSet()
    /// Keys whose coming or going changes the requirements, other than those of targets.
    final var watched: [Key] = []
    /// Greater than the depth of all it needs, but for nodes of its circle. -1: not known yet.
    final var floor = -1
    /// In a circle, a derived value is deeper than its base.
    final var depth = -1
    /// Nodes with the same number need each other.
    final var component: Int
    final var visit = Visit()

    /// What the present pass of a planner makes of it.
    final var look = Look()

    init(
        id: Int, key: Key, hasValue: Bool, kind: String, summary: String, state: ValueState, since: Timestamp,
        tally: Tally
    ) {
        self.id = id
        self.key = key
        self.hasValue = hasValue
        self.kind = kind
        self.summary = summary
        self.state = state
        self.since = since
        self.tally = tally
        component = id
        tally.enter(state)
    }

    deinit { tally.leave(state) }

    /// The mark of its object in the world.
    final var claimant: Claimant { Claimant(id) }

    /// Its place in the order of the graph.
    final var position: Position { Position(depth: depth, rank: rank, key: key, id: id) }

    final func enter(_ state: ValueState, error: String = "", details: [String] = [], at now: Timestamp) {
        if self.state != state {
            since = now
            tally.leave(self.state)
            tally.enter(state)
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

/// Where a node stands in the order: what it needs comes before it, then what has the lower rank, then the lesser key.
struct Position: Comparable {
    var depth: Int
    var rank: Int
    var key: Key
    var id: Int

    static func < (left: Self, right: Self) -> Bool {
        if left.depth != right.depth { return left.depth < right.depth }
        if left.rank != right.rank { return left.rank < right.rank }
        return left.key < right.key
    }

    static func == (left: Self, right: Self) -> Bool { left.id == right.id }
}

/// A dependency with the nodes that can meet it.
enum Requirement: Equatable {
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
