internal import HTTPTypes
internal import Hummingbird
internal import NIOCore

/// `/` for browsers, and `/ui/…`: what the page consists of, and what it asks for.
struct PageRoutes: Sendable {
    let feed: PageFeed

    /// A file of the page.
    func file(_ call: RESTCall) async throws -> Response {
        guard let name = call.parameters.get("file"), let file = PageFile.all.first(where: { $0.name == name }) else {
            throw RESTError("there is no such file", .notFound)
        }
        return Self.response(file, call)
    }

    /// The page itself, for browsers; others get what stood here before there was one.
    static func page(_ call: RESTCall, otherwise index: () -> Response) -> Response {
        let isBrowser = call.headers[values: .accept].contains { $0.lowercased().contains("text/html") }
        guard isBrowser, !call.query.has("paths"), let page = PageFile.all.first(where: { $0.name == "page.html" })
        else {
            var response = index()
            response.headers[.vary] = "Accept"
            return response
        }
        return response(page, call)
    }

    /// All that the page shows.
    func state(_ call: RESTCall) async throws -> Response {
        let state = try await feed.state(call.peer.group)
        var response = Response.bytes(state.json, type: "application/json; charset=UTF-8", keeping: state.place)
        response.headers.append(contentsOf: Self.safety)
        response.headers[.cacheControl] = "no-store"
        return response
    }

    /// The same, and what changes of it from then on.
    func events(_ call: RESTCall) async throws -> Response {
        var headers = Self.safety
        headers[.contentType] = "text/event-stream; charset=utf-8"
        headers[.cacheControl] = "no-store"
        headers[.connection] = "close"
        // Who wants no events must not make the agent look for them.
        if call.isHead { return Response(status: .ok, headers: headers) }
        let stream = try await feed.follow(call.peer.group)
        let end = ContinuousClock.now + feed.limits.lifetime
        let body = ResponseBody { [request = call.requestBody] writer in
            guard let request else { return try await Self.write(stream, until: end, &writer) }
            // A browser that leaves the page closes the connection, and is gone at once.
            try await request.consumeWithCancellationOnInboundClose { _ in
                try await Self.write(stream, until: end, &writer)
            }
        }
        return Response(status: .ok, headers: headers, body: body)
    }

    private static func write(
        _ stream: PageStream, until end: ContinuousClock.Instant, _ writer: inout any ResponseBodyWriter
    ) async throws {
        for await event in stream.events {
            var rest = event
            // Part by part, to distinguish a slow reader from one that does not read.
            while let part = rest.readSlice(length: min(Response.part, rest.readableBytes)), part.readableBytes > 0 {
                try await writer.write(part)
            }
            if ContinuousClock.now >= end { break }
        }
        try await writer.finish(nil)
        withExtendedLifetime(stream.place) {}
    }

    // MARK: - Headers

    private static func response(_ file: PageFile, _ call: RESTCall) -> Response {
        var headers = safety
        headers[.eTag] = file.tag
        headers[.cacheControl] = "no-cache"
        headers[.vary] = "Accept"
        headers[.contentSecurityPolicy] = policy
        let known = call.headers[values: .ifNoneMatch].flatMap { $0.split(separator: ",") }
        if known.contains(where: { $0.drop { $0 == " " || $0 == "W" || $0 == "/" } == file.tag }) {
            return Response(status: .notModified, headers: headers)
        }
        headers[.contentType] = file.type
        return Response(status: .ok, headers: headers, body: .init(byteBuffer: ByteBuffer(staticString: file.text)))
    }

    /// Nothing but what is ours is loaded, and nobody shows the page as a part of his own.
    private static let policy =
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

    /// What every answer here says.
    private static let safety: HTTPFields = {
        var fields: HTTPFields = [.xContentTypeOptions: "nosniff", .crossOriginResourcePolicy: "same-origin"]
        if let name = HTTPField.Name("Referrer-Policy") { fields[name] = "no-referrer" }
        return fields
    }()
}

/// A file of the page, as it is in the program.
struct PageFile: Sendable {
    let name: String
    /// `Content-Type`.
    let type: String
    /// `ETag`: another one for every other text.
    let tag: String
    let text: StaticString
}
