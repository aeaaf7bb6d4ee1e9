internal import HeapModule

/// Which values can be there, given what is declared and what the world offers.
///
/// The largest set in which every value finds what it needs inside the set. So values that need each other, such as the
/// two ends of a veth pair, are ready together once everything outside their circle is. Of values that are not looked at
/// it is known already: they are as available as they were.
extension Planner {
    func isThere(_ id: Int) -> Bool {
        guard let node = graph.states[id] else { return false }
        return node.look.pass == pass ? node.look.isThere : node.available
    }

    /// Whether all it needs is there.
    func isSatisfied(_ node: NodeState) -> Bool {
        for requirement in node.requirements {
            switch requirement {
            case .one(let id): if !isThere(id) { return false }
            case .any(let ids, let label):
                if !ids.contains(where: isThere), !isGiven(label, of: node) { return false }
            case .unmet(let label): if !isGiven(label, of: node) { return false }
            }
        }
        return true
    }

    /// Whether a requirement is met, when those that `isMet` names are there.
    func isMet(_ requirement: Requirement, of node: NodeState, by isMet: (Int) -> Bool) -> Bool {
        if requirement.isMet(by: isMet) { return true }
        switch requirement {
        case .one: return false
        case .any(_, let label), .unmet(let label): return isGiven(label, of: node)
        }
    }

    /// Whether the world meets a dependency that no value meets. It is asked once in a pass, before what is planned changes
    /// the picture of it.
    private func isGiven(_ label: Int, of node: NodeState) -> Bool {
        guard label < UInt64.bitWidth else { return false }
        let bit: UInt64 = 1 << UInt64(label)
        if node.look.pass == pass, node.look.asked & bit != 0 { return node.look.given & bit != 0 }
        guard case .anyOf = node.needs[label].target, let value = graph[node.id]?.value else { return false }
        let isGiven = value.isGiven(value.dependencies[label], in: world)
        guard node.look.pass == pass else { return isGiven }
        node.look.asked |= bit
        if isGiven { node.look.given |= bit }
        return isGiven
    }

    // MARK: - Growing

    /// Takes a node among those that are looked at. Returns false when it was among them.
    @discardableResult
    mutating func join(_ node: Node<W>) -> Bool {
        if node.look.pass == pass { return false }
        node.look = Look(pass: pass)
        concerned.append(node.id)
        guard let value = node.value else { return true }
        let unmet = value.unmetConditions(in: world)
        if !unmet.isEmpty {
            conditions[node.id] = unmet
            return true
        }
        if node.isObserved { stuck[node.id] = node.observation.verdict(unkept: type(of: value).unkept) }
        node.look.isHeld = holds.contains(node)
        // A value that could not be changed is still there in its old form.
        node.look.isThere =
            (node.available || !node.look.isHeld) && (stuck.isEmpty || stuck[node.id] == nil)
            && (suspects.isEmpty || !suspects.contains(node.id))
        return true
    }

    /// Takes a node in, with those of its circle that wait.
    mutating func enlist(_ node: Node<W>) {
        guard join(node) else { return }
        growing.insert(node.position)
        for case let mate? in (graph.circles[node.component] ?? []).lazy.map({ [graph] in graph[$0] })
        where !mate.available && mate.look.pass != pass { enlist(mate) }
    }

    /// Takes in what may become ready with those that are looked at, in order: so it is known of all that a node needs
    /// whether there is hope for it.
    mutating func grow() {
        while let position = growing.popMin() {
            guard let node = graph.states[position.id], !node.available, node.look.isThere else { continue }
            guard isSatisfied(node) else {
                node.look.isThere = false
                continue
            }
            var hopeful: [Int] = []
            node.dependants.forEach { hopeful.append($0) }
            for case let dependant? in hopeful.lazy.map({ [graph] in graph[$0] }) where !dependant.available {
                enlist(dependant)
            }
        }
    }

    // MARK: - Shrinking

    /// Finds who can't be there, and takes in what can't be there without them.
    mutating func settlePossible() {
        var index = 0
        var losing: [Int] = []
        while true {
            if let id = losing.popLast() {
                if let node = graph.states[id] { spread(from: node, &losing) }
            } else if index < concerned.count {
                if let node = graph.states[concerned[index]] { check(node, &losing) }
                index += 1
            } else {
                break
            }
        }
        for id in bystanders where graph.states[id]?.look.isThere == true { needsAll = true }
        for case let node? in concerned.lazy.map({ [graph] in graph.states[$0] }) {
            node.look.isPossible = node.look.isThere
        }
    }

    private func check(_ node: NodeState, _ losing: inout [Int]) {
        if node.look.isThere {
            if isSatisfied(node) { return }
            node.look.isThere = false
            losing.append(node.id)
        } else if node.available, !isFull {
            losing.append(node.id)
        }
    }

    private mutating func spread(from node: NodeState, _ losing: inout [Int]) {
        var others: [Int] = []
        node.dependants.forEach { id in
            guard let dependant = graph.states[id] else { return }
            if dependant.look.pass == pass {
                if dependant.look.isThere, !isSatisfied(dependant) {
                    dependant.look.isThere = false
                    losing.append(id)
                }
            } else if !isFull, node.available, dependant.hasValue {
                others.append(id)
            }
        }
        for case let dependant? in others.lazy.map({ [graph] in graph[$0] }) {
            if !dependant.available {
                bystanders.append(dependant.id)
                if dependant.isSuspect, !dependant.isObserved { suspects.insert(dependant.id) }
            }
            join(dependant)
        }
    }

    // MARK: - Claims

    /// Takes the claims of those that can't be there, and has the others claim what is theirs.
    func claim(_ order: [Int]) {
        for case let node? in order.lazy.map({ graph[$0] }) where !node.look.isThere && node.place != nil {
            move(node, to: nil)
        }
        for case let node? in order.lazy.map({ graph[$0] }) where node.look.isThere {
            if let value = node.value { move(node, to: value.claim(in: world, by: node.claimant)) }
        }
    }

    /// In a full pass no claim but those of that pass counts, so there is none to take back.
    func move(_ node: Node<W>, to place: W.Place?) {
        if isFull { node.place = place } else { graph.move(node, to: place) }
    }
}
