extension IPAddress: CustomStringConvertible, LosslessStringConvertible {
    /// Reads an address as inet_pton(3) does: dotted quad without leading zeros, or RFC 4291 text without a zone.
    public init?(_ text: some StringProtocol) {
        var copy = String(text)
        let parsed = copy.withUTF8 { IPAddress(utf8: UnsafeRawBufferPointer($0)) }
        guard let parsed else { return nil }
        self = parsed
    }

    /// Reads an address from UTF-8 text; see ``init(_:)``.
    public init?(utf8 text: UnsafeRawBufferPointer) {
        if text.contains(UInt8(ascii: ":")) {
            guard let (high, low) = Self.parseV6(text) else { return nil }
            self.init(high: high, low: low)
        } else {
            guard let bits = Self.parseV4(text) else { return nil }
            self.init(v4: bits)
        }
    }

    private static func parseV4(_ text: some Collection<UInt8>) -> UInt32? {
        var result: UInt32 = 0
        var octet: UInt32 = 0
        var digits = 0
        var dots = 0
        for byte in text {
            if byte == UInt8(ascii: ".") {
                guard digits > 0, dots < 3 else { return nil }
                result = result << 8 | octet
                octet = 0
                digits = 0
                dots += 1
            } else {
                guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte), !(digits > 0 && octet == 0) else {
                    return nil
                }
                octet = octet * 10 + UInt32(byte - UInt8(ascii: "0"))
                digits += 1
                guard octet <= 255 else { return nil }
            }
        }
        guard dots == 3, digits > 0 else { return nil }
        return result << 8 | octet
    }

    private static func parseV6(_ text: UnsafeRawBufferPointer) -> (UInt64, UInt64)? {
        var groups: (high: UInt64, low: UInt64) = (0, 0)
        var count = 0
        var gap: Int?
        var index = 0
        func append(_ group: UInt64) {
            if count < 4 { groups.high |= group << UInt64(48 - 16 * count) }
            if count >= 4 { groups.low |= group << UInt64(48 - 16 * (count - 4)) }
            count += 1
        }
        let colon = UInt8(ascii: ":")
        if text.count >= 2, text[0] == colon {
            guard text[1] == colon else { return nil }
            gap = 0
            index = 2
        }
        while index < text.count {
            guard count < 8 else { return nil }
            var group: UInt64 = 0
            var digits = 0
            let start = index
            while index < text.count, let digit = hexDigit(text[index]) {
                group = group << 4 | UInt64(digit)
                digits += 1
                index += 1
                guard digits <= 4 else { return nil }
            }
            if index < text.count, text[index] == UInt8(ascii: ".") {
                guard count <= 6, let v4 = parseV4(text[start...]) else { return nil }
                append(UInt64(v4 >> 16))
                append(UInt64(v4 & 0xffff))
                index = text.count
                break
            }
            guard digits > 0 else { return nil }
            append(group)
            guard index < text.count else { break }
            guard text[index] == colon else { return nil }
            index += 1
            guard index < text.count else { return nil }
            if text[index] == colon {
                guard gap == nil else { return nil }
                gap = count
                index += 1
            }
        }
        guard let gap else { return count == 8 ? groups : nil }
        guard count < 8 else { return nil }
        return shiftTail(of: groups, from: gap, count: count)
    }

    /// Moves the groups behind `::` to the end of the address.
    private static func shiftTail(
        of groups: (high: UInt64, low: UInt64), from gap: Int, count: Int
    ) -> (UInt64, UInt64) {
        let head = IPAddress(high: groups.high, low: groups.low).masked(to: UInt8(16 * gap))
        var tail: (high: UInt64, low: UInt64) = (groups.high & ~head.high, groups.low & ~head.low)
        var shift = UInt64(16 * (8 - count))
        if shift >= 64 {
            tail = (0, tail.high)
            shift -= 64
        }
        if shift > 0 {
            tail = (tail.high >> shift, tail.low >> shift | tail.high << (64 - shift))
        }
        return (head.high | tail.high, head.low | tail.low)
    }

    private static func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    /// The canonical text: dotted quad, or RFC 5952.
    public var description: String {
        switch family {
        case .v4: "\(low >> 24).\(low >> 16 & 255).\(low >> 8 & 255).\(low & 255)"
        case .v6: textV6
        }
    }

    private var textV6: String {
        if high == 0, low >> 32 == 0xffff {
            return "::ffff:\(IPAddress(v4: UInt32(truncatingIfNeeded: low)))"
        }
        let groups = (0..<8).map { index in
            UInt16(truncatingIfNeeded: (index < 4 ? high : low) >> UInt64(48 - 16 * (index % 4)))
        }
        var longest = 0..<0
        var start = 0
        while start < 8 {
            var end = start
            while end < 8, groups[end] == 0 { end += 1 }
            if end - start > max(longest.count, 1) { longest = start..<end }
            start = max(end, start + 1)
        }
        func hex(_ range: Range<Int>) -> String {
            groups[range].map { String($0, radix: 16) }.joined(separator: ":")
        }
        guard !longest.isEmpty else { return hex(0..<8) }
        return hex(0..<longest.lowerBound) + "::" + hex(longest.upperBound..<8)
    }
}
