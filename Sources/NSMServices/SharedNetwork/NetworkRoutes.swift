internal import NSM
internal import NetworkTypes

/// The routes that connections of an endpoint of a network (vL3) should have, made once for many connections to look at.
struct NetworkRoutes: Sendable {
    private let clients: Set<String>
    private let others: Set<String>

    /// - Parameters:
    ///   - clients: What clients are led to.
    ///   - others: What other endpoints are.
    init(clients: [IPPrefix], others: [IPPrefix]) {
        self.clients = Set(clients.map { "\($0)" })
        self.others = Set(others.map { "\($0)" })
    }

    /// Whether a connection has other routes than it should. The endpoint's addresses are routes, too.
    func areLacking(in connection: NSMConnection) -> Bool {
        let ip = connection.context.ipContext
        let addresses = Set(ip.dstIpAddrs)
        let wanted = connection.context.networkOrigin == nil ? clients : others
        let found = Set(ip.srcRoutes.map(\.prefix)).subtracting(addresses)
        let missing = wanted.count - found.count - addresses.count { wanted.contains($0) }
        return missing != 0 || !found.isSubset(of: wanted)
    }
}
