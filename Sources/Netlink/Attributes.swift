import CLinux
import NetworkTypes

/// Walks a run of netlink attributes. Whatever the bytes are, it stays inside them and ends.
struct AttributeReader: Sequence, IteratorProtocol {
    private var rest: UnsafeRawBufferPointer

    @inline(__always)
    init(_ bytes: UnsafeRawBufferPointer) { rest = bytes }

    /// The next attribute; nil at the end and at the first one whose length is impossible.
    @inline(__always)
    mutating func next() -> Attribute? {
        guard rest.count >= 4, let start = rest.baseAddress else { return nil }
        let length = Int(start.loadUnaligned(as: UInt16.self))
        guard length >= 4, length <= rest.count else { return nil }
        let type = start.loadUnaligned(fromByteOffset: 2, as: UInt16.self) & 0x3fff
        let payload = UnsafeRawBufferPointer(start: start + 4, count: length &- 4)
        let step = Swift.min((length &+ 3) & ~3, rest.count)
        rest = UnsafeRawBufferPointer(start: start + step, count: rest.count &- step)
        return Attribute(type: Int(type), payload: payload)
    }
}

/// One attribute: its type without the flag bits (`NLA_TYPE_MASK`) and its payload, which may be of any length.
struct Attribute {
    let type: Int
    let payload: UnsafeRawBufferPointer
}

/// Attributes that nothing here knows, one after the other, as the kernel sent them: what has some is not the same as what
/// has none.
public struct UnknownAttributes: Hashable, Sendable {
    private var bytes: [UInt8] = []

    /// None.
    public init() {}

    /// Whether there are none.
    public var isEmpty: Bool { bytes.isEmpty }

    /// How many bytes they have.
    var count: Int { bytes.count }

    mutating func append(_ attribute: Attribute) {
        let length = UInt16(truncatingIfNeeded: 4 + attribute.payload.count)
        withUnsafeBytes(of: length) { bytes += $0 }
        withUnsafeBytes(of: UInt16(truncatingIfNeeded: attribute.type)) { bytes += $0 }
        bytes += attribute.payload
        while bytes.count % 4 != 0 { bytes.append(0) }
    }

    /// Lends each of them.
    func forEach(_ body: (Attribute) -> Void) {
        bytes.withUnsafeBytes { for attribute in AttributeReader($0) { body(attribute) } }
    }

    /// Their numbers, and what they hold.
    public var list: [(type: Int, bytes: [UInt8])] {
        var list: [(type: Int, bytes: [UInt8])] = []
        forEach { list.append(($0.type, Array($0.payload))) }
        return list
    }

    /// Their numbers.
    public var types: [Int] {
        var types: [Int] = []
        forEach { types.append($0.type) }
        return types
    }
}

extension UnsafeRawBufferPointer {
    /// The bytes behind a fixed header; empty when there are none.
    @inline(__always)
    func after(_ count: Int) -> UnsafeRawBufferPointer {
        guard self.count > count, let baseAddress else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        return UnsafeRawBufferPointer(start: baseAddress + count, count: self.count &- count)
    }

    /// The first bytes as a number or C struct; nil when there are too few. Alignment does not matter.
    @inline(__always)
    func value<T: BitwiseCopyable>(as type: T.Type) -> T? {
        count >= MemoryLayout<T>.size ? loadUnaligned(as: T.self) : nil
    }

    /// A number of 8 bits; 0 when the payload is too short.
    @inline(__always)
    var u8: UInt8 { value(as: UInt8.self) ?? 0 }

    /// A number of 16 bits; 0 when the payload is too short.
    @inline(__always)
    var u16: UInt16 { value(as: UInt16.self) ?? 0 }

    /// A number of 32 bits; 0 when the payload is too short.
    @inline(__always)
    var u32: UInt32 { value(as: UInt32.self) ?? 0 }

    /// A signed number of 32 bits; 0 when the payload is too short.
    @inline(__always)
    var i32: Int32 { value(as: Int32.self) ?? 0 }

    /// Text up to the first NUL or the end. Bytes that are not UTF-8 become U+FFFD.
    var text: String { String(decoding: prefix { $0 != 0 }, as: UTF8.self) }

    /// Whether the text is `literal`, without making a string.
    @inline(__always)
    func isText(_ literal: String) -> Bool {
        let text = literal.utf8
        let length = text.count
        guard count >= length, count == length || self[length] == 0 else { return false }
        var index = 0
        for byte in text {
            if self[index] != byte { return false }
            index &+= 1
        }
        return true
    }
}
