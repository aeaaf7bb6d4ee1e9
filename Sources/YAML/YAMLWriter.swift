/// Writes a ``Tree`` as YAML in block style, with quotes only where text would not read back as text.
public struct YAMLWriter {
    /// A list of scalars stays on one line up to this many characters.
    private static let flowWidth = 80

    private var out: [UInt8] = []

    private init() {}

    /// The text of `tree`, ending in a line feed.
    public static func write(_ tree: Tree) -> String {
        var writer = YAMLWriter()
        writer.write(tree, indent: 0, isNested: false)
        return String(decoding: writer.out, as: UTF8.self)
    }

    /// Writes what follows `key:`, `-` or the start of the text, up to and with the line feed.
    private mutating func write(_ tree: Tree, indent: Int, isNested: Bool) {
        switch tree {
        case .mapping(let pairs) where !pairs.isEmpty:
            if isNested { out.append(UInt8(ascii: "\n")) }
            write(pairs, indent: indent, firstIsIndented: false)
        case .sequence(let elements) where !elements.isEmpty:
            if let flow = flow(elements) {
                if isNested { out.append(UInt8(ascii: " ")) }
                out += flow
                out.append(UInt8(ascii: "\n"))
                return
            }
            if isNested { out.append(UInt8(ascii: "\n")) }
            for element in elements { writeElement(element, indent: indent) }
        case .null, .bool, .int, .uint, .double, .string, .sequence, .mapping:
            if isNested { out.append(UInt8(ascii: " ")) }
            writeScalar(tree, inFlow: false)
            out.append(UInt8(ascii: "\n"))
        }
    }

    private mutating func write(_ pairs: [(String, Tree)], indent: Int, firstIsIndented: Bool) {
        for (index, pair) in pairs.enumerated() {
            if index > 0 || !firstIsIndented { space(indent) }
            writeText(pair.0, inFlow: false)
            out.append(UInt8(ascii: ":"))
            write(pair.1, indent: indent + 2, isNested: true)
        }
    }

    private mutating func writeElement(_ element: Tree, indent: Int) {
        space(indent)
        out.append(UInt8(ascii: "-"))
        if case .mapping(let pairs) = element, !pairs.isEmpty {
            out.append(UInt8(ascii: " "))
            write(pairs, indent: indent + 2, firstIsIndented: true)
        } else {
            write(element, indent: indent + 2, isNested: true)
        }
    }

    private mutating func space(_ count: Int) {
        out.append(contentsOf: repeatElement(UInt8(ascii: " "), count: count))
    }

    /// A list in brackets, if it holds only scalars and is short.
    private func flow(_ elements: [Tree]) -> [UInt8]? {
        var writer = YAMLWriter()
        writer.out.append(UInt8(ascii: "["))
        for (index, element) in elements.enumerated() {
            if !element.isScalar { return nil }
            if index > 0 { writer.out += ", ".utf8 }
            writer.writeScalar(element, inFlow: true)
            guard writer.out.count < Self.flowWidth else { return nil }
        }
        writer.out.append(UInt8(ascii: "]"))
        return writer.out
    }

    private mutating func writeScalar(_ tree: Tree, inFlow: Bool) {
        switch tree {
        case .null: out += "null".utf8
        case .bool(let value): out += (value ? "true" : "false").utf8
        case .int(let value): out += String(value).utf8
        case .uint(let value): out += String(value).utf8
        case .double(let value):
            out += (value.isNaN ? ".nan" : value.isInfinite ? (value < 0 ? "-.inf" : ".inf") : "\(value)").utf8
        case .string(let text): writeText(text, inFlow: inFlow)
        case .sequence: out += "[]".utf8
        case .mapping: out += "{}".utf8
        }
    }

    private mutating func writeText(_ text: String, inFlow: Bool) {
        if Self.needsQuotes(text, inFlow: inFlow) {
            Escaping.quote(text, into: &out)
        } else {
            out += text.utf8
        }
    }

    /// Whether `text` without quotes would be read as something else, here or by a reader of YAML 1.1.
    static func needsQuotes(_ text: String, inFlow: Bool = false) -> Bool {
        let bytes = Array(text.utf8)
        guard let first = bytes.first, let last = bytes.last else { return true }
        // Text that starts like a word, a path or an address; all other beginnings may mean something to YAML.
        guard isAlphanumeric(first) || first == UInt8(ascii: "/") || first == UInt8(ascii: "_"), last != 32, last != 58
        else { return true }
        for (index, byte) in bytes.enumerated() {
            switch byte {
            case 0..<32, 127...255: return true
            case UInt8(ascii: ","), UInt8(ascii: "["), UInt8(ascii: "]"), UInt8(ascii: "{"), UInt8(ascii: "}"):
                return true
            case UInt8(ascii: ":"):
                if inFlow || bytes[index + 1] == 32 { return true }
            case UInt8(ascii: "#"):
                if bytes[index - 1] == 32 { return true }
            default: break
            }
        }
        return YAMLScalar(plain: text) != .text || isSpecialInOldYAML(bytes)
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        byte &- 48 < 10 || (byte | 32) &- 97 < 26
    }

    /// YAML 1.1 knows more truth values, numbers with `_` and base 60, and dates.
    private static func isSpecialInOldYAML(_ bytes: [UInt8]) -> Bool {
        if bytes.count <= 3 {
            let word = String(decoding: bytes.map { $0 | 32 }, as: UTF8.self)
            if ["y", "n", "yes", "no", "on", "off"].contains(word) { return true }
        }
        guard bytes[0] &- 48 < 10 else { return false }
        let isDate = bytes.count >= 8 && bytes[4] == UInt8(ascii: "-")
        return isDate || bytes.allSatisfy { $0 &- 48 < 10 || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: ":") }
            || (bytes[0] == 48 && bytes.count > 1 && bytes[1] | 32 == UInt8(ascii: "b"))
    }
}
