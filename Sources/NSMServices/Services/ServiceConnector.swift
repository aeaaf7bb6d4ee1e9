public import Logging
internal import MeshTransport
public import Model
public import NSM
internal import SPIFFE

/// Connects this network namespace to services, once, as an init container does: what is connected stays when the program ends,
/// until its tokens end or a client with the same id keeps it.
public struct ServiceConnector: Sendable {
    /// Why a service is not connected.
    public struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
        /// The service, the reason, and what to do.
        public let description: String
        /// Whether nothing was heard of the mesh at all.
        public let isUnreachable: Bool
    }

    private struct Wanted: Sendable {
        let message: Upnp_NetworkServiceClient
        let client: NetworkServiceClient
        let group: Int?
    }

    private let context: SessionContext
    private let wanted: [Wanted]
    private let logger: Logger

    /// How often it is looked whether the interface is there.
    private static let look = Duration.milliseconds(20)
    /// How long the end of what was not connected may take.
    private static let farewell = Duration.seconds(2)

    /// Makes clients that have not asked yet. Their connections have the ids that those of a daemon with these settings have.
    public init(_ settings: ServiceSettings, clients: [Upnp_NetworkServiceClient], logger: Logger) {
        self.logger = logger
        context = SessionContext(settings, logger: logger)
        let context = context
        wanted = clients.map { message in
            Wanted(
                message: message, client: ClientSession.client(message, context),
                group: settings.awareness.group(of: message))
        }
    }

    /// Connects one service after the other, and leaves the connections in place.
    ///
    /// - Parameters:
    ///   - limit: How long all of it may take.
    ///   - connected: Called with the client and its connection once the connection and its interface are there.
    ///   - end: Keeps the connections until it returns, and closes them then; nil: leaves them as soon as all are there.
    /// - Throws: ``Failure`` for the first that is not connected in time. Those before it stay connected.
    public func run(
        within limit: Duration, connected: @escaping @Sendable (Upnp_NetworkServiceClient, NSMConnection) -> Void,
        until end: (@Sendable () async -> Void)? = nil
    ) async throws {
        let deadline = ContinuousClock.now + limit
        try await withThrowingTaskGroup(of: Void.self) { group in
            defer { group.cancelAll() }
            group.addTask { await context.runSupport() }
            for one in wanted {
                group.addTask { await one.client.run() }
                connected(one.message, try await connection(of: one, by: deadline))
            }
            guard let end else { return }
            let names = ConnectorNames(context.settings, logger: logger)
            group.addTask { [wanted] in
                await names.keep {
                    wanted.map { one in
                        guard case .established(let connection) = one.client.state else {
                            return ResolverConfiguration()
                        }
                        return ResolverConfiguration(connection)
                    }
                }
            }
            await end()
            for one in wanted { try await one.client.close() }
        }
    }

    private func connection(of one: Wanted, by deadline: ContinuousClock.Instant) async throws -> NSMConnection {
        while ContinuousClock.now < deadline {
            if case .established(let connection) = one.client.state,
                context.host.exists(connection.mechanism.interfaceName)
            {
                context.addresses.note(connection, group: one.group)
                return connection
            }
            try await Task.sleep(for: Self.look)
        }
        let failure = failure(of: one)
        // What was asked for may be made after we are gone, and nobody would keep it.
        await withTaskGroup(of: Void.self) { group in
            group.addTask { try? await one.client.close() }
            group.addTask { try? await Task.sleep(for: Self.farewell) }
            await group.next()
            group.cancelAll()
        }
        throw failure
    }

    private func failure(of one: Wanted) -> Failure {
        let service = "\(one.message.networkService) is not connected"
        let troubles = context.troubles
        switch one.client.state {
        case .established(let connection):
            return Failure(
                description: "\(service): the mesh made no interface \(connection.mechanism.interfaceName) here",
                isUnreachable: false)
        case .connecting(_, let error), .healing(_, _, let error):
            let reasons = troubles.isEmpty ? [error ?? "no answer in time"] : troubles
            return Failure(
                description: "\(service): \(reasons.joined(separator: "; "))", isUnreachable: !troubles.isEmpty)
        case .closed: return Failure(description: service, isUnreachable: false)
        }
    }
}

/// The name servers of connections, while these are kept.
private actor ConnectorNames {
    private var names: NameServers
    private let address: ResolverAddress
    private nonisolated let resolver: LocalResolver?

    /// How often it is looked what connections give.
    private static let look = Duration.seconds(1)

    init(_ settings: ServiceSettings, logger: Logger) {
        names = NameServers(settings, logger: logger)
        resolver = names.resolver
        address = settings.resolverAddress
    }

    /// Applies what connections give until the task is cancelled, and then leaves all as it was.
    func keep(_ parts: @escaping @Sendable () -> [ResolverConfiguration]) async {
        names.begin()
        await withDiscardingTaskGroup { group in
            group.addTask { await self.answer(parts) }
            while !Task.isCancelled {
                names.apply(parts(), isPartial: false)
                try? await Task.sleep(for: Self.look)
            }
            group.cancelAll()
        }
        names.apply([], isPartial: false)
        names.leave()
    }

    private nonisolated func answer(_ parts: @escaping @Sendable () -> [ResolverConfiguration]) async {
        await resolver?.run(at: address, variable: MeshEnvironment.ofProcess) {
            await self.apply(parts())
        }
    }

    private func apply(_ parts: [ResolverConfiguration]) { names.apply(parts, isPartial: false) }
}
