internal import Concurrency
internal import HTTPTypes
internal import Hummingbird
internal import NIOCore

/// A request that is being answered.
struct RESTCall: Sendable {
    let parameters: Parameters
    let peer: HTTPPeer
    let query: QueryArguments
    /// Empty when the route takes none.
    let body: [UInt8]
    /// What work for the answer has to wait at; nil: nothing.
    let gate: Gate?
    /// The token of a logged-in user; nil: there is none.
    var token: String?
    /// What the client says of itself and of what it wants.
    var headers: HTTPFields = [:]
    /// The body as it comes, where the route takes none: its end is the client's.
    var requestBody: RequestBody?
    /// Whether only the head of the answer is wanted.
    var isHead = false
}

extension Request {
    /// All of the body.
    ///
    /// - Throws: ``RESTError`` when it is too long or ends early.
    func bytes(upTo limit: Int) async throws -> [UInt8] {
        let tooLong = RESTError("the body is longer than \(limit) bytes", .contentTooLarge)
        if let text = headers[.contentLength], let length = Int(text), length > limit { throw tooLong }
        do {
            return Array(buffer: try await body.collect(upTo: limit))
        } catch is NIOTooManyBytesError {
            throw tooLong
        } catch {
            throw RESTError("the body ended early: \(error)", .badRequest)
        }
    }
}

/// The arguments behind the path of a request.
struct QueryArguments: Sendable {
    private let pairs: [(name: String, value: String)]

    init(_ text: String?) {
        pairs = (text ?? "").split(separator: "&").map { part in
            let words = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return (Self.decoded(words[0]), words.count > 1 ? Self.decoded(words[1]) : "")
        }
    }

    /// All values of an argument, empty ones left out.
    func all(_ name: String) -> [String] { pairs.filter { $0.name == name && !$0.value.isEmpty }.map(\.value) }

    /// The first value of an argument; nil: it is absent or empty.
    subscript(_ name: String) -> String? { all(name).first }

    /// The only value of an argument.
    ///
    /// - Throws: ``RESTError`` when it is there more than once.
    func single(_ name: String) throws(RESTError) -> String? {
        let values = all(name)
        if values.count > 1 { throw RESTError("\(name) argument listed more than once") }
        return values.first
    }

    /// Whether an argument is there, with any value or none.
    func has(_ name: String) -> Bool { pairs.contains { $0.name == name } }

    /// Whether an argument says yes.
    func isSet(_ name: String) -> Bool { ["true", "1"].contains(self[name] ?? "") }

    /// A number.
    ///
    /// - Throws: ``RESTError`` when the argument is none.
    func number<Number: FixedWidthInteger>(_ name: String, _ call: String, as type: Number.Type) throws(RESTError)
        -> Number?
    {
        guard let text = self[name] else { return nil }
        guard let number = Number(text) else {
            throw RESTError("strconv.\(call): parsing \"\(text.prefix(100))\": invalid syntax")
        }
        return number
    }

    private static func decoded(_ text: Substring) -> String {
        guard text.utf8.contains(where: { $0 == UInt8(ascii: "%") || $0 == UInt8(ascii: "+") }) else {
            return String(text)
        }
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), rest.count >= 2,
                let code = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
            {
                bytes.append(code)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// Why a request is not answered as it asks.
struct RESTError: Error {
    let status: HTTPResponse.Status
    let body: Body

    enum Body {
        /// `{"Error": "…"}`
        case object(String)
        /// A JSON string.
        case string(String)
        /// Plain text.
        case plain(String)
        case json(JSON)
    }

    init(_ text: String, _ status: HTTPResponse.Status = .internalServerError) {
        self.init(.object(text), status)
    }

    init(_ body: Body, _ status: HTTPResponse.Status = .internalServerError) {
        self.status = status
        self.body = body
    }

    var response: Response {
        switch body {
        case .object(let text): .json(.object([("Error", .string(text))]), status)
        case .string(let text): .json(.string(text), status)
        case .plain(let text): .text(text, status: status)
        case .json(let json): .json(json, status)
        }
    }
}

extension Response {
    static func json(_ value: JSON, _ status: HTTPResponse.Status = .ok) -> Response {
        text(value.text, type: "application/json; charset=UTF-8", status: status)
    }

    static func text(
        _ text: String, type: String = "text/plain; charset=utf-8", status: HTTPResponse.Status = .ok
    ) -> Response {
        bytes(ByteBuffer(string: text), type: type, status: status)
    }

    /// What is in memory already, maybe for others, too. `place` is held until the client has all of it.
    static func bytes(
        _ whole: ByteBuffer, type: String, status: HTTPResponse.Status = .ok, keeping place: Places.Place? = nil
    ) -> Response {
        var body = ResponseBody(byteBuffer: whole)
        if whole.readableBytes > part || place != nil {
            // How much of it the client has read is seen by what is written.
            body = ResponseBody(contentLength: whole.readableBytes) { writer in
                var rest = whole
                while let next = rest.readSlice(length: min(part, rest.readableBytes)), next.readableBytes > 0 {
                    try await writer.write(next)
                }
                try await writer.finish(nil)
                withExtendedLifetime(place) {}
            }
        }
        return Response(status: status, headers: [.contentType: type], body: body)
    }

    /// How much of a long body is made and written at once, bytes.
    static let part = 64 << 10
}

extension RESTCall {
    /// A JSON array that is made while it is sent, so that a long one takes no more room than a short one.
    func array<Elements: Sequence & Sendable>(
        _ elements: Elements, _ encode: @escaping @Sendable (Elements.Element) throws -> JSON?
    ) -> Response {
        let body = ResponseBody { [gate] writer in
            var parts = ArrayParts(elements: elements.makeIterator(), encode: encode)
            while true {
                // Others have their turn while the client reads.
                let part =
                    if let gate { try await gate.run { try parts.next() } } else { try parts.next() }
                guard let part else { break }
                try await writer.write(ByteBuffer(bytes: part))
            }
            try await writer.finish(nil)
        }
        return Response(status: .ok, headers: [.contentType: "application/json; charset=UTF-8"], body: body)
    }
}

/// A JSON array in parts.
private struct ArrayParts<Elements: IteratorProtocol> {
    var elements: Elements
    let encode: (Elements.Element) throws -> JSON?
    private var isFirst = true
    private var hasEnded = false

    init(elements: Elements, encode: @escaping (Elements.Element) throws -> JSON?) {
        self.elements = elements
        self.encode = encode
    }

    /// Nil: that was all.
    mutating func next() throws -> [UInt8]? {
        if hasEnded { return nil }
        var part: [UInt8] = isFirst ? Array("[".utf8) : []
        while part.count < Response.part {
            guard let element = elements.next() else {
                hasEnded = true
                part += (isFirst ? "]\n" : "\n]\n").utf8
                break
            }
            guard let json = try encode(element) else { continue }
            part += (isFirst ? "\n  " : ",\n  ").utf8
            isFirst = false
            part += json.bytes(depth: 1)
        }
        return part
    }
}
