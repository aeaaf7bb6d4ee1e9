internal import Agent
internal import ArgumentParser
internal import CLinux
internal import Glibc

/// Starts the command named on the command line.
@main
enum Main {
    static func main() {
        // Each namespace takes some descriptors, and so does each connection.
        _ = cl_raise_file_limit()
        // The command line itself comes from there.
        if access("/proc/self/ns/net", F_OK) != 0 {
            Failure.tell("/proc is not mounted, or hides this process; mount it: the program can't work without")
            exit(ExitStatus.refused)
        }
        do {
            let line = try UpstreamFlags.split(CommandLine.arguments, environment: environment)
            let words = Apply.plain(line.words)
            var command = try parse(words)
            if let waiting = command as? any WaitingCommand, try !waiting.isDoneAtOnce() {
                try Descriptors.require(waiting.descriptors)
                OwnWorkers.use()
                try Foreground.run {
                    var command = waiting
                    try await command.run()
                }
            } else if !(command is any WaitingCommand) {
                // On this thread and without tasks: a one-shot command pays only for what it does.
                try command.run()
            }
            exit(Show.status(ExitStatus.success))
        } catch {
            end(error)
        }
    }

    private static func parse(_ words: [String]) throws -> any ParsableCommand {
        // Words that ask for help are understood, whatever stands before them.
        let asksForHelp = words.contains { $0 == "-h" || $0 == "-help" || $0.hasPrefix("--help") }
        do {
            if asksForHelp, let failure = Misspelling.failure(words) { throw failure }
            return try NSMAgent.parseAsRoot(words)
        } catch {
            // Only then, as to ask for the names of all commands takes milliseconds.
            throw Misspelling.failure(words) ?? error
        }
    }

    /// Says what is wrong and exits.
    private static func end(_ error: any Error) -> Never {
        if let failure = error as? Failure {
            if !failure.text.isEmpty { Failure.tell(failure.text) }
            exit(failure.status)
        }
        let status = NSMAgent.exitCode(for: error)
        let text = NSMAgent.fullMessage(for: error)
        if !status.isSuccess, let advice = Misspelling.advice(Array(CommandLine.arguments.dropFirst())) {
            Failure.tell(advice)
        } else if status.isSuccess {
            Show.line(text)
        } else if text.hasPrefix("Error: ") {
            Failure.tell(String(text.dropFirst("Error: ".count)))
        } else if !text.isEmpty {
            Failure.tell(text)
        }
        exit(Show.status(status.rawValue))
    }
}

/// A command that talks to others, and is therefore asynchronous.
protocol WaitingCommand: AsyncParsableCommand, Sendable {
    /// How many file descriptors it takes.
    var descriptors: Int { get }
    /// Does what needs no waiting, and no descriptors; false: there is more to do.
    func isDoneAtOnce() throws -> Bool
}

extension WaitingCommand {
    /// Most ask a running agent.
    var descriptors: Int { Descriptors.client }

    func isDoneAtOnce() throws -> Bool { false }
}
