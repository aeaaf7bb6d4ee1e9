/// The JSON of almost every token: one object of plain strings, lists of them and whole numbers.
///
/// Tokens are read at every hop of every request. What is not plain (escapes, other types, the same name twice) is no such
/// object, and is left to the JSON library. Source: RFC 8259.
struct PlainObject {
    private enum Value {
        case text(String)
        case texts([String])
        case number(Int64)
    }
    private var values: [(name: String, value: Value)] = []

    /// Nil when it is not plain, or no JSON.
    init?(_ bytes: [UInt8]) {
        var scanner = Scanner(bytes: bytes)
        guard scanner.take("{") else { return nil }
        if !scanner.take("}") {
            repeat {
                guard let name = scanner.text(), scanner.take(":"), let value = scanner.value(),
                    !values.contains(where: { $0.name == name })
                else { return nil }
                values.append((name, value))
            } while scanner.take(",")
            guard scanner.take("}") else { return nil }
        }
        guard scanner.isAtEnd else { return nil }
    }

    func isWithout(_ name: String) -> Bool { !values.contains { $0.name == name } }

    func text(_ name: String) -> String? {
        if case .text(let text)? = value(name) { text } else { nil }
    }

    /// One text counts as a list of one.
    func texts(_ name: String) -> [String]? {
        switch value(name) {
        case .text(let text): [text]
        case .texts(let texts): texts
        case .number, nil: nil
        }
    }

    func number(_ name: String) -> Int64? {
        if case .number(let number)? = value(name) { number } else { nil }
    }

    private func value(_ name: String) -> Value? { values.first { $0.name == name }?.value }

    /// Claims as text, names in order; nil when one of them needs escapes.
    static func text(of sub: String, _ exp: Int64, _ aud: [String]?) -> String? {
        guard ([sub] + (aud ?? [])).allSatisfy({ $0.utf8.allSatisfy(isPlain) }) else { return nil }
        let audience = aud.map { "\"aud\":[\($0.map { "\"\($0)\"" }.joined(separator: ","))]," } ?? ""
        return "{\(audience)\"exp\":\(exp),\"sub\":\"\(sub)\"}"
    }

    /// Printable ASCII that stands for itself.
    private static func isPlain(_ byte: UInt8) -> Bool {
        (0x20..<0x7f).contains(byte) && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\")
    }

    private struct Scanner {
        let bytes: [UInt8]
        var place = 0

        /// Behind white space.
        var isAtEnd: Bool {
            mutating get {
                skipSpace()
                return place == bytes.count
            }
        }

        mutating func take(_ character: Unicode.Scalar) -> Bool {
            skipSpace()
            guard place < bytes.count, bytes[place] == UInt8(ascii: character) else { return false }
            place += 1
            return true
        }

        mutating func text() -> String? {
            guard take("\"") else { return nil }
            let start = place
            while place < bytes.count, PlainObject.isPlain(bytes[place]) { place += 1 }
            guard place < bytes.count, bytes[place] == UInt8(ascii: "\"") else { return nil }
            defer { place += 1 }
            return String(decoding: bytes[start..<place], as: UTF8.self)
        }

        mutating func value() -> Value? {
            skipSpace()
            guard place < bytes.count else { return nil }
            switch bytes[place] {
            case UInt8(ascii: "\""): return text().map { .text($0) }
            case UInt8(ascii: "["): return texts().map { .texts($0) }
            default: return number().map { .number($0) }
            }
        }

        private mutating func texts() -> [String]? {
            guard take("[") else { return nil }
            if take("]") { return [] }
            var texts: [String] = []
            repeat {
                guard let text = text() else { return nil }
                texts.append(text)
            } while take(",")
            return take("]") ? texts : nil
        }

        /// Digits without a leading zero, at most the number that always fits.
        private mutating func number() -> Int64? {
            let start = place
            var value: Int64 = 0
            while place < bytes.count, place - start < 18, case let digit = bytes[place] &- 0x30, digit < 10 {
                value = value * 10 + Int64(digit)
                place += 1
            }
            guard place > start, bytes[start] != 0x30 || place == start + 1 else { return nil }
            // A fraction or an exponent makes it another number.
            if place < bytes.count, !",}] \n\r\t".utf8.contains(bytes[place]) { return nil }
            return value
        }

        private mutating func skipSpace() {
            while place < bytes.count, " \n\r\t".utf8.contains(bytes[place]) { place += 1 }
        }
    }
}
