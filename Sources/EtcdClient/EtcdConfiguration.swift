/// Where etcd is, and how to talk to it.
public struct EtcdConfiguration: Sendable {
    /// The members, tried in this order until one answers.
    public var endpoints: [EtcdEndpoint]
    /// How the connections are protected; nil: not at all, but for endpoints that say `https://`.
    public var tls: TLS?
    /// Who we are; nil: nobody in particular.
    public var credentials: Credentials?
    /// How long a member may take until it is connected and has answered.
    public var dialTimeout: Duration
    /// How long a call may take.
    public var operationTimeout: Duration
    /// The longest wait between two rounds over all members.
    public var longestWait: Duration
    /// How long a connection may be silent before it is asked for a sign of life. etcd ends connections that ask more often
    /// than every 5 s.
    public var keepaliveTime: Duration
    /// The longest answer that is taken, bytes.
    public var messageLimit: Int
    /// How many entries are asked for at once when a range is read.
    public var pageSize: Int

    /// Makes a configuration.
    public init(
        endpoints: [EtcdEndpoint] = [.default], tls: TLS? = nil, credentials: Credentials? = nil,
        dialTimeout: Duration = .seconds(1), operationTimeout: Duration = .seconds(3),
        longestWait: Duration = .seconds(2), keepaliveTime: Duration = .seconds(10), messageLimit: Int = 16 << 20,
        pageSize: Int = 1000
    ) {
        self.endpoints = endpoints
        self.tls = tls
        self.credentials = credentials
        self.dialTimeout = dialTimeout
        self.operationTimeout = operationTimeout
        self.longestWait = longestWait
        self.keepaliveTime = keepaliveTime
        self.messageLimit = messageLimit
        self.pageSize = pageSize
    }

    /// Certificates, in files of PEM that are read for each new connection.
    public struct TLS: Sendable, Hashable {
        /// Who may sign the server's certificate; nil: whom the system trusts.
        public var authorities: String?
        /// The client's certificate, with what leads from it to an authority.
        public var certificate: String?
        /// The key of the client's certificate.
        public var key: String?
        /// Whether the server's certificate is not looked at, so that anybody can be the server.
        public var acceptsAnyServer: Bool

        /// Makes settings.
        public init(
            authorities: String? = nil, certificate: String? = nil, key: String? = nil, acceptsAnyServer: Bool = false
        ) {
            self.authorities = authorities
            self.certificate = certificate
            self.key = key
            self.acceptsAnyServer = acceptsAnyServer
        }
    }

    /// That a password goes to a member in the clear, over a network, in words for the operator; nil: it does not.
    package var exposure: String? {
        guard credentials != nil, tls == nil,
            let endpoint = endpoints.first(where: { !$0.wantsTLS && !$0.isLocal })
        else { return nil }
        return
            "the password for etcd goes to \(endpoint) without TLS, where others can read it; write https://"
    }

    /// A user of etcd.
    public struct Credentials: Sendable, Hashable {
        /// The name.
        public var user: String
        /// The password.
        public var password: String

        /// Makes credentials.
        public init(user: String, password: String) {
            self.user = user
            self.password = password
        }
    }
}

/// Where a member of etcd listens for clients.
public struct EtcdEndpoint: Sendable, Hashable, CustomStringConvertible {
    enum Address: Sendable, Hashable {
        case ipv4(String, port: Int)
        case ipv6(String, port: Int)
        case name(String, port: Int)
        case unix(String)
    }

    let address: Address
    /// Whether it was written with `https://`.
    let wantsTLS: Bool
    /// As it was written.
    public let description: String

    /// `127.0.0.1:2379`
    public static let `default` = EtcdEndpoint(
        address: .ipv4("127.0.0.1", port: 2379), wantsTLS: false, description: "127.0.0.1:2379")

    private init(address: Address, wantsTLS: Bool, description: String) {
        self.address = address
        self.wantsTLS = wantsTLS
        self.description = description
    }

    /// Whether what is sent there stays on this host.
    var isLocal: Bool {
        switch address {
        case .ipv4(let host, _): host.hasPrefix("127.")
        case .ipv6(let host, _): host == "::1"
        case .name(let host, _): host == "localhost"
        case .unix: true
        }
    }

    /// Reads `host:port`, `[IPv6 address]:port`, both also behind `http://` or `https://`, and `unix:///path`. Nil when the text
    /// is none of these. Without a port it is 2379.
    public init?(_ text: String) {
        description = text
        if text.hasPrefix("unix:///") {
            address = .unix(String(text.dropFirst(7)))
            wantsTLS = false
            return
        }
        var rest = Substring(text)
        wantsTLS = rest.hasPrefix("https://")
        for scheme in ["https://", "http://"] where rest.hasPrefix(scheme) { rest = rest.dropFirst(scheme.count) }
        if rest.hasSuffix("/") { rest = rest.dropLast() }
        var host = rest
        var port = 2379
        let isBracketed = rest.hasPrefix("[")
        if let colon = rest.lastIndex(of: ":"), isBracketed ? rest[..<colon].hasSuffix("]") : true {
            guard let number = Int(rest[rest.index(after: colon)...]), (1...65535).contains(number) else { return nil }
            port = number
            host = rest[..<colon]
        }
        if isBracketed {
            guard host.hasSuffix("]") else { return nil }
            host = host.dropFirst().dropLast()
            guard host.contains(":") else { return nil }
            address = .ipv6(String(host), port: port)
            return
        }
        let isPlain = host.utf8.allSatisfy { byte in
            byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "_")
                || UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte || UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte | 0x20
        }
        guard !host.isEmpty, isPlain else { return nil }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        let isIPv4 = parts.count == 4 && parts.allSatisfy { UInt8($0) != nil }
        address = isIPv4 ? .ipv4(String(host), port: port) : .name(String(host), port: port)
    }
}
