internal import Concurrency
internal import LinuxKinds
public import Model
public import Northbound
public import Reconciler

extension Engine: ConfigurationBackend {
    /// Changes what a source declares, and returns when the kernel has it.
    ///
    /// - Throws: ``ConfigurationRefusal`` when the files are not in force yet.
    public nonisolated func change(_ request: ConfigurationRequest) async throws -> ConfigurationAnswer {
        let (answer, ticket) = try await enforce(request)
        if await hasServiceChanges() {
            // The services hear of it even if the client has gone by now.
            try await Task { try await reloading.run { await self.declareServices() } }.value
        }
        try await keep(ticket)
        return answer
    }

    /// Returns when none of the values waits for something, or when the task is cancelled.
    public nonisolated func waitUntilDone(_ keys: [Key]) async {
        let turns = happenings.withLock { $0.followTurns() }
        if await !isWaiting(keys) { return }
        for await _ in turns where await !isWaiting(keys) { return }
    }

    /// All declared values, sorted by key.
    public func declaredValues() -> [DeclaredValue] { network.declaredValues.map { declaredValue($0.key, $0.value) } }

    /// Where values stand, each with all that is derived from it.
    public func wholeStatuses(_ keys: [Key]) -> [ValueStatus?] {
        keys.map { network.reconciler.wholeStatus(of: $0) }
    }

    /// What the kernel has of ours. It is read anew, and what differs is repaired.
    ///
    /// - Throws: when it can't be read.
    public func valuesInPlace() throws -> [ModelValue] {
        let values = try observedValues()
        if loop.isInForce { take(loop.compareAll(reason: .dump)) }
        return values
    }

    /// Values that come into another state, as they do.
    public nonisolated func stateChanges(isOwn: Bool) -> AsyncStream<[DeclaredValue]> {
        happenings.withLock { $0.followStates(isOwn: isOwn) }
    }

    /// Interfaces that change, beginning with those that are remembered from a number on.
    public nonisolated func interfaceEvents(from number: UInt64) -> AsyncStream<InterfaceEvent> {
        happenings.withLock { $0.followInterfaces(from: number) }
    }

    func hasServiceChanges() -> Bool { network.hasServiceChanges }

    private func declaredValue(_ key: Key, _ value: ModelValue) -> DeclaredValue {
        DeclaredValue(key: key, value: value, status: network.reconciler.status(of: key))
    }

    private func isWaiting(_ keys: [Key]) -> Bool {
        keys.contains { network.reconciler.status(of: $0)?.state == .pending }
    }

    // MARK: - Changing

    private func enforce(
        _ request: ConfigurationRequest
    ) throws(ConfigurationRefusal) -> (ConfigurationAnswer, ClientJournal.Ticket?) {
        // Who asks for nothing does not mean that everything is to go.
        let asksForNothing =
            request.values.isEmpty && !request.replacesAll && (request.removed.isEmpty || memory.restored.isEmpty)
        if asksForNothing, !loop.isInForce {
            return (answer(request.removed, network.reconciler.lastSequence, []), nil)
        }
        let isFirst = !loop.isInForce
        if isFirst { try requireFiles() }
        let keys = request.values.map(\.key) + request.removed
        declareRestored()
        let ticket: ClientJournal.Ticket?
        do {
            ticket = try note(request)
        } catch {
            // Nothing is in force yet: the files still come before these.
            if isFirst { memory.restored = clientChanges }
            throw error
        }
        loop.isInForce = true
        // Who says at the start what was declared before does not write it now: clients may have written later.
        let later = request.replacesAll && noteDelivery(of: request.source) ? changes(after: request.source) : []
        network.declare(SourceChange(request))
        for change in later { network.declare(SourceChange(change)) }
        network.reconciler.forgetFailures(of: keys)
        let before = network.reconciler.lastSequence
        let occurrences = loop.readAndReconcile(reason: .source(request.source), isAudit: isFirst)
        take(occurrences)
        try Self.refuseUnread(occurrences)
        tellFollowers(nil)
        let sequence = network.reconciler.lastSequence
        let entries = sequence > before ? network.reconciler.transactions.last?.entries ?? [] : []
        tellUntouched(keys, entries)
        return (answer(keys, sequence, entries), ticket)
    }

    /// - Throws: when the kernel was not looked at, so nothing is done yet.
    static func refuseUnread(_ occurrences: [NetworkLoop.Occurrence]) throws(ConfigurationRefusal) {
        for occurrence in occurrences {
            switch occurrence {
            case .unreadable(let error):
                throw ConfigurationRefusal(
                    "it is declared, but the kernel can't be read; trying again: \(error)", isDeclared: true)
            case .collision(let collision): throw ConfigurationRefusal("\(collision)")
            case .readable, .due, .done, .reported, .drift: break
            }
        }
    }

    /// Makes sure that the files were read, so that what nobody declares is known to be unwanted.
    private func requireFiles() throws(ConfigurationRefusal) {
        guard files.mistakes.isEmpty else {
            throw ConfigurationRefusal(
                "nothing is touched until the files in \(options.configPath) are right: \(files.mistakes[0])")
        }
        guard hasReadFiles else {
            throw ConfigurationRefusal("the agent is starting; try again in a moment")
        }
    }

    private func answer(
        _ keys: [Key], _ sequence: UInt64, _ entries: [Transaction.Entry]
    ) -> ConfigurationAnswer {
        let named = Set(keys)
        var states: [ConfigurationAnswer.NamedState] = []
        var failures: [ConfigurationAnswer.Failure] = []
        for key in keys {
            let status = network.reconciler.status(of: key)
            states.append(.init(key: key, status: status))
            guard let status else { continue }
            switch status.state {
            case .invalid, .failed, .retrying:
                failures.append(.init(key: key, verb: Self.verb(status), text: status.error))
            case .nonexistent, .missing, .unimplemented, .removed, .configured, .obtained, .discovered, .pending: break
            }
        }
        for entry in entries where !entry.error.isEmpty && !named.contains(entry.key) {
            // What failed in a round and was done in a later one did not fail.
            guard let status = network.reconciler.status(of: entry.key), !status.error.isEmpty,
                let base = status.baseKey, named.contains(base)
            else { continue }
            if failures.contains(where: { $0.key == entry.key }) { continue }
            failures.append(.init(key: entry.key, verb: entry.verb.rawValue.uppercased(), text: entry.error))
        }
        return ConfigurationAnswer(sequence: sequence, states: states, failures: failures)
    }

    private static func verb(_ status: ValueStatus) -> String {
        switch status.lastOperation {
        case .undefined, .validate, .create: "CREATE"
        case .update: "UPDATE"
        case .delete: "DELETE"
        }
    }

    // MARK: - Telling

    /// Tells those who follow what a look at the kernel led to.
    func tellFollowers(_ transaction: Transaction?) {
        let interfaces = transaction.map { $0.entries.compactMap { Self.interfaceName(of: $0.key) } } ?? []
        noteInterfaces(Set(interfaces))
        let wantsStates = happenings.withLock { happenings in
            happenings.tellTurn()
            return happenings.hasStateFollowers
        }
        guard wantsStates, let transaction else { return }
        var changes: [DeclaredValue] = []
        var isAnyGone = false
        var seen: Set<Key> = []
        for entry in transaction.entries where seen.insert(entry.key).inserted {
            let base = network.reconciler.status(of: entry.key)?.baseKey ?? entry.key
            if base != entry.key, !seen.insert(base).inserted { continue }
            if let value = network.declaredValue(base) {
                changes.append(declaredValue(base, value))
            } else if ModelRegistry.model(forKey: base) != nil {
                isAnyGone = true
            }
        }
        if !changes.isEmpty { happenings.withLock { $0.tell(changes) } }
        if isAnyGone { happenings.withLock { $0.tell([]) } }
    }

    /// Tells those who follow of values for which nothing was done, such as wrong ones.
    func tellUntouched(_ keys: [Key], _ entries: [Transaction.Entry]) {
        let wantsStates = happenings.withLock { happenings in
            happenings.tellTurn()
            return happenings.hasStateFollowers
        }
        guard wantsStates else { return }
        let touched = Set(entries.map(\.key))
        let values = keys.compactMap { key in
            touched.contains(key) ? nil : network.declaredValue(key).map { declaredValue(key, $0) }
        }
        if !values.isEmpty { happenings.withLock { $0.tell(values) } }
    }

    /// Takes up how declared interfaces are now of which the kernel or a transaction told.
    func noteInterfaces(_ names: Set<String>) {
        if options.grpc == nil { return }
        for name in names.sorted() {
            guard let facts = facts(name) else {
                guard var last = interfaceFacts.removeValue(forKey: name) else { continue }
                (last.exists, last.isUp, last.isRunning) = (false, false, false)
                happenings.withLock { $0.tell(last, at: clock.wallTime(of: network.clock.now)) }
                continue
            }
            if interfaceFacts[name] == facts { continue }
            interfaceFacts[name] = facts
            happenings.withLock { $0.tell(facts, at: clock.wallTime(of: network.clock.now)) }
        }
    }

    /// The logical name of the interface that a key is of, also as a part of it; nil: of none.
    static func interfaceName(of key: Key) -> String? {
        let prefix = ModelRegistry.model(.interface).keyPrefix
        if key.hasPrefix(prefix) { return String(key.dropFirst(prefix.count)) }
        let state = "linux/interface/state/"
        guard key.hasPrefix(state), let end = key.lastIndex(of: "/") else { return nil }
        return String(key[..<end].dropFirst(state.count))
    }

    private func facts(_ name: String) -> InterfaceFacts? {
        guard case .interface(let message)? = network.declaredValue(ModelKey.interface(name)),
            let link = network.world.declaredLink(name)
        else { return nil }
        return InterfaceFacts(
            name: name, type: message.type, hostName: link.name, index: link.index, isUp: link.isUp,
            isRunning: link.isUp && link.flags & 0x40 != 0, hardwareAddress: link.mac.map { "\($0)" } ?? "",
            mtu: link.mtu
        )
    }
}
