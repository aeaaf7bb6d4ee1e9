internal import YAML

/// Turns mappings into messages and notes what has not the shape of one: unknown fields, numbers that are none or too large.
///
/// What the content of fields means is not looked at here: that is done once, for messages from everywhere, by
/// ``ModelValue/checked(suggestions:)``.
///
/// It knows no message by name: the schema says what a field may hold. A message is written in its wire form, in one buffer
/// for all, and its generated code reads that, which sets its fields. SwiftProtobuf has another way in, a `Decoder` that
/// generated code asks for one field after the other; but that one needs Foundation's `Data`, which this room does without,
/// and it has a method for each of the fifteen scalar types in three forms, of which our messages use five. Nothing is
/// parsed on the way from the buffer to the fields: texts are copied, numbers are numbers.
struct MessageDecoder {
    /// What leads from a value to one of its fields.
    private enum Step {
        case field(Int)
        case element(Int)
        case key(Int)
    }

    /// No text of a value is longer, in bytes.
    static let maximumTextLength = 64 << 10
    /// Those that may be: a table of filter rules with its sets is one text.
    private static let longTexts = ["ruleset": RulesetText.mostBytes]

    let schema = Schema.plain
    /// The text that is being read.
    var source: Source
    /// The wire form of the last message.
    private(set) var bytes: [UInt8] = []
    /// What was found wrong.
    private(set) var mistakes = Findings()

    /// How many names of this host were looked up.
    private(set) var lookups = 0
    private let names: NameResolver

    private var path: [Step] = []
    private var root = 0
    private var kind = ModelDescription.Kind.interface
    /// Mistakes found, counting those that were not listed.
    private var failures = 0

    init(source: Source, names: NameResolver = .none) {
        self.source = source
        self.names = names
        bytes.reserveCapacity(1024)
    }

    /// Reads the value at `node`; nil when something is wrong with it.
    mutating func decode(_ kind: ModelDescription.Kind, _ node: Int) -> ModelValue? {
        self.kind = kind
        root = node
        bytes.removeAll(keepingCapacity: true)
        let before = failures
        message(node, Schema.modelMessages[kind.rawValue])
        guard failures == before else { return nil }
        do {
            return try ModelValue(kind, serializedBytes: bytes)
        } catch {
            report(node, "can't be decoded: \(error)")
            return nil
        }
    }

    /// What there is of a value that could not be decoded as a whole.
    func part(_ kind: ModelDescription.Kind) -> ModelValue? { try? ModelValue(kind, serializedBytes: bytes) }

    private mutating func message(_ node: Int, _ type: Int) {
        guard source.tree.kind(of: node) == .mapping else {
            report(node, "must be a mapping of fields to values")
            return
        }
        let first = schema.messages[type].fields.lowerBound
        var seen: UInt64 = 0
        var member: Int?
        for (key, value) in source.tree.pairs(of: node) {
            guard let field = schema.field(source.tree, key: key, in: type) else {
                unknownField(key, in: type)
                continue
            }
            let bit: UInt64 = 1 << UInt64(field - first)
            if seen & bit != 0 {
                let names = schema.names[field]
                report(key, "has both '\(names.json)' and '\(names.original)', which are one field")
            }
            seen |= bit
            if source.tree.isNull(value) { continue }
            let shape = schema.fields[field]
            if shape.oneof >= 0 {
                if let member {
                    let names = (schema.names[member].original, schema.names[field].original)
                    report(key, "has both '\(names.0)' and '\(names.1)'; only one of them can be set")
                }
                member = field
            }
            path.append(.field(field))
            switch shape.cardinality {
            case .single, .optional: self.value(value, shape)
            case .repeated: list(value, shape)
            case .list: wrappedList(value, shape)
            case .map: map(value, shape)
            }
            path.removeLast()
        }
    }

    private mutating func list(_ node: Int, _ shape: FieldSchema) {
        guard source.tree.kind(of: node) == .sequence else {
            report(node, "must be a list")
            return
        }
        for (index, element) in source.tree.elements(of: node).enumerated() {
            path.append(.element(index))
            let before = (failures, bytes.count)
            if source.tree.isNull(element) {
                report(element, "is empty")
            } else {
                value(element, shape)
            }
            // What stands behind it keeps its place in the list.
            if failures != before.0, bytes.count == before.1 { appendEmpty(shape) }
            path.removeLast()
        }
    }

    /// A list inside a message of its own, which is there even when the list is empty.
    private mutating func wrappedList(_ node: Int, _ shape: FieldSchema) {
        Wire.append(UInt64(shape.number) << 3 | 2, to: &bytes)
        let start = beginLength()
        list(node, schema.content(of: shape))
        endLength(start)
    }

    private mutating func map(_ node: Int, _ shape: FieldSchema) {
        guard source.tree.kind(of: node) == .mapping else {
            report(node, "must be a mapping of names to values")
            return
        }
        for (key, value) in source.tree.pairs(of: node) {
            path.append(.key(key))
            Wire.append(UInt64(shape.number) << 3 | 2, to: &bytes)
            let start = beginLength()
            Wire.append(1 << 3 | 2, to: &bytes)
            appendText(of: key)
            if text(value) {
                Wire.append(2 << 3 | 2, to: &bytes)
                appendText(of: value)
            }
            endLength(start)
            path.removeLast()
        }
    }

    /// Appends one value with its tag.
    private mutating func value(_ node: Int, _ shape: FieldSchema) {
        let tag = UInt64(shape.number) << 3
        switch shape.type {
        case .message(let type):
            Wire.append(tag | 2, to: &bytes)
            let start = beginLength()
            message(node, type)
            endLength(start)
        case .string:
            guard text(node) else { return }
            Wire.append(tag | 2, to: &bytes)
            appendText(of: node)
        case .bool:
            guard case .bool(let value) = scalar(node) else {
                return report(node, value: node, "is not true or false")
            }
            Wire.append(tag, to: &bytes)
            bytes.append(value ? 1 : 0)
        case .unsigned, .signed:
            guard let number = number(node, shape) else { return }
            Wire.append(tag, to: &bytes)
            Wire.append(number, to: &bytes)
        case .enumeration(let type):
            guard let number = enumNumber(node, shape, schema.enums[type]) else { return }
            Wire.append(tag, to: &bytes)
            Wire.append(number, to: &bytes)
        }
    }

    private mutating func appendEmpty(_ shape: FieldSchema) {
        switch shape.type {
        case .message, .string:
            Wire.append(UInt64(shape.number) << 3 | 2, to: &bytes)
            bytes.append(0)
        case .bool, .unsigned, .signed, .enumeration: break
        }
    }

    private mutating func beginLength() -> Int {
        bytes.append(0)
        return bytes.count
    }

    /// Puts the length of what was written since `start` in front of it. One byte is kept for it; few need more.
    private mutating func endLength(_ start: Int) {
        let count = bytes.count - start
        if count < 0x80 {
            bytes[start - 1] = UInt8(count)
        } else {
            var length: [UInt8] = []
            Wire.append(UInt64(count), to: &length)
            bytes.replaceSubrange(start - 1..<start, with: length)
        }
    }

    private mutating func appendText(of node: Int) {
        Wire.append(UInt64(source.tree.count(of: node)), to: &bytes)
        source.tree.withBytes(of: node) { bytes.append(contentsOf: $0) }
    }
}

extension MessageDecoder {
    private func isScalar(_ node: Int) -> Bool { source.tree.kind(of: node).isScalar }

    private func scalar(_ node: Int) -> YAMLScalar {
        isScalar(node) ? source.tree.scalar(node) : .text
    }

    /// Checks that a node is text, or stands for the same text to every reader of YAML.
    private mutating func text(_ node: Int) -> Bool {
        guard isScalar(node) else {
            report(node, "must be a text, not a \(source.tree.kind(of: node) == .mapping ? "mapping" : "list")")
            return false
        }
        let count = source.tree.count(of: node)
        if count > Self.maximumTextLength {
            var most = Self.maximumTextLength
            if case .field(let field)? = path.last { most = Self.longTexts[schema.names[field].original] ?? most }
            if count > most {
                report(node, value: node, "is \(count) bytes long; at most \(most)")
                return false
            }
        }
        switch scalar(node) {
        case .text: return true
        case .integer:
            let isPlainNumber = source.tree.withBytes(of: node) { bytes in
                bytes.first != UInt8(ascii: "+") && (bytes.count == 1 || bytes.first != UInt8(ascii: "0"))
            }
            if isPlainNumber { return true }
            report(node, value: node, "reads as a number; put it in quotes if it is meant as text")
        case .bool: report(node, value: node, "reads as a truth value; put it in quotes if it is meant as text")
        case .float: report(node, value: node, "reads as a number; put it in quotes if it is meant as text")
        case .null: report(node, "is empty")
        }
        return false
    }

    private mutating func number(_ node: Int, _ shape: FieldSchema) -> UInt64? {
        var scalar = scalar(node)
        // Numbers in quotes are numbers to other readers of these messages, so they are here.
        if source.tree.kind(of: node) == .quoted {
            scalar = source.tree.withBytes(of: node) { YAMLScalar(plain: $0) }
        }
        switch scalar {
        case .integer(let size, let isNegative):
            let isInRange =
                isNegative && size > 0
                ? shape.minimum < 0 && size <= shape.minimum.magnitude
                : size <= shape.maximum && (shape.minimum <= 0 || size >= UInt64(shape.minimum))
            if isInRange { return isNegative ? UInt64(bitPattern: -Int64(truncatingIfNeeded: size)) : size }
        case .float(let value) where value == value.rounded() && value >= 0 && value < 0x1p63:
            if UInt64(value) <= shape.maximum, Int64(value) >= shape.minimum { return UInt64(value) }
        case .float, .bool, .null, .text:
            if let vocabulary = shape.vocabulary, isScalar(node) { return number(named: node, vocabulary, shape) }
            report(node, value: node, "is not a whole number (\(shape.minimum)–\(shape.maximum))")
            return nil
        }
        report(node, value: node, FieldSchema.outOfRange(shape.minimum, shape.maximum))
        return nil
    }

    /// The number of a name that this host has for it.
    private mutating func number(
        named node: Int, _ vocabulary: NameResolver.Vocabulary, _ shape: FieldSchema
    ) -> UInt64? {
        lookups += 1
        let word = source.tree.string(of: node)
        if let number = names.number(of: word, in: vocabulary) { return UInt64(bitPattern: number) }
        let hint = mistakes.wantsSuggestion ? Suggestion.phrase(for: word, among: names.names(in: vocabulary)) : ""
        report(
            node, value: node,
            "is neither a number (\(shape.minimum)–\(shape.maximum)) nor the name of a \(vocabulary.word) on this host\(hint)"
        )
        return nil
    }

    private mutating func enumNumber(_ node: Int, _ shape: FieldSchema, _ type: EnumSchema) -> UInt64? {
        guard isScalar(node) else {
            report(node, "must be one of \(type.offered.map(\.usual).joined(separator: ", "))")
            return nil
        }
        for value in type.values where matches(node, value.name) || value.word.map({ matches(node, $0) }) == true {
            return UInt64(bitPattern: Int64(value.number))
        }
        if case .integer(let number, false) = scalar(node) {
            if let value = type.values.first(where: { $0.number == Int64(clamping: number) }) {
                return UInt64(bitPattern: Int64(value.number))
            }
            report(node, value: node, type.textOfNumbers)
            return nil
        }
        if let vocabulary = shape.vocabulary {
            lookups += 1
            let number = names.number(of: source.tree.string(of: node), in: vocabulary)
            if let number, type.values.contains(where: { $0.number == Int32(clamping: number) }) {
                return UInt64(bitPattern: number)
            }
        }
        report(node, value: node, unknownNameText(node, among: type.offered))
        return nil
    }

    private func unknownNameText(_ node: Int, among values: [EnumSchema.Value]) -> String {
        let word = source.tree.string(of: node)
        let hint = mistakes.wantsSuggestion ? Suggestion.phrase(for: word, among: values.flatMap(\.spellings)) : ""
        return "is not one of \(values.map(\.usual).joined(separator: ", "))\(hint)"
    }

    private func matches(_ node: Int, _ name: String) -> Bool {
        guard name.utf8.count == source.tree.count(of: node) else { return false }
        // `bridge` is understood as BRIDGE.
        return source.tree.withBytes(of: node) { bytes in
            bytes.elementsEqual(name.utf8) { $0 | 0x20 == $1 | 0x20 && ($0 == $1 || Self.isLetter($0)) }
        }
    }

    private static func isLetter(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
    }
}

extension MessageDecoder {
    private mutating func unknownField(_ key: Int, in type: Int) {
        failures += 1
        if mistakes.omitsNext() { return }
        let word = source.tree.string(of: key)
        mistakes.add(
            Mistake(
                unknownFieldText(word, in: type), at: source.position(of: key), hidesSource: SecretText.isName(word)))
    }

    private func unknownFieldText(_ word: String, in type: Int) -> String {
        let message = schema.messages[type]
        // Without a blank behind the colon the value is part of it.
        let word = SecretText.isName(word) ? String(word.prefix { $0 != ":" }) : word
        let usesUnderscores = word.contains("_")
        let candidates = message.fields.map { usesUnderscores ? schema.names[$0].original : schema.names[$0].json }
        var text = "unknown field \(word.inQuotes) in \(message.name)"
        if mistakes.wantsSuggestion, let nearest = Suggestion.nearest(to: word, among: candidates) {
            text += "; did you mean '\(nearest)'?"
        } else if candidates.count <= 8 {
            text += "; it has \(candidates.joined(separator: ", "))"
        } else {
            text += "; its fields: nsm-agent explain \(ModelRegistry.model(kind).name)"
        }
        return text
    }

    /// Notes a mistake in the field that is being read.
    private mutating func report(_ node: Int, value: Int? = nil, _ problem: String) {
        failures += 1
        if mistakes.omitsNext() { return }
        mistakes.add(Mistake(sentence(value, problem), at: source.position(of: node), hidesSource: isSecret))
    }

    /// Whether what is read may be a key.
    private var isSecret: Bool {
        path.contains {
            if case .field(let field) = $0 { SecretText.isField(schema.names[field].original) } else { false }
        }
    }

    private func sentence(_ value: Int?, _ problem: String) -> String {
        var text = Label.of(kind, source, root) + ":"
        let place = pathText
        if !place.isEmpty { text += " \(place)" }
        if let value, isScalar(value), !isSecret { text += " \(source.tree.string(of: value).inQuotes)" }
        return "\(text) \(problem)"
    }

    private var pathText: String {
        var text = ""
        for step in path {
            switch step {
            case .field(let field): text += (text.isEmpty ? "" : ".") + schema.names[field].original
            case .element(let index): text += "[\(index)]"
            case .key(let key): text += "[\(source.tree.string(of: key).inQuotes)]"
            }
        }
        return text
    }
}
