internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
internal import Glibc

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
    /// Sends the dependency graph.
    func graph(
        _ request: Nsmagent_Control_GraphRequest, to write: @escaping Write<Nsmagent_Control_GraphResponse>
    ) async throws
    /// Keeps changes that wait for confirmation.
    func confirm() async -> Nsmagent_Control_ConfirmResponse
    /// Reads the configuration again.
    func reload() async -> Nsmagent_Control_ReloadResponse
}

/// Serves the control service on a socket.
public struct ControlServer: Sendable {
    private let path: String
    private let identity: Identity
    private let server: GRPCServer<HTTP2ServerTransport.Posix>

    /// Listens; ``run()`` answers.
    ///
    /// - Throws: when the socket can't be had, in words for the operator.
    public init(path: String, backend: some ControlBackend) throws(ControlSocket.Failure) {
        let descriptor = try ControlSocket.listen(on: path)
        self.path = path
        identity = Identity(path)
        server = GRPCServer(transport: Self.transport(descriptor), services: [ControlService(backend: backend)])
    }

    private static func transport(_ listener: Int32) -> HTTP2ServerTransport.Posix {
        .http2NIOPosix(listeningSocketDescriptor: Int(listener), transportSecurity: .plaintext)
    }

    /// Answers until ``stop()`` or until the task is cancelled; then the socket's file goes.
    public func run() async throws {
        defer { if Identity(path) == identity { ControlSocket.remove(path) } }
        try await withTaskCancellationHandler {
            try await server.serve()
        } onCancel: {
            server.beginGracefulShutdown()
        }
    }

    /// Finishes the calls under way and takes no others.
    public func stop() { server.beginGracefulShutdown() }

    /// Which file is at a path, so that a successor's socket is left alone.
    private struct Identity: Equatable, Sendable {
        let device: UInt
        let inode: UInt

        init(_ path: String) {
            var status = stat()
            let isThere = lstat(path, &status) == 0
            device = isThere ? UInt(status.st_dev) : 0
            inode = isThere ? UInt(status.st_ino) : 0
        }
    }
}

/// The generated service in terms of a backend.
private struct ControlService<Backend: ControlBackend>: Nsmagent_Control_Control.SimpleServiceProtocol {
    let backend: Backend

    func status(
        request: Nsmagent_Control_StatusRequest, response: RPCWriter<Nsmagent_Control_StatusResponse>,
        context: ServerContext
    ) async throws { try await backend.status(request) { try await response.write($0) } }

    func history(
        request: Nsmagent_Control_HistoryRequest, response: RPCWriter<Nsmagent_Control_Transaction>,
        context: ServerContext
    ) async throws { try await backend.history(request) { try await response.write($0) } }

    func graph(
        request: Nsmagent_Control_GraphRequest, response: RPCWriter<Nsmagent_Control_GraphResponse>,
        context: ServerContext
    ) async throws { try await backend.graph(request) { try await response.write($0) } }

    func confirm(
        request: Nsmagent_Control_ConfirmRequest, context: ServerContext
    ) async throws -> Nsmagent_Control_ConfirmResponse { await backend.confirm() }

    func reload(
        request: Nsmagent_Control_ReloadRequest, context: ServerContext
    ) async throws -> Nsmagent_Control_ReloadResponse { await backend.reload() }
}
