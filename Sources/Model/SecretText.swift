/// Secrets that somebody pastes into a configuration, which only names the files they are in. Nothing repeats them.
public enum SecretText {
    /// A text with a word in the place of each key of WireGuard, which is 43 characters of base64 and a `=`.
    public static func hidden(in text: String) -> String {
        let ranges = ranges(in: text)
        if ranges.isEmpty { return text }
        let bytes = Array(text.utf8)
        var (out, end) = ("", 0)
        for range in ranges {
            out += String(decoding: bytes[end..<range.lowerBound], as: UTF8.self) + "(hidden)"
            end = range.upperBound
        }
        return out + String(decoding: bytes[end...], as: UTF8.self)
    }

    /// A text with stars in the place of each key, as long as it was.
    public static func starred(in text: String) -> String {
        let ranges = ranges(in: text)
        if ranges.isEmpty { return text }
        var bytes = Array(text.utf8)
        for range in ranges { for index in range { bytes[index] = UInt8(ascii: "*") } }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Whether a key is in a text.
    static func isIn(_ text: String) -> Bool { !ranges(in: text).isEmpty }

    /// Whether a word looks like the name of a field for a key.
    static func isName(_ word: String) -> Bool {
        let word = word.lowercased()
        return word.contains("key") || word.contains("psk")
    }

    /// Whether a field that there is may be given a key. One that is called `key` alone is part of a label, or a number.
    static func isField(_ name: String) -> Bool { name != "key" && isName(name) }

    /// Where keys are, in bytes.
    private static func ranges(in text: String) -> [Range<Int>] {
        var ranges: [Range<Int>] = []
        var start = 0
        for (index, byte) in text.utf8.enumerated() where !isLetter(byte) {
            if byte == UInt8(ascii: "="), index - start >= 43 { ranges.append(start..<index + 1) }
            start = index + 1
        }
        return ranges
    }

    /// Whether a byte is a letter of base64. Source: RFC 4648, section 4.
    private static func isLetter(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "+"), UInt8(ascii: "/"):
            true
        default: false
        }
    }
}
