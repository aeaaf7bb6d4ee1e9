internal import Concurrency
internal import MeshTransport
internal import Model
internal import NSM
internal import NetworkTypes
internal import SPIFFE
internal import Synchronization

/// Prefixes that IPAM servers give an endpoint, one each, so that endpoints of one service on several hosts give their clients
/// addresses of one network without clash.
final class SharedPools: Sendable {
    private struct Server: Sendable {
        let prefix: SharedPrefix
        /// Who runs while it is asked; nil: the connection to the manager, which runs anyway.
        let connector: PeerConnector?
        let address: SocketAddress
    }
    private let servers: [Server]
    private let terms: EndpointTerms
    private struct State {
        /// What was given, by server.
        var grants: [Int: SharedPrefix.Grant] = [:]
        /// Whether the endpoint gives addresses of it.
        var isReady = false
    }
    private let state = Mutex(State())
    private let former: FormerPrefixes
    private let service: String

    /// Nil for an endpoint that has prefixes of its own, and where no servers are named.
    init?(_ message: Upnp_NetworkServiceEndpoint, _ terms: EndpointTerms, _ context: SessionContext) {
        let addresses = Self.servers(of: message, context)
        guard terms.prefixes.isEmpty, !addresses.isEmpty else { return nil }
        self.terms = terms
        // By its name a session that takes the place of another one has its prefixes.
        service = message.networkService
        let service = service
        former = context.formerPrefixes
        let pattern = context.settings.prefixServerID
        servers = addresses.map { address in
            let isManager = address == context.manager.address
            let connector = isManager ? context.manager : PeerConnector(address, component: context.manager.component)
            let prefix = SharedPrefix(
                connector, excluding: terms.excluded, wish: context.formerPrefixes[service, address],
                service: service,
                isServer: { id in
                    guard let pattern else { return id?.isManagerOfHost == true }
                    return id.map { SPIFFEID.matches(pattern, $0.description) } ?? false
                })
            return Server(prefix: prefix, connector: isManager ? nil : connector, address: address)
        }
    }

    /// Those that the endpoint names, or its agent, and for a network of several endpoints else the manager.
    private static func servers(
        of message: Upnp_NetworkServiceEndpoint, _ context: SessionContext
    ) -> [SocketAddress] {
        let own = message.prefixServers.compactMap { SocketAddress(url: $0) }
        if !own.isEmpty { return own }
        let settings = context.settings.prefixServers
        return settings.isEmpty && message.vl3 ? [context.manager.address] : settings
    }

    /// Follows all servers until the task is cancelled.
    ///
    /// - Parameter changed: Called with what was given, and the pools of that, whenever all servers have answered and one has
    ///   given another prefix.
    func run(_ changed: @escaping @Sendable ([SharedPrefix.Grant], PointToPointIPAM) -> Void) async {
        // The newest alone counts, and an older one never comes behind it.
        let (views, view) = AsyncStream.makeStream(
            of: [SharedPrefix.Grant].self, bufferingPolicy: .bufferingNewest(1))
        await withDiscardingTaskGroup { group in
            for (number, server) in servers.enumerated() {
                if let connector = server.connector { group.addTask { await connector.run() } }
                group.addTask {
                    await server.prefix.run { grant in
                        self.former[self.service, server.address] = grant.prefix
                        self.state.withLock { state in
                            state.grants[number] = grant
                            guard state.grants.count == self.servers.count else { return }
                            view.yield(state.grants.sorted { $0.key < $1.key }.map(\.value))
                        }
                    }
                }
            }
            for await grants in views {
                changed(grants, terms.pools(grants))
                state.withLock { $0.isReady = true }
            }
        }
    }

    /// - Throws: ``EndpointRefusal`` as long as there are no addresses to give: the client comes back.
    func check() throws(EndpointRefusal) {
        guard !state.withLock({ $0.isReady }) else { return }
        throw EndpointRefusal("it has no prefix yet: \(troubles.first ?? "its IPAM has not answered")")
    }

    private var troubles: [String] { servers.compactMap(\.prefix.lastError) }

    /// For people.
    var facts: [String] {
        let prefixes = servers.compactMap { $0.prefix.grant.map { "\($0.prefix)" } }
        return (prefixes.isEmpty ? [] : ["shared prefixes \(prefixes.joined(separator: ", "))"]) + troubles
    }
}

/// The prefixes that an agent's endpoints had last: a change of an endpoint's declaration makes a new session of it, which must not
/// cost its clients their addresses.
final class FormerPrefixes: Sendable {
    private struct Key: Hashable {
        let service: String
        let server: SocketAddress
    }
    private let prefixes = Mutex<[Key: IPPrefix]>([:])

    subscript(service: String, server: SocketAddress) -> IPPrefix? {
        get { prefixes.withLock { $0[Key(service: service, server: server)] } }
        set { prefixes.withLock { $0[Key(service: service, server: server)] = newValue } }
    }
}
