internal import Concurrency
internal import EtcdClient
internal import KubernetesClient

/// Writes to etcd what is to be there, one resource after the other.
struct EtcdWriter: Sendable {
    let controller: Controller

    /// Another replica writes now.
    struct Replaced: Error, CustomStringConvertible {
        var description: String { "another replica has taken over" }
    }

    /// What is to be done next for a resource.
    enum Job: Sendable {
        /// Put the finalizer on it: from then on it can't go without us.
        case mark(KubernetesObject)
        case write([KeyWork.Step])
        /// Take the finalizer off: nothing in etcd is its own any more.
        case unmark(KubernetesObject)
    }

    /// Works until the task is cancelled.
    ///
    /// - Throws: ``Replaced``.
    func run(_ etcd: EtcdClient) async throws {
        let (losses, loss) = AsyncStream<Void>.makeStream()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                await etcd.keepConnected { connection in
                    do {
                        try await serve(connection)
                    } catch is Replaced {
                        loss.finish()
                    }
                } failed: { error, wait in
                    controller.logger.warning(
                        "etcd can't be used",
                        metadata: ["error": "\(error)", "again": .stringConvertible(wait)])
                    await controller.noteEtcd(isThere: false)
                }
            }
            group.addTask {
                for await _ in losses {}
                try Task.checkCancellation()
                throw Replaced()
            }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    private func serve(_ connection: EtcdConnection) async throws {
        let settings = controller.settings
        try await take(settings.leaderKey, connection)
        let records = settings.records
        await controller.restore(records.read(try await connection.range(records.range).entries))
        let bell = await controller.newBell()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await connection.follow(.prefix(settings.root)) { await controller.take($0) }
            }
            group.addTask { try await work(connection, bell) }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    /// From here on, transactions of a replica that led before fail. One that stood still in between takes nothing back: what it
    /// read is not there any more.
    private func take(_ key: String, _ connection: EtcdConnection) async throws {
        let before = try await connection.range(.key(key)).entries.first?.modRevision ?? 0
        guard controller.leadership.isValid else { throw Replaced() }
        let put = EtcdOperation.put(key: key, value: Array(controller.settings.identity.utf8))
        guard try await connection.commit(if: [.key(key, hasModRevision: before)], [put]) != nil else {
            throw Replaced()
        }
    }

    private func work(_ connection: EtcdConnection, _ bell: Bell) async throws {
        try await withThrowingDiscardingTaskGroup { retries in
            defer { retries.cancelAll() }
            for await _ in bell.rings {
                while let name = await controller.nextDirty() {
                    await markAll()
                    do {
                        try await finish(name, connection)
                    } catch let error as EtcdError where error.isOfConnection {
                        await controller.retry(name)
                        throw error
                    } catch let error as Replaced {
                        throw error
                    } catch {
                        let wait = await controller.postpone(name, "\(error)")
                        retries.addTask {
                            // At the end of the connection all are looked at again.
                            guard (try? await Task.sleep(for: wait)) != nil else { return }
                            await controller.retry(name)
                        }
                    }
                }
            }
        }
    }

    /// The most jobs for one resource in a row: a write that changes nothing must not keep others waiting.
    private static let mostJobs = 64

    /// Does all that is to be done for a resource.
    private func finish(_ name: ResourceName, _ connection: EtcdConnection) async throws {
        for _ in 0..<Self.mostJobs {
            guard let job = await controller.job(for: name) else { return }
            try await perform(job, name, connection)
        }
        throw Restless()
    }

    /// What is written is not what is read.
    private struct Restless: Error, CustomStringConvertible {
        var description: String { "it is written again and again, and never as it should be" }
    }

    /// How many requests to the API server are under way at once.
    static let mostAtOnce = 8

    /// Puts the finalizer on those that have none, many at once; what fails is tried again when the resource's turn comes.
    private func markAll() async {
        await withTaskGroup(of: Void.self) { group in
            var running = 0
            while let object = await controller.nextUnmarked() {
                if running >= Self.mostAtOnce { await group.next() } else { running += 1 }
                group.addTask {
                    do {
                        try await set(object.finalizers + [ControllerSettings.finalizer], of: object)
                    } catch {
                        await controller.noteUnmarked()
                    }
                }
            }
        }
    }

    private func perform(_ job: Job, _ name: ResourceName, _ connection: EtcdConnection) async throws {
        switch job {
        case .write(let steps):
            let settings = controller.settings
            for step in steps {
                let isLeader = EtcdCondition.key(settings.leaderKey, hasValue: Array(settings.identity.utf8))
                guard let revision = try await connection.commit(if: [isLeader], step.operations) else {
                    throw Replaced()
                }
                await controller.wrote(step, revision, name)
            }
        case .mark(let object):
            try await set(object.finalizers + [ControllerSettings.finalizer], of: object)
        case .unmark(let object):
            try await set(object.finalizers.filter { $0 != ControllerSettings.finalizer }, of: object)
        }
    }

    private func set(_ finalizers: [String], of object: KubernetesObject) async throws {
        guard controller.leadership.isValid else { throw Replaced() }
        let change: JSONValue = [
            "metadata": [
                "finalizers": .array(finalizers.map { .string($0) }), "uid": .string(object.uid),
                "resourceVersion": .string(object.resourceVersion),
            ]
        ]
        do {
            let changed = try await controller.client.patch(
                .cnfConfiguration, object.name, namespace: object.namespace, .merge(change))
            await controller.noteAnswer(changed, insteadOf: object)
        } catch {
            // It changed or went meanwhile. What it is now comes by the watch, too, and is looked at then.
            guard error.isNotFound || error.isConflict else { throw error }
            await controller.noteNow(try await now(object), insteadOf: object)
        }
    }

    /// An object as it is now; nil: it is gone.
    private func now(_ object: KubernetesObject) async throws(KubernetesError) -> KubernetesObject? {
        do {
            return try await controller.client.get(.cnfConfiguration, object.name, namespace: object.namespace)
        } catch {
            if error.isNotFound { return nil }
            throw error
        }
    }
}

extension Controller {
    func newBell() -> Bell {
        bell = Bell()
        bell.ring()
        isConnected = true
        return bell
    }

    func noteEtcd(isThere: Bool) { isConnected = isThere }

    /// Also nil until this connection has read what etcd holds: an older picture may be wrong about a key.
    func nextDirty() -> ResourceName? {
        current = picture.isComplete ? table.nextDirty() : nil
        return current
    }

    func retry(_ name: ResourceName) {
        table.retry(name)
        bell.ring()
    }

    /// The next one without a finalizer, once.
    func nextUnmarked() -> KubernetesObject? {
        guard marksResume <= .now else { return nil }
        while let name = unmarked.popFirst() {
            if let resource = resources[name], resource.needsMark { return resource.object }
        }
        return nil
    }

    /// Something went wrong for one resource. Returns when it is tried again.
    func postpone(_ name: ResourceName, _ problem: String) -> Duration {
        logger.warning("a resource can't be written", metadata: ["resource": "\(name)", "error": "\(problem)"])
        untold.insert(name)
        statusBell.ring()
        resources[name]?.failure = problem
        return resources[name]?.backoff.wait() ?? .seconds(1)
    }

    /// What is to be done next for a resource; nil: nothing.
    func job(for name: ResourceName) -> EtcdWriter.Job? {
        let resource = resources[name]
        if let resource, resource.needsMark { return .mark(resource.object) }
        let steps = table.work(for: name) { picture.value($0) }.steps(settings.records, settings.limits)
        if !steps.isEmpty { return .write(steps) }
        if let resource, resource.object.isDeleting, resource.hasFinalizer, table.isReleased(name) {
            return .unmark(resource.object)
        }
        if resources[name]?.failure != nil {
            resources[name]?.failure = nil
            resources[name]?.backoff.reset()
        }
        if current == name { current = nil }
        untold.insert(name)
        statusBell.ring()
        return nil
    }

    /// A server that takes no finalizers now must not keep back what needs none.
    func noteUnmarked() { marksResume = .now + .seconds(2) }

    func wrote(_ step: KeyWork.Step, _ revision: Int64, _ name: ResourceName) {
        picture.take(step.operations, revision: revision)
        table.record(step.recorded, of: name)
        logger.debug(
            "written",
            metadata: [
                "resource": "\(name)", "operations": .stringConvertible(step.operations.count),
                "revision": .stringConvertible(revision),
            ])
    }

    func noteNow(_ object: KubernetesObject?, insteadOf old: KubernetesObject) {
        if let object { return noteAnswer(object, insteadOf: old) }
        let name = ResourceName(namespace: old.namespace, name: old.name)
        if resources[name]?.object.uid == old.uid { forget(name) }
    }
}
