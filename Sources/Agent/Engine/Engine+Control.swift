internal import Glibc
internal import LinuxKinds
internal import NSMKinds
public import Northbound
internal import Reconciler

extension Engine: ControlBackend {
    private struct Report: Sendable {
        var values: [ValueStatus]
        var files: Files
        var now: Timestamp
        var start: Timestamp
    }

    /// The agent and the values under a key prefix.
    public nonisolated func status(
        _ request: Nsmagent_Control_StatusRequest
    ) async -> Nsmagent_Control_StatusResponse {
        let report = await report(request.keyPrefix)
        let notes = await services.notes()
        let now = clock.wallTime(of: report.now)
        var response = Nsmagent_Control_StatusResponse()
        response.version = Version.text
        response.label = options.settings.label
        response.pid = getpid()
        response.uptime = Double(report.now.nanoseconds - report.start.nanoseconds) / 1e9
        response.values = report.values.map { status in
            var status = onWallClock(status)
            if let note = notes[status.key] { status.add(note) }
            return Nsmagent_Control_Value(status, now: now)
        }
        response.mistakes = report.files.mistakes
        response.warnings = report.files.warnings
        response.files = report.files.names
        response.repairs = options.repairsDrift
        return response
    }

    /// Past transactions.
    public nonisolated func history(
        _ request: Nsmagent_Control_HistoryRequest
    ) async -> Nsmagent_Control_HistoryResponse {
        var transactions = await transactions()
        if request.sequence > 0 { transactions.removeAll { $0.sequence != request.sequence } }
        if request.limit > 0 { transactions = transactions.suffix(Int(request.limit)) }
        var response = Nsmagent_Control_HistoryResponse()
        response.transactions = transactions.map { transaction in
            var transaction = transaction
            transaction.start = clock.wallTime(of: transaction.start)
            return Nsmagent_Control_Transaction(transaction)
        }
        return response
    }

    /// The dependency graph.
    public nonisolated func graph(_ request: Nsmagent_Control_GraphRequest) async -> Nsmagent_Control_GraphResponse {
        let (values, edges) = await graphParts(request.keyPrefix)
        return Nsmagent_Control_GraphResponse(values, edges: edges)
    }

    /// Nothing waits for confirmation in a daemon.
    public nonisolated func confirm() async -> Nsmagent_Control_ConfirmResponse { Nsmagent_Control_ConfirmResponse() }

    /// Reads the configuration again.
    public nonisolated func reload() async -> Nsmagent_Control_ReloadResponse {
        var response = Nsmagent_Control_ReloadResponse()
        response.mistakes = await reload(.request)
        return response
    }

    private func report(_ prefix: String) -> Report {
        Report(
            values: network.reconciler.status(prefix: prefix), files: files, now: network.clock.now, start: start)
    }

    private func transactions() -> [Transaction] { network.reconciler.transactions }

    private func graphParts(_ prefix: String) -> ([ValueStatus], [GraphEdge]) {
        (network.reconciler.status(prefix: prefix), network.reconciler.edges(prefix: prefix))
    }

    private nonisolated func onWallClock(_ status: ValueStatus) -> ValueStatus {
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
