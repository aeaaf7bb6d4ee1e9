import Logging
import NIOCore
import NIOPosix
import NetworkTypes
import Synchronization
import TestSupport
import Testing

@testable import NSMServices

/// A server on the loopback that sees queries as they came, and a stranger at another port who answers first.
private final class RawServer: Sendable {
    struct Query: Sendable {
        let bytes: [UInt8]
        let port: Int
        var id: UInt16 { UInt16(bytes[0]) << 8 | UInt16(bytes[1]) }
        /// The name as it was written, with its lengths.
        let name: [UInt8]
    }

    private let state = Mutex<[Query]>([])
    /// Gives the replies to a query, and how many queries came before it.
    private let replies: @Sendable (Query, DNSRequest, Int) -> [[UInt8]]

    init(_ replies: @escaping @Sendable (Query, DNSRequest, Int) -> [[UInt8]]) { self.replies = replies }

    var queries: [Query] { state.withLock { $0 } }
    func forget() { state.withLock { $0 = [] } }

    /// Asks it by an exchange of its own while `body` runs.
    func run(at address: String, port: Int, _ body: (UpstreamExchange, IPAddress) async throws -> Void) async throws {
        let group = MultiThreadedEventLoopGroup.singleton
        let stranger = try await DatagramBootstrap(group: group).bind(host: address, port: 0).get()
        let channel = try await DatagramBootstrap(group: group)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Handler(self, stranger))
                }
            }
            .bind(host: address, port: port).get()
        let server = try #require(IPAddress(address))
        do {
            try await body(
                UpstreamExchange(on: group, port: UInt16(port), waits: [.seconds(60), .seconds(60)]), server)
        } catch {
            try await channel.close()
            try await stranger.close()
            throw error
        }
        try await channel.close()
        try await stranger.close()
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = AddressedEnvelope<ByteBuffer>
        typealias OutboundOut = AddressedEnvelope<ByteBuffer>
        private let server: RawServer
        private let stranger: any Channel
        init(_ server: RawServer, _ stranger: any Channel) { (self.server, self.stranger) = (server, stranger) }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let envelope = unwrapInboundIn(data)
            let bytes = Array(envelope.data.readableBytesView)
            guard case .request(let request) = DNSRequest.verdict(bytes) else { return }
            let query = Query(
                bytes: bytes, port: envelope.remoteAddress.port ?? 0, name: Array(request.questionBytes.dropLast(4)))
            let count = server.state.withLock { queries in
                queries.append(query)
                return queries.count - 1
            }
            let to = envelope.remoteAddress
            let lie = AddressedEnvelope(remoteAddress: to, data: ByteBuffer(bytes: reply(query, request, 66)))
            stranger.writeAndFlush(lie, promise: nil)
            for bytes in server.replies(query, request, count) {
                let envelope = AddressedEnvelope(remoteAddress: to, data: ByteBuffer(bytes: bytes))
                context.writeAndFlush(wrapOutboundOut(envelope), promise: nil)
            }
        }
    }
}

/// The reply to a query with one address.
private func reply(_ query: RawServer.Query, _ request: DNSRequest, _ last: UInt8) -> [UInt8] {
    let text = ReplyText(answers: [ReplyText.record(1, ttl: 60, [10, 0, 0, last])])
    return Array(query.bytes.prefix(2)) + text.bytes(to: request).dropFirst(2)
}

/// The same with another name in the question.
private func reply(_ query: RawServer.Query, _ request: DNSRequest, _ last: UInt8, name: [UInt8]) -> [UInt8] {
    var bytes = reply(query, request, last)
    bytes.replaceSubrange(12..<(12 + query.name.count), with: name)
    return bytes
}

extension [UInt8] {
    /// Each letter the other way round; lengths of labels are below all letters.
    fileprivate var flipped: [UInt8] { map { (65...90).contains($0 & 0xdf) ? $0 ^ 0x20 : $0 } }
}

extension DNSMessage {
    /// The last byte of its first record.
    fileprivate var last: UInt8? { records.first.flatMap { bytes[$0.data].last } }
}

@Suite("What strangers can say of names")
struct UpstreamExchangeTests {
    private static let name = "a-name-of-many-letters.in-a-domain.example"

    @Test("ids, ports and letters are others for each question")
    func unguessable() async throws {
        let server = RawServer { query, request, _ in [reply(query, request, 1)] }
        try await server.run(at: "127.0.1.20", port: 5420) { exchange, address in
            let asked = try request(Self.name)
            for _ in 0..<64 { #expect(try await exchange.ask(asked, address, tries: 2).last == 1) }
            let queries = server.queries
            #expect(Set(queries.map(\.id)).count > 56 && Set(queries.map(\.port)).count > 56)
            #expect(
                Set(queries.map(\.name)).count > 56
                    && queries.allSatisfy { DNSName(checked: $0.name) == asked.question.name })
            // Not one after the other, either.
            for numbers in [queries.map { Int($0.id) }, queries.map(\.port)] {
                #expect(Set(zip(numbers, numbers.dropFirst()).map { $1 - $0 }).count > 48)
            }
            // Each letter is small here and capital there, and nothing else is changed.
            for (place, byte) in asked.question.name.wire.enumerated() {
                let isLetter = (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                #expect(Set(queries.map { $0.name[place] }) == (isLetter ? [byte, byte ^ 0x20] : [byte]))
            }
        }
    }

    @Test("type and class of a question are no letters")
    func types() async throws {
        let server = RawServer { query, request, _ in [reply(query, request, 1)] }
        try await server.run(at: "127.0.1.21", port: 5421) { exchange, address in
            // HTTPS, whose number is that of a letter.
            let asked = try request("b.example", type: 65)
            for _ in 0..<20 { _ = try await exchange.ask(asked, address, tries: 2) }
            #expect(
                server.queries.count >= 20
                    && server.queries.allSatisfy { Array($0.bytes.dropFirst(23).prefix(4)) == [0, 65, 0, 1] })
        }
    }

    @Test("a reply with another id, name, type or port, or from somebody else, is none")
    func spoofed() async throws {
        let server = RawServer { query, request, _ in
            var (id, type) = (reply(query, request, 2), reply(query, request, 3))
            id[1] ^= 1
            type[12 + query.name.count + 1] = 28
            var name = query.name
            name[1] = name[1] == 0x78 ? 0x79 : 0x78
            return [id, type, reply(query, request, 4, name: name), query.bytes, reply(query, request, 1)]
        }
        try await server.run(at: "127.0.1.22", port: 5422) { exchange, address in
            for number in 0..<20 {
                let asked = try request("n\(number).example")
                #expect(try await exchange.ask(asked, address, tries: 2).last == 1)
            }
        }
    }

    @Test("who guesses id and port, but not the letters, is not believed")
    func letters() async throws {
        let server = RawServer { query, request, count in
            count % 2 == 0
                ? [reply(query, request, 5, name: query.name.flipped), reply(query, request, 1)]
                : [reply(query, request, 1)]
        }
        try await server.run(at: "127.0.1.23", port: 5423) { exchange, address in
            let asked = try request(Self.name)
            #expect(try await exchange.ask(asked, address, tries: 2).last == 1)
            // The second question has another port and id, and the letters of the program.
            let queries = server.queries
            #expect(queries.count >= 2 && Set(queries.map(\.port)).count == queries.count)
            #expect(queries.last?.name == asked.question.name.wire)
        }
    }

    @Test("a server that does not keep letters is asked twice, until it is known, and one that keeps them once")
    func small() async throws {
        let server = RawServer { query, request, _ in [reply(query, request, 1, name: request.question.name.wire)] }
        try await server.run(at: "127.0.1.24", port: 5424) { exchange, address in
            func count(_ asked: DNSRequest) async throws -> Int {
                server.forget()
                #expect(try await exchange.ask(asked, address, tries: 2).last == 1)
                return server.queries.count
            }
            let asked = try request(Self.name)
            for _ in 0..<ServerLetters.limit { #expect(try await count(asked) >= 2) }
            #expect(try await count(asked) == 1 && server.queries[0].name == asked.question.name.wire)
            // A program that writes capital letters gets an answer, too.
            var query = asked.query(id: 1, hasOptions: false)
            query[13] = UInt8(ascii: "A")
            guard case .request(let program) = DNSRequest.verdict(query) else { throw DNSMistake.short }
            #expect(try await count(program) == 1 && server.queries[0].name[1] == UInt8(ascii: "A"))
        }
        let keeping = RawServer { query, request, _ in [reply(query, request, 1)] }
        try await keeping.run(at: "127.0.1.25", port: 5425) { exchange, address in
            for _ in 0..<10 { _ = try await exchange.ask(try request(Self.name), address, tries: 1) }
            #expect(keeping.queries.count == 10)
        }
    }

    @Test("a server that changed letters is tried again after a time, and one that keeps them now is trusted again")
    func memory() throws {
        let letters = ServerLetters()
        let server = try #require(IPAddress("10.0.0.1"))
        let now = ContinuousClock.now
        for _ in 1..<ServerLetters.limit { letters.note(server, areKept: false, at: now) }
        #expect(letters.areKept(by: server, at: now))
        letters.note(server, areKept: true, at: now)
        for _ in 1..<ServerLetters.limit { letters.note(server, areKept: false, at: now) }
        #expect(letters.areKept(by: server, at: now))
        letters.note(server, areKept: false, at: now)
        #expect(!letters.areKept(by: server, at: now) && !letters.areKept(by: server, at: now + ServerLetters.time / 2))
        #expect(letters.areKept(by: server, at: now + ServerLetters.time))
        // Once more is enough then.
        letters.note(server, areKept: false, at: now + ServerLetters.time)
        #expect(!letters.areKept(by: server, at: now + ServerLetters.time))
        for number in 0..<2000 as Range<UInt32> { letters.note(IPAddress(v4: number), areKept: false, at: now) }
        #expect(letters.areKept(by: server, at: now + ServerLetters.time))
    }

    @Test("a name that a server writes out once more has small letters")
    func owners() throws {
        let asked = try request("One.example")
        var query = asked.query(id: 7, hasOptions: false)
        query[13] = UInt8(ascii: "O")
        guard case .request(let mixed) = DNSRequest.verdict(query) else { throw DNSMistake.short }
        var text = ReplyText()
        let data = ReplyText.record(1, ttl: 60, [10, 0, 0, 1]).dropFirst(2)
        text.answers = [Array(mixed.questionBytes.dropLast(4)) + data, [3] + Array("TwO".utf8) + [0xc0, 16] + data]
        let answer = try #require(try text.answer(to: mixed))
        let reply = answer.reply(to: asked, age: 0, limit: 512)
        let records = try DNSMessage(reply).records
        #expect(Array(reply[records[0].start...].prefix(13)) == asked.question.name.wire)
        #expect(Array(reply[records[1].start...].prefix(4)) == [3] + Array("TwO".utf8))
    }
}
