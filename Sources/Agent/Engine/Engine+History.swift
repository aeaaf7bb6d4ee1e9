internal import Glibc
internal import LinuxKinds
internal import Logging
public import Northbound
internal import Reconciler

/// What was done outlives the agent.
extension Engine {
    /// Takes up what was done before the start.
    static func restore(_ opened: HistoryStore.Opened, in network: HostNetwork, _ logger: Logger) {
        network.keepDeclaredChanges()
        network.reconciler.recordsStart = true
        // The clock of time stamps starts from the wall clock, by which these are.
        network.reconciler.restore(opened.transactions)
        for warning in opened.warnings { logger.warning("history", metadata: ["problem": "\(warning)"]) }
        if let last = opened.transactions.last?.sequence {
            logger.info(
                "history read",
                metadata: [
                    "transactions": .stringConvertible(opened.transactions.count), "last": .stringConvertible(last),
                ])
        }
    }

    /// Keeps a transaction, and what is declared since then.
    func keep(_ transaction: Transaction) {
        var transaction = transaction
        transaction.start = clock.wallTime(of: transaction.start)
        history.note(
            HistoryNote(
                transaction: transaction, changes: network.takeDeclaredChanges(), sources: network.otherSources))
        let obstacle = history.obstacle
        if obstacle != historyObstacle, let obstacle { logger.warning("history", metadata: ["problem": "\(obstacle)"]) }
        historyObstacle = obstacle
    }

    /// Sends what was declared when a past transaction was done.
    public nonisolated func configuration(
        _ request: Nsmagent_Control_ConfigurationRequest,
        to write: @escaping Write<Nsmagent_Control_ConfigurationResponse>
    ) async throws {
        let past = await history.past(request.sequence)
        try await declaration().write(past, to: write)
    }

    /// A path that means the same in other directories.
    private static func absolute(_ path: String) -> String {
        if path.hasPrefix("/") { return path }
        var here = [CChar](repeating: 0, count: Int(PATH_MAX))
        guard getcwd(&here, here.count) != nil else { return path }
        return String(decoding: here.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self) + "/" + path
    }

    /// Where the agent has what is declared from.
    private func declaration() -> Nsmagent_Control_ConfigurationResponse {
        var response = Nsmagent_Control_ConfigurationResponse()
        response.directory = Self.absolute(options.configPath)
        response.files = files.read.map(Self.absolute)
        response.sources = Set(network.otherSources).union(network.awaitedSources).sorted()
        response.label = options.settings.label
        return response
    }
}
