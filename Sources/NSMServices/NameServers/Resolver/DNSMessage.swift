/// Why bytes can't be read as a message of DNS.
enum DNSMistake: Error, Hashable, Sendable {
    /// It ends before what it announces.
    case short
    /// A label's first byte has a meaning that nobody uses.
    case label
    /// A name is longer than 255 bytes, or its pointers lead nowhere, or are too many.
    case name
    /// Not exactly one question.
    case questions
    /// More than one OPT record, or one in a wrong place.
    case options
}

/// What is asked for.
struct DNSQuestion: Hashable, Sendable {
    let name: DNSName
    let type: UInt16
    let `class`: UInt16
}

/// Numbers of the protocol. Source: IANA, "Domain Name System (DNS) Parameters".
enum DNSNumber {
    static let a: UInt16 = 1
    static let ns: UInt16 = 2
    static let soa: UInt16 = 6
    static let aaaa: UInt16 = 28
    static let opt: UInt16 = 41
    static let internet: UInt16 = 1

    static let noError: UInt16 = 0
    static let formatError: UInt16 = 1
    static let serverFailure: UInt16 = 2
    static let nameError: UInt16 = 3
    static let notImplemented: UInt16 = 4
    static let refused: UInt16 = 5

    /// Bits of the second word of a header.
    enum Flag {
        static let response: UInt16 = 0x8000
        static let authoritative: UInt16 = 0x0400
        static let truncated: UInt16 = 0x0200
        static let recursionDesired: UInt16 = 0x0100
        static let recursionAvailable: UInt16 = 0x0080
        static let checkingDisabled: UInt16 = 0x0010
        /// In the TTL of an OPT record.
        static let dnssecOK: UInt16 = 0x8000
    }
}

/// A message whose every record was walked over, so that all ranges are inside. Source: RFC 1035, section 4; RFC 6891.
struct DNSMessage: Sendable {
    enum Section: Int, Sendable {
        case answer
        case authority
        case additional
    }

    struct Record: Sendable {
        let section: Section
        /// Where it begins.
        let start: Int
        let type: UInt16
        let `class`: UInt16
        let ttl: UInt32
        let ttlOffset: Int
        let data: Range<Int>
    }

    /// Bytes of a header.
    static let headerLength = 12

    let bytes: [UInt8]
    let id: UInt16
    let flags: UInt16
    let question: DNSQuestion
    /// Behind the question.
    let questionEnd: Int
    let records: [Record]

    var isResponse: Bool { flags & DNSNumber.Flag.response != 0 }
    var isTruncated: Bool { flags & DNSNumber.Flag.truncated != 0 }
    var opcode: UInt16 { flags >> 11 & 15 }
    /// With the bits that an OPT record adds.
    var code: UInt16 { flags & 15 | UInt16(truncatingIfNeeded: (options?.ttl ?? 0) >> 24) << 4 }
    /// The OPT record.
    var options: Record? { records.first { $0.type == DNSNumber.opt } }

    /// Reads a message with one question.
    init(_ bytes: [UInt8]) throws(DNSMistake) {
        var reader = DNSReader(bytes)
        self.bytes = bytes
        id = try reader.word()
        flags = try reader.word()
        let questions = try reader.word()
        let counts = [try reader.word(), try reader.word(), try reader.word()]
        guard questions == 1 else { throw DNSMistake.questions }
        question = DNSQuestion(
            name: DNSName(checked: try reader.name()), type: try reader.word(), class: try reader.word())
        questionEnd = reader.offset
        var records: [Record] = []
        for (section, count) in zip([Section.answer, .authority, .additional], counts) {
            for _ in 0..<count { records.append(try reader.record(section)) }
        }
        let options = records.filter { $0.type == DNSNumber.opt }
        guard options.count <= 1, options.allSatisfy({ $0.section == .additional && bytes[$0.start] == 0 }) else {
            throw DNSMistake.options
        }
        self.records = records
    }
}

/// Reads a message from its start to its end.
struct DNSReader {
    private let bytes: [UInt8]
    private(set) var offset = 0
    /// Labels and pointers that were walked over.
    private var steps = 0

    /// A name has no more pointers, as it has no more labels.
    static let mostPointers = 127
    /// A message has no more labels and pointers: those of 64 KiB could lead through each other for seconds.
    static let mostSteps = 1 << 17

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func word() throws(DNSMistake) -> UInt16 {
        guard bytes.count - offset >= 2 else { throw DNSMistake.short }
        defer { offset += 2 }
        return UInt16(bytes[offset]) << 8 | UInt16(bytes[offset + 1])
    }

    mutating func double() throws(DNSMistake) -> UInt32 { UInt32(try word()) << 16 | UInt32(try word()) }

    /// A name without pointers, and goes behind it. A pointer leads before the labels that were read already, so that it
    /// ends.
    mutating func name() throws(DNSMistake) -> [UInt8] {
        var name: [UInt8] = []
        var place = offset
        var earliest = offset
        var end: Int?
        var pointers = 0
        while true {
            steps += 1
            guard steps <= Self.mostSteps else { throw DNSMistake.name }
            guard place < bytes.count else { throw DNSMistake.short }
            let length = Int(bytes[place])
            switch length >> 6 {
            case 0:
                guard bytes.count - place > length else { throw DNSMistake.short }
                name += bytes[place...(place + length)]
                guard name.count <= DNSName.longest else { throw DNSMistake.name }
                place += 1 + length
                if length > 0 { continue }
                offset = end ?? place
                return name
            case 3:
                guard bytes.count - place >= 2 else { throw DNSMistake.short }
                let target = (length & 0x3f) << 8 | Int(bytes[place + 1])
                pointers += 1
                guard target >= DNSMessage.headerLength, target < earliest, pointers <= Self.mostPointers else {
                    throw DNSMistake.name
                }
                end = end ?? place + 2
                place = target
                earliest = target
            default: throw DNSMistake.label
            }
        }
    }

    mutating func record(_ section: DNSMessage.Section) throws(DNSMistake) -> DNSMessage.Record {
        let start = offset
        _ = try name()
        let type = try word()
        let `class` = try word()
        let ttlOffset = offset
        let ttl = try double()
        let length = Int(try word())
        guard bytes.count - offset >= length else { throw DNSMistake.short }
        let data = offset..<(offset + length)
        offset += length
        return DNSMessage.Record(
            section: section, start: start, type: type, class: `class`, ttl: ttl, ttlOffset: ttlOffset, data: data)
    }
}

/// Writes the parts of a message.
extension [UInt8] {
    mutating func append(word: UInt16) {
        append(UInt8(truncatingIfNeeded: word >> 8))
        append(UInt8(truncatingIfNeeded: word))
    }

    mutating func append(double: UInt32) {
        append(word: UInt16(truncatingIfNeeded: double >> 16))
        append(word: UInt16(truncatingIfNeeded: double))
    }

    mutating func set(word: UInt16, at offset: Int) {
        self[offset] = UInt8(truncatingIfNeeded: word >> 8)
        self[offset + 1] = UInt8(truncatingIfNeeded: word)
    }

    mutating func set(double: UInt32, at offset: Int) {
        set(word: UInt16(truncatingIfNeeded: double >> 16), at: offset)
        set(word: UInt16(truncatingIfNeeded: double), at: offset + 2)
    }

    /// An OPT record without options. Source: RFC 6891, section 6.1.
    ///
    /// - Parameters:
    ///   - size: The longest datagram that the sender takes.
    ///   - code: The upper bits of the response code.
    mutating func appendOptions(size: UInt16, code: UInt16, isDNSSEC: Bool) {
        append(0)
        append(word: DNSNumber.opt)
        append(word: size)
        append(word: (code >> 4) << 8)
        append(word: isDNSSEC ? DNSNumber.Flag.dnssecOK : 0)
        append(word: 0)
    }
}
