import Concurrency
import HTTPTypes
import Hummingbird
import Logging
import Model
import NIOCore
@testable import Reconciler
import Synchronization
import Testing

@testable import Northbound

/// Tells what it is given, and how often it was looked at.
private final class Still: RESTBackend {
    let looks = Mutex(0)
    let states = Mutex<[ProvidedStatus]>([])
    private let continuation = Mutex<AsyncStream<Void>.Continuation?>(nil)
    let follows = Mutex(0)

    /// For who asked last.
    func turn() { _ = continuation.withLock { $0?.yield() } }
    func turns() -> AsyncStream<Void> {
        follows.withLock { $0 += 1 }
        // A stream ends with the task that reads it.
        let (stream, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        self.continuation.withLock { $0 = continuation }
        return stream
    }
    func statuses(prefix: String) async -> [ProvidedStatus] {
        looks.withLock { $0 += 1 }
        return states.withLock { $0 }
    }
    func agentReport() async -> AgentReport { PageTests.report }

    func observedValues() async throws -> [ModelValue] { [] }
    func routeProtocol() async -> UInt8 { 0 }
    func status(key: Key) async -> ProvidedStatus? { nil }
    func parts(key: Key) async -> [ValueStatus] { [] }
    func sources(of keys: [Key]) async -> [[String]] { [] }
    func pastTransactions() async -> [Transaction] { [] }
    func dependencies(prefix: String) async -> [GraphEdge] { [] }
    func devices(withTraffic: Bool) async -> [InterfaceDevice] { [] }
    func resynchronise(retries: Bool) async throws -> Transaction? { nil }
    func read(configuration bytes: [UInt8]) async -> LoadedConfig { ConfigLoader.load(bytes: bytes, name: "body") }
    func logLevel() async -> String? { nil }
    func setLogLevel(_ name: String) async -> Bool { false }
    func change(_ request: ConfigurationRequest) async throws -> ConfigurationAnswer {
        throw ConfigurationRefusal("nothing changes here")
    }
    func waitUntilDone(_ keys: [Key]) async {}
    func declaredValues() async -> [DeclaredValue] { [] }
    func valuesInPlace() async throws -> [ModelValue] { [] }
    func stateChanges(isOwn: Bool) -> AsyncStream<[DeclaredValue]> { AsyncStream { $0.finish() } }
    func interfaceEvents(from number: UInt64) -> AsyncStream<InterfaceEvent> { AsyncStream { $0.finish() } }
}

@Suite("The page")
struct PageTests {
    static let report = AgentReport(
        version: "1", label: "node", start: Timestamp(seconds: 1), isReady: true, mistakes: [], warnings: [],
        counts: [:],
        services: [:], kernel: .init(batches: 0, batchSeconds: 0, operations: 0, events: 0, overruns: 0))

    private func status(_ key: Key, _ state: ValueState, base: Key? = nil, error: String = "") -> ProvidedStatus {
        ProvidedStatus(
            status: ValueStatus(
                key: key, baseKey: base, kind: "interface", summary: "veth \(key)", state: state, error: error,
                lastOperation: .create, details: state == .pending ? ["its peer"] : [], since: Timestamp(seconds: 5)),
            source: base == nil ? "files a.yaml:1" : "", otherSources: [])
    }

    private func snapshot(
        _ values: [ProvidedStatus], _ context: PageValue.Context = .init(), after last: PageSnapshot? = nil
    ) -> PageSnapshot { PageSnapshot(Self.report, values, context, [], after: last) }

    // MARK: - Files

    private func call(_ headers: HTTPFields, query: String? = nil, user: UInt32 = 0) -> RESTCall {
        RESTCall(
            parameters: .init(), peer: HTTPPeer(isUnix: true, user: user, address: nil, hasCertificate: false),
            query: QueryArguments(query), body: [], gate: nil, headers: headers)
    }

    @Test("browsers get the page, with what keeps others out of it; programs get the paths")
    func negotiation() throws {
        let index = Response.text("paths")
        let page = PageRoutes.page(call([.accept: "text/html,application/xhtml+xml,*/*;q=0.8"])) { index }
        #expect(page.status == .ok && page.headers[.contentType] == "text/html; charset=utf-8")
        let policy = try #require(page.headers[.contentSecurityPolicy])
        #expect(policy.hasPrefix("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'"))
        #expect(!policy.contains("unsafe"))
        #expect(page.headers[.xContentTypeOptions] == "nosniff" && page.headers[.vary] == "Accept")
        let tag = try #require(page.headers[.eTag])
        for known in [tag, "\"x\", W/\(tag)"] {
            let again = PageRoutes.page(call([.accept: "text/html", .ifNoneMatch: known])) { index }
            #expect(again.status == .notModified && again.body.contentLength == 0)
            #expect(again.headers[.eTag] == tag)
        }
        for others in [[:], [.accept: "*/*"], [.accept: "application/json"]] as [HTTPFields] {
            #expect(PageRoutes.page(call(others)) { index }.body.contentLength == 5)
        }
        #expect(PageRoutes.page(call([.accept: "text/html"], query: "paths")) { index }.body.contentLength == 5)
    }

    @Test("the files are small, name each other rightly, and load nothing of others")
    func files() {
        let texts = Dictionary(uniqueKeysWithValues: PageFile.all.map { ($0.name, "\($0.text)") })
        #expect(texts.values.map(\.utf8.count).reduce(0, +) < 200_000)
        #expect(Set(PageFile.all.map(\.tag)).count == texts.count)
        for (name, text) in texts {
            for match in text.matches(of: #/(?:from '\./|/ui/files/)([a-z.]+)/#) {
                #expect(texts[String(match.1)] != nil, "\(name) names \(match.1)")
            }
            for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "https://"] {
                #expect(!text.contains(word), "\(name): \(word)")
            }
        }
    }

    // MARK: - What is told

    @Test("a value is told with its state, its reason, its source and what the picture needs")
    func value() {
        var message = Ligato_Linux_Interfaces_Interface()
        message.name = "<b>\""
        message.type = .veth
        message.veth.peerIfName = "b"
        message.namespace.type = .nsid
        message.namespace.reference = "blue"
        let context = PageValue.Context(declared: ["a": .interface(message)], devices: [:], needs: ["a": ["b"]])
        let text = PageValue(status("a", .pending), context).json.compact
        #expect(
            text
                == #"{"key":"a","kind":"interface","state":"PENDING","summary":"veth a","details":["its peer"],"since":5000,"#
                + #""source":"files a.yaml:1","needs":["b"],"net":{"is":"interface","name":"<b>\"","type":"veth","#
                + #""space":["name","blue"],"up":false,"peer":"b"}}"#)
        let long = PageValue(status("a", .failed, error: String(repeating: "x", count: 1 << 20)), .init()).json.compact
        #expect(long.utf8.count < 5000)
    }

    @Test("a change tells what is another and what is gone, and nothing when nothing is")
    func change() throws {
        let old = snapshot([status("a", .pending), status("b", .configured), status("c", .configured)])
        #expect(
            snapshot([status("b", .configured), status("c", .configured), status("a", .pending)]).change(since: old)
                == nil)
        let new = snapshot([status("a", .configured), status("c", .configured)], after: old)
        let text = try #require(new.change(since: old))
        #expect(text.hasPrefix(#"{"values":[{"key":"a""#) && text.hasSuffix(#"],"gone":["b"]}"#))
        #expect(!text.contains(#""key":"c""#))
    }

    @Test("of too many values those that need somebody are told")
    func many() {
        let good = (0..<PageSnapshot.mostValues).map { status("good\($0)", .configured) }
        let text = snapshot(good + [status("bad", .failed)]).text
        #expect(text.contains(#""key":"bad""#) && text.contains(#""omitted":1"#))
    }

    // MARK: - Streams

    private static let limits = {
        var limits = PageFeed.Limits()
        (limits.streams, limits.peerStreams, limits.backlog, limits.rest) = (3, 2, 2, .zero)
        (limits.readers, limits.peerReaders) = (2, 1)
        return limits
    }()

    private func until(_ condition: () async -> Bool) async throws {
        while await !condition() { try await Task.sleep(for: .milliseconds(5)) }
    }

    @Test(
        "the engine is looked at once for all who follow, and left alone when they are gone", .timeLimit(.minutes(10)))
    func following() async throws {
        let backend = Still()
        backend.states.withLock { $0 = [status("a", .pending)] }
        let feed = PageFeed(backend, limits: Self.limits)
        #expect(await !feed.isAtWork && backend.looks.withLock { $0 } == 0)
        var one: PageStream? = try await feed.follow(.user(1))
        var two: PageStream? = try await feed.follow(.user(2))
        #expect(backend.looks.withLock { $0 } == 1 && backend.follows.withLock { $0 } == 1)
        for stream in [one, two] {
            var events = try #require(stream).events.makeAsyncIterator()
            let event = try #require(await events.next())
            #expect(String(buffer: event).hasPrefix("event: state\ndata: {\"agent\":{"))
        }
        backend.states.withLock { $0 = [status("a", .configured)] }
        backend.turn()
        var events = try #require(one).events.makeAsyncIterator()
        let change = try #require(await events.next())
        #expect(String(buffer: change).hasPrefix("event: change\ndata: {\"values\":[{\"key\":\"a\""))
        (one, two) = (nil, nil)
        try await until { await !feed.isAtWork }
        let looks = backend.looks.withLock { $0 }
        backend.turn()
        try await Task.sleep(for: .milliseconds(50))
        #expect(backend.looks.withLock { $0 } == looks)
    }

    @Test("every stream begins with all there is, however fast others come and go", .timeLimit(.minutes(10)))
    func beginnings() async throws {
        let backend = Still()
        var limits = PageFeed.Limits()
        (limits.streams, limits.peerStreams) = (100, 100)
        let feed = PageFeed(backend, limits: limits)
        for _ in 0..<100 {
            let starts = try await withThrowingTaskGroup(of: Bool.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        let stream = try await feed.follow(.user(1))
                        var events = stream.events.makeAsyncIterator()
                        return await events.next().map { String(buffer: $0).hasPrefix("event: state") } ?? false
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(!starts.contains(false))
        }
    }

    @Test("streams have an end, for one peer and for all, and who goes makes room", .timeLimit(.minutes(10)))
    func bounds() async throws {
        let feed = PageFeed(Still(), limits: Self.limits)
        var streams = [try await feed.follow(.user(1)), try await feed.follow(.user(1))]
        await #expect(throws: RESTError.self) { _ = try await feed.follow(.user(1)) }
        streams.append(try await feed.follow(.user(2)))
        await #expect(throws: RESTError.self) { _ = try await feed.follow(.user(3)) }
        #expect((try? await feed.follow(.user(0))) != nil, "root sees why there are so many")
        streams.removeFirst()
        #expect((try? await feed.follow(.user(1))) != nil)
    }

    @Test("a stream whose reader is too slow ends", .timeLimit(.minutes(10)))
    func slow() async throws {
        let backend = Still()
        let feed = PageFeed(backend, limits: Self.limits)
        let stream = try await feed.follow(.user(1))
        for number in 0..<10 {
            let looks = backend.looks.withLock { $0 }
            backend.states.withLock { $0 = [status("a\(number)", .configured)] }
            backend.turn()
            try await until { backend.looks.withLock { $0 } > looks }
        }
        var count = 0
        for await _ in stream.events { count += 1 }
        #expect(count == 1 + Self.limits.backlog)
    }

    /// Follows until the stream has begun, and leaves.
    private func peek(_ feed: PageFeed, _ user: UInt32 = 1) async throws -> String {
        let stream = try await feed.follow(.user(user))
        var events = stream.events.makeAsyncIterator()
        return String(buffer: try #require(await events.next()))
    }

    @Test("who comes and goes gets what was seen a moment ago, and the engine its rest", .timeLimit(.minutes(10)))
    func comingAndGoing() async throws {
        let backend = Still()
        var limits = Self.limits
        (limits.rest, limits.age) = (.seconds(3600), .zero)
        let feed = PageFeed(backend, limits: limits)
        for _ in 0..<20 {
            #expect(try await peek(feed).hasPrefix("event: state"))
            try await until { await !feed.isAtWork }
            #expect(try await String(buffer: feed.state(.user(2)).json).hasPrefix(#"{"agent""#))
            backend.turn()
        }
        #expect(backend.looks.withLock { $0 } == 1)
    }

    @Test(
        "a stream that begins with what was seen before its time is told what changed since", .timeLimit(.minutes(10)))
    func catchingUp() async throws {
        let backend = Still()
        backend.states.withLock { $0 = [status("a", .pending)] }
        var limits = Self.limits
        limits.age = .seconds(3600)
        let feed = PageFeed(backend, limits: limits)
        #expect(try await peek(feed).contains("PENDING"))
        try await until { await !feed.isAtWork }
        backend.states.withLock { $0 = [status("a", .configured)] }
        let stream = try await feed.follow(.user(1))
        var events = stream.events.makeAsyncIterator()
        #expect(String(buffer: try #require(await events.next())).contains("PENDING"))
        #expect(String(buffer: try #require(await events.next())).contains("CONFIGURED"))
        #expect(backend.looks.withLock { $0 } == 2)
    }

    @Test("what was seen is forgotten when it is old and nobody came back", .timeLimit(.minutes(10)))
    func forgetting() async throws {
        let backend = Still()
        var limits = Self.limits
        limits.age = .milliseconds(20)
        let feed = PageFeed(backend, limits: limits)
        _ = try await peek(feed)
        try await until { await !feed.isMindful }
        _ = try await feed.state(.user(1))
        try await until { await !feed.isMindful }
        #expect(await !feed.isAtWork && backend.looks.withLock { $0 } == 2)
    }

    @Test("HEAD begins no stream and looks at nothing")
    func head() async throws {
        let backend = Still()
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let responder = RESTResponder(RESTSettings(addresses: []), backend: backend, logger: logger)
        for user in [0, 65534] as [UInt32] {
            let head = HTTPRequest(method: .head, scheme: "http", authority: "localhost", path: "/ui/events")
            let response = await responder.respond(
                to: Request(head: head, body: RequestBody(buffer: .init())),
                from: HTTPPeer(isUnix: false, user: user, address: "127.0.0.1", hasCertificate: false))
            #expect(response.status == .ok)
            #expect(response.headers[.contentType] == "text/event-stream; charset=utf-8")
        }
        #expect(backend.follows.withLock { $0 } == 0 && backend.looks.withLock { $0 } == 0)
    }

    private func address(_ buffer: ByteBuffer) -> UInt {
        buffer.withUnsafeReadableBytes { UInt(bitPattern: $0.baseAddress) }
    }

    @Test("all who get the same snapshot get the same memory", .timeLimit(.minutes(10)))
    func sharing() async throws {
        let backend = Still()
        backend.states.withLock { $0 = [status("a", .pending)] }
        var limits = Self.limits
        limits.age = .seconds(3600)
        let feed = PageFeed(backend, limits: limits)
        let one = try await feed.state(.user(1))
        let two = try await feed.state(.user(2))
        #expect(address(one.json) == address(two.json))
        for user in [1, 2] as [UInt32] {
            let stream = try await feed.follow(.user(user))
            var events = stream.events.makeAsyncIterator()
            let event = try #require(await events.next())
            #expect(address(event) + UInt("event: state\ndata: ".utf8.count) == address(one.json))
            #expect(String(buffer: event) == "event: state\ndata: \(String(buffer: one.json))\n\n")
        }
        // Another snapshot is another text, also for those who come later.
        let stream = try await feed.follow(.user(1))
        backend.states.withLock { $0 = [status("a", .configured)] }
        backend.turn()
        var events = stream.events.makeAsyncIterator()
        while let event = await events.next(), !String(buffer: event).hasPrefix("event: change") {}
        let three = try await feed.state(.user(3))
        #expect(String(buffer: three.json).contains("CONFIGURED") && String(buffer: one.json).contains("PENDING"))
    }

    @Test(
        "readers have places as streams have, until all is written; streams leave them some", .timeLimit(.minutes(10)))
    func readers() async throws {
        let backend = Still()
        // More than a socket takes at once.
        backend.states.withLock { $0 = (0..<1000).map { status("a\($0)", .pending) } }
        let feed = PageFeed(backend, limits: Self.limits)
        let routes = PageRoutes(feed: feed)
        func read(_ user: UInt32) async throws -> Response {
            try await routes.state(call([:], user: user))
        }
        var streams = [try await feed.follow(.user(1)), try await feed.follow(.user(1))]
        await #expect(throws: RESTError.self) { _ = try await feed.follow(.user(1)) }
        var answers = [try await read(1)]
        #expect(try #require(answers[0].body.contentLength) > Response.part)
        await #expect(throws: RESTError.self) { _ = try await read(1) }
        // A peer's readers may take the room of its streams; all together are five.
        answers.append(try await read(2))
        answers.append(try await read(2))
        await #expect(throws: RESTError.self) { _ = try await read(3) }
        await #expect(throws: RESTError.self) { _ = try await feed.follow(.user(3)) }
        answers.removeFirst()
        answers.append(try await read(3))
        streams.removeAll()
        answers.append(try await read(1))
        answers.removeAll()
        for user in 10..<15 as Range<UInt32> { answers.append(try await read(user)) }
        await #expect(throws: RESTError.self) { _ = try await read(15) }
    }

    @Test("every path of the page asks for the right to look")
    func rights() {
        let routes = Routes(Still(), RESTSettings(addresses: []), PageFeed(Still())).all
        let page = routes.filter { $0.path == "/" || $0.path.hasPrefix("/ui/") }
        #expect(page.map(\.path).sorted() == ["/", "/ui/events", "/ui/files/{file}", "/ui/state"])
        #expect(page.allSatisfy { $0.access == .look && $0.method == .get && !$0.takesBody })
    }
}
