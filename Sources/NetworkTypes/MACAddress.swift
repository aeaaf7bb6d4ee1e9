/// A 48-bit Ethernet hardware address (IEEE 802).
public struct MACAddress: Hashable, Sendable {
    /// The address in the low 48 bits; the first byte on the wire is the most significant.
    public let bits: UInt64

    /// Makes an address from the low 48 bits of `bits`.
    public init(bits: UInt64) { self.bits = bits & 0xffff_ffff_ffff }

    /// Makes an address from its six bytes; nil for other counts.
    public init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count == 6 else { return nil }
        self.init(bits: bytes.reduce(0) { $0 << 8 | UInt64($1) })
    }

    /// Calls `body` with the six bytes in wire order.
    public func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        var shifted = (bits << 16).bigEndian
        return try withUnsafeBytes(of: &shifted) { try body(UnsafeRawBufferPointer(rebasing: $0[..<6])) }
    }

    /// Whether the group bit is set: such an address can't belong to an interface.
    public var isMulticast: Bool { bits >> 40 & 1 == 1 }

    /// Whether all bits are zero.
    public var isZero: Bool { bits == 0 }
}

extension MACAddress: CustomStringConvertible, LosslessStringConvertible {
    /// Reads six groups of two hexadecimal digits of either case, separated by colons, or by hyphens.
    public init?(_ text: String) {
        var bits: UInt64 = 0
        var position = 0
        var separator: UInt8?
        for byte in text.utf8 {
            if position % 3 == 2 {
                guard byte == UInt8(ascii: ":") || byte == UInt8(ascii: "-"), separator == nil || separator == byte
                else {
                    return nil
                }
                separator = byte
            } else {
                guard let digit = Self.digit(byte) else { return nil }
                bits = bits << 4 | UInt64(digit)
            }
            position += 1
            guard position <= 17 else { return nil }
        }
        guard position == 17 else { return nil }
        self.init(bits: bits)
    }

    /// What a hexadecimal digit of either case stands for. `Character` knows that, too, but takes a hundred times as long.
    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    /// Lower-case hexadecimal with colons.
    public var description: String {
        let digits: [UInt8] = Array("0123456789abcdef".utf8)
        return String(unsafeUninitializedCapacity: 17) { buffer in
            for group in 0..<6 {
                let byte = Int(bits >> UInt64(40 - 8 * group) & 255)
                buffer[group * 3] = digits[byte >> 4]
                buffer[group * 3 + 1] = digits[byte & 15]
                if group < 5 { buffer[group * 3 + 2] = UInt8(ascii: ":") }
            }
            return 17
        }
    }
}
