internal import LinuxKinds
internal import Logging
internal import Model
internal import Northbound

/// A file that is read once, before all that is declared elsewhere: every other source counts more.
extension Engine {
    /// The source under which it is declared.
    static let initialSource = SourceName.initial

    /// Reads the file, if there is to be one. Nothing is in force by that.
    nonisolated func readInitialFile() async {
        guard let path = options.initialFile else { return }
        // It may be long, and the engine's thread has others to answer.
        let config = ConfigFiles.load(paths: [path], label: options.settings.label, names: HostNames.resolver)
        await adopt(initial: config, path)
    }

    private func adopt(initial config: LoadedConfig, _ path: String) {
        for warning in config.warnings { logger.warning("initial file", metadata: ["at": "\(warning)"]) }
        guard config.isValid else {
            for mistake in config.mistakes { logger.error("initial file", metadata: ["mistake": "\(mistake)"]) }
            let first = config.mistakes.first.map { ": \($0)" } ?? ""
            note(
                Self.initialSource,
                "the initial file has mistakes and is not used; mend it and restart the agent\(first)")
            // What the file declared before may be in the kernel. It stays there although no source declares it now.
            network.awaitedSources.insert(Self.initialSource)
            return
        }
        logger.info(
            "initial file read", metadata: ["path": "\(path)", "values": .stringConvertible(config.items.count)])
        network.declare(
            SourceChange(source: Self.initialSource, origin: path, values: config.items.map(\.value), replacesAll: true)
        )
    }

    /// Makes what the file declares in force, where no other files are.
    func enforceInitial() {
        if network.declaredKeys(of: Self.initialSource).isEmpty || loop.isInForce || !files.mistakes.isEmpty { return }
        if waitsForSources {
            hasWaitingFiles = true
            return
        }
        declareRestored()
        loop.isInForce = true
        take(loop.readAndReconcile(reason: .start))
    }
}
