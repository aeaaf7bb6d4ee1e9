internal import Model
internal import Netlink

/// A text that a program is to load into a namespace, in one transaction.
struct TextLoad: Sendable {
    /// What the picture looks like afterwards.
    enum Effect: Sendable {
        /// A table of nf_tables is there, like this; nil: it is gone.
        case table(FilterTable.ID, TableText?, comment: String?)
        /// A table of iptables becomes from one into another.
        case rules(FilterTable.ID, from: SavedTable, to: SavedTable)
    }

    /// The program that reads the text, and how it is called.
    var program: Program
    var arguments: [String]
    /// What it reads from standard input.
    var text: String
    /// How many lines of the text are ours, before the first one of the user's.
    var leadingLines = 0
    /// Where the user's text stands in a file.
    var places: SourcePlaces?
    /// What happens, for people.
    var summary: String
    var effect: Effect
}
