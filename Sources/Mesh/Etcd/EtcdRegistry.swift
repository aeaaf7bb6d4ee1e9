internal import Concurrency
internal import EtcdClient
internal import Logging
internal import MeshTransport
internal import NSM
internal import SPIFFE
internal import Synchronization

/// Shares endpoints and services with other meshes by an etcd: writes those of this host, and follows those of others.
///
/// What etcd says is where to ask, never who somebody is: the mesh that answers there must prove that it is a manager.
final class EtcdRegistry: Sendable {
    private struct State {
        /// Of this host; nil: others can't reach it, so there is nothing to write.
        var own: OwnRecords?
        var picture: RegistryPicture
        /// The cluster that the picture is of.
        var cluster: UInt64?
        /// Outlives connections, so that what stands in etcd need not be written again.
        var lease: Int64?
        /// Whether the connection has told all that there is.
        var isFollowed = false
        /// Why others don't find this host, although the registry is followed; nil: they do.
        var trouble: String?
        /// Wakes the writer.
        var wake: AsyncStream<Void>.Continuation?
        /// What another cluster does not have yet.
        var missing = MissingRecords()
        /// What was said of records that can't be used.
        var notices = UnfitNotices()
    }
    private typealias Unfit = UnfitNotices.Unfit

    private let settings: EtcdRegistrySettings
    private let component: Component
    private let store: RegistryStore
    private let endpoints: RemoteEndpoints
    private let source: RegistrySource
    private let state: Mutex<State>
    private let missingEnd = Expiries()

    /// - Parameter ownURL: Where other hosts reach this mesh; nil: nowhere.
    init(
        _ settings: EtcdRegistrySettings, component: Component, ownURL: String?, store: RegistryStore,
        endpoints: RemoteEndpoints
    ) {
        self.settings = settings
        self.component = component
        self.store = store
        self.endpoints = endpoints
        source = .etcd(settings.text)
        let record = ownURL.flatMap { try? Self.ownRecord(settings, name: component.name, url: $0) }
        state = Mutex(
            State(
                own: record.map { OwnRecords(root: settings.root, record: $0) },
                picture: RegistryPicture(root: settings.root, own: component.name)))
        missingEnd.whenOver { [weak self] _ in self?.forgetMissing() }
    }

    /// What a mesh says of itself, as others read it.
    ///
    /// - Throws: `NSMError` when others would not take it.
    static func ownRecord(
        _ settings: EtcdRegistrySettings, name: String, url: String
    ) throws(NSMError) -> MeshRecord {
        func refuse(_ reason: String) -> NSMError {
            NSMError(.local, "other meshes would ignore what this one writes to etcd: \(reason)")
        }
        guard let address = SocketAddress(url: url) else { throw refuse("'\(url.prefix(bytes: 253))' is no address") }
        let record = MeshRecord(
            name: name, address: address, id: nil, leaseSeconds: settings.leaseSeconds,
            process: String(UInt64.random(in: .min ... .max), radix: 16))
        let key = RegistryKey.mesh(name)
        guard RegistryKey(Array(key.text(root: settings.root).utf8), root: settings.root) == key else {
            throw refuse("its name '\(name.prefix(bytes: 253))' must have 1 to \(ConnectionLimits.name) bytes")
        }
        do throws(RegistryRecord.Unfit) {
            return try RegistryRecord.mesh(record.bytes, name)
        } catch {
            throw refuse(error.description)
        }
    }

    /// Does it until the task is cancelled.
    func run() async {
        if let warning = settings.client.exposure { component.logger.warning("\(warning)") }
        let client = EtcdClient(settings.client, logger: component.logger)
        await withDiscardingTaskGroup { group in
            if state.withLock({ $0.own != nil }) {
                group.addTask { await self.presentIdentity() }
                group.addTask { await self.followServices() }
                group.addTask { await self.followEndpoints() }
            }
            group.addTask {
                await client.keepConnected { connection in
                    try await self.work(connection)
                } failed: { error, _ in
                    self.lost(error)
                }
            }
        }
    }

    // MARK: - A connection

    private func work(_ connection: EtcdConnection) async throws {
        let (isWriter, wakes) = state.withLock { state in
            state.own?.expectAnew()
            let (wakes, wake) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
            state.wake = wake
            return (state.own != nil, wakes)
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await connection.follow(.prefix(self.settings.root)) { update in self.take(update) }
            }
            if isWriter { group.addTask { try await self.keepWriting(connection, wakes) } }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    private func lease(_ connection: EtcdConnection) async throws(EtcdError) -> Int64 {
        if let known = state.withLock({ $0.lease }) { return known }
        let lease = try await connection.grantLease(seconds: settings.leaseSeconds)
        state.withLock { $0.lease = lease }
        return lease
    }

    private func lost(_ error: EtcdError) {
        let known = state.withLock { state in
            if error.code == .leaseExpired { state.lease = nil }
            state.isFollowed = false
            return state.picture.known
        }
        if endpoints.note(error.description, of: source) {
            component.logger.warning(
                "a registry can't be followed", metadata: ["at": "\(source)", "error": "\(error.text)"])
        }
        // Whoever died meanwhile would be gone by then.
        endpoints.lost(Dictionary(known.map { (.mesh($0.name), .seconds($0.leaseSeconds)) }) { first, _ in first })
    }

    // MARK: - What others write

    private func take(_ update: EtcdUpdate) {
        var unfit: [Unfit] = []
        let isFirst = state.withLock { state in
            let isFirst = !state.isFollowed
            switch update {
            case .state(let snapshot):
                carryOut(replace(snapshot, &state, &unfit))
                state.own?.reset(snapshot.entries)
                state.cluster = snapshot.cluster
                state.isFollowed = true
                if isFirst { _ = endpoints.note(state.trouble, of: source, isFollowed: true) }
                state.wake?.yield()
            case .events(let events, _):
                for event in events {
                    if state.own?.take(event) == true { state.wake?.yield() }
                    carryOut(Self.changes(event, &state.picture, &unfit))
                }
            }
            return isFirst
        }
        tell(unfit)
        if isFirst {
            component.logger.info("a registry is followed", metadata: ["at": "\(source)"])
        }
    }

    /// Takes in all that there is; returns what changes at once.
    ///
    /// Another cluster is one that lost its data: who is alive writes again, and has as much time for it as if etcd were away.
    private func replace(
        _ snapshot: EtcdSnapshot, _ state: inout State, _ unfit: inout [Unfit]
    ) -> [RegistryPicture.Change] {
        let longest = state.picture.known.map(\.leaseSeconds).max() ?? 0
        let changes = state.picture.replace(snapshot.entries) { unfit.append((key: $0.key, reason: $1)) }
        guard let before = state.cluster, before != snapshot.cluster else { return changes }
        let now = state.missing.take(
            changes, state.picture, until: Timestamp.now.advanced(by: .seconds(longest)))
        missingEnd.set("", to: state.missing.end)
        return now
    }

    /// Takes back what was not written again in time.
    private func forgetMissing() {
        state.withLock { state in carryOut(state.missing.giveUp(state.picture)) }
    }

    private static func changes(
        _ event: EtcdEvent, _ picture: inout RegistryPicture, _ unfit: inout [Unfit]
    ) -> [RegistryPicture.Change] {
        guard case .put(let entry) = event else { return picture.remove(event.key) }
        do throws(RegistryRecord.Unfit) {
            return try picture.put(entry)
        } catch {
            unfit.append((key: entry.key, reason: error))
            return picture.remove(entry.key)
        }
    }

    private func carryOut(_ changes: [RegistryPicture.Change]) {
        for change in changes {
            switch change {
            case .mesh(let mesh): endpoints.add(mesh.id, at: mesh.address, from: .mesh(mesh.name))
            case .noMesh(let mesh): endpoints.remove(at: mesh.address, from: .mesh(mesh.name))
            case .endpoint(let endpoint, let mesh): endpoints.add(endpoint, from: .mesh(mesh))
            case .noEndpoint(let endpoint, let mesh): endpoints.remove(endpoint, from: .mesh(mesh))
            case .service(let service, let mesh): endpoints.add(service, from: .mesh(mesh))
            case .noService(let service, let mesh): endpoints.remove(service, from: .mesh(mesh))
            }
        }
    }

    private func tell(_ unfit: [Unfit]) {
        guard !unfit.isEmpty else { return }
        let (named, more) = state.withLock { $0.notices.take(unfit, now: .now) }
        for (key, reason) in named {
            component.logger.warning(
                "a record in etcd is ignored",
                metadata: ["key": "\(String(decoding: key.prefix(512), as: UTF8.self))", "reason": "\(reason)"])
        }
        if more > 0 { component.logger.warning("more records in etcd are ignored", metadata: ["count": "\(more)"]) }
    }

    // MARK: - What this host has

    private func change(_ body: (inout OwnRecords) -> Void) {
        state.withLock { state in
            guard var own = state.own else { return }
            state.own = nil
            body(&own)
            state.own = own
            state.wake?.yield()
        }
    }

    private func presentIdentity() async {
        guard case .identity(let identities) = component.security else { return }
        for await identity in identities.identities() {
            change { own in
                let record = own.record
                own.present(
                    as: MeshRecord(
                        name: record.name, address: record.address, id: identity.svid.id,
                        leaseSeconds: record.leaseSeconds, process: record.process))
            }
        }
    }

    private func followServices() async {
        // A stream ends when there are too many changes at once. All come again, but for what is gone by then.
        while !Task.isCancelled {
            let changes = store.find(NSMNetworkService(), watch: true)
            var present: Set<String> = []
            for await response in store.find(NSMNetworkService(), watch: false) {
                present.insert(response.networkService.name)
            }
            change { [present] in $0.wantServices(only: present) }
            for await response in changes {
                var service = response.networkService
                service.pathIds = []
                let value = response.deleted ? nil : RegistryRecord.bytes(service)
                change { $0.want(value, under: .service(service.name, mesh: component.name)) }
            }
        }
    }

    private func followEndpoints() async {
        while !Task.isCancelled {
            let changes = store.find(NSMNetworkServiceEndpoint(), watch: true)
            var present: Set<String> = []
            for await response in store.find(NSMNetworkServiceEndpoint(), watch: false) {
                present.insert(response.networkServiceEndpoint.name)
            }
            change { [present] in $0.wantEndpoints(only: present) }
            for await response in changes {
                let endpoint = response.networkServiceEndpoint
                var isHere = !response.deleted
                // What others registered here is theirs to write.
                if case .tcp? = SocketAddress(url: endpoint.url) { isHere = false }
                let value = isHere ? RegistryRecord.bytes(endpoint.shared) : nil
                change { $0.want(value, under: .endpoint(endpoint.name, mesh: component.name)) }
            }
        }
    }

    /// Keeps etcd as it should be until the connection or the lease ends.
    private func keepWriting(_ connection: EtcdConnection, _ wakes: AsyncStream<Void>) async throws {
        let lease = try await insist { try await self.lease(connection) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await connection.keepAlive(lease) }
            group.addTask {
                for await _ in wakes { try await self.insist { try await self.write(connection, lease) } }
            }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    /// Does something that changes etcd. When etcd refuses it, it is tried again, ever more seldom: a user who may only read,
    /// or an etcd that is full, still says where others are.
    ///
    /// - Throws: when the connection or the lease has ended.
    private func insist<Result: Sendable>(_ body: @Sendable () async throws -> Result) async throws -> Result {
        var backoff = Backoff(first: .seconds(1), limit: .seconds(30))
        while true {
            do {
                return try await body()
            } catch let error as EtcdError where !error.isOfConnection && error.code != .leaseExpired {
                let remedy = error.code == .noSpace ? "; compact and defragment it, then 'etcdctl alarm disarm'" : ""
                note("others don't find this mesh, as etcd refuses what it writes: \(error.text)\(remedy)")
            }
            try await Task.sleep(for: backoff.wait())
        }
    }

    /// Writes until nothing is left to do, or something must happen first.
    private func write(_ connection: EtcdConnection, _ lease: Int64) async throws {
        while true {
            let (step, record) = state.withLock { state in (state.own?.next(lease: lease), state.own?.record) }
            guard let step, let record else { return }
            let key = RegistryKey.mesh(record.name).text(root: settings.root)
            let operations: [EtcdOperation]
            let condition: EtcdCondition
            switch step {
            case .wait: return
            case .nothing: return noteOwner(nil)
            case .taken(let other): return noteOwner(other)
            case .claim(let claim, let revision):
                (operations, condition) = (claim, .key(key, hasModRevision: revision))
            case .write(let writes): (operations, condition) = (writes, .key(key, hasValue: record.bytes))
            }
            // If somebody else was faster, the watch says so, and we go on then.
            guard let revision = try await connection.commit(if: [condition], operations) else { return }
            state.withLock { $0.own?.done(operations, revision: revision) }
        }
    }

    private func noteOwner(_ other: MeshRecord?) {
        note(
            other.map { other in
                "the mesh at \(other.address.url) is called \(other.name), too, so others don't find this one;"
                    + " --host-name gives each its own name"
            })
    }

    /// Says why others don't find this host, once; nil: they do.
    private func note(_ trouble: String?) {
        let isNews = state.withLock { state in
            defer { state.trouble = trouble }
            if state.isFollowed { _ = endpoints.note(trouble, of: source, isFollowed: true) }
            return state.trouble != trouble
        }
        guard isNews else { return }
        if let trouble {
            component.logger.warning(
                "others don't find this mesh", metadata: ["at": "\(source)", "error": "\(trouble)"])
        } else {
            component.logger.info("others find this mesh", metadata: ["at": "\(source)"])
        }
    }
}
