internal import Concurrency
internal import SwiftProtobuf
internal import MeshTransport
internal import Logging
public import NetworkTypes
internal import SPIFFE
internal import Synchronization

/// One connection to one network service. The client requests it, refreshes it, watches it and heals it.
///
/// There is never more than one request of a connection at a time. ``run()`` does all of the work. When its task is cancelled,
/// the connection stays as it is until its tokens end or it is closed.
public final class NetworkServiceClient: Sendable {
    /// What is wanted.
    public let configuration: Configuration
    /// The states as they come, for one reader; a slow reader gets the newest. The stream ends when the connection is closed.
    public let states: AsyncStream<State>

    let manager: PeerConnector
    let logger: Logger
    private let excluded: @Sendable () -> [IPPrefix]
    private let tell: AsyncStream<State>.Continuation
    /// One request at a time, for all callers.
    private let turn = KeyedQueue()
    private let memory = Mutex(Memory())

    private struct Memory {
        var state = State.connecting(attempts: 0, lastError: nil)
        var connection: NSMConnection?
        /// When that was; what was heard of it before is no news.
        var answered = ContinuousClock.now
        var echoPaths: [EchoPath] = []
        /// A first request without an answer: whether there is a connection is not known.
        var asked: NSMConnection?
        var refreshes = 0
        var isClosed = false
    }

    /// Makes a client that has not asked yet.
    ///
    /// - Parameters:
    ///   - configuration: What is wanted.
    ///   - manager: Whom to ask.
    ///   - excluded: Prefixes from which no addresses shall be given, beside those of the configuration, asked for with each
    ///     request: what other connections of the same program have by then.
    public init(
        _ configuration: Configuration, manager: PeerConnector, excluded: @escaping @Sendable () -> [IPPrefix] = { [] }
    ) {
        self.configuration = configuration
        self.excluded = excluded
        self.manager = manager
        var logger = manager.component.logger
        logger[metadataKey: "connection"] = "\(configuration.id)"
        logger[metadataKey: "service"] = "\(configuration.networkService)"
        self.logger = logger
        (states, tell) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        tell.yield(.connecting(attempts: 0, lastError: nil))
    }

    /// How it stands now.
    public var state: State { memory.withLock { $0.state } }
    /// How often the connection was refreshed.
    public var refreshes: Int { memory.withLock { $0.refreshes } }
    /// The connection as it was answered last; nil when there is none.
    public var connection: NSMConnection? { memory.withLock { $0.connection } }

    /// When the connection was answered last.
    var answered: ContinuousClock.Instant { memory.withLock { $0.answered } }
    /// What must answer for the data path to be alive.
    var echoPaths: [EchoPath] { memory.withLock { $0.echoPaths } }

    func become(_ state: State) {
        let isLate = memory.withLock { memory in
            if case .closed = state {
                memory.state = state
                return false
            }
            if !memory.isClosed { memory.state = state }
            return memory.isClosed
        }
        if isLate { return }
        tell.yield(state)
        if case .closed = state { tell.finish() }
    }

    // MARK: - Life

    /// Requests the connection and keeps it, until the task is cancelled.
    public func run() async {
        let reports = manager.watch.follow(configuration.id)
        defer { manager.watch.leave(configuration.id, reports) }
        await recover(reports)
        var backoff = Backoff()
        var attempts = 0
        var told = ""
        while !Task.isCancelled, !isClosed {
            do {
                attempts += 1
                try await request()
            } catch {
                if Task.isCancelled || isClosed { return }
                let last = "\(error)"
                // Logs why the connection failed when the reason changes, and less and less often while it does not.
                let isRare = attempts & (attempts - 1) == 0 && attempts >= 16
                logger.log(
                    level: last == told && !isRare ? .debug : .warning, "request failed",
                    metadata: ["error": "\(last)", "attempt": .stringConvertible(attempts)])
                told = last
                if let known = connection {
                    become(.healing(known, reason: "restored after a start", lastError: last))
                } else {
                    become(.connecting(attempts: attempts, lastError: last))
                }
                guard (try? await Task.sleep(for: backoff.wait())) != nil else { return }
                continue
            }
            await keep(reports)
            return
        }
    }

    /// Requests the connection, keeps it until `end` returns, and then closes it.
    ///
    /// - Parameter end: Waits for the reason to end, such as ``terminationSignal()``.
    /// - Throws: ``NSMError`` when the manager does not take the close; `CancellationError` when the task was cancelled, which
    ///   leaves the connection as it is.
    public func run(until end: @escaping @Sendable () async -> Void) async throws {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.run() }
            group.addTask { await end() }
            await group.next()
            group.cancelAll()
        }
        try Task.checkCancellation()
        try await close()
    }

    /// Closes the connection for good; ``run()`` then returns. Closing one that is not there is no error.
    ///
    /// - Throws: ``NSMError`` when the manager does not take the close; the connection then ends with its tokens.
    public func close() async throws {
        try await turn.run("") {
            // A task that still keeps the connection must not request it again.
            memory.withLock { $0.isClosed = true }
            guard let known = connection else {
                // What was asked for and given up may have been made all the same.
                if let asked = memory.withLock({ $0.asked }) { try? await sendClose(asked) }
                return become(.closed)
            }
            do {
                try await sendClose(known)
            } catch {
                memory.withLock { $0.isClosed = false }
                throw error
            }
            memory.withLock { $0.connection = nil }
            become(.closed)
        }
    }

    /// Whether it was closed, for good.
    var isClosed: Bool { memory.withLock { $0.isClosed } }

    // MARK: - Requests

    /// Asks for the connection again, at once.
    ///
    /// - Throws: ``NSMError`` with the text of the peer on the path that refused; the connection then stays as it was.
    public func refresh() async throws { try await request() }

    /// Reports that the interface of the connection has gone, so that the client requests it again before its next check of the
    /// data path.
    public func noteInterfaceGone() { manager.watch.tell(configuration.id, .interfaceGone) }

    /// Asks for the connection, for the first time or again.
    func request(reselect: Bool = false) async throws {
        try await turn.run("") {
            if isClosed { throw NSMError(.local, "the connection was closed") }
            if reselect, let known = connection {
                // The old endpoint may be gone, and the manager closes what it has of it anyway.
                try? await sendClose(known)
                memory.withLock { memory in
                    memory.connection?.clearMechanism()
                    memory.connection?.networkServiceEndpointName = configuration.endpointName ?? ""
                    memory.connection?.state = .reselectRequested
                }
            }
            // Requests wait outside of their time limits.
            var answer = try await manager.gate(for: configuration.networkService).run { try await ask() }
            answer.state = .up
            let paths = EchoPath.all(of: answer)
            let isRefresh = memory.withLock { memory in
                let isRefresh = memory.connection?.state == .up
                memory.connection = answer
                memory.answered = .now
                memory.echoPaths = paths
                memory.asked = nil
                if isRefresh { memory.refreshes += 1 }
                return isRefresh
            }
            if let liveness = configuration.liveness, !paths.isEmpty {
                manager.echoes.notePaths(namespace: configuration.namespace, liveness)
            }
            if !isRefresh {
                logger.info(
                    "connected",
                    metadata: [
                        "endpoint": "\(answer.networkServiceEndpointName)",
                        "interface": "\(answer.mechanism.interfaceName)",
                        "path": "\(answer.path.pathSegments.map(\.name).joined(separator: " → "))",
                    ])
            }
            become(.established(answer))
        }
    }

    /// Asks once; once more when the manager's token does not fit the certificate that it showed when the connection was made.
    /// What it signs for those behind it has its newest key, and it may have a new one since.
    private func ask(isRepeated: Bool = false) async throws -> NSMConnection {
        let calls = try await begin()
        let space = try namespace()
        let others = excluded()
        let message = message(space.inode.url, excluding: others)
        try calls.connection.info.descriptors?.send(space)
        memory.withLock { memory in
            memory.asked = message.connection
            memory.asked?.mechanism = message.mechanismPreferences[0]
        }
        var answer = try await calls.request(message, timeout: manager.component.requestTimeout)
        do {
            try check(answer, calls, taken: others + configuration.excludedPrefixes.filter(\.isHost))
        } catch {
            if error.code == .outdated, !isRepeated {
                manager.leave(calls.connection)
                return try await ask(isRepeated: true)
            }
            try? await sendClose(answer)
            throw error
        }
        configuration.acceptance?.limit(
            &answer.context, asked: Set(configuration.sourceAddresses.map { "\($0)" }))
        return answer
    }

    private func begin() async throws -> Calls {
        Calls(
            try await manager.connection(within: manager.component.requestTimeout), component: manager.component)
    }

    private func namespace() throws(NSMError) -> Descriptor {
        do {
            return try Descriptor.open(configuration.namespace, pathOnly: true)
        } catch {
            throw NSMError(.local, "the network namespace \(configuration.namespace) can't be opened: \(error)")
        }
    }

    private func sendClose(_ connection: NSMConnection) async throws {
        let calls = try await begin()
        var message = connection
        if let space = try? namespace(), message.hasMechanism {
            message.mechanism.parameters[WellKnown.inodeURL] = space.inode.url
            try calls.connection.info.descriptors?.send(space)
        }
        try await calls.close(message, timeout: manager.component.requestTimeout)
    }

    private func message(_ inodeURL: String, excluding others: [IPPrefix]) -> Networkservice_NetworkServiceRequest {
        let wanted = configuration
        var connection = connection ?? NSMConnection()
        connection.id = wanted.id
        connection.networkService = wanted.networkService
        connection.labels.merge(wanted.labels) { _, new in new }
        if let name = wanted.endpointName { connection.networkServiceEndpointName = name }
        if connection.path.pathSegments.isEmpty {
            var segment = NSMPathSegment()
            segment.name = manager.component.name
            segment.id = wanted.id
            connection.path.pathSegments = [segment]
        }
        connection.path.index = 0
        connection.path.pathSegments[0].metrics["client_interface"] = "\(WellKnown.kernel)/\(wanted.interfaceName)"
        if connection.hasMechanism { connection.mechanism.parameters[WellKnown.inodeURL] = inodeURL }
        var context = connection.context
        if !context.hasDnsContext { context.dnsContext = NSMDNSContext() }
        var addresses = context.ipContext
        for prefix in wanted.sourceAddresses where !addresses.srcIpAddrs.contains("\(prefix)") {
            addresses.srcIpAddrs.append("\(prefix)")
        }
        // What the connection has already is not to be replaced.
        var excluded = PrefixSet(wanted.excludedPrefixes + others)
        for prefix in addresses.sourcePrefixes + addresses.destinationPrefixes { excluded.remove(prefix.address) }
        addresses.excludedPrefixes = excluded.prefixes.map { "\($0)" }
        context.ipContext = addresses
        wanted.acceptance?.note(in: &context)
        EndpointPin.note(wanted.endpointID, name: wanted.endpointName, in: &context)
        context.extraContext.merge(wanted.notes) { _, new in new }
        if let mac = wanted.sourceMAC { context.ethernetContext.srcMac = "\(mac)" }
        connection.context = context
        var request = Networkservice_NetworkServiceRequest()
        request.connection = connection
        request.mechanismPreferences = [.kernel(name: wanted.interfaceName, inodeURL: inodeURL)]
        return request
    }

    // MARK: - Recovery

    /// Looks whether the manager still has this connection from an earlier life of ours, and goes on from there.
    private func recover(_ reports: Mailbox<ConnectionWatch.Report>) async {
        guard var connection = await listed(reports), connection.path.index == 1,
            connection.mechanism.type == WellKnown.kernel
        else { return }
        connection.path.index = 0
        connection.id = configuration.id
        let isDown = connection.state == .down
        if isDown, await isDead(connection) {
            connection.clearMechanism()
            connection.networkServiceEndpointName = configuration.endpointName ?? ""
            connection.state = .reselectRequested
        }
        logger.info("an earlier connection goes on", metadata: ["endpoint": "\(connection.networkServiceEndpointName)"])
        memory.withLock { $0.connection = connection }
    }

    /// The connection in the manager's list; nil when it is not in it, or the manager does not tell.
    private func listed(_ reports: Mailbox<ConnectionWatch.Report>) async -> NSMConnection? {
        await withTaskGroup(of: NSMConnection?.self) { group in
            defer { group.cancelAll() }
            group.addTask {
                while let report = await reports.next() {
                    switch report.event {
                    case .listed(let connection, _): return connection
                    case .gone(let reason):
                        self.logger.debug("no earlier connection was looked for", metadata: ["error": "\(reason)"])
                        return nil
                    case .changed, .deleted, .interfaceGone: continue
                    }
                }
                return nil
            }
            group.addTask { [limit = manager.component.requestTimeout] in
                try? await Task.sleep(for: limit)
                return nil
            }
            return await group.next() ?? nil
        }
    }

    private func isDead(_ connection: NSMConnection) async -> Bool {
        guard let liveness = configuration.liveness else { return true }
        let check = EchoCheck(timeout: liveness.timeout, namespace: configuration.namespace)
        if case .dead = await check.run(EchoPath.all(of: connection)) { return true }
        return false
    }
}
