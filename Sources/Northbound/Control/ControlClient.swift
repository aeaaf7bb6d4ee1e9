internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix

/// Asks a running agent.
public struct ControlClient: Sendable {
    private let path: String

    /// A client of the agent that listens at a path.
    ///
    /// - Throws: when nobody listens there, or we may not ask.
    public init(path: String) throws(ControlSocket.Failure) {
        try ControlSocket.check(path)
        self.path = path
    }

    /// The agent broke off, or did not answer as it should.
    public struct Failure: Error, Sendable, CustomStringConvertible {
        /// What happened and what to do.
        public let description: String
    }

    /// The agent and the values under a key prefix.
    public func status(_ request: Nsmagent_Control_StatusRequest) async throws -> Nsmagent_Control_StatusResponse {
        try await call { try await $0.status(request, options: Self.options) }
    }

    /// Past transactions.
    public func history(_ request: Nsmagent_Control_HistoryRequest) async throws -> Nsmagent_Control_HistoryResponse {
        try await call { try await $0.history(request, options: Self.options) }
    }

    /// The dependency graph.
    public func graph(_ request: Nsmagent_Control_GraphRequest) async throws -> Nsmagent_Control_GraphResponse {
        try await call { try await $0.graph(request, options: Self.options) }
    }

    /// Keeps changes that wait for confirmation.
    public func confirm() async throws -> Nsmagent_Control_ConfirmResponse {
        try await call { try await $0.confirm(Nsmagent_Control_ConfirmRequest(), options: Self.options) }
    }

    /// Reads the configuration again.
    public func reload() async throws -> Nsmagent_Control_ReloadResponse {
        try await call { try await $0.reload(Nsmagent_Control_ReloadRequest(), options: Self.options) }
    }

    /// A status of many thousand values is larger than what gRPC takes unasked.
    private static var options: CallOptions {
        var options = CallOptions.defaults
        options.maxResponseMessageBytes = 1 << 30
        return options
    }

    private typealias Client = Nsmagent_Control_Control.Client<HTTP2ClientTransport.Posix>

    private func call<Answer: Sendable>(_ body: @Sendable (Client) async throws -> Answer) async throws -> Answer {
        do {
            let transport = try HTTP2ClientTransport.Posix(
                target: .unixDomainSocket(path: path), transportSecurity: .plaintext)
            return try await withGRPCClient(transport: transport) { try await body(Client(wrapping: $0)) }
        } catch let error as RPCError {
            throw Failure(description: "the agent on \(path) gave no answer: \(error.message); see its log")
        }
    }
}
