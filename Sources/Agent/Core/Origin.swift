internal import Model
internal import Northbound
internal import Reconciler

/// Where a source has a value from. One for each value in force, so texts are shared by all that came together.
enum Origin: Sendable, Hashable {
    /// The name of the source says enough.
    case plain
    /// Who wrote it: an address, a user.
    case client(String)
    /// A line of a file.
    case line(FileLine)
    /// An entry of a store: which store, what its keys begin with, and the revision in which it was written.
    case entry(EntryStore, revision: Int64)
    /// The environment of the agent.
    case environment

    /// In words, with the name of the source.
    func text(_ source: String, _ key: Key) -> String {
        switch self {
        case .plain: source
        case .client(let name): name.isEmpty ? source : "\(source) \(name)"
        case .line(let place): "\(source) \(place)"
        case .entry(let store, let revision): "\(source) \(store.name) \(store.prefix)\(key) revision \(revision)"
        case .environment: "environment"
        }
    }

    /// Who wrote it, as it is kept; empty: that is no client.
    var client: String {
        if case .client(let name) = self { return name }
        return ""
    }
}

/// A line of a file.
struct FileLine: Sendable, Hashable, CustomStringConvertible {
    /// The path of a file, once for all values of it.
    final class File: Sendable, Hashable {
        let path: String

        init(_ path: String) { self.path = path }

        static func == (left: File, right: File) -> Bool { left === right || left.path == right.path }
        func hash(into hasher: inout Hasher) { hasher.combine(path) }
    }

    let file: File
    let line: UInt32

    /// `file:line`, or `file` alone.
    var description: String { line == 0 ? file.path : "\(file.path):\(line)" }
}

/// Gives the lines of one file the same path.
struct FileLines {
    private var last: FileLine.File?

    mutating func line(_ position: SourcePosition) -> FileLine {
        let file = last.flatMap { $0.path == position.file ? $0 : nil } ?? FileLine.File(position.file)
        last = file
        return FileLine(file: file, line: UInt32(clamping: position.line))
    }
}

/// What is declared under a key, and in which line of a file; nil: not in a file, or another source is heard.
struct Declaration {
    var value: ModelValue
    var place: FileLine?

    init(value: ModelValue, place: FileLine? = nil) {
        self.value = value
        self.place = place
    }

    /// What a source says that is heard now.
    init(_ claim: SourceTable<ModelValue>.Claim) {
        self.init(value: claim.value)
        if case .line(let place) = claim.origin { self.place = place }
    }
}
