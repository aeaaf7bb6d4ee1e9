public import GRPCCore
internal import SPIFFE
internal import Synchronization

/// The connections of a component, and those who watch them.
public final class ConnectionMonitor: Sendable {
    private struct Watcher {
        let selector: NSMMonitorScopeSelector
        let events: AsyncStream<NSMConnectionEvent>.Continuation
    }
    private struct State {
        var connections: [String: NSMConnection] = [:]
        /// Ids of the connections by what watchers may demand of their segments.
        var bySegment: [Demand: Set<String>] = [:]
        var watchers: [UInt64: Watcher] = [:]
        /// Watchers by what their selector demands; most watch one connection, or those of one client.
        var byDemand: [Demand: Set<UInt64>] = [:]
        /// Watchers whose selector demands nothing.
        var general: Set<UInt64> = []
        var nextWatcher: UInt64 = 0

        mutating func store(_ connection: NSMConnection) {
            let new = connection.fulfils
            let old = connections[connection.id]?.fulfils ?? []
            for demand in old.subtracting(new) { forget(connection.id, demand) }
            for demand in new.subtracting(old) { bySegment[demand, default: []].insert(connection.id) }
            connections[connection.id] = connection
        }

        mutating func remove(_ id: String) -> NSMConnection? {
            guard let connection = connections.removeValue(forKey: id) else { return nil }
            for demand in connection.fulfils { forget(id, demand) }
            return connection
        }

        private mutating func forget(_ id: String, _ demand: Demand) {
            bySegment[demand]?.remove(id)
            if bySegment[demand]?.isEmpty == true { bySegment[demand] = nil }
        }

        /// Most who watch demand an id or a name, and those are not to cost a look at all connections.
        func connections(matching selector: NSMMonitorScopeSelector) -> [String: NSMConnection] {
            guard let demanded = selector.demand else { return connections.filter { selector.matches($0.value) } }
            var found: [String: NSMConnection] = [:]
            for id in bySegment[demanded] ?? [] {
                if let connection = connections[id], selector.matches(connection) { found[id] = connection }
            }
            return found
        }
    }
    private let state = Mutex(State())
    /// Numbers of those whose streams were cancelled. A cancelled task is locked while it says so, and an event for it waits for
    /// that: the lock under which events are told must not be taken there, or both wait for ever.
    private let ended = Mutex<[UInt64]>([])
    /// Events that wait for a slow reader before its stream is ended; it may watch again and gets everything anew.
    private static let longestQueue = 4096

    /// Makes a monitor without connections.
    public init() {}

    /// The connections by our ids.
    public var connections: [String: NSMConnection] { state.withLock { $0.connections } }

    /// A connection by our id; nil when there is none.
    public func connection(_ id: String) -> NSMConnection? { state.withLock { $0.connections[id] } }

    /// How many watch.
    package var watchers: Int {
        state.withLock { state in
            removeEnded(&state)
            return state.watchers.count
        }
    }

    /// Stores a connection under our id and tells those who watch it, unless nothing changed.
    public func update(_ connection: NSMConnection) {
        state.withLock { state in
            guard state.connections[connection.id] != connection else { return }
            state.store(connection)
            tell(.update, connection, &state)
        }
    }

    /// Forgets a connection and tells those who watch it.
    public func delete(_ id: String) {
        state.withLock { state in
            guard let connection = state.remove(id) else { return }
            tell(.delete, connection, &state)
        }
    }

    /// Changes the state of a connection and tells those who watch it.
    public func setState(_ newState: NSMState, of id: String) {
        state.withLock { state in
            guard var connection = state.connections[id], connection.state != newState else { return }
            connection.state = newState
            state.connections[id] = connection
            tell(.update, connection, &state)
        }
    }

    /// Events for one who watches: all that match at once, also when there are none, and then each change.
    public func watch(_ selector: NSMMonitorScopeSelector) -> AsyncStream<NSMConnectionEvent> {
        AsyncStream(bufferingPolicy: .bufferingOldest(Self.longestQueue)) { continuation in
            let number = state.withLock { state in
                removeEnded(&state)
                state.nextWatcher += 1
                var first = NSMConnectionEvent()
                first.type = .initialStateTransfer
                first.connections = state.connections(matching: selector)
                continuation.yield(first)
                state.watchers[state.nextWatcher] = Watcher(selector: selector, events: continuation)
                if let demand = selector.demand {
                    state.byDemand[demand, default: []].insert(state.nextWatcher)
                } else {
                    state.general.insert(state.nextWatcher)
                }
                return state.nextWatcher
            }
            continuation.onTermination = { reason in
                // Whose stream is ended by us is forgotten already.
                guard case .cancelled = reason else { return }
                self.ended.withLock { $0.append(number) }
            }
        }
    }

    /// Ends all streams.
    public func finish() {
        let watchers = state.withLock { state in
            defer {
                state.watchers = [:]
                state.byDemand = [:]
                state.general = []
            }
            return Array(state.watchers.values)
        }
        for watcher in watchers { watcher.events.finish() }
    }

    private func tell(_ type: NSMConnectionEventType, _ connection: NSMConnection, _ state: inout State) {
        removeEnded(&state)
        var event = NSMConnectionEvent()
        event.type = type
        event.connections = [connection.id: connection]
        var numbers = state.general
        for demand in connection.fulfils { numbers.formUnion(state.byDemand[demand] ?? []) }
        for number in numbers {
            guard let watcher = state.watchers[number], watcher.selector.matches(connection) else { continue }
            if case .dropped = watcher.events.yield(event) {
                remove(number, &state)
                watcher.events.finish()
            }
        }
    }

    private func removeEnded(_ state: inout State) {
        let numbers = ended.withLock { ended in
            defer { ended = [] }
            return ended
        }
        for number in numbers { remove(number, &state) }
    }

    private func remove(_ number: UInt64, _ state: inout State) {
        guard let watcher = state.watchers.removeValue(forKey: number) else { return }
        state.general.remove(number)
        guard let demand = watcher.selector.demand else { return }
        state.byDemand[demand]?.remove(number)
        if state.byDemand[demand]?.isEmpty == true { state.byDemand[demand] = nil }
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
}

extension NSMMonitorScopeSelector {
    /// The id, or else the name, of a segment that every connection that matches has; nil: nothing is demanded.
    fileprivate var demand: Demand? {
        if let segment = pathSegments.first(where: { !$0.id.isEmpty }) { return .id(segment.id) }
        return pathSegments.first { !$0.name.isEmpty }.map { .name($0.name) }
    }

    /// Whether a connection is watched: its service is named, and a run of its segments equals those given, in which empty
    /// fields match all.
    public func matches(_ connection: NSMConnection) -> Bool {
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
public struct MonitorService: NSMMonitorConnection.SimpleServiceProtocol {
    private let monitor: ConnectionMonitor

    /// Serves a monitor to every peer that the transport let in.
    public init(_ monitor: ConnectionMonitor) { self.monitor = monitor }

    /// Streams events until the caller ends it.
    public func monitorConnections(
        request: NSMMonitorScopeSelector, response: RPCWriter<NSMConnectionEvent>, context: ServerContext
    ) async throws {
        try await forward(monitor.watch(request), to: response, context)
        // The end of a stream that the caller did not ask for must not read as a cancellation: that would stop healing.
        throw RPCError(code: .unavailable, message: "the monitor ends")
    }
}

/// The health service: everything named is serving.
public struct HealthService: Grpc_Health_V1_Health.SimpleServiceProtocol {
    private let services: Set<String>

    /// Answers for these services, and for the server as a whole.
    public init(_ services: [String]) { self.services = Set(services + [""]) }

    /// Answers at once.
    public func check(
        request: Grpc_Health_V1_HealthCheckRequest, context: ServerContext
    ) async throws -> Grpc_Health_V1_HealthCheckResponse {
        guard services.contains(request.service) else {
            throw RPCError(code: .notFound, message: "unknown service \(request.service.prefix(64))")
        }
        var response = Grpc_Health_V1_HealthCheckResponse()
        response.status = .serving
        return response
    }

    /// Tells the state once and keeps the stream.
    public func watch(
        request: Grpc_Health_V1_HealthCheckRequest, response: RPCWriter<Grpc_Health_V1_HealthCheckResponse>,
        context: ServerContext
    ) async throws {
        var message = Grpc_Health_V1_HealthCheckResponse()
        message.status = services.contains(request.service) ? .serving : .serviceUnknown
        try await response.write(message)
        try await context.cancellation.cancelled
    }
}
