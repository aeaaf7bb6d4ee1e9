internal import NetworkTypes

/// Which servers are asked for which names.
struct ResolverRoutes: Hashable, Sendable {
    /// Where one name is looked up.
    struct Route: Hashable, Sendable {
        /// The domain of a connection that the name is in; nil: any other name.
        let domain: DNSName?
        fileprivate(set) var servers: [IPAddress] = []
        /// The endpoints whose domain it is: when one is another, so are its answers.
        fileprivate(set) var origins: Set<String> = []
    }

    private var byDomain: [DNSName: Route] = [:]
    private var others: [IPAddress] = []
    /// Domains that are tried behind names of one label, in this order.
    private(set) var search: [DNSName] = []

    /// More servers are never asked at once.
    static let mostServers = 16
    /// More domains are never tried for one name, nor kept at all.
    static let mostSearch = 16
    /// More domains lead nowhere of their own.
    static let mostDomains = 4096

    /// Leads nowhere.
    init() {}

    /// - Parameters:
    ///   - parts: What each connection gives.
    ///   - original: What the resolver's file said before.
    ///   - own: Addresses at which we are asked ourselves, and so can't ask.
    init(_ parts: [ResolverConfiguration], original: ResolverConfiguration, own: Set<IPAddress>) {
        func usable(_ servers: [String]) -> [IPAddress] {
            servers.compactMap { IPAddress($0) }.filter { !own.contains($0) && $0 != .unspecified($0.family) }
        }
        for part in parts {
            let servers = usable(part.servers)
            for domain in part.search.compactMap(DNSName.init) {
                if byDomain.count < Self.mostDomains || byDomain[domain] != nil {
                    byDomain[domain, default: Route(domain: domain)].servers.add(servers, upTo: Self.mostServers)
                    byDomain[domain]?.origins.insert(part.origin)
                }
                if search.count < Self.mostSearch, !search.contains(domain) { search.append(domain) }
            }
            // Servers that were there have places of their own among those that are asked at once.
            others.add(servers, upTo: Self.mostServers - 3)
        }
        others.add(usable(original.servers), upTo: Self.mostServers)
        for domain in original.search.compactMap(DNSName.init)
        where search.count < Self.mostSearch && !search.contains(domain) { search.append(domain) }
    }

    /// The servers that know a name: those of the longest domain that it is in, and no others; else all of them.
    func route(_ name: DNSName) -> Route {
        for domain in name.domains { if let route = byDomain[domain] { return route } }
        return Route(domain: nil, servers: others)
    }

    /// All servers.
    var servers: Set<IPAddress> { Set(others).union(byDomain.values.lazy.flatMap(\.servers)) }
}

extension [IPAddress] {
    fileprivate mutating func add(_ more: [IPAddress], upTo limit: Int) {
        for address in more where count < limit && !contains(address) { append(address) }
    }
}
