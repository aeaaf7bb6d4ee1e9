internal import Concurrency
internal import CLinux
public import MeshTransport
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
    let settings: MeshSettings
    let component: Component
    private let listener: ServerListener
    /// Where other hosts' managers connect.
    let remoteListener: ServerListener?
    let store: RegistryStore
    let requests: MeshRequests
    private let serving = Mutex(false)

    /// Opens the socket; nothing is served yet.
    ///
    /// - Throws: `TransportError` when there is another manager, `NSMError` when other hosts can't be joined like this.
    public init(_ settings: MeshSettings) throws {
        self.settings = settings
        component = settings.component
        if let remote = settings.remote { try remote.check(isSecure: component.isSecure) }
        remoteListener = try settings.remote?.listen.map { try ServerListener($0) }
        if let remote = settings.remote, let etcd = remote.etcd, let url = remoteListener.flatMap(remote.ownURL) {
            _ = try EtcdRegistry.ownRecord(etcd, name: component.name, url: url)
        }
        listener = try ServerListener(settings.address, mode: settings.rights.socketMode)
        let gone = Callback<RegistryStore.Gone>()
        store = RegistryStore { gone($0) }
        requests = try MeshRequests(settings, store)
        gone.set { [weak requests] endpoint in requests?.endpointGone(endpoint) }
    }

    /// Where it listens.
    public var address: SocketAddress { listener.address }

    /// Where it listens for other hosts; nil: nowhere.
    public var remoteAddress: SocketAddress? { remoteListener?.address }

    /// Whether it serves now.
    var isServing: Bool { serving.withLock { $0 } }

    /// Brings up to date what is not counted as it happens.
    func collect() async {
        await requests.collect()
        requests.measures?.set("nsm_mesh_endpoints", to: store.endpointCount)
        requests.measures?.set("nsm_mesh_services", to: store.serviceNames.count)
    }

    /// Serves until the task is cancelled.
    ///
    /// - Throws: when it can't serve.
    public func run() async throws {
        let names = [
            "networkservice.NetworkService", "connection.MonitorConnection", "registry.NetworkServiceRegistry",
            "registry.NetworkServiceEndpointRegistry",
        ]
        let remoteURL = remoteListener.flatMap { settings.remote?.ownURL($0) }
        var services: [any RegistrableRPCService] = [
            requests, MonitorService(requests.monitor),
            ServiceRegistry(store: store, component: component, rights: settings.rights),
            EndpointRegistry(
                store: store, component: component, rights: settings.rights, others: requests.others,
                remoteURL: remoteURL),
            HealthService(names),
        ]
        let prefixes = settings.prefixes?.service(requests)
        if let prefixes { services.append(prefixes.service) }
        let servers = [listener, remoteListener].compactMap { $0 }.map { listener in
            RPCServer(
                listener, security: settings.security, services: services,
                interceptors: settings.interceptors + [RightsInterceptor(rights: settings.rights)],
                admission: settings.rights.admission,
                logger: settings.logger)
        }
        var metadata: Logger.Metadata = ["name": "\(settings.name)", "at": "\(listener.address.url)"]
        if let remoteURL { metadata["for-hosts"] = "\(remoteURL)" }
        settings.logger.info("the mesh is ready", metadata: metadata)
        serving.withLock { $0 = true }
        defer {
            serving.withLock { $0 = false }
            requests.end()
        }
        try await withThrowingDiscardingTaskGroup { group in
            group.addTask { await self.requests.removeLeftovers() }
            for server in servers { group.addTask { try await server.run() } }
            if let prefixes { group.addTask { await prefixes.run() } }
            guard let remote = settings.remote else { return }
            let registries = RemoteRegistries(
                settings: remote, ownURL: remoteURL, component: component, store: store, endpoints: requests.others,
                peers: requests.peers, rights: settings.rights)
            group.addTask { await registries.run() }
        }
    }
}
