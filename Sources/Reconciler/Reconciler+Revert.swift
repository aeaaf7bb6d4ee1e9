extension Reconciler {
    /// Undoes what a transaction did so far, since `culprit` failed.
    func revert(to before: W.Snapshot, culprit: Key, _ failures: Failures, log: inout Log) {
        let operations = world.operations(toRestore: before)
        let results = operations.isEmpty ? [] : world.execute(operations)
        log.isReverted = true
        for entry in log.entries.reversed() where entry.error.isEmpty {
            log.entries.append(
                .init(
                    verb: .revert, key: entry.key, summary: entry.summary, before: entry.after,
                    after: entry.before, error: ""))
        }
        for (operation, result) in zip(operations, results) {
            let error: String
            switch result {
            case .done: continue
            case .failed(let text, _): error = text
            case .skipped: error = "skipped, as something before it failed"
            }
            log.entries.append(
                .init(
                    verb: .revert, key: "", summary: world.describe(operation), before: .configured,
                    after: .failed, error: error))
        }
        world.refreshAfterFailure()
        // What values claim is not where they claimed it.
        isAllDue = true
        for key in failures.removals { removals[key] = nil }
        if knowsPast {
            returnToPast(failures)
        } else {
            park(culprit: culprit, failures)
        }
    }

    /// Declares again what was declared before. The rounds that follow settle the states, and try again what could not be
    /// undone.
    private func returnToPast(_ failures: Failures) {
        let time = now()
        for id in failures.nodes.union(failures.blocked) { graph[id]?.startAfresh() }
        for key in sources.revert() { _ = settle(key, at: time) }
        graph.departed = [:]
    }

    /// Leaves everything as it is until something else is declared: what was wanted before is not known, so keeping the
    /// world as declared would do again what was just undone.
    private func park(culprit: Key, _ failures: Failures) {
        let time = now()
        for case let node? in failures.nodes.union(failures.blocked).map({ graph[$0] }) {
            node.nextTry = nil
            node.hasGivenUp = true
            node.enter(.failed, error: node.error, at: time)
        }
        var planner = Planner(graph, holds: holds(), spares: spares)
        planner.planAll()
        settle(planner, at: time)
        for case let node? in planner.plan.steps.map({ step in step.node.flatMap { graph[$0] } }) {
            wait(node, for: ["undone, as \(culprit) failed"], at: time)
        }
        world.refreshAfterFailure()
        isParked = true
    }

    /// Closes a transaction, which looked at everything that changed.
    func finish(_ log: inout Log) {
        if !isParked {
            knowsPast = true
            sources.commit()
        }
        if let held = log.heldRemovals { removals = removals.filter { held.contains($0.key) } }
        for index in log.entries.indices where log.entries[index].verb == .revert {
            let key = log.entries[index].key
            if !key.isEmpty { log.entries[index].after = graph.node(key)?.state ?? .removed }
        }
        noteDeparted(&log)
    }

    /// Values that are gone without a step of their own: what they stood for belongs to another value, or is not ours to
    /// remove.
    private func noteDeparted(_ log: inout Log) {
        if graph.departed.isEmpty { return }
        let told = Set(log.entries.lazy.map(\.key))
        for (key, departed) in graph.departed.sorted(by: { $0.key < $1.key }) {
            guard departed.isBase, departed.wasAvailable, let value = departed.value else { continue }
            if told.contains(key) || graph.ids[key] != nil || removals[key] != nil { continue }
            log.entries.append(
                .init(
                    verb: .delete, key: key, summary: value.summary,
                    before: departed.state, after: .removed, error: ""))
        }
        graph.departed = [:]
    }
}
