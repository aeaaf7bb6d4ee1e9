/// Network Service Mesh on one host: a manager, a registry and a forwarder that uses nothing but the kernel.
///
/// Imports `NSM` for the protocol and `Netlink` for the kernel, and nothing of the agent.

internal import DescriptorTransport
internal import NSM
internal import SPIFFE
internal import SwiftProtobuf
internal import Synchronization

/// Services and endpoints as they are registered, in memory.
final class RegistryStore: Sendable {
    /// A registration that is not allowed.
    struct Refused: Error, CustomStringConvertible {
        let description: String
    }

    /// An endpoint that is registered.
    struct Entry: Sendable {
        var endpoint: NSMNetworkServiceEndpoint
        /// Its socket, if it has one on this host.
        var socket: Descriptor?
    }

    private struct Watcher<Event: Sendable>: Sendable {
        let matches: @Sendable (Event) -> Bool
        let events: AsyncStream<Event>.Continuation
    }
    private struct State {
        var services: [String: NSMNetworkService] = [:]
        var endpoints: [String: Entry] = [:]
        /// Names of endpoints by service.
        var byService: [String: Set<String>] = [:]
        /// Who registered a name first. It outlives an endpoint that expired, so that nobody else takes its name.
        var owners: [String: String] = [:]
        var serviceWatchers: [UInt64: Watcher<NSMNetworkServiceResponse>] = [:]
        var endpointWatchers: [UInt64: Watcher<NSMNetworkServiceEndpointResponse>] = [:]
        var next: UInt64 = 0
        var turns: [String: Int] = [:]
    }
    private let state = Mutex(State())
    /// Numbers of those whose streams were cancelled. A cancelled task is locked while it says so, and an event for it waits for
    /// that: the lock under which events are told must not be taken there, or both wait for ever.
    private let ended = Mutex<[UInt64]>([])
    private let expiries = Expiries()
    /// An endpoint that is no more.
    struct Gone: Sendable {
        let name: String
        /// Its owner took the registration back.
        let isWithdrawn: Bool
    }
    private let gone: @Sendable (Gone) -> Void
    /// Changes that wait for a slow reader, beyond what there was when it began, before its stream is ended.
    private static let longestQueue = 4096

    /// Makes an empty registry. `gone` is told of each endpoint that was removed or expired.
    init(gone: @escaping @Sendable (Gone) -> Void) {
        self.gone = gone
        expiries.whenOver { [weak self] name in self?.remove(name) }
    }

    // MARK: - Services

    func register(_ service: NSMNetworkService, owner: String, pathIDs: [String]) throws(Refused) -> NSMNetworkService {
        guard !service.name.isEmpty, service.name.utf8.count <= 253 else {
            throw Refused(description: "a service needs a name of at most 253 bytes")
        }
        var service = service
        if service.payload.isEmpty { service.payload = WellKnown.ip }
        service.pathIds = pathIDs
        let stored = service
        let isAllowed = state.withLock { state in
            guard Self.own("service \(stored.name)", owner, &state) else { return false }
            if state.services[stored.name] != stored {
                state.services[stored.name] = stored
                Self.tell(.with { $0.networkService = stored }, &state.serviceWatchers)
            }
            return true
        }
        guard isAllowed else { throw Refused(description: "the service \(service.name) belongs to somebody else") }
        return service
    }

    func unregister(_ service: NSMNetworkService, owner: String) throws(Refused) {
        let isAllowed = state.withLock { state in
            guard Self.own("service \(service.name)", owner, &state) else { return false }
            state.owners["service \(service.name)"] = nil
            guard let old = state.services.removeValue(forKey: service.name) else { return true }
            let event = NSMNetworkServiceResponse.with { response in
                response.networkService = old
                response.deleted = true
            }
            Self.tell(event, &state.serviceWatchers)
            return true
        }
        guard isAllowed else { throw Refused(description: "the service \(service.name) belongs to somebody else") }
    }

    func service(_ name: String) -> NSMNetworkService? { state.withLock { $0.services[name] } }

    func find(_ query: NSMNetworkService, watch: Bool) -> AsyncStream<NSMNetworkServiceResponse> {
        AsyncStream(bufferingPolicy: .bufferingOldest(Self.longestQueue)) { continuation in
            let number: UInt64? = state.withLock { state in
                let candidates =
                    query.name.isEmpty ? Array(state.services.values) : [state.services[query.name]].compactMap { $0 }
                for service in candidates where query.matches(service) {
                    continuation.yield(.with { $0.networkService = service })
                }
                guard watch else { return nil }
                removeEnded(&state)
                state.next += 1
                state.serviceWatchers[state.next] = Watcher(
                    matches: { query.matches($0.networkService) }, events: continuation)
                return state.next
            }
            guard let number else { return continuation.finish() }
            continuation.onTermination = { reason in
                // Whose stream is ended by us is forgotten already.
                guard case .cancelled = reason else { return }
                self.ended.withLock { $0.append(number) }
            }
        }
    }

    // MARK: - Endpoints

    func register(_ entry: Entry, owner: String) throws(Refused) {
        let endpoint = entry.endpoint
        guard !endpoint.name.isEmpty, endpoint.name.utf8.count <= 253 else {
            throw Refused(description: "an endpoint needs a name of at most 253 bytes")
        }
        let isAllowed = state.withLock { state in
            guard Self.own("endpoint \(endpoint.name)", owner, &state) else { return false }
            let old = state.endpoints.updateValue(entry, forKey: endpoint.name)
            for service in old?.endpoint.networkServiceNames ?? [] { state.byService[service]?.remove(endpoint.name) }
            for service in endpoint.networkServiceNames { state.byService[service, default: []].insert(endpoint.name) }
            // A renewal moves the end and nothing else; those who watch are not woken for it.
            if old?.endpoint.withoutTimes != endpoint.withoutTimes {
                Self.tell(.with { $0.networkServiceEndpoint = endpoint }, &state.endpointWatchers)
            }
            return true
        }
        guard isAllowed else { throw Refused(description: "the endpoint \(endpoint.name) belongs to somebody else") }
        expiries.set(endpoint.name, to: endpoint.expiry)
    }

    func unregister(_ endpoint: NSMNetworkServiceEndpoint, owner: String) throws(Refused) {
        let isAllowed = state.withLock { state in
            guard Self.own("endpoint \(endpoint.name)", owner, &state) else { return false }
            state.owners["endpoint \(endpoint.name)"] = nil
            return true
        }
        guard isAllowed else { throw Refused(description: "the endpoint \(endpoint.name) belongs to somebody else") }
        remove(endpoint.name, isWithdrawn: true)
    }

    func endpoint(_ name: String) -> Entry? { state.withLock { $0.endpoints[name] } }

    /// Forgets an endpoint, and tells those who watch it.
    func remove(_ name: String, isWithdrawn: Bool = false) {
        expiries.set(name, to: nil)
        let wasThere = state.withLock { state in
            guard let old = state.endpoints.removeValue(forKey: name) else { return false }
            for service in old.endpoint.networkServiceNames { state.byService[service]?.remove(name) }
            let event = NSMNetworkServiceEndpointResponse.with { response in
                response.networkServiceEndpoint = old.endpoint
                response.deleted = true
            }
            Self.tell(event, &state.endpointWatchers)
            return true
        }
        if wasThere { gone(Gone(name: name, isWithdrawn: isWithdrawn)) }
    }

    func find(_ query: NSMNetworkServiceEndpoint, watch: Bool) -> AsyncStream<NSMNetworkServiceEndpointResponse> {
        AsyncStream(bufferingPolicy: .bufferingOldest(Self.longestQueue + state.withLock { $0.endpoints.count })) {
            continuation in
            let number: UInt64? = state.withLock { state in
                for entry in Self.candidates(query, state) where query.matches(entry.endpoint) {
                    continuation.yield(.with { $0.networkServiceEndpoint = entry.endpoint })
                }
                guard watch else { return nil }
                removeEnded(&state)
                state.next += 1
                state.endpointWatchers[state.next] = Watcher(
                    matches: { query.matches($0.networkServiceEndpoint) }, events: continuation)
                return state.next
            }
            guard let number else { return continuation.finish() }
            continuation.onTermination = { reason in
                guard case .cancelled = reason else { return }
                self.ended.withLock { $0.append(number) }
            }
        }
    }

    private static func candidates(_ query: NSMNetworkServiceEndpoint, _ state: State) -> [Entry] {
        if !query.name.isEmpty { return [state.endpoints[query.name]].compactMap { $0 } }
        guard let service = query.networkServiceNames.first else { return Array(state.endpoints.values) }
        return (state.byService[service] ?? []).sorted().compactMap { state.endpoints[$0] }
    }

    /// The live endpoints of a service for a client with these labels: those of this host first, and of these and of the
    /// others the next in turn first.
    ///
    /// - Parameters:
    ///   - others: Endpoints of the service that other registries told of.
    ///   - known: The service as they have it, for when it is not registered here.
    func candidates(
        service name: String, labels: [String: String], others: [Entry] = [], known: NSMNetworkService? = nil
    ) -> [Entry] {
        state.withLock { state in
            let now = UnixTime.now
            var live = (state.byService[name] ?? []).sorted().compactMap { state.endpoints[$0] }
                .filter { $0.endpoint.expiry.map { $0 > now } ?? true }
            if !others.isEmpty {
                let there = Set(live.compactMap { entry in entry.host.map { [entry.endpoint.name, $0.url] } })
                live += others.filter { !there.contains([$0.endpoint.name, $0.endpoint.url]) }
            }
            let service = state.services[name] ?? known ?? NSMNetworkService()
            let chosen = service.choose(live, service: name, labels: labels)
            guard !chosen.isEmpty else { return [] }
            let turn = state.turns[name, default: -1] + 1
            state.turns[name] = turn
            let groups = [chosen.filter { $0.host == nil }, chosen.filter { $0.host != nil }]
            return groups.filter { !$0.isEmpty }.flatMap { group in
                let start = turn % group.count
                return group[start...] + group[..<start]
            }
        }
    }

    // MARK: - Parts

    private static func own(_ name: String, _ owner: String, _ state: inout State) -> Bool {
        if let known = state.owners[name] { return known == owner }
        state.owners[name] = owner
        return true
    }

    private func removeEnded(_ state: inout State) {
        let numbers = ended.withLock { ended in
            defer { ended = [] }
            return ended
        }
        for number in numbers {
            state.serviceWatchers[number] = nil
            state.endpointWatchers[number] = nil
        }
    }

    private static func tell<Event>(_ event: Event, _ watchers: inout [UInt64: Watcher<Event>]) {
        for (number, watcher) in watchers where watcher.matches(event) {
            if case .dropped = watcher.events.yield(event) {
                watchers[number] = nil
                watcher.events.finish()
            }
        }
    }
}
