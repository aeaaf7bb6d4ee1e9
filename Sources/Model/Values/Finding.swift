/// One step from a value to one of its fields.
public enum PathPart: Hashable, Sendable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral {
    /// A field, by its name in the .proto file.
    case field(String)
    /// An element of a list.
    case element(Int)
    /// A key of a map.
    case key(String)
    /// A place within a text, both counted from 1. Its finding names it in words.
    case place(line: Int, column: Int)

    /// A field.
    public init(stringLiteral value: String) { self = .field(value) }
    /// An element of a list.
    public init(integerLiteral value: Int) { self = .element(value) }
}

/// Something that is to be said of a field of a value.
public struct Finding: Hashable, Sendable, CustomStringConvertible {
    /// What follows from it.
    public enum Weight: Hashable, Sendable {
        /// The value is wrong.
        case mistake
        /// The value is right, but can never be configured here.
        case impossible
        /// A part of the value is not used.
        case warning
    }

    /// What follows from it.
    public let weight: Weight
    /// The field; empty: the value as a whole.
    public let path: [PathPart]
    /// The field's content, when it helps to see it.
    public let value: String?
    /// What is to be said.
    public let text: String
    /// Whether it is about the content of this field alone, whatever other fields say.
    let isMalformed: Bool

    /// `FIELD 'VALUE' TEXT`, such as `gw_addr 'fd00::1' is IPv6, but the destination is IPv4`.
    public var description: String {
        var words: [String] = []
        if !path.isEmpty { words.append(Self.text(of: path)) }
        // What stands where a key may stand is not repeated.
        if let value, !isSecret { words.append(value.inQuotes) }
        return SecretText.hidden(in: (words + [text]).joined(separator: " "))
    }

    /// Whether the field may hold a key, by its name.
    var isSecret: Bool { fields.contains(where: SecretText.isField) }

    /// The fields on the way, by their names in the .proto file.
    public var fields: [String] {
        path.compactMap { part in
            if case .field(let name) = part { return name }
            return nil
        }
    }

    static func text(of path: [PathPart]) -> String {
        var text = ""
        for part in path {
            switch part {
            case .field(let name): text += text.isEmpty ? name : ".\(name)"
            case .element(let index): text += "[\(index)]"
            case .key(let key): text += "[\(key.inQuotes)]"
            case .place: break
            }
        }
        return text
    }
}

/// Findings as they are made: the first ones, and how many there were beyond.
struct FieldFindings {
    private(set) var list: [Finding] = []
    /// Mistakes that are only counted.
    private(set) var omitted = 0
    /// Whether the value can't be used.
    private(set) var isBroken = false
    /// For how many mistakes a suggestion is looked for.
    private let suggestions: Int

    init(suggestions: Int = Findings.suggestions) { self.suggestions = suggestions }

    /// Notes a mistake. The text is only made when it is kept.
    mutating func mistake(
        _ path: @autoclosure () -> [PathPart], value: @autoclosure () -> String? = nil,
        _ text: @autoclosure () -> String
    ) {
        add(path, value, text, isMalformed: false)
    }

    /// Notes a field whose content can't be right, whatever other fields say.
    mutating func malformed(
        _ path: @autoclosure () -> [PathPart], value: @autoclosure () -> String?, _ text: @autoclosure () -> String
    ) {
        add(path, value, text, isMalformed: true)
    }

    private mutating func add(
        _ path: () -> [PathPart], _ value: () -> String?, _ text: () -> String, isMalformed: Bool
    ) {
        isBroken = true
        guard list.count < Findings.limit else {
            omitted += 1
            return
        }
        list.append(
            Finding(weight: .mistake, path: path(), value: value(), text: text(), isMalformed: isMalformed))
    }

    /// Notes that the value can never be configured here.
    mutating func impossible(_ path: [PathPart], value: String, _ text: String) {
        list.append(Finding(weight: .impossible, path: path, value: value, text: text, isMalformed: false))
    }

    /// Notes a part that is not used.
    mutating func warning(_ path: [PathPart], _ text: String) {
        list.append(Finding(weight: .warning, path: path, value: nil, text: text, isMalformed: false))
    }

    /// `; did you mean 'x'?` for the first few mistakes, or nothing.
    func hint(for word: String, among candidates: @autoclosure () -> [String]) -> String {
        list.count < suggestions ? Suggestion.phrase(for: word, among: candidates()) : ""
    }
}
