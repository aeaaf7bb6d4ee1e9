/// What a plain scalar stands for under YAML's core schema.
public enum YAMLScalar: Hashable, Sendable {
    /// Nothing: empty, `~`, `null`.
    case null
    /// A truth value.
    case bool(Bool)
    /// A whole number: its size and sign. Decimal, `0x` or `0o`.
    case integer(UInt64, isNegative: Bool)
    /// A number with a fraction or exponent, or too large for 64 bits; `.inf`, `.nan`.
    case float(Double)
    /// Any other text.
    case text

    /// Resolves the text of a plain scalar.
    public init(plain bytes: UnsafeRawBufferPointer) {
        guard let first = bytes.first else {
            self = .null
            return
        }
        switch first {
        case UInt8(ascii: "~"):
            self = bytes.count == 1 ? .null : .text
        case UInt8(ascii: "n"), UInt8(ascii: "N"):
            self = bytes.isWord("null", "Null", "NULL") ? .null : .text
        case UInt8(ascii: "t"), UInt8(ascii: "T"):
            self = bytes.isWord("true", "True", "TRUE") ? .bool(true) : .text
        case UInt8(ascii: "f"), UInt8(ascii: "F"):
            self = bytes.isWord("false", "False", "FALSE") ? .bool(false) : .text
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "."):
            self = Self.number(bytes)
        default:
            self = .text
        }
    }

    /// Resolves the text of a plain scalar.
    public init(plain text: String) {
        var text = text
        self = text.withUTF8 { YAMLScalar(plain: UnsafeRawBufferPointer($0)) }
    }

    private static func number(_ bytes: UnsafeRawBufferPointer) -> YAMLScalar {
        if bytes.count > 2, bytes[0] == UInt8(ascii: "0") {
            if bytes[1] == UInt8(ascii: "x") { return based(bytes.dropFirst(2), shift: 4) }
            if bytes[1] == UInt8(ascii: "o") { return based(bytes.dropFirst(2), shift: 3) }
        }
        var index = 0
        let isNegative = bytes[0] == UInt8(ascii: "-")
        if isNegative || bytes[0] == UInt8(ascii: "+") { index = 1 }
        guard index < bytes.count else { return .text }
        var value: UInt64 = 0
        for position in index..<bytes.count {
            let digit = bytes[position] &- 48
            guard digit < 10 else { return float(bytes) }
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(UInt64(digit))
            if overflow || carry { return float(bytes) }
            value = sum
        }
        return .integer(value, isNegative: isNegative)
    }

    private static func based(_ digits: Slice<UnsafeRawBufferPointer>, shift: UInt64) -> YAMLScalar {
        var value: UInt64 = 0
        for byte in digits {
            let digit: UInt8
            switch byte {
            case 48...57: digit = byte - 48
            case 97...102: digit = byte - 87
            case 65...70: digit = byte - 55
            default: return .text
            }
            guard digit < 1 << shift, value >> (64 - shift) == 0 else { return .text }
            value = value << shift | UInt64(digit)
        }
        return .integer(value, isNegative: false)
    }

    private static func float(_ bytes: UnsafeRawBufferPointer) -> YAMLScalar {
        var body = bytes[...]
        let isNegative = body.first == UInt8(ascii: "-")
        if isNegative || body.first == UInt8(ascii: "+") { body = body.dropFirst() }
        let rest = UnsafeRawBufferPointer(rebasing: body)
        if rest.isWord(".inf", ".Inf", ".INF") { return .float(isNegative ? -.infinity : .infinity) }
        if bytes.isWord(".nan", ".NaN", ".NAN") { return .float(.nan) }
        var (digits, dots, index) = (0, 0, 0)
        while index < rest.count, rest[index] == UInt8(ascii: ".") || rest[index] &- 48 < 10 {
            if rest[index] == UInt8(ascii: ".") { dots += 1 } else { digits += 1 }
            index += 1
        }
        guard digits > 0, dots <= 1 else { return .text }
        if index < rest.count {
            guard rest[index] | 32 == UInt8(ascii: "e") else { return .text }
            index += 1
            if index < rest.count, rest[index] == UInt8(ascii: "-") || rest[index] == UInt8(ascii: "+") { index += 1 }
            guard index < rest.count, rest[index...].allSatisfy({ $0 &- 48 < 10 }) else { return .text }
        }
        guard let value = Double(String(decoding: rest, as: UTF8.self)) else { return .text }
        return .float(isNegative ? -value : value)
    }
}

extension UnsafeRawBufferPointer {
    /// Whether the bytes are one of three words.
    fileprivate func isWord(_ lower: StaticString, _ title: StaticString, _ upper: StaticString) -> Bool {
        func matches(_ word: StaticString) -> Bool {
            guard count == word.utf8CodeUnitCount else { return false }
            for index in 0..<count where self[index] != word.utf8Start[index] { return false }
            return true
        }
        return matches(lower) || matches(title) || matches(upper)
    }
}

extension YAMLTree {
    /// What a scalar stands for; quoted text and blocks are always text.
    @inlinable public func scalar(_ index: Index) -> YAMLScalar {
        guard nodes[index].kind == .plain else { return .text }
        return withBytes(of: index) { YAMLScalar(plain: $0) }
    }

    /// Whether a node is a plain scalar that stands for nothing.
    @inlinable public func isNull(_ index: Index) -> Bool {
        guard nodes[index].kind == .plain else { return false }
        if nodes[index].count == 0 { return true }
        let first = text[Int(nodes[index].start)] | 32
        guard first == UInt8(ascii: "n") || first == UInt8(ascii: "~") else { return false }
        return scalar(index) == .null
    }
}
