internal import Glibc
internal import Model

/// Lines of files, with a mark under the place that a mistake is about.
struct SourceExcerpts {
    private var files: [String: [Substring]] = [:]
    private var rest: Int
    private var hidden: Set<String> = []

    /// - Parameter most: how many places are shown; none after that.
    init(most: Int = 20) { rest = most }

    /// No longer shows the lines of mistakes that may be about a secret, for no mistake.
    mutating func hide(_ mistakes: [Mistake]) {
        for mistake in mistakes where mistake.hidesSource { hidden.insert(Self.line(mistake.position)) }
    }

    private static func line(_ position: SourcePosition) -> String { "\(position.file):\(position.line)" }

    /// The line of a place with a mark under its column, each with an end of line; empty when the file can't be read again.
    mutating func text(_ position: SourcePosition) -> String {
        guard rest > 0, position.line > 0, !hidden.contains(Self.line(position)),
            let lines = lines(of: position.file), position.line <= lines.count
        else { return "" }
        rest -= 1
        let number = "\(position.line)"
        // Tabs and other control characters would move the mark.
        let line = SecretText.starred(in: String(lines[position.line - 1])).map { character in
            character.unicodeScalars.contains { $0.properties.generalCategory == .control } ? " " : character
        }
        let column = min(max(position.column, 1), line.count + 1)
        let start = max(0, column - Self.mostBefore)
        let shown = line[start..<min(line.count, start + Self.mostColumns)]
        let before = line[start..<min(line.count, column - 1)]
        let mark = String(repeating: " ", count: Text.width(String(before))) + "^"
        let margin = String(repeating: " ", count: number.count)
        return "  \(number) | \(String(shown))\n  \(margin) | \(mark)\n"
    }

    private static let mostColumns = 120
    private static let mostBefore = 80

    private mutating func lines(of file: String) -> [Substring]? {
        if let known = files[file] { return known.isEmpty ? nil : known }
        var status = stat()
        // What can't be read twice is not waited for.
        let isPlain = stat(file, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
        let text = isPlain ? try? SettingsFile.read(file) : nil
        let lines = text?.split(separator: "\n", omittingEmptySubsequences: false) ?? []
        files[file] = lines
        return lines.isEmpty ? nil : lines
    }
}
