internal import CLinux
internal import Glibc

/// Where a peer listens.
public enum SocketAddress: Hashable, Sendable {
    /// A Unix socket at a path. Descriptors can travel. To connect to, behind an `@` also an abstract name; see
    /// ``WorkloadEndpoint``.
    case unix(String)
    /// A numeric address or host name, and a port.
    case tcp(host: String, port: Int)

    /// Reads `unix:///path`, `unix:/path`, `tcp://host:port` and `host:port`; an IPv6 address stands in brackets. Nil when
    /// the text is none of them.
    public init?(url: String) {
        if url.hasPrefix("unix:") {
            var path = url.dropFirst(5)
            if path.hasPrefix("//") { path = path.dropFirst(2) }
            guard path.hasPrefix("/"), !path.utf8.contains(0) else { return nil }
            self = .unix(String(path))
            return
        }
        let rest = url.hasPrefix("tcp://") ? url.dropFirst(6) : url[...]
        guard let colon = rest.lastIndex(of: ":"), let port = Int(rest[rest.index(after: colon)...]),
            (0...65535).contains(port)
        else { return nil }
        var host = rest[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        guard !host.isEmpty, !host.contains("/") else { return nil }
        self = .tcp(host: String(host), port: port)
    }

    /// The URL form.
    public var url: String {
        switch self {
        case .unix(let path): "unix://\(path)"
        case .tcp(let host, let port): host.contains(":") ? "tcp://[\(host)]:\(port)" : "tcp://\(host):\(port)"
        }
    }

    /// Whether it is a Unix socket without a listener: the process that created it has ended. Checked by connecting.
    package var isAbandoned: Bool {
        guard case .unix(let path) = self else { return false }
        return UnixSocketFile.probe(path) == -ECONNREFUSED
    }

    /// Removes the Unix sockets in a directory that have no listener any more. Returns their number.
    package static func removeAbandoned(in directory: String) -> Int { UnixSocketFile.removeAbandoned(in: directory) }

    /// Connects to a Unix socket, to check for a listener: 0, or the error as a negative number; `-EINVAL` over TCP.
    package func probe() -> Int32 {
        guard case .unix(let path) = self else { return -EINVAL }
        return UnixSocketFile.probe(path)
    }
}

/// The numeric address of a TCP socket's peer; nil for others.
func peerAddress(of socket: Int32) -> String? {
    var text = [CChar](repeating: 0, count: 64)
    guard cl_peer_address(socket, &text, text.count) == 0 else { return nil }
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

/// The user that made the other end of a TCP connection within this network namespace; nil: the kernel knows of none.
func peerUser(of socket: Int32) -> UInt32? {
    var user: UInt32 = 0
    return cl_peer_user(socket, &user) == 0 ? user : nil
}
