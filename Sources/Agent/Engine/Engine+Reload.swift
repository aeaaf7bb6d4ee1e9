internal import CLinux
internal import Concurrency
internal import LinuxKinds
internal import Logging
internal import Model
internal import NSMServices
internal import Northbound
internal import Reconciler

extension Engine {
    /// Reads the files and, if they hold no mistake, makes the network so. Returns the mistakes.
    ///
    /// The files are read and checked away from the engine's thread, which goes on repairing meanwhile.
    @discardableResult
    nonisolated func reload(_ reason: ReloadReason) async -> [String] {
        // What one read found to differ is taken in before the next one begins.
        let mistakes = try? await reloading.run {
            guard let changes = await beginReload(reason) else { return await files.mistakes }
            let difference = changes == .none ? ConfigDifference() : read(changes, reason)
            let isLarge = difference.changed.count + difference.removed.count > Self.largeReload
            // What the start and the reading took of the program is not needed beside what comes now.
            if isLarge || reason == .start { cl_release_program() }
            let mistakes = await adopt(difference, reason)
            if isLarge {
                cl_trim_heap()
                cl_release_program()
            }
            await declareServices()
            return mistakes
        }
        if let mistakes { return mistakes }
        return await files.mistakes
    }

    /// To take in more values than this takes megabytes for a moment, which are worth being given back.
    private static var largeReload: Int { 500 }

    /// Reads the changed files again. A signal or a request also reads the names of tables again, and the files that use them.
    private nonisolated func read(_ changes: FileChanges, _ reason: ReloadReason) -> ConfigDifference {
        configuration.withLock { files in
            switch reason {
            case .start, .files, .poll: break
            case .signal, .request:
                HostNames.reload()
                files.forgetNames()
            }
            return files.refresh(changes)
        }
    }

    /// Returns which files may have changed; nil when there is nothing to read.
    ///
    /// A program that gets the services it needs from its environment may have no files at all.
    private func beginReload(_ reason: ReloadReason) -> FileChanges? {
        switch reason {
        case .start, .poll: break
        case .files, .signal, .request: manager.reloading()
        }
        let changes = reason == .files ? changedFiles : .all
        changedFiles = .none
        // The watch stands as long as no directory changes.
        if case .files = changes { return changes }
        // Watched first: what changes while it is read leads to another read.
        let isThere = directory.watch()
        loop.set(.poll, at: directory.obstacle.map { _ in SteadyClock.monotonic + Self.pollInterval })
        if isThere { return .all }
        if !loop.isInForce && !options.services.clients.isEmpty { return FileChanges.none }
        if !options.needsFiles, files.names.isEmpty {
            manager.ready(statusLine())
            return nil
        }
        let consequence =
            loop.isInForce ? "the last configuration stays in force" : "nothing is touched until it appears"
        let warnings = ["\(options.configPath) does not exist; \(consequence)"] + watchWarnings
        if reason == .poll, warnings == files.warnings { return nil }
        files.warnings = warnings
        logger.warning("no configuration", metadata: ["path": "\(options.configPath)", "effect": "\(consequence)"])
        manager.ready("\(options.configPath) does not exist")
        return nil
    }

    /// How often files are looked at that can't be watched, nanoseconds.
    private static var pollInterval: Int64 { 5_000_000_000 }

    private var watchWarnings: [String] {
        directory.obstacle.map { ["\($0); until then the files are looked at every 5 s"] } ?? []
    }

    private func adopt(_ difference: ConfigDifference, _ reason: ReloadReason) -> [String] {
        let findings = difference.findings
        files.read = findings.files
        let warnings = Self.texts(findings.warnings, findings.omittedWarnings, "warnings") + watchWarnings
        let mistakes = Self.texts(findings.mistakes, findings.omittedMistakes, "mistakes")
        // Who looks often tells only what is new.
        let isSame =
            difference.changed.isEmpty && difference.removed.isEmpty && difference.moved.isEmpty
            && mistakes == files.mistakes
        if reason == .poll, isSame, warnings == files.warnings { return mistakes }
        defer {
            manager.ready(statusLine())
            happenings.withLock { $0.tellTurn() }
        }
        files.warnings = warnings
        files.mistakes = mistakes
        for warning in files.warnings { logger.warning("configuration", metadata: ["at": "\(warning)"]) }
        if difference.isValid, findings.isSilent, !loop.isInForce, options.services.clients.isEmpty {
            waitForWords()
        } else if difference.isValid {
            enforce(difference, reason)
        } else {
            reject(findings.mistakes.count + findings.omittedMistakes)
        }
        return files.mistakes
    }

    /// Files that say nothing yet do not say that nothing is wanted: what an earlier life of the agent made stays.
    private func waitForWords() {
        let effect = "nothing is touched until something does, if only with 'linuxConfig: {}'"
        files.silence = "\(options.configPath) declares nothing; \(effect)"
        logger.warning("no configuration", metadata: ["path": "\(options.configPath)", "effect": "\(effect)"])
    }

    private func reject(_ mistakeCount: Int) {
        for mistake in files.mistakes { logger.error("mistake", metadata: ["at": "\(mistake)"]) }
        logger.error(
            loop.isInForce
                ? "the configuration has mistakes and is not used; the last one stays in force"
                : "the configuration has mistakes and is not used; nothing is touched",
            metadata: ["mistakes": .stringConvertible(mistakeCount)])
    }

    /// Mistakes or warnings for the log, with a last line that counts those not listed.
    private static func texts(_ listed: [Mistake], _ omitted: Int, _ word: String) -> [String] {
        listed.map(\.description) + (omitted > 0 ? ["and \(omitted) more \(word)"] : [])
    }

    private func enforce(_ difference: ConfigDifference, _ reason: ReloadReason) {
        files.names = difference.findings.files
        let changes = network.declare(difference)
        let isFirst = !loop.isInForce
        hasWaitingFiles = isFirst && waitsForSources
        if hasWaitingFiles { return }
        if isFirst { declareRestored() }
        loop.isInForce = true
        let counts: Logger.Metadata = [
            "files": .stringConvertible(files.names.count), "values": .stringConvertible(network.declaredCount),
            "changed": .stringConvertible(changes),
        ]
        switch reason {
        case .start, .files, .poll:
            if changes == 0, !isFirst {
                logger.info("configuration read again; nothing changed", metadata: counts)
                // Who writes the same again may want it to be so again.
                loop.auditSoon()
                return
            }
        case .signal, .request:
            // Somebody wants everything looked at, and what failed tried again.
            network.reconciler.forgetFailures()
        }
        logger.info("configuration read", metadata: counts)
        // Changed files change what is wanted, not what is there. Who asks wants the kernel looked at as well.
        switch reason {
        case .files, .poll: take(loop.readAndReconcile(reason: .files, isAudit: isFirst))
        case .start: take(loop.readAndReconcile(reason: .files))
        case .signal: take(loop.readAndReconcile(reason: .signal))
        case .request: take(loop.readAndReconcile(reason: .request))
        }
    }
}
