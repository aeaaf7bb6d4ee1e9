internal import Concurrency
internal import KubernetesClient
internal import Logging
internal import Reconciler

/// Writes to the status of resources what the agent makes of them.
///
/// It writes its own entry only, and the conditions where it stands first and no controller sets them; not more than once in two
/// seconds for each resource, and nothing when nothing changed.
actor KubernetesReporter {
    /// The shortest time between two writes to one resource.
    private static let rest = Duration.seconds(2)
    /// How long it keeps still after it was not allowed to write.
    private static let forbiddenRest = Duration.seconds(60)
    /// Who says the events.
    private static let controller = "pantheon.tech/nsm-agent"

    /// A resource whose status is kept.
    private struct Kept {
        var resource: KubernetesMirror.Known
        /// When it may be written next.
        var due = ContinuousClock.now
        var isDirty = true
        var backoff = Backoff(first: .seconds(2), limit: .seconds(60))
        /// What was reported last, so that it is reported once.
        var told: Phase?
    }

    /// What events report.
    private enum Phase: Equatable {
        case rejected(Int64, String)
        case accepted(Int64)
        case applied(Int64)
        case failed(Int64, String)
    }

    private let settings: KubernetesSettings
    private let client: KubernetesClient
    private let backend: any ConfigurationBackend
    private let logger: Logger
    private var kept: [String: Kept] = [:]
    private nonisolated let bell = Mailbox<Void>(limit: 1)
    /// What was refused, reported once.
    private var told = ""
    private var eventsResume = ContinuousClock.now

    init(
        _ settings: KubernetesSettings, _ client: KubernetesClient, backend: any ConfigurationBackend, logger: Logger
    ) {
        self.settings = settings
        self.client = client
        self.backend = backend
        self.logger = logger
    }

    /// Takes in how a resource is now; nil: it is none of ours any more, or gone.
    func note(_ name: String, _ resource: KubernetesMirror.Known?) {
        guard let resource else {
            kept[name] = nil
            return
        }
        if kept[name]?.resource.object.uid == resource.object.uid {
            kept[name]?.resource = resource
            kept[name]?.isDirty = true
        } else {
            kept[name] = Kept(resource: resource, told: Self.phase(told: resource, settings.instance))
        }
        bell.put(())
    }

    /// Takes in that values of a resource may be in other states.
    func noteStates(_ names: Set<String>) {
        for name in names where kept[name] != nil { kept[name]?.isDirty = true }
        if !names.isEmpty { bell.put(()) }
    }

    /// Writes until the task is cancelled.
    nonisolated func run() async {
        await withDiscardingTaskGroup { group in
            group.addTask { await self.write() }
            if settings.reports { group.addTask { await self.dropLeftovers() } }
        }
    }

    /// Drops what agents said that are gone, as long as that is allowed.
    private func dropLeftovers() async {
        let leftovers = KubernetesLeftovers(settings: settings, client: client, logger: logger)
        // An agent that takes another one's place finds its entry at once.
        var wait = KubernetesLeftovers.firstWait
        while (try? await Task.sleep(for: wait)) != nil {
            let mayLook = await leftovers.drop(from: kept.values.map(\.resource.object))
            // Rights may be given later.
            wait = mayLook ? KubernetesLeftovers.interval : KubernetesLeftovers.interval * 10
        }
    }

    private func write() async {
        while !Task.isCancelled {
            let now = ContinuousClock.now
            let dirty = kept.filter(\.value.isDirty)
            let due = dirty.filter { $0.value.due <= now }.keys.sorted()
            for name in due {
                await write(name)
                if Task.isCancelled { return }
            }
            if due.isEmpty { await wait(until: dirty.values.map(\.due).min()) }
        }
    }

    private func wait(until moment: ContinuousClock.Instant?) async {
        guard let moment else {
            await bell.next()
            return
        }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { try? await Task.sleep(until: moment, clock: .continuous) }
            group.addTask { [bell] in await bell.next() }
            await group.next()
            group.cancelAll()
        }
    }

    // MARK: - Status

    private func write(_ name: String) async {
        guard let resource = kept[name]?.resource else { return }
        kept[name]?.isDirty = false
        let keys = resource.values.keys.sorted()
        let statuses = await backend.wholeStatuses(keys)
        let entry = KubernetesEntry(resource, statuses, label: settings.label, name: settings.instance)
        let status = resource.object["status"]
        let listed = (status?["agents"]?.array ?? []).compactMap { KubernetesEntry($0) }
        let setsConditions =
            (status?["controller"]?.string ?? KubernetesConditions.controller) == KubernetesConditions.controller
            && (listed.first?.name ?? settings.instance) == settings.instance
        let entries = [entry] + listed.filter { $0.name != settings.instance }
        let conditions = setsConditions ? KubernetesConditions(resource, entries) : nil
        let isWritten = listed.contains(entry) && (conditions?.isWritten(in: status) ?? true)
        await tell(name, resource, entry)
        if isWritten || !settings.reports { return }
        await write(name, resource, entry, conditions)
    }

    private func write(
        _ name: String, _ resource: KubernetesMirror.Known, _ entry: KubernetesEntry,
        _ conditions: KubernetesConditions?
    ) async {
        let now = Timestamp.now
        var fields: [(String, JSONValue?)] = [("agents", .array([entry.json(at: now)]))]
        for (key, value) in conditions?.fields(after: resource.object["status"], at: now) ?? [] {
            fields.append((key, value))
        }
        let wish: JSONValue = ["metadata": ["name": .string(name)], "status": .fields(fields)]
        do throws(KubernetesError) {
            let object = try await client.patch(
                .cnfConfiguration, name, namespace: settings.namespace, part: "status",
                .apply(wish, manager: "nsm-agent-\(settings.instance)", isForced: true))
            told = ""
            guard kept[name]?.resource.object.uid == object.uid else { return }
            kept[name]?.due = .now + Self.rest
            kept[name]?.backoff.reset()
            // What was seen meanwhile is newer than what was written.
            if kept[name]?.resource.object.resourceVersion == resource.object.resourceVersion {
                kept[name]?.resource.object = object
                kept[name]?.resource.object["spec"] = nil
            }
        } catch {
            if error.isNotFound { return }
            if "\(error)" != told {
                told = "\(error)"
                logger.warning(
                    "the status of a resource can't be written", metadata: ["resource": "\(name)", "error": "\(error)"])
            }
            let mayNot = error.isForbidden && !error.isUnauthorized
            let wait = mayNot ? Self.forbiddenRest : kept[name]?.backoff.wait() ?? Self.rest
            kept[name]?.due = .now + wait
            kept[name]?.isDirty = true
        }
    }

    // MARK: - Events

    /// What an agent before this one reported already.
    private static func phase(told resource: KubernetesMirror.Known, _ instance: String) -> Phase? {
        let entries = (resource.object["status"]?["agents"]?.array ?? []).compactMap { KubernetesEntry($0) }
        guard let entry = entries.first(where: { $0.name == instance }) else { return nil }
        let generation = entry.observedGeneration
        if entry.failed > 0 { return .failed(generation, entry.errors.first ?? "") }
        return entry.pending > 0 ? .accepted(generation) : .applied(generation)
    }

    private func tell(_ name: String, _ resource: KubernetesMirror.Known, _ entry: KubernetesEntry) async {
        let generation = resource.object.generation
        let phase: Phase
        switch resource.verdict {
        case .invalid(let mistakes): phase = .rejected(generation, mistakes.first ?? "")
        case .conflict(let text): phase = .rejected(generation, text)
        case .accepted:
            if entry.failed > 0 {
                phase = .failed(generation, entry.errors.first ?? "")
            } else {
                phase = entry.pending > 0 ? .accepted(generation) : .applied(generation)
            }
        }
        if kept[name]?.told == phase { return }
        kept[name]?.told = phase
        let notice =
            switch phase {
            case .rejected(_, let text):
                KubernetesNotice(isWarning: true, reason: "Rejected", action: "Accept", note: text)
            case .accepted:
                KubernetesNotice(reason: "Accepted", action: "Accept", note: "\(entry.pending) value(s) wait")
            case .applied:
                KubernetesNotice(
                    reason: "Applied", action: "Apply", note: "\(entry.configured) value(s) are as they should be")
            case .failed(_, let text): KubernetesNotice(isWarning: true, reason: "Failed", action: "Apply", note: text)
            }
        await tell(notice, of: resource.object)
    }

    private func tell(_ notice: KubernetesNotice, of object: KubernetesObject) async {
        guard settings.reports, eventsResume <= .now else { return }
        do throws(KubernetesError) {
            try await client.tell(
                notice, of: object, .cnfConfiguration, controller: Self.controller, instance: settings.instance)
        } catch {
            // Nobody depends on them.
            if error.isForbidden { eventsResume = .now + (error.isUnauthorized ? Self.rest : Self.forbiddenRest) }
            logger.debug("an event is not written", metadata: ["resource": "\(object.name)", "error": "\(error)"])
        }
    }
}

extension KubernetesConditions {
    /// Whether a status says this already.
    func isWritten(in status: JSONValue?) -> Bool {
        fields(after: status, at: Timestamp(nanoseconds: 0)).allSatisfy { key, value in
            status?[key].map { $0.isSame(as: value) } ?? false
        }
    }
}

extension JSONValue {
    /// Whether it says the same, whatever the order of members.
    fileprivate func isSame(as other: JSONValue) -> Bool {
        switch self {
        case .array(let left):
            guard case .array(let right) = other else { return false }
            return left.count == right.count && zip(left, right).allSatisfy { $0.isSame(as: $1) }
        case .object(let left):
            guard case .object(let right) = other else { return false }
            return left.count == right.count
                && left.allSatisfy { member in other[member.key]?.isSame(as: member.value) ?? false }
        case .null, .bool, .number, .string: return self == other
        }
    }
}
