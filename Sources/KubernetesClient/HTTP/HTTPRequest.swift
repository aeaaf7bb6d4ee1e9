internal import NIOHTTP1

/// What is asked of a server.
package struct HTTPRequest: Sendable {
    package enum Method: Sendable {
        case get
        case post
        case put
        case patch
        case delete

        var http: HTTPMethod {
            switch self {
            case .get: .GET
            case .post: .POST
            case .put: .PUT
            case .patch: .PATCH
            case .delete: .DELETE
            }
        }
    }

    var method = Method.get
    /// Behind the server's own path, with a slash at its beginning.
    var path: String
    var query: [(String, String)] = []
    var contentType = "application/json"
    var body: [UInt8]?

    /// Asks for what is at a path.
    package init(get path: String, query: [(String, String)] = []) { self.init(path: path, query: query) }

    init(
        method: Method = .get, path: String, query: [(String, String)] = [], body: [UInt8]? = nil
    ) {
        self.method = method
        self.path = path
        self.query = query
        self.body = body
    }

    /// Path and query as they stand in a request.
    func target(_ server: ServerAddress) -> String {
        let query = query.map { "\($0)=\(Self.escape($1))" }.joined(separator: "&")
        return server.path + path + (query.isEmpty ? "" : "?\(query)")
    }

    func head(_ server: ServerAddress, token: String?, userAgent: String) -> HTTPRequestHead {
        var headers = HTTPHeaders([
            ("Host", server.authority), ("User-Agent", userAgent), ("Accept", "application/json"),
        ])
        if let token { headers.add(name: "Authorization", value: "Bearer \(token)") }
        if let body {
            headers.add(name: "Content-Type", value: contentType)
            headers.add(name: "Content-Length", value: String(body.count))
        }
        return HTTPRequestHead(version: .http1_1, method: method.http, uri: target(server), headers: headers)
    }

    /// What RFC 3986 leaves as it is stays; all else is escaped.
    static func escape(_ text: String) -> String {
        var out: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"):
                out.append(byte)
            default:
                let code = String(byte, radix: 16, uppercase: true)
                out += (byte < 16 ? "%0" : "%").utf8
                out += code.utf8
            }
        }
        return String(decoding: out, as: UTF8.self)
    }
}

/// What a server answers.
package struct HTTPAnswer: Sendable {
    /// The HTTP status.
    package var status: Int
    var retryAfter: Duration?
    /// All of it.
    package var body: [UInt8] = []
    /// Whether the connection may be used again.
    var keepsConnection = true

    init(_ head: HTTPResponseHead) {
        status = Int(head.status.code)
        // Seconds only: API servers give no dates.
        retryAfter = head.headers.first(name: "Retry-After").flatMap { Int64($0) }
            .map { .seconds(min(max($0, 0), 3600)) }
        keepsConnection = head.isKeepAlive
    }

    var error: KubernetesError {
        KubernetesError(status: try? JSONValue(parsing: body), httpStatus: status, retryAfter: retryAfter)
    }
}
