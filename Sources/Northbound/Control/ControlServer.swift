internal import MeshTransport
internal import GRPCCore
public import Logging

/// Answers the command line: the daemon, or an apply that waits for confirmation.
public protocol ControlBackend: Sendable {
    /// Sends the agent and the values under a key prefix.
    func status(
        _ request: Nsmagent_Control_StatusRequest, to write: @escaping Write<Nsmagent_Control_StatusResponse>
    ) async throws
    /// Sends past transactions.
    func history(
        _ request: Nsmagent_Control_HistoryRequest, to write: @escaping Write<Nsmagent_Control_Transaction>
    ) async throws
    /// Sends what was declared when a past transaction was done.
    func configuration(
        _ request: Nsmagent_Control_ConfigurationRequest,
        to write: @escaping Write<Nsmagent_Control_ConfigurationResponse>
    ) async throws
    /// All that is known of one value.
    func explain(_ request: Nsmagent_Control_ExplainRequest) async throws -> Nsmagent_Control_ExplainResponse
    /// Sends the dependency graph.
    func graph(
        _ request: Nsmagent_Control_GraphRequest, to write: @escaping Write<Nsmagent_Control_GraphResponse>
    ) async throws
    /// Keeps changes that wait for confirmation.
    func confirm() async -> Nsmagent_Control_ConfirmResponse
    /// Reads the configuration again.
    func reload(_ request: Nsmagent_Control_ReloadRequest) async -> Nsmagent_Control_ReloadResponse
}

/// Serves the control service on a socket.
public struct ControlServer: Sendable {
    private let listener: ServerListener
    private let server: RPCServer
    /// How long calls may take to end.
    private static let grace = Duration.seconds(5)

    /// Listens; ``run()`` answers.
    ///
    /// - Parameter configuration: Accepts and returns single values; nil: these calls are not served.
    /// - Throws: when the socket is not available, in words for the operator.
    public init(
        path: String, backend: some ControlBackend, configuration: (any ConfigurationBackend)? = nil,
        logger: Logger = Logger(label: "control") { _ in SwiftLogNoOpLogHandler() }
    ) throws(ControlSocket.Failure) {
        listener = try ControlSocket.listen(on: path)
        var services: [any RegistrableRPCService] = [ControlService(backend: backend)]
        var limits = TransportLimits()
        var messageLimit = 1 << 16
        if let configuration {
            services.append(ManagerFace(backend: configuration, labels: LabelTable()))
            messageLimit = ControlSocket.messageLimit
            limits.connectionBytes = max(limits.connectionBytes, 2 * messageLimit)
            limits.peerBytes = max(limits.peerBytes, 2 * messageLimit)
        }
        let right = RightInterceptor(address: .unix(path), isInsecure: false, showsCertificates: false)
        server = RPCServer(
            listener, security: .insecure, services: services, interceptors: [right], takesDescriptors: false,
            admission: { ControlSocket.refusal($0) }, limits: limits, messageLimit: messageLimit, logger: logger)
    }

    /// Answers until ``stop()`` or until the task is cancelled; then the socket's file goes.
    public func run() async throws {
        defer { listener.removeFile() }
        let server = server
        try await withTaskCancellationHandler {
            // Away from our own task, so that the calls under way end.
            try await Task { try await server.run() }.value
        } onCancel: {
            stop()
        }
    }

    /// Finishes the calls under way and takes no others.
    public func stop() { server.stop(within: Self.grace) }
}

/// The generated service in terms of a backend.
struct ControlService<Backend: ControlBackend>: Nsmagent_Control_Control.SimpleServiceProtocol {
    let backend: Backend

    func status(
        request: Nsmagent_Control_StatusRequest, response: RPCWriter<Nsmagent_Control_StatusResponse>,
        context: ServerContext
    ) async throws { try await backend.status(request) { try await response.write($0) } }

    func history(
        request: Nsmagent_Control_HistoryRequest, response: RPCWriter<Nsmagent_Control_Transaction>,
        context: ServerContext
    ) async throws { try await backend.history(request) { try await response.write($0) } }

    func configuration(
        request: Nsmagent_Control_ConfigurationRequest, response: RPCWriter<Nsmagent_Control_ConfigurationResponse>,
        context: ServerContext
    ) async throws { try await backend.configuration(request) { try await response.write($0) } }

    func explain(
        request: Nsmagent_Control_ExplainRequest, context: ServerContext
    ) async throws -> Nsmagent_Control_ExplainResponse { try await backend.explain(request) }

    func graph(
        request: Nsmagent_Control_GraphRequest, response: RPCWriter<Nsmagent_Control_GraphResponse>,
        context: ServerContext
    ) async throws { try await backend.graph(request) { try await response.write($0) } }

    func confirm(
        request: Nsmagent_Control_ConfirmRequest, context: ServerContext
    ) async throws -> Nsmagent_Control_ConfirmResponse { await backend.confirm() }

    func reload(
        request: Nsmagent_Control_ReloadRequest, context: ServerContext
    ) async throws -> Nsmagent_Control_ReloadResponse { await backend.reload(request) }
}
