internal import Concurrency

/// What a source wants to be under a key.
public enum Desired<W: World>: Sendable {
    /// A value that can be made.
    case value(any Value<W>)
    /// A value that can never be made as it is written.
    indirect case invalid(kind: String, summary: String, error: String, fields: [String])
    /// A value that no kind takes.
    case unimplemented(kind: String, summary: String)
}

/// A value in the graph, with its state.
final class Node<W: World>: NodeState {
    /// nil when the value is invalid or unimplemented.
    var value: (any Value<W>)?
    /// For dependencies on a group, which of its values match.
    var matchers: [@Sendable (any Value<W>) -> Bool] = []
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

    /// Takes over what the value depends on.
    func take(_ dependencies: [Dependency<W>]) {
        if !matchers.isEmpty { matchers = [] }
        needs = dependencies.map { dependency in
            let target: Need.Target
            switch dependency.target {
            case .key(let key): target = .key(key)
            case .keyIfDeclared(let key): target = .keyIfDeclared(key)
            case .anyOf(let group, let key, let matches):
                target = .anyOf(group: group, unlessUndeclared: key, matcher: matchers.count)
                matchers.append(matches)
            }
            return Need(label: dependency.label, target: target)
        }
    }
}

/// A dependency without what only its world knows.
struct Need {
    enum Target {
        case key(Key)
        case keyIfDeclared(Key)
        /// With the number of what tells which values match.
        case anyOf(group: String, unlessUndeclared: Key?, matcher: Int)
    }

    var label: String
    var target: Target
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
    /// The node it is derived from.
    final var base: Int?
    final var derived: [Int] = []
    final var groups: [String] = []

    // Where it stands.
    final private(set) var state: ValueState
    final var lastOperation = LastOperation.undefined
    final var since: Timestamp
    /// Whether other values may build on it.
    final var available = false
    /// Whether values that wait for it say that it failed.
    final var isToldFailed = false
    /// Whether it was declared since it was last settled.
    final var isChanged = true
    /// Whether somebody else keeps it.
    final var isObserved = false
    /// Whether it is there without our doing.
    final var isObtained = false
    private let tally: Tally

    // Trying again.
    /// It failed and is not tried again as it is.
    final var hasGivenUp = false
    /// It turned out impossible only as it was compared with the world.
    final var isSuspect = false
    /// It differs, which is shown and not repaired.
    final var isDriftShown = false

    /// Whether its requirements may be others than those it has.
    final var isStale = false
    /// What its value depends on.
    final var needs: [Need] = []

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

    private final var rarities: Rarities?

    init(
        id: Int, key: Key, hasValue: Bool, kind: String, summary: String, state: ValueState, since: Timestamp,
        tally: Tally
    ) {
        self.id = id
        self.key = key
        self.hasValue = hasValue
        self.kind = kind
        self.state = state
        self.since = since
        self.tally = tally
        component = id
        tally.enter(state)
        self.summary = summary
    }

    deinit { tally.leave(state) }

    /// The mark of its object in the world.
    final var claimant: Claimant { Claimant(id) }

    /// The label of the dependency that names `key`.
    final func label(of key: Key) -> String? {
        for need in needs {
            switch need.target {
            case .key(let wanted), .keyIfDeclared(let wanted): if wanted == key { return need.label }
            case .anyOf: break
            }
        }
        return nil
    }

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
        if let rarities {
            rarities.attempts = 0
            rarities.nextTry = nil
        }
        hasGivenUp = false
        isSuspect = false
        isDriftShown = false
    }
}

/// What few nodes have anything of.
private final class Rarities {
    var summary = ""
    var lost: [Key] = []
    var error = ""
    var details: [String] = []
    var observation: Observation?
    var attempts = 0
    var nextTry: Timestamp?
    var repairs = RepairCount()
}

extension NodeState {
    /// Only called for what is to be something else than at first.
    private var own: Rarities {
        if let rarities { return rarities }
        let new = Rarities()
        rarities = new
        return new
    }

    /// A description, where no value is there to give one.
    final private(set) var summary: String {
        get { rarities?.summary ?? "" }
        set { if rarities != nil || !newValue.isEmpty { own.summary = newValue } }
    }

    /// Keys it would have derived if another value did not stand there.
    final var lost: [Key] {
        get { rarities?.lost ?? [] }
        set { if rarities != nil || !newValue.isEmpty { own.lost = newValue } }
    }

    /// Text of the last error; empty: none.
    final var error: String {
        get { rarities?.error ?? "" }
        set { if rarities != nil || !newValue.isEmpty { own.error = newValue } }
    }

    /// Invalid fields, or what it waits for.
    final var details: [String] {
        get { rarities?.details ?? [] }
        set { if rarities != nil || !newValue.isEmpty { own.details = newValue } }
    }

    /// What was last said of it, if somebody else keeps it.
    final var observation: Observation? {
        get { rarities?.observation }
        set { if rarities != nil || newValue != nil { own.observation = newValue } }
    }

    /// How often it was tried without success.
    final var attempts: Int {
        get { rarities?.attempts ?? 0 }
        set { if rarities != nil || newValue != 0 { own.attempts = newValue } }
    }

    /// When it is tried again; nil: that is not planned.
    final var nextTry: Timestamp? {
        get { rarities?.nextTry }
        set { if rarities != nil || newValue != nil { own.nextTry = newValue } }
    }

    /// Counts a repair. Returns how long to leave the value alone when this has become a fight.
    final func countRepair(at now: Timestamp) -> Duration? { own.repairs.add(at: now) }

    /// Forgets earlier repairs.
    final func forgetRepairs() { rarities?.repairs = RepairCount() }
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
