internal import Agent
internal import CLinux
internal import Glibc
internal import Model
internal import Northbound

/// An application as somebody at a terminal sees it: asked before, told while it goes on, and reported.
final class ApplicationRun {
    private let application: Application
    private let output: OutputFormat

    /// - Throws: in the words of the command line.
    init(_ options: Application.Options, _ config: LoadedConfig, output: OutputFormat) throws {
        var options = options
        options.showsProgress = output == .table && cl_is_terminal(STDERR_FILENO)
        self.output = output
        let teller = Teller(options)
        application = try OneShot.inWords { try Application(options, config) { teller.tell($0) } }
    }

    /// What would be done.
    func report() -> PlanReport { PlanReport(application.plan(), values: application.values) }

    /// Says how changes are kept.
    static func askForConfirmation(_ confirmation: ConfirmationOptions, byEnter: Bool) {
        let ways = byEnter ? "press Enter here or run 'nsm-agent confirm'" : "run 'nsm-agent confirm'"
        let socket = confirmation.socket
        let place = socket == ControlSocket.confirmationPath ? "" : " (with --socket \(socket))"
        Failure.tell(
            "to keep these changes, \(ways)\(place) within \(Span(confirmation.time)); otherwise they are undone")
    }

    /// Shows what would be done and asks, if anything would be lost by it.
    func isWanted(_ question: String) -> Bool {
        let plan = application.plan()
        if !application.isGrave(plan) { return true }
        let report = PlanReport(plan, values: application.values)
        Failure.write(report.text(Terminal(descriptor: STDERR_FILENO)))
        return Prompt.ask(question)
    }

    /// Does it and says what became of it. Returns whether all is as it should be.
    func apply() throws -> Bool {
        let result = try OneShot.inWords { try application.run() }
        let report = ApplicationReport(result)
        if output == .table { Failure.write(report.problems) }
        Show.tree(report.tree, as: output) { report.text($0) }
        return result.isGood
    }

    /// Whether the changes stay.
    func isKept() throws -> Bool { try OneShot.inWords { try application.isKept() } }
}

/// Says on standard error what goes on.
private final class Teller {
    private let progress: Progress?
    private let confirmation: ConfirmationOptions?

    init(_ options: Application.Options) {
        progress = options.showsProgress ? Progress() : nil
        confirmation = options.confirmation
    }

    func tell(_ event: Application.Event) {
        switch event {
        case .applying(let done, let total): progress?.show(done, of: total)
        case .waiting(let counts, let rest): progress?.wait(for: counts, until: rest)
        case .settled: progress?.clear()
        case .confirmationWanted(let byEnter): askForConfirmation(byEnter)
        case .confirmed: Failure.tell("confirmed")
        case .undone(let reason, let failures):
            // The result first: a line that is overlooked must not be the one that matters.
            Failure.tell(
                failures.isEmpty
                    ? "\(reason): everything was undone"
                    : "\(reason): not everything could be undone; \(Text.count(failures.count, "operation")) failed:")
            for failure in failures { Failure.tell(failure) }
        }
    }

    private func askForConfirmation(_ byEnter: Bool) {
        if let confirmation { ApplicationRun.askForConfirmation(confirmation, byEnter: byEnter) }
    }
}

/// Questions to the user at the terminal.
enum Prompt {
    /// Whether there is a terminal.
    static var isPossible: Bool { cl_is_terminal(STDIN_FILENO) && cl_is_terminal(STDERR_FILENO) }

    /// Whether the answer is yes. What was typed before the question is none.
    static func ask(_ question: String) -> Bool {
        _ = tcflush(STDIN_FILENO, TCIFLUSH)
        Failure.write(question)
        return ["y", "yes"].contains((readLine() ?? "").lowercased())
    }
}
