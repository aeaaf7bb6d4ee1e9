internal import Agent
internal import ArgumentParser
internal import LinuxKinds
internal import Model
internal import Northbound

struct Apply: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "apply",
        abstract: "Make what we own in the kernel exactly these files.",
        discussion: """
            Values that are pending or failed for a reason that may pass are waited for, up to --timeout. What this label \
            owns and no file declares any more is removed. Applying the same files again changes nothing. On a terminal it \
            shows the plan and asks first, when something is deleted, recreated or taken from others. What is to be \
            undone, by --confirm or --revert-on-failure, is undone by Ctrl-C, SIGTERM and SIGQUIT, too, but not when the \
            command is ended by SIGKILL or the machine stops.
            """)

    @Argument(help: OneShot.pathsHelp, completion: .file())
    var paths: [String] = []
    @Flag(name: .shortAndLong, help: "Don't ask.")
    var yes = false
    @Option(help: ArgumentHelp("How long to wait for values that are pending.", valueName: "time"))
    var timeout = Span(milliseconds: 10_000)
    @Flag(
        help: """
            Undo everything when one value fails; with --revert-on-failure=pending also when one is still pending when \
            --timeout is over.
            """)
    var revertOnFailure = false
    /// What `--revert-on-failure=pending` is read as: the parser has no flags with a value that may be left out.
    @Flag(name: .customLong(Self.revertOnPending), help: .private)
    var revertsOnPending = false
    @Option(
        help: ArgumentHelp(
            "Undo everything unless it is confirmed within this time, by Enter or 'nsm-agent confirm'.",
            valueName: "time"))
    var confirm: Span?
    @Option(
        help: ArgumentHelp("With --confirm: the socket for 'nsm-agent confirm'.", valueName: "path"))
    var socket = ControlSocket.confirmationPath
    @Flag(help: OneShot.forceHelp)
    var force = false
    @OptionGroup var owner: OwnerOptions
    @OptionGroup var output: OutputOptions

    private static let revertOnPending = "revert-on-failure-or-pending"

    /// Arguments as the parser takes them.
    static func plain(_ arguments: some Sequence<String>) -> [String] {
        arguments.map { $0 == "--revert-on-failure=pending" ? "--\(revertOnPending)" : $0 }
    }

    mutating func validate() throws {
        if let confirm, confirm.milliseconds == 0 { throw ValidationError("--confirm needs a time above 0") }
    }

    func run() throws {
        let config = try OneShot.load(paths, label: owner.resolvedLabel)
        try Privileges.require(changing: true)
        var options = Application.Options(settings: owner.settings)
        options.waiting = timeout.duration
        options.isForced = force
        options.daemonSocket = SocketOptions.usualPath
        options.revertsOnFailure = revertOnFailure || revertsOnPending
        options.countsPendingAsFailure = revertsOnPending
        if let confirm {
            try Descriptors.require(Descriptors.confirmation)
            options.confirmation = ConfirmationOptions(socket: socket, time: confirm.duration)
        }
        let run = try ApplicationRun(options, config, output: output.output)
        if !yes, Prompt.isPossible, !run.isWanted("Do this? [y/N] ") { throw Failure("nothing was changed") }
        let isGood = try run.apply()
        OneShot.finish(try run.isKept() && isGood ? ExitStatus.success : ExitStatus.failure)
    }
}

struct Delete: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "delete",
        abstract: "Remove everything this label owns in the kernel.",
        discussion: "The same as an apply of nothing. Files stay as they are, and so does what other labels own.")

    @Flag(help: "Everything; without it nothing is removed.")
    var all = false
    @Flag(name: .shortAndLong, help: "Don't ask.")
    var yes = false
    @Flag(help: OneShot.forceHelp)
    var force = false
    @OptionGroup var owner: OwnerOptions
    @OptionGroup var output: OutputOptions

    mutating func validate() throws {
        if !all {
            throw ValidationError(
                "say 'delete --all' to remove everything that the label '\(owner.resolvedLabel)' owns")
        }
        if !yes, !Prompt.isPossible {
            throw ValidationError("without a terminal, 'delete --all' needs --yes")
        }
    }

    func run() throws {
        try Privileges.require(changing: true)
        var options = Application.Options(settings: owner.settings)
        options.waiting = .seconds(10)
        options.isForced = force
        let run = try ApplicationRun(options, LoadedConfig(), output: output.output)
        if !yes, !run.isWanted("Remove all this? [y/N] ") { throw Failure("nothing was removed") }
        OneShot.finish(try run.apply() ? ExitStatus.success : ExitStatus.failure)
    }
}

struct Export: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Write the kernel's state as a configuration file.",
        discussion: "An apply of the result finds everything in place.")

    @Option(
        help: ArgumentHelp("Only this named namespace.", valueName: "name"), completion: Completions.namespaces)
    var namespace: String?
    @Flag(help: "Also what this label does not own.")
    var all = false
    @OptionGroup var owner: OwnerOptions
    @Option(name: .shortAndLong, help: "yaml or json.")
    var output = OutputFormat.yaml

    mutating func validate() throws {
        if output == .table { throw ValidationError("an export is --output yaml or json") }
    }

    func run() throws {
        try Privileges.require(changing: false)
        let network = try OneShot.network(owner, LoadedConfig())
        let values: [ModelValue]
        do {
            values = try network.world.export(namespace: namespace, all: all)
        } catch {
            throw Failure("\(error)")
        }
        // What JSON says is for programs, which may run elsewhere.
        let names = output == .yaml ? HostNames.resolver : .none
        for line in network.world.omissions { Failure.tell("warning: left out: \(line)") }
        Show.tree(ConfigDocument.tree(of: values, names: names), as: output) { _ in "" }
        OneShot.finish(ExitStatus.success)
    }
}
