internal import Agent
internal import ArgumentParser
internal import Reconciler

struct PlanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "Show what apply would do, and do nothing.",
        discussion: """
            Reads the kernel and prints what would be created (+), changed (~, old → new), recreated (±) and deleted (-), \
            and what would stay pending and why. Lines that are indented belong to the value above.
            """)

    @Argument(help: OneShot.pathsHelp, completion: .file())
    var paths: [String] = []
    @Flag(help: "Exit with status 2 if there are changes.")
    var detailedExitcode = false
    @OptionGroup var owner: OwnerOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let config = try OneShot.load(paths, label: owner.resolvedLabel)
        // What the kernel tells everybody is enough for a plan of the command's own namespace.
        let needsRights = config.items.contains { item in
            if case .filterTable = item.value { return true }
            if case .ruleChain = item.value { return true }
            return item.value.namespace != nil
        }
        if needsRights {
            try Privileges.require(changing: false)
        } else if !Privileges.canLook {
            Failure.tell(
                "without rights only this namespace is looked at, and no tables of nftables; what is left over elsewhere is "
                    + "not in this plan")
        }
        let network = try OneShot.network(owner, config)
        let plan = network.reconciler.plan()
        let report = PlanReport(plan, values: network.reconciler.status())
        Show.tree(report.tree, as: output.output) { report.text($0) }
        OneShot.finish(detailedExitcode && report.hasChanges ? ExitStatus.changes : ExitStatus.success)
    }
}
