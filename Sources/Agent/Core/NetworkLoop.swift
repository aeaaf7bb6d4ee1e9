internal import Concurrency
internal import LinuxKinds
internal import NSMServices
internal import Netlink
internal import Reconciler

/// The one event loop of an agent, for a daemon as for a command that waits: keeps a network as it is declared.
///
/// Waits in epoll(7) for what the kernel reports, for descriptors that its user watches, and for moments. Without any of
/// these, and without anything to try again, it never wakes up. Belongs to one thread.
final class NetworkLoop {
    /// What happened in a turn, beside what the loop did by itself.
    enum Occurrence {
        /// A descriptor of the user is readable.
        case readable(UInt64)
        /// A moment of the user has come.
        case due(Moment)
        /// The network was changed, or could not be.
        case done(Transaction)
        /// The kernel reported something that concerns these.
        case reported(Set<Key>)
        /// These differ from what is declared and are left alone.
        case drift(Set<Key>)
        /// The kernel can't be read; it is tried again.
        case unreadable(any Error)
        /// What is ours can't be told from what another label owns; nothing is touched.
        case collision(LabelCollision)
    }

    /// What can be waited for.
    enum Moment: Int, CaseIterable {
        /// Changed files have been quiet for a while.
        case files
        /// What can't be watched of the files is to be looked at.
        case poll
        /// The service manager wants a sign of life.
        case watchdog
        /// Time is over.
        case deadline
        /// The time left is to be shown.
        case progress
        /// The kernel is to be read again after that failed. The loop's own.
        case read
        /// Values of which no event tells are to be compared. The loop's own.
        case audit
        /// The same, where something changed since. The loop's own.
        case suspicion
    }

    /// Tokens below are for the user's descriptors.
    private static let firstKernelToken: UInt64 = 1 << 32
    /// Least time between two passes of retries, nanoseconds.
    private static let leastRetryWait: Int64 = 100_000_000
    /// How long until the kernel is read again after that failed, nanoseconds.
    private static let readWait: Int64 = 1_000_000_000

    /// How long after a transaction what it made is looked at again, nanoseconds: other programs that start with us may
    /// set the same.
    private static let settlingTime: Int64 = 10_000_000_000
    /// How long after an event, or after a look at the declarations, values are compared of which no event tells,
    /// nanoseconds.
    private static let auditRest: Int64 = 500_000_000

    let network: HostNetwork
    /// Ends a wait from any thread.
    let waker: EventLoop.Waker
    /// Whether what is declared is to be made so. Before, nothing is touched: what is not known is not unwanted.
    var isInForce = false
    /// How often values are compared of which no event tells, nanoseconds; nil: never.
    var auditInterval: Int64?
    private let loop: EventLoop
    /// The user's descriptors that became readable in the middle of something. Some tell it only once.
    private var kept: [UInt64] = []
    /// Moments of CLOCK_MONOTONIC, nanoseconds.
    private var moments = [Int64?](repeating: nil, count: Moment.allCases.count)
    /// The earliest moment of the next retry, whatever the reconciler asks for.
    private var retryFloor: Int64 = 0

    /// Makes a loop that hears nothing of the kernel until ``watch()``.
    init(_ network: HostNetwork) throws(KernelError) {
        self.network = network
        loop = try EventLoop()
        waker = loop.waker
    }

    /// Listens to the kernel from now on.
    func watch() throws(KernelError) { try network.world.startWatching(on: loop) }

    /// Watches a descriptor of the user.
    func add(_ descriptor: Int32, token: UInt64) throws(KernelError) {
        precondition(token < Self.firstKernelToken)
        try loop.add(descriptor, token: token)
    }

    /// Watches a descriptor of the user for priority data.
    func addPriority(_ descriptor: Int32, token: UInt64) throws(KernelError) {
        precondition(token < Self.firstKernelToken)
        try loop.addPriority(descriptor, token: token)
    }

    /// Stops watching a descriptor of the user.
    func remove(_ descriptor: Int32) { try? loop.remove(descriptor) }

    /// Sets a moment of CLOCK_MONOTONIC; nil: it is not waited for.
    func set(_ moment: Moment, at time: Int64?) { moments[moment.rawValue] = time }

    /// When a moment comes; nil: it is not waited for.
    func time(of moment: Moment) -> Int64? { moments[moment.rawValue] }

    // MARK: - Turns

    /// Waits for what happens next and handles it: first all that the kernel reports, with one repair of everything it
    /// concerns, then what is due.
    func turn() throws(KernelError) -> [Occurrence] {
        let tokens = try loop.wait(timeoutMilliseconds: kept.isEmpty ? timeout() : 0) + kept
        kept.removeAll()
        var found: [Occurrence] = []
        var reports: [UInt64] = []
        for token in tokens {
            if token < Self.firstKernelToken { found.append(.readable(token)) } else { reports.append(token) }
        }
        if !reports.isEmpty {
            let changes = network.world.takeEvents(tokens: reports)
            if !changes.isEmpty { schedule(.suspicion, within: Self.auditRest) }
            found += repair(changes)
        }
        return found + takeDue()
    }

    private func timeout() -> Int32 {
        if let auditInterval { schedule(.audit, within: auditInterval) }
        var due: Int64?
        for case let moment? in moments { due = min(due ?? moment, moment) }
        if isInForce, let next = network.reconciler.nextTry {
            let wait = next.nanoseconds - network.clock.now.nanoseconds
            let moment = max(SteadyClock.monotonic + wait, retryFloor)
            due = min(due ?? moment, moment)
        }
        guard let due else { return -1 }
        let wait = (due - SteadyClock.monotonic + 999_999) / 1_000_000
        return Int32(min(max(wait, 0), 3_600_000))
    }

    private func takeDue() -> [Occurrence] {
        guard network.reconciler.nextTry != nil || moments.contains(where: { $0 != nil }) else { return [] }
        let now = SteadyClock.monotonic
        var found: [Occurrence] = []
        for moment in Moment.allCases {
            guard let due = moments[moment.rawValue], due <= now else { continue }
            moments[moment.rawValue] = nil
            switch moment {
            case .files, .poll, .watchdog, .deadline, .progress: found.append(.due(moment))
            case .read: found += readAndReconcile(reason: .retry)
            case .audit: found += repair(network.world.audit(suspectsOnly: false))
            case .suspicion: found += repair(network.world.audit(suspectsOnly: true))
            }
        }
        if retryFloor <= now, let due = network.reconciler.nextTry, due <= network.clock.now {
            retryFloor = now + Self.leastRetryWait
            if isInForce { found += reconcile(reason: .retry, scope: .changes) }
        }
        return found
    }

    private func repair(_ changes: WorldChanges) -> [Occurrence] {
        guard isInForce, !changes.isEmpty else { return [] }
        if changes.needsFullPass { return reconcile(reason: .event, scope: .all) }
        let found = reconcile(reason: .drift, scope: .keys(changes.keys)) + [.reported(changes.keys)]
        return network.reconciler.repairsDrift ? found : found + [.drift(changes.keys)]
    }

    /// Has all values compared soon of which no event tells.
    func auditSoon() { schedule(.audit, within: Self.auditRest) }

    /// Has values compared of which no event tells, in a while at the latest. Without such values nobody wakes up for it.
    private func schedule(_ look: Moment, within time: Int64) {
        guard let auditInterval, isInForce, network.world.hasSilentValues else { return set(look, at: nil) }
        let latest = SteadyClock.monotonic + min(time, auditInterval)
        set(look, at: min(self.time(of: look) ?? latest, latest))
    }

    // MARK: - What is wanted

    /// Takes in what connections to network services say.
    func takeIn(_ reports: [Key: ServiceReport?]) -> [Occurrence] {
        if reports.isEmpty { return [] }
        network.bring(reports)
        return isInForce ? readAndReconcile(reason: .services, isAudit: false) : []
    }

    /// Takes in what is known of containers.
    func takeIn(_ findings: [ContainerName: ContainerFinding]) -> [Occurrence] {
        if findings.isEmpty { return [] }
        let told = takeWaitingEvents()
        var changes = network.takeIn(findings)
        changes.keys.formUnion(told.keys)
        changes.needsFullPass = changes.needsFullPass || told.needsFullPass
        return repair(changes)
    }

    /// Makes the kernel as declared, after reading it: from the ground up, or only what events have not reported.
    func readAndReconcile(reason: Transaction.Reason, isAudit: Bool = true) -> [Occurrence] {
        set(.read, at: nil)
        let told = takeWaitingEvents()
        do {
            if isAudit { try network.read() } else { try network.readNew() }
            if !isAudit { schedule(.suspicion, within: Self.auditRest) }
        } catch let collision as LabelCollision {
            isInForce = false
            return [.collision(collision)]
        } catch {
            set(.read, at: SteadyClock.monotonic + Self.readWait)
            return [.unreadable(error)]
        }
        return reconcile(reason: reason, scope: isAudit || told.needsFullPass ? .all : .keys(told.keys))
    }

    /// Makes the kernel as declared, by what is known of it.
    func compareAll(reason: Transaction.Reason) -> [Occurrence] { reconcile(reason: reason, scope: .all) }

    private func reconcile(reason: Transaction.Reason, scope: Reconciler<LinuxWorld>.Scope) -> [Occurrence] {
        guard let transaction = network.reconciler.reconcile(reason: reason, scope: scope) else { return [] }
        schedule(.suspicion, within: Self.settlingTime)
        return [.done(transaction)]
    }

    /// Takes in what the kernel has already reported, so that it is not taken for newer than what is read next. The
    /// next turn reports other descriptors that are readable.
    private func takeWaitingEvents() -> WorldChanges {
        var told = WorldChanges()
        for _ in 0..<1000 {
            guard let tokens = try? loop.wait(timeoutMilliseconds: 0) else { return told }
            let events = tokens.filter { $0 >= Self.firstKernelToken }
            for token in tokens where token < Self.firstKernelToken && !kept.contains(token) { kept.append(token) }
            if events.isEmpty { return told }
            let changes = network.world.takeEvents(tokens: events)
            told.keys.formUnion(changes.keys)
            told.needsFullPass = told.needsFullPass || changes.needsFullPass
        }
        return told
    }
}
