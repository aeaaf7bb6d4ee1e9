/// A domain name as messages hold it, with small letters. Source: RFC 1035, sections 2.3.4 and 3.1; RFC 4343 for the case.
struct DNSName: Hashable, Sendable {
    /// Labels behind their lengths, and a zero: at most 255 bytes.
    let wire: [UInt8]

    /// The longest name.
    static let longest = 255
    /// The longest label.
    static let longestLabel = 63

    /// Takes a name in wire format, which a reader has checked.
    init(checked wire: [UInt8]) { self.wire = wire.map(Self.small) }

    /// Reads a name such as `db.example` or `db.example.`; nil when it is none, or the root.
    init?(_ text: String) {
        var wire: [UInt8] = []
        let name = text.hasSuffix(".") ? text.dropLast() : text[...]
        for label in name.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false) {
            guard (1...Self.longestLabel).contains(label.count) else { return nil }
            wire.append(UInt8(label.count))
            wire += label.map(Self.small)
        }
        guard wire.count < Self.longest else { return nil }
        self.wire = wire + [0]
    }

    /// How many labels it has; 0 for the root.
    var labelCount: Int { suffixes.reduce(0) { count, _ in count + 1 } - 1 }

    /// Where its labels begin, the root's at last.
    private var suffixes: some Sequence<Int> {
        sequence(first: 0) { [wire] place in
            let length = Int(wire[place])
            return length == 0 ? nil : place + 1 + length
        }
    }

    /// Whether it is the domain itself or a name in it.
    func isWithin(_ domain: DNSName) -> Bool {
        guard wire.count >= domain.wire.count else { return false }
        let start = wire.count - domain.wire.count
        return suffixes.contains(start) && wire[start...].elementsEqual(domain.wire)
    }

    /// Itself and the domains that it is in, the longest first; not the root.
    var domains: some Sequence<DNSName> {
        suffixes.lazy.filter { [wire] in wire[$0] != 0 }.map { [wire] in DNSName(checked: Array(wire[$0...])) }
    }

    /// This name in a domain; nil when that would be too long.
    func within(_ domain: DNSName) -> DNSName? {
        let all = Array(wire.dropLast()) + domain.wire
        return all.count <= Self.longest ? DNSName(checked: all) : nil
    }

    /// Whether it is `localhost`, or below it. Source: RFC 6761, section 6.3.
    var isLocalhost: Bool { DNSName("localhost").map(isWithin) ?? false }

    private static func small(_ byte: UInt8) -> UInt8 {
        // Lengths are at most 63, below all letters.
        (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte | 0x20 : byte
    }
}

extension DNSName: CustomStringConvertible {
    /// For people: other bytes than printable ones are shown as `\ddd`.
    var description: String {
        var text = ""
        for start in suffixes {
            let length = Int(wire[start])
            if length == 0 { break }
            if !text.isEmpty { text += "." }
            for byte in wire[(start + 1)...(start + length)] {
                if byte > 32, byte < 127, byte != UInt8(ascii: "."), byte != UInt8(ascii: "\\") {
                    text.unicodeScalars.append(Unicode.Scalar(byte))
                } else {
                    text += "\\" + String(repeating: "0", count: 3 - "\(byte)".count) + "\(byte)"
                }
            }
        }
        return text.isEmpty ? "." : text
    }
}
