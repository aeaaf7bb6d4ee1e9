internal import Concurrency
internal import KubernetesClient

/// Says of each resource what became of it: conditions, what its agents say, events.
struct StatusWriter: Sendable {
    /// How long a resource's status stays as it is, whatever happens meanwhile.
    private static let rest = Duration.seconds(2)

    let controller: Controller

    /// When what the server did not take is tried again, unless it changes before.
    private static let longRest = Duration.seconds(30)

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
        for await _ in controller.statusBell.rings {
            var isAnyWritten = false
            while let next = await controller.nextStatus() {
                isAnyWritten = true
                do {
                    try await tell(next)
                } catch {
                    // Whoever is gone needs no status.
                    if error.isNotFound { continue }
                    controller.logger.warning(
                        "a status can't be written", metadata: ["resource": "\(next.object.path)", "error": "\(error)"])
                    // What the server says of one resource is no reason to leave out others.
                    let isLost = error.code == .unreachable || error.code == .timedOut
                    await controller.tellAgain(next.object, atOnce: isLost)
                    if isLost { break }
                }
            }
            if isAnyWritten { try await Task.sleep(for: Self.rest) }
        }
    }

    private func tell(_ next: Controller.StatusChange) async throws(KubernetesError) {
        let wish = KubernetesPatch.apply(next.wish, manager: ControllerSettings.manager, isForced: true)
        do {
            try await patch(next.object, wish)
        } catch {
            guard error.isInvalid else { throw error }
            try await patch(next.object, .merge(next.change))
        }
        for notice in next.notices {
            try await controller.client.tell(
                notice, of: next.object, .cnfConfiguration, controller: "pantheon.tech/cnf-crd",
                instance: controller.settings.identity)
        }
    }
}

extension StatusWriter {
    private func patch(_ object: KubernetesObject, _ patch: KubernetesPatch) async throws(KubernetesError) {
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

    func tellRefused() {
        if refused.isEmpty { return }
        untold.formUnion(refused)
        refused = []
        statusBell.ring()
    }

    /// The next status that is not what it should be; nil: all are.
    func nextStatus() -> StatusChange? {
        untold.formUnion(table.takeTouched())
        // Before all is known, what is told would be wrong.
        guard table.isSettled, picture.isComplete, isConnected else { return nil }
        while let name = untold.popFirst() {
            guard let resource = resources[name], !resource.object.isDeleting else { continue }
            let conditions = conditions(of: resource)
            let text = StatusText(conditions, of: resource.object, at: .now)
            if text.isSaid { continue }
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
