internal import Concurrency

/// A removal that failed.
struct FailedRemoval<W: World> {
    /// Where it is, most often one place; empty: the world does not say.
    var places: Set<W.Place>
    var summary: String
    var error: String
    var attempts: Int
    var since: Timestamp
    /// nil: it is not tried again by itself.
    var nextTry: Timestamp?

    mutating func makeDue() {
        attempts = 0
        nextTry = Timestamp(nanoseconds: 0)
    }

    var state: ValueState { nextTry == nil ? .failed : .retrying }

    func rests(at time: Timestamp) -> Bool { nextTry.map { $0 > time } ?? true }
}

/// What a transaction has done so far.
struct Log {
    var entries: [Transaction.Entry] = []
    /// Steps of all rounds.
    var stepCount = 0
    var isReverted = false
    /// What of others went.
    var losses: [String] = []
    /// Leftovers that were seen and left.
    var heldRemovals: Set<Key>?
    /// How the world was before.
    var found = Transaction.Found()
}

/// What went wrong in one round.
struct Failures {
    var nodes: Set<Int> = []
    /// Nodes that can't be made, which the plan took into account.
    var blocked: Set<Int> = []
    var removals: Set<Key> = []
    /// Whether something was not tried.
    var isIncomplete = false
    /// The first that failed now and did not fail before.
    var culprit: Key?

    var isEmpty: Bool { nodes.isEmpty && removals.isEmpty && !isIncomplete }
}

extension Reconciler {
    /// Moves every node to the state its verdict and results call for.
    func record(
        _ planner: Planner<W>, _ results: [OperationResult], isRepair: Bool, into log: inout Log
    ) -> Failures {
        let time = now()
        let first = log.entries.count
        var failures = Failures()
        for step in planner.plan.steps {
            let outcome = Self.outcome(of: step, results)
            guard let id = step.node, let node = graph[id] else {
                let places = planner.places[step.key] ?? []
                log.entries.append(recordRemoval(step, outcome, at: places, &failures, at: time))
                continue
            }
            var before = node.state
            if isRepair, node.available, step.verb == .create { before = .missing }
            let error = finish(
                node, step, outcome, isRepair: isRepair && !node.isChanged, &failures, at: time)
            log.entries.append(Self.entry(step, before: before, after: node.state, error: error))
        }
        for case (let id, .blocked(let reason)) in planner.verdicts {
            guard let node = graph[id] else { continue }
            let before = node.state
            if node.attempts == 0 { failures.culprit = failures.culprit ?? node.key }
            failures.blocked.insert(id)
            node.available = false
            node.isSuspect = true
            fail(node, reason, retriable: true, operation: .create, at: time)
            log.entries.append(
                .init(
                    verb: .create, key: node.key, summary: node.value?.summary ?? "", before: before, after: node.state,
                    error: reason))
        }
        // What the plan took for done was not: the next round finds how things are.
        if !failures.isEmpty {
            graph.dirty.formUnion(planner.concerned)
            return failures
        }
        settle(planner, at: time)
        for index in log.entries.indices[first...] where log.entries[index].after == .removed {
            if let node = graph.node(log.entries[index].key) { log.entries[index].after = node.state }
        }
        log.heldRemovals = planner.heldRemovals
        // Those without a place are seen only when everything is looked at.
        if !planner.isFull, !removals.isEmpty {
            log.heldRemovals?.formUnion(removals.lazy.filter { $0.value.places.isEmpty }.map { $0.key })
        }
        if planner.isFull { spared = planner.spared }
        isAllDue = false
        graph.dirty = []
        graph.released = []
        return failures
    }

    /// Applies the verdicts that hold if all operations did what they should.
    func settle(_ planner: Planner<W>, at time: Timestamp) {
        for node in planner.inPlace { settle(node, at: time) }
        for (id, verdict) in planner.verdicts {
            guard let node = graph.states[id] else { continue }
            switch verdict {
            case .waiting(let reasons): wait(node, for: reasons, at: time)
            case .stalled(let reasons):
                wait(node, for: reasons, at: time)
                node.isSuspect = true
            case .failing(let reason):
                node.available = false
                node.startAfresh()
                node.isSuspect = true
                node.enter(.retrying, error: reason, at: time)
            case .blocked: break
            }
        }
        for case let node? in planner.concerned.lazy.map({ [graph] in graph.states[$0] }) {
            node.isChanged = false
            node.isToldFailed = !node.available && (node.state == .failed || node.state == .retrying)
        }
    }

    private func settle(_ node: NodeState, at time: Timestamp) {
        node.available = true
        node.startAfresh()
        let state: ValueState = node.isObtained ? .obtained : .configured
        if node.state != state || !node.error.isEmpty || !node.details.isEmpty {
            node.enter(state, at: time)
        }
    }

    func wait(_ node: NodeState, for reasons: [String], at time: Timestamp) {
        if node.available { node.lastOperation = .delete }
        node.available = false
        node.startAfresh()
        node.enter(.pending, details: reasons, at: time)
    }

    /// Returns the text of the error; empty: none.
    private func finish(
        _ node: Node<W>, _ step: Plan<W.Operation>.Step, _ outcome: OperationResult, isRepair: Bool,
        _ failures: inout Failures, at time: Timestamp
    ) -> String {
        let operation: LastOperation = step.verb == .update ? .update : .create
        switch outcome {
        case .done:
            let wasThere = node.available && node.state == .configured
            // What was simulated is real now, and may be another object of the world.
            node.place = node.value?.claim(in: world, by: node.claimant) ?? node.place
            node.lastOperation = operation
            // Another object stands there now, although the state has the same name.
            if step.verb != .update { node.since = time }
            settle(node, at: time)
            if isRepair, wasThere, let pause = node.countRepair(at: time) { leaveAlone(node, for: pause, at: time) }
            return ""
        case .failed(let text, let retriable):
            if let cause = failedCause(of: node, failures) {
                // It could not have worked. The next round finds what it waits for.
                failures.isIncomplete = true
                return "\(text) (\(cause) failed)"
            }
            failures.nodes.insert(node.id)
            if node.attempts == 0 { failures.culprit = failures.culprit ?? node.key }
            // A value that could not be changed is still there in its old form.
            node.available = step.verb == .update
            fail(node, text, retriable: retriable, operation: operation, at: time)
            return text
        case .skipped:
            failures.isIncomplete = true
            if step.verb != .update { node.available = false }
            let cause = failedCause(of: node, failures) ?? "what it builds on"
            node.enter(.pending, details: ["\(cause) failed"], at: time)
            return "skipped, as \(cause) failed"
        }
    }

    /// Key of something the node needs that failed in this round.
    private func failedCause(of node: Node<W>, _ failures: Failures) -> Key? {
        if failures.nodes.isEmpty { return nil }
        for requirement in node.requirements where !requirement.isMet(by: { !failures.nodes.contains($0) }) {
            var cause: Key?
            requirement.forEachTarget { cause = cause ?? graph[$0]?.key }
            if let cause { return cause }
        }
        return nil
    }

    private func fail(
        _ node: Node<W>, _ text: String, retriable: Bool, operation: LastOperation, at time: Timestamp
    ) {
        node.lastOperation = operation
        node.attempts += 1
        if retriable, retry.isEnabled {
            postpone(node, until: time.advanced(by: retry.delay(beforeAttempt: node.attempts)))
            node.enter(.retrying, error: text, at: time)
        } else {
            node.nextTry = nil
            node.hasGivenUp = true
            node.enter(.failed, error: text, at: time)
        }
    }

    private func leaveAlone(_ node: Node<W>, for pause: Duration, at time: Timestamp) {
        postpone(node, until: time.advanced(by: pause))
        node.enter(
            .retrying,
            error: "another program changed it back \(RepairCount.limit) times in 5 s; left alone for \(pause)",
            at: time)
    }

    private func postpone(_ node: Node<W>, until due: Timestamp) {
        node.nextTry = due
        retries.add(node.id, due: due)
    }

    private func recordRemoval(
        _ step: Plan<W.Operation>.Step, _ outcome: OperationResult, at places: Set<W.Place>, _ failures: inout Failures,
        at time: Timestamp
    ) -> Transaction.Entry {
        let before = graph.node(step.key)?.state ?? graph.departed[step.key]?.state ?? .discovered
        switch outcome {
        case .done:
            removals[step.key] = nil
            return Self.entry(step, before: before, after: .removed, error: "")
        case .failed(let text, let retriable):
            let attempts = (removals[step.key]?.attempts ?? 0) + 1
            if attempts == 1 { failures.culprit = failures.culprit ?? step.key }
            failures.removals.insert(step.key)
            let canRetry = retriable && retry.isEnabled
            let due = canRetry ? time.advanced(by: retry.delay(beforeAttempt: attempts)) : nil
            removals[step.key] = FailedRemoval(
                places: places, summary: step.summary, error: text, attempts: attempts,
                since: removals[step.key]?.since ?? time,
                nextTry: due)
            return Self.entry(step, before: before, after: canRetry ? .retrying : .failed, error: text)
        case .skipped:
            failures.isIncomplete = true
            return Self.entry(step, before: before, after: before, error: "skipped, as what it builds on failed")
        }
    }

    /// What a plan says of the world as it is found: at the start, or where the world reported changes.
    func found(_ planner: Planner<W>, isStart: Bool, isRepair: Bool) -> Transaction.Found {
        var found = Transaction.Found()
        if isStart { found.inPlace = countFound(planner) }
        guard isStart || isRepair else { return found }
        for step in planner.plan.steps {
            guard let node = step.node.flatMap({ graph[$0] }) else {
                if isStart { found.leftovers += 1 }
                continue
            }
            if isStart {
                if step.verb == .create { found.missing += 1 } else { found.different += 1 }
            } else if node.available, !node.isChanged {
                found.add(step.summary, isGone: step.verb == .create, step.differences)
            }
        }
        return found
    }

    /// How many values are in place that are not so because what they are derived from is made by the same plan.
    private func countFound(_ planner: Planner<W>) -> Int {
        let made = Set(planner.plan.steps.compactMap(\.node))
        return planner.inPlace.count { node in
            var base = node.base
            while let id = base {
                if made.contains(id) { return false }
                base = graph[id]?.base
            }
            return true
        }
    }

    /// Shows differences without repairing them.
    func show(_ planner: Planner<W>) {
        let time = now()
        // Some may have been changed back.
        for node in planner.inPlace { settle(node, at: time) }
        for step in planner.plan.steps {
            guard let id = step.node, let node = graph[id] else { continue }
            let changes = step.differences.map(\.description).joined(separator: ", ")
            if !node.isDriftShown { shown.add(step.summary, isGone: step.verb == .create, step.differences) }
            node.isDriftShown = true
            node.enter(
                step.verb == .create ? .missing : .failed,
                error: "changed from outside: \(changes.isEmpty ? "it is gone" : changes); repair is off", at: time)
        }
        if !planner.plan.operations.isEmpty { world.refreshAfterFailure() }
    }

    // MARK: - Entries

    private static func outcome(of step: Plan<W.Operation>.Step, _ results: [OperationResult]) -> OperationResult {
        var outcome = OperationResult.done
        for index in step.operations {
            switch index < results.count ? results[index] : .skipped {
            case .done: break
            case .failed(let text, let retriable): return .failed(text, retriable: retriable)
            case .skipped: outcome = .skipped
            }
        }
        return outcome
    }

    private static func entry(
        _ step: Plan<W.Operation>.Step, before: ValueState, after: ValueState, error: String
    ) -> Transaction.Entry {
        let changes = step.differences.map(\.description).joined(separator: ", ")
        return Transaction.Entry(
            verb: .init(step.verb), key: step.key,
            summary: changes.isEmpty ? step.summary : "\(step.summary): \(changes)", before: before, after: after,
            error: error)
    }
}
