internal import Model

/// What is answered as JSON: with the names and the order that clients of Go programs know.
indirect enum JSON: Sendable {
    case null
    case bool(Bool)
    case int(Int64)
    case uint(UInt64)
    case double(Double)
    case string(String)
    case array([JSON])
    case object([(String, JSON)])
    /// JSON text without spaces between its parts, such as protobuf writes.
    case raw(String)

    /// An object of the fields that are there.
    static func fields(_ fields: [(String, JSON?)]) -> JSON {
        .object(fields.compactMap { name, value in value.map { (name, $0) } })
    }

    /// The text, with a line feed at its end.
    var text: String { String(decoding: bytes(), as: UTF8.self) + "\n" }

    /// The text without spaces between its parts.
    var compact: String {
        var writer = JSONText(isIndented: false)
        writer.write(self, depth: 0)
        return String(decoding: writer.out, as: UTF8.self)
    }

    func bytes(depth: Int = 0) -> [UInt8] {
        var writer = JSONText(isIndented: true)
        writer.write(self, depth: depth)
        return writer.out
    }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral {
    init(stringLiteral value: String) { self = .string(value) }
    init(booleanLiteral value: Bool) { self = .bool(value) }
    init(integerLiteral value: Int64) { self = .int(value) }
}

/// Writes JSON, indented by two spaces.
private struct JSONText {
    let isIndented: Bool
    private(set) var out: [UInt8] = []

    init(isIndented: Bool) { self.isIndented = isIndented }

    mutating func write(_ value: JSON, depth: Int) {
        switch value {
        case .null: out += "null".utf8
        case .bool(let value): out += (value ? "true" : "false").utf8
        case .int(let value): out += String(value).utf8
        case .uint(let value): out += String(value).utf8
        // JSON has no infinity.
        case .double(let value): out += (value.isFinite ? "\(value)" : "null").utf8
        case .string(let text): out += JSONWriter.quote(text).utf8
        case .raw(let text): if isIndented { writeIndented(text, depth: depth) } else { out += text.utf8 }
        case .array(let elements):
            open("[")
            for (index, element) in elements.enumerated() {
                separate(index, depth + 1)
                write(element, depth: depth + 1)
            }
            close("]", isEmpty: elements.isEmpty, depth)
        case .object(let pairs):
            open("{")
            for (index, pair) in pairs.enumerated() {
                separate(index, depth + 1)
                out += JSONWriter.quote(pair.0).utf8
                out += (isIndented ? ": " : ":").utf8
                write(pair.1, depth: depth + 1)
            }
            close("}", isEmpty: pairs.isEmpty, depth)
        }
    }

    private mutating func open(_ bracket: String) { out += bracket.utf8 }

    private mutating func close(_ bracket: String, isEmpty: Bool, _ depth: Int) {
        if !isEmpty { breakLine(depth) }
        out += bracket.utf8
    }

    private mutating func separate(_ index: Int, _ depth: Int) {
        if index > 0 { out.append(UInt8(ascii: ",")) }
        breakLine(depth)
    }

    private mutating func breakLine(_ depth: Int) {
        if !isIndented { return }
        out.append(UInt8(ascii: "\n"))
        out.append(contentsOf: repeatElement(UInt8(ascii: " "), count: 2 * depth))
    }

    /// Writes text that is JSON already; nothing but its line breaks is ours.
    private mutating func writeIndented(_ text: String, depth: Int) {
        var depth = depth
        var (isText, isEscaped) = (false, false)
        var previous: UInt8 = 0
        for byte in text.utf8 {
            if isText {
                out.append(byte)
                if isEscaped {
                    isEscaped = false
                } else if byte == UInt8(ascii: "\\") {
                    isEscaped = true
                } else if byte == UInt8(ascii: "\"") {
                    isText = false
                }
                previous = byte
                continue
            }
            let isClosing = byte == UInt8(ascii: "}") || byte == UInt8(ascii: "]")
            let wasOpening = previous == UInt8(ascii: "{") || previous == UInt8(ascii: "[")
            if isClosing {
                depth -= 1
                if !wasOpening { breakLine(depth) }
            } else if wasOpening {
                breakLine(depth)
            }
            out.append(byte)
            switch byte {
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: ","): breakLine(depth)
            case UInt8(ascii: ":"): out.append(UInt8(ascii: " "))
            case UInt8(ascii: "\""): isText = true
            default: break
            }
            previous = byte
        }
    }
}
