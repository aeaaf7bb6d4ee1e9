public import MeshTransport
internal import GRPCCore
internal import Logging
internal import SPIFFE
internal import Synchronization

/// The registry as a client sees it.
///
/// Answers are checked: each carries a path of tokens in its header `path`, of which the registry's is signed with the key of
/// its certificate, and names stay with the peers that registered them.
public struct RegistryClient: Sendable {
    private let manager: PeerConnector
    private let owners = Owners()

    /// Who first registered a name through this client.
    private final class Owners: Sendable {
        private let ids = Mutex<[String: String]>([:])
        /// Notes the owner of a name; returns the one noted before.
        func note(_ owner: String, of name: String) -> String? {
            ids.withLock { ids in
                defer { ids[name] = owner }
                return ids[name]
            }
        }
        func forget(_ name: String) { ids.withLock { _ = $0.removeValue(forKey: name) } }
    }

    /// Talks to the registry behind a manager.
    public init(_ manager: PeerConnector) { self.manager = manager }

    // MARK: - Services

    /// Registers a service.
    ///
    /// - Returns: the service as the registry has it.
    /// - Throws: ``NSMError``; of the code `forbidden` when the name belongs to another identity.
    public func register(_ service: NSMNetworkService) async throws -> NSMNetworkService {
        let (calls, metadata) = try await begin()
        let client = NSMNetworkServiceRegistry.Client(wrapping: calls.connection.client)
        return try await calls.explained {
            try await client.register(service, metadata: metadata, options: options) { response in
                let answer = try response.message
                try check(response.metadata, calls, name: "service \(answer.name)", pathIDs: answer.pathIds)
                return answer
            }
        }
    }

    /// Takes a service back.
    ///
    /// - Throws: ``NSMError``; of the code `forbidden` when it belongs to another identity.
    public func unregister(_ service: NSMNetworkService) async throws {
        let (calls, metadata) = try await begin()
        let client = NSMNetworkServiceRegistry.Client(wrapping: calls.connection.client)
        _ = try await calls.explained {
            try await client.unregister(service, metadata: metadata, options: options)
        }
        owners.forget("service \(service.name)")
    }

    /// Services that match.
    ///
    /// - Throws: ``NSMError``.
    public func find(_ service: NSMNetworkService) async throws -> [NSMNetworkService] {
        let found = Mutex<[NSMNetworkService]>([])
        try await find(service, watch: false) { response in
            if !response.deleted { found.withLock { $0.append(response.networkService) } }
        }
        return found.withLock { $0 }
    }

    /// Watches services that match, until the registry ends the stream or the task is cancelled.
    ///
    /// - Throws: ``NSMError``; `CancellationError`.
    public func watch(
        _ service: NSMNetworkService, body: @escaping @Sendable (NSMNetworkServiceResponse) async throws -> Void
    ) async throws {
        try await find(service, watch: true, body: body)
    }

    private func find(
        _ service: NSMNetworkService, watch: Bool,
        body: @escaping @Sendable (NSMNetworkServiceResponse) async throws -> Void
    ) async throws {
        let (calls, metadata) = try await begin()
        let client = NSMNetworkServiceRegistry.Client(wrapping: calls.connection.client)
        var query = NSMNetworkServiceQuery()
        query.networkService = service
        query.watch = watch
        try await calls.explained { [query] in
            try await client.find(query, metadata: metadata, options: watch ? .defaults : options) { response in
                for try await message in response.messages { try await body(message) }
            }
        }
    }

    // MARK: - Endpoints

    /// Registers an endpoint.
    ///
    /// - Parameters:
    ///   - endpoint: The endpoint; its `url` is replaced when there is a `socket`.
    ///   - socket: The socket it listens on; a descriptor of it goes along, so that the manager need not see the file.
    /// - Returns: the endpoint as the registry has it. Its name counts from now on.
    /// - Throws: ``NSMError``; of the code `forbidden` when the name belongs to another identity.
    public func register(
        _ endpoint: NSMNetworkServiceEndpoint, socket: Descriptor?
    ) async throws -> NSMNetworkServiceEndpoint {
        let (calls, metadata) = try await begin()
        let message = try announce(endpoint, socket, calls)
        let client = NSMNetworkServiceEndpointRegistry.Client(wrapping: calls.connection.client)
        return try await calls.explained {
            try await client.register(message, metadata: metadata, options: options) { response in
                let answer = try response.message
                try check(response.metadata, calls, name: "endpoint \(answer.name)", pathIDs: answer.pathIds)
                return answer
            }
        }
    }

    /// Takes an endpoint back.
    ///
    /// - Parameters:
    ///   - endpoint: The endpoint; its name counts.
    ///   - socket: The socket it listens on; nil when it is gone, or over TCP.
    /// - Throws: ``NSMError``; of the code `forbidden` when it belongs to another identity.
    public func unregister(_ endpoint: NSMNetworkServiceEndpoint, socket: Descriptor?) async throws {
        let (calls, metadata) = try await begin()
        let message = try announce(endpoint, socket, calls)
        let client = NSMNetworkServiceEndpointRegistry.Client(wrapping: calls.connection.client)
        _ = try await calls.explained {
            try await client.unregister(message, metadata: metadata, options: options)
        }
        owners.forget("endpoint \(endpoint.name)")
    }

    /// Endpoints that match.
    ///
    /// - Throws: ``NSMError``.
    public func find(_ endpoint: NSMNetworkServiceEndpoint) async throws -> [NSMNetworkServiceEndpoint] {
        let found = Mutex<[NSMNetworkServiceEndpoint]>([])
        try await find(endpoint, watch: false) { response in
            if !response.deleted { found.withLock { $0.append(response.networkServiceEndpoint) } }
        }
        return found.withLock { $0 }
    }

    /// Watches endpoints that match, until the registry ends the stream or the task is cancelled.
    ///
    /// - Throws: ``NSMError``; `CancellationError`.
    public func watch(
        _ endpoint: NSMNetworkServiceEndpoint,
        body: @escaping @Sendable (NSMNetworkServiceEndpointResponse) async throws -> Void
    ) async throws {
        try await find(endpoint, watch: true, body: body)
    }

    /// Endpoints that match, those of this host with the sockets that the registry sends along.
    ///
    /// - Parameter isKnown: Whether the caller already has the socket of an inode; the call then does not wait for it.
    /// - Throws: ``NSMError``.
    package func findWithSockets(
        _ endpoint: NSMNetworkServiceEndpoint, isKnown: @escaping @Sendable (Inode) -> Bool
    ) async throws -> [(endpoint: NSMNetworkServiceEndpoint, socket: Descriptor?)] {
        let (calls, metadata) = try await begin()
        let client = NSMNetworkServiceEndpointRegistry.Client(wrapping: calls.connection.client)
        let query = NSMNetworkServiceEndpointQuery.with { $0.networkServiceEndpoint = endpoint }
        let channel = calls.connection.info.descriptors
        let limit = Self.most
        let found = try await calls.explained {
            try await client.find(query, metadata: metadata, options: options) { response in
                var found: [(NSMNetworkServiceEndpoint, ComingDescriptor?)] = []
                for try await message in response.messages where !message.deleted && found.count < limit {
                    let endpoint = message.networkServiceEndpoint
                    found.append((endpoint, ComingDescriptor(endpoint.url, channel)))
                }
                return found
            }
        }
        var result: [(endpoint: NSMNetworkServiceEndpoint, socket: Descriptor?)] = []
        let end = ContinuousClock.now + Self.socketWait
        for (endpoint, coming) in found {
            guard let coming, !isKnown(coming.inode) else {
                result.append((endpoint, nil))
                continue
            }
            do throws(DescriptorError) {
                let left = max(end - ContinuousClock.now, .zero)
                result.append((endpoint, try await coming.receive(within: left)))
            } catch {
                logger.info(
                    "an endpoint's socket did not come",
                    metadata: ["endpoint": "\(endpoint.name)", "error": "\(error)"])
            }
        }
        return result
    }

    /// Endpoints of one answer that are looked at.
    private static let most = 1024
    /// How long the sockets may take that an answer names, all together.
    private static let socketWait = Duration.seconds(2)

    /// - Parameter offering: A service that the caller offers as well: of its endpoints he may see all.
    /// - Returns: whether the registry says that it shows those.
    @discardableResult
    func find(
        _ endpoint: NSMNetworkServiceEndpoint, watch: Bool, offering: String? = nil,
        body: @escaping @Sendable (NSMNetworkServiceEndpointResponse) async throws -> Void
    ) async throws -> Bool {
        let (calls, own) = try await begin()
        var metadata = own
        if let offering { metadata.addString(offering, forKey: WellKnown.offering) }
        let client = NSMNetworkServiceEndpointRegistry.Client(wrapping: calls.connection.client)
        var query = NSMNetworkServiceEndpointQuery()
        query.networkServiceEndpoint = endpoint
        query.watch = watch
        return try await calls.explained { [query, metadata] in
            try await client.find(query, metadata: metadata, options: watch ? .defaults : options) { response in
                let told = response.metadata[stringValues: WellKnown.offering].first { _ in true }
                if offering != nil, told == nil,
                    calls.connection.info.peer?.id.isManagerOfHost == true
                {
                    // It shows what the caller registered, and would take one endpoint for another. Those of other kinds show all.
                    throw NSMError(.refused, Self.noOfferers)
                }
                for try await message in response.messages { try await body(message) }
                return told != nil
            }
        }
    }

    /// What is said of managers that do not tell of those who offer the same.
    static let noOfferers = "the manager does not tell of other endpoints"
    /// What is said of those that do not say whether they do.
    static let oneOfferer = "the manager shows this endpoint alone, and does not say whether it tells of others"

    // MARK: - Parts

    var logger: Logger { manager.component.logger }

    private var options: CallOptions { Calls.options(manager.component.requestTimeout) }

    private func begin() async throws -> (calls: Calls, metadata: Metadata) {
        let connection = try await manager.connection(within: manager.component.requestTimeout)
        let calls = Calls(connection, component: manager.component)
        var metadata = try calls.metadata()
        metadata.addString(RegistryPath().json, forKey: WellKnown.registryPath)
        return (calls, metadata)
    }

    private func announce(
        _ endpoint: NSMNetworkServiceEndpoint, _ socket: Descriptor?, _ calls: Calls
    ) throws -> NSMNetworkServiceEndpoint {
        guard let socket, let channel = calls.connection.info.descriptors else { return endpoint }
        var message = endpoint
        message.url = socket.inode.url
        try channel.send(socket)
        return message
    }

    /// The rules for answers: a path of tokens of which the first is ours and the second the registry's, and a name that
    /// still belongs to whom it belonged.
    private func check(_ metadata: Metadata, _ calls: Calls, name: String, pathIDs: [String]) throws {
        guard calls.component.isSecure else { return }
        guard let json = metadata[stringValues: WellKnown.registryPath].first(where: { _ in true }),
            let path = RegistryPath(json: json)
        else { throw NSMError(.protocolViolation, "the registry's answer for \(name) has no path") }
        let segments = path.tokens.enumerated().map { index, token in
            var segment = NSMPathSegment()
            segment.name = "registry path \(index)"
            segment.token = token
            return segment
        }
        let tokens = try TokenRules.checkChain(segments)
        guard path.index + 1 < tokens.count, calls.connection.info.peer != nil else {
            throw NSMError(.protocolViolation, "the registry's answer for \(name) lacks the registry's token")
        }
        do {
            try TokenRules.checkSignature(tokens[path.index + 1], on: calls.connection.info, "the registry's token")
        } catch {
            if error.code == .outdated { manager.leave(calls.connection) }
            throw error
        }
        let owner = tokens[0].subject
        if let before = owners.note(owner, of: name), before != owner {
            throw NSMError(.forbidden, "\(name) belonged to \(before) and is now \(owner)'s")
        }
        if let first = pathIDs.first, first != owner {
            throw NSMError(.forbidden, "\(name) is registered for \(first), not for \(owner)")
        }
    }
}
