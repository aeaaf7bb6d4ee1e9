internal import Agent
internal import ArgumentParser

/// The program with its commands.
///
/// Each says its name. A name that is made from the name of a type costs a million instructions at every start, whichever command
/// is meant: Swift looks for the type among all conformances of the program.
struct NSMAgent: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "nsm-agent",
        abstract: "Makes the network of this host match YAML files, and keeps it so.",
        discussion: """
            Files declare interfaces, addresses, routes, neighbours, rules and namespaces; the agent makes them by netlink, each \
            in its network namespace. All that it makes carries the owner's label in the kernel. So it never touches \
            anything else, and finds what a crash left behind.

            Exit status: 0 done, 1 something failed or is pending, 2 changes (plan --detailed-exitcode), 64 wrong usage, \
            65 wrong configuration, 69 no agent is running, 71 the limit of open files is too low, 77 a capability is missing.
            """,
        version: Version.line(program: "nsm-agent"),
        groupedSubcommands: [
            CommandGroup(
                name: "One-shot:",
                subcommands: [Check.self, PlanCommand.self, Apply.self, Delete.self, Export.self, Convert.self]),
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
