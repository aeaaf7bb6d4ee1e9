internal import CLinux
public import CoreMetrics
public import MeshTransport
public import GRPCCore
internal import Glibc
public import Logging
internal import NSM
public import NetworkTypes
internal import SPIFFE

/// The whole mesh of a host: the manager, and, where there is no SPIRE, an authority with its Workload API.
public struct HostMesh: Sendable {
    /// The settings of a host's mesh.
    public struct Options: Sendable {
        /// Where clients and endpoints find the manager.
        public var listen: SocketAddress
        /// Where the authority is kept.
        public var stateDirectory: String
        /// The Workload API of SPIRE, as a URL; nil: an authority of our own serves `workloadSocket`.
        public var spireSocket: String?
        /// Which of several identities of SPIRE's to take, by its hint; nil: the first.
        public var svidHint: String?
        /// Where workloads find their identities when there is no SPIRE.
        public var workloadSocket: String
        /// The authority's trust domain.
        public var trustDomain: String
        /// This host's name.
        public var host: String
        /// Prefixes that no connection gets addresses from.
        public var excludedPrefixes: [IPPrefix]
        /// How long the manager's tokens live.
        public var tokenLifetime = Duration.seconds(600)
        /// How it is joined with other hosts; nil: not at all.
        public var remote: RemoteSettings?
        /// Where endpoints have shared prefixes from; nil: nowhere.
        public var prefixes: PrefixSource?
        /// Who may do what; this host's root alone unless set.
        public var rights = MeshRights()
        /// Files with the authorities of other trust domains, PEM, by trust domain.
        public var trustBundles: [String: String] = [:]
        /// Where `mesh status` asks; nil: nowhere.
        public var statusSocket: String?
        /// Where it counts; nil: nowhere.
        public var metrics: (any MetricsFactory)?
        /// What calls go through first, such as what counts them.
        public var interceptors: [any ServerInterceptor] = []

        /// Makes options.
        public init(
            listen: SocketAddress, stateDirectory: String, spireSocket: String?, workloadSocket: String,
            trustDomain: String, host: String, excludedPrefixes: [IPPrefix] = [], remote: RemoteSettings? = nil
        ) {
            self.listen = listen
            self.stateDirectory = stateDirectory
            self.spireSocket = spireSocket
            self.workloadSocket = workloadSocket
            self.trustDomain = trustDomain
            self.host = host
            self.excludedPrefixes = excludedPrefixes
            self.remote = remote
        }
    }

    private let options: Options
    private let logger: Logger
    private let manager: MeshManager
    private let spire: WorkloadIdentity?
    private let own: (authority: HostAuthority, identity: FixedIdentity, listener: ServerListener)?
    /// The authorities of other hosts; nil: none are named.
    private let federation: FederatedBundles?
    /// Where `mesh status` asks; nil: nowhere, or another mesh listens there.
    private let statusListener: ServerListener?

    /// Opens the sockets; nothing is served yet.
    ///
    /// - Throws: when there is another mesh, or the authority is not available.
    public init(_ options: Options, logger: Logger) throws {
        self.options = options
        self.logger = logger
        var source: any IdentitySource
        // Clients and endpoints are given our own socket by the same variable; it may be in our environment, too.
        let isOwn = try options.spireSocket.map { try WorkloadEndpoint($0).address } == .unix(options.workloadSocket)
        if let socket = options.spireSocket, !isOwn {
            let identity = WorkloadIdentity(socket: socket, hint: options.svidHint, logger: logger)
            spire = identity
            own = nil
            source = identity
        } else {
            let authority = try HostAuthority(
                directory: options.stateDirectory, trustDomain: options.trustDomain, host: options.host, logger: logger)
            let identity = FixedIdentity(try authority.issue(authority.managerID()))
            // Who asks decides what is answered.
            own = (
                authority, identity,
                try ServerListener(
                    .unix(options.workloadSocket), mode: Self.rights(options, isOwn: true).socketMode)
            )
            spire = nil
            source = identity
        }
        if own != nil, options.trustBundles[options.trustDomain] != nil {
            throw SPIFFEError(
                "\(options.trustDomain) is this host's own trust domain and can't be another host's, too; each needs one of"
                    + " its own")
        }
        let bundles = options.trustBundles.isEmpty ? nil : FederatedBundles(options.trustBundles, logger: logger)
        if let bundles { source = FederatedIdentity(source, bundles) }
        federation = bundles
        var settings = MeshSettings(
            name: "\(options.host)-nsmgr", address: options.listen, security: .identity(source),
            tokenLifetime: options.tokenLifetime, excludedPrefixes: options.excludedPrefixes,
            remote: options.remote, logger: logger)
        settings.rights = Self.rights(options, isOwn: own != nil)
        settings.prefixes = options.prefixes
        settings.prefixDirectory = options.stateDirectory
        settings.metrics = options.metrics
        settings.interceptors = options.interceptors
        manager = try MeshManager(settings)
        statusListener = Self.statusListener(options.statusSocket, logger)
    }

    /// A mesh that can't be asked serves all the same.
    private static func statusListener(_ path: String?, _ logger: Logger) -> ServerListener? {
        guard let path else { return nil }
        do {
            return try ServerListener(.unix(path), mode: 0o600)
        } catch {
            logger.warning(
                "'mesh status' can't ask this mesh; --status-socket names another socket",
                metadata: ["error": "\(error)"])
            return nil
        }
    }

    /// Brings up to date what is not counted as it happens: call it before the numbers are read.
    public func collect() async { await manager.collect() }

    /// Why it does not do its work yet; nil: it does.
    public var obstacle: String? {
        if let spire, !spire.hasIdentity { return "the mesh has no identity yet" }
        return manager.isServing ? nil : "the mesh does not serve yet"
    }

    private static func rights(_ options: Options, isOwn: Bool) -> Rights {
        Rights(settings: options.rights, ownDomain: isOwn ? options.trustDomain : nil, host: options.host)
    }

    /// Serves until the task is cancelled. Connections and traffic stay.
    ///
    /// - Throws: when it can't serve.
    public func run() async throws {
        // Each transport connection takes three descriptors.
        _ = cl_raise_file_limit()
        try await withThrowingDiscardingTaskGroup { group in
            if let spire { group.addTask { await spire.run() } }
            if let federation { group.addTask { await federation.run() } }
            if let own {
                let server = RPCServer(
                    own.listener, security: .insecure, services: [Self.workloadAPI(own.authority, federation)],
                    takesDescriptors: false, admission: Self.rights(options, isOwn: true).admission,
                    messageLimit: 1 << 14, logger: logger)
                group.addTask { try await server.run() }
                let id = try own.authority.managerID()
                let identities = try own.authority.identities(id)
                group.addTask {
                    for await identity in identities { own.identity.replace(identity) }
                }
            }
            if let statusListener {
                let server = RPCServer(
                    statusListener, security: .insecure, services: [MeshStatus(manager: manager)],
                    takesDescriptors: false, messageLimit: 1 << 14, logger: logger)
                group.addTask { try await server.run() }
            }
            group.addTask { try await manager.run() }
        }
    }

    /// Who asks is known from the kernel.
    private static func workloadAPI(
        _ authority: HostAuthority, _ federation: FederatedBundles?
    ) -> WorkloadAPIService {
        WorkloadAPIService { _ in
            guard let credentials = ConnectionInfo.current?.credentials else {
                throw RPCError(code: .permissionDenied, message: "the kernel does not tell who asks")
            }
            let identities = try authority.identities(authority.id(of: credentials))
            return federation?.joined(to: identities) ?? identities
        }
    }
}
