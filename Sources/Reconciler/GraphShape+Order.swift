internal import HeapModule

/// Where a search for circles is with a node.
struct Visit {
    /// The number of the search.
    var search: Int32 = 0
    var index: Int32 = 0
    var low: Int32 = 0
    /// The next target to look at.
    var next: Int32 = 0
    var isOpen = false
}

extension GraphShape {
    /// Gives every node a depth greater than that of all nodes it needs, except those that need it too.
    ///
    /// - Parameter reshaped: nodes that need others than before, new ones among them.
    func settleOrder(_ reshaped: [NodeState]) {
        var new: [Int] = []
        var others: [NodeState] = []
        for node in reshaped { if node.floor < 0 { new.append(node.id) } else { others.append(node) } }
        // A new node may have the number of a circle that has lost that member.
        for id in unsettled { states[id]?.component = id }
        if !new.isEmpty {
            var search = CircleSearch(shape: self, among: new)
            search.run()
        }
        // What was there before comes to stand behind the new that it needs.
        var roots = unsettled
        unsettled.removeAll()
        for node in others {
            if let circle = circles.removeValue(forKey: node.component) {
                roots.formUnion(circle)
            } else if node.targets.contains(where: { isNotBefore($0, node) }) {
                roots.insert(node.id)
            }
        }
        // Why those wait that have lost or won a circle is to be said anew.
        for id in roots where states[id]?.available == false { dirty.insert(id) }
        var changed = Set(others.map(\.id))
        if !roots.isEmpty {
            var search = CircleSearch(shape: self, roots: roots)
            search.run()
            changed.formUnion(search.changed)
        }
        if !changed.isEmpty { deepen(changed) }
    }

    /// Nodes in order, without those that are gone. Here, as a planner that sorts by itself is compiled for no world in particular.
    func inOrder(_ ids: [Int]) -> [Int] { ids.compactMap { states[$0]?.position }.sorted().map { $0.id } }

    /// Whether a target does not come before the node that needs it, in the order there was.
    private func isNotBefore(_ target: Int, _ node: NodeState) -> Bool {
        guard let other = states[target], other !== node else { return false }
        return other.floor >= node.floor
    }

    /// One more than the depth of everything that a node needs outside of its circle.
    private func floor(of node: NodeState) -> Int {
        var floor = 0
        for case let target? in node.targets.lazy.map({ self.states[$0] }) where target.component != node.component {
            floor = max(floor, target.depth + 1)
        }
        return floor
    }

    /// Notes that the members of a circle may need each other no longer.
    func breakUp(_ component: Int) {
        if let circle = circles.removeValue(forKey: component) { unsettled.formUnion(circle) }
    }

    /// Settles nodes that need each other; most often it is one node alone. Returns whether anything is new.
    func close(_ circle: [Int], number: Int) -> Bool {
        var isNew = false
        for case let node? in circle.lazy.map({ self.states[$0] }) where node.component != number {
            isNew = true
            // It may have been in a circle that is part of this one now.
            if let former = circles[node.component], former.contains(node.id) { circles[node.component] = nil }
            node.component = number
        }
        if circle.count > 1 {
            circles[number] = circle
            for id in circle where isNew && states[id]?.available == false { dirty.insert(id) }
        } else {
            circles[number] = nil
        }
        return setDepth(circle) || isNew
    }

    private func setDepth(_ circle: [Int]) -> Bool {
        var floor = 0
        for case let node? in circle.lazy.map({ self.states[$0] }) { floor = max(floor, self.floor(of: node)) }
        var isNew = false
        for case let node? in circle.lazy.map({ self.states[$0] }) {
            // In a circle too, a derived value comes after its base.
            var level = 0
            var base = node.base
            while circle.count > 1, let above = base.flatMap({ states[$0] }), above.component == node.component {
                level += 1
                base = above.base
            }
            if node.floor == floor, node.depth == floor + level { continue }
            node.floor = floor
            node.depth = floor + level
            isNew = true
        }
        if isNew { isOrdered = false }
        return isNew
    }

    /// Corrects the depth of nodes and, as long as it changes, of those that need them.
    private func deepen(_ changed: Set<Int>) {
        var queue = Heap<Step>()
        var queued: Set<Int> = []
        func add(_ id: Int) {
            guard let node = states[id], queued.insert(node.component).inserted else { return }
            queue.insert(Step(floor: node.floor, component: node.component, member: id))
        }
        for id in changed {
            add(id)
            states[id]?.dependants.forEach(add)
        }
        while let step = queue.popMin() {
            queued.remove(step.component)
            let circle = circles[step.component] ?? [step.member]
            guard setDepth(circle) else { continue }
            for case let node? in circle.lazy.map({ self.states[$0] }) { node.dependants.forEach(add) }
        }
    }

    /// The nodes with a value, in order.
    func sort() {
        if isOrdered { return }
        var places: [Position] = []
        places.reserveCapacity(ids.count)
        for case let node? in states where node.hasValue { places.append(node.position) }
        places.sort()
        order = places.map(\.id)
        isOrdered = true
    }
}

/// A circle whose depth is to be looked at.
private struct Step: Comparable {
    var floor: Int
    var component: Int
    var member: Int

    static func < (left: Self, right: Self) -> Bool {
        (left.floor, left.component) < (right.floor, right.component)
    }
}

/// Finds which nodes need each other, among some nodes and what they need.
///
/// Tarjan's algorithm, without recursion: a circle is complete only after everything that it needs.
private struct CircleSearch {
    let shape: GraphShape
    let roots: [Int]
    /// Nodes whose depth or circle is another than before.
    private(set) var changed: [Int] = []
    /// What is not as deep is left out; nil: all that has a depth is.
    private let bound: Int?
    private var open: [Int] = []
    private var path: [NodeState] = []
    private var visited: Int32 = 0

    /// Every circle that is new or broken has a root in it. The floor falls along all dependencies that are not those of
    /// roots, so what lies deeper than all roots leads back to none of them and is left out.
    init(shape: GraphShape, roots: Set<Int>) {
        self.shape = shape
        self.roots = Array(roots)
        bound = roots.lazy.compactMap { shape.states[$0]?.floor }.min() ?? 0
        shape.searches &+= 1
    }

    /// Among new nodes: what was there before is taken to be settled.
    init(shape: GraphShape, among new: [Int]) {
        self.shape = shape
        roots = new
        bound = nil
        shape.searches &+= 1
    }

    private func isLeftOut(_ target: NodeState) -> Bool {
        if let bound { target.floor < bound } else { target.floor >= 0 }
    }

    mutating func run() {
        for case let root? in roots.lazy.map({ [shape] in shape.states[$0] }) where root.visit.search != shape.searches
        {
            path.append(root)
            while let node = path.last { step(node) }
        }
    }

    private mutating func step(_ node: NodeState) {
        if node.visit.search != shape.searches {
            node.visit = Visit(search: shape.searches, index: visited, low: visited, next: 0, isOpen: true)
            visited += 1
            open.append(node.id)
        }
        while Int(node.visit.next) < node.targets.count {
            let target = shape.states[node.targets[Int(node.visit.next)]]
            node.visit.next += 1
            guard let target, !isLeftOut(target) else { continue }
            if target.visit.search != shape.searches {
                path.append(target)
                return
            }
            if target.visit.isOpen { node.visit.low = min(node.visit.low, target.visit.index) }
        }
        path.removeLast()
        if let parent = path.last { parent.visit.low = min(parent.visit.low, node.visit.low) }
        guard node.visit.low == node.visit.index else { return }
        var circle: [Int] = []
        while let member = open.popLast() {
            shape.states[member]?.visit.isOpen = false
            circle.append(member)
            if member == node.id { break }
        }
        if shape.close(circle, number: node.id) { changed += circle }
    }
}
