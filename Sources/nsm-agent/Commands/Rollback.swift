internal import Agent
internal import ArgumentParser
internal import Concurrency
internal import Glibc
internal import Model
internal import Northbound

struct Rollback: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rollback",
        abstract: "Return to what was declared when a past transaction was done.",
        discussion: """
            Shows the plan and asks; then one file takes the place of the present files, which stay beside it under names \
            that end in '.orig', and the network is made so: by the daemon if one runs, as it follows its files, and by this \
            command otherwise. It is for hosts that files alone declare: while another source declares values it is refused, \
            as no file can take those back. 'nsm-agent history' has the numbers.

            If the machine stops while files change places, values may be declared twice, which changes nothing: remove \
            'rollback-NUMBER.yaml', and give files that are only there as '.orig' their names back.
            """)

    @Argument(help: ArgumentHelp("Number of a transaction.", valueName: "number"))
    var sequence: UInt64
    @Flag(name: .shortAndLong, help: "Don't ask.")
    var yes = false
    @Option(help: ArgumentHelp("How long to wait for values that are pending.", valueName: "time"))
    var timeout = Span(milliseconds: 10_000)
    @Option(
        help: ArgumentHelp(
            "Return to the present files and network unless it is confirmed within this time, by Enter or 'nsm-agent confirm'.",
            valueName: "time"))
    var confirm: Span?
    @Option(help: ArgumentHelp("With --confirm: the socket for 'nsm-agent confirm'.", valueName: "path"))
    var confirmSocket = ControlSocket.confirmationPath
    @Option(help: ArgumentHelp("Directory of files, where no daemon runs that says it.", valueName: "directory"))
    var config = OneShot.defaultPath
    @Option(
        help: ArgumentHelp(
            "Where the history is, where no daemon runs that knows it. (default: that of 'nsm-agent run')",
            valueName: "directory"))
    var stateDir: String?
    @OptionGroup var socket: SocketOptions
    @OptionGroup var owner: OwnerOptions

    mutating func validate() throws {
        if let confirm, confirm.milliseconds == 0 { throw ValidationError("--confirm needs a time above 0") }
        if !yes, !Prompt.isPossible {
            throw ValidationError("there is no terminal to ask at; say --yes to do it")
        }
    }

    func run() throws {
        try Privileges.require(changing: true)
        OwnWorkers.use()
        do throws(ControlSocket.Failure) {
            try ControlSocket.check(socket.path)
        } catch {
            guard case .noAgent = error else { throw Failure(error.description, status: error.exitStatus) }
            return try runAlone()
        }
        try runBesideDaemon()
    }

    private var confirmation: ConfirmationOptions? {
        confirm.map { ConfirmationOptions(socket: confirmSocket, time: $0.duration) }
    }

    // MARK: - With a daemon

    private func runBesideDaemon() throws {
        if confirm != nil { try Descriptors.require(Descriptors.confirmation) }
        // Before any other thread starts, which would take the signals.
        let waiting = try confirmation.map { options in
            try OneShot.inWords { try ChangeConfirmation(options, settings: owner.settings) }
        }
        let daemon = RollbackDaemon(socket: socket)
        let past = try daemon.past(sequence)
        var planned = owner
        if let label = owner.label, label != past.label {
            throw Failure("the daemon on \(socket.path) has the label '\(past.label)', not '\(label)'")
        }
        planned.label = past.label
        let target = try RollbackTarget(
            try past.knownValues(sequence), sequence, directory: past.directory, label: past.label)
        try target.requireFilesAlone(past.sources)
        try target.requireRead(past.files)
        let network = try OneShot.network(planned, target.config)
        try agree(PlanReport(network.reconciler.plan(), values: network.reconciler.status()), target)
        let replacement = try target.replaceFiles()
        do {
            try daemon.takeIn()
        } catch {
            try target.undo(replacement)
            try? daemon.takeIn()
            throw error
        }
        let isGood: Bool
        let stays: Bool
        do {
            isGood = try daemon.isSettled(within: timeout.duration)
            stays = try waiting.map { try isKept($0) } ?? true
        } catch {
            // What nobody could confirm does not stay.
            if waiting != nil {
                try target.undo(replacement)
                try? daemon.takeIn()
            }
            throw error
        }
        if !stays {
            try target.undo(replacement)
            try daemon.takeIn()
            Failure.tell("not confirmed: the files are back as they were, and so is the network")
            OneShot.finish(ExitStatus.failure)
        }
        OneShot.finish(isGood ? ExitStatus.success : ExitStatus.failure)
    }

    private func isKept(_ waiting: ChangeConfirmation) throws -> Bool {
        waiting.forgetInput()
        if let confirmation { ApplicationRun.askForConfirmation(confirmation, byEnter: waiting.hasTerminal) }
        guard try OneShot.inWords({ try waiting.isGiven() }) else { return false }
        Failure.tell("confirmed")
        return true
    }

    // MARK: - Without a daemon

    private func runAlone() throws {
        var options = Application.Options(settings: owner.settings)
        options.waiting = timeout.duration
        if confirm != nil { try Descriptors.require(Descriptors.confirmation) }
        options.confirmation = confirmation
        let clients = ClientOptions.files(label: owner.resolvedLabel, in: stateDir)
        let past = try RollbackFiles(history: clients.history, journal: clients.journal)
        let target = try RollbackTarget(
            try past.values(sequence), sequence, directory: config, label: owner.resolvedLabel)
        try target.requireFilesAlone(past.sources)
        let run = try ApplicationRun(options, target.config, output: .table)
        try agree(run.report(), target)
        let replacement = try target.replaceFiles()
        let isGood: Bool
        let stays: Bool
        do {
            isGood = try run.apply()
            stays = try run.isKept()
        } catch {
            try target.undo(replacement)
            throw error
        }
        if !stays {
            try target.undo(replacement)
            Failure.tell("the files are back as they were")
            OneShot.finish(ExitStatus.failure)
        }
        OneShot.finish(isGood ? ExitStatus.success : ExitStatus.failure)
    }

    /// Shows what would be done, and asks.
    private func agree(_ report: PlanReport, _ target: RollbackTarget) throws {
        Failure.write(report.text(Terminal(descriptor: STDERR_FILENO)))
        Failure.write(target.text)
        if yes { return }
        if !Prompt.ask("Do this? [y/N] ") { throw Failure("nothing was changed") }
    }
}
