internal import CLinux
internal import Concurrency
public import CoreMetrics
public import GRPCCore
public import Logging
public import MeshTransport
internal import NSM
public import NetworkTypes
internal import SPIFFE
internal import Synchronization

/// The forwarder of a host under any manager of Network Service Mesh v1: the manager finds it in its registry, and puts it
/// between clients and endpoints, which it connects by nothing but the kernel.
///
/// Only the manager that it is registered at is served. When it stops, connections and traffic stay; after a start it takes them
/// over as their clients refresh them.
public final class NodeForwarder: Sendable {
    /// The settings of a forwarder.
    public struct Options: Sendable {
        /// Its name in the registry and in paths; no other component has it.
        public var name: String
        /// The service that managers look for.
        public var service = "forwarder"
        /// Labels by which managers choose among forwarders. Without `p2p: "true"` stock managers leave it out for services that
        /// are declared with selectors.
        public var labels = ["p2p": "true"]
        /// Where it listens: a Unix socket.
        public var listen: SocketAddress
        /// The manager.
        public var manager: SocketAddress
        /// Which of several identities to take, by its hint; nil: the first.
        public var svidHint: String?
        /// The address of this host that tunnels to others start from; nil: clients have endpoints of this host alone.
        public var tunnelAddress: IPAddress?
        /// The UDP port of VXLAN tunnels, the same on all hosts.
        public var tunnelPort = RemoteSettings.defaultTunnelPort
        /// The kinds of tunnels that are made, the preferred one first.
        public var tunnels: [ForwarderMechanism] = [.vxlan, .wireGuard]
        /// How long its tokens live.
        public var tokenLifetime = Duration.seconds(600)
        /// The longest time for making a transport connection to the manager, and for one of its answers.
        public var dialTimeout = Duration.seconds(5)
        /// The longest time for an answer of the manager.
        public var requestTimeout = Duration.seconds(15)
        /// Connections that it takes; the manager asks other forwarders of the host for more.
        public var mostConnections = 65536
        /// Patterns of managers, where tunnels may lead, and whether the host's own network is treated as any other.
        public var rights = MeshRights()
        /// Where it counts; nil: nowhere.
        public var metrics: (any MetricsFactory)?
        /// What calls go through first, such as what counts them.
        public var interceptors: [any ServerInterceptor] = []

        /// Makes options.
        public init(name: String, listen: SocketAddress, manager: SocketAddress) {
            self.name = name
            self.listen = listen
            self.manager = manager
        }
    }

    private let options: Options
    private let logger: Logger
    private let identity: WorkloadIdentity
    private let manager: PeerConnector
    private let listener: ServerListener
    private let requests: MeshRequests
    private let settings: MeshSettings
    private let registration: EndpointRegistration
    private let registered: Callback<Void>
    private let isReady = Atomic(false)

    /// Opens the socket; nothing is served yet.
    ///
    /// - Parameter workloadSocket: The Workload API, as a URL.
    /// - Throws: `TransportError` when another process listens there.
    public init(_ options: Options, workloadSocket: String, logger: Logger) throws {
        self.options = options
        self.logger = logger
        identity = WorkloadIdentity(socket: workloadSocket, hint: options.svidHint, logger: logger)
        let security = Security.identity(identity)
        let manager = PeerConnector(
            options.manager,
            component: Component(
                name: options.name, security: security, tokenLifetime: options.tokenLifetime,
                dialTimeout: options.dialTimeout, requestTimeout: options.requestTimeout, logger: logger),
            takesDescriptors: true)
        self.manager = manager
        var settings = MeshSettings(
            name: options.name, address: options.listen, security: security, tokenLifetime: options.tokenLifetime,
            remote: options.tunnelAddress.map {
                RemoteSettings(listen: nil, tunnelAddress: $0, tunnelPort: options.tunnelPort)
            }, logger: logger)
        settings.remote?.tunnels = options.tunnels
        var rights = Rights(settings: options.rights, ownDomain: nil, host: "")
        let patterns = options.rights.managers
        rights.served = {
            // The one that listens where we register, if it may be one.
            manager.peerID.flatMap { id in
                patterns.isEmpty || patterns.contains { SPIFFEID.matches($0, id.description) } ? id : nil
            }
        }
        settings.rights = rights
        settings.mostConnections = options.mostConnections
        settings.metrics = options.metrics
        settings.interceptors = options.interceptors
        self.settings = settings
        listener = try ServerListener(options.listen, mode: 0o777)
        requests = try MeshRequests(settings, RegistryStore { _ in }, directory: ManagerDirectory(manager))
        let registered = Callback<Void>()
        self.registered = registered
        registration = EndpointRegistration(
            name: options.name, offers: [.init(service: options.service, labels: options.labels)], manager: manager,
            registersServices: false
        ) { registered(()) }
    }

    /// Whether its manager has it in its registry.
    public var isRegistered: Bool { registration.status.registered != nil }

    /// Brings up to date what is not counted as it happens: call it before the numbers are read.
    public func collect() async {
        await requests.collect()
        requests.measures?.set("nsm_forwarder_registered", to: isRegistered ? 1 : 0)
    }

    /// Serves until `end` returns; then the registration is taken back, so that the manager asks others. Connections and traffic
    /// stay.
    ///
    /// - Parameters:
    ///   - ready: Called when the manager has it in its registry for the first time.
    ///   - end: Waits for the reason to end.
    /// - Throws: when it can't serve.
    public func run(
        ready: @escaping @Sendable () -> Void, until end: @escaping @Sendable () async -> Void
    ) async throws {
        // Each transport connection takes three descriptors.
        _ = cl_raise_file_limit()
        guard case .unix(let path) = options.listen else {
            throw NSMError(
                .local, "\(options.listen.url): a Unix socket is needed, as descriptors travel on those only")
        }
        let socket = try Descriptor.open(path, pathOnly: true)
        registered.set { [weak self] _ in
            guard let self, self.isRegistered else { return }
            if !self.isReady.exchange(true, ordering: .relaxed) { ready() }
        }
        let server = RPCServer(
            listener, security: settings.security,
            services: [
                requests, MonitorService(requests.monitor, scope: { _ in .all }),
                HealthService(["networkservice.NetworkService", "connection.MonitorConnection"]) { [registration] in
                    registration.status.registered != nil
                },
            ], interceptors: settings.interceptors + [RightsInterceptor(rights: settings.rights)], logger: logger)
        defer { requests.end() }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await self.identity.run() }
            group.addTask { await self.manager.run() }
            group.addTask { try await server.run() }
            group.addTask { await self.requests.removeLeftovers() }
            group.addTask { try await self.keepRegistered(socket, until: end) }
            defer { group.cancelAll() }
            do {
                for try await _ in group {}
            } catch is Ended {
                return
            }
        }
    }

    private func keepRegistered(_ socket: Descriptor, until end: @escaping @Sendable () async -> Void) async throws {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.registration.run(socket, at: self.listener.address) }
            group.addTask { await end() }
            await group.next()
            group.cancelAll()
        }
        if Task.isCancelled { return }
        do {
            try await registration.unregister(socket)
        } catch {
            logger.info(
                "the registration ends by itself, as the manager can't be told", metadata: ["error": "\(error)"])
        }
        throw Ended()
    }

    /// Ends the other tasks.
    private struct Ended: Error {}
}
