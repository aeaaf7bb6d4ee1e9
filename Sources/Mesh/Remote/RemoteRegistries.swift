internal import Concurrency
internal import MeshTransport
internal import Logging
internal import NSM
internal import SPIFFE

/// Follows the registries of other hosts, and the one, or the etcd, that many hosts share.
struct RemoteRegistries: Sendable {
    let settings: RemoteSettings
    /// Where other hosts find this one; nil: nowhere.
    let ownURL: String?
    let component: Component
    /// The endpoints of this host.
    let store: RegistryStore
    /// Where goes what is found.
    let endpoints: RemoteEndpoints
    let peers: EndpointPeers
    let rights: Rights

    /// Follows them until the task is cancelled.
    func run() async {
        await withDiscardingTaskGroup { group in
            for peer in Set(settings.peers) where peer != settings.registry {
                group.addTask { await follow(peer, isShared: false) }
            }
            if let registry = settings.registry { group.addTask { await follow(registry, isShared: true) } }
            if let etcd = settings.etcd {
                let shared = EtcdRegistry(
                    etcd, component: component, ownURL: ownURL, store: store, endpoints: endpoints)
                group.addTask { await shared.run() }
            }
        }
    }

    private func follow(_ address: SocketAddress, isShared: Bool) async {
        let source = RegistrySource.registry(address)
        let connector = peers.connector(address)
        let registry = RegistryClient(connector)
        var backoff = Backoff(first: .milliseconds(100), limit: .seconds(5))
        var isFirst = true
        while !Task.isCancelled {
            let begin = ContinuousClock.now
            do {
                let connection = try await connector.connection(within: component.requestTimeout)
                // On a Unix socket it is a path of this host that the operator named.
                if case .tcp = address, !rights.isManager(connection.info.peer?.id) {
                    connector.leave(connection)
                    throw NSMError(
                        .forbidden,
                        "\(PeerIdentity(connection.info)) is neither a manager nor a registry; --manager names those")
                }
                let wasFirst = isFirst
                isFirst = false
                try await follow(registry, source, isShared: isShared) {
                    if endpoints.note(nil, of: source) || wasFirst {
                        component.logger.info("a registry is followed", metadata: ["at": "\(source)"])
                    }
                }
            } catch is FollowAnew {
                component.logger.info(
                    "a registry is followed anew, as there is room again", metadata: ["at": "\(source)"])
            } catch {
                if Task.isCancelled { return }
                if endpoints.note("\(error)", of: source) {
                    component.logger.warning(
                        "a registry can't be followed", metadata: ["at": "\(source)", "error": "\(error)"])
                }
            }
            endpoints.lost(source)
            // After a connection that ended at once the next wait grows.
            if begin + Self.steady < .now { backoff.reset() }
            guard (try? await Task.sleep(for: backoff.wait())) != nil else { return }
        }
    }

    /// A registry that has been followed for so long, or that reported something, counts as followed.
    private static let steady = Duration.seconds(1)

    /// Follows a registry until it can't be reached any more.
    ///
    /// - Parameter isFollowed: Called once it is.
    private func follow(
        _ registry: RegistryClient, _ source: RegistrySource, isShared: Bool,
        isFollowed: @escaping @Sendable () -> Void
    ) async throws {
        let (answers, answer) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingOldest(1))
        let anew = Latch()
        endpoints.begin(source)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                await Self.firstOf(answers)
                if !Task.isCancelled { isFollowed() }
                await Task.untilCancelled()
            }
            group.addTask { try await followServices(registry, source, anew) { answer.yield() } }
            group.addTask { try await followEndpoints(registry, source, anew) { answer.yield() } }
            group.addTask {
                await anew.wait()
                throw FollowAnew()
            }
            if isShared, let ownURL {
                group.addTask {
                    try await Announcements(url: ownURL, registry: registry, store: store, logger: component.logger)
                        .run()
                }
            }
            defer { group.cancelAll() }
            try await group.next()
            throw NSMError(.unreachable, "it ended the watch")
        }
    }

    /// Waits for the first answer, or for as long as a registry must have been followed.
    private static func firstOf(_ answers: AsyncStream<Void>) async {
        await withTaskGroup(of: Void.self) { first in
            first.addTask { _ = await answers.first { _ in true } }
            first.addTask { try? await Task.sleep(for: Self.steady) }
            await first.next()
            first.cancelAll()
        }
    }

    private func followServices(
        _ registry: RegistryClient, _ source: RegistrySource, _ anew: Latch, answered: @escaping @Sendable () -> Void
    ) async throws {
        try await registry.watch(NSMNetworkService()) { response in
            answered()
            if response.deleted {
                endpoints.remove(response.networkService, from: source)
                if endpoints.hasRoomAgain(source) { anew.open() }
            } else {
                unlessUnfit(source) { () throws(RemoteEndpoints.Omission) in
                    try endpoints.take(response.networkService, from: source)
                }
            }
        }
    }

    private func followEndpoints(
        _ registry: RegistryClient, _ source: RegistrySource, _ anew: Latch, answered: @escaping @Sendable () -> Void
    ) async throws {
        try await registry.watch(NSMNetworkServiceEndpoint()) { response in
            answered()
            let endpoint = response.networkServiceEndpoint
            // Of endpoints that have no address other hosts can't make use, and of our own we know already.
            guard endpoint.url != ownURL, case .tcp? = SocketAddress(url: endpoint.url) else { return }
            if response.deleted {
                endpoints.remove(endpoint, from: source)
                if endpoints.hasRoomAgain(source) { anew.open() }
            } else {
                unlessUnfit(source) { () throws(RemoteEndpoints.Omission) in
                    try endpoints.take(endpoint, from: source)
                }
            }
        }
    }
}

extension RemoteRegistries {
    /// A registry of whose reports some were left out is to report all that there is once more.
    private struct FollowAnew: Error {}

    /// Leaves out what can't be kept, and says so once for each kind of reason.
    private func unlessUnfit(_ source: RegistrySource, _ body: () throws(RemoteEndpoints.Omission) -> Void) {
        do {
            try body()
        } catch {
            guard endpoints.note(error, of: source) else { return }
            component.logger.warning(
                "a registry reports what can't be kept", metadata: ["at": "\(source)", "error": "\(error)"])
        }
    }
}

/// Keeps the endpoints and services of this host registered in a registry that many hosts share.
///
/// The endpoints' address there is this manager's: a client that finds them requests a connection from it.
private struct Announcements {
    private enum Work {
        case endpoint(NSMNetworkServiceEndpointResponse)
        case service(NSMNetworkServiceResponse)
        case due(String)
    }

    let url: String
    let registry: RegistryClient
    let store: RegistryStore
    let logger: Logger

    /// When a registration that was refused is tried again.
    private static let refusedWait = Duration.seconds(30)

    /// Registers what there is, and what comes, until the registry can't be reached any more.
    func run() async throws {
        let (work, todo) = AsyncStream.makeStream(of: Work.self)
        let renewals = Expiries()
        renewals.whenOver { todo.yield(.due($0)) }
        defer { renewals.clear() }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                for await response in store.find(NSMNetworkService(), watch: true) { todo.yield(.service(response)) }
            }
            group.addTask {
                for await response in store.find(NSMNetworkServiceEndpoint(), watch: true) {
                    todo.yield(.endpoint(response))
                }
            }
            group.addTask {
                for await item in work { try await carryOut(item, renewals) }
            }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    private func carryOut(_ work: Work, _ renewals: Expiries) async throws {
        switch work {
        case .service(let response):
            // Others may have registered it first; the endpoints serve it all the same.
            _ = try await unlessRefused("service \(response.networkService.name)") {
                if response.deleted {
                    try await registry.unregister(response.networkService)
                } else {
                    _ = try await registry.register(response.networkService)
                }
            }
        case .endpoint(let response) where response.deleted:
            guard isHere(response.networkServiceEndpoint) else { return }
            renewals.set(response.networkServiceEndpoint.name, to: nil)
            _ = try await unlessRefused("endpoint \(response.networkServiceEndpoint.name)") {
                try await registry.unregister(announced(response.networkServiceEndpoint), socket: nil)
            }
        case .endpoint(let response):
            try await register(response.networkServiceEndpoint, renewals)
        case .due(let name):
            if let entry = store.endpoint(name) { try await register(entry.endpoint, renewals) }
        }
    }

    private func register(_ endpoint: NSMNetworkServiceEndpoint, _ renewals: Expiries) async throws {
        guard isHere(endpoint) else { return }
        let answer = try await unlessRefused("endpoint \(endpoint.name)") {
            try await registry.register(announced(endpoint), socket: nil)
        }
        let end = answer?.expirationTime.timestamp
        let left = end.map { max($0.since(.now) * 2 / 3, .milliseconds(200)) }
        renewals.set(endpoint.name, to: Timestamp.now.advanced(by: left ?? Self.refusedWait))
    }

    /// What others registered here is theirs to register elsewhere.
    private func isHere(_ endpoint: NSMNetworkServiceEndpoint) -> Bool {
        if case .tcp? = SocketAddress(url: endpoint.url) { return false }
        return true
    }

    private func announced(_ endpoint: NSMNetworkServiceEndpoint) -> NSMNetworkServiceEndpoint {
        var announced = endpoint.withoutTimes
        announced.url = url
        announced.pathIds = []
        return announced
    }

    private func unlessRefused<Result>(_ what: String, _ body: () async throws -> Result) async throws -> Result? {
        do {
            return try await body()
        } catch let error as NSMError where error.code == .refused || error.code == .forbidden {
            logger.notice("the shared registry refuses", metadata: ["what": "\(what)", "error": "\(error)"])
            return nil
        }
    }
}
