internal import Concurrency
internal import Netlink

/// Another agent has the label in a namespace.
public struct LabelInUse: Error, Sendable, CustomStringConvertible {
    /// What is wrong.
    public let description: String
}

/// One agent for each label: the lock lives in what agents share, in each network namespace with values of ours.
///
/// Two agents may have different network namespaces and the same named ones. Each has those to itself in which its values are.
/// What another one has is as if it were not there.
extension LinuxWorld {
    /// What a namespace is to us.
    enum Hold {
        /// Not asked for.
        case none
        /// Nobody else with our label touches it.
        case ours(NamespaceLock?)
        /// Another agent holds it.
        case others(NamespaceLock.Holder)
    }

    /// What was opened in a namespace on the way to it.
    struct FirstVisit {
        let identity: NetworkNamespace.Identity
        let socket: RouteSocket
        var filterSocket: FilterSocket?
        var hold = Hold.none
    }

    private var lockName: String { "nsm-agent/\(ownership.label)" }

    /// Takes hold of our own network namespace, and from now on of every namespace in which values of ours are.
    ///
    /// - Parameters:
    ///   - patience: How long another agent is waited for, which may be about to end: the one before an upgrade.
    ///   - waiting: Hears for whom.
    /// - Throws: ``LabelInUse``; the kernel's error when there is no socket.
    public func lock(patience: Duration, waiting: (LabelInUse) -> Void = { _ in }) throws {
        locksNamespaces = true
        let start = SteadyClock.monotonic
        // The end of a process takes a moment, too, when it has many locks.
        lockDeadline = start + Self.shortestPatience
        let (seconds, attoseconds) = patience.components
        let end = start + seconds * 1_000_000_000 + attoseconds / 1_000_000_000
        let attempt = try takeLock(waitingUntil: end) { holder in
            if lockDeadline != end { waiting(inUse(holder)) }
            lockDeadline = end
        }
        switch attempt {
        case .taken(let lock): ownLock = lock
        case .squatted: break
        case .held(let holder): throw inUse(holder)
        }
    }

    /// Looks at namespaces regardless of their lock holder, after ``lock(patience:waiting:)`` failed.
    public func goOnWithoutLocks() { locksNamespaces = false }

    private func inUse(_ holder: NamespaceLock.Holder) -> LabelInUse {
        LabelInUse(
            description: "another agent with the label '\(ownership.label)' is at work in this network namespace"
                + Self.text(holder))
    }

    /// Nanoseconds.
    private static var shortestPatience: Int64 { 200_000_000 }

    /// Tries to take the lock where the calling thread is, and again when the holder ends.
    private func takeLock(
        waitingUntil end: Int64, onWait: (NamespaceLock.Holder) -> Void = { _ in }
    ) throws(KernelError) -> NamespaceLock.Attempt {
        while true {
            let attempt = try NamespaceLock.take(lockName)
            guard case .held(let holder) = attempt else { return attempt }
            let rest = end - SteadyClock.monotonic
            guard rest > 0 else { return attempt }
            onWait(holder)
            guard holder.hasEnded(within: Int32(clamping: rest / 1_000_000 + 1)) else { return attempt }
        }
    }

    private static func text(_ holder: NamespaceLock.Holder) -> String {
        holder.pid > 0 ? " (process \(holder.pid))" : ""
    }

    /// Whether a namespace is to be ours alone and nobody asked yet.
    func isLockWanted(_ state: NamespaceState) -> Bool {
        guard locksNamespaces, case .none = state.hold, state.reference != .own else { return false }
        return state.references.contains(where: declarations.isReferenced)
            || state.wasRead && state.hasOurs(ownership)
    }

    /// Takes hold of the namespace that the calling thread is in.
    func takeLock() -> Hold {
        switch try? takeLock(waitingUntil: lockDeadline) {
        case .taken(let lock): .ours(lock)
        // Without a socket, or beside somebody who may not have one, we go on as if there were no locks.
        case .squatted, nil: .ours(nil)
        case .held(let holder): .others(holder)
        }
    }

    /// Whether another agent has a namespace. Asks if need be.
    func isHeldByAnother(_ state: NamespaceState) -> Bool {
        if isLockWanted(state), let handle = state.handle { try? handle.run { state.hold = takeLock() } }
        if case .others = state.hold { return true }
        return false
    }

    /// Leaves a namespace to the agent that holds it, until that agent releases it.
    func leaveToHolder(_ state: NamespaceState) {
        guard case .others(let holder) = state.hold else { return }
        if let identity = state.handle?.identity { others.insert(identity) }
        for reference in state.references {
            held.insert(reference)
            unreachable[reference] =
                "\(reference) is left to another agent with the label '\(ownership.label)'\(Self.text(holder))"
        }
        // What no value of ours is in is of no interest any more, not even when that agent ends.
        if state.references.contains(where: declarations.isReferenced) { watcher?.watch(holder) }
        drop(state)
    }

    /// Gives up namespaces in which nothing of ours is any more.
    func unlockAbandoned() {
        for state in states {
            guard case .ours = state.hold, !state.references.contains(where: declarations.isReferenced),
                !state.hasOurs(ownership)
            else { continue }
            state.hold = .none
        }
    }

    /// Why declared values are not available: another agent holds their namespaces.
    public var heldElsewhere: [String] {
        held.filter(declarations.isReferenced).compactMap { unreachable[$0] }.sorted()
    }
}
