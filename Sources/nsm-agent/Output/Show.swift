internal import CLinux
internal import Glibc
internal import Model

/// Writes what a command was asked for to standard output.
enum Show {
    static func text(_ text: String) {
        var text = text
        // A reader that went away has seen enough.
        text.withUTF8 { _ = cl_write_all(STDOUT_FILENO, $0.baseAddress, $0.count) }
    }

    static func line(_ text: String) { Self.text(text + "\n") }

    /// Writes a tree as JSON or YAML, or `table` as it is.
    static func tree(_ tree: @autoclosure () -> Tree, as format: OutputFormat, table: (Terminal) -> String) {
        switch format {
        case .table: text(table(Terminal.output))
        case .json: text(JSONWriter.write(tree()))
        case .yaml: text(YAMLWriter.write(tree()))
        }
    }
}

extension Tree {
    /// A list of texts.
    static func texts(_ texts: [String]) -> Tree { .sequence(texts.map { .string($0) }) }

    /// A count.
    static func count(_ number: Int) -> Tree { .int(Int64(number)) }
}
