internal import DescriptorTransport
internal import GRPCCore
internal import Logging
internal import SPIFFE
internal import SwiftProtobuf
internal import Synchronization

/// An endpoint: listens on a Unix socket, registers its services and serves their clients.
///
/// When the task of ``run()`` is cancelled the registration ends by itself; ``unregister()`` ends it at once.
public final class NetworkServiceEndpoint: Sendable {
    /// The name it asks for.
    public let name: String
    /// The states as they come; who is slow gets the newest.
    public let states: AsyncStream<State>

    private let services: [Service]
    private let manager: PeerConnector
    private let registry: RegistryClient
    private let socket: String
    private let registersServices: Bool
    private let connections: EndpointConnections
    private let tell: AsyncStream<State>.Continuation
    private let memory: Mutex<Memory>

    private struct Memory {
        var registered: NSMNetworkServiceEndpoint?
        var lastError: String?
    }

    /// Describes an endpoint; nothing listens yet.
    ///
    /// - Parameters:
    ///   - name: Unique in the registry. It must differ from the names of those that ask.
    ///   - services: What it offers. Names must differ.
    ///   - socket: The path of its socket. Descriptors of it travel, so that it need not be visible elsewhere.
    ///   - manager: The manager it registers with.
    ///   - namespace: The network namespace of its interfaces, as a path.
    ///   - registersServices: Whether the services themselves are registered too. A service belongs to the identity that
    ///     registered it first, so of replicas with different identities only one may.
    public init(
        name: String, services: [Service], socket: String, manager: PeerConnector,
        namespace: String = "/proc/self/ns/net", registersServices: Bool = true
    ) {
        self.name = name
        self.services = services
        self.socket = socket
        self.manager = manager
        self.registersServices = registersServices
        registry = RegistryClient(manager)
        var component = manager.component
        component.name = name
        let changed = Callback<Void>()
        connections = EndpointConnections(services, component: component, namespace: namespace) { changed(()) }
        memory = Mutex(Memory())
        (states, tell) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        changed.set { [weak self] _ in self?.told() }
    }

    /// How it stands now.
    public var state: State {
        memory.withLock { memory in
            State(
                registeredUntil: memory.registered?.expirationTime.unixTime, name: memory.registered?.name ?? name,
                lastError: memory.lastError, connections: connections.monitor.connections)
        }
    }

    private func told() { tell.yield(state) }

    // MARK: - Life

    /// Listens, registers and serves until the task is cancelled.
    ///
    /// - Throws: when the socket can't be had.
    public func run() async throws {
        let listener = try ServerListener(.unix(socket), mode: 0o777)
        let place = try Descriptor.open(socket, pathOnly: true)
        let names = ["networkservice.NetworkService", "connection.MonitorConnection"]
        let server = RPCServer(
            listener, security: manager.component.security,
            services: [connections, MonitorService(connections.monitor), HealthService(names)],
            logger: manager.component.logger)
        defer { connections.end() }
        try await withThrowingDiscardingTaskGroup { group in
            group.addTask { try await server.run() }
            group.addTask { await self.keepRegistered(place) }
        }
    }

    /// Takes the registration back.
    ///
    /// - Throws: ``NSMError`` when the manager can't be told; the registration then ends by itself.
    public func unregister() async throws {
        guard let registered = memory.withLock({ $0.registered }) else { return }
        let place = try? Descriptor.open(socket, pathOnly: true)
        try await registry.unregister(registered, socket: place)
        memory.withLock { $0.registered = nil }
        told()
    }

    // MARK: - Registration

    private func keepRegistered(_ socket: Descriptor) async {
        var backoff = Backoff()
        while !Task.isCancelled {
            do {
                let registered = try await register(socket)
                backoff.reset()
                memory.withLock { memory in
                    memory.registered = registered
                    memory.lastError = nil
                }
                told()
                await waitForRenewal(registered)
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

    private func register(_ socket: Descriptor) async throws -> NSMNetworkServiceEndpoint {
        let isFirst = memory.withLock { $0.registered == nil || $0.lastError != nil }
        if registersServices, isFirst {
            for service in services { try await register(service) }
        }
        var message = NSMNetworkServiceEndpoint()
        message.name = memory.withLock { $0.registered?.name } ?? name
        message.networkServiceNames = services.map(\.name)
        for service in services {
            message.networkServiceLabels[service.name] = .with { $0.labels = service.labels }
        }
        message.url = "unix://\(self.socket)"
        let answer = try await registry.register(message, socket: socket)
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
        } catch let error as NSMError where error.code == .refused {
            manager.component.logger.info(
                "the service is not ours to register", metadata: ["service": "\(service.name)", "error": "\(error)"])
        }
    }

    /// Returns when two thirds of the registration's time are over, or the registry is gone.
    private func waitForRenewal(_ registered: NSMNetworkServiceEndpoint) async {
        let end = registered.expirationTime.unixTime ?? UnixTime.now.adding(.seconds(60))
        let wait = max(end.duration(since: .now) * 2 / 3, .milliseconds(200))
        await withTaskGroup(of: Void.self) { group in
            group.addTask { try? await Task.sleep(for: wait, tolerance: wait / 50) }
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
            await group.next()
            group.cancelAll()
        }
    }
}
