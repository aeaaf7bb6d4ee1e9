internal import MeshTransport
internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
internal import Logging

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
        try await call { client in
            try await client.status(request) { response in
                var whole = Nsmagent_Control_StatusResponse()
                var isFirst = true
                for try await part in response.messages {
                    if isFirst { whole = part } else { whole.join(part) }
                    isFirst = false
                }
                return whole
            }
        }
    }

    /// Past transactions, oldest first.
    public func history(_ request: Nsmagent_Control_HistoryRequest) async throws -> [Nsmagent_Control_Transaction] {
        try await call { client in
            try await client.history(request) { response in
                var transactions: [Nsmagent_Control_Transaction] = []
                for try await part in response.messages {
                    if let last = transactions.indices.last, transactions[last].sequence == part.sequence {
                        transactions[last].join(part)
                    } else {
                        transactions.append(part)
                    }
                }
                return transactions
            }
        }
    }

    /// The dependency graph.
    public func graph(_ request: Nsmagent_Control_GraphRequest) async throws -> Nsmagent_Control_GraphResponse {
        try await call { client in
            try await client.graph(request) { response in
                var whole = Nsmagent_Control_GraphResponse()
                for try await part in response.messages { whole.join(part) }
                return whole
            }
        }
    }

    /// Keeps changes that wait for confirmation.
    public func confirm() async throws -> Nsmagent_Control_ConfirmResponse {
        try await call { try await $0.confirm(Nsmagent_Control_ConfirmRequest()) }
    }

    /// Reads the configuration again.
    public func reload() async throws -> Nsmagent_Control_ReloadResponse {
        try await call { try await $0.reload(Nsmagent_Control_ReloadRequest()) }
    }

    private typealias Client = Nsmagent_Control_Control.Client<HTTP2ClientTransport.WrappedChannel>

    /// How long the agent may take to take the connection.
    private static let patience = Duration.seconds(10)

    private func call<Answer: Sendable>(
        _ body: @escaping @Sendable (Client) async throws -> Answer
    ) async throws -> Answer {
        do {
            let connection = try await ClientConnection.connect(
                to: .unix(path), security: .insecure, timeout: Self.patience, takesDescriptors: false,
                logger: Logger(label: "control") { _ in SwiftLogNoOpLogHandler() })
            return try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { await connection.run() }
                defer { connection.closeNow() }
                return try await connection.whileOpen { try await body(Client(wrapping: connection.client)) }
            }
        } catch let error as RPCError {
            throw Failure(description: "the agent on \(path) gave no answer: \(error.message); see its log")
        } catch let error as TransportError {
            throw Failure(description: "the agent on \(path) gave no answer: \(error); see its log")
        }
    }
}
