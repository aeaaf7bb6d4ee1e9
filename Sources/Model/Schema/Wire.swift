/// Walks the protobuf wire format of a message, field by field.
///
/// Source: the Protocol Buffers encoding specification.
struct Wire {
    /// The content of one field.
    enum Content {
        case number(UInt64)
        case bytes(Range<Int>)
    }

    /// One field of a message.
    struct Field {
        var number: Int
        var content: Content

        /// The content as a number; 0 for bytes.
        var value: UInt64 {
            if case .number(let value) = content { return value }
            return 0
        }
    }

    private let bytes: [UInt8]
    private var offset: Int
    private let end: Int

    /// Walks a range of `bytes`.
    init(_ bytes: [UInt8], _ range: Range<Int>) {
        self.bytes = bytes
        offset = range.lowerBound
        end = range.upperBound
    }

    /// Walks all of `bytes`.
    init(_ bytes: [UInt8]) { self.init(bytes, 0..<bytes.count) }

    /// The next field; nil at the end, and at anything that is not the wire format.
    mutating func next() -> Field? {
        guard offset < end, let tag = varint() else { return nil }
        let number = Int(tag >> 3)
        switch tag & 7 {
        case 0:
            guard let value = varint() else { return nil }
            return Field(number: number, content: .number(value))
        case 1: return fixed(8).map { Field(number: number, content: .number($0)) }
        case 2:
            guard let count = varint(), count <= UInt64(end - offset) else { return nil }
            let start = offset
            offset += Int(count)
            return Field(number: number, content: .bytes(start..<offset))
        case 5: return fixed(4).map { Field(number: number, content: .number($0)) }
        default: return nil
        }
    }

    /// The next number, for packed lists.
    mutating func varint() -> UInt64? {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while offset < end, shift < 64 {
            let byte = bytes[offset]
            offset += 1
            value |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
        return nil
    }

    private mutating func fixed(_ count: Int) -> UInt64? {
        guard end - offset >= count else { return nil }
        var value: UInt64 = 0
        for index in 0..<count { value |= UInt64(bytes[offset + index]) << UInt64(8 * index) }
        offset += count
        return value
    }

    /// The text of a field.
    func text(_ field: Field) -> String {
        guard case .bytes(let range) = field.content else { return "" }
        return String(decoding: bytes[range], as: UTF8.self)
    }

    /// A walk through a field that is a message.
    func message(_ field: Field) -> Wire {
        guard case .bytes(let range) = field.content else { return Wire(bytes, 0..<0) }
        return Wire(bytes, range)
    }

    /// Appends a number in the variable-length form.
    static func append(_ value: UInt64, to out: inout [UInt8]) {
        var rest = value
        while rest >= 0x80 {
            out.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        out.append(UInt8(truncatingIfNeeded: rest))
    }
}
