internal import Concurrency
internal import MeshTransport
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
        /// The peer that registered it here; nil: another registry reports it.
        var registrant: Caller?
        /// The services that it claims, as no other peer offered them before.
        fileprivate var claims: Set<String> = []

        init(endpoint: NSMNetworkServiceEndpoint, socket: Descriptor?, registrant: Caller? = nil) {
            self.endpoint = endpoint
            self.socket = socket
            self.registrant = registrant
        }
    }

    struct StoredService {
        var service: NSMNetworkService
        let owner: Caller
    }
    /// The stream of events for one watcher.
    struct Watch<Event: Sendable>: Sendable {
        /// The peer whose registrations the watcher may see; nil: all peers'.
        let viewer: PeerIdentity?
        let matches: @Sendable (Event) -> Bool
    }
    /// What most watchers name, so that one that comes or goes is not a look at all who watch.
    enum Topic: Hashable {
        case name(String), service(String)
    }
    typealias Watchers<Event: Sendable> = Broadcast<Event, Topic, Watch<Event>>
    struct State {
        var services: [String: StoredService] = [:]
        var endpoints: [String: Entry] = [:]
        /// Names of endpoints by service.
        var byService: [String: Set<String>] = [:]
        var names = NameLedger()
        var serviceWatchers = Watchers<NSMNetworkServiceResponse>()
        var endpointWatchers = Watchers<NSMNetworkServiceEndpointResponse>()
        var turns: [String: Int] = [:]
    }
    let state = Mutex(State())
    let expiries = Expiries()
    let serviceExpiries = Expiries()
    /// An endpoint that is no more.
    struct Gone: Sendable {
        let name: String
        /// Its owner took the registration back.
        let isWithdrawn: Bool
    }
    private let gone: @Sendable (Gone) -> Void
    /// Changes that wait for a slow reader, beyond what there was when it began, before its stream is ended.
    static let longestQueue = 4096
    /// How long a service is known that no endpoint offers. Root's and managers' stay until they are taken back.
    static let serviceMemory = Duration.seconds(300)
    /// Bytes of a registration.
    static let largest = 65536
    /// Services of one endpoint.
    static let mostServices = 64

    /// Creates an empty registry. `gone` is called for each endpoint that was removed or expired.
    init(gone: @escaping @Sendable (Gone) -> Void) {
        self.gone = gone
        expiries.whenOver { [weak self] name in self?.remove(name) }
        serviceExpiries.whenOver { [weak self] name in self?.forgetService(name) }
    }

    /// How many names it remembers.
    var knownNames: Int { state.withLock { $0.names.count } }

    // MARK: - Endpoints

    /// - Parameter isFree: Whether the peer may offer a service even if others do; nil: only if it is the first.
    func register(_ entry: Entry, _ caller: Caller, isFree: (String) -> Bool? = { _ in true }) throws(Refused) {
        let endpoint = entry.endpoint
        try Self.check(endpoint.name, "an endpoint", (try? endpoint.serializedData().count) ?? .max)
        guard endpoint.networkServiceNames.count <= Self.mostServices else {
            throw Refused(description: "\(endpoint.name) offers more than \(Self.mostServices) services")
        }
        var claimed: Set<String> = []
        for service in endpoint.networkServiceNames {
            guard let mayOffer = isFree(service) else {
                claimed.insert(service)
                continue
            }
            if !mayOffer {
                throw Refused(description: "\(caller.identity) may not offer \(service.prefix(bytes: 253))")
            }
        }
        let refusal = state.withLock { state in Self.store(entry, caller, claims: claimed, &state) }
        if let refusal { throw Refused(description: "the endpoint \(endpoint.name): \(refusal)") }
        expiries.set(endpoint.name, to: endpoint.expiry)
        for service in endpoint.networkServiceNames { serviceExpiries.set(service, to: nil) }
    }

    /// Returns why it can't be stored.
    private static func store(
        _ entry: Entry, _ caller: Caller, claims: Set<String>, _ state: inout State
    ) -> String? {
        state.names.prune()
        let endpoint = entry.endpoint
        let old = state.endpoints[endpoint.name]
        if let old, old.registrant?.identity != caller.identity { return "it belongs to somebody else" }
        if old == nil, let refusal = state.names.take(.init(kind: .endpoint, text: endpoint.name), caller) {
            return refusal
        }
        var taken: [String] = []
        for service in claims.subtracting(old?.claims ?? []) {
            if let refusal = state.names.take(.init(kind: .offer, text: service), caller) {
                for service in taken { state.names.release(.init(kind: .offer, text: service), isForgotten: true) }
                if old == nil { state.names.release(.init(kind: .endpoint, text: endpoint.name), isForgotten: true) }
                return "the service \(service.prefix(bytes: 253)): \(refusal)"
            }
            taken.append(service)
        }
        for service in (old?.claims ?? []).subtracting(claims) {
            state.names.release(.init(kind: .offer, text: service))
        }
        var entry = entry
        entry.registrant = caller
        entry.claims = claims
        state.endpoints[endpoint.name] = entry
        if let old { unlist(old.endpoint, &state) }
        for service in endpoint.networkServiceNames { state.byService[service, default: []].insert(endpoint.name) }
        // A renewal only moves the expiry; it does not wake watchers.
        if old?.endpoint.withoutTimes != endpoint.withoutTimes {
            tell(
                .with { $0.networkServiceEndpoint = endpoint }, on: endpoint.topics, of: caller.identity,
                &state.endpointWatchers)
        }
        return nil
    }

    private static func unlist(_ endpoint: NSMNetworkServiceEndpoint, _ state: inout State) {
        for service in endpoint.networkServiceNames {
            state.byService[service]?.remove(endpoint.name)
            guard state.byService[service]?.isEmpty == true else { continue }
            state.byService[service] = nil
            if state.services[service] == nil { state.turns[service] = nil }
        }
    }

    func unregister(_ endpoint: NSMNetworkServiceEndpoint, _ caller: Caller) throws(Refused) {
        guard remove(endpoint.name, .withdrawn, by: caller.identity) else {
            throw Refused(description: "the endpoint \(endpoint.name.prefix(bytes: 253)) belongs to somebody else")
        }
    }

    func endpoint(_ name: String) -> Entry? { state.withLock { $0.endpoints[name] } }

    /// Every endpoint, in no order.
    var allEndpoints: [Entry] { state.withLock { Array($0.endpoints.values) } }

    /// How many those are.
    var endpointCount: Int { state.withLock { $0.endpoints.count } }

    /// The services that are registered or offered.
    var serviceNames: Set<String> { state.withLock { Set($0.services.keys).union($0.byService.keys) } }

    /// How many endpoints offer a service.
    func endpointCount(of service: String) -> Int { state.withLock { $0.byService[service]?.count ?? 0 } }

    /// Whether a peer has an endpoint that offers a service.
    func offers(_ service: String, _ peer: PeerIdentity) -> Bool {
        state.withLock { state in
            (state.byService[service] ?? []).contains { state.endpoints[$0]?.registrant?.identity == peer }
        }
    }

    /// Why an endpoint is no more.
    enum Reason {
        /// Its registration was not renewed.
        case expired
        /// Its owner took it back.
        case withdrawn
        /// Its process has ended.
        case ended
    }

    /// Removes an endpoint, and notifies its watchers.
    ///
    /// - Parameter owner: Who takes it back; nil: it is removed whoever has it.
    /// - Returns: false: it is somebody else's, and stays.
    @discardableResult
    func remove(_ name: String, _ reason: Reason = .expired, by owner: PeerIdentity? = nil) -> Bool {
        let (old, isOthers): (Entry?, Bool) = state.withLock { state in
            guard let old = state.endpoints[name] else { return (nil, false) }
            if let owner, old.registrant?.identity != owner { return (nil, true) }
            state.endpoints[name] = nil
            expiries.set(name, to: nil)
            Self.unlist(old.endpoint, &state)
            // No peer comes back for the name of an endpoint that is known to be gone.
            state.names.release(.init(kind: .endpoint, text: name), isForgotten: reason != .expired)
            for service in old.claims { state.names.release(.init(kind: .offer, text: service)) }
            let event = NSMNetworkServiceEndpointResponse.with { response in
                response.networkServiceEndpoint = old.endpoint
                response.deleted = true
            }
            if let owner = old.registrant?.identity {
                Self.tell(event, on: old.endpoint.topics, of: owner, &state.endpointWatchers)
            }
            return (old, false)
        }
        guard let old else { return !isOthers }
        for service in old.endpoint.networkServiceNames { remindOfService(service) }
        gone(Gone(name: name, isWithdrawn: reason == .withdrawn))
        return true
    }

    /// - Parameter viewer: The peer whose registrations are shown; nil: all peers'.
    func find(
        _ query: NSMNetworkServiceEndpoint, watch: Bool, for viewer: PeerIdentity? = nil
    ) -> AsyncStream<NSMNetworkServiceEndpointResponse> {
        state.withLock { state in
            let found = Self.candidates(query, state)
                .filter { query.matches($0.endpoint) && (viewer == nil || $0.registrant?.identity == viewer) }
                .map { entry in NSMNetworkServiceEndpointResponse.with { $0.networkServiceEndpoint = entry.endpoint } }
            guard watch else { return .of(found) }
            return state.endpointWatchers.follow(
                Watch(viewer: viewer, matches: { query.matches($0.networkServiceEndpoint) }), on: query.topic,
                backlog: .all(limit: Self.longestQueue), from: found)
        }
    }

    /// The endpoints that match, whoever registered them.
    func entries(_ query: NSMNetworkServiceEndpoint) -> [Entry] {
        state.withLock { state in Self.candidates(query, state).filter { query.matches($0.endpoint) } }
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
    ///   - others: Endpoints of the service that other registries reported.
    ///   - known: The service as they have it, for when it is not registered here.
    func candidates(
        service name: String, labels: [String: String], others: [Entry] = [], known: NSMNetworkService? = nil
    ) -> [Entry] {
        state.withLock { state in
            let now = Timestamp.now
            var live = (state.byService[name] ?? []).sorted().compactMap { state.endpoints[$0] }
                .filter { $0.endpoint.expiry.map { $0 > now } ?? true }
            if !others.isEmpty {
                let there = Set(live.compactMap { entry in entry.host.map { [entry.endpoint.name, $0.url] } })
                live += others.filter { !there.contains([$0.endpoint.name, $0.endpoint.url]) }
            }
            let service = state.services[name]?.service ?? known ?? NSMNetworkService()
            let chosen = service.choose(live, service: name, labels: labels)
            guard !chosen.isEmpty else { return [] }
            let turn = state.turns[name, default: -1] + 1
            state.turns[name] = turn
            let groups = [chosen.filter { $0.host == nil }, chosen.filter { $0.host != nil }]
            let inTurn = groups.filter { !$0.isEmpty }.flatMap { group in
                let start = turn % group.count
                return group[start...] + group[..<start]
            }
            // Those whose labels are others than the client's come last. They may refuse it.
            guard service.matches.isEmpty, !labels.isEmpty else { return inTurn }
            let differs = { (entry: Entry) in entry.endpoint.differs(service: name, from: labels) }
            return inTurn.filter { !differs($0) } + inTurn.filter(differs)
        }
    }

    // MARK: - Parts

    static func tell<Event>(
        _ event: Event, on topics: Set<Topic>, of owner: PeerIdentity, _ watchers: inout Watchers<Event>
    ) {
        watchers.tell(event, on: topics) { ($0.viewer == nil || $0.viewer == owner) && $0.matches(event) }
    }
}

extension AsyncStream where Element: Sendable {
    /// These elements and no more.
    static func of(_ elements: [Element]) -> Self {
        Self { continuation in
            for element in elements { continuation.yield(element) }
            continuation.finish()
        }
    }
}
