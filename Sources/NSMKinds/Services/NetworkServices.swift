internal import DescriptorTransport
internal import Glibc
public import Logging
public import Model
internal import NSM
internal import NetworkTypes
public import Reconciler
internal import SPIFFE

/// Keeps the connections of declared clients and endpoints.
///
/// Level-triggered: it is told what is declared, and starts, changes and stops what differs. What it keeps survives its
/// end: connections stay until their tokens end, and are found again by their ids.
public actor NetworkServices {
    /// What is declared under a key.
    public enum Spec: Hashable, Sendable {
        /// A connection to a service.
        case client(Upnp_NetworkServiceClient)
        /// A service that is offered.
        case endpoint(Upnp_NetworkServiceEndpoint)
    }

    private struct Session {
        let spec: Spec
        let task: Task<Void, Never>
        let client: NetworkServiceClient?
        let endpoint: NetworkServiceEndpoint?
    }

    /// All reports, whenever one changes; who is slow gets the newest.
    public nonisolated let reports: AsyncStream<[Key: ServiceReport]>

    private let settings: ServiceSettings
    private let logger: Logger
    private let tell: AsyncStream<[Key: ServiceReport]>.Continuation
    private let identity: WorkloadIdentity
    private let manager: PeerConnector
    private var sessions: [Key: Session] = [:]
    private var current: [Key: ServiceReport] = [:]
    private var shared: [Task<Void, Never>] = []

    /// Keeps nothing yet, and talks to nobody before something is declared.
    public init(_ settings: ServiceSettings, logger: Logger) {
        self.settings = settings
        self.logger = logger
        (reports, tell) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        identity = WorkloadIdentity(socket: settings.workloadSocket, logger: logger)
        manager = PeerConnector(
            settings.manager,
            component: Component(
                name: settings.name, security: .identity(identity), tokenLifetime: settings.tokenLifetime,
                dialTimeout: settings.dialTimeout, requestTimeout: settings.requestTimeout, logger: logger))
    }

    /// Makes what is kept what is declared.
    public func declare(_ wanted: [Key: Spec]) async {
        if !wanted.isEmpty, shared.isEmpty {
            let (identity, manager) = (identity, manager)
            shared = [Task { await identity.run() }, Task { await manager.run() }]
        }
        for (key, session) in sessions where wanted[key] != session.spec {
            sessions[key] = nil
            current[key] = nil
            // What is made anew under the same id has to wait for its end; what is only taken away has not.
            if wanted[key] == nil { Task { await end(session) } } else { await end(session) }
        }
        for (key, spec) in wanted where sessions[key] == nil { start(key, spec) }
        tell.yield(current)
    }

    private func note(_ key: Key, _ report: ServiceReport, of spec: Spec) {
        guard sessions[key]?.spec == spec, current[key] != report else { return }
        current[key] = report
        tell.yield(current)
    }

    private func end(_ session: Session) async {
        session.task.cancel()
        do {
            try await session.client?.close()
            try await session.endpoint?.unregister()
        } catch {
            logger.warning("the mesh was not told of an end; it ends with its tokens", metadata: ["error": "\(error)"])
        }
    }

    // MARK: - Sessions

    private func start(_ key: Key, _ spec: Spec) {
        switch spec {
        case .client(let message):
            let client = NetworkServiceClient(configuration(message), manager: manager)
            let task = Task {
                await withDiscardingTaskGroup { group in
                    group.addTask { await client.run() }
                    for await state in client.states { self.note(key, ServiceReport(message, state), of: spec) }
                    group.cancelAll()
                }
            }
            sessions[key] = Session(spec: spec, task: task, client: client, endpoint: nil)
        case .endpoint(let message):
            let endpoint = endpoint(message)
            let task = Task {
                await withDiscardingTaskGroup { group in
                    group.addTask { await self.serve(endpoint, key, spec) }
                    for await state in endpoint.states { self.note(key, ServiceReport(message, state), of: spec) }
                    group.cancelAll()
                }
            }
            sessions[key] = Session(spec: spec, task: task, client: nil, endpoint: endpoint)
        }
        current[key] = ServiceReport(.waiting(["starting"]))
    }

    /// A socket that can't be had is tried again: somebody may make room for it.
    private func serve(_ endpoint: NetworkServiceEndpoint, _ key: Key, _ spec: Spec) async {
        var backoff = Backoff(first: .milliseconds(200), limit: .seconds(30))
        while !Task.isCancelled {
            do {
                try await endpoint.run()
            } catch {
                if Task.isCancelled { return }
                note(key, ServiceReport(.waiting(["\(error)"])), of: spec)
            }
            guard (try? await Task.sleep(for: backoff.wait())) != nil else { return }
        }
    }

    private func configuration(_ message: Upnp_NetworkServiceClient) -> NetworkServiceClient.Configuration {
        NetworkServiceClient.Configuration(
            id: "\(settings.name)-\(message.name)", networkService: message.networkService,
            labels: labels(message.outgoingLabels), interfaceName: message.interfaceName,
            sourceAddresses: message.ipAddresses.compactMap { IPPrefix($0) },
            sourceMAC: MACAddress(message.physAddress))
    }

    private func endpoint(_ message: Upnp_NetworkServiceEndpoint) -> NetworkServiceEndpoint {
        let names = InterfaceNames(
            prefix: message.interfaceNamePrefix, label: message.interfaceNameSuffixFromLabel,
            isSingle: message.singleClient)
        // Addresses and a MAC are one client's; several can't share them.
        let addresses = message.singleClient ? message.ipAddresses.compactMap { IPPrefix($0) } : []
        let mac = message.singleClient ? MACAddress(message.physAddress) : nil
        let name = "\(settings.name)-\(message.networkService)"
        let service = NetworkServiceEndpoint.Service(
            name: message.networkService, labels: labels(message.advertisedLabels),
            admit: { request in
                EndpointAdmission(
                    interfaceName: try names.name(for: request), destinationAddresses: addresses, destinationMAC: mac)
            }, released: { names.release($0) })
        return NetworkServiceEndpoint(
            name: name, services: [service], socket: "\(settings.socketDirectory)/\(name).sock", manager: manager)
    }

    private func labels(_ own: [Upnp_ConnectionLabel]) -> [String: String] {
        settings.labels.merging(own.map { ($0.key, $0.value) }) { _, own in own }
    }
}
