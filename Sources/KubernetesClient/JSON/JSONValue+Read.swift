extension JSONValue {
    /// Why a text is no JSON.
    public struct Mistake: Error, Sendable, Hashable, CustomStringConvertible {
        /// Bytes before the mistake.
        public let offset: Int
        /// What is wrong.
        public let text: String
        /// What is wrong, and where.
        public var description: String { "byte \(offset): \(text)" }
    }

    /// Deeper nesting than this is refused.
    static let maximumDepth = 128

    /// Reads one value. Of a key that is there twice the last one counts.
    ///
    /// - Throws: ``Mistake``.
    public init(parsing bytes: some Collection<UInt8>) throws(Mistake) {
        let result = bytes.withContiguousStorageIfAvailable { buffer in Self.read(buffer) }
        switch result ?? Array(bytes).withUnsafeBufferPointer({ Self.read($0) }) {
        case .success(let value): self = value
        case .failure(let mistake): throw mistake
        }
    }

    private static func read(_ bytes: UnsafeBufferPointer<UInt8>) -> Result<JSONValue, Mistake> {
        var reader = JSONReader(bytes: bytes)
        do throws(Mistake) {
            let value = try reader.value(depth: 0)
            reader.skipSpace()
            guard reader.position == bytes.count else { throw reader.mistake("more than one value") }
            return .success(value)
        } catch {
            return .failure(error)
        }
    }
}

/// Reads values, one byte after the other.
private struct JSONReader {
    let bytes: UnsafeBufferPointer<UInt8>
    var position = 0

    init(bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    func mistake(_ text: String) -> JSONValue.Mistake { JSONValue.Mistake(offset: position, text: text) }

    mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { position += 1 }
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard next == byte else { return false }
        position += 1
        return true
    }

    private mutating func word(_ word: StaticString, _ value: JSONValue) throws(JSONValue.Mistake) -> JSONValue {
        for index in 0..<word.utf8CodeUnitCount where !take(word.utf8Start[index]) {
            throw mistake("'\(word)' is misspelt")
        }
        return value
    }

    mutating func value(depth: Int) throws(JSONValue.Mistake) -> JSONValue {
        guard depth <= JSONValue.maximumDepth else {
            throw mistake("nested deeper than \(JSONValue.maximumDepth) levels")
        }
        skipSpace()
        switch next {
        case UInt8(ascii: "{"): return try object(depth: depth)
        case UInt8(ascii: "["): return try array(depth: depth)
        case UInt8(ascii: "\""): return .string(try text())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case .some(UInt8(ascii: "-")), .some(UInt8(ascii: "0")...UInt8(ascii: "9")): return .number(try number())
        case .some: throw mistake("no value begins like this")
        case nil: throw mistake("the text ends too early")
        }
    }

    private mutating func object(depth: Int) throws(JSONValue.Mistake) -> JSONValue {
        position += 1
        var members: [JSONValue.Member] = []
        skipSpace()
        if take(UInt8(ascii: "}")) { return .object(members) }
        while true {
            skipSpace()
            guard next == UInt8(ascii: "\"") else { throw mistake("a key in quotes is needed") }
            let key = try text()
            skipSpace()
            guard take(UInt8(ascii: ":")) else { throw mistake("':' is needed behind a key") }
            members.append(JSONValue.Member(key, try value(depth: depth + 1)))
            skipSpace()
            if take(UInt8(ascii: ",")) { continue }
            guard take(UInt8(ascii: "}")) else { throw mistake("',' or '}' is needed") }
            return .object(Self.lastOfEach(members))
        }
    }

    private static func lastOfEach(_ members: [JSONValue.Member]) -> [JSONValue.Member] {
        var places: [String: Int] = [:]
        var kept: [JSONValue.Member] = []
        kept.reserveCapacity(members.count)
        for member in members {
            if let place = places.updateValue(kept.count, forKey: member.key) {
                kept[place].value = member.value
                places[member.key] = place
            } else {
                kept.append(member)
            }
        }
        return kept
    }

    private mutating func array(depth: Int) throws(JSONValue.Mistake) -> JSONValue {
        position += 1
        var elements: [JSONValue] = []
        skipSpace()
        if take(UInt8(ascii: "]")) { return .array(elements) }
        while true {
            elements.append(try value(depth: depth + 1))
            skipSpace()
            if take(UInt8(ascii: ",")) { continue }
            guard take(UInt8(ascii: "]")) else { throw mistake("',' or ']' is needed") }
            return .array(elements)
        }
    }

    private mutating func digits() throws(JSONValue.Mistake) {
        let start = position
        while let byte = next, (0x30...0x39).contains(byte) { position += 1 }
        guard position > start else { throw mistake("a digit is needed") }
    }

    private mutating func number() throws(JSONValue.Mistake) -> String {
        let start = position
        _ = take(UInt8(ascii: "-"))
        if !take(UInt8(ascii: "0")) { try digits() }
        if take(UInt8(ascii: ".")) { try digits() }
        if let byte = next, byte | 0x20 == UInt8(ascii: "e") {
            position += 1
            if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
            try digits()
        }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }
}

extension JSONReader {
    fileprivate mutating func text() throws(JSONValue.Mistake) -> String {
        position += 1
        let start = position
        while let byte = next, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 { position += 1 }
        if next == UInt8(ascii: "\"") {
            position += 1
            return String(decoding: bytes[start..<position - 1], as: UTF8.self)
        }
        var out = Array(bytes[start..<position])
        while let byte = next {
            position += 1
            switch byte {
            case UInt8(ascii: "\""): return String(decoding: out, as: UTF8.self)
            case UInt8(ascii: "\\"): try escape(into: &out)
            case 0..<0x20: throw mistake("a control character must be written as \\u")
            default: out.append(byte)
            }
        }
        throw mistake("a text has no end")
    }

    private mutating func escape(into out: inout [UInt8]) throws(JSONValue.Mistake) {
        guard let byte = next else { throw mistake("a text has no end") }
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): out.append(byte)
        case UInt8(ascii: "b"): out.append(0x08)
        case UInt8(ascii: "f"): out.append(0x0c)
        case UInt8(ascii: "n"): out.append(0x0a)
        case UInt8(ascii: "r"): out.append(0x0d)
        case UInt8(ascii: "t"): out.append(0x09)
        case UInt8(ascii: "u"): String(Character(try scalar())).utf8.forEach { out.append($0) }
        default: throw mistake("no such escape")
        }
    }

    /// Halves of a pair that stand alone become U+FFFD, as in Go's readers.
    private mutating func scalar() throws(JSONValue.Mistake) -> Unicode.Scalar {
        let first = try code()
        if let scalar = Unicode.Scalar(first) { return scalar }
        let after = position
        if first < 0xdc00, next == UInt8(ascii: "\\") {
            position += 1
            if next == UInt8(ascii: "u") {
                position += 1
                let second = try code()
                if (0xdc00..<0xe000).contains(second),
                    let scalar = Unicode.Scalar(0x10000 + (UInt32(first) - 0xd800) << 10 + (UInt32(second) - 0xdc00))
                {
                    return scalar
                }
            }
        }
        position = after
        return "\u{fffd}"
    }

    private mutating func code() throws(JSONValue.Mistake) -> UInt16 {
        var code: UInt16 = 0
        for _ in 0..<4 {
            guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue, byte < 0x80 else {
                throw mistake("four hexadecimal digits are needed")
            }
            code = code << 4 | UInt16(digit)
            position += 1
        }
        return code
    }
}
