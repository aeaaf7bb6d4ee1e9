internal import Concurrency
internal import Logging
internal import Synchronization

/// Watches the connections of a component at its manager, all of them by one stream.
///
/// One stream per connection could exceed the manager's limit for one transport connection, and all streams would have
/// to be reopened at once when that is lost.
final class ConnectionWatch: Sendable {
    /// What is heard of a connection.
    enum Event: Sendable {
        /// The manager's list, when a stream begins: the connection, or nil when it is not in it; and when the list was
        /// asked for.
        case listed(NSMConnection?, asked: ContinuousClock.Instant)
        /// The connection as it is now.
        case changed(NSMConnection)
        /// The manager has closed it.
        case deleted
        /// The manager is gone, or does not let us watch.
        case gone(String)
        /// Its interface is gone. Not from the manager: a check here found it.
        case interfaceGone
    }

    /// An event, and when it was heard.
    struct Report: Sendable {
        let event: Event
        let at = ContinuousClock.now
    }

    private struct State {
        /// By the connection's id at its client.
        var followers: [String: Mailbox<Report>] = [:]
        /// Connections in the manager's list that nobody has followed yet, and when it was asked for; nil: there is no stream.
        var listed: (unclaimed: [String: NSMConnection], asked: ContinuousClock.Instant)?
    }
    private let state = Mutex(State())
    private let wanted: AsyncStream<Void>
    private let want: AsyncStream<Void>.Continuation

    init() { (wanted, want) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1)) }

    /// Reports on a connection from now on, until ``leave(_:_:)``; a list that arrived before is reported at once.
    ///
    /// - Parameter id: The connection's id at its client.
    func follow(_ id: String) -> Mailbox<Report> {
        let reports = Mailbox<Report>(limit: 16)
        state.withLock { state in
            state.followers[id] = reports
            guard let asked = state.listed?.asked else { return }
            let known = state.listed?.unclaimed.removeValue(forKey: id)
            reports.put(Report(event: .listed(known, asked: asked)))
        }
        want.yield()
        return reports
    }

    /// Ends what ``follow(_:)`` began.
    func leave(_ id: String, _ reports: Mailbox<Report>) {
        state.withLock { if $0.followers[id] === reports { $0.followers[id] = nil } }
    }

    /// Reports to the follower of a connection an event that does not come from the manager.
    func tell(_ id: String, _ event: Event) { state.withLock { $0.followers[id]?.put(Report(event: event)) } }

    /// Watches while there are followers, until the task is cancelled.
    func run(_ manager: PeerConnector) async {
        for await _ in wanted {
            var backoff = Backoff()
            while !Task.isCancelled, state.withLock({ !$0.followers.isEmpty }) {
                do {
                    let connection = try await manager.connection(within: manager.component.dialTimeout)
                    let asked = ContinuousClock.now
                    let isMoving = try await watch(connection, manager.component, asked)
                    if asked + .seconds(1) < .now { backoff.reset() }
                    if isMoving { continue }
                    lose("the manager ended the watch")
                } catch {
                    if Task.isCancelled { return }
                    lose("the manager is gone: \(error)")
                }
                guard (try? await Task.sleep(for: backoff.wait())) != nil else { return }
            }
        }
    }

    /// Watches on one transport connection. Returns true when that is to end and the next one is to be used.
    private func watch(
        _ connection: ClientConnection, _ component: Component, _ asked: ContinuousClock.Instant
    ) async throws -> Bool {
        try await withThrowingTaskGroup(of: Bool.self) { group in
            defer { group.cancelAll() }
            group.addTask {
                let selector = NSMMonitorScopeSelector.with { selector in
                    selector.pathSegments = [.with { $0.name = component.name }]
                }
                try await Calls(connection, component: component).monitor(selector) { event in
                    self.take(event, asked)
                    return true
                }
                return false
            }
            group.addTask {
                await connection.isToEnd()
                return true
            }
            return try await group.next() ?? false
        }
    }

    private func take(_ event: NSMConnectionEvent, _ asked: ContinuousClock.Instant) {
        // A connection's id at its client is that of the first segment, wherever on the path the manager is.
        var byID: [String: NSMConnection] = [:]
        for connection in event.connections.values where connection.path.index <= 1 {
            if let id = connection.path.pathSegments.first?.id { byID[id] = connection }
        }
        state.withLock { state in
            if event.type == .initialStateTransfer {
                for (id, follower) in state.followers {
                    let known = byID.removeValue(forKey: id)
                    follower.put(Report(event: .listed(known, asked: asked)))
                }
                state.listed = (byID, asked)
                return
            }
            for (id, connection) in byID {
                if let follower = state.followers[id] {
                    follower.put(Report(event: event.type == .delete ? .deleted : .changed(connection)))
                } else {
                    state.listed?.unclaimed[id] = event.type == .delete ? nil : connection
                }
            }
        }
    }

    private func lose(_ reason: String) {
        state.withLock { state in
            state.listed = nil
            for follower in state.followers.values { follower.put(Report(event: .gone(reason))) }
        }
    }
}
