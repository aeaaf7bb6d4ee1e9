internal import Agent
internal import ArgumentParser
internal import Glibc
internal import LinuxKinds
internal import Model
internal import Netlink
internal import Northbound
internal import Reconciler

/// What the commands share that read files and the kernel once.
enum OneShot {
    static let forceHelp: ArgumentHelp =
        "Go on beside another agent with the same label, which returns to what its own files say."

    /// Where files are unless a command names others.
    static let defaultPath = "/etc/nsm-agent/network.d"

    static let pathsHelp = ArgumentHelp(
        "Files and directories; '-' is standard input. (default: \(defaultPath))", valueName: "path")

    /// What a command is to read.
    static func files(_ paths: [String]) throws(Failure) -> [String] {
        if !paths.isEmpty { return paths }
        guard access(defaultPath, F_OK) == 0 else {
            throw Failure(
                "name files or directories; the default, \(defaultPath), does not exist",
                status: ExitStatus.usage)
        }
        return [defaultPath]
    }

    /// Reads and checks files. Mistakes and warnings go to standard error; with mistakes it fails.
    static func load(_ paths: [String], label: String) throws -> LoadedConfig {
        let config = ConfigFiles.load(paths: try files(paths), label: label, names: HostNames.resolver)
        Failure.write(warnings(of: config))
        if config.isValid { return config }
        Failure.write(mistakes(of: config))
        Failure.tell(
            "\(Text.count(config.mistakeCount, "mistake")) found; nothing was read from or changed in the kernel")
        throw Failure.said(status: ExitStatus.invalid)
    }

    /// The warnings about files, a line each.
    static func warnings(of config: LoadedConfig) -> String {
        lines(config.warnings, config.omittedWarnings, "warning") { "\($0.position): warning: \($0.text)" }
    }

    /// The mistakes in files, each with the line it is in.
    static func mistakes(of config: LoadedConfig) -> String {
        var excerpts = SourceExcerpts()
        var text = ""
        excerpts.hide(config.mistakes)
        for mistake in config.mistakes { text += "\(mistake)\n" + excerpts.text(mistake.position) }
        return text + lines(EmptyCollection<Mistake>(), config.omittedMistakes, "mistake") { "\($0)" }
    }

    /// A line for each, and one for those that are not listed.
    static func lines<Item>(_ items: some Sequence<Item>, _ omitted: Int, _ word: String, line: (Item) -> String)
        -> String
    {
        items.map { line($0) + "\n" }.joined() + (omitted > 0 ? "and \(Text.count(omitted, "more \(word)"))\n" : "")
    }

    /// The network with what is declared and what the kernel has.
    static func network(
        _ options: OwnerOptions, _ config: LoadedConfig, retry: RetryPolicy = .never
    ) throws -> HostNetwork {
        let network = HostNetwork(options.settings, retry: retry)
        network.declare(config)
        try read(network)
        return network
    }

    static func read(_ network: HostNetwork) throws {
        do {
            try network.read()
        } catch let collision as LabelCollision {
            throw Failure("\(collision)")
        } catch {
            throw Failure("the kernel's state can't be read: \(error)")
        }
    }

    /// Puts a failure in the words of the command line.
    static func inWords<Answer>(_ body: () throws -> Answer) throws -> Answer {
        do {
            return try body()
        } catch let error as ControlSocket.Failure {
            throw Failure(error.description, status: error.exitStatus)
        } catch let error as AgentError {
            throw Failure(error.description)
        }
    }

    /// Ends at once: tidying up thousands of objects before the process goes would only cost time.
    static func finish(_ status: Int32) -> Never { exit(Show.status(status)) }
}
