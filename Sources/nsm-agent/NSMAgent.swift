internal import Agent
internal import ArgumentParser

/// The program with its commands.
struct NSMAgent: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "nsm-agent",
        abstract: "Makes the network of this host as YAML files say, and keeps it so.",
        discussion: """
            Values that files declare (interfaces, addresses, routes, neighbours, rules, namespaces) are made by netlink in \
            their network namespaces. What was made carries the owner's label in the kernel, so nothing else is ever \
            touched, and leftovers are found after a crash.

            Exit status: 0 done, 1 something failed or is pending, 2 changes (plan --detailed-exitcode), 64 wrong usage, \
            65 wrong configuration, 69 no agent is running, 71 too few open files are allowed, 77 a capability is missing.
            """,
        version: Version.line(program: "nsm-agent"),
        groupedSubcommands: [
            CommandGroup(
                name: "One-shot:", subcommands: [Check.self, PlanCommand.self, Apply.self, Delete.self, Export.self]),
            CommandGroup(
                name: "Daemon:",
                subcommands: [
                    Run.self, Status.self, Get.self, SetCommand.self, Del.self, History.self, Rollback.self, Graph.self,
                    Reload.self, Confirm.self,
                ]),
            CommandGroup(
                name: "Network services:", subcommands: [MeshCommand.self, ForwarderCommand.self, Connect.self]),
            CommandGroup(
                name: "Documentation:",
                subcommands: [ExplainCommand.self, SchemaCommand.self, VersionCommand.self]),
        ])
}
