/// Which values can be there, given what is declared and what the world offers.
///
/// The largest set in which every value finds what it needs inside the set. So values that need each other, such as the
/// two ends of a veth pair, are ready together once everything outside their circle is.
struct Readiness {
    private(set) var isPossible: [Bool]

    /// - Parameters:
    ///   - graph: the values; its order must be resolved.
    ///   - excluded: nodes that can't be there now, whatever they need.
    init<W: World>(_ graph: Graph<W>, excluding excluded: (Node<W>) -> Bool) {
        isPossible = [Bool](repeating: false, count: graph.nodes.count)
        for case let node? in graph.nodes where node.value != nil && !excluded(node) { isPossible[node.id] = true }
        var queue: [Int] = []
        for case let node? in graph.nodes {
            // Values that were never possible take others with them too.
            if isPossible[node.id], isSatisfied(node) { continue }
            isPossible[node.id] = false
            queue.append(node.id)
        }
        while let id = queue.popLast() {
            for dependant in graph.dependants[id] where isPossible[dependant] {
                if let node = graph[dependant], !isSatisfied(node) {
                    isPossible[dependant] = false
                    queue.append(dependant)
                }
            }
        }
    }

    private func isSatisfied<W: World>(_ node: Node<W>) -> Bool {
        for requirement in node.requirements where !requirement.isMet(by: { isPossible[$0] }) { return false }
        return true
    }
}
