/// Which values can be there, given what is declared and what the world offers.
///
/// The largest set in which every value finds what it needs inside the set. So values that need each other, such as the
/// two ends of a veth pair, are ready together once everything outside their circle is.
struct Readiness {
    private(set) var isPossible: [Bool]

    /// - Parameters:
    ///   - states: all nodes; their order must be resolved.
    ///   - dependants: the nodes that need a node.
    ///   - excluded: nodes that can't be there now, whatever they need.
    init(_ states: [NodeState?], _ dependants: Adjacency, excluding excluded: [Bool]) {
        isPossible = [Bool](repeating: false, count: states.count)
        for case let node? in states where node.hasValue && !excluded[node.id] { isPossible[node.id] = true }
        var queue: [Int] = []
        for case let node? in states {
            // Values that were never possible take others with them too.
            if isPossible[node.id], node.isSatisfied(by: isPossible) { continue }
            isPossible[node.id] = false
            queue.append(node.id)
        }
        while let id = queue.popLast() {
            for dependant in dependants[id] where isPossible[dependant] {
                if let node = states[dependant], !node.isSatisfied(by: isPossible) {
                    isPossible[dependant] = false
                    queue.append(dependant)
                }
            }
        }
    }
}
