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
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\"".utf8
            case "\\": out += "\\\\".utf8
            case "\n": out += "\\n".utf8
            case "\r": out += "\\r".utf8
            case "\t": out += "\\t".utf8
            // What YAML does not allow to stand as it is: controls, its other line ends, the byte order mark.
            case "\0"..."\u{1f}", "\u{7f}"..."\u{9f}", "\u{2028}", "\u{2029}", "\u{feff}", "\u{fffe}", "\u{ffff}":
                let code = String(scalar.value, radix: 16)
                out += "\\u".utf8
                out += String(repeating: "0", count: 4 - code.utf8.count).utf8
                out += code.utf8
            default:
                out.append(contentsOf: UTF8.encode(scalar)?.map { $0 } ?? [])
            }
        }
        out.append(UInt8(ascii: "\""))
    }
}
