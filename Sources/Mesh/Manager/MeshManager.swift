internal import CLinux
public import DescriptorTransport
internal import GRPCCore
internal import Logging
internal import NSM
internal import Netlink
internal import NetworkTypes
internal import SPIFFE
internal import SwiftProtobuf
internal import Synchronization

/// The manager of one host: registry, choice of endpoints, and connections made in the kernel.
///
/// When it stops, connections and traffic stay. After a start it takes them over as their clients refresh them.
public final class MeshManager: Sendable {
    private let settings: MeshSettings
    private let component: Component
    private let listener: ServerListener
    private let store: RegistryStore
    private let requests: MeshRequests

    /// Takes hold of the socket; nothing is served yet.
    ///
    /// - Throws: `TransportError` when there is another manager.
    public init(_ settings: MeshSettings) throws {
        self.settings = settings
        component = settings.component
        listener = try ServerListener(settings.address, mode: settings.socketMode)
        let gone = Callback<String>()
        store = RegistryStore { gone($0) }
        requests = MeshRequests(settings, store)
        gone.set { [weak requests] name in requests?.endpointGone(name) }
    }

    /// Where it listens.
    public var address: SocketAddress { listener.address }

    /// Serves until the task is cancelled.
    ///
    /// - Throws: when it can't serve.
    public func run() async throws {
        let names = [
            "networkservice.NetworkService", "connection.MonitorConnection", "registry.NetworkServiceRegistry",
            "registry.NetworkServiceEndpointRegistry",
        ]
        let server = RPCServer(
            listener, security: settings.security,
            services: [
                requests, MonitorService(requests.monitor), ServiceRegistry(store: store, component: component),
                EndpointRegistry(store: store, component: component), HealthService(names),
            ], logger: settings.logger)
        settings.logger.info(
            "the mesh is ready", metadata: ["name": "\(settings.name)", "at": "\(listener.address.url)"])
        defer { requests.end() }
        try await withThrowingDiscardingTaskGroup { group in
            group.addTask { await self.requests.removeLeftovers() }
            try await server.run()
            group.cancelAll()
        }
    }
}
