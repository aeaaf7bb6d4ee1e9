extension GraphShape {
    /// Brings what follows from the declarations up to date: requirements, dependants, depth. It takes time for what
    /// changed since the last call.
    func resolve() {
        if stale.isEmpty, unsettled.isEmpty { return }
        var reshaped: [NodeState] = []
        for node in stale where node.isStale {
            node.isStale = false
            if relink(node) { reshaped.append(node) }
        }
        stale.removeAll()
        for node in reshaped where !node.available || !isSatisfied(node) { dirty.insert(node.id) }
        settleOrder(reshaped)
    }

    /// Whether what a node needs is there.
    private func isSatisfied(_ node: NodeState) -> Bool {
        node.requirements.allSatisfy { $0.isMet { states[$0]?.available == true } }
    }

    /// Finds the nodes that can meet each dependency. Returns whether they are others than before.
    private func relink(_ node: NodeState) -> Bool {
        var watched: [Key] = []
        let requirements = requirements(of: node, &watched)
        if watched != node.watched {
            for key in node.watched { watchers[key]?.remove(node.id) }
            for key in watched { watchers[key, default: NodeSet()].insert(node.id) }
            for key in node.watched where watchers[key]?.isEmpty == true { watchers[key] = nil }
            node.watched = watched
        }
        if node.floor >= 0, requirements == node.requirements { return false }
        node.requirements = requirements
        var targets: [Int] = []
        targets.reserveCapacity(requirements.count)
        for requirement in requirements { requirement.forEachTarget { targets.append($0) } }
        if targets.count > 1 {
            targets.sort()
            var last = -1
            targets.removeAll { id in
                defer { last = id }
                return id == last
            }
        }
        for id in node.targets { states[id]?.dependants.remove(node.id) }
        for id in targets { states[id]?.dependants.insert(node.id) }
        node.targets = targets
        return true
    }

    private func requirements(of node: NodeState, _ watched: inout [Key]) -> [Requirement] {
        var result: [Requirement] = []
        result.reserveCapacity(node.needs.count + 1)
        if let base = node.base { result.append(.one(base)) }
        for (label, need) in node.needs.enumerated() {
            switch need.target {
            case .key(let key):
                if let id = ids[key] {
                    result.append(.one(id))
                } else {
                    watched.append(key)
                    result.append(.unmet(label: label))
                }
            case .keyIfDeclared(let key):
                if let id = ids[key] { result.append(.one(id)) } else { watched.append(key) }
            case .anyOf(let group, let key, let matcher):
                if let key {
                    watched.append(key)
                    if ids[key] == nil { continue }
                }
                var candidates: [Int] = []
                groups[group]?.forEach { id in
                    if let other = states[id], matches(node, matcher, other) { candidates.append(id) }
                }
                candidates.sort()
                result.append(candidates.isEmpty ? .unmet(label: label) : .any(candidates, label: label))
            }
        }
        return result
    }

    // MARK: - What changes the requirements of others

    /// A key came or goes; the node still has its dependants.
    func touch(_ node: NodeState) {
        if !watchers.isEmpty { watchers[node.key]?.forEach { markStale($0) } }
        node.dependants.forEach { markStale($0) }
    }

    /// Takes a node out of all that leads to it.
    func unlink(_ node: NodeState) {
        touch(node)
        for id in node.targets { states[id]?.dependants.remove(node.id) }
        // Another node may take over the number before they are resolved, so that they would seem to be as before.
        node.dependants.forEach { id in
            states[id]?.requirements = [.any([], label: 0)]
            states[id]?.targets.removeAll { $0 == node.id }
        }
        for key in node.watched {
            watchers[key]?.remove(node.id)
            if watchers[key]?.isEmpty == true { watchers[key] = nil }
        }
        unwatchGroups(node)
        breakUp(node.component)
        node.isStale = false
        dirty.remove(node.id)
        unsettled.remove(node.id)
    }

    /// Dependencies on groups follow from the value alone.
    func watchGroups(_ node: NodeState) {
        for case .anyOf(let group, _, _) in node.needs.lazy.map(\.target) {
            groupWatchers[group, default: NodeSet()].insert(node.id)
        }
    }

    func unwatchGroups(_ node: NodeState) {
        for case .anyOf(let group, _, _) in node.needs.lazy.map(\.target) {
            groupWatchers[group]?.remove(node.id)
            if groupWatchers[group]?.isEmpty == true { groupWatchers[group] = nil }
        }
    }

    func enterGroups(_ node: NodeState, _ names: [String]) {
        node.groups = names
        for name in names {
            groups[name, default: NodeSet()].insert(node.id)
            groupWatchers[name]?.forEach { markStale($0) }
        }
    }

    func leaveGroups(_ node: NodeState) {
        for name in node.groups {
            groups[name]?.remove(node.id)
            if groups[name]?.isEmpty == true { groups[name] = nil }
            groupWatchers[name]?.forEach { markStale($0) }
        }
        node.groups = []
    }
}
