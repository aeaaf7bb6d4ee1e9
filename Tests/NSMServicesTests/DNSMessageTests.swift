import TestSupport
import Testing

@testable import NSMServices

/// A name that is one.
func domain(_ text: String) throws -> DNSName { try #require(DNSName(text)) }

/// A question for addresses.
func request(_ name: String, type: UInt16 = DNSNumber.a) throws -> DNSRequest {
    DNSRequest(DNSQuestion(name: try domain(name), type: type, class: DNSNumber.internet))
}

/// A server's reply, with records behind the question.
struct ReplyText {
    var code: UInt16 = 0
    var flags: UInt16 = 0x8180
    var answers: [[UInt8]] = []
    var authorities: [[UInt8]] = []
    var additional: [[UInt8]] = []

    static func record(_ type: UInt16, ttl: UInt32, _ data: [UInt8], class: UInt16 = 1) -> [UInt8] {
        var bytes: [UInt8] = [0xc0, 12]
        bytes.append(word: type)
        bytes.append(word: `class`)
        bytes.append(double: ttl)
        bytes.append(word: UInt16(data.count))
        return bytes + data
    }

    static func soa(ttl: UInt32, minimum: UInt32) -> [UInt8] {
        var data: [UInt8] = [0, 0]
        for number in [1, 2, 3, 4, minimum] { data.append(double: number) }
        return record(DNSNumber.soa, ttl: ttl, data)
    }

    static func options(size: UInt16 = 1232, ttl: UInt32 = 0) -> [UInt8] {
        var bytes: [UInt8] = [0]
        bytes.append(word: DNSNumber.opt)
        bytes.append(word: size)
        bytes.append(double: ttl)
        bytes.append(word: 0)
        return bytes
    }

    func bytes(to request: DNSRequest) -> [UInt8] {
        var bytes: [UInt8] = [0, 7]
        bytes.append(word: flags | code)
        bytes.append(word: 1)
        for list in [answers, authorities, additional] { bytes.append(word: UInt16(list.count)) }
        return bytes + request.questionBytes + answers.joined() + authorities.joined() + additional.joined()
    }

    func answer(to request: DNSRequest) throws -> DNSAnswer? { DNSAnswer(try DNSMessage(bytes(to: request))) }
}

@Suite("Names of DNS")
struct DNSNameTests {
    @Test("names are read with and without a dot at the end, and letters are small")
    func names() throws {
        #expect(try domain("Db.EXAMPLE.").description == "db.example" && domain("db.example").labelCount == 2)
        #expect(try domain("db.example").wire == [2] + Array("db".utf8) + [7] + Array("example".utf8) + [0])
        for text in ["", ".", "a..b", ".a", String(repeating: "a", count: 64), String(repeating: "ab.", count: 85)] {
            #expect(DNSName(text) == nil, "\(text)")
        }
        #expect(DNSName(checked: [3, 0, 46, 65, 0]).description == #"\000\046a"#)
    }

    @Test("a name is within its domain, at a label's border only")
    func within() throws {
        let example = try domain("example")
        #expect(try domain("db.example").isWithin(example) && example.isWithin(example))
        #expect(try !domain("dbexample").isWithin(example) && !example.isWithin(domain("db.example")))
        // A label that holds what looks like the domain's bytes.
        #expect(!DNSName(checked: [9, 7] + Array("example".utf8) + [0, 0]).isWithin(example))
        #expect(try domain("a.b.c").domains.map(\.description) == ["a.b.c", "b.c", "c"])
        #expect(try domain("one").within(domain("db.example")) == domain("one.db.example"))
        let long = try domain(Array(repeating: String(repeating: "a", count: 60), count: 4).joined(separator: "."))
        #expect(long.within(long) == nil && example.isLocalhost == false)
        #expect(try domain("x.LocalHost").isLocalhost && domain("localhost").isLocalhost)
    }
}

@Suite("Messages of DNS")
struct DNSMessageTests {
    @Test("a query is read as it was written")
    func query() throws {
        let request = try request("one.db.example")
        let bytes = request.query(id: 0x1234, hasOptions: true)
        let message = try DNSMessage(bytes)
        #expect(message.id == 0x1234 && message.question == request.question && message.options?.class == 1232)
        #expect(!message.isResponse && message.flags == 0x0100)
        guard case .request(let read) = DNSRequest.verdict(bytes) else {
            Issue.record("no request")
            return
        }
        #expect(read.question == request.question && read.largestDatagram == 1232 && !read.isDNSSEC)
        #expect(try DNSMessage(request.query(id: 1, hasOptions: false)).options == nil)
    }

    @Test("what can't be answered is refused or ignored")
    func verdicts() throws {
        let good = try request("a.example").query(id: 1, hasOptions: true)
        func code(_ bytes: [UInt8]) -> UInt16? {
            guard case .refusal(let reply) = DNSRequest.verdict(bytes) else { return nil }
            return (try? DNSMessage(reply).code) ?? UInt16(reply[3] & 15)
        }
        func changed(_ place: Int, _ byte: UInt8) -> [UInt8] {
            var bytes = good
            bytes[place] = byte
            return bytes
        }
        for bytes in [[], Array(good.prefix(11)), changed(2, 0x81), [UInt8](repeating: 0, count: 4097)] {
            guard case .ignored = DNSRequest.verdict(bytes) else {
                Issue.record("answered: \(bytes.count)")
                continue
            }
        }
        #expect(code(changed(2, 0x28)) == DNSNumber.notImplemented)
        #expect(code(changed(5, 2)) == DNSNumber.formatError && code(Array(good.dropLast(12))) == DNSNumber.formatError)
        let typePlace = good.count - 11 - 4
        #expect(
            code(changed(typePlace + 1, 252)) == DNSNumber.refused
                && code(changed(typePlace + 3, 3)) == DNSNumber.refused)
        #expect(code(changed(typePlace + 1, 249)) == DNSNumber.notImplemented)
        // Version 1 of EDNS.
        #expect(code(changed(good.count - 5, 1)) == 16)
        #expect(code(good + [0, 0, 41] + [UInt8](repeating: 0, count: 8)) == nil)
    }

    @Test("names go by pointers that lead back, and by no others")
    func pointers() throws {
        let head: [UInt8] = [UInt8](repeating: 0, count: 12)
        func name(_ bytes: [UInt8], at offset: Int = 12) throws -> [UInt8] {
            var reader = DNSReader(head + bytes)
            for _ in 0..<(offset / 2) { _ = try reader.word() }
            return try reader.name()
        }
        #expect(try name([1, 65, 0, 0, 1, 66, 0xc0, 12], at: 16) == [1, 66, 1, 65, 0])
        #expect(throws: DNSMistake.name) { try name([0xc0, 12]) }
        #expect(throws: DNSMistake.name) { try name([0xc0, 14, 0xc0, 12], at: 14) }
        #expect(throws: DNSMistake.name) { try name([0xc0, 3]) }
        #expect(throws: DNSMistake.label) { try name([0x40, 0]) }
        #expect(throws: DNSMistake.short) { try name([63, 65]) }
        #expect(throws: DNSMistake.short) { try name([0xc0]) }
        #expect(throws: DNSMistake.name) { try name(Array([[UInt8]](repeating: [1, 65], count: 128).joined()) + [0]) }
    }

    @Test("pointers that lead through each other have an end")
    func chains() throws {
        let asked = try request("a.test")
        let start = DNSMessage.headerLength + asked.questionBytes.count + DNSMessage.headerLength
        func reply(chain count: Int, records: Int) throws -> DNSMessage {
            var chain: [UInt8] = []
            for place in 0..<count { chain.append(word: 0xc000 | UInt16(place == 0 ? 12 : start + 2 * place - 2)) }
            var owner: [UInt8] = []
            owner.append(word: 0xc000 | UInt16(start + 2 * count - 2))
            let record = owner + ReplyText.record(1, ttl: 60, []).dropFirst(2)
            let records = Array(repeating: record, count: records)
            return try DNSMessage(
                ReplyText(answers: [ReplyText.record(16, ttl: 60, chain)] + records).bytes(to: asked))
        }
        #expect(try reply(chain: 126, records: 100).records.count == 101)
        #expect(throws: DNSMistake.name) { try reply(chain: 127, records: 1) }
        #expect(throws: DNSMistake.name) { try reply(chain: 126, records: 5000) }
        #expect(try reply(chain: 1, records: 5000).records.count == 5001)
    }

    @Test("only a reply to the question counts")
    func replies() throws {
        let asked = try request("a.example")
        let reply = try DNSMessage(ReplyText().bytes(to: asked))
        #expect(reply.answers(asked, id: 7) && !reply.answers(asked, id: 8))
        #expect(
            try !reply.answers(request("b.example"), id: 7) && !reply.answers(request("a.example", type: 28), id: 7))
        #expect(try !DNSMessage(ReplyText(flags: 0x0180).bytes(to: asked)).answers(asked, id: 7))
    }

    @Test("an answer lives as long as its records, or as its SOA record says, and not too long")
    func lifetimes() throws {
        let asked = try request("a.example")
        func answer(_ reply: ReplyText) throws -> DNSAnswer? { try reply.answer(to: asked) }
        let address = { (ttl: UInt32) in ReplyText.record(1, ttl: ttl, [10, 0, 0, 1]) }
        #expect(try answer(ReplyText(answers: [address(60), address(30)]))?.lifetime == 30)
        #expect(try answer(ReplyText(answers: [address(1 << 20)]))?.lifetime == DNSAnswer.longestLife)
        #expect(try answer(ReplyText(answers: [address(0x8000_0000)]))?.lifetime == 0)
        let soa = ReplyText.soa
        #expect(try answer(ReplyText(code: 3, authorities: [soa(60, 20)])).map { [$0.lifetime] } == [20])
        #expect(try answer(ReplyText(code: 3, authorities: [soa(10, 20)]))?.lifetime == 10)
        #expect(try answer(ReplyText(authorities: [soa(9999, 9999)]))?.lifetime == DNSAnswer.longestNegativeLife)
        #expect(try answer(ReplyText(code: 3))?.lifetime == 0 && answer(ReplyText(code: 3))?.kind == .noName)
        for code: UInt16 in [1, 2, 4, 5] { #expect(try answer(ReplyText(code: code)) == nil) }
        // A hint at other servers does not answer.
        let servers = ReplyText.record(DNSNumber.ns, ttl: 60, [0])
        #expect(try answer(ReplyText(authorities: [servers])) == nil)
        #expect(try answer(ReplyText(flags: 0x8580, authorities: [servers]))?.kind == .noData)
        // An error that only EDNS can say.
        #expect(try answer(ReplyText(answers: [address(1)], additional: [ReplyText.options(ttl: 1 << 24)])) == nil)
    }

    @Test("a reply has the program's id and letters, an older TTL, and EDNS only when asked with it")
    func rewriting() throws {
        let asked = try request("a.example")
        let reply = ReplyText(
            answers: [ReplyText.record(1, ttl: 100, [10, 0, 0, 1])],
            additional: [ReplyText.options(), ReplyText.record(1, ttl: 5, [1, 1, 1, 1])])
        let answer = try #require(try reply.answer(to: asked))
        var query = asked.query(id: 0xbeef, hasOptions: false)
        query[13] = UInt8(ascii: "A")
        guard case .request(let program) = DNSRequest.verdict(query) else { throw DNSMistake.short }
        let bytes = answer.reply(to: program, age: 40, limit: 512)
        let message = try DNSMessage(bytes)
        #expect(message.id == 0xbeef && bytes[13] == UInt8(ascii: "A") && message.flags == 0x8180)
        #expect(message.records.map(\.ttl) == [60] && message.options == nil)
        #expect(try DNSMessage(answer.reply(to: program, age: 400, limit: 512)).records.map(\.ttl) == [0])
        let with = try DNSMessage(answer.reply(to: asked, age: 0, limit: 512))
        #expect(with.records.count == 2 && with.options?.class == 1232)
        let cut = try DNSMessage(answer.reply(to: asked, age: 0, limit: 40))
        #expect(cut.isTruncated && cut.records.count == 1 && cut.options != nil)
    }

    @Test("addresses of a longer name become those of the short one")
    func addresses() throws {
        let long = try request("box.home.test")
        let alias = ReplyText.record(5, ttl: 9, [1, 65, 0xc0, 12])
        let reply = ReplyText(answers: [alias, ReplyText.record(1, ttl: 60, [10, 0, 0, 1])])
        let short = try request("box")
        let answer = try #require(try reply.answer(to: long)?.addresses(for: short))
        let message = try DNSMessage(answer.reply(to: short, age: 0, limit: 512))
        #expect(message.question == short.question && message.records.filter { $0.type == 1 }.map(\.ttl) == [60])
        #expect(message.records.count == 2 && answer.lifetime == 60)
        #expect(try ReplyText(code: 3).answer(to: long)?.addresses(for: short) == nil)
        #expect(try ReplyText(answers: [alias]).answer(to: long)?.addresses(for: short)?.kind == .noData)
        #expect(try DNSAnswer.localhost(request("localhost", type: 28))?.kind == .records)
        #expect(try DNSAnswer.localhost(request("localhost", type: 16)) == nil)
    }

    @Test("no bytes are too strange: read, refused or answered, but never more than that")
    func fuzz() async throws {
        let asked = try request("one.db.example")
        let samples = [
            asked.query(id: 7, hasOptions: true),
            ReplyText(
                answers: [
                    ReplyText.record(5, ttl: 5, [1, 65, 0xc0, 12]), ReplyText.record(1, ttl: 60, [10, 0, 0, 1]),
                ], authorities: [ReplyText.soa(ttl: 5, minimum: 6)],
                additional: [ReplyText.record(28, ttl: 1, [UInt8](repeating: 1, count: 16)), ReplyText.options()]
            ).bytes(to: asked),
        ]
        var counts = (read: 0, refused: 0)
        let query = asked.query(id: 7, hasOptions: true)
        for seed in Seeds("messages of DNS", usual: 20_000, long: 1_000_000, step: 200_000) {
            if seed.isMultiple(of: 256) { await Task.yield() }
            var random = SeededGenerator(seed: seed)
            if random.chance(30) {
                // A server that is none of ours.
                let reply = try? DNSMessage(random.mutated(samples[1]))
                if let reply, reply.answers(asked, id: 7) {
                    #expect(DNSName(checked: reply.question.name.wire) == asked.question.name)
                }
                _ = reply?.hasLetters(of: query)
                _ = reply?.hasLetters(of: Array(query.prefix(random.below(query.count))))
            }
            var bytes = random.pick(samples)
            for _ in 0..<random.below(4) where !bytes.isEmpty {
                switch random.below(3) {
                case 0: bytes[random.below(bytes.count)] = UInt8(random.below(256))
                case 1: bytes.removeLast(random.below(bytes.count))
                default: bytes.insert(random.pick([0, 12, 0x3f, 0xc0, 0xff]), at: random.below(bytes.count))
                }
            }
            switch DNSRequest.verdict(bytes) {
            case .ignored: break
            case .refusal(let reply):
                #expect(
                    reply.count >= 12 && reply[2] & 0x80 != 0 && reply.prefix(2) == bytes.prefix(2), "seed \(seed)")
            case .request(let request):
                #expect(try DNSMessage(request.query(id: 1, hasOptions: true)).question == request.question)
            }
            guard let message = try? DNSMessage(bytes), let answer = DNSAnswer(message) else {
                counts.refused += 1
                continue
            }
            counts.read += 1
            let own = DNSRequest(message.question)
            let limit = random.pick([512, 1232, 65535])
            let reply = answer.reply(to: own, age: UInt32(random.below(100)), limit: limit)
            #expect(reply.count <= max(limit, 512))
            #expect(try DNSMessage(reply).question == message.question)
            _ = answer.addresses(for: asked)
        }
        if counts.read + counts.refused > 1000 { #expect(counts.read > 50 && counts.refused > 50) }
    }
}
