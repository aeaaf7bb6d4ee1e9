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
        guard let number = await beginReload(reason) else { return await files.mistakes }
        let config = number.isThere ? read(reason) : LoadedConfig()
        let mistakes = await adopt(config, number: number.value, reason)
        await declareServices()
        return mistakes
    }

    /// Reads the files that changed, and for whoever asks the names that stand in them as well.
    private nonisolated func read(_ reason: ReloadReason) -> LoadedConfig {
        configuration.withLock { files in
            switch reason {
            case .start, .files: break
            case .signal, .request:
                HostNames.reload()
                files.forgetNames()
            }
            _ = files.refresh()
            return files.config
        }
    }

    /// Returns the number of this read; nil when there is nothing to read.
    ///
    /// A program that is told by its environment which services it needs may have no files at all.
    private func beginReload(_ reason: ReloadReason) -> (value: UInt64, isThere: Bool)? {
        if reason != .start { manager.reloading() }
        // Watched first: what changes while it is read leads to another read.
        let isThere = directory.watch()
        files.begun += 1
        if isThere || !files.isInForce && !options.services.clients.isEmpty { return (files.begun, isThere) }
        let consequence =
            files.isInForce ? "the last configuration stays in force" : "nothing is touched until it appears"
        files.warnings = ["\(options.configPath) does not exist; \(consequence)"]
        logger.warning("no configuration", metadata: ["path": "\(options.configPath)", "effect": "\(consequence)"])
        manager.ready("\(options.configPath) does not exist")
        return nil
    }

    private func adopt(_ config: LoadedConfig, number: UInt64, _ reason: ReloadReason) -> [String] {
        defer { manager.ready(statusLine()) }
        // A later read has overtaken this one.
        guard number > files.adopted else { return files.mistakes }
        files.adopted = number
        files.warnings = Self.texts(config.warnings, config.omittedWarnings, "warnings")
        files.mistakes = Self.texts(config.mistakes, config.omittedMistakes, "mistakes")
        for warning in files.warnings { logger.warning("configuration", metadata: ["at": "\(warning)"]) }
        if config.isValid {
            enforce(config, reason)
        } else {
            reject(config)
        }
        return files.mistakes
    }

    private func reject(_ config: LoadedConfig) {
        for mistake in files.mistakes { logger.error("mistake", metadata: ["at": "\(mistake)"]) }
        logger.error(
            files.isInForce
                ? "the configuration has mistakes and is not used; the last one stays in force"
                : "the configuration has mistakes and is not used; nothing is touched",
            metadata: ["mistakes": "\(config.mistakeCount)"])
    }

    /// Mistakes or warnings for the log, with a last line that counts those not listed.
    private static func texts(_ listed: [Mistake], _ omitted: Int, _ word: String) -> [String] {
        listed.map(\.description) + (omitted > 0 ? ["and \(omitted) more \(word)"] : [])
    }

    private func enforce(_ config: LoadedConfig, _ reason: ReloadReason) {
        files.names = config.files
        let changes = network.declare(config)
        let isFirst = !files.isInForce
        files.isInForce = true
        let counts: Logger.Metadata = [
            "files": "\(config.files.count)", "values": "\(config.items.count)", "changed": "\(changes)",
        ]
        switch reason {
        case .start, .files:
            if changes == 0, !isFirst {
                logger.info("configuration read again; nothing changed", metadata: counts)
                return
            }
        case .signal, .request:
            // Somebody wants everything looked at, and what failed tried again.
            network.reconciler.forgetFailures()
        }
        logger.info("configuration read", metadata: counts)
        // Changed files change what is wanted, not what is there. Who asks wants the kernel looked at as well.
        switch reason {
        case .files: readAndReconcile(reason: "files", isAudit: isFirst)
        case .start: readAndReconcile(reason: "files")
        case .signal: readAndReconcile(reason: "signal")
        case .request: readAndReconcile(reason: "request")
        }
    }
}
