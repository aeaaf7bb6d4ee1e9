internal import CYAML

extension YAMLTree {
    /// The largest text that is read, in bytes.
    public static let maximumByteCount = 64 << 20

    /// Reads a stream of documents. What is wrong ends up in ``mistakes``.
    public init(parsing bytes: UnsafeRawBufferPointer) {
        guard bytes.count <= Self.maximumByteCount else {
            mistakes = [
                YAMLMistake(line: 1, column: 1, text: "larger than \(Self.maximumByteCount >> 20) MiB; split the file")
            ]
            return
        }
        var builder = YAMLBuilder(byteCount: bytes.count)
        let parser = UnsafeMutablePointer<yaml_parser_t>.allocate(capacity: 1)
        defer { parser.deallocate() }
        guard yaml_parser_initialize(parser) == 1 else {
            mistakes = [YAMLMistake(line: 1, column: 1, text: "out of memory")]
            return
        }
        defer { yaml_parser_delete(parser) }
        yaml_parser_set_input_string(parser, bytes.assumingMemoryBound(to: UInt8.self).baseAddress, bytes.count)
        // Fixed, so that UTF-16 is refused at its first byte: positions and checks count on UTF-8.
        yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
        do throws(YAMLMistake) {
            while try builder.step(parser, input: bytes) {}
        } catch {
            builder.tree.mistakes.append(error)
        }
        self = builder.tree
    }

    /// Reads a stream of documents from text.
    public init(parsing text: String) {
        var text = text
        self = text.withUTF8 { YAMLTree(parsing: UnsafeRawBufferPointer($0)) }
    }
}

extension YAMLBuilder {
    /// Takes the next event from the parser; false when the stream is over.
    fileprivate mutating func step(
        _ parser: UnsafeMutablePointer<yaml_parser_t>, input: UnsafeRawBufferPointer
    ) throws(YAMLMistake) -> Bool {
        var event = yaml_event_t()
        guard yaml_parser_parse(parser, &event) == 1 else { throw YAMLMistake(parser.pointee, input: input) }
        defer { yaml_event_delete(&event) }
        let place = Place(line: event.start_mark.line + 1, column: event.start_mark.column + 1)
        switch event.type {
        case YAML_SCALAR_EVENT:
            let bytes = UnsafeRawBufferPointer(start: event.data.scalar.value, count: event.data.scalar.length)
            try scalar(bytes, kind: event.scalarKind(at: place), anchor: name(event.data.scalar.anchor), at: place)
        case YAML_SEQUENCE_START_EVENT:
            try checkTag(event.data.sequence_start.tag, is: "seq", at: place)
            try start(isMapping: false, anchor: name(event.data.sequence_start.anchor), at: place)
        case YAML_MAPPING_START_EVENT:
            try checkTag(event.data.mapping_start.tag, is: "map", at: place)
            try start(isMapping: true, anchor: name(event.data.mapping_start.anchor), at: place)
        case YAML_SEQUENCE_END_EVENT, YAML_MAPPING_END_EVENT:
            try end()
        case YAML_ALIAS_EVENT:
            try alias(name(event.data.alias.anchor) ?? "", at: place)
        case YAML_DOCUMENT_START_EVENT:
            startDocument()
        case YAML_DOCUMENT_END_EVENT:
            endDocument()
        case YAML_STREAM_END_EVENT:
            return false
        default:
            break
        }
        return true
    }

    private func name(_ text: UnsafeMutablePointer<UInt8>?) -> String? {
        text.map { String(cString: $0) }
    }

    private func checkTag(
        _ tag: UnsafeMutablePointer<UInt8>?, is expected: String, at place: Place
    ) throws(YAMLMistake) {
        guard let tag = name(tag) else { return }
        guard tag == "tag:yaml.org,2002:\(expected)" || tag == "!" else {
            throw place.mistake("tag '\(tag.start)' has no meaning here; remove it")
        }
    }
}

extension yaml_event_t {
    /// The kind of a scalar, by its style and tag.
    fileprivate func scalarKind(at place: YAMLBuilder.Place) throws(YAMLMistake) -> YAMLNode.Kind {
        let scalar = data.scalar
        var kind: YAMLNode.Kind
        switch scalar.style {
        case YAML_PLAIN_SCALAR_STYLE: kind = .plain
        case YAML_LITERAL_SCALAR_STYLE: kind = .literal
        case YAML_FOLDED_SCALAR_STYLE: kind = .folded
        default: kind = .quoted
        }
        guard let tag = scalar.tag else { return kind }
        switch String(cString: tag) {
        case "!", "tag:yaml.org,2002:str":
            if kind == .plain { kind = .quoted }
        case "tag:yaml.org,2002:int", "tag:yaml.org,2002:bool", "tag:yaml.org,2002:null", "tag:yaml.org,2002:float":
            kind = .plain
        case let other:
            throw place.mistake("tag '\(other.start)' has no meaning here; remove it")
        }
        return kind
    }
}

extension YAMLMistake {
    /// Puts libyaml's words for a syntax error into one sentence with a place.
    fileprivate init(_ parser: yaml_parser_t, input: UnsafeRawBufferPointer) {
        let problem = parser.problem.map { String(cString: $0) } ?? "can't be read"
        switch parser.error {
        case YAML_READER_ERROR:
            let (line, column) = Self.place(ofByte: parser.problem_offset, in: input)
            let isText = parser.problem_value > 0 && problem.hasPrefix("control")
            let code = String(max(parser.problem_value, 0), radix: 16)
            self.init(
                line: line, column: column,
                text: isText
                    ? "control character U+\(String(repeating: "0", count: max(0, 4 - code.count)))\(code) is not allowed"
                    : "not valid UTF-8: \(problem)")
        case YAML_SCANNER_ERROR, YAML_PARSER_ERROR:
            let mark = parser.problem_mark
            if let mistake = Self.indentation(parser, problem, input) {
                self = mistake
                return
            }
            var text = problem
            if problem.hasPrefix("found character that cannot start any token") {
                text = Self.badStart(line: mark.line, column: mark.column, in: input)
            } else if let context = parser.context.map({ String(cString: $0) }) {
                text += " \(context)"
                if parser.context_mark.line != mark.line {
                    text += " that starts at line \(parser.context_mark.line + 1)"
                }
            }
            self.init(line: mark.line + 1, column: mark.column + 1, text: text)
        default:
            self.init(line: parser.mark.line + 1, column: parser.mark.column + 1, text: problem)
        }
    }

    /// The mistake of a line that is not indented as its neighbours are, where libyaml speaks of something else; nil: it is not
    /// that.
    private static func indentation(
        _ parser: yaml_parser_t, _ problem: String, _ input: UnsafeRawBufferPointer
    ) -> YAMLMistake? {
        let mark = parser.problem_mark
        let line = line(mark.line, of: input)
        let blank = line.prefix { $0 == UInt8(ascii: " ") }.count
        let start = parser.context_mark
        let isFirst = blank == mark.column && start.line < mark.line && start.column != mark.column
        switch problem {
        case "did not find expected '-' indicator" where blank == mark.column && start.line < mark.line:
            return YAMLMistake(
                line: mark.line + 1, column: mark.column + 1,
                text: "wrong indentation: items of the list that starts at line \(start.line + 1) begin with '-' "
                    + "in column \(start.column + 1), and what belongs to an item stands further right")
        case "did not find expected key" where isFirst:
            return YAMLMistake(
                line: mark.line + 1, column: mark.column + 1,
                text: "wrong indentation: keys of the block that starts at line \(start.line + 1) begin in column "
                    + "\(start.column + 1)")
        case "mapping values are not allowed in this context":
            // A key that stands further right than the value before it can take it in.
            let word = line.dropFirst(blank).prefix { $0 != UInt8(ascii: ":") }
            guard mark.line > 0, blank + word.count == mark.column, !word.isEmpty,
                !word.contains(where: { $0 == UInt8(ascii: " ") || $0 >= 0x80 })
            else { return nil }
            let above = Self.line(mark.line - 1, of: input)
            guard above.prefix(while: { $0 == UInt8(ascii: " ") }).count < blank else { return nil }
            return YAMLMistake(
                line: mark.line + 1, column: blank + 1,
                text: "wrong indentation: this key stands further right than line \(mark.line), whose value ends there")
        default: return nil
        }
    }

    /// A line of the text, by its number from 0; empty beyond the end.
    private static func line(_ number: Int, of input: UnsafeRawBufferPointer) -> Slice<UnsafeRawBufferPointer> {
        var (rows, index) = (number, 0)
        while index < input.count, rows > 0 {
            if input[index] == UInt8(ascii: "\n") { rows -= 1 }
            index += 1
        }
        return input[index...].prefix { $0 != UInt8(ascii: "\n") }
    }

    private static func badStart(line: Int, column: Int, in input: UnsafeRawBufferPointer) -> String {
        var rows = line
        var index = 0
        while index < input.count, rows > 0 {
            if input[index] == UInt8(ascii: "\n") { rows -= 1 }
            index += 1
        }
        // Indentation, the usual place of a tab, is ASCII, so characters are bytes here.
        guard index + column < input.count else { return "unexpected end of the text" }
        switch input[index + column] {
        case UInt8(ascii: "\t"): return "a tab can't indent YAML; use spaces"
        case let byte where byte > 32 && byte < 127:
            return "'\(Character(Unicode.Scalar(byte)))' can't start a value; put the value in quotes"
        default: return "found a character that can't start a value"
        }
    }

    private static func place(ofByte offset: Int, in input: UnsafeRawBufferPointer) -> (line: Int, column: Int) {
        var (line, column) = (1, 1)
        for byte in input.prefix(offset) {
            if byte == UInt8(ascii: "\n") {
                line += 1
                column = 1
            } else if byte & 0xc0 != 0x80 {
                column += 1
            }
        }
        return (line, column)
    }
}
