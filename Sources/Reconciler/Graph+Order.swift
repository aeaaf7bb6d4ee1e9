/// Lists of numbers, one for each node, in two arrays.
struct Adjacency {
    private var offsets: [Int] = [0]
    private var items: [Int] = []

    /// No lists.
    init() {}

    /// - Parameters:
    ///   - count: how many nodes there are.
    ///   - forEachEdge: calls its argument with every edge; it is called twice.
    init(count: Int, forEachEdge: ((_ from: Int, _ to: Int) -> Void) -> Void) {
        var ends = [Int](repeating: 0, count: count + 1)
        forEachEdge { from, _ in ends[from + 1] += 1 }
        for index in 0..<count { ends[index + 1] += ends[index] }
        offsets = ends
        var next = ends
        var filled = [Int](repeating: 0, count: ends[count])
        forEachEdge { from, to in
            filled[next[from]] = to
            next[from] += 1
        }
        items = filled
    }

    /// Where the list of a node lies in ``item(_:)``.
    func range(_ id: Int) -> Range<Int> { offsets[id]..<offsets[id + 1] }

    func item(_ index: Int) -> Int { items[index] }

    subscript(id: Int) -> ArraySlice<Int> { items[range(id)] }
}

extension Graph {
    /// Finds the nodes that can meet each dependency, what depends on each node, and the order. Cheap when nothing
    /// changed.
    mutating func resolve() {
        if isResolved { return }
        for id in states.indices {
            if let node = self[id] { node.requirements = requirements(of: node) }
        }
        let states = states
        func forEachEdge(_ body: (NodeState, Int) -> Void) {
            for case let node? in states {
                for requirement in node.requirements { requirement.forEachTarget { body(node, $0) } }
            }
        }
        dependants = Adjacency(count: states.count) { add in forEachEdge { node, target in add(target, node.id) } }
        let targets = Adjacency(count: states.count) { add in forEachEdge { node, target in add(node.id, target) } }
        assignDepths(targets)
        sortNodes()
        isResolved = true
    }

    private func requirements(of node: Node<W>) -> [Requirement] {
        var result: [Requirement] = []
        if let base = node.base { result.append(.one(base)) }
        for (label, dependency) in node.dependencies.enumerated() {
            switch dependency.target {
            case .key(let key):
                result.append(ids[key].map(Requirement.one) ?? .unmet(label: label))
            case .keyIfDeclared(let key):
                if let id = ids[key] { result.append(.one(id)) }
            case .anyOf(let group, let key, let matches):
                if let key, ids[key] == nil { continue }
                let candidates = (groups[group] ?? []).filter { self[$0]?.value.map(matches) ?? false }
                result.append(candidates.isEmpty ? .unmet(label: label) : .any(candidates.sorted(), label: label))
            }
        }
        return result
    }

    /// Gives every node a depth greater than that of all nodes it needs, except those that need it too.
    ///
    /// Tarjan's algorithm, without recursion: a circle is complete only after everything that it needs.
    private func assignDepths(_ targets: Adjacency) {
        var index = [Int](repeating: -1, count: states.count)
        var low = index
        var next = index
        var isOpen = [Bool](repeating: false, count: states.count)
        var open: [Int] = []
        var path: [Int] = []
        var visited = 0
        var circle: [Int] = []
        for root in states.indices where states[root] != nil && index[root] < 0 {
            path.append(root)
            while let id = path.last {
                if index[id] < 0 {
                    index[id] = visited
                    low[id] = visited
                    visited += 1
                    next[id] = targets.range(id).lowerBound
                    open.append(id)
                    isOpen[id] = true
                }
                if next[id] < targets.range(id).upperBound {
                    let target = targets.item(next[id])
                    next[id] += 1
                    if index[target] < 0 {
                        path.append(target)
                    } else if isOpen[target] {
                        low[id] = min(low[id], index[target])
                    }
                    continue
                }
                path.removeLast()
                if let parent = path.last { low[parent] = min(low[parent], low[id]) }
                guard low[id] == index[id] else { continue }
                circle.removeAll(keepingCapacity: true)
                while let member = open.popLast() {
                    isOpen[member] = false
                    circle.append(member)
                    if member == id { break }
                }
                close(circle, number: id, targets)
            }
        }
    }

    /// Settles the depth of nodes that need each other; most often it is one node alone.
    private func close(_ circle: [Int], number: Int, _ targets: Adjacency) {
        for id in circle { states[id]?.component = number }
        var depth = 0
        for id in circle {
            for case let target? in targets[id].lazy.map({ states[$0] }) where target.component != number {
                depth = max(depth, target.depth + 1)
            }
        }
        for case let node? in circle.lazy.map({ states[$0] }) {
            // In a circle too, a derived value comes after its base.
            var level = 0
            var base = node.base
            while let above = base.flatMap({ states[$0] }), above.component == number, circle.count > 1 {
                level += 1
                base = above.base
            }
            node.depth = depth + level
        }
    }

    /// Orders nodes with a value by depth, then rank, then key.
    private mutating func sortNodes() {
        var places: [(depth: Int, rank: Int, key: Key, id: Int)] = []
        places.reserveCapacity(states.count)
        for case let node? in states {
            node.position = -1
            if node.hasValue { places.append((node.depth, node.rank, node.key, node.id)) }
        }
        places.sort { left, right in
            if left.depth != right.depth { return left.depth < right.depth }
            if left.rank != right.rank { return left.rank < right.rank }
            return left.key < right.key
        }
        order = places.map { $0.id }
        for position in order.indices { states[order[position]]?.position = position }
    }
}
