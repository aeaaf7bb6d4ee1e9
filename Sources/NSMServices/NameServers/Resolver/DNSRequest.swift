/// What a program asks, as far as it can be answered.
struct DNSRequest: Sendable {
    /// What the program says of its own abilities.
    struct Options: Sendable {
        /// The longest datagram that it takes, from 512.
        let size: Int
        /// Whether it wants signatures.
        let isDNSSEC: Bool
    }

    /// What becomes of a message.
    enum Verdict: Sendable {
        /// It can be answered.
        case request(DNSRequest)
        /// It gets this reply.
        case refusal([UInt8])
        /// It gets no answer.
        case ignored
    }

    let id: UInt16
    let question: DNSQuestion
    /// The question as it stands in the message: letters are as they were written.
    let questionBytes: [UInt8]
    let isRecursionDesired: Bool
    let isCheckingDisabled: Bool
    /// nil: it knows no EDNS.
    let options: Options?

    /// The longest message that is taken from programs.
    static let largest = 4096
    /// The longest datagram that we send and take. Source: DNS flag day 2020.
    static let datagram: UInt16 = 1232

    /// Looks at a message.
    static func verdict(_ bytes: [UInt8]) -> Verdict {
        guard bytes.count >= DNSMessage.headerLength, bytes.count <= largest else { return .ignored }
        // Answers get no answer, or two servers could go on for ever.
        guard bytes[2] & 0x80 == 0 else { return .ignored }
        guard bytes[2] >> 3 & 15 == 0 else { return .refusal(refusal(of: bytes, DNSNumber.notImplemented)) }
        guard let message = try? DNSMessage(bytes) else { return .refusal(refusal(of: bytes, DNSNumber.formatError)) }
        let request = DNSRequest(message)
        // Source: RFC 6891, section 6.1.3: version 0 is all there is. BADVERS is 16.
        if let options = message.options, options.ttl >> 16 & 0xff != 0 { return .refusal(request.refusal(16)) }
        guard request.question.class == DNSNumber.internet else { return .refusal(request.refusal(DNSNumber.refused)) }
        switch request.question.type {
        // OPT, TKEY, TSIG and zone transfers are nothing that a resolver looks up.
        case 0, DNSNumber.opt, 249, 250: return .refusal(request.refusal(DNSNumber.notImplemented))
        case 251, 252: return .refusal(request.refusal(DNSNumber.refused))
        default: return .request(request)
        }
    }

    private init(_ message: DNSMessage) {
        id = message.id
        question = message.question
        questionBytes = Array(message.bytes[DNSMessage.headerLength..<message.questionEnd])
        isRecursionDesired = message.flags & DNSNumber.Flag.recursionDesired != 0
        isCheckingDisabled = message.flags & DNSNumber.Flag.checkingDisabled != 0
        options = message.options.map { record in
            Options(size: max(Int(record.class), 512), isDNSSEC: record.ttl & UInt32(DNSNumber.Flag.dnssecOK) != 0)
        }
    }

    /// A request of our own.
    init(_ question: DNSQuestion, isDNSSEC: Bool = false, isCheckingDisabled: Bool = false) {
        id = 0
        self.question = question
        var bytes = question.name.wire
        bytes.append(word: question.type)
        bytes.append(word: question.class)
        questionBytes = bytes
        isRecursionDesired = true
        self.isCheckingDisabled = isCheckingDisabled
        options = Options(size: Int(Self.datagram), isDNSSEC: isDNSSEC)
    }

    /// Whether signatures are wanted.
    var isDNSSEC: Bool { options?.isDNSSEC ?? false }

    /// The same for another name.
    func asking(_ name: DNSName) -> DNSRequest {
        DNSRequest(
            DNSQuestion(name: name, type: question.type, class: question.class), isDNSSEC: isDNSSEC,
            isCheckingDisabled: isCheckingDisabled)
    }

    /// The message that asks a server.
    func query(id: UInt16, hasOptions: Bool) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(word: id)
        bytes.append(
            word: DNSNumber.Flag.recursionDesired | (isCheckingDisabled ? DNSNumber.Flag.checkingDisabled : 0))
        for count: UInt16 in [1, 0, 0, hasOptions ? 1 : 0] { bytes.append(word: count) }
        bytes += questionBytes
        if hasOptions { bytes.appendOptions(size: Self.datagram, code: 0, isDNSSEC: isDNSSEC) }
        return bytes
    }

    // MARK: - Replies

    /// The head of a reply.
    func head(code: UInt16, answers: Int, authorities: Int, additional: Int, isTruncated: Bool = false) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(word: id)
        bytes.append(word: flags(code, isTruncated: isTruncated))
        bytes.append(word: 1)
        for count in [answers, authorities, additional + (options == nil ? 0 : 1)] {
            bytes.append(word: UInt16(clamping: count))
        }
        return bytes
    }

    /// The second word of a reply.
    func flags(_ code: UInt16, isTruncated: Bool) -> UInt16 {
        var flags = DNSNumber.Flag.response | DNSNumber.Flag.recursionAvailable | code & 15
        if isRecursionDesired { flags |= DNSNumber.Flag.recursionDesired }
        if isCheckingDisabled { flags |= DNSNumber.Flag.checkingDisabled }
        if isTruncated { flags |= DNSNumber.Flag.truncated }
        return flags
    }

    /// Appends our own OPT record where the program has one.
    func appendOptions(to bytes: inout [UInt8], code: UInt16) {
        if let options {
            bytes.appendOptions(size: Self.datagram, code: code, isDNSSEC: options.isDNSSEC)
        }
    }

    /// A reply without records.
    func refusal(_ code: UInt16, isTruncated: Bool = false) -> [UInt8] {
        var bytes = head(code: code, answers: 0, authorities: 0, additional: 0, isTruncated: isTruncated)
        bytes += questionBytes
        appendOptions(to: &bytes, code: code)
        return bytes
    }

    /// A reply to what can't be read: its head alone.
    private static func refusal(of bytes: [UInt8], _ code: UInt16) -> [UInt8] {
        // The opcode and whether recursion is desired stay.
        [bytes[0], bytes[1], 0x80 | bytes[2] & 0x79, UInt8(truncatingIfNeeded: code)] + [UInt8](repeating: 0, count: 8)
    }

    /// The longest reply to a datagram.
    var largestDatagram: Int { min(options?.size ?? 512, Int(Self.datagram)) }
}
