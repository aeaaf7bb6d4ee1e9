internal import Concurrency
internal import KubernetesClient

/// Says of each resource what became of it: conditions, what its agents say, events.
struct StatusWriter: Sendable {
    /// How long a resource's status stays as it is, whatever happens meanwhile.
    static let rest = Duration.seconds(2)
    /// When what the server did not take is tried again, unless it changes before.
    private static let longRest = Duration.seconds(30)
    /// How many statuses are written at once.
    private static let mostAtOnce = 8

    let controller: Controller

    /// Writes until the task is cancelled.
    func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                while true {
                    try await Task.sleep(for: Self.longRest)
                    await controller.tellRefused()
                }
            }
            group.addTask { try await write() }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    private func write() async throws {
        try await withThrowingDiscardingTaskGroup { timers in
            defer { timers.cancelAll() }
            for await _ in controller.statusBell.rings {
                await writeAll()
                guard let due = await controller.restEnds() else { continue }
                timers.addTask {
                    guard (try? await Task.sleep(until: due)) != nil else { return }
                    await controller.endRest()
                }
            }
        }
    }

    /// Writes all that are not as they should be and may be written now.
    private func writeAll() async {
        await withTaskGroup(of: Bool.self) { group in
            var running = 0
            while let next = await controller.nextStatus() {
                if running < Self.mostAtOnce {
                    running += 1
                } else if await group.next() == false {
                    await controller.tellAgain(next.object, atOnce: true)
                    break
                }
                group.addTask { await write(next) }
            }
        }
    }

    /// Returns whether the server can be reached.
    private func write(_ next: Controller.StatusChange) async -> Bool {
        do {
            try await tell(next)
            return true
        } catch {
            // Who is gone needs no status; what is newer than what was read comes by the watch, and is looked at then.
            if error.isNotFound || error.isConflict { return true }
            controller.logger.warning(
                "a status can't be written", metadata: ["resource": "\(next.object.path)", "error": "\(error)"])
            // An error about one resource does not stop the others.
            let isLost = error.code == .unreachable || error.code == .timedOut
            await controller.tellAgain(next.object, atOnce: isLost)
            return !isLost
        }
    }

    private func tell(_ next: Controller.StatusChange) async throws(KubernetesError) {
        // Another replica may lead. If it is still this one, the status is written later.
        guard controller.leadership.isValid else { return await controller.tellAgain(next.object, atOnce: false) }
        let wish = KubernetesPatch.apply(next.wish, manager: ControllerSettings.manager, isForced: true)
        do {
            try await patch(next.object, wish)
        } catch {
            guard error.isInvalid else { throw error }
            try await patch(next.object, .merge(next.change))
        }
        for notice in next.notices where await controller.mayTellEvents() {
            do {
                try await controller.client.tell(
                    notice, of: next.object, .cnfConfiguration, controller: "pantheon.tech/cnf-crd",
                    instance: controller.settings.identity)
            } catch {
                // Nothing depends on the events.
                await controller.noteEventFailure(error, of: next.object)
            }
        }
    }

    private func patch(_ object: KubernetesObject, _ patch: KubernetesPatch) async throws(KubernetesError) {
        guard controller.leadership.isValid else { return }
        let changed = try await controller.client.patch(
            .cnfConfiguration, object.name, namespace: object.namespace, part: "status", patch)
        await controller.noteAnswer(changed, insteadOf: object)
    }
}

extension Controller {
    /// A status to write.
    struct StatusChange: Sendable {
        var object: KubernetesObject
        /// What is applied on the server's side.
        var wish: JSONValue
        /// The same for servers that can't.
        var change: JSONValue
        var notices: [KubernetesNotice]
    }

    /// A status could not be written.
    func tellAgain(_ object: KubernetesObject, atOnce: Bool) {
        let name = ResourceName(namespace: object.namespace, name: object.name)
        guard atOnce else {
            refused.insert(name)
            return
        }
        untold.insert(name)
        statusBell.ring()
    }

    /// When the first of those may be told for which it is too early; nil: there are none, or it is known already.
    func restEnds() -> ContinuousClock.Instant? {
        guard !early.isEmpty, !isRestTimed else { return nil }
        isRestTimed = true
        // Not for each of many by itself.
        let soonest = ContinuousClock.now + .milliseconds(200)
        return max(early.lazy.compactMap { self.resting[$0] }.min() ?? soonest, soonest)
    }

    func endRest() {
        isRestTimed = false
        untold.formUnion(early)
        early = []
        statusBell.ring()
    }

    func mayTellEvents() -> Bool { eventsResume <= .now }

    func noteEventFailure(_ error: KubernetesError, of object: KubernetesObject) {
        if error.isForbidden { eventsResume = .now + .seconds(60) }
        logger.debug("an event is not written", metadata: ["resource": "\(object.path)", "error": "\(error)"])
    }

    func tellRefused() {
        let now = ContinuousClock.now
        resting = resting.filter { $0.value > now }
        if refused.isEmpty { return }
        untold.formUnion(refused)
        refused = []
        statusBell.ring()
    }

    /// The next status that is not what it should be; nil: all are.
    func nextStatus() -> StatusChange? {
        untold.formUnion(table.takeTouched())
        // Until everything is known, a status would be wrong.
        guard table.isSettled, picture.isComplete, isConnected else { return nil }
        let now = ContinuousClock.now
        while let name = untold.popFirst() {
            // A resource that is about to be written gets its status after that.
            guard let resource = resources[name], !resource.object.isDeleting,
                resource.failure != nil || !(resource.needsMark || table.isDirty(name) || current == name)
            else { continue }
            let conditions = conditions(of: resource)
            let text = StatusText(conditions, of: resource.object, at: .now)
            if text.isSaid { continue }
            if let end = resting[name], end > now {
                early.insert(name)
                continue
            }
            resting[name] = now + StatusWriter.rest
            return StatusChange(object: resource.object, wish: text.wish, change: text.change, notices: text.notices)
        }
        return nil
    }

    private func conditions(of resource: Resource) -> ResourceConditions {
        let name = resource.name
        let conflicts = table.conflicts(of: name)
        var agents: [String: AgentEntry] = [:]
        var missing = 0
        for key in table.keys(of: name) where conflicts[key] == nil {
            let parts = key.dropFirst(settings.root.count).split(separator: "/", maxSplits: 1)
            guard parts.count == 2 else { continue }
            let label = String(parts[0])
            if let value = resource.values[key], picture.value(key) != value { missing += 1 }
            agents[label, default: AgentEntry(label)].add(String(parts[1]), picture.report(key))
        }
        let writing: ResourceConditions.Writing
        if let failure = resource.failure {
            writing = .waiting(failure)
        } else if missing > 0 || !resource.hasFinalizer {
            writing = .waiting("\(missing) values are not in etcd yet")
        } else if let first = conflicts.min(by: { $0.key < $1.key }) {
            let more = conflicts.count > 1 ? ", and \(conflicts.count - 1) more" : ""
            writing = .conflict("\(first.key) belongs to \(first.value)\(more)")
        } else {
            writing = .done
        }
        return ResourceConditions(resource.verdict, writing, agents.values.sorted { $0.microservice < $1.microservice })
    }
}
