internal import Concurrency
internal import Agent
internal import CLinux
internal import Glibc
internal import LinuxKinds
internal import Model
internal import Netlink
internal import Reconciler

/// One apply: from files to the kernel, and what became of it.
final class Application {
    let network: HostNetwork
    private let output: OutputFormat
    private let waiting: Span
    private let revertOnFailure: Bool
    private let start: Timestamp
    private var progress: Progress?
    private var end: Timestamp
    /// What there was before, when it may have to be returned to.
    private let past: Journal?
    private var isUndone = false

    private var reconciler: Reconciler<LinuxWorld> { network.reconciler }

    init(
        _ owner: OwnerOptions, _ config: LoadedConfig, waiting: Span, revertOnFailure: Bool, output: OutputFormat
    ) throws {
        self.waiting = waiting
        self.revertOnFailure = revertOnFailure
        self.output = output
        let clock = SteadyClock()
        start = clock.now
        end = start
        network = try OneShot.network(
            owner, config, retry: RetryPolicy(firstDelay: .milliseconds(250), longestDelay: .seconds(2)))
        past = revertOnFailure ? network.world.snapshot() : nil
        if output == .table, cl_is_terminal(STDERR_FILENO) { progress = Progress() }
    }

    /// Whether anything was done to the kernel.
    var hasChanged: Bool { reconciler.transactions.contains { !$0.entries.isEmpty } }

    /// Reconciles, and waits for what may still come.
    func run() throws {
        reconcile("apply", revertOnFailure: revertOnFailure)
        if waiting.milliseconds > 0, mayImprove { try wait() }
        progress?.clear()
        // What earlier passes did goes, too.
        if isUndone, let past { try undo(to: past, as: "a value failed") }
        end = network.clock.now
    }

    private func reconcile(
        _ reason: String, _ scope: Reconciler<LinuxWorld>.Scope = .all, revertOnFailure: Bool = false
    ) {
        let progress = progress
        reconciler.reconcile(
            reason: reason, scope: scope, revertOnFailure: revertOnFailure,
            progress: progress.map { progress in { progress.show($0, of: $1) } })
    }

    // MARK: - Waiting

    private var isReverted: Bool { isUndone || reconciler.transactions.contains(where: \.reverted) }

    /// Whether a value failed, at the first try or a later one.
    private var hasFailed: Bool { reconciler.stateCounts().contains { $1 > 0 && ($0 == .failed || $0 == .retrying) } }

    /// Whether time or an event may still make values as they are wanted.
    private var mayImprove: Bool {
        !isReverted && reconciler.stateCounts().contains { $1 > 0 && HostNetwork.mayImprove($0) }
    }

    private func wait() throws {
        let deadline = start.advanced(by: .milliseconds(waiting.milliseconds))
        let loop: EventLoop
        do throws(KernelError) {
            loop = try EventLoop()
            try network.world.startWatching(on: loop)
            try network.read()
            reconcile("apply")
            while mayImprove {
                if past != nil, hasFailed {
                    isUndone = true
                    return
                }
                let now = network.clock.now
                guard now < deadline else { return }
                progress?.wait(for: reconciler.stateCounts(), until: deadline.since(now))
                let due = min(deadline, max(reconciler.nextTry ?? deadline, now))
                let rest = (due.nanoseconds - now.nanoseconds + 999_999) / 1_000_000
                // Now and then, so that the time left is shown.
                let step = progress == nil ? rest : min(rest, 1000)
                let changes = network.world.takeEvents(
                    tokens: try loop.wait(timeoutMilliseconds: Int32(min(step, 3_600_000))))
                if changes.needsFullPass {
                    reconcile("event")
                } else if !changes.keys.isEmpty {
                    reconcile("event", .keys(changes.keys))
                }
                if let due = reconciler.nextTry, due <= network.clock.now { reconcile("retry") }
            }
        } catch {
            throw Failure("the kernel's events can't be had: \(error)")
        }
    }

    // MARK: - Asking and undoing

    /// Shows what would be removed and asks. Returns whether to go on.
    func isRemovalWanted() throws -> Bool {
        let plan = reconciler.plan()
        defer { network.world.refreshAfterFailure() }
        if plan.isEmpty { return true }
        let report = PlanReport(plan, values: [])
        Failure.write(report.text(Terminal(descriptor: STDERR_FILENO)))
        let isWanted = Prompt.ask("Remove all this? [y/N] ")
        if isWanted { try OneShot.read(network) }
        return isWanted
    }

    /// Returns to what was before.
    func undo(to snapshot: Journal, as reason: String) throws {
        let world = network.world
        try OneShot.read(network)
        let operations = world.operations(toRestore: snapshot)
        let results = world.execute(operations)
        var failures = 0
        for (operation, result) in zip(operations, results) {
            switch result {
            case .done: continue
            case .failed(let text, _): Failure.tell("\(world.describe(operation)): \(text)")
            case .skipped: Failure.tell("\(world.describe(operation)): skipped, as what it builds on failed")
            }
            failures += 1
        }
        Failure.tell(
            failures == 0
                ? "\(reason): everything was undone"
                : "\(reason): undone, except for \(Text.count(failures, "operation")) that failed")
    }

    // MARK: - Telling

    /// Says what was done and what is not as it should be. Returns whether all is.
    func report() -> Bool {
        let counts = reconciler.stateCounts()
        let isGood = !isReverted && counts.allSatisfy { $1 == 0 || HostNetwork.isGood($0) }
        let report = ApplicationReport(
            transactions: reconciler.transactions, counts: counts, bad: isGood ? [] : reconciler.status(),
            duration: end.since(start), isReverted: isReverted)
        if output == .table { Failure.write(report.problems) }
        Show.tree(report.tree, as: output) { report.text($0) }
        return isGood
    }
}

/// Questions to whoever sits at the terminal.
enum Prompt {
    /// Whether somebody does.
    static var isPossible: Bool { cl_is_terminal(STDIN_FILENO) && cl_is_terminal(STDERR_FILENO) }

    /// Whether the answer is yes.
    static func ask(_ question: String) -> Bool {
        Failure.write(question)
        return ["y", "yes"].contains((readLine() ?? "").lowercased())
    }
}
