internal import Concurrency
internal import LinuxKinds
internal import Logging
internal import Netlink
internal import Northbound
internal import Reconciler

extension Engine {
    /// How long files must be quiet before they are read, nanoseconds, and how long that can be put off.
    private static var filesRest: Int64 { 50_000_000 }
    private static var longestFilesRest: Int64 { 1_000_000_000 }

    /// Tells what the loop did, and does what it leaves to the daemon.
    func take(_ occurrences: [NetworkLoop.Occurrence]) {
        for occurrence in occurrences {
            switch occurrence {
            case .readable(Token.mounts): note(directory.takeMounts())
            case .readable: note(directory.takeEvents())
            case .due(.files): requestReload(.files)
            case .due(.poll): requestReload(.poll)
            case .due(.watchdog): giveSignOfLife()
            case .due(.deadline), .due(.progress), .due(.read), .due(.audit), .due(.suspicion): break
            case .done(let transaction):
                measures.note(transaction)
                keep(transaction)
                tell(transaction)
                tellFollowers(transaction)
            case .reported(let keys):
                noteInterfaces(Set(keys.compactMap(Self.interfaceName)))
                services.look(at: network.brought.interfaces(among: keys))
                tellFollowers(nil)
            case .drift(let keys): reportDrift(keys)
            case .collision(let collision): end(AgentError("\(collision)"))
            case .unreadable(let error):
                logger.error("the kernel can't be read; trying again in a second", metadata: ["error": "\(error)"])
            }
        }
    }

    private func note(_ changes: FileChanges) {
        if changes == .none { return }
        changedFiles.add(changes)
        let now = SteadyClock.monotonic
        if loop.time(of: .files) == nil { filesDueAtLatest = now + Self.longestFilesRest }
        loop.set(.files, at: min(now + Self.filesRest, filesDueAtLatest))
    }

    private func giveSignOfLife() {
        guard let interval = manager.watchdogInterval else { return }
        manager.alive()
        loop.set(.watchdog, at: SteadyClock.monotonic + interval)
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
        // The lines above report a retry that failed again, as often as is useful.
        let isRepetition = transaction.reason == .retry && failures > 0 && failures == transaction.entries.count
        logger.log(
            level: isRepetition ? .debug : .info,
            transaction.reverted ? "transaction undone" : "transaction done",
            metadata: [
                "txn": number, "reason": "\(transaction.reason.text)",
                "steps": .stringConvertible(transaction.entries.count), "failed": .stringConvertible(failures),
                "duration": .stringConvertible(transaction.duration),
            ])
        if manager.isPresent { manager.status(statusLine()) }
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
