internal import GRPCCore
public import Logging
public import MeshTransport

/// Where and for whom the gRPC face is open.
public struct GRPCSettings: Sendable {
    /// Where it listens.
    public var addresses: [SocketAddress]
    /// Whether every client that reaches an address over TCP may change things.
    public var isInsecure: Bool
    /// Files for TLS over TCP; nil: none.
    public var tls: TLSFiles?
    /// The longest message that a client may send, bytes.
    public var messageLimit: Int
    /// Calls at once on one connection.
    public var streamLimit: Int
    /// Counts calls; nil: they are not counted.
    public var statistics: CallStatistics?
    /// Why clients other than root of this host may only look, over TCP.
    public var lookReason =
        "only root of this host may change things here; use the Unix socket, or the setting insecure"

    /// Makes settings.
    public init(
        addresses: [SocketAddress], isInsecure: Bool = false, tls: TLSFiles? = nil, messageLimit: Int = 4 << 20,
        streamLimit: Int = 1024
    ) {
        self.addresses = addresses
        self.isInsecure = isInsecure
        self.tls = tls
        self.messageLimit = messageLimit
        self.streamLimit = streamLimit
    }
}

/// Serves the northbound API by gRPC.
public struct GRPCFace: Sendable {
    private let listeners: [ServerListener]
    private let servers: [RPCServer]
    /// How long calls may take to end.
    private static let grace = Duration.seconds(1)

    /// Listens; ``run()`` answers.
    ///
    /// - Parameter control: Answers the command line of other hosts, if it may change things; nil: it gets no answer.
    /// - Throws: ``TransportError`` when an address is not available.
    public init(
        _ settings: GRPCSettings, backend: some ConfigurationBackend, control: (any ControlBackend)? = nil,
        logger: Logger
    ) throws(TransportError) {
        var services: [String] = []
        for descriptor in [
            Ligato_Generic_ManagerService.descriptor, Ligato_Generic_MetaService.descriptor,
            Ligato_Configurator_ConfiguratorService.descriptor, Grpc_Health_V1_Health.descriptor,
            Grpc_Reflection_V1_ServerReflection.descriptor,
        ] { services.append(descriptor.fullyQualifiedService) }
        services.append(ReflectionFace.alphaPackage + ".ServerReflection")
        let configurator = ConfiguratorFace(backend: backend)
        var faces: [any RegistrableRPCService] = [
            ManagerFace(backend: backend, labels: LabelTable()), MetaFace(), configurator,
            ConfiguratorChanges(face: configurator),
            HealthFace(services: services), ReflectionFace(services: services),
        ]
        if let control { faces.append(Self.service(control)) }
        var limits = TransportLimits()
        (limits.streams, limits.rootStreams) = (settings.streamLimit, settings.streamLimit)
        // A message counts as long as it is read and worked on.
        limits.connectionBytes = max(limits.connectionBytes, 2 * settings.messageLimit)
        limits.peerBytes = max(limits.peerBytes, 2 * settings.messageLimit)
        let counting = settings.statistics.map { [$0.interceptor] } ?? []
        var listeners: [ServerListener] = []
        var servers: [RPCServer] = []
        var files: CertificateFiles?
        if let tls = settings.tls { files = try CertificateFiles(tls, protocols: ["h2"], logger: logger) }
        for address in settings.addresses {
            let listener = try ServerListener(address, mode: 0o600)
            listeners.append(listener)
            // What goes through a Unix socket stays on this host.
            let certificates = if case .unix = address { nil as CertificateFiles? } else { files }
            let right = RightInterceptor(
                address: address, isInsecure: settings.isInsecure,
                showsCertificates: certificates?.asksClients ?? false, lookReason: settings.lookReason)
            servers.append(
                RPCServer(
                    listener, security: .insecure, certificates: certificates, services: faces,
                    interceptors: counting + [right],
                    takesDescriptors: false,
                    admission: { ControlSocket.refusal($0) }, limits: limits, messageLimit: settings.messageLimit,
                    logger: logger))
        }
        self.listeners = listeners
        self.servers = servers
    }

    private static func service(_ control: some ControlBackend) -> any RegistrableRPCService {
        ControlService(backend: control)
    }

    /// Where it listens, with real ports.
    public var addresses: [SocketAddress] { listeners.map(\.address) }

    /// Answers until ``stop()`` or until the task is cancelled; then the sockets' files go.
    public func run() async throws {
        defer { for listener in listeners { listener.removeFile() } }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for server in servers { group.addTask { try await server.run() } }
            try await group.waitForAll()
        }
    }

    /// Finishes the calls under way and takes no others.
    public func stop() { for server in servers { server.stop(within: Self.grace) } }
}

/// Says what a call may do, by where it came from.
struct RightInterceptor: ServerInterceptor {
    let address: SocketAddress
    let isInsecure: Bool
    /// Whether nobody gets here without a certificate that the operator's authorities have signed.
    let showsCertificates: Bool
    var lookReason = ""

    func intercept<Input: Sendable, Output: Sendable>(
        request: StreamingServerRequest<Input>, context: ServerContext,
        next: @Sendable (StreamingServerRequest<Input>, ServerContext) async throws -> StreamingServerResponse<Output>
    ) async throws -> StreamingServerResponse<Output> {
        let right = right
        // What the command line asks is for those who run the agent.
        if case .look(let reason) = right, context.descriptor.service == Nsmagent_Control_Control.descriptor {
            throw RPCError(code: .permissionDenied, message: reason)
        }
        return try await Caller.$right.withValue(right) { try await next(request, context) }
    }

    private var right: Caller.Right {
        if isInsecure || showsCertificates { return .change }
        switch address {
        case .unix: return .change
        case .tcp:
            if let user = ConnectionInfo.current?.user, AgentUser.isTrusted(user) { return .change }
            return .look(lookReason)
        }
    }
}
