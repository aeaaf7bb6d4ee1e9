internal import DescriptorTransport
internal import Logging
internal import SPIFFE
internal import SwiftProtobuf
internal import Synchronization

/// Why a kept connection needs attention.
private enum Signal: Sendable, Equatable {
    /// The tokens must be renewed.
    case refreshDue
    /// The manager asks for another request.
    case refreshRequested
    /// The manager says that the connection is down, or is gone itself.
    case controlPlaneDown(String)
    /// The data path does not answer.
    case dataPathDown(String)
}

extension NetworkServiceClient {
    /// Keeps an established connection until the task is cancelled.
    func keep() async {
        while !Task.isCancelled, let known = connection {
            let signal = await nextSignal(known)
            if Task.isCancelled { return }
            switch signal {
            case .refreshDue, .refreshRequested, nil:
                await refresh(known)
            case .controlPlaneDown(let reason):
                await heal(known, reason: reason, reselect: false)
            case .dataPathDown(let reason):
                await heal(known, reason: reason, reselect: true)
            }
        }
    }

    /// The time until the next refresh: a share of the shortest token's life that grows along the path, so that the first
    /// on the way asks first.
    static func refreshDelay(_ connection: NSMConnection, now: UnixTime = .now) -> Duration {
        let segments = connection.path.pathSegments
        guard let end = segments.compactMap(\.expiry).min() else { return .seconds(1) }
        let left = max(end.duration(since: now), .zero)
        let share =
            segments.count > 1 ? 0.2 + 0.2 * Double(connection.path.index) / Double(segments.count) : 1.0 / 3
        // A peer whose tokens have ended already must not make us hot.
        return max(left * share, .milliseconds(200))
    }

    /// Waits for what happens first.
    private func nextSignal(_ known: NSMConnection) async -> Signal? {
        await withTaskGroup(of: Signal?.self) { group in
            group.addTask {
                let wait = Self.refreshDelay(known)
                return (try? await Task.sleep(for: wait, tolerance: wait / 50)) == nil ? nil : .refreshDue
            }
            group.addTask { await self.watchControlPlane(known) }
            if let liveness = configuration.liveness, !known.context.ipContext.srcIpAddrs.isEmpty {
                group.addTask { await self.watchDataPath(known, liveness) }
            }
            defer { group.cancelAll() }
            return await group.next() ?? nil
        }
    }

    private func watchControlPlane(_ known: NSMConnection) async -> Signal? {
        var selector = NSMMonitorScopeSelector()
        guard let own = known.path.pathSegments.first else { return nil }
        selector.pathSegments = [
            .with { segment in
                segment.id = own.id
                segment.name = own.name
            }
        ]
        let found = SignalBox()
        let id = known.id
        do {
            let connection = try await manager.connection(within: manager.component.dialTimeout)
            try await Calls(connection, component: manager.component).monitor(selector) { event in
                guard let signal = Self.signal(event, id) else { return true }
                found.set(signal)
                return false
            }
            return found.signal ?? .controlPlaneDown("the manager ended the monitor")
        } catch {
            return Task.isCancelled ? nil : .controlPlaneDown("the manager is gone: \(error)")
        }
    }

    /// What an event says of the connection that has this id at its first segment.
    private static func signal(_ event: NSMConnectionEvent, _ id: String) -> Signal? {
        for connection in event.connections.values {
            guard connection.path.index <= 1, connection.path.pathSegments.first?.id == id else { continue }
            if event.type == .delete { return .controlPlaneDown("the manager closed the connection") }
            switch connection.state {
            case .down: return .controlPlaneDown("the manager reports it down")
            case .refreshRequested: return .refreshRequested
            case .up, .reselectRequested, .UNRECOGNIZED: continue
            }
        }
        return nil
    }

    private func watchDataPath(_ known: NSMConnection, _ liveness: LivenessCheck) async -> Signal? {
        let check = EchoCheck(timeout: liveness.timeout, namespace: configuration.namespace)
        while (try? await Task.sleep(for: liveness.interval, tolerance: liveness.interval / 10)) != nil {
            switch await check.run(known.context.ipContext) {
            case .alive: continue
            case .dead(let reason): return .dataPathDown(reason)
            case .unknown(let reason):
                logger.debug("the data path can't be checked", metadata: ["error": "\(reason)"])
            }
        }
        return nil
    }

    private func refresh(_ known: NSMConnection) async {
        do {
            try await request()
        } catch {
            if Task.isCancelled { return }
            logger.warning("refresh failed", metadata: ["error": "\(error)"])
            await heal(known, reason: "the refresh failed: \(error)", reselect: false)
        }
    }

    /// Has the connection again: the same while its data path is alive, and by another endpoint otherwise.
    private func heal(_ known: NSMConnection, reason: String, reselect: Bool) async {
        logger.warning("healing", metadata: ["reason": "\(reason)"])
        var reselect = reselect
        var lastError: String?
        var backoff = Backoff()
        while !Task.isCancelled {
            become(.healing(known, reason: reason, lastError: lastError))
            if !reselect { reselect = await !isAlive(known) }
            do {
                return try await request(reselect: reselect)
            } catch {
                if Task.isCancelled { return }
                lastError = "\(error)"
                guard (try? await Task.sleep(for: backoff.wait())) != nil else { return }
            }
        }
    }

    private func isAlive(_ known: NSMConnection) async -> Bool {
        guard let liveness = configuration.liveness else { return false }
        let check = EchoCheck(timeout: liveness.timeout, namespace: configuration.namespace)
        if case .dead = await check.run(known.context.ipContext) { return false }
        return true
    }
}

/// What a monitor's closure found.
private final class SignalBox: Sendable {
    private let box = Mutex<Signal?>(nil)
    var signal: Signal? { box.withLock { $0 } }
    func set(_ signal: Signal) { box.withLock { $0 = signal } }
}
