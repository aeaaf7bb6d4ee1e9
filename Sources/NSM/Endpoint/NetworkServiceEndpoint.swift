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

    private let services: [Service]
    private let manager: PeerConnector
    private let registry: RegistryClient
    private let address: SocketAddress
    private let registersServices: Bool
    private let connections: EndpointConnections
    private let tick: AsyncStream<Void>.Continuation
    private let memory: Mutex<Memory>

    private struct Memory {
        var registered: NSMNetworkServiceEndpoint?
        var lastError: String?
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
        self.services = services
        self.address = address ?? .unix(Self.temporarySocket())
        self.manager = manager
        self.registersServices = registersServices
        registry = RegistryClient(manager)
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
    public var state: State { memory.withLock { state($0, connections.monitor.connections) } }

    private func state(_ memory: Memory, _ connections: [String: NSMConnection]) -> State {
        State(
            registeredUntil: memory.registered?.expirationTime.timestamp, name: memory.registered?.name ?? name,
            lastError: memory.lastError, connections: connections)
    }

    /// How it stands now, with no connections but those that changed since the last call; and the ids of those that are gone.
    /// The first call gives all. For one who follows: with thousands of clients, one that comes is not the work of all.
    package func takeChanges() -> (state: State, gone: Set<String>) {
        memory.withLock { memory in
            defer { memory.changed = [] }
            guard let changed = memory.changed else { return (state(memory, connections.monitor.connections), []) }
            var (found, gone): ([String: NSMConnection], Set<String>) = ([:], [])
            for id in changed {
                if let connection = connections.monitor.connection(id) {
                    found[id] = connection
                } else {
                    gone.insert(id)
                }
            }
            return (state(memory, found), gone)
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
    /// - Throws: `TransportError` when the socket can't be had.
    public func run() async throws { try await serve { await Task.untilCancelled() } }

    /// Listens, registers and serves until `end` returns; then takes the registration back.
    ///
    /// - Parameter end: Waits for the reason to end, such as ``terminationSignal()``.
    /// - Throws: `TransportError` when the socket can't be had; ``NSMError`` when the manager can't be told of the end.
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
                    registering.addTask { await self.keepRegistered(place, at: listener.address) }
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
    /// - Throws: ``NSMError`` when the manager can't be told; the registration then ends by itself.
    public func unregister() async throws {
        guard let registered = memory.withLock({ $0.registered }) else { return }
        let place = try? file()
        try await registry.unregister(registered, socket: place)
        memory.withLock { $0.registered = nil }
        told()
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

    // MARK: - Registration

    private func keepRegistered(_ socket: Descriptor?, at address: SocketAddress) async {
        var backoff = Backoff()
        while !Task.isCancelled {
            do {
                let registered = try await register(socket, at: address)
                backoff.reset()
                note(registered)
                try await renew(registered, socket, at: address)
            } catch {
                if Task.isCancelled { return }
                let text = "\(error)"
                let isNew = memory.withLock { memory in
                    defer { memory.lastError = text }
                    return memory.lastError != text
                }
                if isNew {
                    manager.component.logger.warning(
                        "registration failed", metadata: ["endpoint": "\(name)", "error": "\(text)"])
                }
                told()
                guard (try? await Task.sleep(for: backoff.wait())) != nil else { return }
            }
        }
    }

    private func register(_ socket: Descriptor?, at address: SocketAddress) async throws -> NSMNetworkServiceEndpoint {
        let (isFirst, isAgain) = memory.withLock { ($0.registered == nil || $0.lastError != nil, $0.lastError != nil) }
        if registersServices, isFirst {
            for service in services { try await register(service) }
        }
        var message = NSMNetworkServiceEndpoint()
        message.name = memory.withLock { $0.registered?.name } ?? name
        message.networkServiceNames = services.map(\.name)
        for service in services {
            message.networkServiceLabels[service.name] = .with { $0.labels = service.labels }
        }
        message.url = address.url
        let answer = try await registry.register(message, socket: socket)
        if registersServices, isAgain {
            // A registry that was ending may have taken the services, and its successor the endpoint.
            for service in services { try await register(service) }
        }
        if isFirst {
            manager.component.logger.info(
                "registered",
                metadata: [
                    "endpoint": "\(answer.name)", "services": "\(message.networkServiceNames.joined(separator: ", "))",
                ])
        }
        return answer
    }

    /// A service belongs to whoever registered it first. An endpoint of somebody else serves it all the same.
    private func register(_ service: Service) async throws {
        do {
            _ = try await registry.register(
                .with { message in
                    message.name = service.name
                    message.payload = service.payload
                })
        } catch let error as NSMError where error.code == .forbidden || error.code == .refused {
            manager.component.logger.info(
                "the service is not ours to register", metadata: ["service": "\(service.name)", "error": "\(error)"])
        }
    }

    private func note(_ registered: NSMNetworkServiceEndpoint) {
        memory.withLock { memory in
            memory.registered = registered
            memory.lastError = nil
        }
        told()
    }

    /// How often a registration is renewed before its watch moves to the newest transport connection.
    private static let renewals = 15

    /// Renews the registration whenever two thirds of its time are over, and returns when the registry is gone or has
    /// forgotten it. The watch over that goes on across renewals.
    private func renew(
        _ registered: NSMNetworkServiceEndpoint, _ socket: Descriptor?, at address: SocketAddress
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            defer { group.cancelAll() }
            group.addTask {
                var registered = registered
                for _ in 0..<Self.renewals {
                    let end = registered.expirationTime.timestamp ?? Timestamp.now.advanced(by: .seconds(60))
                    let left = end.since(.now) * 2 / 3
                    let wait = min(max(left, .milliseconds(200)), .seconds(86400))
                    try await Task.sleep(for: wait, tolerance: wait / 50)
                    registered = try await self.register(socket, at: address)
                    self.note(registered)
                }
            }
            group.addTask {
                var query = NSMNetworkServiceEndpoint()
                query.name = registered.name
                try? await self.registry.watch(query) { response in
                    if response.deleted { throw NSMError(.refused, "the registration was removed") }
                }
                // The registry is gone, or has forgotten us: register again, but not in a hot loop.
                self.memory.withLock { $0.lastError = $0.lastError ?? "the registry ended its watch" }
                try? await Task.sleep(for: .milliseconds(200))
            }
            try await group.next()
        }
    }
}
