internal import HeapModule

/// The walk over the values that are looked at, in order.
extension Planner {
    /// How the comparison of a value ended.
    private enum Outcome {
        case inPlace
        case step
        case impossible(Verdict)
    }

    /// Goes over some nodes, and in between over those that turn out to need a look.
    mutating func walk(_ order: [Int]) {
        var index = 0
        while !needsAll || isShowing {
            if let first = again.min, index == order.count || isBefore(first, order[index]) {
                again.removeMin()
                if let node = graph[first.id] { lookAgain(node) }
            } else if index < order.count {
                if let node = graph[order[index]] { visit(node) }
                index += 1
            } else {
                break
            }
        }
    }

    private func isBefore(_ position: Position, _ id: Int) -> Bool {
        graph.states[id].map { position < $0.position } ?? true
    }

    private mutating func visit(_ node: Node<W>) {
        let id = node.id
        if !stuck.isEmpty, let verdict = stuck[id] {
            if isPossibleButForSelf(node) { note(node, verdict) } else { waiting.append(node) }
        } else if node.look.isHeld, staysHeld(node) {
            plan.blocked.append(.init(key: node.key, summary: node.value?.summary ?? "", reasons: [node.error]))
        } else if !suspects.isEmpty, suspects.contains(id), isPossibleButForSelf(node) {
            visit(suspect: node)
        } else if node.look.isThere, isSatisfied(node) {
            guard case .impossible(let verdict) = compare(node) else { return }
            giveUp(node, verdict)
        } else {
            if node.look.isThere { lose(node) }
            waiting.append(node)
        }
    }

    private mutating func visit(suspect node: Node<W>) {
        if let verdict = impossibility(of: node) {
            stuck[node.id] = verdict
            note(node, verdict)
        } else {
            suspects.remove(node.id)
            startOver()
        }
    }

    /// Compares a value with the world only to see whether it is still impossible.
    private func impossibility(of node: Node<W>) -> Verdict? {
        switch node.value?.assess(in: world).verdict {
        case .waiting(let reasons): .stalled(reasons)
        case .blocked(let reason): .blocked(reason)
        case .failing(let reason): .failing(reason)
        case nil, .inPlace, .create, .update, .recreate: nil
        }
    }

    /// Compares a node that was compared before, or that turned out later to be concerned.
    private mutating func lookAgain(_ node: Node<W>) {
        if node.look.pass != pass {
            join(node)
            guard node.look.isThere, isShowing || isSatisfied(node) else {
                needsAll = true
                return
            }
        } else if !node.look.isQueued {
            return
        }
        node.look.isQueued = false
        if !node.look.isThere || node.look.isHeld { return }
        guard case .impossible(let verdict) = compare(node) else { return }
        giveUp(node, verdict)
    }

    // MARK: - What is not there after all

    private mutating func giveUp(_ node: Node<W>, _ verdict: Verdict) {
        stuck[node.id] = verdict
        lose(node)
    }

    private mutating func lose(_ node: Node<W>) {
        node.look.isThere = false
        if isFull {
            if hadHope(node) { startOver() }
        } else if node.available || node.place != nil {
            needsAll = true
        }
    }

    /// Whether something of the node may be in the world although it can't be there.
    private func hadHope(_ node: Node<W>) -> Bool {
        node.look.isPossible
            && (node.available || node.state == .nonexistent || node.place != nil
                || holds.leftBehind.contains(node.key))
    }

    private mutating func startOver() {
        if isFull { another = .onTop } else { needsAll = true }
    }

    // MARK: - Comparison

    /// Compares a value with the world. After a step, others may build on it.
    private mutating func compare(_ node: Node<W>) -> Outcome {
        guard let value = node.value else { return .impossible(.blocked(node.error)) }
        node.look.comparisons += 1
        let assessment = node.isObserved ? .inPlace : value.assess(in: world)
        let verb: Plan<W.Operation>.Verb
        switch assessment.verdict {
        case .inPlace:
            node.look.isInPlace = true
            if node.isChanged { queueDependants(of: node) }
            return .inPlace
        case .waiting(let reasons): return impossible(node, .stalled(reasons))
        case .blocked(let reason): return impossible(node, .blocked(reason))
        case .failing(let reason): return impossible(node, .failing(reason))
        case .create: verb = .create
        case .update: verb = .update
        case .recreate: verb = .recreate
        }
        node.look.hasStep = true
        let range = add(assessment.operations)
        plan.steps.append(
            .init(
                verb: verb, key: node.key, summary: value.summary, differences: assessment.differences,
                operations: range, node: node.id))
        if !isShowing { move(node, to: value.claim(in: world, by: node.claimant)) }
        queueDependants(of: node)
        noteDisturbed()
        return .step
    }

    private mutating func impossible(_ node: Node<W>, _ verdict: Verdict) -> Outcome {
        note(node, verdict)
        return .impossible(verdict)
    }

    /// What builds on a node that changes is compared after it, if it is there and was not to be looked at.
    private mutating func queueDependants(of node: NodeState) {
        if isFull { return }
        node.dependants.forEach { id in
            guard let dependant = graph.states[id], dependant.available, dependant.look.pass != pass else { return }
            again.insert(dependant.position)
        }
    }

    /// Has those compared once more whose objects were taken along.
    mutating func noteDisturbed() {
        for case let node? in world.takeDisturbed().lazy.map({ [graph] in graph.node(claimant: $0) }) {
            if node.look.pass != pass {
                if node.available { again.insert(node.position) }
            } else if node.look.isThere, !node.look.isQueued, (1...Self.comparisons).contains(node.look.comparisons) {
                node.look.isQueued = true
                again.insert(node.position)
            }
        }
    }

    /// How often a value is compared that others disturb again and again.
    private static var comparisons: Int32 { 3 }
}
