/// What a server answered, without what is between it and us alone.
struct DNSAnswer: Hashable, Sendable {
    enum Kind: Hashable, Sendable {
        /// There are records.
        case records
        /// The name is there, and has none of that type.
        case noData
        /// There is no such name.
        case noName
    }

    let kind: Kind
    /// The question and the records.
    private let body: [UInt8]
    private let questionLength: Int
    private let counts: [Int]
    /// Where TTLs stand in the body.
    private let ttls: [Int]
    /// How long it may be kept, in seconds; 0: not at all.
    let lifetime: UInt32

    /// Nothing is kept longer. Seconds.
    static let longestLife: UInt32 = 3600
    /// Nothing that says there is nothing is kept longer. Seconds. Source: RFC 2308, section 5, which allows up to three hours.
    static let longestNegativeLife: UInt32 = 300

    /// Bytes that it takes.
    var size: Int { body.count + 8 * ttls.count + 128 }

    /// Takes a server's reply; nil: it does not help, such as a failure or a hint at other servers.
    init?(_ message: DNSMessage) {
        let answers = message.records.filter { $0.section == .answer }
        let soa = message.records.first { $0.section == .authority && $0.type == DNSNumber.soa }
        switch message.code {
        case DNSNumber.noError where !answers.isEmpty: kind = .records
        case DNSNumber.noError:
            let isReferral =
                soa == nil && message.flags & DNSNumber.Flag.authoritative == 0
                && message.records.contains { $0.section == .authority && $0.type == DNSNumber.ns }
            if isReferral { return nil }
            kind = .noData
        case DNSNumber.nameError: kind = .noName
        default: return nil
        }
        // The OPT record concerns the server and us. What follows it, if anything does, is additional.
        let kept =
            message.options.map { option in message.records.filter { $0.start < option.start } }
            ?? message.records
        let end = message.options?.start ?? message.records.last?.data.upperBound ?? message.questionEnd
        var body = Array(message.bytes[DNSMessage.headerLength..<end])
        // Where the name that was asked for is written out once more it has the letters of our question: programs see small ones.
        let name = message.question.name
        for record in kept {
            let start = record.start - DNSMessage.headerLength
            let range = start..<min(start + name.wire.count, body.count)
            if DNSName(checked: Array(body[range])) == name { body.replaceSubrange(range, with: name.wire) }
        }
        self.body = body
        questionLength = message.questionEnd - DNSMessage.headerLength
        counts = [DNSMessage.Section.answer, .authority, .additional].map { section in
            kept.reduce(0) { $0 + ($1.section == section ? 1 : 0) }
        }
        ttls = kept.map { $0.ttlOffset - DNSMessage.headerLength }
        lifetime = Self.lifetime(kind, kept, soa, message.bytes)
    }

    private static func lifetime(
        _ kind: Kind, _ records: [DNSMessage.Record], _ soa: DNSMessage.Record?, _ bytes: [UInt8]
    ) -> UInt32 {
        let least = records.map { life($0.ttl) }.min() ?? 0
        switch kind {
        case .records: return min(least, longestLife)
        case .noData, .noName:
            // Source: RFC 2308, section 5: what has no SOA record is not kept. The last of its five numbers is the limit.
            guard let soa, soa.data.count >= 22 else { return 0 }
            let minimum = bytes[soa.data.suffix(4)].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            return min(least, life(minimum), longestNegativeLife)
        }
    }

    /// Source: RFC 2181, section 8: a TTL with the highest bit is 0.
    private static func life(_ ttl: UInt32) -> UInt32 { ttl > UInt32(Int32.max) ? 0 : ttl }

    /// Makes an answer of addresses.
    private init(_ question: [UInt8], _ records: [(type: UInt16, ttl: UInt32, data: ArraySlice<UInt8>)]) {
        kind = records.isEmpty ? .noData : .records
        questionLength = question.count
        counts = [records.count, 0, 0]
        var body = question
        var ttls: [Int] = []
        for record in records {
            // A pointer to the question's name.
            body.append(word: 0xc000 | UInt16(DNSMessage.headerLength))
            body.append(word: record.type)
            body.append(word: DNSNumber.internet)
            ttls.append(body.count)
            body.append(double: record.ttl)
            body.append(word: UInt16(clamping: record.data.count))
            body += record.data
        }
        self.body = body
        self.ttls = ttls
        lifetime = min(records.map { Self.life($0.ttl) }.min() ?? 0, Self.longestLife)
    }

    /// The addresses of this answer as those of another name, which may be none; nil when there is no such name.
    func addresses(for request: DNSRequest) -> DNSAnswer? {
        if kind == .noData { return DNSAnswer(request.questionBytes, []) }
        guard kind == .records, let message = try? DNSMessage(reply(to: request.asking(.root), age: 0, body: body))
        else { return nil }
        let found = message.records.filter {
            $0.section == .answer && $0.type == request.question.type && $0.class == DNSNumber.internet
                && $0.data.count == (request.question.type == DNSNumber.a ? 4 : 16)
        }
        return DNSAnswer(
            request.questionBytes, found.map { (type: $0.type, ttl: $0.ttl, data: message.bytes[$0.data]) })
    }

    /// What `localhost` is.
    static func localhost(_ request: DNSRequest) -> DNSAnswer? {
        let address: [UInt8]
        switch request.question.type {
        case DNSNumber.a: address = [127, 0, 0, 1]
        case DNSNumber.aaaa: address = [UInt8](repeating: 0, count: 15) + [1]
        default: return nil
        }
        return DNSAnswer(request.questionBytes, [(type: request.question.type, ttl: 0, data: address[...])])
    }

    // MARK: - Replies

    /// The reply to a program that asked the same question.
    ///
    /// - Parameters:
    ///   - age: Seconds since the server answered.
    ///   - limit: The longest reply; with more it says that it is cut.
    func reply(to request: DNSRequest, age: UInt32, limit: Int) -> [UInt8] {
        guard request.questionBytes.count == questionLength else { return request.refusal(DNSNumber.serverFailure) }
        let bytes = reply(to: request, age: age, body: request.questionBytes + body[questionLength...])
        return bytes.count <= limit ? bytes : request.refusal(code, isTruncated: true)
    }

    private var code: UInt16 { kind == .noName ? DNSNumber.nameError : DNSNumber.noError }

    private func reply(to request: DNSRequest, age: UInt32, body: [UInt8]) -> [UInt8] {
        var bytes = request.head(code: code, answers: counts[0], authorities: counts[1], additional: counts[2])
        bytes += body
        for offset in ttls {
            let place = offset + DNSMessage.headerLength
            let ttl = Self.life(bytes[place..<(place + 4)].reduce(UInt32(0)) { $0 << 8 | UInt32($1) })
            let life = min(ttl, Self.longestLife)
            bytes.set(double: life > age ? life - age : 0, at: place)
        }
        request.appendOptions(to: &bytes, code: code)
        return bytes
    }
}

extension DNSName {
    /// The root.
    fileprivate static let root = DNSName(checked: [0])
}
