internal import Concurrency
internal import LinuxKinds
internal import Logging
public import Model
internal import Netlink
public import Northbound
public import Reconciler

extension Engine: RESTBackend {
    /// The agent itself.
    public func agentReport() -> AgentReport {
        let tally = network.world.tally
        var services: [String: Int] = [:]
        for key in network.services.keys {
            if let state = network.reconciler.status(of: key)?.state { services[state.name, default: 0] += 1 }
        }
        return AgentReport(
            version: Version.text, commit: Version.commit, label: options.settings.label,
            start: clock.wallTime(of: start),
            isReady: hasReadFiles && !waitsAtStart, mistakes: files.mistakes, warnings: files.warnings,
            counts: network.reconciler.stateCounts(), services: services,
            kernel: .init(
                batches: tally.batches, batchSeconds: Double(tally.nanoseconds) / 1e9, operations: tally.operations,
                events: tally.events, overruns: tally.overruns))
    }

    /// What the kernel has of ours; what differs stays as it is.
    ///
    /// - Throws: when it can't be read.
    public func observedValues() throws -> [ModelValue] { try network.world.export(namespace: nil, all: false) }

    /// The number in `rtm_protocol` of routes that are ours, from rtnetlink(7).
    public func routeProtocol() -> UInt8 { network.world.ownership.proto }

    /// Values under a key prefix, sorted by key.
    public func statuses(prefix: String) -> [ProvidedStatus] {
        network.reconciler.status(prefix: prefix).map(provided)
    }

    /// The value with a key; nil: there is none.
    public func status(key: Key) -> ProvidedStatus? { network.reconciler.status(of: key).map(provided) }

    /// What is derived from the value with a key, sorted by key.
    public func parts(key: Key) -> [ValueStatus] { network.reconciler.parts(of: key).map(onWallClock) }

    /// Which sources declare the values with these keys, in the same order: the one that is heard, then the others.
    public func sources(of keys: [Key]) -> [[String]] {
        keys.map { key in network.provenance(key).map { [$0.provider] + $0.others } ?? [] }
    }

    /// Yields when the engine has done something. Turns that nobody waits for are one.
    public nonisolated func turns() -> AsyncStream<Void> { happenings.withLock { $0.followTurns() } }

    private func provided(_ status: ValueStatus) -> ProvidedStatus {
        let provenance = status.baseKey == nil ? network.provenance(status.key) : nil
        return ProvidedStatus(
            status: onWallClock(status), source: provenance?.provider ?? "", otherSources: provenance?.others ?? [])
    }

    /// Past transactions, oldest first; their starts are times of the wall clock.
    public func pastTransactions() -> [Transaction] {
        network.reconciler.transactions.map { transaction in
            var transaction = transaction
            transaction.start = clock.wallTime(of: transaction.start)
            return transaction
        }
    }

    /// What depends on what, of values under a key prefix.
    public func dependencies(prefix: String) -> [GraphEdge] { network.reconciler.edges(prefix: prefix) }

    /// Declared interfaces that are in the kernel, sorted by name.
    public func devices(withTraffic: Bool) -> [InterfaceDevice] {
        let prefix = ModelRegistry.model(.interface).keyPrefix
        return network.declaredValues.compactMap { key, value in
            guard key.hasPrefix(prefix), case .interface(let message) = value,
                let link = network.world.declaredLink(message.name)
            else { return nil }
            return InterfaceDevice(
                message: message, hostName: link.name, index: link.index, parent: link.link, master: link.master,
                operationalState: link.operationalState, flags: link.flags,
                hardwareAddress: link.mac.map { "\($0)" } ?? "", mtu: link.mtu,
                traffic: withTraffic
                    ? network.world.declaredTraffic(message.name).map(InterfaceDevice.Traffic.init) : nil)
        }
    }

    /// Reads the kernel and makes it as it is wanted. Returns the transaction; nil: nothing was to be done.
    ///
    /// - Parameter retries: Whether what failed is tried again, also what was given up.
    /// - Throws: ``ConfigurationRefusal``.
    public func resynchronise(retries: Bool) throws -> Transaction? {
        guard loop.isInForce else {
            throw ConfigurationRefusal("nothing is declared yet, so nothing is touched")
        }
        if retries { network.reconciler.forgetFailures() }
        let before = network.reconciler.lastSequence
        let occurrences = loop.readAndReconcile(reason: .resync, isAudit: true)
        take(occurrences)
        try Self.refuseUnread(occurrences)
        guard network.reconciler.lastSequence > before, var last = network.reconciler.transactions.last else {
            return nil
        }
        last.start = clock.wallTime(of: last.start)
        return last
    }

    /// Reads a text as a configuration.
    public nonisolated func read(configuration bytes: [UInt8]) -> LoadedConfig {
        ConfigLoader.load(bytes: bytes, name: "body", label: options.settings.label, names: HostNames.resolver)
    }

    /// The least level that is logged, as the ancestor of this agent calls it.
    public nonisolated func logLevel() -> String? {
        switch logger.logLevel {
        case .trace: "trace"
        case .debug: "debug"
        case .info: "info"
        case .notice: "notice"
        case .warning: "warning"
        case .error: "error"
        case .critical: "fatal"
        }
    }

    /// Changes the least level that is logged. Returns whether there is such a level.
    public nonisolated func setLogLevel(_ name: String) -> Bool {
        guard let level = Logger.Level(name: name) else { return false }
        // The log of the process has one level for all copies.
        var copy = logger
        copy.logLevel = level
        return true
    }
}

extension InterfaceDevice.Traffic {
    fileprivate init(_ traffic: LinkTraffic) {
        self.init()
        receivedPackets = traffic.receivedPackets
        sentPackets = traffic.sentPackets
        receivedBytes = traffic.receivedBytes
        sentBytes = traffic.sentBytes
        receiveErrors = traffic.receiveErrors
        sendErrors = traffic.sendErrors
        receiveDrops = traffic.receiveDrops
        sendDrops = traffic.sendDrops
    }
}
