internal import Concurrency

/// The values and what they depend on.
///
/// What it holds depends only on what was declared, not on the order of declarations. A declared value stands before a
/// derived one with the same key, and of two derived ones that of the alphabetically first base; the other comes back
/// when the first goes.
///
/// What follows from the declarations, and which values are to be looked at because of a change, is kept up to date at the
/// price of the change. It tells the world of values as they come and go.
final class Graph<W: World>: GraphShape {
    /// A value that was taken out, as long as the world has not been reconciled since.
    struct Departed {
        var state: ValueState
        /// Whether a source declared it.
        var isBase: Bool
        /// Whether it was there.
        var wasAvailable: Bool
        var value: (any Value<W>)?
    }

    let world: W
    /// Derived values that another value with their key keeps out, by the base that wants them.
    private(set) var rejected: [Key: [Key: DerivedValue<W>]] = [:]
    let tally = Tally()
    private var free: [Int] = []

    // What the world has not been reconciled with; see Planner.swift.
    /// Places that values have left.
    var released: Set<W.Place> = []
    var departed: [Key: Departed] = [:]
    /// The number of the last pass of a planner.
    var passes: Int32 = 0

    init(world: W) { self.world = world }

    var count: Int { ids.count }

    /// The node with a number; nil: there is none at present.
    subscript(id: Int) -> Node<W>? {
        // Only `add` stores nodes, and of no other type; a checked cast takes longer than all the rest of a lookup.
        states[id].map { unsafeDowncast($0, to: Node<W>.self) }
    }

    /// All nodes.
    var nodes: some Sequence<Node<W>> { states.indices.lazy.compactMap { self[$0] } }

    func node(_ key: Key) -> Node<W>? { ids[key].flatMap { self[$0] } }

    override func matches(_ node: NodeState, _ matcher: Int, _ candidate: NodeState) -> Bool {
        // As above, there are no nodes of another type.
        let (node, candidate) = (
            unsafeDowncast(node, to: Node<W>.self), unsafeDowncast(candidate, to: Node<W>.self)
        )
        guard let value = candidate.value else { return false }
        return node.matchers[matcher](value)
    }

    /// The node whose object carries this mark.
    func node(claimant: Claimant) -> Node<W>? {
        states.indices.contains(Int(claimant)) ? self[Int(claimant)] : nil
    }

    /// Whether a node is to be tried again at this time.
    func isDue(_ id: Int, at now: Timestamp) -> Bool { states[id]?.nextTry.map { $0 <= now } ?? false }

    /// Has those looked at whose differences were shown.
    func markShown() {
        for case let node? in states where node.isDriftShown { dirty.insert(node.id) }
    }

    /// Notes that a node claims another place than before, or none.
    func move(_ node: Node<W>, to place: W.Place?) {
        if let old = node.place, old != place {
            world.release(old, by: node.claimant)
            released.insert(old)
        }
        node.place = place
    }

    // MARK: - Declared values

    /// Puts a base value, with everything derived from it. Returns false when nothing changed.
    @discardableResult
    func put(_ key: Key, _ desired: Desired<W>, at now: Timestamp) -> Bool {
        let old = node(key)
        if let old, old.base == nil {
            if Self.isSame(old, desired) { return false }
            if case .value(let value) = desired, old.value != nil {
                replace(old, with: value, at: now)
                return true
            }
        }
        if let old { makeRoom(old, at: now) }
        switch desired {
        case .value(let value):
            insert(key, value, base: nil, at: now)
        case .invalid(let kind, let summary, let error, let fields):
            let node = add(key, nil, kind: kind, summary: summary, state: .invalid, at: now)
            node.error = error
            node.details = fields
            node.lastOperation = .validate
            world.note(invalid: key, true)
        case .unimplemented(let kind, let summary):
            let node = add(key, nil, kind: kind, summary: summary, state: .unimplemented, at: now)
            node.error = Self.unimplementedText(kind)
        }
        return true
    }

    /// Removes a base value and everything derived from it. Returns false when there is none.
    @discardableResult
    func remove(_ key: Key, at now: Timestamp) -> Bool {
        guard let node = node(key), node.base == nil else { return false }
        var freed: [Key] = []
        detach(node, freed: &freed)
        fill(freed, at: now)
        return true
    }

    private static func isSame(_ node: Node<W>, _ desired: Desired<W>) -> Bool {
        switch desired {
        case .value(let value):
            node.value?.isSame(as: value) ?? false
        case .invalid(let kind, let summary, let error, let fields):
            node.state == .invalid && node.kind == kind && node.summary == summary && node.error == error
                && node.details == fields
        case .unimplemented(let kind, let summary):
            node.state == .unimplemented && node.kind == kind && node.summary == summary
        }
    }

    private static func unimplementedText(_ kind: String) -> String {
        "this agent has nothing that handles \(kind) values"
    }

    private func replace(_ node: Node<W>, with value: any Value<W>, at now: Timestamp) {
        node.value?.withdraw(in: world, key: node.key)
        leaveGroups(node)
        unwatchGroups(node)
        withdrawLost(node)
        move(node, to: nil)
        node.startAfresh()
        node.forgetRepairs()
        enter(node, value)
        let parts = value.derived
        let wanted = Set(parts.map { $0.key })
        var freed: [Key] = []
        for case let part? in node.derived.map({ self[$0] }) where !wanted.contains(part.key) {
            detach(part, freed: &freed)
        }
        node.derived.removeAll { states[$0] == nil }
        for part in parts {
            if let old = self.node(part.key), old.base == node.id {
                // What failed before may work now that the base is another.
                old.startAfresh()
                dirty.insert(old.id)
                if old.value?.isSame(as: part.value) != true { replace(old, with: part.value, at: now) }
            } else {
                derive(part, from: node, at: now)
            }
        }
        fill(freed, at: now)
    }

    /// Gives a node a value, which is known to others from now on.
    private func enter(_ node: Node<W>, _ value: any Value<W>) {
        let type = type(of: value)
        node.value = value
        node.kind = type.kind
        if node.rank != type.rank { isOrdered = false }
        node.rank = type.rank
        node.isObserved = type.isObserved
        node.isObtained = type.isObtained
        node.isChanged = true
        node.take(value.dependencies)
        markStale(node)
        dirty.insert(node.id)
        watchGroups(node)
        enterGroups(node, value.groups)
        value.declare(in: world, key: node.key)
    }

    // MARK: - Nodes

    private func add(
        _ key: Key, _ value: (any Value<W>)?, kind: String, summary: String, state: ValueState, at now: Timestamp
    ) -> Node<W> {
        let id = free.popLast() ?? states.count
        let node = Node<W>(
            id: id, key: key, value: value, kind: kind, summary: summary, state: state, since: now, tally: tally)
        enter(node)
        return node
    }

    @discardableResult
    private func insert(_ key: Key, _ value: any Value<W>, base: Int?, at now: Timestamp) -> Node<W> {
        let node = add(key, value, kind: type(of: value).kind, summary: "", state: .nonexistent, at: now)
        node.base = base
        enter(node, value)
        for part in value.derived { derive(part, from: node, at: now) }
        return node
    }

    /// Takes a node out, with what is derived from it. The caller mends `derived` of its base.
    private func detach(_ node: Node<W>, freed: inout [Key]) {
        for case let part? in node.derived.map({ self[$0] }) { detach(part, freed: &freed) }
        node.value?.withdraw(in: world, key: node.key)
        if node.state == .invalid { world.note(invalid: node.key, false) }
        leaveGroups(node)
        unlink(node)
        withdrawLost(node)
        move(node, to: nil)
        departed[node.key] = Departed(
            state: node.state, isBase: node.base == nil, wasAvailable: node.available, value: node.value)
        leave(node)
        free.append(node.id)
        freed.append(node.key)
    }

    // MARK: - Derived values

    private func derive(_ part: DerivedValue<W>, from node: Node<W>, at now: Timestamp) {
        if let holder = self.node(part.key) {
            if holder.base == node.id { return }
            guard let base = holder.base.flatMap({ self[$0] }), node.key < base.key else {
                reject(part, of: node)
                return
            }
            makeRoom(holder, at: now)
        }
        node.derived.append(insert(part.key, part.value, base: node.id, at: now).id)
    }

    /// Takes out a node whose key another value takes over.
    private func makeRoom(_ node: Node<W>, at now: Timestamp) {
        var freed: [Key] = []
        detach(node, freed: &freed)
        if let base = node.base.flatMap({ self[$0] }), let value = node.value {
            base.derived.removeAll { $0 == node.id }
            reject(DerivedValue(key: node.key, value: value), of: base)
        }
        freed.removeAll { $0 == node.key }
        fill(freed, at: now)
    }

    private func reject(_ part: DerivedValue<W>, of node: Node<W>) {
        rejected[part.key, default: [:]][node.key] = part
        node.lost.append(part.key)
    }

    private func withdrawLost(_ node: Node<W>) {
        for key in node.lost {
            rejected[key]?[node.key] = nil
            if rejected[key]?.isEmpty == true { rejected[key] = nil }
        }
        node.lost = []
    }

    /// Lets values in that were kept out by those that had these keys.
    private func fill(_ freed: [Key], at now: Timestamp) {
        if rejected.isEmpty { return }
        for key in freed.sorted() where ids[key] == nil {
            guard let next = rejected[key]?.min(by: { $0.key < $1.key }), let base = node(next.key) else { continue }
            rejected[key]?[next.key] = nil
            if rejected[key]?.isEmpty == true { rejected[key] = nil }
            base.lost.removeAll { $0 == key }
            derive(next.value, from: base, at: now)
        }
    }
}
