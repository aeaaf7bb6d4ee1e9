internal import Glibc
internal import Logging
internal import Northbound

/// What clients declare outlives the agent.
struct ClientMemory {
    /// Where it is kept; nil: nowhere.
    private let path: String?
    /// Nil: nothing is kept yet.
    private(set) var journal: ClientJournal?
    /// What clients declared before the restart, until it is declared again.
    var restored: [ConfigurationRequest] = []
    /// What could not be read, for the operator.
    var warnings: [String] = []

    /// Opens the journal if there is one.
    ///
    /// - Throws: when it can't be read, in words for the operator.
    init(_ path: String?) throws(AgentError) {
        self.path = path
        guard let path, access(path, F_OK) == 0 else { return }
        do {
            let opened = try ClientJournal.open(path)
            (journal, restored, warnings) = (opened.journal, opened.changes, opened.warnings)
        } catch {
            throw AgentError("what clients declared can't be read: \(error)")
        }
    }

    /// The journal, made if there is none; nil: nothing is to be kept.
    mutating func opened() throws(JournalFailure) -> ClientJournal? {
        if let journal { return journal }
        guard let path else { return nil }
        do {
            let opened = try ClientJournal.open(path, waits: false)
            guard opened.changes.isEmpty else {
                throw JournalFailure(
                    "\(path) came after the start of the agent, which does not know it; restart the agent")
            }
            journal = opened.journal
        } catch {
            throw JournalFailure("\(error); give another --state-dir, or --no-persist")
        }
        return journal
    }
}

extension Engine {
    /// Declares again what clients declared before the agent was started, as the last that was declared.
    func declareRestored() {
        if memory.restored.isEmpty { return }
        for change in memory.restored { network.declare(SourceChange(change)) }
        logger.info(
            "values of clients declared again", metadata: ["changes": .stringConvertible(memory.restored.count)])
        memory.restored = []
    }

    /// Makes what clients declared before in force, where no files are.
    func enforceRestored() {
        if memory.restored.isEmpty || loop.isInForce || hasWaitingFiles || !files.mistakes.isEmpty { return }
        declareRestored()
        // What was declared may have been withdrawn again: then nobody says that nothing is wanted.
        if network.declaredCount == 0 { return }
        loop.isInForce = true
        take(loop.readAndReconcile(reason: .start))
    }

    /// Takes a change into the journal; nil: it is not kept.
    func note(_ request: ConfigurationRequest) throws(ConfigurationRefusal) -> ClientJournal.Ticket? {
        if SourceName.lasting.contains(request.source) { return nil }
        do throws(JournalFailure) {
            guard let journal = try memory.opened() else { return nil }
            if journal.isIncomplete {
                try journal.note(all: clientChanges)
            } else if journal.isLong {
                // More than is kept may still become less.
                try? journal.note(all: clientChanges)
            }
            let ticket: ClientJournal.Ticket
            do {
                ticket = try journal.note(request)
            } catch {
                // Old records may be what takes the room.
                try journal.note(all: clientChanges)
                ticket = try journal.note(request)
            }
            // The disk works while the kernel does.
            Task { try? await journal.keep(ticket) }
            return ticket
        } catch {
            throw ConfigurationRefusal("nothing was changed: \(error)")
        }
    }

    /// Returns once a change is on the disk.
    nonisolated func keep(_ ticket: ClientJournal.Ticket?) async throws(ConfigurationRefusal) {
        guard let ticket, let journal = await memory.journal else { return }
        do throws(JournalFailure) {
            try await journal.keep(ticket)
        } catch {
            logger.error("what a client declared is not kept", metadata: ["error": "\(error)"])
            throw ConfigurationRefusal("it is in force, but the next start of the agent will not know it: \(error)")
        }
    }

    /// All that clients declare, in an order that leads to the same.
    var clientChanges: [ConfigurationRequest] {
        network.declaredChanges(besides: SourceName.lasting).map(Self.request)
    }

    /// What counts more than what a source declares at the start, whichever of them came first: resources more than etcd, and
    /// clients more than both.
    func changes(after source: String) -> [ConfigurationRequest] {
        let weaker =
            source == SourceName.etcd ? SourceName.lasting.subtracting([SourceName.kubernetes]) : SourceName.lasting
        return network.declaredChanges(besides: weaker).map(Self.request)
    }

    private static func request(_ change: SourceChange) -> ConfigurationRequest {
        ConfigurationRequest(
            source: change.source, origin: change.origin, values: change.values, removed: change.removed,
            replacesAll: change.replacesAll)
    }
}

extension SourceChange {
    /// What a client wants to be changed.
    init(_ request: ConfigurationRequest) {
        self.init(
            source: request.source, origin: request.origin, values: request.values, removed: request.removed,
            replacesAll: request.replacesAll, entries: request.entries)
    }
}
