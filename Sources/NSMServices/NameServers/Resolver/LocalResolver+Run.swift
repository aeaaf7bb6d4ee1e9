internal import Concurrency
internal import Logging
internal import NIOCore

extension LocalResolver {
    /// Listens, and answers until the task is cancelled. Where it can't listen it tries again from time to time.
    ///
    /// - Parameters:
    ///   - address: Where it listens when no socket was handed over.
    ///   - variable: Looks up a variable of the environment.
    ///   - changed: Called when ``standing`` has changed.
    func run(
        at address: ResolverAddress, variable: @Sendable (String) -> String?,
        changed: @escaping @Sendable () async -> Void
    ) async {
        var backoff = Backoff(first: .seconds(1), limit: .seconds(30))
        await withDiscardingTaskGroup { tasks in
            tasks.addTask { await self.serve() }
            while !Task.isCancelled {
                do {
                    let sockets = try ResolverSockets.handed(variable) ?? ResolverSockets.bind(address)
                    let listener = try await ResolverListener.start(sockets, on: exchange.group) { self.take($0) }
                    standing = .listening(sockets.address)
                    logger.info("the resolver listens", metadata: ["at": "\(sockets.address)"])
                    await changed()
                    backoff.reset()
                    await listener.run()
                    if Task.isCancelled { break }
                    await fail("its socket was closed", changed)
                } catch {
                    let isTaken = (error as? ResolverSockets.Failure)?.isTaken ?? false
                    await fail("\(error)", isTaken: isTaken, changed)
                }
                try? await Task.sleep(for: backoff.wait())
            }
            tasks.cancelAll()
        }
    }

    private func fail(_ reason: String, isTaken: Bool = false, _ changed: @Sendable () async -> Void) async {
        let new = Standing.failed(reason, isTaken: isTaken)
        if standing == new { return }
        standing = new
        logger.error("no resolver", metadata: ["error": "\(reason)"])
        await changed()
    }

    private func serve() async {
        await withDiscardingTaskGroup { group in
            for await (arrival, request) in arrivals { group.addTask { await self.serve(arrival, request) } }
            group.cancelAll()
        }
    }
}
