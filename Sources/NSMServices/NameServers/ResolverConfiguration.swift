internal import NSM
internal import NetworkTypes

/// Name servers and search domains.
struct ResolverConfiguration: Hashable, Sendable {
    /// Addresses of name servers, in the order in which they are asked.
    var servers: [String] = []
    /// Domains that are tried behind short names.
    var search: [String] = []
    /// The endpoint that gives them: another one may have other servers at the same addresses.
    var origin = ""

    var isEmpty: Bool { servers.isEmpty && search.isEmpty }

    /// Takes in what has a meaning in a resolver's file; each only once.
    mutating func add(servers more: [String], search domains: [String]) {
        for server in more.compactMap({ IPAddress($0)?.description }) where !servers.contains(server) {
            servers.append(server)
        }
        for domain in domains where Self.isDomain(domain) && !search.contains(domain) { search.append(domain) }
    }

    /// The bytes that names are made of; others could end the line they stand in.
    private static func isDomain(_ text: String) -> Bool {
        (1...253).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                let letter = byte | 0x20
                return (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(letter) || (48...57).contains(byte)
                    || [UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: ".")].contains(byte)
            }
    }

    /// `10.0.0.53, 10.0.0.54 for a.example`
    var summary: String {
        let names = servers.joined(separator: ", ")
        return search.isEmpty ? names : "\(names) for \(search.joined(separator: ", "))"
    }
}

extension ResolverConfiguration {
    /// What a connection's endpoint gives.
    init(_ connection: NSMConnection) {
        self.init()
        origin = connection.networkServiceEndpointName
        for config in connection.context.dnsContext.configs {
            add(servers: config.dnsServerIps, search: config.searchDomains)
        }
    }

    /// What several connections give, in this order.
    init(_ parts: [ResolverConfiguration]) {
        self.init()
        for part in parts { add(servers: part.servers, search: part.search) }
    }
}
