internal import Concurrency
internal import Glibc
internal import LinuxKinds
internal import NSMServices
public import Northbound
internal import Reconciler

extension Engine: ControlBackend {
    private struct Report: Sendable {
        var values: [ValueStatus]
        var provenances: [Key: Provenance]
        var namespaces: [Key: String]
        /// What was read of some just now.
        var facts: [Key: String]
        var files: Files
        var warnings: [String]
        var sourceWarnings: [String]
        var now: Timestamp
        var start: Timestamp
    }

    /// Sends the agent and the values under a key prefix.
    public nonisolated func status(
        _ request: Nsmagent_Control_StatusRequest, to write: @escaping Write<Nsmagent_Control_StatusResponse>
    ) async throws {
        let report = await report(request.keyPrefix)
        let notes = await services.notes().merging(containerNotes()) { $1 }
        let now = clock.wallTime(of: report.now)
        var response = Nsmagent_Control_StatusResponse()
        response.version = Version.text
        response.label = options.settings.label
        response.pid = getpid()
        response.uptime = Double(report.now.nanoseconds - report.start.nanoseconds) / 1e9
        response.mistakes = report.files.mistakes
        response.warnings = report.files.warnings + report.warnings + report.sourceWarnings + options.openFaces
        response.files = report.files.names
        response.repairs = options.repairsDrift
        let values = report.values.lazy.map { status in
            var value = self.control(status, report.provenances[status.key], notes[status.key], now)
            value.namespace = report.namespaces[status.baseKey ?? status.key] ?? ""
            if status.state == .configured, let fact = report.facts[status.key] { value.status.details.append(fact) }
            return value
        }
        try await response.write(values, to: write)
    }

    /// Sends past transactions.
    public nonisolated func history(
        _ request: Nsmagent_Control_HistoryRequest, to write: @escaping Write<Nsmagent_Control_Transaction>
    ) async throws {
        var transactions = await transactions()
        if request.sequence > 0 { transactions.removeAll { $0.sequence != request.sequence } }
        if request.limit > 0 { transactions = transactions.suffix(Int(request.limit)) }
        for var transaction in transactions {
            transaction.start = clock.wallTime(of: transaction.start)
            try await Nsmagent_Control_Transaction.write(transaction, to: write)
        }
    }

    /// Sends the dependency graph.
    public nonisolated func graph(
        _ request: Nsmagent_Control_GraphRequest, to write: @escaping Write<Nsmagent_Control_GraphResponse>
    ) async throws {
        let (values, edges) = await graphParts(request.keyPrefix)
        try await Nsmagent_Control_GraphResponse.write(values, edges: edges, to: write)
    }

    /// Nothing waits for confirmation in a daemon.
    public nonisolated func confirm() async -> Nsmagent_Control_ConfirmResponse { Nsmagent_Control_ConfirmResponse() }

    /// Reads the configuration again.
    public nonisolated func reload(
        _ request: Nsmagent_Control_ReloadRequest
    ) async -> Nsmagent_Control_ReloadResponse {
        if request.acceptEmpty { acceptance.continuation.yield() }
        var response = Nsmagent_Control_ReloadResponse()
        response.mistakes = await reload(.request)
        return response
    }

    private func report(_ prefix: String) -> Report {
        let values = network.reconciler.status(prefix: prefix)
        var provenances: [Key: Provenance] = [:]
        var namespaces: [Key: String] = [:]
        for value in values {
            provenances[value.key] = network.provenance(value.key)
            let base = value.baseKey ?? value.key
            if namespaces[base] == nil { namespaces[base] = network.namespaceLabel(base) }
        }
        return Report(
            values: values, provenances: provenances, namespaces: namespaces,
            facts: network.world.peerFacts(of: values.lazy.map(\.key)), files: files,
            warnings: memory.warnings + historyWarnings + (history.obstacle.map { [$0] } ?? [])
                + (loop.isInForce ? [] : files.silence.map { [$0] } ?? []),
            sourceWarnings: sourceWarnings.values.sorted(), now: network.clock.now,
            start: start)
    }

    private func transactions() -> [Transaction] { network.reconciler.transactions }

    private func graphParts(_ prefix: String) -> ([ValueStatus], [GraphEdge]) {
        var values = network.reconciler.status(prefix: prefix)
        let edges = network.reconciler.edges(prefix: prefix)
        if prefix.isEmpty { return (values, edges) }
        // What they need has a state, too, although nobody asked for it.
        let others = Set(edges.map(\.to)).subtracting(values.map(\.key)).sorted()
        values += others.compactMap { network.reconciler.status(of: $0) }
        return (values, edges)
    }

    /// A value as the command line gets it; `now` is the wall clock.
    nonisolated func control(
        _ status: ValueStatus, _ provenance: Provenance?, _ note: ServiceNote?, _ now: Timestamp
    ) -> Nsmagent_Control_Value {
        var status = onWallClock(status)
        if let note { status.add(note) }
        var value = Nsmagent_Control_Value(status, now: now)
        value.source = provenance?.provider ?? ""
        value.otherSources = provenance?.others ?? []
        return value
    }

    nonisolated func onWallClock(_ status: ValueStatus) -> ValueStatus {
        var status = status
        status.since = clock.wallTime(of: status.since)
        status.nextTry = status.nextTry.map { clock.wallTime(of: $0) }
        return status
    }
}

extension ValueStatus {
    /// Adds how a connection stands at this moment.
    fileprivate mutating func add(_ note: ServiceNote) {
        switch state {
        case .pending: if !note.waiting.isEmpty { details = note.waiting }
        case .configured, .obtained, .retrying, .failed: details += note.facts
        case .nonexistent, .missing, .unimplemented, .removed, .discovered, .invalid: break
        }
    }
}
