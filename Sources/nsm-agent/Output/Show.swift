internal import CLinux
internal import Glibc
internal import Model
internal import Synchronization

/// Writes what a command was asked for to standard output.
enum Show {
    static func text(_ text: String) {
        var text = text
        let result = text.withUTF8 { cl_write_all(STDOUT_FILENO, $0.baseAddress, $0.count) }
        // A reader that went away has seen enough.
        if result == 0 || result == -EPIPE { return }
        if failure.exchange(-result, ordering: .relaxed) != 0 { return }
        Failure.tell("the output could not be written: \(String(cString: strerror(-result)))")
    }

    /// Why output was lost; 0: none was.
    private static let failure = Atomic<Int32>(0)

    /// The exit status of a command that would end with this one: not that all is well when nobody can read it.
    static func status(_ status: Int32) -> Int32 {
        let isLost = failure.load(ordering: .relaxed) != 0
        return isLost && (status == ExitStatus.success || status == ExitStatus.changes) ? ExitStatus.failure : status
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
