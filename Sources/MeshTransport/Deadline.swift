internal import NIOCore

/// Waits for a handshake; closes the channel when it takes too long.
func awaitHandshake(
    _ done: EventLoopFuture<Void>, of channel: any Channel, until deadline: ContinuousClock.Instant
) async throws {
    try await withDeadline(deadline, "the handshake takes too long") {
        // A future does not notice that its task is cancelled, but that its channel is closed.
        try await withTaskCancellationHandler {
            try await done.get()
        } onCancel: {
            channel.close(promise: nil)
        }
    }
}

/// Runs `body`, which ends when it is cancelled, and gives up at the deadline.
func withDeadline<Result: Sendable>(
    _ deadline: ContinuousClock.Instant, _ late: String, _ body: @escaping @Sendable () async throws -> Result
) async throws -> Result {
    // Not a task that sleeps: what is cancelled of one stays until it would have woken.
    let timer = try EventLoops.shared().any().scheduleTask(in: TimeAmount(deadline - .now)) {}
    defer { timer.cancel() }
    return try await withThrowingTaskGroup(of: Result.self) { group in
        group.addTask { try await body() }
        group.addTask {
            try await withTaskCancellationHandler {
                try await timer.futureResult.get()
            } onCancel: {
                timer.cancel()
            }
            throw TransportError(late)
        }
        defer { group.cancelAll() }
        guard let first = try await group.next() else { throw TransportError(late) }
        return first
    }
}
