internal import YAML

/// Mistakes or warnings as they are found: the first ones, and how many there were beyond.
///
/// They have few causes, and neither the list nor the time for it must grow with the file.
struct Findings: Sendable {
    /// How many are listed.
    static let limit = YAMLTree.maximumMistakes
    /// For how many a suggestion is looked for; a reader follows the first few only.
    static let suggestions = 10

    private(set) var list: [Mistake] = []
    private(set) var omitted = 0
    /// How many there are.
    var count: Int { list.count + omitted }
    /// Whether nothing was found.
    var isEmpty: Bool { list.isEmpty && omitted == 0 }

    /// Whether the next one is among those for which a suggestion is looked for.
    var wantsSuggestion: Bool { list.count < Self.suggestions }

    /// Whether the next one is only counted, which this does. Asked before a text is made.
    mutating func omitsNext() -> Bool {
        if list.count < Self.limit { return false }
        omitted += 1
        return true
    }

    mutating func add(_ mistake: Mistake) {
        if !omitsNext() { list.append(mistake) }
    }

    /// How many more may get a suggestion.
    var suggestionsLeft: Int { max(0, Self.suggestions - list.count) }

    /// Takes in others, as a whole.
    mutating func add(_ others: Findings) {
        list += others.list
        omitted += others.omitted
    }

    /// Notes that there are more.
    mutating func omit(_ count: Int) { omitted += count }

    /// Sorts them by place, and lists no more than are to be listed.
    mutating func finish() {
        list.sort()
        if list.count > Self.limit {
            omitted += list.count - Self.limit
            list.removeLast(list.count - Self.limit)
        }
    }
}
