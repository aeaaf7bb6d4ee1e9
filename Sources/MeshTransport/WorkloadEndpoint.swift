internal import Glibc

/// Where a SPIFFE Workload API is, as `SPIFFE_ENDPOINT_SOCKET` says it.
///
/// Source: the SPIFFE Workload Endpoint standard, section 4; for abstract sockets the names of gRPC and of Go, unix(7).
public struct WorkloadEndpoint: Hashable, Sendable {
    /// The kinds of sockets.
    public enum Socket: Hashable, Sendable {
        /// A Unix socket at a path, which is absolute.
        case path(String)
        /// A Unix socket with a name in the network namespace, without the NUL or `@` before it; 1 to 107 bytes. Every program of
        /// the namespace can take a name that is free.
        case abstract(String)
        /// A numeric address, IPv4 or IPv6, and a port from 1 to 65535.
        case tcp(address: String, port: Int)
    }

    /// Which one it is.
    public let socket: Socket

    /// What can be given, for messages.
    static let forms = "unix:///path, unix:@name or tcp://address:port is needed"
    /// Source: `sun_path`, linux/un.h: 108 bytes, of which an abstract name's first is the NUL.
    private static let longestName = 107
    /// Source: `PATH_MAX`, linux/limits.h, which counts the NUL.
    private static let longestPath = 4095

    /// Reads `unix:///path`, `unix:/path`, `tcp://address:port`, and for abstract sockets `unix:@name` and `unix-abstract:name`.
    /// Bytes may be written as `%20`.
    ///
    /// - Throws: ``TransportError`` with what is wrong and what would be right.
    public init(_ url: String) throws(TransportError) {
        func refuse(_ reason: String) -> TransportError {
            TransportError("'\(url.prefix(256))' \(reason); \(Self.forms)")
        }
        guard !url.utf8.contains(where: { $0 < 0x20 || $0 == 0x7f }) else { throw refuse("has control characters") }
        guard let colon = url.firstIndex(of: ":") else { throw refuse("has no scheme") }
        let rest = url[url.index(after: colon)...]
        if let mark = rest.first(where: { $0 == "?" || $0 == "#" }) {
            throw refuse("has a \(mark == "?" ? "query" : "fragment")")
        }
        let result: Result<Socket, Reason> =
            switch url[..<colon].lowercased() {
            case "unix": Self.unix(rest)
            case "unix-abstract": Self.abstract(rest)
            case "tcp": Self.tcp(rest)
            default: .failure(Reason("has the scheme \(url[..<colon].prefix(32)), and not unix or tcp"))
            }
        switch result {
        case .success(let socket): self.socket = socket
        case .failure(let reason): throw refuse(reason.text)
        }
    }

    /// Where to connect.
    package var address: SocketAddress {
        switch socket {
        case .path(let path): .unix(path)
        case .abstract(let name): .unix("@\(name)")
        case .tcp(let address, let port): .tcp(host: address, port: port)
        }
    }

    private struct Reason: Error {
        let text: String
        init(_ text: String) { self.text = text }
    }

    private static func unix(_ rest: Substring) -> Result<Socket, Reason> {
        if rest.hasPrefix("@") { return abstract(rest.dropFirst()) }
        var path = rest
        if path.hasPrefix("//") {
            path = path.dropFirst(2)
            guard let slash = path.firstIndex(of: "/") else {
                return .failure(Reason(path.isEmpty ? "has no path" : "names the host \(path.prefix(64)) and no path"))
            }
            if slash != path.startIndex {
                return .failure(Reason("names the host \(path[..<slash].prefix(64)), which Unix sockets do not have"))
            }
        }
        guard path.hasPrefix("/"), path != "/" else {
            return .failure(Reason(path.isEmpty || path == "/" ? "has no path" : "has a path that is not absolute"))
        }
        guard let text = decoded(path), text.utf8.count <= longestPath else {
            return .failure(Reason("has a path that can't be read"))
        }
        return .success(.path(text))
    }

    private static func abstract(_ rest: Substring) -> Result<Socket, Reason> {
        guard let name = decoded(rest), (1...longestName).contains(name.utf8.count) else {
            return .failure(Reason("names an abstract socket, whose name has 1 to \(longestName) bytes"))
        }
        return .success(.abstract(name))
    }

    private static func tcp(_ rest: Substring) -> Result<Socket, Reason> {
        guard rest.hasPrefix("//") else { return .failure(Reason("names no address")) }
        let authority = rest.dropFirst(2)
        if authority.contains("/") { return .failure(Reason("has a path")) }
        if authority.contains("@") { return .failure(Reason("names a user")) }
        guard let colon = authority.lastIndex(of: ":"), authority.last != "]" else {
            return .failure(Reason("has no port"))
        }
        var host = authority[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
            guard isAddress(host, AF_INET6) else {
                return .failure(Reason("names \(host.prefix(64)), which is not an IPv6 address"))
            }
        } else if !isAddress(host, AF_INET) {
            // The standard wants an address: a name's answer could be somebody else's tomorrow.
            return .failure(
                Reason("names \(host.isEmpty ? "no address" : "\(host.prefix(64)), which is not an address")"))
        }
        let digits = authority[authority.index(after: colon)...]
        guard digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = Int(digits),
            (1...65535).contains(port)
        else { return .failure(Reason("has the port '\(digits.prefix(16))', and not one from 1 to 65535")) }
        return .success(.tcp(address: String(host), port: port))
    }

    private static func isAddress(_ text: Substring, _ family: Int32) -> Bool {
        var buffer = in6_addr()
        return inet_pton(family, String(text), &buffer) == 1
    }

    /// With `%20` and the like as the bytes that they stand for; nil when one is incomplete, or stands for a NUL or no text.
    private static func decoded(_ text: Substring) -> String? {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.popFirst().flatMap(digit), let low = rest.popFirst().flatMap(digit) else {
                return nil
            }
            bytes.append(high << 4 | low)
        }
        if bytes.contains(0) { return nil }
        return String(validating: bytes, as: UTF8.self)
    }

    private static func digit(_ letter: UInt8) -> UInt8? {
        switch letter {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): letter - 0x30
        case UInt8(ascii: "a")...UInt8(ascii: "f"): letter - 0x57
        case UInt8(ascii: "A")...UInt8(ascii: "F"): letter - 0x37
        default: nil
        }
    }
}
