internal import Agent
internal import ArgumentParser
internal import Model

struct VersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "version", abstract: "Show which version this is, and of which commit.")

    @OptionGroup var output: OutputOptions

    func run() {
        let suffix = "-modified"
        let isModified = Version.commit.hasSuffix(suffix)
        let commit = isModified ? String(Version.commit.dropLast(suffix.count)) : Version.commit
        let tree: Tree = [
            "program": .string("nsm-agent"), "version": .string(Version.text), "commit": .string(commit),
            "modified": .bool(isModified),
        ]
        Show.tree(tree, as: output.output) { _ in Version.line(program: "nsm-agent") + "\n" }
    }
}
