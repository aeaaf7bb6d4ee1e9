internal import Concurrency
internal import LinuxKinds
internal import Logging
internal import Netlink
internal import Reconciler

extension Engine {
    /// How long files must be quiet before they are read, nanoseconds, and how long that can be put off.
    private static var filesRest: Int64 { 50_000_000 }
    private static var longestFilesRest: Int64 { 1_000_000_000 }
    /// Least time between two passes of retries, nanoseconds.
    private static var leastRetryWait: Int64 { 100_000_000 }

    /// Handles what became readable: first all that the kernel reports, then one repair of everything it concerns.
    func handle(_ tokens: [UInt64]) {
        var tokens = tokens
        if let index = tokens.firstIndex(of: Token.files) {
            tokens.remove(at: index)
            noteFileChange()
        }
        guard !tokens.isEmpty else { return }
        repair(network.world.takeEvents(tokens: tokens))
    }

    private func noteFileChange() {
        let changes = directory.takeEvents()
        if changes == .none { return }
        changedFiles.add(changes)
        let now = SteadyClock.monotonic
        if filesDue == nil { filesDueAtLatest = now + Self.longestFilesRest }
        filesDue = min(now + Self.filesRest, filesDueAtLatest)
    }

    private func repair(_ changes: WorldChanges) {
        guard files.isInForce, !changes.isEmpty else { return }
        if changes.needsFullPass {
            reconcile(reason: "event", scope: .all)
        } else {
            reconcile(reason: "drift", scope: .keys(changes.keys))
            if !options.repairsDrift { reportDrift(changes.keys) }
        }
    }

    /// Tries again what is due.
    func retry(_ now: Int64) {
        retryFloor = now + Self.leastRetryWait
        guard files.isInForce else { return }
        reconcile(reason: "retry", scope: .changes)
    }

    func reconcile(reason: String, scope: Reconciler<LinuxWorld>.Scope) {
        let transaction = network.reconciler.reconcile(reason: reason, scope: scope)
        guard let transaction else { return }
        tell(transaction)
        if manager.isPresent { manager.status(statusLine()) }
    }

    /// Makes the kernel as declared, after reading it: from the ground up, or only what events have not told.
    func readAndReconcile(reason: String, isAudit: Bool = true) {
        readDue = nil
        let told = takeWaitingEvents()
        do {
            if isAudit { try network.read() } else { try network.readNew() }
        } catch {
            logger.error("the kernel can't be read; trying again in a second", metadata: ["error": "\(error)"])
            readDue = SteadyClock.monotonic + 1_000_000_000
            return
        }
        reconcile(reason: reason, scope: isAudit || told.needsFullPass ? .all : .keys(told.keys))
    }

    /// Takes in what the kernel has already reported, so that it is not taken for newer than what is read next.
    private func takeWaitingEvents() -> WorldChanges {
        var told = WorldChanges()
        for _ in 0..<1000 {
            guard let tokens = try? loop.wait(timeoutMilliseconds: 0) else { return told }
            if tokens.contains(Token.files) { noteFileChange() }
            let events = tokens.filter { $0 != Token.files }
            if events.isEmpty { return told }
            let changes = network.world.takeEvents(tokens: events)
            told.keys.formUnion(changes.keys)
            told.needsFullPass = told.needsFullPass || changes.needsFullPass
        }
        return told
    }

    // MARK: - Telling

    private func tell(_ transaction: Transaction) {
        let number = Logger.MetadataValue.stringConvertible(transaction.sequence)
        var failures = 0
        for entry in transaction.entries {
            var details: Logger.Metadata = ["key": "\(entry.key)", "txn": number, "what": "\(entry.summary)"]
            if entry.error.isEmpty {
                logger.info(Self.word(entry.verb), metadata: details)
            } else {
                failures += 1
                details["error"] = "\(entry.error)"
                logger.error("failed to \(entry.verb.rawValue)", metadata: details)
            }
        }
        for loss in transaction.losses { logger.warning("something of others went", metadata: ["what": "\(loss)"]) }
        logger.info(
            transaction.reverted ? "transaction undone" : "transaction done",
            metadata: [
                "txn": number, "reason": "\(transaction.reason)", "steps": "\(transaction.entries.count)",
                "failed": "\(failures)", "duration": "\(Self.text(transaction.duration))",
            ])
    }

    private static func word(_ verb: Transaction.Verb) -> Logger.Message {
        switch verb {
        case .create: "created"
        case .update: "changed"
        case .recreate: "recreated"
        case .delete: "removed"
        case .revert: "undone"
        }
    }

    private static func text(_ duration: Duration) -> String {
        let microseconds = duration.components.seconds * 1_000_000 + duration.components.attoseconds / 1_000_000_000_000
        return microseconds < 10_000 ? "\(microseconds)µs" : "\(microseconds / 1000)ms"
    }

    private func reportDrift(_ keys: Set<Key>) {
        for case let status? in keys.sorted().map(network.reconciler.status(of:)) {
            if HostNetwork.isGood(status.state) { continue }
            logger.warning(
                "differs and is left alone",
                metadata: ["key": "\(status.key)", "what": "\(status.summary)", "error": "\(status.error)"])
        }
    }

    /// One line for the service manager.
    func statusLine() -> String {
        let counts = network.reconciler.stateCounts()
        let good = (counts[.configured] ?? 0) + (counts[.obtained] ?? 0)
        var text = "\(good) values configured"
        for state in ValueState.allCases where !HostNetwork.isGood(state) {
            if let count = counts[state], count > 0 { text += ", \(count) \(state.name.lowercased())" }
        }
        if !files.mistakes.isEmpty { text += "; the files have mistakes, an earlier configuration is in force" }
        return text
    }
}
