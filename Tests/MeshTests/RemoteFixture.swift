import MeshTransport
import Logging
import NSM
import Netlink
import NetworkTypes
import SPIFFE
import TestSupport
import Testing

@testable import Mesh

/// A host of a test: its manager, with a network of its own for the tunnels. The managers reach each other by loopback.
struct TestHost {
    let name: String
    let manager: MeshManager
    let remote: SocketAddress
    let identity: FixedIdentity
    let socket: SocketAddress
    fileprivate let settings: MeshSettings
    fileprivate let task: Task<Void, any Error>
}

/// Several hosts on one network, with pods.
final class RemoteFixture {
    let mesh: MeshFixture
    let spaces = Spaces()
    private(set) var hosts: [TestHost] = []
    private var tasks: [Task<Void, any Error>] = []
    private var connectors: [Task<Void, Never>] = []
    private var clients: [Task<Void, Never>] = []

    init() throws {
        mesh = try MeshFixture()
        _ = try spaces.make("wire")
        try spaces.ip("wire", "link add br0 type bridge")
        try spaces.ip("wire", "link set br0 up")
    }

    /// Starts a host; its address is 192.0.2.NUMBER. Without an authority of its own it shares the test's.
    @discardableResult
    func host(
        _ name: String, peers: [SocketAddress] = [], registry: SocketAddress? = nil, mtu: Int = 1500,
        settings change: (inout RemoteSettings) -> Void = { _ in }
    ) throws -> TestHost {
        let number = hosts.count + 1
        let space = try spaces.make(name)
        try spaces.ip(
            name, "link add up0 mtu \(mtu) type veth peer name to-\(name) mtu \(mtu) netns \(spaces.names[0])")
        try spaces.ip("wire", "link set to-\(name) up master br0")
        try spaces.ip(name, "link set up0 up")
        try spaces.ip(name, "addr add 192.0.2.\(number)/24 dev up0")
        var remote = RemoteSettings(
            listen: .tcp(host: "127.0.0.1", port: 0), tunnelAddress: try address("192.0.2.\(number)"), peers: peers,
            registry: registry)
        change(&remote)
        let identity = try mesh.identity("\(name)/nsmgr")
        let socket = SocketAddress.unix("\(mesh.directory)/\(name).sock")
        var settings = MeshSettings(
            name: "\(name)-nsmgr", address: socket, security: .identity(identity), remote: remote, logger: mesh.logger)
        settings.host = space
        var rights = MeshRights()
        rights.managers = ["spiffe://example.org/*/nsmgr"]
        rights.tunnelSources = ["192.0.2.0/24", "2001:db8::/32", "fd00::/16"].compactMap { IPPrefix($0) }
        settings.rights = Rights(settings: rights, ownDomain: nil, host: name)
        let host = try start(name, identity, settings)
        hosts.append(host)
        return host
    }

    private func start(_ name: String, _ identity: FixedIdentity, _ settings: MeshSettings) throws -> TestHost {
        let manager = try MeshManager(settings)
        let task = Task { try await manager.run() }
        tasks.append(task)
        return TestHost(
            name: name, manager: manager, remote: try #require(manager.remoteAddress), identity: identity,
            socket: settings.address, settings: settings, task: task)
    }

    /// Ends the manager of a host, and starts another one in its place, which knows nothing but what the kernel has. Nobody may
    /// hold the former one: it listens as long as it is there.
    func restart(_ name: String) async throws {
        let place = try #require(hosts.firstIndex { $0.name == name })
        hosts[place].task.cancel()
        _ = await hosts[place].task.result
        var settings = hosts[place].settings
        settings.remote?.listen = hosts[place].remote
        let identity = hosts.remove(at: place).identity
        try await eventually("nobody listens there any more") { [settings] in
            guard let host = try? start(name, identity, settings) else { return false }
            hosts.insert(host, at: place)
            return true
        }
    }

    /// A host that was started.
    func named(_ name: String) throws -> TestHost { try #require(hosts.first { $0.name == name }) }

    /// A connection of a pod's program to the manager of its host.
    func connector(_ pod: String, at host: TestHost) throws -> PeerConnector {
        let connector = PeerConnector(host.socket, component: try mesh.component(pod))
        connectors.append(Task { await connector.run() })
        return connector
    }

    /// Starts an endpoint of the service `db` in a pod of its own.
    func endpoint(
        _ name: String, at host: TestHost, prefixes: String = "172.16.0.0/24,2001:db8::/64",
        payload: String = WellKnown.ethernet
    ) throws -> Task<Void, any Error> {
        _ = try spaces.make(name)
        let connector = try connector(name, at: host)
        let endpoint = NetworkServiceEndpoint(
            name: name, services: [.init(name: "db", payload: payload, ipam: PointToPointIPAM(prefixes))],
            socket: "\(mesh.directory)/\(name).sock", manager: connector, namespace: path(name))
        let task = Task { try await endpoint.run() }
        tasks.append(task)
        return task
    }

    /// Starts a client of the service `db` in a pod of its own.
    func client(_ name: String, at host: TestHost) throws -> NetworkServiceClient {
        _ = try spaces.make(name)
        let client = NetworkServiceClient(
            .init(id: "\(name)-0", networkService: "db", interfaceName: "nsm-db", namespace: path(name)),
            manager: try connector(name, at: host))
        clients.append(Task { await client.run() })
        return client
    }

    /// Calls of a component of this name to a listener, while `body` runs.
    func withCalls<Result>(
        _ name: String, to address: SocketAddress, _ body: (Calls) async throws -> Result
    ) async throws -> Result {
        let component = try mesh.component(name)
        let connection = try await ClientConnection.connect(
            to: address, security: component.security, timeout: .seconds(60), logger: mesh.logger)
        let running = Task { await connection.run() }
        defer { running.cancel() }
        let result = try await body(Calls(connection, component: component))
        connection.closeNow()
        return result
    }

    /// Leaves the clients' connections as they are.
    func stop() {
        for client in clients { client.cancel() }
    }

    /// The VXLAN identifier of a link.
    func vni(_ pod: String, _ link: String) -> Int? {
        let info = try? spaces.link(pod, link)["linkinfo"] as? [String: Any]
        return (info?["info_data"] as? [String: Any])?["id"] as? Int
    }

    /// The file of a pod's network namespace.
    func path(_ name: String) -> String {
        "/run/netns/\(spaces.names.first { $0.hasSuffix("-\(name)") } ?? name)"
    }

    func end() {
        stop()
        for task in tasks { task.cancel() }
        for connector in connectors { connector.cancel() }
        mesh.remove()
        spaces.remove()
    }
}
