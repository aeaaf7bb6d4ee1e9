internal import ArgumentParser
internal import Model

/// What a command line that is not understood was probably meant to say.
enum Misspelling {
    /// A failure for a command that there is none of; nil: the first word is a command, an option or nothing like one.
    static func failure(_ words: [String]) -> Failure? {
        guard let word = words.first, !word.hasPrefix("-") else { return nil }
        let commands =
            NSMAgent.configuration.groupedSubcommands.flatMap(\.subcommands) + NSMAgent.configuration.subcommands
        let names = commands.map { $0._commandName } + ["help"]
        guard !names.contains(word), let meant = Suggestion.nearest(to: word, among: names) else { return nil }
        return Failure(
            "there is no command '\(word)'; did you mean '\(meant)'? 'nsm-agent --help' lists all",
            status: ExitStatus.usage)
    }

    /// What to use instead of an option that other programs have; nil: nothing that is known.
    static func advice(_ words: [String]) -> String? {
        guard let command = words.first else { return nil }
        let isDry = words.contains { ["--dry-run", "--check", "-n", "--diff"].contains($0) }
        return isDry && command == "apply" ? "'nsm-agent plan' shows what apply would do, and changes nothing" : nil
    }
}
