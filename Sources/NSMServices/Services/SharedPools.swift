internal import Concurrency
internal import NSM
internal import NetworkTypes
internal import Synchronization

/// Prefixes that IPAM servers give an endpoint, one each, so that endpoints of one service on several hosts give their clients
/// addresses of one network without clash.
final class SharedPools: Sendable {
    private struct Server: Sendable {
        let prefix: SharedPrefix
        /// Who runs while it is asked; nil: the connection to the manager, which runs anyway.
        let connector: PeerConnector?
    }
    private let servers: [Server]
    private let terms: EndpointTerms
    /// What was given, by server.
    private let grants: Mutex<[Int: SharedPrefix.Grant]> = Mutex([:])

    /// Nil for an endpoint that has prefixes of its own, and where no servers are named.
    init?(_ terms: EndpointTerms, _ context: SessionContext) {
        guard !terms.hasPrefixes, !context.settings.prefixServers.isEmpty else { return nil }
        self.terms = terms
        servers = context.settings.prefixServers.map { address in
            if address == context.manager.address {
                return Server(prefix: SharedPrefix(context.manager), connector: nil)
            }
            let connector = PeerConnector(address, component: context.manager.component)
            return Server(prefix: SharedPrefix(connector), connector: connector)
        }
    }

    /// Follows all servers until the task is cancelled.
    ///
    /// - Parameter changed: Called with the pools whenever all servers have answered and one has given another prefix.
    func run(_ changed: @escaping @Sendable (PointToPointIPAM) -> Void) async {
        await withDiscardingTaskGroup { group in
            for (number, server) in servers.enumerated() {
                if let connector = server.connector { group.addTask { await connector.run() } }
                group.addTask {
                    await server.prefix.run { grant in
                        let all = self.grants.withLock { grants in
                            grants[number] = grant
                            return grants.count == self.servers.count ? grants : [:]
                        }
                        guard !all.isEmpty else { return }
                        changed(self.terms.pools(all.sorted { $0.key < $1.key }.map(\.value)))
                    }
                }
            }
        }
    }

    /// - Throws: ``EndpointRefusal`` as long as there are no addresses to give: the client comes back.
    func check() throws(EndpointRefusal) {
        guard grants.withLock({ $0.count }) < servers.count else { return }
        throw EndpointRefusal("it has no prefix yet: \(troubles.first ?? "its IPAM has not answered")")
    }

    private var troubles: [String] { servers.compactMap(\.prefix.lastError) }

    /// For people.
    var facts: [String] {
        let prefixes = servers.compactMap { $0.prefix.grant.map { "\($0.prefix)" } }
        return (prefixes.isEmpty ? [] : ["shared prefixes \(prefixes.joined(separator: ", "))"]) + troubles
    }
}
