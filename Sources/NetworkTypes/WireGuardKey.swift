/// The public key of an end of WireGuard: 32 bytes, written in base64 as `wg pubkey` does.
///
/// Source: `WG_KEY_LEN`, linux/wireguard.h; wg(8).
public struct WireGuardKey: Hashable, Sendable, Comparable {
    fileprivate let words: WireGuardWords

    /// Takes 32 bytes; nil for other counts.
    public init?(_ bytes: UnsafeRawBufferPointer) {
        guard let words = WireGuardWords(bytes) else { return nil }
        self.words = words
    }

    /// Calls `body` with the 32 bytes.
    public func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try words.withBytes(body)
    }

    /// Whether all bytes are zero, which no key has.
    public var isZero: Bool { words.isZero }

    /// By their bytes.
    public static func < (left: Self, right: Self) -> Bool {
        (left.words.a.bigEndian, left.words.b.bigEndian, left.words.c.bigEndian, left.words.d.bigEndian)
            < (right.words.a.bigEndian, right.words.b.bigEndian, right.words.c.bigEndian, right.words.d.bigEndian)
    }
}

extension WireGuardKey: CustomStringConvertible, LosslessStringConvertible {
    /// Reads 44 characters of base64, the last of them `=`.
    public init?(_ text: some StringProtocol) {
        guard let words = WireGuardWords(base64: text.utf8) else { return nil }
        self.words = words
    }

    /// 44 characters of base64.
    public var description: String { words.base64 }
}

/// A private key of WireGuard, or one that two ends share: 32 bytes that nothing prints.
///
/// Whatever shows it, a log, an error, a picture of an object that holds it, shows `(hidden)`, as wg(8) does.
public struct WireGuardSecret: Hashable, Sendable {
    private var words: WireGuardWords

    /// Takes 32 bytes; nil for other counts.
    public init?(_ bytes: UnsafeRawBufferPointer) {
        guard let words = WireGuardWords(bytes) else { return nil }
        self.words = words
    }

    /// Reads 44 characters of base64, the last of them `=`; nil for anything else.
    public init?(base64 text: some Collection<UInt8>) {
        guard let words = WireGuardWords(base64: text) else { return nil }
        self.words = words
    }

    /// 32 zeros: what stands for no key in a request.
    public static let none = WireGuardSecret(words: WireGuardWords())

    private init(words: WireGuardWords) { self.words = words }

    /// Whether all bytes are zero.
    public var isZero: Bool { words.isZero }

    /// The same as a private key, which the kernel keeps in this form.
    ///
    /// Source: RFC 7748, section 5; `curve25519_clamp_secret`, crypto/curve25519.h.
    public var clamped: WireGuardSecret {
        var clamped = self
        clamped.words.a = (words.a.littleEndian & ~7).littleEndian
        clamped.words.d = (words.d.littleEndian & 0x7fff_ffff_ffff_ffff | 0x4000_0000_0000_0000).littleEndian
        return clamped
    }

    /// Calls `body` with the 32 bytes.
    public func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try words.withBytes(body)
    }
}

extension WireGuardSecret: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// `(hidden)`
    public var description: String { "(hidden)" }
    /// `(hidden)`
    public var debugDescription: String { "(hidden)" }
    /// Nothing.
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// 32 bytes, as they are in memory.
private struct WireGuardWords: Hashable, Sendable {
    var a: UInt64 = 0
    var b: UInt64 = 0
    var c: UInt64 = 0
    var d: UInt64 = 0

    init() {}

    init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count == 32 else { return nil }
        func word(_ index: Int) -> UInt64 { bytes.loadUnaligned(fromByteOffset: 8 * index, as: UInt64.self) }
        (a, b, c, d) = (word(0), word(1), word(2), word(3))
    }

    init?(base64 text: some Collection<UInt8>) {
        guard text.count == 44, text.dropFirst(43).first == UInt8(ascii: "=") else { return nil }
        var words = WireGuardWords()
        var (bits, count, position) = (UInt32(0), UInt32(0), 0)
        let isRead = withUnsafeMutableBytes(of: &words) { bytes in
            for letter in text.dropLast() {
                guard let value = Self.value(letter) else { return false }
                bits = bits << 6 | value
                count += 6
                if count < 8 { continue }
                count -= 8
                bytes[position] = UInt8(truncatingIfNeeded: bits >> count)
                position += 1
            }
            // What is left over of the last letter is zero.
            return bits & (1 << count - 1) == 0
        }
        guard isRead else { return nil }
        self = words
    }

    private static func value(_ letter: UInt8) -> UInt32? {
        switch letter {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(letter - UInt8(ascii: "A"))
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(letter - UInt8(ascii: "a")) + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(letter - UInt8(ascii: "0")) + 52
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }

    private static let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    var isZero: Bool { a | b | c | d == 0 }

    func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        var copy = self
        return try withUnsafeBytes(of: &copy, body)
    }

    var base64: String {
        withBytes { bytes in
            var text: [UInt8] = []
            text.reserveCapacity(44)
            for start in stride(from: 0, to: 30, by: 3) {
                let bits = UInt32(bytes[start]) << 16 | UInt32(bytes[start + 1]) << 8 | UInt32(bytes[start + 2])
                for shift: UInt32 in [18, 12, 6, 0] { text.append(Self.letters[Int(bits >> shift & 63)]) }
            }
            let bits = UInt32(bytes[30]) << 16 | UInt32(bytes[31]) << 8
            for shift: UInt32 in [18, 12, 6] { text.append(Self.letters[Int(bits >> shift & 63)]) }
            text.append(UInt8(ascii: "="))
            return String(decoding: text, as: UTF8.self)
        }
    }
}
