internal import ArgumentParser
internal import Model
internal import Northbound

struct Get: WaitingCommand {
    static let configuration = CommandConfiguration(
        commandName: "get",
        abstract: "Write all declared values, from all sources, as a configuration file.",
        discussion: "With --output table: keys and where they stand.")

    @Argument(help: "Only values whose key starts with this.", completion: Completions.keys)
    var keyPrefix = ""
    @OptionGroup var socket: AgentOptions
    @Option(name: .shortAndLong, help: "yaml, json or table.")
    var output = OutputFormat.yaml

    func run() async throws {
        let all = try await socket.client().answer { try await $0.declaredValues() }
        let found = all.filter { $0.value.key.hasPrefix(keyPrefix) }
        if found.isEmpty, !keyPrefix.isEmpty {
            throw Failure(
                "no declared value has a key that starts with '\(keyPrefix)'; 'nsm-agent get -o table' lists all")
        }
        Show.tree(ConfigDocument.tree(of: found.map(\.value)), as: output) { terminal in
            ValueStates.text(found.map(\.state), terminal)
        }
    }
}

struct SetCommand: WaitingCommand {
    static let configuration = CommandConfiguration(
        commandName: "set",
        abstract: "Declare values beside those in the daemon's files.",
        discussion: """
            Each value of the files given here replaces what was declared under its key before, until 'nsm-agent del' \
            withdraws it or another source writes it. Other values stay as they are. The command ends when the kernel has the \
            values. The daemon declares them again after a restart; they override files and etcd.
            """)

    @Argument(
        help: ArgumentHelp("Files and directories; '-' is standard input.", valueName: "path"), completion: .file())
    var paths: [String]
    @Option(
        help:
            "Owner that the agent works for; resources take items for others. (default: $MICROSERVICE_LABEL or 'default')"
    )
    var label: String?
    @OptionGroup var socket: AgentOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let client = try socket.client()
        let config = try OneShot.load(paths, label: label ?? environment("MICROSERVICE_LABEL") ?? "default")
        let values = config.items.map(\.value)
        let states = try await client.answer { client in
            do {
                return try await client.change(values, removed: [])
            } catch let error as ControlClient.Failure where error.staysDeclared {
                throw nsm_agent.Failure(
                    "\(error.description); all stay declared and are tried again, until 'nsm-agent del' withdraws them")
            }
        }
        try ValueStates.tell(states, output.output)
    }
}

struct Del: WaitingCommand {
    static let configuration = CommandConfiguration(
        commandName: "del",
        abstract: "Withdraw values that were declared by 'nsm-agent set'.",
        discussion: "A value that another source declares under the same key then counts again.")

    @Argument(
        help: ArgumentHelp("Keys, as 'nsm-agent status -o wide' shows them.", valueName: "key"),
        completion: Completions.keys)
    var keys: [String]
    @OptionGroup var socket: AgentOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let states = try await socket.client().answer { [keys] client in
            for key in keys { try Self.check(key, try await Self.sources(of: key, client)) }
            return try await client.change([], removed: keys)
        }
        try ValueStates.tell(states, output.output)
    }

    /// Who declares a value: the one that is heard, then the others.
    private static func sources(of key: String, _ client: ControlClient) async throws -> [String] {
        var request = Nsmagent_Control_StatusRequest()
        request.keyPrefix = key
        let values = try await client.status(request).values.filter { $0.status.key == key }
        return values.flatMap { [$0.source] + $0.otherSources }
    }

    private static func check(_ key: String, _ sources: [String]) throws(Failure) {
        if sources.contains(where: { $0 == "set" || $0.hasPrefix("set ") }) { return }
        guard let first = sources.first(where: { !$0.isEmpty }) else {
            throw Failure(
                "nothing is declared under '\(key)'; 'nsm-agent get -o table' lists keys. Nothing was changed")
        }
        throw Failure("'\(key)' comes from \(first), not from 'nsm-agent set'; withdraw it there. Nothing was changed")
    }
}

/// Keys and where they stand.
private enum ValueStates {
    static func tell(_ states: [NamedValueState], _ format: OutputFormat) throws {
        let trees = states.map { state -> Tree in
            ["key": .string(state.key), "state": .string(state.state), "text": .string(state.text)]
        }
        Show.tree(["values": .sequence(trees)], as: format) { text(states, $0) }
    }

    static func text(_ states: [NamedValueState], _ terminal: Terminal) -> String {
        if states.isEmpty { return "Nothing is declared.\n" }
        var table = Table("KEY", "STATE", "DETAIL")
        for state in states { table.add(.init(state.key), .init(state.state), .init(state.text)) }
        return table.text(terminal)
    }
}
