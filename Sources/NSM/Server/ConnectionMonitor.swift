internal import Concurrency
package import MeshTransport
package import GRPCCore
internal import SPIFFE
internal import Synchronization

/// The connections of a component, and their watchers.
package final class ConnectionMonitor: Sendable {
    private struct Watch {
        let scope: MonitorScope
        let selector: NSMMonitorScopeSelector
        /// Where the watcher's socket is; nil: unknown.
        let namespace: PeerNamespace?
    }
    private struct State {
        var connections: [String: NSMConnection] = [:]
        /// Who asked for them.
        var owners: [String: PeerIdentity] = [:]
        /// How many there are by the account of who asked for them.
        var counts: [String: Int] = [:]
        /// Ids of the connections by what watchers may demand of their segments.
        var bySegment: [Demand: Set<String>] = [:]
        /// Most watch one connection, or those of one client.
        var watchers = Broadcast<NSMConnectionEvent, Demand, Watch>()
        /// Whether one ever demanded a token.
        var isAnyTokenWatched = false

        mutating func store(_ connection: NSMConnection, _ owner: PeerIdentity) {
            let new = connection.fulfils
            let old = connections[connection.id]?.fulfils ?? []
            for demand in old.subtracting(new) { forget(connection.id, demand) }
            for demand in new.subtracting(old) { bySegment[demand, default: []].insert(connection.id) }
            connections[connection.id] = connection
            if let before = owners.updateValue(owner, forKey: connection.id) { discount(before) }
            counts[owner.account, default: 0] += 1
        }

        /// Stores a connection of the same path.
        mutating func replace(_ connection: NSMConnection) { connections[connection.id] = connection }

        mutating func remove(_ id: String) -> NSMConnection? {
            guard let connection = connections.removeValue(forKey: id) else { return nil }
            if let owner = owners[id] { discount(owner) }
            owners[id] = nil
            for demand in connection.fulfils { forget(id, demand) }
            return connection
        }

        private mutating func discount(_ owner: PeerIdentity) {
            guard let count = counts[owner.account] else { return }
            counts[owner.account] = count > 1 ? count - 1 : nil
        }

        func isVisible(_ id: String, in scope: MonitorScope) -> Bool { scope.shows(owners[id]) }

        private mutating func forget(_ id: String, _ demand: Demand) {
            bySegment[demand]?.remove(id)
            if bySegment[demand]?.isEmpty == true { bySegment[demand] = nil }
        }

        /// Most who watch demand an id or a name, and those are not to cost a look at all connections.
        func connections(
            matching selector: NSMMonitorScopeSelector, in scope: MonitorScope
        ) -> [String: NSMConnection] {
            guard let demanded = selector.demand else {
                return connections.filter { isVisible($0.key, in: scope) && selector.matches($0.value) }
            }
            var found: [String: NSMConnection] = [:]
            for id in bySegment[demanded] ?? [] where isVisible(id, in: scope) {
                if let connection = connections[id], selector.matches(connection) { found[id] = connection }
            }
            return found
        }
    }
    private let state = Mutex(State())
    /// Events that wait for a slow reader before its stream is ended; it may watch again and gets everything anew.
    private static let longestQueue = 4096

    /// Makes a monitor without connections.
    package init() {}

    /// The connections by our ids.
    package var connections: [String: NSMConnection] { state.withLock { $0.connections } }

    /// How many connections there are.
    package var count: Int { state.withLock { $0.connections.count } }

    /// A connection by our id; nil when there is none.
    package func connection(_ id: String) -> NSMConnection? { state.withLock { $0.connections[id] } }

    /// How many watch.
    package var watchers: Int { state.withLock { $0.watchers.count } }

    /// Who asked for the connection with our id; nil when there is none.
    package func owner(_ id: String) -> PeerIdentity? { state.withLock { $0.owners[id] } }

    /// How many connections those have who share a peer's limits.
    package func count(of owner: PeerIdentity) -> Int { state.withLock { $0.counts[owner.account, default: 0] } }

    /// Stores a connection under our id and notifies its watchers, unless nothing changed for them: a refresh brings new tokens,
    /// which are for those on the path.
    ///
    /// - Parameter owner: Who asked for it: only that peer may see it, close it and ask for it again.
    package func update(_ connection: NSMConnection, owner: PeerIdentity) {
        state.withLock { state in
            let isNews: Bool
            if let old = state.connections[connection.id], state.owners[connection.id] == owner {
                isNews = !connection.tellsNothingNew(after: old)
                if !isNews, !state.isAnyTokenWatched || connection == old { return state.replace(connection) }
            } else {
                isNews = true
            }
            state.store(connection, owner)
            tell(.update, connection, &state) { watch in isNews || watch.selector.demandsToken }
        }
    }

    /// Forgets a connection and notifies its watchers.
    package func delete(_ id: String) {
        state.withLock { state in
            guard let connection = state.connections[id] else { return }
            tell(.delete, connection, &state)
            _ = state.remove(id)
        }
    }

    /// Changes the state of a connection and notifies its watchers.
    package func setState(_ newState: NSMState, of id: String) {
        state.withLock { state in
            guard var connection = state.connections[id], connection.state != newState else { return }
            connection.state = newState
            state.connections[id] = connection
            tell(.update, connection, &state)
        }
    }

    /// Says once more that connections are down, to those who wait for what becomes of them.
    package func setDownAgain(_ id: String) {
        state.withLock { state in
            guard var connection = state.connections[id] else { return }
            connection.state = .down
            state.connections[id] = connection
            tell(.update, connection, &state)
        }
    }

    /// Says once more of connections that they are to be asked for again: who was told so before he had his answer takes it for old
    /// news.
    ///
    /// - Parameter ids: Which ones, if they have not been asked for since.
    /// - Returns: how many those are.
    package func askAgain(_ ids: Set<String>) -> Int {
        state.withLock { state in
            let meant = ids.compactMap { state.connections[$0] }.filter { $0.state == .refreshRequested }
            for connection in meant { tell(.update, connection, &state) }
            return meant.count
        }
    }

    /// Events for one watcher: all that match at once, also when there are none, and then each change.
    ///
    /// - Parameters:
    ///   - scope: What the watcher may see of it.
    ///   - namespace: Where his socket was made.
    package func watch(
        _ selector: NSMMonitorScopeSelector, in scope: MonitorScope = .all, from namespace: PeerNamespace? = nil
    ) -> AsyncStream<NSMConnectionEvent> {
        state.withLock { state in
            var first = NSMConnectionEvent()
            first.type = .initialStateTransfer
            first.connections = state.connections(matching: selector, in: scope)
            if selector.demandsToken { state.isAnyTokenWatched = true }
            return state.watchers.follow(
                Watch(scope: scope, selector: selector, namespace: namespace), on: selector.demand,
                backlog: .all(limit: Self.longestQueue), from: [first])
        }
    }

    /// Whether a peer in a namespace watches a connection: one who does not is gone, or does not care. The work of all who
    /// watch.
    package func isWatched(_ id: String, by owner: PeerIdentity, from namespace: PeerNamespace?) -> Bool {
        state.withLock { state in
            guard let connection = state.connections[id] else { return false }
            return state.watchers.contains { watch in
                watch.scope.shows(owner) && watch.selector.matches(connection)
                    && (namespace == nil || watch.namespace == nil || namespace == watch.namespace)
            }
        }
    }

    /// Ends all streams.
    package func finish() { state.withLock { $0.watchers.finish() } }

    private func tell(
        _ type: NSMConnectionEventType, _ connection: NSMConnection, _ state: inout State,
        _ concerns: (Watch) -> Bool = { _ in true }
    ) {
        var event = NSMConnectionEvent()
        event.type = type
        event.connections = [connection.id: connection]
        let owner = state.owners[connection.id]
        state.watchers.tell(event, on: connection.fulfils) { watch in
            watch.scope.shows(owner) && watch.selector.matches(connection) && concerns(watch)
        }
    }
}

/// What every connection that a selector matches has in a segment.
private enum Demand: Hashable {
    case id(String)
    case name(String)
}

extension NSMConnection {
    fileprivate var fulfils: Set<Demand> {
        Set(path.pathSegments.flatMap { [Demand.id($0.id), .name($0.name)] })
    }

    /// Whether it is the other one but for the tokens of its path, and their ends.
    fileprivate func tellsNothingNew(after other: NSMConnection) -> Bool {
        id == other.id && state == other.state && networkService == other.networkService
            && networkServiceEndpointName == other.networkServiceEndpointName && payload == other.payload
            && mechanism == other.mechanism && context == other.context && labels == other.labels
            && path.index == other.path.index
            && path.pathSegments.elementsEqual(other.path.pathSegments) {
                $0.id == $1.id && $0.name == $1.name && $0.metrics == $1.metrics
            }
    }
}

extension NSMMonitorScopeSelector {
    fileprivate var demandsToken: Bool { pathSegments.contains { !$0.token.isEmpty } }

    /// The id, or else the name, of a segment that every connection that matches has; nil: nothing is demanded.
    fileprivate var demand: Demand? {
        if let segment = pathSegments.first(where: { !$0.id.isEmpty }) { return .id(segment.id) }
        return pathSegments.first { !$0.name.isEmpty }.map { .name($0.name) }
    }

    /// Whether a connection is watched: its service is named, and a run of its segments equals those given, in which empty
    /// fields match all.
    package func matches(_ connection: NSMConnection) -> Bool {
        if !networkServices.isEmpty, !networkServices.contains(connection.networkService) { return false }
        if pathSegments.isEmpty { return true }
        let segments = connection.path.pathSegments
        guard segments.count >= pathSegments.count else { return false }
        return (0...(segments.count - pathSegments.count)).contains { start in
            zip(pathSegments, segments[start...]).allSatisfy { wanted, segment in
                (wanted.name.isEmpty || wanted.name == segment.name) && (wanted.id.isEmpty || wanted.id == segment.id)
                    && (wanted.token.isEmpty || wanted.token == segment.token)
            }
        }
    }
}

/// The monitor as a service.
package struct MonitorService: NSMMonitorConnection.SimpleServiceProtocol {
    private let monitor: ConnectionMonitor
    private let scope: @Sendable (ConnectionInfo) -> MonitorScope

    /// Serves a monitor.
    ///
    /// - Parameter scope: What a peer may see; the connections that it asked for unless given.
    package init(
        _ monitor: ConnectionMonitor,
        scope: @escaping @Sendable (ConnectionInfo) -> MonitorScope = { .of(PeerIdentity($0)) }
    ) {
        self.monitor = monitor
        self.scope = scope
    }

    /// Streams events until the caller ends it.
    package func monitorConnections(
        request: NSMMonitorScopeSelector, response: RPCWriter<NSMConnectionEvent>, context: ServerContext
    ) async throws {
        guard let info = ConnectionInfo.current else {
            throw RPCError(code: .permissionDenied, message: "the call came by a transport that has no connections")
        }
        guard request.pathSegments.count <= NSMConnection.longestPath, request.networkServices.count <= 1024 else {
            throw RPCError(code: .invalidArgument, message: "the selector names too much to look for")
        }
        try await forward(
            monitor.watch(request, in: scope(info), from: info.credentials?.namespace), to: response, context)
        // The end of a stream that the caller did not ask for must not read as a cancellation: that would stop healing.
        throw RPCError(code: .unavailable, message: "the monitor ends")
    }
}

/// The health service: everything named is serving, and the server as a whole when it is of use.
package struct HealthService: Grpc_Health_V1_Health.SimpleServiceProtocol {
    private let services: Set<String>
    private let isReady: @Sendable () -> Bool

    /// Answers for these services, and for the server as a whole.
    ///
    /// - Parameter isReady: Whether the server as a whole is of use; always unless given.
    package init(_ services: [String], isReady: @escaping @Sendable () -> Bool = { true }) {
        self.services = Set(services + [""])
        self.isReady = isReady
    }

    /// Answers at once.
    package func check(
        request: Grpc_Health_V1_HealthCheckRequest, context: ServerContext
    ) async throws -> Grpc_Health_V1_HealthCheckResponse {
        guard services.contains(request.service) else {
            throw RPCError(code: .notFound, message: "unknown service \(request.service.prefix(64))")
        }
        var response = Grpc_Health_V1_HealthCheckResponse()
        response.status = request.service.isEmpty && !isReady() ? .notServing : .serving
        return response
    }

    /// Tells the state once and keeps the stream.
    package func watch(
        request: Grpc_Health_V1_HealthCheckRequest, response: RPCWriter<Grpc_Health_V1_HealthCheckResponse>,
        context: ServerContext
    ) async throws {
        var message = Grpc_Health_V1_HealthCheckResponse()
        message.status = services.contains(request.service) ? .serving : .serviceUnknown
        try await response.write(message)
        try await context.cancellation.cancelled
    }
}
