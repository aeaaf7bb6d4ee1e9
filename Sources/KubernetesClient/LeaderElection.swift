internal import Concurrency
public import Logging
internal import Synchronization

/// One of several replicas leads, by a lease (`coordination.k8s.io/v1`).
///
/// Who holds the lease renews it; who does not waits until it has not been renewed for as long as it lasts, by its own clock, so that
/// clocks need not agree. A leader that can't renew stops in time before another one begins.
public struct LeaderElection: Sendable {
    /// What the candidates agree on.
    public struct Settings: Sendable {
        /// The lease's name.
        public var name: String
        /// The lease's namespace; nil: that of the client's configuration.
        public var namespace: String?
        /// Who we are, different for each candidate.
        public var identity: String
        /// How long a lease lasts without being renewed.
        public var duration = Duration.seconds(15)
        /// After how long without a renewal a leader gives up; shorter than the lease.
        public var renewDeadline = Duration.seconds(10)
        /// The time between two tries.
        public var interval = Duration.seconds(2)

        /// Makes settings.
        public init(name: String, namespace: String? = nil, identity: String) {
            self.name = name
            self.namespace = namespace
            self.identity = identity
        }
    }

    private let client: KubernetesClient
    private let settings: Settings
    private let logger: Logger
    private let trouble = Trouble()

    /// What keeps us from holding the lease, as it was last reported.
    private final class Trouble: Sendable {
        private let text = Mutex<String?>(nil)

        /// Returns whether that is new.
        func note(_ text: String?) -> Bool {
            self.text.withLock { last in
                defer { last = text }
                return last != text
            }
        }
    }

    /// Makes a candidate.
    public init(_ client: KubernetesClient, _ settings: Settings, logger: Logger) {
        self.client = client
        self.settings = settings
        self.logger = logger
    }

    /// A lease as it was seen.
    private struct Seen {
        var lease: KubernetesObject
        var at: ContinuousClock.Instant
    }

    /// Runs `body` whenever we lead, and cancels it when we do not any more. Ends when the task is cancelled, and gives the lease back.
    ///
    /// - Parameter body: Is given for how long the lease is ours for sure.
    public func run(whileLeading body: @escaping @Sendable (Leadership) async throws -> Void) async throws {
        var seen: Seen?
        while !Task.isCancelled {
            let began = ContinuousClock.now
            if await acquire(&seen) {
                let leadership = Leadership(until: began + settings.duration)
                logger.info("leading", metadata: ["lease": "\(settings.name)", "as": "\(settings.identity)"])
                defer { logger.info("not leading any more", metadata: ["lease": "\(settings.name)"]) }
                do {
                    try await lead(leadership, began, body)
                } catch is Lost {
                    // Others may lead now.
                }
                await release()
                seen = nil
            }
            try? await Task.sleep(for: settings.interval * Double.random(in: 1...1.2))
        }
    }

    private struct Lost: Error {}

    private func lead(
        _ leadership: Leadership, _ began: ContinuousClock.Instant,
        _ body: @escaping @Sendable (Leadership) async throws -> Void
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await body(leadership) }
            group.addTask { try await self.keep(leadership, since: began) }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    /// Renews the lease until that fails for too long.
    private func keep(_ leadership: Leadership, since began: ContinuousClock.Instant) async throws {
        var renewed = began
        var seen: Seen?
        while true {
            try await Task.sleep(for: settings.interval)
            let began = ContinuousClock.now
            if await acquire(&seen, until: renewed + settings.renewDeadline) {
                renewed = began
                leadership.renew(until: began + settings.duration)
            } else if isHeldByAnother(seen) || .now - renewed > settings.renewDeadline {
                throw Lost()
            }
        }
    }

    private func holder(_ lease: KubernetesObject) -> String { lease["spec"]?["holderIdentity"]?.string ?? "" }

    private func isHeldByAnother(_ seen: Seen?) -> Bool {
        guard let seen else { return false }
        return holder(seen.lease) != settings.identity
    }

    /// What came of one try.
    private struct Outcome: Sendable {
        let isOurs: Bool
        let seen: Seen?
    }

    /// Renews the lease, unless that takes longer than the lease lasts: others would lead, and we not know it.
    private func acquire(_ seen: inout Seen?, until deadline: ContinuousClock.Instant) async -> Bool {
        let former = seen
        let result = await withTaskGroup(of: Outcome?.self) { group in
            group.addTask {
                var seen = former
                let isOurs = await self.acquire(&seen)
                return Outcome(isOurs: isOurs, seen: seen)
            }
            group.addTask {
                try? await Task.sleep(until: deadline)
                return nil
            }
            defer { group.cancelAll() }
            return await group.next() ?? nil
        }
        guard let result else { return false }
        seen = result.seen
        return result.isOurs
    }

    /// Takes or renews the lease. Returns whether it is ours.
    private func acquire(_ seen: inout Seen?) async -> Bool {
        do throws(KubernetesError) {
            let isOurs = try await take(&seen)
            _ = trouble.note(nil)
            return isOurs
        } catch {
            // That another one was faster is no trouble.
            let isTrouble = !error.isConflict && !Task.isCancelled
            let isNew = isTrouble && trouble.note("\(error)")
            logger.log(
                level: isNew ? .warning : .debug, "the lease is not had",
                metadata: ["lease": "\(settings.name)", "error": "\(error)"])
            return false
        }
    }

    private func take(_ seen: inout Seen?) async throws(KubernetesError) -> Bool {
        let lease: KubernetesObject
        do throws(KubernetesError) {
            lease = try await client.get(.lease, settings.name, namespace: settings.namespace)
        } catch {
            guard error.isNotFound else { throw error }
            let new: JSONValue = ["metadata": ["name": .string(settings.name)], "spec": spec(after: nil)]
            seen = Seen(
                lease: try await client.create(.lease, new, namespace: settings.namespace), at: .now)
            return true
        }
        if seen?.lease.resourceVersion != lease.resourceVersion { seen = Seen(lease: lease, at: .now) }
        let holder = holder(lease)
        if holder != settings.identity, !holder.isEmpty, let seen, .now - seen.at < lasts(lease) { return false }
        var mine = lease
        mine["spec"] = spec(after: lease)
        seen = Seen(lease: try await client.update(.lease, mine), at: .now)
        return true
    }

    private func lasts(_ lease: KubernetesObject) -> Duration {
        // What others wrote there must not keep us waiting for ever.
        .seconds(min(max(lease["spec"]?["leaseDurationSeconds"]?.int ?? 15, 1), 3600))
    }

    private func spec(after lease: KubernetesObject?) -> JSONValue {
        let now = JSONValue.string(Timestamp.now.rfc3339(fractionDigits: 6))
        let old = lease?["spec"]
        let isRenewal = lease.map { holder($0) == settings.identity } ?? false
        let transitions = (old?["leaseTransitions"]?.int ?? 0) + (isRenewal || lease == nil ? 0 : 1)
        return [
            "holderIdentity": .string(settings.identity),
            "leaseDurationSeconds": .int(settings.duration.components.seconds),
            "acquireTime": isRenewal ? old?["acquireTime"] ?? now : now,
            "renewTime": now, "leaseTransitions": .int(transitions),
        ]
    }

    /// Lets another one lead at once.
    private func release() async {
        await Task {
            guard var lease = try? await client.get(.lease, settings.name, namespace: settings.namespace),
                holder(lease) == settings.identity
            else { return }
            var spec = spec(after: lease)
            spec["holderIdentity"] = ""
            spec["leaseDurationSeconds"] = 1
            lease["spec"] = spec
            _ = try? await client.update(.lease, lease)
        }.value
    }
}
