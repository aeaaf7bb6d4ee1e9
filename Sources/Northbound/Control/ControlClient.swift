internal import MeshTransport
internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
internal import Logging
public import Model
public import Reconciler

/// Where a value stands, as the agent says it.
public struct NamedValueState: Sendable {
    /// Its key.
    public var key: Key
    /// Such as `CONFIGURED`.
    public var state: String
    /// What failed, or what it waits for.
    public var text: String
}

/// Asks a running agent.
public struct ControlClient: Sendable {
    private let target: ControlTarget

    /// A client of the agent whose gRPC API is somewhere.
    ///
    /// - Throws: ``Failure`` when a file for TLS can't be used.
    public init(_ agent: RemoteAgent) throws(Failure) {
        do throws(TransportError) {
            target = try ControlTarget(agent)
        } catch {
            throw Failure(description: "\(error)")
        }
    }

    /// A client of the agent that listens at a path.
    ///
    /// - Throws: when nobody listens there, or we may not ask.
    public init(path: String) throws(ControlSocket.Failure) {
        try ControlSocket.check(path)
        target = ControlTarget(path: path)
    }

    /// The agent broke off, or did not answer as it should.
    public struct Failure: Error, Sendable, CustomStringConvertible {
        /// What happened and what to do.
        public let description: String
        /// Whether the agent said so itself.
        public var isAnswer = false
        /// Whether the values stay declared and are tried again.
        public var staysDeclared = false
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

    /// What was declared when a past transaction was done, and where the agent has what is declared from.
    public func configuration(after sequence: UInt64) async throws -> Nsmagent_Control_ConfigurationResponse {
        var request = Nsmagent_Control_ConfigurationRequest()
        request.sequence = sequence
        return try await call { [request] client in
            try await client.configuration(request) { response in
                var whole = Nsmagent_Control_ConfigurationResponse()
                var isFirst = true
                for try await part in response.messages {
                    if isFirst { whole = part } else { whole.join(part) }
                    isFirst = false
                }
                return whole
            }
        }
    }

    /// All that is known of one value.
    public func explain(_ key: Key) async throws -> Nsmagent_Control_ExplainResponse {
        var request = Nsmagent_Control_ExplainRequest()
        request.key = key
        return try await call { [request] client in
            var options = CallOptions.defaults
            options.maxResponseMessageBytes = ControlSocket.messageLimit
            return try await client.explain(request, options: options)
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

    /// Declares values, and withdraws others.
    ///
    /// - Returns: where each of them stands, once the kernel has it.
    public func change(_ values: [ModelValue], removed: [Key]) async throws -> [NamedValueState] {
        var request = Ligato_Generic_SetConfigRequest()
        request.updates = try values.map { value in
            var update = Ligato_Generic_UpdateItem()
            update.item = try ItemCoding.item(value.key, value)
            return update
        }
        for key in removed {
            guard let model = ModelRegistry.all.first(where: { key.hasPrefix($0.keyPrefix) }) else {
                throw Failure(
                    description: "no model has keys such as '\(key)'; 'nsm-agent get' lists those that are declared",
                    isAnswer: true)
            }
            var update = Ligato_Generic_UpdateItem()
            update.item.id.model = model.name
            update.item.id.name = String(key.dropFirst(model.keyPrefix.count))
            request.updates.append(update)
        }
        let response = try await callManager { [request] client in
            try await client.setConfig(request, metadata: ["datasrc": "set"])
        }
        return response.results.filter { $0.key != "seqnum" }.map { result in
            NamedValueState(key: result.key, state: result.status.status, text: result.status.message)
        }
    }

    /// All declared values, sorted by key.
    public func declaredValues() async throws -> [(value: ModelValue, state: NamedValueState)] {
        let response = try await callManager { client in
            var options = CallOptions.defaults
            options.maxResponseMessageBytes = ControlSocket.messageLimit
            return try await client.getConfig(Ligato_Generic_GetConfigRequest(), options: options)
        }
        return try response.items.map { item in
            let value = try ItemCoding.value(item.item.data.any)
            return (
                value,
                NamedValueState(key: value.key, state: item.status.status, text: item.status.message)
            )
        }
    }

    /// Keeps changes that wait for confirmation.
    public func confirm() async throws -> Nsmagent_Control_ConfirmResponse {
        try await call { try await $0.confirm(Nsmagent_Control_ConfirmRequest()) }
    }

    /// Reads the configuration again.
    ///
    /// - Parameter acceptsEmpty: Whether what the sources hold is what is wanted, even if they seem to have lost something.
    public func reload(acceptsEmpty: Bool = false) async throws -> Nsmagent_Control_ReloadResponse {
        var request = Nsmagent_Control_ReloadRequest()
        request.acceptEmpty = acceptsEmpty
        return try await call { [request] in try await $0.reload(request) }
    }

    private typealias Client = Nsmagent_Control_Control.Client<HTTP2ClientTransport.WrappedChannel>

    /// How long the agent may take to take the connection.
    private static let patience = Duration.seconds(10)

    private func call<Answer: Sendable>(
        _ body: @escaping @Sendable (Client) async throws -> Answer
    ) async throws -> Answer {
        try await connected { try await body(Client(wrapping: $0)) }
    }

    private typealias Manager = Ligato_Generic_ManagerService.Client<HTTP2ClientTransport.WrappedChannel>

    /// A refusal is reported in the agent's words.
    private func callManager<Answer: Sendable>(
        _ body: @escaping @Sendable (Manager) async throws -> Answer
    ) async throws -> Answer {
        try await connected { client in
            do {
                return try await body(Manager(wrapping: client))
            } catch let error as RPCError where [.failedPrecondition, .invalidArgument].contains(error.code) {
                let mark = error.metadata[stringValues: ItemCoding.declaredMark].first { _ in true }
                throw Failure(description: error.message, isAnswer: true, staysDeclared: mark != nil)
            }
        }
    }

    /// What went wrong on the way, for people.
    private func failure(_ reason: String) -> Failure {
        Failure(description: "the agent on \(target.place) gave no answer: \(target.plain(reason)); see its log")
    }

    private func connected<Answer: Sendable>(
        _ body: @escaping @Sendable (GRPCClient<HTTP2ClientTransport.WrappedChannel>) async throws -> Answer
    ) async throws -> Answer {
        do {
            let connection = try await ClientConnection.connect(
                to: target.address, security: .insecure, trust: target.trust, timeout: Self.patience,
                takesDescriptors: false,
                logger: Logger(label: "control") { _ in SwiftLogNoOpLogHandler() })
            return try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { await connection.run() }
                defer { connection.closeNow() }
                return try await connection.whileOpen { try await body(connection.client) }
            }
        } catch let error as RPCError where error.code == .permissionDenied {
            throw Failure(description: "the agent on \(target.place) refuses: \(error.message)", isAnswer: true)
        } catch let error as RPCError {
            throw failure(error.message)
        } catch let error as RuntimeError {
            // The connection ended before the question was asked, as a server does that refuses a certificate.
            throw failure(error.message)
        } catch let error as TransportError {
            throw failure("\(error)")
        }
    }
}
