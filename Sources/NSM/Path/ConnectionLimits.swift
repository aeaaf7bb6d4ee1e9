/// Limits on the size of a connection. A message beyond them is refused, as each list costs its receiver memory.
///
/// Far above what clients and endpoints of today need.
package enum ConnectionLimits {
    /// Addresses of one side.
    package static let addresses = 256
    /// Routes of one side, and those of all policies together.
    package static let routes = 1024
    /// Neighbours.
    package static let neighbours = 1024
    /// Policy routes.
    package static let policies = 128
    /// Prefixes that no addresses are to be taken from.
    package static let excludedPrefixes = 16384
    /// Name servers and search domains together.
    package static let nameServers = 128
    /// Labels, parameters of a mechanism, metrics of a segment and entries of the extra context: of each.
    package static let labels = 256
    /// Mechanisms to choose from.
    package static let mechanisms = 32
    /// Bytes of a name: of a service, an endpoint, a segment or an id. Source: RFC 1123, section 2.1, for names of domains.
    package static let name = 253
    /// Bytes of one address, prefix, port or MAC as text.
    static let text = 64

    /// What is too much in a connection; nil when nothing is.
    package static func mistake(in connection: NSMConnection) -> String? {
        let names = [
            ("id", connection.id), ("network service", connection.networkService),
            ("endpoint", connection.networkServiceEndpointName), ("payload", connection.payload),
            ("mechanism", connection.mechanism.type), ("mechanism", connection.mechanism.cls),
        ]
        for (what, value) in names where value.utf8.count > name {
            return "the \(what)'s name has \(value.utf8.count) bytes; at most \(name) are taken"
        }
        for segment in connection.path.pathSegments.prefix(NSMConnection.longestPath + 1) {
            if segment.name.utf8.count > name || segment.id.utf8.count > name {
                return "a segment's name or id has more than \(name) bytes"
            }
            if let mistake = over(labels, segment.metrics.count, "metrics in a segment") { return mistake }
        }
        return over(NSMConnection.longestPath, connection.path.pathSegments.count, "segments")
            ?? over(labels, connection.labels.count, "labels")
            ?? over(labels, connection.mechanism.parameters.count, "parameters of the mechanism")
            ?? mistake(in: connection.context)
    }

    /// What is too much in the mechanisms to choose from; nil when nothing is. One of them becomes the connection's.
    package static func mistake(in mechanisms: [NSMMechanism]) -> String? {
        for mechanism in mechanisms.prefix(self.mechanisms + 1) {
            if mechanism.cls.utf8.count > name || mechanism.type.utf8.count > name {
                return "a mechanism's name has more than \(name) bytes"
            }
            if let mistake = over(labels, mechanism.parameters.count, "parameters of a mechanism") { return mistake }
        }
        return over(self.mechanisms, mechanisms.count, "mechanisms to choose from")
    }

    private static func mistake(in context: NSMConnectionContext) -> String? {
        let ip = context.ipContext
        let names = context.dnsContext.configs.reduce(0) { $0 + 1 + $1.dnsServerIps.count + $1.searchDomains.count }
        let routesOfPolicies = ip.policies.reduce(0) { $0 + $1.routes.count }
        let counts: [(limit: Int, count: Int, what: String)] = [
            (addresses, ip.srcIpAddrs.count, "addresses of the client"),
            (addresses, ip.dstIpAddrs.count, "addresses of the endpoint"),
            (routes, ip.srcRoutes.count, "routes of the client"),
            (routes, ip.dstRoutes.count, "routes of the endpoint"),
            (neighbours, ip.ipNeighbors.count, "neighbours"),
            (policies, ip.policies.count, "policies"),
            (routes, routesOfPolicies, "routes of policies"),
            (excludedPrefixes, ip.excludedPrefixes.count, "excluded prefixes"),
            (addresses, ip.extraPrefixes.count, "extra prefixes"),
            (addresses, ip.extraPrefixRequest.count, "requests for extra prefixes"),
            (nameServers, names, "name servers and search domains"),
            (labels, context.extraContext.count, "entries of the extra context"),
        ]
        for (limit, count, what) in counts {
            if let mistake = over(limit, count, what) { return mistake }
        }
        return tooLong(ip)
    }

    private static func tooLong(_ ip: NSMIPContext) -> String? {
        let routes = ip.srcRoutes + ip.dstRoutes + ip.policies.flatMap(\.routes)
        let texts = [
            ip.srcIpAddrs, ip.dstIpAddrs, ip.excludedPrefixes, ip.extraPrefixes, routes.map(\.prefix),
            routes.map(\.nextHop), ip.ipNeighbors.map(\.ip), ip.ipNeighbors.map(\.hardwareAddress),
            ip.policies.map(\.from),
        ]
        let isLong = texts.contains { $0.contains { $0.utf8.count > text } }
        return isLong ? "an address or a prefix has more than \(text) bytes" : nil
    }

    private static func over(_ limit: Int, _ count: Int, _ what: String) -> String? {
        count > limit ? "there are \(count) \(what); at most \(limit) are taken" : nil
    }
}
