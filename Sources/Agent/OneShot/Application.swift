internal import Concurrency
public import LinuxKinds
public import Model
internal import Netlink
public import Reconciler

/// One change of the network from start to end: from what is declared to the kernel, and back when it is not to stay.
///
/// What `apply` and `delete` are. It waits in the daemon's loop, until all is settled, time is over or a signal comes. Belongs to
/// one thread.
public final class Application {
    /// The options of an application.
    public struct Options: Sendable {
        /// Owner, marks, places.
        public var settings: AgentSettings
        /// How long values are waited for that are pending, or failed for a reason that may pass.
        public var waiting = Duration.zero
        /// Whether everything is undone when one value fails.
        public var revertsOnFailure = false
        /// Whether a value that is still pending when time is over counts as one that failed.
        public var countsPendingAsFailure = false
        /// How somebody is to say that the changes stay; nil: they stay.
        public var confirmation: ConfirmationOptions?
        /// Whether to go on beside another agent with the same label.
        public var isForced = false
        /// Where a daemon with the same label may listen, which is asked to put right what others changed; nil: nobody is asked.
        public var daemonSocket: String?
        /// Whether ``Event/applying(done:total:)`` and ``Event/waiting(_:rest:)`` are reported.
        public var showsProgress = false

        /// Makes options.
        public init(settings: AgentSettings) { self.settings = settings }
    }

    /// What an application reports while it runs.
    public enum Event {
        /// So many values of all that change are done.
        case applying(done: Int, total: Int)
        /// These states are waited for, so long at most.
        case waiting([ValueState: Int], rest: Duration)
        /// Nothing more is waited for.
        case settled
        /// Somebody is to say that the changes stay; whether Enter does.
        case confirmationWanted(byEnter: Bool)
        /// Somebody said so.
        case confirmed
        /// Everything was undone, and why. What could not be, in the kernel's words.
        case undone(reason: String, failures: [String])
    }

    /// What has become of it.
    public struct Result {
        /// What was done.
        public var transactions: [Transaction]
        /// How many values are in which state.
        public var counts: [ValueState: Int]
        /// All values, when some are not as they should be.
        public var values: [ValueStatus]
        /// How long it took.
        public var duration: Duration
        /// Whether everything was undone because something failed.
        public var isReverted: Bool
        /// Whether all is as it should be.
        public var isGood: Bool
    }

    private let options: Options
    private let network: HostNetwork
    private let tell: (Event) -> Void
    private let start: Timestamp
    private var end: Timestamp
    /// When waiting ends: a moment of CLOCK_MONOTONIC.
    private let deadline: Int64
    /// What there was before, when it may have to be returned to.
    private var past: Journal?
    private let interruption: Interruption?
    private let confirmation: Confirmation?
    private var isUndone = false
    /// Whether a plan was made of what was read, which must be read again.
    private var isPlanned = false

    private enum Token {
        static let signals: UInt64 = 1
    }

    /// Reads the kernel; nothing is changed yet.
    ///
    /// - Parameter tell: Hears what happens.
    /// - Throws: when the kernel can't be read, or nobody could confirm, in words for the operator.
    public init(_ options: Options, _ config: LoadedConfig, tell: @escaping (Event) -> Void) throws {
        self.options = options
        self.tell = tell
        let (seconds, attoseconds) = options.waiting.components
        deadline = SteadyClock.monotonic + seconds * 1_000_000_000 + attoseconds / 1_000_000_000
        let network = HostNetwork(
            options.settings, retry: RetryPolicy(firstDelay: .milliseconds(250), longestDelay: .seconds(2)))
        self.network = network
        start = network.clock.now
        end = start
        let mayUndo = options.revertsOnFailure || options.confirmation != nil
        do {
            // Before any other thread starts, which would take the signals.
            interruption = try mayUndo ? Interruption() : nil
            // Before anything is changed: without a socket the changes can't be undone.
            confirmation = try options.confirmation.map { try Confirmation($0, network) }
        } catch let error as KernelError {
            throw AgentError("the event loop can't be made: \(error)")
        }
        network.declare(config)
        let inUse = options.isForced ? nil : try lock()
        try read()
        if let inUse { try requireNothingToDo(beside: inUse, config) }
        past = mayUndo ? network.world.snapshot() : nil
    }

    /// No other agent may hold the label where we work. Returns the holder, if there is one.
    private func lock() throws -> LabelInUse? {
        do {
            try network.world.lock(patience: .seconds(1))
            return nil
        } catch let inUse as LabelInUse {
            network.world.goOnWithoutLocks()
            return inUse
        } catch {
            throw AgentError("the label '\(options.settings.label)' can't be taken hold of: \(error)")
        }
    }

    /// An application with nothing to change does not disturb the other agent.
    private func requireNothingToDo(beside inUse: LabelInUse, _ config: LoadedConfig) throws {
        if hasNothingToDo { return }
        var more = ""
        if let socket = options.daemonSocket {
            let daemon = RunningAgent(socket: socket, label: options.settings.label)
            do {
                switch try mend(by: daemon, config) {
                case .mended: return
                case .declaresOthers: break
                case .notMended: more = ", wants the same and has not made it so; see 'nsm-agent status'"
                }
            } catch let error as KernelError {
                throw AgentError("the event loop can't be made: \(error)")
            }
        }
        throw AgentError("\(inUse)\(more); \(Self.ways)")
    }

    private var hasNothingToDo: Bool {
        let plan = plan()
        return plan.steps.isEmpty && plan.losses.isEmpty
    }

    private enum Mending {
        case mended, notMended, declaresOthers
    }

    /// Waits until a daemon has put right what others changed, if it declares what we do.
    private func mend(by daemon: RunningAgent, _ config: LoadedConfig) throws -> Mending {
        let loop = try NetworkLoop(network)
        let end = min(deadline, SteadyClock.monotonic + Self.longestMending)
        loop.set(.deadline, at: end)
        let values = Dictionary(config.items.map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first })
        let (answer, waker) = (Promise<Bool>(), loop.waker)
        Task.detached {
            answer.keep(await daemon.mends(values))
            waker.wakeUp()
        }
        while true {
            if let declaresSame = answer.present {
                if !declaresSame { return .declaresOthers }
                try readAgain()
                if hasNothingToDo { return .mended }
                // It may be trying again.
                loop.set(.progress, at: SteadyClock.monotonic + Self.mendingRest)
            }
            for case .due(.deadline) in try loop.turn() { return answer.present == nil ? .declaresOthers : .notMended }
        }
    }

    /// How long a daemon may take to put right what others changed, and how long until that is looked at again, nanoseconds.
    private static let longestMending: Int64 = 5_000_000_000
    private static let mendingRest: Int64 = 200_000_000

    private static let ways = "stop it, give another --label, or go on beside it with --force"

    private func read() throws {
        do {
            try network.read()
        } catch let collision as LabelCollision {
            throw AgentError("\(collision)")
        } catch {
            throw AgentError("the kernel's state can't be read: \(error)")
        }
        let held = network.world.heldElsewhere
        if !held.isEmpty { throw AgentError("\(held.joined(separator: "; ")): \(Self.ways)") }
        isPlanned = false
    }

    /// Forgets what was only planned.
    private func readAgain() throws {
        if !isPlanned { return }
        network.world.refreshAfterFailure()
        try read()
    }

    /// What ``run()`` would do.
    public func plan() -> Plan<LinuxOperation> {
        isPlanned = true
        return network.reconciler.plan()
    }

    /// Whether a plan loses something that was there: deletes or recreates a value, or takes an object from others.
    public func isGrave(_ plan: Plan<LinuxOperation>) -> Bool {
        let proto = network.world.ownership.proto
        return plan.steps.contains { $0.verb == .delete || $0.verb == .recreate }
            || plan.operations.contains { $0.removesObject(besides: proto) }
    }

    /// The declared values, for what belongs together in a plan.
    public var values: [ValueStatus] { network.reconciler.status() }

    /// Makes the network as declared and waits for what may still come.
    public func run() throws -> Result {
        try readAgain()
        var progress: ((Int, Int) -> Void)?
        if options.showsProgress { progress = { [tell] in tell(.applying(done: $0, total: $1)) } }
        network.reconciler.reconcile(
            reason: .apply, scope: .all, revertOnFailure: options.revertsOnFailure, progress: progress)
        var undoing = try options.waiting > .zero && mayImprove ? wait() : nil
        if undoing == nil, options.revertsOnFailure, options.countsPendingAsFailure, !isReverted, isPending {
            undoing = "a value is pending"
        }
        tell(.settled)
        // What earlier passes did goes, too.
        if let undoing {
            isUndone = true
            try undo(because: undoing)
        }
        end = network.clock.now
        return result()
    }

    private func result() -> Result {
        let counts = network.reconciler.stateCounts()
        let isReverted = isReverted
        let isGood = !isReverted && counts.allSatisfy { $1 == 0 || HostNetwork.isGood($0) }
        return Result(
            transactions: network.reconciler.transactions, counts: counts,
            values: isGood ? [] : network.reconciler.status(), duration: end.since(start), isReverted: isReverted,
            isGood: isGood)
    }

    // MARK: - Waiting

    private var isReverted: Bool { isUndone || network.reconciler.transactions.contains(where: \.reverted) }

    /// Whether a value failed, at the first try or a later one.
    private var hasFailed: Bool {
        network.reconciler.stateCounts().contains { $1 > 0 && ($0 == .failed || $0 == .retrying) }
    }

    private var isPending: Bool { network.reconciler.stateCounts()[.pending] ?? 0 > 0 }

    /// Whether time or an event may still make values as they are wanted.
    private var mayImprove: Bool {
        !isReverted && network.reconciler.stateCounts().contains { $1 > 0 && HostNetwork.mayImprove($0) }
    }

    /// Turns the loop until all is settled or time is over. Returns why everything is to be undone.
    private func wait() throws -> String? {
        do {
            let loop = try confirmation?.loop ?? NetworkLoop(network)
            try loop.watch()
            if let interruption { try loop.add(interruption.descriptor, token: Token.signals) }
            defer { if let interruption { loop.remove(interruption.descriptor) } }
            loop.isInForce = true
            // What happened since the first read was not heard.
            _ = loop.readAndReconcile(reason: .apply)
            loop.set(.deadline, at: deadline)
            defer { for moment in NetworkLoop.Moment.allCases { loop.set(moment, at: nil) } }
            while mayImprove {
                if options.revertsOnFailure, hasFailed { return "a value failed" }
                if showRest(loop) { return nil }
                for case .readable(Token.signals) in try loop.turn() { return "interrupted" }
            }
            return nil
        } catch let error as KernelError {
            throw AgentError("can't subscribe to the kernel's events: \(error)")
        }
    }

    /// Shows the time that is left, once a second. Returns whether there is none.
    private func showRest(_ loop: NetworkLoop) -> Bool {
        let now = SteadyClock.monotonic
        if now >= deadline { return true }
        if options.showsProgress {
            tell(.waiting(network.reconciler.stateCounts(), rest: .nanoseconds(deadline - now)))
            loop.set(.progress, at: now + 1_000_000_000)
        }
        return false
    }

    // MARK: - Undoing

    /// Whether the changes stay. If somebody is to say so, waits for it, and undoes them when nobody does.
    public func isKept() throws -> Bool {
        let hasChanged = network.reconciler.transactions.contains { !$0.entries.isEmpty }
        guard let confirmation, hasChanged, !isUndone else { return true }
        confirmation.forgetInput()
        tell(.confirmationWanted(byEnter: confirmation.hasTerminal))
        if try confirmation.isGiven(unless: interruption) {
            tell(.confirmed)
            return true
        }
        try undo(because: "not confirmed")
        return false
    }

    /// Returns to what was before.
    private func undo(because reason: String) throws {
        guard let past else { return }
        try read()
        let world = network.world
        let operations = world.operations(toRestore: past)
        var failures: [String] = []
        for (operation, result) in zip(operations, world.execute(operations)) {
            switch result {
            case .done: continue
            case .failed(let text, _): failures.append("\(world.describe(operation)): \(text)")
            case .skipped:
                failures.append("\(world.describe(operation)): skipped, as what it builds on failed")
            }
        }
        tell(.undone(reason: reason, failures: failures))
    }
}
