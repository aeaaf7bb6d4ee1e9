/// A place in a file.
public struct SourcePosition: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The file's path as it was given, `-` for standard input.
    public var file: String
    /// Line, counted from 1; 0 for the file as a whole.
    public var line: Int
    /// Column in characters, counted from 1.
    public var column: Int

    /// Makes a position.
    public init(file: String, line: Int, column: Int) {
        self.file = file
        self.line = line
        self.column = column
    }

    /// `file:line:column`, or `file` alone.
    public var description: String { line == 0 ? file : "\(file):\(line):\(column)" }

    /// By file, line, column.
    public static func < (left: Self, right: Self) -> Bool {
        (left.file, left.line, left.column) < (right.file, right.line, right.column)
    }
}

/// Something wrong in a file, in words that say what would be right.
public struct Mistake: Error, Sendable, Hashable, Comparable, CustomStringConvertible {
    /// Where it is.
    public var position: SourcePosition
    /// What is wrong. Keys in it are hidden.
    public var text: String
    /// Whether its line in the file may hold a secret, so that nobody shows it.
    public var hidesSource: Bool

    /// Makes a mistake at a place.
    public init(_ text: String, at position: SourcePosition, hidesSource: Bool = false) {
        self.position = position
        self.text = SecretText.hidden(in: text)
        self.hidesSource = hidesSource
    }

    /// Makes a mistake from its parts.
    public init(file: String, line: Int, column: Int, text: String) {
        self.init(text, at: SourcePosition(file: file, line: line, column: column))
    }

    /// The file's path.
    public var file: String { position.file }
    /// Line, counted from 1; 0 for the file as a whole.
    public var line: Int { position.line }
    /// Column in characters, counted from 1.
    public var column: Int { position.column }

    /// `file:line:column: text`.
    public var description: String { "\(position): \(text)" }

    /// By place, then by text.
    public static func < (left: Self, right: Self) -> Bool {
        (left.position, left.text) < (right.position, right.text)
    }
}
