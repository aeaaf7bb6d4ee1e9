/// What is wrong with a piece of YAML, and where.
public struct YAMLMistake: Error, Hashable, Sendable {
    /// Line, counted from 1.
    public var line: Int
    /// Column in characters, counted from 1.
    public var column: Int
    /// What is wrong, in a form a reader can act on.
    public var text: String

    /// Makes a mistake at a place.
    public init(line: Int, column: Int, text: String) {
        self.line = line
        self.column = column
        self.text = text
    }
}
