internal import Concurrency
internal import GRPCCore
internal import Glibc
internal import MeshTransport
internal import NSM
internal import Synchronization

/// Answers what the mesh has: services, endpoints, connections and other hosts.
struct MeshStatus: Nsmagent_Mesh_MeshStatus.SimpleServiceProtocol {
    let manager: MeshManager

    /// The most entries of a list: enough for a host, and few enough to be looked at in a second.
    static let most = 10_000
    /// Entries of a part, whose messages then stay below the 4 MiB that clients of gRPC take: a name has at most 253 bytes.
    private static let partSize = 256
    /// Connections whose traffic is read in one go. Requests of clients come in between.
    static let readAtOnce = 64

    func status(
        request: Nsmagent_Mesh_StatusRequest, response: RPCWriter<Nsmagent_Mesh_StatusResponse>, context: ServerContext
    ) async throws {
        // Said here and not by closing the connection, so that the caller reads why.
        if let refusal = Self.refusal(ConnectionInfo.current?.credentials) {
            throw RPCError(code: .permissionDenied, message: refusal)
        }
        var (head, lists) = await manager.status()
        for list in lists {
            for part in list.parts(of: Self.partSize) {
                part(&head)
                try await response.write(head)
                head = Nsmagent_Mesh_StatusResponse()
            }
        }
        // An empty mesh has something to say of itself, too.
        if head != Nsmagent_Mesh_StatusResponse() { try await response.write(head) }
    }

    /// Who may ask: this host's root and the mesh's own user, with a socket that was made where the mesh is.
    static func refusal(_ peer: PeerCredentials?) -> String? {
        guard let peer else { return "the kernel does not say who asks" }
        guard peer.uid == 0 || peer.uid == geteuid() else { return "only root and the mesh's user may ask" }
        return peer.isOfHost ? nil : "only programs in the mesh's own network namespace may ask"
    }

    /// One list of an answer.
    enum List: Sendable {
        case services([Nsmagent_Mesh_Service])
        case endpoints([Nsmagent_Mesh_Endpoint])
        case connections([Nsmagent_Mesh_Connection])
        case peers([Nsmagent_Mesh_Peer])

        typealias Change = @Sendable (inout Nsmagent_Mesh_StatusResponse) -> Void

        /// The list in parts, each of which can be put into an answer.
        func parts(of size: Int) -> [Change] {
            switch self {
            case .services(let all): Self.parts(all, size) { part in { $0.services = part } }
            case .endpoints(let all): Self.parts(all, size) { part in { $0.endpoints = part } }
            case .connections(let all): Self.parts(all, size) { part in { $0.connections = part } }
            case .peers(let all): Self.parts(all, size) { part in { $0.peers = part } }
            }
        }

        private static func parts<Item>(_ all: [Item], _ size: Int, _ change: ([Item]) -> Change) -> [Change] {
            stride(from: 0, to: all.count, by: size).map { change(Array(all[$0..<min($0 + size, all.count)])) }
        }
    }
}

extension MeshManager {
    /// What the mesh has at the moment: what is said once, and the lists.
    func status() async -> (head: Nsmagent_Mesh_StatusResponse, lists: [MeshStatus.List]) {
        let rows = await requests.connectionRows()
        let counts = ConnectionCounts(rows)
        let endpoints = endpointRows(counts)
        let services = serviceRows(counts)
        var head = Nsmagent_Mesh_StatusResponse()
        head.name = component.name
        head.url = address.url
        head.remoteURL = remoteListener.flatMap { settings.remote?.ownURL($0) } ?? ""
        head.pid = getpid()
        let uptime = (ContinuousClock.now - requests.started).components
        head.uptime = Double(uptime.seconds) + Double(uptime.attoseconds) / 1e18
        head.serviceCount = UInt32(clamping: services.count)
        head.endpointCount = UInt32(clamping: endpoints.count)
        head.connectionCount = UInt32(clamping: requests.monitor.count)
        return (
            head,
            [
                .services(Array(services.prefix(MeshStatus.most))),
                .endpoints(Array(endpoints.prefix(MeshStatus.most))), .connections(rows), .peers(peerRows()),
            ]
        )
    }

    private func endpointRows(_ counts: ConnectionCounts) -> [Nsmagent_Mesh_Endpoint] {
        let all = store.allEndpoints + (settings.remote == nil ? [] : requests.others.all)
        return all.map { entry in
            var row = Nsmagent_Mesh_Endpoint()
            row.name = entry.endpoint.name
            row.services = entry.endpoint.networkServiceNames.sorted()
            row.host = entry.host?.url ?? ""
            row.registrant = entry.registrant?.identity.description ?? ""
            row.expiresSeconds = entry.endpoint.expiry?.parts.seconds ?? 0
            row.connections = counts.endpoints[.init(entry.endpoint.name, row.host), default: 0]
            return row
        }.sorted { ($0.host, $0.name) < ($1.host, $1.name) }
    }

    private func serviceRows(_ counts: ConnectionCounts) -> [Nsmagent_Mesh_Service] {
        let others = requests.others
        let names = store.serviceNames.union(settings.remote == nil ? [] : others.serviceNames)
            .union(counts.services.keys)
        return names.sorted().map { name in
            var row = Nsmagent_Mesh_Service()
            row.name = name
            row.payload = (store.service(name) ?? others.service(name))?.payload ?? ""
            let remote = settings.remote == nil ? 0 : others.candidates(name).count
            row.endpoints = UInt32(clamping: store.endpointCount(of: name) + remote)
            row.connections = counts.services[name, default: 0]
            return row
        }
    }

    private func peerRows() -> [Nsmagent_Mesh_Peer] {
        guard let remote = settings.remote else { return [] }
        let shared = [remote.registry].compactMap { $0 }
        let rows = Set(remote.peers + shared).sorted { $0.url < $1.url }.map { address in
            peerRow(.registry(address), isShared: address == remote.registry)
        }
        guard let etcd = remote.etcd else { return rows }
        var row = peerRow(.etcd(etcd.text), isShared: true)
        row.meshes = requests.others.meshes
        return rows + [row]
    }

    private func peerRow(_ source: RegistrySource, isShared: Bool) -> Nsmagent_Mesh_Peer {
        let seen = requests.others.standing(of: source)
        var row = Nsmagent_Mesh_Peer()
        row.url = "\(source)"
        row.isSharedRegistry = isShared
        row.isReached = seen.since != nil
        row.sinceSeconds = seen.since?.parts.seconds ?? 0
        row.error = seen.trouble ?? ""
        row.endpoints = UInt32(clamping: seen.endpoints)
        return row
    }
}

/// How many connections services and endpoints have.
private struct ConnectionCounts {
    struct Endpoint: Hashable {
        let name: String
        let host: String

        init(_ name: String, _ host: String) {
            self.name = name
            self.host = host
        }
    }
    var services: [String: UInt32] = [:]
    var endpoints: [Endpoint: UInt32] = [:]

    init(_ rows: [Nsmagent_Mesh_Connection]) {
        for row in rows {
            services[row.service, default: 0] += 1
            endpoints[Endpoint(row.endpoint.name, row.endpoint.host), default: 0] += 1
        }
    }
}

extension MeshRequests {
    /// The connections, by service and client.
    func connectionRows() async -> [Nsmagent_Mesh_Connection] {
        let order = { (connection: NSMConnection) -> (String, String, String) in
            (connection.networkService, connection.path.pathSegments.first?.id ?? "", connection.id)
        }
        let all = Array(monitor.connections.values.sorted { order($0) < order($1) }.prefix(MeshStatus.most))
        let known = known.withLock { $0 }
        let names = NamespaceNames()
        var rows: [Nsmagent_Mesh_Connection] = []
        for start in stride(from: 0, to: all.count, by: MeshStatus.readAtOnce) {
            let part = all[start..<min(start + MeshStatus.readAtOnce, all.count)]
            let looks = await forwarder.look(at: part.map(\.id))
            for connection in part {
                rows.append(row(connection, known[connection.id], looks[connection.id], names))
            }
        }
        return rows
    }

    private func row(
        _ connection: NSMConnection, _ known: Known?, _ look: Forwarder.Look?, _ names: NamespaceNames
    ) -> Nsmagent_Mesh_Connection {
        var row = Nsmagent_Mesh_Connection()
        row.id = connection.id
        row.clientID = connection.path.pathSegments.first?.id ?? ""
        row.service = connection.networkService
        row.sinceSeconds = known?.since.parts.seconds ?? 0
        row.owner = monitor.owner(connection.id)?.description ?? ""
        row.isUp = connection.state == .up
        row.client = .init(connection.mechanism, names)
        row.client.name = connection.path.pathSegments.first?.name ?? ""
        row.client.addresses = connection.context.ipContext.srcIpAddrs
        switch known?.place {
        case .host(let address): row.endpoint.host = address.url
        case .endpoint, nil: row.endpoint = .init(known?.answer.mechanism ?? NSMMechanism(), names)
        }
        row.endpoint.name = connection.networkServiceEndpointName
        row.endpoint.addresses = connection.context.ipContext.dstIpAddrs
        guard let look else { return row }
        row.vni = look.vni
        row.mtu = look.mtu
        if let traffic = look.traffic {
            row.hasTraffic_p = true
            row.receivedBytes = traffic.receivedBytes
            row.sentBytes = traffic.sentBytes
        }
        return row
    }
}

extension Nsmagent_Mesh_End {
    /// Where a mechanism says that an end is.
    fileprivate init(_ mechanism: NSMMechanism, _ names: NamespaceNames) {
        self.init()
        if mechanism.type == WellKnown.kernel {
            interface = mechanism.interfaceName
            guard let inode = Inode(url: mechanism.inodeURL) else { return }
            namespaceInode = inode.number
            namespace = names[inode]
            isOwnNamespace = PeerNamespace.own?.inode == inode
        } else {
            host = TunnelMechanism(mechanism).map { "\($0.source)" } ?? ""
        }
    }
}
