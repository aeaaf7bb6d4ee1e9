internal import ArgumentParser
internal import LinuxKinds
internal import Model
internal import Northbound

struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Check configuration files.",
        discussion:
            "Lists every mistake of every file with its line and column. Touches nothing and needs no privileges.")

    @Argument(help: OneShot.pathsHelp, completion: .file())
    var paths: [String] = []
    @OptionGroup var owner: OwnerOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let config = ConfigFiles.load(
            paths: try OneShot.files(paths), label: owner.resolvedLabel, names: HostNames.resolver)
        switch output.output {
        case .table: tell(config)
        case .json, .yaml: Show.tree(tree(config), as: output.output) { _ in "" }
        }
        OneShot.finish(config.isValid ? ExitStatus.success : ExitStatus.invalid)
    }

    private func tell(_ config: LoadedConfig) {
        let invalid = config.invalidValues.prefix(Self.mostInvalid)
        Failure.write(
            OneShot.warnings(of: config)
                + OneShot.lines(invalid, config.invalidValues.count - invalid.count, "warning") { value in
                    "\(value.position): warning: \(value.key) can't be configured here: \(value.text)"
                } + OneShot.mistakes(of: config))
        let files = Text.count(config.files.count, "file")
        if config.isValid {
            Show.line("\(files), \(Text.count(config.items.count, "value")): no mistakes.")
            let unread = unread(config).count
            if unread > 0 { Show.line("\(Text.count(unread, "ruleset")) not shown to nft: plan and apply do that.") }
        } else {
            Failure.tell("\(Text.count(config.mistakeCount, "mistake")) in \(files)")
        }
    }

    /// Keys of values with a text that only a program with rights can judge.
    private func unread(_ config: LoadedConfig) -> [String] {
        config.items.compactMap { item in
            if case .filterTable(let table) = item.value, !table.ruleset.isEmpty { item.key } else { nil }
        }
    }

    /// How many values that can't be configured are listed.
    private static var mostInvalid: Int { 100 }

    private func tree(_ config: LoadedConfig) -> Tree {
        func list(_ mistakes: [Mistake]) -> Tree {
            .sequence(mistakes.map { Self.place($0.position, ("text", .string($0.text))) })
        }
        let invalid = config.invalidValues.map {
            Self.place(
                $0.position, ("key", .string($0.key)), ("text", .string($0.text)), ("fields", .texts($0.fields)))
        }
        var pairs: [(String, Tree)] = [
            ("valid", .bool(config.isValid)), ("files", .texts(config.files)), ("values", .count(config.items.count)),
            ("mistakes", list(config.mistakes)), ("warnings", list(config.warnings)),
            ("notConfigurable", .sequence(invalid)),
        ]
        let unread = unread(config)
        if !unread.isEmpty { pairs.append(("notShownToNFT", .texts(unread))) }
        if config.omittedMistakes > 0 { pairs.append(("moreMistakes", .count(config.omittedMistakes))) }
        if config.omittedWarnings > 0 { pairs.append(("moreWarnings", .count(config.omittedWarnings))) }
        return .mapping(pairs)
    }

    private static func place(_ position: SourcePosition, _ more: (String, Tree)...) -> Tree {
        let pairs: [(String, Tree)] = [
            ("file", .string(position.file)), ("line", .count(position.line)), ("column", .count(position.column)),
        ]
        return .mapping(pairs + more)
    }
}
