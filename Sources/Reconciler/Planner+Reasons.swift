/// Why values are not there.
extension Planner {
    /// Whether a held node has all it needs, so that it is only its own failure that keeps it back.
    func staysHeld(_ node: Node<W>) -> Bool {
        node.available ? node.look.isThere : isPossibleButForSelf(node)
    }

    /// Whether a node that is not there has all it needs. Nodes that need it in turn are no reason for it to wait: they
    /// wait for it.
    func isPossibleButForSelf(_ node: Node<W>) -> Bool {
        if conditions[node.id] != nil { return false }
        if isSatisfied(node) { return true }
        let mates = readyMates(of: node)
        return node.requirements.allSatisfy { isMet($0, of: node) { isThere($0) || mates.contains($0) } }
    }

    /// The nodes of a circle that could be there if none of it was held or impossible.
    private func readyMates(of node: Node<W>) -> Set<Int> {
        var ready: Set<Int> = []
        for case let mate? in (graph.circles[node.component] ?? [node.id]).lazy.map({ [graph] in graph[$0] })
        where mate.hasValue && conditions[mate.id] == nil { ready.insert(mate.id) }
        var isShrinking = true
        while isShrinking {
            isShrinking = false
            for case let mate? in ready.map({ graph.states[$0] })
            where !mate.requirements.allSatisfy({ isMet($0, of: mate) { isThere($0) || ready.contains($0) } }) {
                ready.remove(mate.id)
                isShrinking = true
            }
        }
        return ready
    }

    private func hasFailed(_ node: Node<W>) -> Bool {
        // Of those that are not looked at it was found out before.
        guard node.look.pass == pass else { return node.isToldFailed }
        if let verdict = stuck[node.id] { return verdict.isFailure && isPossibleButForSelf(node) }
        return node.look.isHeld && staysHeld(node)
    }

    mutating func explain() {
        for node in waiting { note(node, .waiting(reasons(for: node))) }
    }

    /// Values that wait for one that failed now, or failed no longer, say so.
    mutating func explainBystanders() {
        var told: Set<Int> = []
        for case let node? in concerned.map({ graph[$0] }) where !node.look.isThere {
            if hasFailed(node) == node.isToldFailed { continue }
            node.dependants.forEach { id in
                if let other = graph.states[id], other.look.pass != pass { told.insert(id) }
            }
        }
        for case let node? in told.map({ graph[$0] }) {
            guard let value = node.value, !node.available, !node.isSuspect, !holds.contains(node) else { continue }
            let unmet = value.unmetConditions(in: world)
            if !unmet.isEmpty { conditions[node.id] = unmet }
            note(node, .waiting(reasons(for: node)))
        }
    }

    /// Why a node waits: conditions of the world, then labels of dependencies, with the key of what is declared but not
    /// there.
    private func reasons(for node: Node<W>) -> [String] {
        var reasons = conditions[node.id] ?? []
        var circle: [String] = []
        for requirement in node.requirements where !isMet(requirement, of: node, by: isThere) {
            switch requirement {
            case .one(let id):
                guard let target = graph[id] else { continue }
                let hasFailed = hasFailed(target)
                let need = node.label(of: target.key) ?? target.key
                // A condition that says more has been told.
                if reasons.contains(where: { $0.hasPrefix(need + ": ") }) { continue }
                let word = hasFailed ? " failed" : target.value == nil ? " \(target.state.name.lowercased())" : ""
                let reason = need == target.key ? need + word : "\(need) (\(target.key)\(word))"
                if target.component == node.component, !hasFailed {
                    circle.append(reason)
                } else {
                    reasons.append(reason)
                }
            case .any(_, let label), .unmet(let label):
                reasons.append(node.needs[label].label)
            }
        }
        // Those that wait for this one are worth a word only if it waits for nothing else.
        return reasons.isEmpty ? circle : reasons
    }
}
