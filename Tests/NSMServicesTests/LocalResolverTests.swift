import Glibc
import Logging
import NIOCore
import NIOPosix
import NetworkTypes
import Synchronization
import TestSupport
import Testing

@testable import NSMServices

/// A server of DNS on the loopback.
private final class NameServer: Sendable {
    let asked = Mutex<[String]>([])
    private let reply: @Sendable (DNSRequest) -> ReplyText?

    /// - Parameter reply: nil: it stays silent.
    init(_ reply: @escaping @Sendable (DNSRequest) -> ReplyText?) { self.reply = reply }

    var count: Int { asked.withLock { $0.count } }

    /// Serves at an address while `body` runs.
    static func with<Result>(
        _ servers: [(String, NameServer)], port: Int, _ body: () async throws -> Result
    ) async throws -> Result {
        var channels: [any Channel] = []
        for (address, server) in servers {
            channels.append(
                try await DatagramBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                    .channelInitializer { channel in
                        channel.eventLoop.makeCompletedFuture {
                            try channel.pipeline.syncOperations.addHandler(Handler(server))
                        }
                    }
                    .bind(host: address, port: port).get())
        }
        do {
            let result = try await body()
            for channel in channels { try await channel.close() }
            return result
        } catch {
            for channel in channels { try await channel.close() }
            throw error
        }
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = AddressedEnvelope<ByteBuffer>
        typealias OutboundOut = AddressedEnvelope<ByteBuffer>
        private let server: NameServer
        init(_ server: NameServer) { self.server = server }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let envelope = unwrapInboundIn(data)
            let query = Array(envelope.data.readableBytesView)
            guard case .request(let request) = DNSRequest.verdict(query) else { return }
            server.asked.withLock { $0.append("\(request.question.name)") }
            guard let reply = server.reply(request) else { return }
            let bytes = Array(query.prefix(2)) + reply.bytes(to: request).dropFirst(2)
            let answer = AddressedEnvelope(remoteAddress: envelope.remoteAddress, data: ByteBuffer(bytes: bytes))
            context.writeAndFlush(wrapOutboundOut(answer), promise: nil)
        }
    }
}

private let address = ReplyText(answers: [ReplyText.record(1, ttl: 60, [10, 0, 0, 1])])
private let nothing = ReplyText(code: 3, authorities: [ReplyText.soa(ttl: 60, minimum: 60)])

private func resolver(port: UInt16, _ parts: [ResolverConfiguration]) -> LocalResolver {
    // Servers of tests have all the time they need; what a silent one costs is the time of grace.
    let resolver = LocalResolver(
        UpstreamExchange(
            on: MultiThreadedEventLoopGroup.singleton, port: port, waits: [.seconds(60), .seconds(60)]),
        patience: .seconds(120),
        logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    resolver.use(ResolverRoutes(parts, original: ResolverConfiguration(), own: []))
    return resolver
}

private func part(_ servers: String..., search: [String] = []) -> ResolverConfiguration {
    var configuration = ResolverConfiguration()
    configuration.add(servers: servers, search: search)
    return configuration
}

@Suite("The local resolver")
struct LocalResolverTests {
    @Test("who asks the same at once is one question, and it is kept until its server is not asked any more")
    func together() async throws {
        let last = Mutex<UInt8>(1)
        let server = NameServer { _ in
            ReplyText(answers: [ReplyText.record(1, ttl: 60, [10, 0, 0, last.withLock { $0 }])])
        }
        try await NameServer.with([("127.0.1.1", server)], port: 5401) {
            let resolver = resolver(port: 5401, [part("127.0.1.1", search: ["db.example"])])
            let asked = try request("one.db.example")
            let answers = await withTaskGroup(of: DNSAnswer?.self) { group in
                for _ in 0..<200 { group.addTask { await resolver.answer(asked) } }
                return await group.reduce(into: [DNSAnswer?]()) { $0.append($1) }
            }
            let first = try #require(answers[0])
            // A busy machine may be slow enough for the second try.
            #expect(answers == Array(repeating: first, count: 200) && server.count <= UpstreamExchange.patience.count)
            last.withLock { $0 = 2 }
            // A change that leaves the name where it is leaves its answer.
            resolver.use(
                ResolverRoutes(
                    [part("127.0.1.1", search: ["db.example"]), part("127.0.1.9", search: ["x.test"])],
                    original: ResolverConfiguration(), own: []))
            #expect(await resolver.answer(asked) == first)
            resolver.use(ResolverRoutes([part("127.0.1.1")], original: ResolverConfiguration(), own: []))
            let second = try #require(await resolver.answer(asked))
            #expect(second.kind == .records && second != first)
        }
    }

    @Test("a server that says nothing is waited for at first, and not any more when it is known")
    func silence() async throws {
        let silent = NameServer { _ in nil }
        let knowing = NameServer { _ in nothing }
        let resolver = resolver(port: 5402, [part("127.0.1.2", "127.0.1.3")])
        let first = try request("n0.test")
        try await NameServer.with([("127.0.1.2", silent), ("127.0.1.3", knowing)], port: 5402) {
            for number in 0..<ServerHealth.limit {
                let kind = try await resolver.answer(request("n\(number).test"))?.kind
                #expect(kind == .noName)
            }
            resolver.standing = .listening(.standard)
            #expect(resolver.summary.contains("2 servers (1 silent)"))
            // What was said while the silent one could have known better is not kept.
            #expect(await resolver.answer(first)?.kind == .noName)
            #expect(knowing.asked.withLock { $0.count { $0 == "n0.test" } } >= 2)
        }
        // Now it is: there is nobody to ask any more.
        #expect(await resolver.answer(first)?.kind == .noName)
        let other = try request("n1.test")
        #expect(await resolver.answer(other) == nil)
    }

    @Test("one program's questions are bounded, and another one's find room")
    func bounds() async throws {
        let silent = NameServer { _ in nil }
        try await NameServer.with([("127.0.1.4", silent)], port: 5403) {
            let resolver = resolver(port: 5403, [part("127.0.1.4")])
            let replies = Mutex(0)
            func ask(_ name: String, _ client: String) throws {
                let query = try request(name).query(id: 1, hasOptions: false)
                resolver.take(
                    ResolverArrival(bytes: query, client: client, isDatagram: true) { _ in replies.withLock { $0 += 1 }
                    })
            }
            for number in 0..<100 { try ask("n\(number).test", "a") }
            #expect(resolver.counts.refused == 36)
            try ask("other.test", "b")
            #expect(resolver.counts.refused == 36 && resolver.counts.queries == 101)
            for number in 0..<1000 { try ask("m.test", "c\(number)") }
            #expect(resolver.counts.refused == 36 + 1000 - (512 - 65) && replies.withLock { $0 } == 0)
        }
    }

    @Test("a name of one label is tried in each domain, and then alone")
    func short() async throws {
        let server = NameServer { request in "\(request.question.name)" == "box.home.test" ? address : nothing }
        try await NameServer.with([("127.0.1.5", server)], port: 5404) {
            let resolver = resolver(port: 5404, [part("127.0.1.5", search: ["db.example", "home.test"])])
            let asked = try request("box")
            let answer = try #require(await resolver.answer(asked))
            let message = try DNSMessage(answer.reply(to: asked, age: 0, limit: 512))
            #expect(message.question == asked.question && answer.kind == .records)
            #expect(server.asked.withLock { Set($0).isSuperset(of: ["box.db.example", "box.home.test"]) })
            let kind4 = try await resolver.answer(request("none"))?.kind
            #expect(kind4 == .noName)
            // Other types are asked as they are.
            _ = await resolver.answer(try request("box", type: 16))
            #expect(server.asked.withLock { $0.last } == "box")
        }
    }

    @Test("a name of one label is tried in each domain again, whatever is known of the name alone")
    func shortAgain() async throws {
        let hasName = Mutex(false)
        let server = NameServer { request in
            // In the domain, what is not there is not kept.
            if "\(request.question.name)" == "box" { return nothing }
            return hasName.withLock { $0 } ? address : ReplyText(code: 3)
        }
        try await NameServer.with([("127.0.1.10", server)], port: 5410) {
            let resolver = resolver(port: 5410, [part("127.0.1.10", search: ["home.test"])])
            var arrivals = resolver.arrivals.makeAsyncIterator()
            func ask() async throws -> DNSMessage {
                let reply = Mutex<[UInt8]>([])
                let query = try request("box").query(id: 1, hasOptions: false)
                resolver.take(
                    ResolverArrival(bytes: query, client: "a", isDatagram: true) { bytes in
                        reply.withLock { $0 = bytes }
                    })
                if reply.withLock({ $0.isEmpty }), let (arrival, request) = await arrivals.next() {
                    await resolver.serve(arrival, request)
                }
                return try DNSMessage(reply.withLock { $0 })
            }
            let before = try await ask()
            #expect(before.code == DNSNumber.nameError)
            hasName.withLock { $0 = true }
            let after = try await ask()
            #expect(after.records.count == 1)
        }
    }

    @Test("a short name that has addresses of the other family only is there")
    func otherFamily() async throws {
        let server = NameServer { request in
            if "\(request.question.name)" != "box.home.test" { return nothing }
            return request.question.type == DNSNumber.a
                ? address : ReplyText(authorities: [ReplyText.soa(ttl: 60, minimum: 60)])
        }
        try await NameServer.with([("127.0.1.11", server)], port: 5411) {
            let resolver = resolver(port: 5411, [part("127.0.1.11", search: ["db.example", "home.test"])])
            let asked = try request("box", type: DNSNumber.aaaa)
            let answer = try #require(await resolver.answer(asked))
            let message = try DNSMessage(answer.reply(to: asked, age: 0, limit: 512))
            #expect(answer.kind == .noData && message.code == 0 && message.question == asked.question)
            let four = try request("box")
            #expect(await resolver.answer(four)?.kind == .records)
        }
    }

    @Test("a server that is silent is asked by few at once, and keeps nobody from another one")
    func rooms() async throws {
        let silent = NameServer { _ in nil }
        let knowing = NameServer { _ in address }
        try await NameServer.with([("127.0.1.12", silent), ("127.0.1.13", knowing)], port: 5412) {
            let exchange = UpstreamExchange(on: MultiThreadedEventLoopGroup.singleton, port: 5412)
            let (first, second) = (try #require(IPAddress("127.0.1.12")), try #require(IPAddress("127.0.1.13")))
            let asked = try request("a.test")
            let all = Task {
                await withTaskGroup(of: Bool.self) { group in
                    for _ in 0..<600 {
                        group.addTask {
                            do {
                                _ = try await exchange.ask(asked, first, tries: 2)
                                return false
                            } catch {
                                if case .unasked? = error as? UpstreamExchange.Failure { return true }
                                return false
                            }
                        }
                    }
                    return await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
                }
            }
            while silent.count == 0 { try await Task.sleep(for: .milliseconds(1)) }
            let message = try await exchange.ask(asked, second, tries: 2)
            #expect(message.records.count == 1)
            all.cancel()
            // A slow machine may be at the next sixteen, or more, but not far.
            let unasked = await all.value
            #expect(unasked >= 600 - 272 && unasked < 600)
        }
    }

    @Test("who gives up does not take others along")
    func abandoned() async throws {
        let gate = Mutex(false)
        let server = NameServer { _ in gate.withLock { $0 } ? address : nil }
        try await NameServer.with([("127.0.1.8", server)], port: 5408) {
            let resolver = resolver(port: 5408, [part("127.0.1.8")])
            let asked = try request("slow.test")
            let first = Task { await resolver.answer(asked) }
            while server.count == 0 { try await Task.sleep(for: .milliseconds(1)) }
            let second = Task { await resolver.answer(asked) }
            // It may ask itself, if it comes late; it has an answer all the same.
            try await Task.sleep(for: .milliseconds(50))
            gate.withLock { $0 = true }
            first.cancel()
            #expect(await first.value == nil)
            #expect(await second.value?.kind == .records && server.count >= 2)
        }
    }

    @Test("without servers, or with one that is not there, there is no answer")
    func nobody() async throws {
        let asked = try request("a.test")
        let (none, absent) = (resolver(port: 5405, []), resolver(port: 5405, [part("127.0.1.6")]))
        #expect(await none.answer(asked) == nil)
        #expect(await absent.answer(asked) == nil)
    }
}

@Suite("Sockets of the resolver")
struct ResolverSocketTests {
    @Test("an address of another host fails, and the error says what to do")
    func elsewhere() throws {
        let place = try #require(ResolverAddress("192.0.2.1:5406"))
        let error = #expect(throws: ResolverSockets.Failure.self) { try ResolverSockets.bind(place) }
        #expect(
            error?.description.contains("192.0.2.1:5406") == true
                && error?.description.contains("--dns-address") == true)
        let taken = try ResolverSockets.bind(try #require(ResolverAddress("127.0.1.7:5406")))
        let second = #expect(throws: ResolverSockets.Failure.self) { try ResolverSockets.bind(taken.address) }
        #expect(second?.description.contains("127.0.0.3:53") == true)
        for socket in [taken.datagram, taken.stream] { close(try #require(socket)) }
    }

    @Test("sockets are taken over from a service manager that means this process")
    func handed() throws {
        let own = try ResolverSockets.bind(try #require(ResolverAddress("[::1]:5407")))
        let (datagram, stream) = (try #require(own.datagram), try #require(own.stream))
        // In a row, as a manager gives them.
        let first: Int32 = 300
        #expect(dup2(stream, first) == first && dup2(datagram, first + 1) == first + 1)
        defer { for socket in [datagram, stream, first, first + 1] { close(socket) } }
        func handed(_ count: String, process: String = "\(getpid())") throws -> ResolverSockets? {
            try ResolverSockets.handed({ $0 == "LISTEN_FDS" ? count : process }, first: first)
        }
        #expect(try handed("2", process: "1") == nil && handed("0") == nil && handed("x") == nil)
        let found = try #require(try handed("2"))
        #expect(found.address.description == "[::1]:5407" && found.datagram != nil && found.stream != nil)
        for socket in [found.datagram, found.stream] { close(try #require(socket)) }
        #expect(throws: ResolverSockets.Failure.self) { try handed("1") }
    }

    @Test("a file that names a dead resolver is put back, but not that of another agent")
    func stale() throws {
        var template = Array("/tmp/nsm-agent-resolver.XXXXXX".utf8CString)
        let path = String(cString: try #require(mkdtemp(&template)))
        defer { _ = try? Command.run(["rm", "-rf", path]) }
        _ = try Command.run(["sh", "-c", "echo nameserver 10.0.0.9 >\(path)/resolv.conf"])
        var settings = try ServiceSettings(environment: { _ in nil }, host: "h")
        settings.nameServers = .resolver
        settings.resolverFile = "\(path)/resolv.conf"
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        func text() throws -> String { try Command.run(["grep", "-v", "^#", settings.resolverFile]) }
        var first = NameServers(settings, logger: logger)
        first.resolver?.standing = .listening(.standard)
        first.apply([part("10.0.0.1", search: ["a.test"])], isPartial: false)
        #expect(try text() == "search a.test\nnameserver 127.0.0.1\n")
        #expect(first.facts(of: part("10.0.0.1")).last?.contains("2 servers") == true)
        // Another agent whose address somebody has, or that is asked elsewhere.
        for place in [ResolverAddress.standard, ResolverAddress(IPAddress(v4: 0x7f00_0003), port: 53)] {
            settings.resolverAddress = place
            var other = NameServers(settings, logger: logger)
            other.resolver?.standing = .failed("taken", isTaken: place == .standard)
            other.apply([part("10.0.0.1")], isPartial: false)
            other.leave()
            #expect(try text() == "search a.test\nnameserver 127.0.0.1\n")
        }
        // The next life of the first one.
        settings.resolverAddress = .standard
        var next = NameServers(settings, logger: logger)
        next.resolver?.standing = .listening(.standard)
        next.apply([], isPartial: true)
        #expect(try text() == "search a.test\nnameserver 127.0.0.1\n")
        next.resolver?.standing = .failed("no right")
        next.apply([], isPartial: true)
        #expect(try text() == "nameserver 10.0.0.9\n")
    }

    @Test("a resolver that can't listen leaves the file alone")
    func failing() throws {
        var settings = try ServiceSettings(environment: { _ in nil }, host: "h")
        settings.nameServers = .resolver
        settings.resolverFile = "/nowhere/resolv.conf"
        var names = NameServers(settings, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let resolver = try #require(names.resolver)
        names.apply([part("10.0.0.1")], isPartial: false)
        #expect(names.facts(of: part("10.0.0.1")).last == "DNS: not listening yet")
        resolver.standing = .failed("no right")
        names.apply([part("10.0.0.1")], isPartial: false)
        #expect(
            names.facts(of: part("10.0.0.1")) == ["name servers 10.0.0.1 (asked by the resolver)", "DNS: no right"])
        // The file can't be written there.
        resolver.standing = .listening(.standard)
        names.apply([part("10.0.0.1")], isPartial: false)
        #expect(names.facts(of: part("10.0.0.1")).first?.contains("/nowhere/resolv.conf can't be") == true)
    }
}
