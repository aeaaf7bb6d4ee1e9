internal import Concurrency
internal import MeshTransport
internal import Logging
internal import SPIFFE
internal import SwiftProtobuf

/// Why a kept connection needs attention.
private enum Signal: Sendable, Equatable {
    /// The manager asks for another request.
    case refreshRequested
    /// The tokens could not be renewed.
    case refreshFailed(String)
    /// The manager says that the connection is down, or is gone itself.
    case controlPlaneDown(String)
    /// The data path does not answer.
    case dataPathDown(String)
}

extension NetworkServiceClient {
    /// Keeps an established connection until the task is cancelled.
    func keep(_ reports: Mailbox<ConnectionWatch.Report>) async {
        while !Task.isCancelled, connection != nil {
            let trouble = await untilTrouble(reports)
            guard let trouble, !Task.isCancelled, !isClosed, let known = connection else { return }
            switch trouble {
            case .refreshRequested: continue
            case .refreshFailed(let reason), .controlPlaneDown(let reason):
                await heal(known, reason: reason, reselect: false, reports)
            case .dataPathDown(let reason):
                await heal(known, reason: reason, reselect: true, reports)
            }
        }
    }

    /// Renews the tokens in time and does what the manager asks for, until something is wrong. Refreshes don't disturb the
    /// watches: those go on as long as the connection is the same.
    private func untilTrouble(_ reports: Mailbox<ConnectionWatch.Report>) async -> Signal? {
        let (signals, tell) = AsyncStream<Signal>.makeStream(bufferingPolicy: .bufferingOldest(16))
        return await withTaskGroup(of: Void.self) { group in
            defer { group.cancelAll() }
            group.addTask { await self.renew(tell) }
            group.addTask {
                while let report = await reports.next() {
                    if let signal = self.signal(report) { tell.yield(signal) }
                }
            }
            if let liveness = configuration.liveness {
                group.addTask {
                    let reason = await self.manager.echoes.death(
                        namespace: self.configuration.namespace, liveness, paths: { self.echoPaths })
                    if let reason { tell.yield(.dataPathDown(reason)) }
                }
            }
            for await signal in signals {
                guard case .refreshRequested = signal else { return signal }
                if let failure = await refreshOnce() { return failure }
            }
            return nil
        }
    }

    /// Asks again, each time before the tokens end.
    private func renew(_ tell: AsyncStream<Signal>.Continuation) async {
        while let known = connection {
            let wait = Self.refreshDelay(known)
            guard (try? await Task.sleep(for: wait, tolerance: wait / 50)) != nil else { return }
            if let failure = await refreshOnce() {
                tell.yield(failure)
                return
            }
        }
    }

    private func refreshOnce() async -> Signal? {
        do {
            try await request()
            return nil
        } catch {
            if Task.isCancelled { return nil }
            logger.warning("refresh failed", metadata: ["error": "\(error)"])
            return .refreshFailed("the refresh failed: \(error)")
        }
    }

    /// The time until the next refresh: a share of the shortest token's life that grows along the path, so that the first
    /// on the way asks first.
    static func refreshDelay(_ connection: NSMConnection, now: Timestamp = .now) -> Duration {
        let segments = connection.path.pathSegments
        guard let end = segments.compactMap(\.expiry).min() else { return .seconds(1) }
        let left = min(max(end.since(now), .zero), .seconds(10 * 86400))
        let share =
            segments.count > 1 ? 0.2 + 0.2 * Double(connection.path.index) / Double(segments.count) : 1.0 / 3
        // A peer whose tokens have ended already must not make us hot, and one whose tokens never end not sleep for ever.
        return min(max(left * share, .milliseconds(200)), .seconds(86400))
    }

    /// What a report means for the connection as it was answered last.
    private func signal(_ report: ConnectionWatch.Report) -> Signal? {
        let answered = answered
        guard report.at > answered else { return nil }
        switch report.event {
        case .gone(let reason): return .controlPlaneDown(reason)
        case .deleted: return .controlPlaneDown("the manager closed the connection")
        case .interfaceGone: return .dataPathDown("its interface is gone")
        case .listed(nil, let asked):
            return asked > answered ? .controlPlaneDown("the manager does not know the connection") : nil
        case .listed(let connection?, _), .changed(let connection):
            switch connection.state {
            case .down: return .controlPlaneDown("the manager reports it down")
            case .refreshRequested: return .refreshRequested
            case .up, .reselectRequested, .UNRECOGNIZED: return nil
            }
        }
    }

    /// Has the connection again: the same while its data path is alive, and by another endpoint otherwise.
    private func heal(
        _ known: NSMConnection, reason: String, reselect: Bool, _ reports: Mailbox<ConnectionWatch.Report>
    ) async {
        logger.warning("healing", metadata: ["reason": "\(reason)"])
        var reselect = reselect
        var lastError: String?
        var backoff = Backoff()
        while !Task.isCancelled, !isClosed {
            if !reselect { reselect = await isLost(known, reports) }
            var known = known
            if reselect { known.state = .reselectRequested }
            become(.healing(known, reason: reason, lastError: lastError))
            let asked = ContinuousClock.now
            do {
                return try await request(reselect: reselect)
            } catch {
                if Task.isCancelled { return }
                lastError = "\(error)"
                switch await pause(backoff.wait(), reports, since: asked) {
                case .isOver: continue
                case .interfaceIsGone: reselect = true
                case .isCancelled: return
                }
            }
        }
    }

    /// How the wait before the next try of a heal ended.
    private enum Pause {
        case isOver
        case interfaceIsGone
        case isCancelled
    }

    /// A report that changes what a heal does next.
    private enum News {
        /// The data path can't be alive.
        case interfaceIsGone
        /// The manager says once more that the connection is down: an endpoint that might have come back has not.
        case isDownAgain
    }

    /// Waits, or until something is heard that a try would not have known of.
    private func pause(
        _ wait: Duration, _ reports: Mailbox<ConnectionWatch.Report>, since asked: ContinuousClock.Instant
    ) async -> Pause {
        await withTaskGroup(of: Pause?.self) { group in
            defer { group.cancelAll() }
            group.addTask { (try? await Task.sleep(for: wait)) == nil ? .isCancelled : .isOver }
            group.addTask {
                switch await self.news(reports, downSince: asked) {
                case .interfaceIsGone: .interfaceIsGone
                case .isDownAgain: .isOver
                case nil: nil
                }
            }
            while let pause = await group.next() { if let pause { return pause } }
            return .isCancelled
        }
    }

    /// Whether the data path is gone: it does not answer, or its interface is no more, which is known sooner.
    private func isLost(_ known: NSMConnection, _ reports: Mailbox<ConnectionWatch.Report>) async -> Bool {
        await withTaskGroup(of: Bool?.self) { group in
            defer { group.cancelAll() }
            group.addTask { await !self.isAlive(known) }
            group.addTask {
                while let news = await self.news(reports, downSince: .now) {
                    if case .interfaceIsGone = news { return true }
                }
                return nil
            }
            while let isLost = await group.next() { if let isLost { return isLost } }
            return false
        }
    }

    /// The next news; nil when the task was cancelled.
    private func news(
        _ reports: Mailbox<ConnectionWatch.Report>, downSince asked: ContinuousClock.Instant
    ) async -> News? {
        let answered = answered
        while let report = await reports.next() {
            switch report.event {
            case .interfaceGone: if report.at > answered { return .interfaceIsGone }
            case .changed(let connection): if connection.state == .down, report.at > asked { return .isDownAgain }
            case .deleted, .listed, .gone: continue
            }
        }
        return nil
    }

    private func isAlive(_ known: NSMConnection) async -> Bool {
        guard let liveness = configuration.liveness else { return false }
        let check = EchoCheck(timeout: liveness.timeout, namespace: configuration.namespace)
        if case .dead = await check.run(EchoPath.all(of: known)) { return false }
        return true
    }
}
