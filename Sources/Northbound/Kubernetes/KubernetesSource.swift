internal import Concurrency
internal import KubernetesClient
public import Logging
internal import Model
internal import Reconciler
internal import Synchronization

/// Declares what resources of a Kubernetes API server say for this agent, and follows them.
///
/// Without the server nothing changes: what was declared stays, and what changed meanwhile is taken in when it is back.
public struct KubernetesSource: Sendable {
    /// The name under which it declares.
    public static let name = "kubernetes"

    /// How long it waits until it looks at all states again.
    private static let rest = Duration.seconds(1)

    private let settings: KubernetesSettings
    private let client: KubernetesClient
    private let intake: KubernetesIntake
    private let reporter: KubernetesReporter
    private let backend: any ConfigurationBackend

    /// Makes a source that has not connected yet.
    public init(_ settings: KubernetesSettings, backend: some ConfigurationBackend, logger: Logger) {
        self.settings = settings
        self.backend = backend
        client = KubernetesClient(settings.client, logger: logger)
        reporter = KubernetesReporter(settings, client, backend: backend, logger: logger)
        intake = KubernetesIntake(settings, reporter, backend: backend, logger: logger)
    }

    /// Follows the resources until the task is cancelled.
    public func run() async {
        await withTaskCancellationHandler {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await follow() }
                group.addTask { await followStates() }
                group.addTask { await reporter.run() }
            }
        } onCancel: {
            intake.stop()
        }
        client.close()
    }

    private func follow() async {
        await client.follow(
            .cnfConfiguration, namespace: settings.namespace, labels: settings.selector,
            fields: settings.name.map { "metadata.name=\($0)" } ?? ""
        ) { update in
            await intake.take(update)
        } watching: {
            await intake.noteServer()
        } failed: { error, _ in
            await intake.noteLoss(error)
        }
    }

    /// Has the status written of resources whose values change.
    private func followStates() async {
        while !Task.isCancelled {
            for await values in backend.stateChanges(isOwn: true) {
                // Some values went, of whichever resources.
                await intake.noteStates(values.isEmpty ? nil : values.map(\.key))
            }
            // Too many changes at once, or too many who follow them.
            do { try await Task.sleep(for: Self.rest) } catch { return }
            await intake.noteStates(nil)
        }
    }
}

/// Declares what resources say, one change after the other.
actor KubernetesIntake {
    /// The most problems and failures that are reported one by one.
    private static let mostTold = 20

    private var mirror: KubernetesMirror
    private let settings: KubernetesSettings
    private let reporter: KubernetesReporter
    private let backend: any ConfigurationBackend
    private let logger: Logger
    private nonisolated let gate = Gate(1)
    private let hasStopped = Mutex(false)
    /// Why the server was not available the last time; empty: it is there.
    private var lastLoss = ""

    init(
        _ settings: KubernetesSettings, _ reporter: KubernetesReporter, backend: any ConfigurationBackend,
        logger: Logger
    ) {
        self.settings = settings
        self.reporter = reporter
        self.backend = backend
        self.logger = logger
        mirror = KubernetesMirror(label: settings.label)
    }

    /// Takes in what the server tells, and returns when it is declared, even when the task is cancelled.
    nonisolated func take(_ update: KubernetesUpdate) async {
        await Task {
            try? await gate.run { await self.settle(update) }
        }.value
    }

    /// Gives up what could not be declared yet.
    nonisolated func stop() { hasStopped.withLock { $0 = true } }

    /// Tells that there is no server, once for each reason, and has the status say so.
    func noteLoss(_ error: KubernetesError) async {
        // That is how watches end.
        if error.isExpired || lastLoss == error.description { return }
        let isFirst = lastLoss.isEmpty
        lastLoss = error.description
        let text =
            error.isNotFound
            ? "the server does not know \(KubernetesResource.cnfConfiguration); install its definition" : "\(error)"
        if isFirst {
            logger.warning("no Kubernetes API; what is in force stays", metadata: ["error": "\(text)"])
        }
        await backend.note(KubernetesSource.name, "no Kubernetes API, what is in force stays: \(text)")
    }

    /// Notes that the server is there, once after each loss. A watch that goes on where it was may have nothing to tell for long.
    func noteServer() async {
        if lastLoss.isEmpty { return }
        lastLoss = ""
        logger.info("the Kubernetes API answers again")
        await backend.note(KubernetesSource.name, nil)
    }

    /// Takes in that values are in other states; nil: any of them may be.
    func noteStates(_ keys: [Key]?) async {
        let names = keys.map { Set($0.compactMap { mirror.owner(of: $0) }) } ?? Set(mirror.known.keys)
        await reporter.noteStates(names)
    }

    private func settle(_ update: KubernetesUpdate) async {
        let change: KubernetesMirror.Change
        switch update {
        case .state(let objects):
            change = mirror.take(objects)
            logger.info(
                "read from Kubernetes",
                metadata: [
                    "namespace": "\(settings.namespace)", "resources": .stringConvertible(objects.count),
                    "ours": .stringConvertible(mirror.known.count),
                ])
        case .event(let event): change = mirror.take(event)
        }
        if change.replacesAll { await backend.note(KubernetesSource.name, nil) }
        await noteServer()
        tell(change)
        if !change.isEmpty { await declare(change) }
        for name in change.touched.sorted() { await reporter.note(name, mirror.known[name]) }
    }

    private func declare(_ change: KubernetesMirror.Change) async {
        let request = ConfigurationRequest(
            source: KubernetesSource.name, origin: settings.namespace, values: change.values, removed: change.removed,
            replacesAll: change.replacesAll)
        var backoff = Backoff(first: .milliseconds(50), limit: .seconds(2))
        var told = ""
        while !hasStopped.withLock({ $0 }) {
            do {
                let answer = try await backend.change(request)
                for failure in answer.failures.prefix(Self.mostTold) {
                    logger.warning(
                        "a value from Kubernetes is not in force",
                        metadata: ["key": "\(failure.key)", "error": "\(failure.text)"])
                }
                return
            } catch {
                // The agent makes it so by itself; to say it again would overrule what others wrote meanwhile.
                if let refusal = error as? ConfigurationRefusal, refusal.isDeclared { return }
                if "\(error)" != told {
                    told = "\(error)"
                    logger.warning("what Kubernetes says can't be declared yet", metadata: ["error": "\(error)"])
                }
                try? await Task.sleep(for: backoff.wait())
            }
        }
    }

    private func tell(_ change: KubernetesMirror.Change) {
        for name in change.judged.sorted().prefix(Self.mostTold) {
            guard let resource = mirror.known[name] else { continue }
            let texts: [String]
            switch resource.verdict {
            case .accepted: continue
            case .invalid(let mistakes): texts = mistakes
            case .conflict(let text): texts = [text]
            }
            logger.warning(
                "a resource is not taken",
                metadata: ["resource": "\(name)", "error": "\(texts.joined(separator: "; "))"])
        }
    }
}
