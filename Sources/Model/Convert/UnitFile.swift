/// A unit of systemd: sections with assignments, in their order. Source: systemd.syntax(7).
struct UnitFile {
    /// `Key=Value`.
    struct Entry {
        let key: String
        let value: String
        let place: SourcePosition
        /// Whether its counterpart was found, or none is needed.
        var isTaken = false
    }

    /// What stands below `[Name]`.
    struct Section {
        let name: String
        let place: SourcePosition
        var entries: [Entry]
        /// Whether somebody reads sections of this name here.
        var isTaken = false
    }

    let name: String
    var sections: [Section] = []
    /// Lines that are none.
    private(set) var mistakes: [Mistake] = []

    /// More wrong lines of a file are not listed.
    private static let mostMistakes = 100

    /// Whether a file is one: by the end of its name, or as it begins with a section.
    static func isUnit(_ file: ForeignFile) -> Bool {
        if [".network", ".netdev", ".link"].contains(where: { file.name.hasSuffix($0) }) { return true }
        for line in String(decoding: file.bytes.prefix(65536), as: UTF8.self).split(
            whereSeparator: { $0 == "\n" || $0 == "\r\n" })
        {
            let line = line.trimmed
            if line.isEmpty || line.hasPrefix("#") || line.hasPrefix(";") { continue }
            return line.hasPrefix("[") && line.hasSuffix("]")
                && line.dropFirst().dropLast().allSatisfy { $0.isLetter || $0.isNumber }
        }
        return false
    }

    init(_ file: ForeignFile) {
        name = file.name
        var number = 0
        // A line that ends in a backslash goes on in the next one; comments between are passed over.
        var pending: (parts: [String], line: Int)?
        let text = String(decoding: file.bytes, as: UTF8.self)
        // Both ends of a line are one character each.
        for raw in text.split(omittingEmptySubsequences: false, whereSeparator: { $0 == "\n" || $0 == "\r\n" }) {
            number += 1
            let line = raw.trimmed
            if line.hasPrefix("#") || line.hasPrefix(";") { continue }
            let start = pending?.line ?? number
            if line.hasSuffix("\\") {
                pending = pending ?? ([], start)
                pending?.parts.append(String(line.dropLast()))
                continue
            }
            let parts = (pending?.parts ?? []) + [line]
            pending = nil
            read(parts.joined(separator: " ").trimmed, SourcePosition(file: name, line: start, column: 1))
        }
        if let pending {
            let text = pending.parts.joined(separator: " ").trimmed
            read(text, SourcePosition(file: name, line: pending.line, column: 1))
        }
    }

    private mutating func read(_ line: String, _ place: SourcePosition) {
        if line.isEmpty { return }
        if line.hasPrefix("["), line.hasSuffix("]") {
            sections.append(Section(name: String(line.dropFirst().dropLast()), place: place, entries: []))
        } else if let sign = line.firstIndex(of: "="), sign > line.startIndex, !sections.isEmpty {
            sections[sections.count - 1].entries.append(
                Entry(key: line[..<sign].trimmed, value: line[line.index(after: sign)...].trimmed, place: place))
        } else if mistakes.count < Self.mostMistakes {
            let problem = sections.isEmpty ? "stands before the first [Section]" : "is neither [Section] nor Key=Value"
            // The line may hold a key, and is not repeated.
            mistakes.append(Mistake("this line \(problem)", at: place))
        }
    }

    /// Indexes of the sections of a name, which are read from now on.
    mutating func take(_ name: String) -> [Int] {
        let found = sections.indices.filter { sections[$0].name == name }
        for index in found { sections[index].isTaken = true }
        return found
    }

    /// All values of a key of a section; an empty one takes back those before it.
    mutating func entries(_ key: String, _ section: Int) -> [Entry] {
        var found: [Entry] = []
        for index in sections[section].entries.indices where sections[section].entries[index].key == key {
            sections[section].entries[index].isTaken = true
            let entry = sections[section].entries[index]
            if entry.value.isEmpty { found = [] } else { found.append(entry) }
        }
        return found
    }

    /// The last value of a key of a section; nil: there is none, or it is empty.
    mutating func entry(_ key: String, _ section: Int) -> Entry? { entries(key, section).last }
}
