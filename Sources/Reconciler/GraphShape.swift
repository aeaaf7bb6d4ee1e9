/// What of a graph is the same in every world: how its nodes hang together.
///
/// It is apart so that walks over the graph are compiled for it, and not for a world that the compiler does not know.
class GraphShape {
    final private(set) var states: [NodeState?] = []
    final private(set) var ids: [Key: Int] = [:]
    final var groups: [String: NodeSet] = [:]
    /// Nodes to be looked at.
    final var dirty: Set<Int> = []

    // What follows from the declarations; see GraphShape+Links.swift and GraphShape+Order.swift.
    /// Nodes whose requirements may be others, and some that are gone.
    final var stale: [NodeState] = []
    /// Nodes that need, or would need, one of these keys without depending on a node with it.
    final var watchers: [Key: NodeSet] = [:]
    final var groupWatchers: [String: NodeSet] = [:]
    /// Nodes that need each other, where there are several.
    final var circles: [Int: [Int]] = [:]
    /// Nodes whose circle lost a member.
    final var unsettled: Set<Int> = []
    /// The number of the last search for circles.
    final var searches: Int32 = 0
    final var order: [Int] = []
    final var isOrdered = true

    /// Whether what a node needs of a group is what another node stands for. A graph of values knows.
    func matches(_ node: NodeState, _ matcher: Int, _ candidate: NodeState) -> Bool { false }

    /// Notes that the requirements of a node may be others.
    final func markStale(_ node: NodeState) {
        if node.isStale { return }
        node.isStale = true
        stale.append(node)
    }

    final func markStale(_ id: Int) {
        if let node = states[id] { markStale(node) }
    }

    /// Takes a node in, under its number and key.
    final func enter(_ node: NodeState) {
        if node.id == states.count { states.append(node) } else { states[node.id] = node }
        ids[node.key] = node.id
        isOrdered = false
        markStale(node)
        touch(node)
    }

    /// Takes a node out; nothing leads to it any more.
    final func leave(_ node: NodeState) {
        ids[node.key] = nil
        states[node.id] = nil
        isOrdered = false
    }
}
