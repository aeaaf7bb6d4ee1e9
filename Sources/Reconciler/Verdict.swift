internal import Concurrency

/// What a planner leaves alone.
struct Holds {
    var now: Timestamp
    /// Nodes that failed in this transaction.
    var nodes: Set<Int> = []
    /// Removals that failed, until they are due.
    var removals: Set<Key> = []
    /// Keys of all removals that failed, due or not.
    var leftBehind: Set<Key> = []
    /// Whether differences that were shown stay as they are.
    var keepsDrift = false

    func contains(_ node: NodeState) -> Bool {
        if let due = node.nextTry, due > now { return true }
        return node.hasGivenUp || keepsDrift && node.isDriftShown || nodes.contains(node.id)
    }
}

/// What was found out about a value that has no step and is not in place.
enum Verdict {
    /// It waits for what is known before it is compared.
    case waiting([String])
    /// It waits, as its comparison says.
    case stalled([String])
    case blocked(String)
    /// Somebody else tries, without success so far.
    case failing(String)

    /// Whether values that need it say that it failed.
    var isFailure: Bool {
        switch self {
        case .waiting, .stalled: false
        case .blocked, .failing: true
        }
    }
}

/// What a pass of a planner makes of a node; it holds in the pass with that number.
struct Look {
    var pass: Int32 = 0
    /// Whether the node can be there, as far as is known before it is compared with the world.
    var isPossible = false
    /// Whether it can be there, as far as is known by now.
    var isThere = false
    /// Whether it is left alone, as it failed.
    var isHeld = false
    var isInPlace = false
    var hasStep = false
    /// Whether it is to be compared once more.
    var isQueued = false
    /// How often it was compared.
    var comparisons: Int32 = 0
    /// Which dependencies the world was asked for, by number, and which of these it meets.
    var asked: UInt64 = 0
    var given: UInt64 = 0
}
