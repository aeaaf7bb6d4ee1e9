/// Writes a ``Tree`` as JSON (RFC 8259), indented by two spaces or in one line.
public struct JSONWriter {
    private var out: [UInt8] = []

    /// Whether it all goes into one line, without a space.
    private let isCompact: Bool

    private init(isCompact: Bool = false) { self.isCompact = isCompact }

    /// The text of `tree` in one line.
    public static func compact(_ tree: Tree) -> String {
        var writer = JSONWriter(isCompact: true)
        writer.write(tree, indent: 0)
        return String(decoding: writer.out, as: UTF8.self)
    }

    /// The text of `tree`, ending in a line feed.
    public static func write(_ tree: Tree) -> String {
        var writer = JSONWriter()
        writer.write(tree, indent: 0)
        writer.out.append(UInt8(ascii: "\n"))
        return String(decoding: writer.out, as: UTF8.self)
    }

    /// `text` as a JSON string, with its quotes.
    public static func quote(_ text: String) -> String {
        var out: [UInt8] = []
        Escaping.quote(text, into: &out)
        return String(decoding: out, as: UTF8.self)
    }

    private mutating func write(_ tree: Tree, indent: Int) {
        switch tree {
        case .null: out += "null".utf8
        case .bool(let value): out += (value ? "true" : "false").utf8
        case .int(let value): out += String(value).utf8
        case .uint(let value): out += String(value).utf8
        // JSON has no infinity; null is what other writers put there.
        case .double(let value): out += (value.isFinite ? "\(value)" : "null").utf8
        case .string(let text): Escaping.quote(text, into: &out)
        case .sequence(let elements):
            write(elements, "[", "]", indent: indent) { $0.write($1, indent: indent + 2) }
        case .mapping(let pairs):
            write(pairs, "{", "}", indent: indent) { writer, pair in
                Escaping.quote(pair.0, into: &writer.out)
                writer.out += (writer.isCompact ? ":" : ": ").utf8
                writer.write(pair.1, indent: indent + 2)
            }
        }
    }

    private mutating func write<Element>(
        _ elements: [Element], _ opening: String, _ closing: String, indent: Int,
        _ body: (inout JSONWriter, Element) -> Void
    ) {
        out += opening.utf8
        for (index, element) in elements.enumerated() {
            if index > 0 { out.append(UInt8(ascii: ",")) }
            breakLine(indent: indent + 2)
            body(&self, element)
        }
        if !elements.isEmpty { breakLine(indent: indent) }
        out += closing.utf8
    }

    private mutating func breakLine(indent: Int) {
        if isCompact { return }
        out.append(UInt8(ascii: "\n"))
        out.append(contentsOf: repeatElement(UInt8(ascii: " "), count: indent))
    }
}

/// Quotes that both JSON and YAML read.
enum Escaping {
    static func quote(_ text: String, into out: inout [UInt8]) {
        out.append(UInt8(ascii: "\""))
        var text = text
        text.withUTF8 { bytes in
            // What goes as it is, which is nearly all, goes in one piece.
            var start = 0
            var index = 0
            while index < bytes.count {
                let length = lengthOfEscaped(bytes, at: index)
                if length == 0 {
                    index += 1
                    continue
                }
                out.append(contentsOf: bytes[start..<index])
                escape(bytes[index..<index + length], into: &out)
                index += length
                start = index
            }
            out.append(contentsOf: bytes[start...])
        }
        out.append(UInt8(ascii: "\""))
    }

    /// How many bytes a character at a place of valid UTF-8 has that can't stand as it is; 0: it can. That are the quote, the
    /// backslash, and what YAML does not allow: controls, its other line ends, the byte order mark and what is no character.
    private static func lengthOfEscaped(_ bytes: UnsafeBufferPointer<UInt8>, at index: Int) -> Int {
        switch bytes[index] {
        case 0..<0x20, UInt8(ascii: "\""), UInt8(ascii: "\\"), 0x7f: 1
        // U+0080 to U+009F
        case 0xc2: bytes[index + 1] < 0xa0 ? 2 : 0
        // U+2028, U+2029
        case 0xe2: bytes[index + 1] == 0x80 && bytes[index + 2] & 0xfe == 0xa8 ? 3 : 0
        // U+FEFF, U+FFFE, U+FFFF
        case 0xef:
            switch (bytes[index + 1], bytes[index + 2]) {
            case (0xbb, 0xbf), (0xbf, 0xbe), (0xbf, 0xbf): 3
            default: 0
            }
        default: 0
        }
    }

    private static func escape(_ character: Slice<UnsafeBufferPointer<UInt8>>, into out: inout [UInt8]) {
        for scalar in String(decoding: character, as: UTF8.self).unicodeScalars {
            switch scalar {
            case "\"": out += "\\\"".utf8
            case "\\": out += "\\\\".utf8
            case "\n": out += "\\n".utf8
            case "\r": out += "\\r".utf8
            case "\t": out += "\\t".utf8
            default:
                let code = String(scalar.value, radix: 16)
                out += "\\u".utf8
                out += String(repeating: "0", count: 4 - code.utf8.count).utf8
                out += code.utf8
            }
        }
    }
}
