internal import Concurrency
internal import MeshTransport
internal import GRPCCore
internal import Logging
internal import SPIFFE
internal import SwiftProtobuf
internal import Synchronization

/// An endpoint: listens, registers its services and serves their clients.
///
/// When the task of ``run()`` is cancelled the registration ends by itself; ``run(until:)`` and ``unregister()`` end it at
/// once.
public final class NetworkServiceEndpoint: Sendable {
    /// The name it asks for.
    public let name: String
    /// The states as they come, to the first who asks for them; who is slow gets the newest.
    public var states: AsyncStream<State> {
        AsyncStream { [ticks, weak self] in
            for await _ in ticks { return self?.state }
            return nil
        }
    }
    /// Says that ``takeChanges()`` has something, to the first who asks.
    package let ticks: AsyncStream<Void>

    private let manager: PeerConnector
    private let registration: EndpointRegistration
    private let address: SocketAddress
    private let connections: EndpointConnections
    private let tick: AsyncStream<Void>.Continuation
    private let memory: Mutex<Memory>

    private struct Memory {
        /// Connections that changed since they were last taken; nil: they never were.
        var changed: Set<String>?
    }

    /// Describes an endpoint; nothing listens yet.
    ///
    /// - Parameters:
    ///   - name: Unique in the registry. It must differ from the names of those that ask.
    ///   - services: What it offers. Names must differ.
    ///   - address: Where it listens; a new Unix socket in the directory for temporary files unless given. A descriptor of
    ///     a socket travels, so that it need not be visible elsewhere. Over TCP no namespace can be sent.
    ///   - manager: The manager it registers with.
    ///   - namespace: The network namespace of its interfaces, as a path.
    ///   - registersServices: Whether the services themselves are registered too. A service belongs to the identity that
    ///     registered it first, so of replicas with different identities only one may.
    public init(
        name: String, services: [Service], address: SocketAddress? = nil, manager: PeerConnector,
        namespace: String = "/proc/self/ns/net", registersServices: Bool = true
    ) {
        self.name = name
        self.address = address ?? .unix(Self.temporarySocket())
        self.manager = manager
        let registrationChanged = Callback<Void>()
        registration = EndpointRegistration(
            name: name, offers: services.map { .init(service: $0.name, labels: $0.labels, payload: $0.payload) },
            manager: manager, registersServices: registersServices
        ) { registrationChanged(()) }
        var component = manager.component
        component.name = name
        let changed = Callback<String>()
        connections = EndpointConnections(
            services, component: component, namespace: namespace,
            callers: { info in
                // The manager of a host asks by itself. Elsewhere forwarders do, with identities of their own.
                guard let known = manager.peerID, known.isManagerOfHost, info.peer?.id != known else { return nil }
                return "\(PeerIdentity(info)) is not \(known), where this endpoint is registered"
            }
        ) { changed($0) }
        memory = Mutex(Memory())
        (ticks, tick) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        changed.set { [weak self] id in self?.told(id) }
        registrationChanged.set { [weak self] _ in self?.told() }
    }

    /// The same, with the path of a Unix socket.
    public convenience init(
        name: String, services: [Service], socket: String, manager: PeerConnector,
        namespace: String = "/proc/self/ns/net", registersServices: Bool = true
    ) {
        self.init(
            name: name, services: services, address: .unix(socket), manager: manager, namespace: namespace,
            registersServices: registersServices)
    }

    /// How it stands now.
    public var state: State { state(connections.monitor.connections) }

    /// How it stands now, with no connections.
    package var standing: State { state([:]) }

    private func state(_ connections: [String: NSMConnection]) -> State {
        let status = registration.status
        return State(
            registeredUntil: status.registered?.expirationTime.timestamp, name: status.registered?.name ?? name,
            lastError: status.lastError, connections: connections)
    }

    /// How it stands now, with no connections but those that changed since the last call; and the ids of those that are gone.
    /// The first call gives all. For one who follows: with thousands of clients, one that comes is not the work of all.
    package func takeChanges() -> (state: State, gone: Set<String>) {
        memory.withLock { memory in
            defer { memory.changed = [] }
            guard let changed = memory.changed else { return (state(connections.monitor.connections), []) }
            var (found, gone): ([String: NSMConnection], Set<String>) = ([:], [])
            for id in changed {
                if let connection = connections.monitor.connection(id) {
                    found[id] = connection
                } else {
                    gone.insert(id)
                }
            }
            return (state(found), gone)
        }
    }

    private func told() { tick.yield() }

    private func told(_ id: String) {
        memory.withLock { _ = $0.changed?.insert(id) }
        told()
    }

    // MARK: - Life

    /// Listens, registers and serves until the task is cancelled.
    ///
    /// - Throws: `TransportError` when the socket is not available.
    public func run() async throws { try await serve { await Task.untilCancelled() } }

    /// Listens, registers and serves until `end` returns; then takes the registration back.
    ///
    /// - Parameter end: Waits for the reason to end, such as ``terminationSignal()``.
    /// - Throws: `TransportError` when the socket is not available; ``NSMError`` when the manager can't unregister it.
    public func run(until end: @escaping @Sendable () async -> Void) async throws { try await serve(until: end) }

    private func serve(until end: @escaping @Sendable () async -> Void) async throws {
        // Who has no identities to tell peers by lets the own user in alone.
        let mode: UInt32 = manager.component.isSecure ? 0o777 : 0o600
        let listener = try ServerListener(address, mode: mode)
        let place = try file()
        let names = ["networkservice.NetworkService", "connection.MonitorConnection"]
        let server = RPCServer(
            listener, security: manager.component.security,
            services: [connections, MonitorService(connections.monitor), HealthService(names)],
            takesDescriptors: false, logger: manager.component.logger)
        defer { connections.end() }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run() }
            group.addTask {
                await withTaskGroup(of: Void.self) { registering in
                    registering.addTask { await self.registration.run(place, at: listener.address) }
                    registering.addTask { await end() }
                    await registering.next()
                    registering.cancelAll()
                }
                // Clients that come until then are still served.
                if !Task.isCancelled { try await self.unregister() }
            }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    /// A path that no other endpoint has.
    private static func temporarySocket() -> String {
        let directory = MeshEnvironment.ofProcess("TMPDIR") ?? "/tmp"
        return "\(directory)/nsm-\(String(UInt64.random(in: 0...UInt64.max), radix: 16)).sock"
    }

    /// The socket's file; nil over TCP.
    private func file() throws -> Descriptor? {
        guard case .unix(let path) = address else { return nil }
        return try Descriptor.open(path, pathOnly: true)
    }

    /// Takes the registration back.
    ///
    /// - Throws: ``NSMError`` when unregistering at the manager fails; the registration then expires.
    public func unregister() async throws { try await registration.unregister(try? file()) }

    /// Replaces the pools that the clients of a service get addresses from. Those that are connected keep what lies in the new
    /// ones, and are asked to come for the rest; no connection is dropped.
    ///
    /// - Parameters:
    ///   - addresses: The new pools.
    ///   - service: The service's name; one that is not offered is left alone.
    public func replace(addresses: PointToPointIPAM, of service: String) {
        connections.replace(addresses: addresses, of: service)
    }

    /// Replaces the policy routes or name servers that the clients of a service are given. Those that are connected are asked
    /// to come for them; no connection is dropped.
    ///
    /// - Parameters:
    ///   - policies: In the order of their rules; each `from` is also one of the clients' addresses. Nil: as they were.
    ///   - dns: Nil: as they were.
    ///   - service: The service's name; one that is not offered is left alone.
    public func replace(policies: [NSMPolicyRoute]? = nil, dns: [NSMDNSConfig]? = nil, of service: String) {
        connections.replace(policies: policies, dns: dns, of: service)
    }

    /// Asks clients of a service to come for what admissions give them now; no connection is dropped.
    ///
    /// - Parameters:
    ///   - service: The service's name; one that is not offered is left alone.
    ///   - isConcerned: Which of them, by the connections as they are now.
    package func refresh(clientsOf service: String, where isConcerned: (NSMConnection) -> Bool) {
        connections.refresh(clientsOf: service, where: isConcerned)
    }

    /// Asks those clients of a service once more who have not come since they were asked.
    ///
    /// - Returns: how many those are.
    package func refreshAgain(clientsOf service: String) -> Int { connections.refreshAgain(clientsOf: service) }

    /// Says that clients of a service were asked to come, once for those that have not yet, and then whenever some are.
    package func asks(of service: String) -> AsyncStream<Void> { connections.asks(of: service) }
}
