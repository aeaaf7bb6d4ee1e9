/// Where an API server is, and who we are to it.
public struct KubernetesConfiguration: Sendable {
    /// The server.
    public var server: ServerAddress
    /// How the connection is protected; of no use without `https`.
    public var tls: TLS
    /// Who we are.
    public var credentials: Credentials
    /// The namespace that is meant where none is named.
    public var namespace: String
    /// What bounds everything.
    public var limits: Limits
    /// What the client calls itself.
    public var userAgent = "nsm-agent"

    /// Makes a configuration.
    public init(
        server: ServerAddress, tls: TLS = .init(), credentials: Credentials = .none, namespace: String = "default",
        limits: Limits = .init()
    ) {
        self.server = server
        self.tls = tls
        self.credentials = credentials
        self.namespace = namespace
        self.limits = limits
    }

    /// What is dangerous in it, for people.
    public var warnings: [String] {
        var warnings: [String] = []
        if server.isSecure, tls.acceptsAnyServer {
            warnings.append(
                "\(server): its certificate is not looked at (insecure-skip-tls-verify), so anybody can be the server"
                    + (credentials == .none ? "" : ", and is given the token"))
        }
        if !server.isSecure, credentials != .none {
            warnings.append("\(server): the token is sent without TLS, and can be read on the way; use https")
        }
        return warnings
    }

    /// Certificates and keys, PEM.
    public enum PEM: Sendable, Hashable {
        /// A file, which is read again when it changes.
        case file(String)
        /// The text itself.
        case inline([UInt8])
    }

    /// How the connection is protected.
    public struct TLS: Sendable, Hashable {
        /// Who may sign the server's certificate; nil: whom the system trusts.
        public var authorities: PEM?
        /// The client's certificate, with what leads from it to an authority.
        public var certificate: PEM?
        /// The key of the client's certificate.
        public var key: PEM?
        /// The name in the server's certificate; nil: the one of its address.
        public var serverName: String?
        /// Whether the server's certificate is not looked at, so that anybody can be the server.
        public var acceptsAnyServer: Bool

        /// Makes settings.
        public init(
            authorities: PEM? = nil, certificate: PEM? = nil, key: PEM? = nil, serverName: String? = nil,
            acceptsAnyServer: Bool = false
        ) {
            self.authorities = authorities
            self.certificate = certificate
            self.key = key
            self.serverName = serverName
            self.acceptsAnyServer = acceptsAnyServer
        }
    }

    /// Who we are, beside a certificate.
    public enum Credentials: Sendable, Hashable {
        /// Nobody in particular.
        case none
        /// A bearer token.
        case token(String)
        /// A file with a bearer token, which is read again when it changes.
        case tokenFile(String)
    }

    /// What bounds everything.
    public struct Limits: Sendable, Hashable {
        /// How long the way to the server may take.
        public var connectTimeout = Duration.seconds(5)
        /// How long an answer may take, from the first byte of the request to the last one of the answer.
        public var operationTimeout = Duration.seconds(30)
        /// How long a watch lasts until it is begun anew.
        public var watchTime = Duration.seconds(290)
        /// The longest wait between two tries.
        public var longestWait = Duration.seconds(30)
        /// The longest answer, bytes.
        public var answerBytes = 8 << 20
        /// The longest line of a watch, which is one object, bytes.
        public var lineBytes = 8 << 20
        /// How many objects are asked for at once.
        public var pageSize = 500
        /// The longest list, bytes of all its pages.
        public var listBytes = 256 << 20
        /// How many objects a list may have.
        public var listCount = 100_000
        /// How many connections wait to be used again.
        public var idleConnections = 16
        /// How often a request is repeated that the server had no time for, or that a connection was lost for.
        public var retries = 4

        /// The usual ones.
        public init() {}
    }
}

/// The address of an API server: `https://host:port/path`.
public struct ServerAddress: Sendable, Hashable, CustomStringConvertible {
    /// Whether it is talked to through TLS.
    public let isSecure: Bool
    /// A name or an address, without brackets.
    public let host: String
    /// The port.
    public let port: Int
    /// What all paths begin with, without a slash at its end.
    public let path: String
    /// The Unix socket of a server that speaks HTTP and is not an API server; nil: host and port count.
    package let socket: String?

    /// Reads the address; nil when it is none.
    public init?(_ text: String) {
        var rest = text[...]
        if rest.hasPrefix("https://") {
            isSecure = true
            rest = rest.dropFirst(8)
        } else if rest.hasPrefix("http://") {
            isSecure = false
            rest = rest.dropFirst(7)
        } else {
            return nil
        }
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        var path = rest[slash...]
        while path.hasSuffix("/") { path = path.dropLast() }
        self.path = String(path)
        guard let (host, port) = Self.hostAndPort(rest[..<slash]),
            self.path.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "?") && $0 != UInt8(ascii: "#") })
        else { return nil }
        self.host = host
        self.port = port ?? (isSecure ? 443 : 80)
        socket = nil
    }

    /// A server at a Unix socket.
    package init(socket: String) {
        self.socket = socket
        isSecure = false
        host = "localhost"
        port = 80
        path = ""
    }

    private static func hostAndPort(_ text: Substring) -> (String, Int?)? {
        var host = text
        var port: Int?
        let isBracketed = text.hasPrefix("[")
        if let colon = text.lastIndex(of: ":"), !isBracketed || text[..<colon].hasSuffix("]") {
            guard let number = Int(text[text.index(after: colon)...]), (1...65535).contains(number) else { return nil }
            port = number
            host = text[..<colon]
        }
        if isBracketed {
            guard host.hasSuffix("]") else { return nil }
            host = host.dropFirst().dropLast()
        }
        let isPlain = host.utf8.allSatisfy { byte in
            byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "_")
                || (isBracketed && byte == UInt8(ascii: ":"))
                || UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte || UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte | 0x20
        }
        guard !host.isEmpty, isPlain else { return nil }
        return (String(host), port)
    }

    /// A text that is no address, without what may be a secret in it: what stands before `@`, and behind `?` or `#`.
    static func withoutSecrets(_ text: String) -> String {
        // A password may have any of these characters in it.
        let behind = text.lastIndex(of: "@") ?? text.startIndex
        let end = text[behind...].firstIndex { $0 == "?" || $0 == "#" } ?? text.endIndex
        let rest = text[behind..<end] + (end < text.endIndex ? "\(text[end])…" : "")
        guard text[behind...].hasPrefix("@") else { return String(rest) }
        let scheme = ["https://", "http://"].first { text.hasPrefix($0) } ?? ""
        return "\(scheme)…\(rest)"
    }

    /// As it stands in the `Host` header.
    var authority: String {
        let name = host.contains(":") ? "[\(host)]" : host
        return port == (isSecure ? 443 : 80) ? name : "\(name):\(port)"
    }

    /// As it was written, more or less.
    public var description: String { socket ?? "\(isSecure ? "https" : "http")://\(authority)\(path)" }
}
