public import EtcdClient
internal import Concurrency
public import KubernetesClient
public import Logging

/// Makes etcd hold what the resources say, as long as it leads, and says of each resource what became of it.
///
/// The two sides tell what they hold and what changes there; what follows for one resource is found out by ``KeyTable``, so a missed or
/// repeated event changes nothing. State is kept here; the work is in ``EtcdWriter`` and ``StatusWriter``.
public actor Controller {
    let settings: ControllerSettings
    let client: KubernetesClient
    let logger: Logger
    /// For how long this replica leads for sure.
    let leadership: Leadership
    var table = KeyTable()
    var picture: EtcdPicture
    var resources: [ResourceName: Resource] = [:]
    /// Accepted resources that have no finalizer yet.
    var unmarked: Set<ResourceName> = []
    /// When many of them are tried at once again.
    var marksResume = ContinuousClock.now
    /// The resource that is being written.
    var current: ResourceName?
    /// Resources whose status is to be looked at.
    var untold: Set<ResourceName> = []
    /// Resources whose status was written a moment ago.
    var resting: [ResourceName: ContinuousClock.Instant] = [:]
    /// Those of them whose status is to be looked at again afterwards.
    var early: Set<ResourceName> = []
    /// Whether a task waits for the end of that pause.
    var isRestTimed = false
    /// When events are sent again after the server refused one.
    var eventsResume = ContinuousClock.now
    /// Resources whose status the server did not take.
    var refused: Set<ResourceName> = []
    /// Whether all resources were listed.
    private var isListed = false
    /// The controller's health, as the health server reports it.
    private let facts: HealthServer.Facts
    /// Rings when there is something to do.
    var bell = Bell()
    /// Whether etcd answers.
    var isConnected = false {
        didSet { noteFacts() }
    }
    let statusBell = Bell()

    /// One that knows nothing yet. A replica that leads anew needs a new one.
    init(
        _ settings: ControllerSettings, _ client: KubernetesClient, _ leadership: Leadership,
        _ facts: HealthServer.Facts, logger: Logger
    ) {
        self.settings = settings
        self.leadership = leadership
        self.facts = facts
        self.client = client
        self.logger = logger
        picture = EtcdPicture(root: settings.root)
    }

    /// Works as the leader, until the task is cancelled or another replica leads.
    public static func lead(
        _ settings: ControllerSettings, _ client: KubernetesClient, _ etcd: EtcdClient, _ leadership: Leadership,
        facts: HealthServer.Facts, logger: Logger
    ) async {
        do {
            try await Controller(settings, client, leadership, facts, logger: logger).run(etcd)
        } catch {
            if !Task.isCancelled { logger.error("not leading any more", metadata: ["error": "\(error)"]) }
        }
        facts.missing = nil
    }

    private func run(_ etcd: EtcdClient) async throws {
        noteFacts()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                await self.client.follow(
                    .cnfConfiguration, namespace: self.settings.namespace,
                    { await self.take($0) },
                    failed: { error, wait in
                        self.logger.warning(
                            "the API server can't be followed",
                            metadata: ["error": "\(error)", "again": .stringConvertible(wait)])
                    })
            }
            group.addTask { try await EtcdWriter(controller: self).run(etcd) }
            group.addTask { try await StatusWriter(controller: self).run() }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    // MARK: - What the API server tells

    func take(_ update: KubernetesUpdate) {
        switch update {
        case .state(let objects):
            let names = Set(objects.map { ResourceName(namespace: $0.namespace, name: $0.name) })
            for name in resources.keys where !names.contains(name) { forget(name) }
            for object in objects { note(object) }
            isListed = true
            noteFacts()
            settle()
        case .event(.put(let object)): note(object)
        case .event(.deleted(let object)): forget(ResourceName(namespace: object.namespace, name: object.name))
        }
        ring()
    }

    /// Takes in an object as it is.
    func note(_ object: KubernetesObject) {
        let name = ResourceName(namespace: object.namespace, name: object.name)
        let known = resources[name].flatMap { $0.object.uid == object.uid ? $0 : nil }
        // The answer to a request of ours may come after the news of a later change.
        if let known, object.generation < known.object.generation { return }
        // The news of what we wrote ourselves.
        if let known, object.resourceVersion == known.object.resourceVersion { return }
        if let known, known.object.generation == object.generation, known.object.isDeleting == object.isDeleting {
            // Only its status or its labels changed.
            resources[name]?.object = object
            resources[name]?.object["spec"] = nil
            untold.insert(name)
            noteMark(name)
            if known.hasFinalizer != resources[name]?.hasFinalizer { table.retry(name) }
            return
        }
        let resource = Resource(object, settings)
        resources[name] = resource
        noteMark(name)
        untold.insert(name)
        if object.isDeleting {
            table.remove(name)
            table.retry(name)
        } else if resource.verdict == .accepted {
            table.set(name, resource.age, resource.values)
        } else if case .notAllowed = resource.verdict {
            // What it wrote while it was allowed goes.
            table.set(name, resource.age, [:])
        } else {
            table.keep(name, resource.age)
        }
    }

    private func noteMark(_ name: ResourceName) {
        guard let resource = resources[name], resource.needsMark else { return _ = unmarked.remove(name) }
        unmarked.insert(name)
    }

    /// Takes in what a request of ours answers: the object as it was then. By now it may be gone, or another one have its name;
    /// nothing would correct that until all resources are listed again.
    func noteAnswer(_ object: KubernetesObject, insteadOf old: KubernetesObject) {
        let name = ResourceName(namespace: old.namespace, name: old.name)
        guard resources[name]?.object.uid == old.uid else { return }
        note(object)
        ring()
    }

    func forget(_ name: ResourceName) {
        resources[name] = nil
        unmarked.remove(name)
        untold.remove(name)
        early.remove(name)
        table.remove(name)
    }

    // MARK: - What etcd tells

    /// A connection begins: this is what the records say.
    func restore(_ records: [ResourceName: Set<String>]) {
        picture.expectAnew()
        table.restore(records)
    }

    func take(_ update: EtcdUpdate) {
        switch update {
        case .state(let snapshot):
            picture.reset(snapshot)
            table.noteAllChanged()
            untold.formUnion(resources.keys)
            settle()
        case .events(let events, _):
            for event in events {
                guard let key = picture.take(event) else { continue }
                table.noteChange(of: key)
                untold.formUnion(table.names(wanting: key))
            }
        }
        ring()
    }

    private func noteFacts() { facts.missing = isListed ? isConnected ? nil : .etcd : .resources }

    /// Nothing is decided before both sides are known: until then, an unwanted key looks like an unknown one.
    private func settle() {
        guard isListed, picture.isComplete else { return }
        table.settle(only: Set(resources.values.filter { !$0.object.isDeleting }.map(\.name)))
    }

    private func ring() {
        bell.ring()
        statusBell.ring()
    }
}

/// Wakes the one that waits; rings while nobody waits are one ring.
struct Bell: Sendable {
    let rings: AsyncStream<Void>
    private let continuation: AsyncStream<Void>.Continuation

    init() { (rings, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1)) }

    func ring() { continuation.yield() }
}
