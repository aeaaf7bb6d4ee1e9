internal import Concurrency
internal import MeshTransport
internal import NSM
internal import SPIFFE
internal import Synchronization

/// The endpoints and services that other registries reported. Lookups send no request.
///
/// When a registry can't be reached, its reports stay for a while: its host may only have restarted its manager.
final class RemoteEndpoints: Sendable {
    /// An endpoint at one address. Two hosts may have endpoints of one name.
    private struct Key: Hashable {
        let name: String
        let url: String
        init(_ endpoint: NSMNetworkServiceEndpoint) {
            name = endpoint.name
            url = endpoint.url
        }
    }
    private struct Found {
        var endpoint: NSMNetworkServiceEndpoint
        /// The registries that reported it, with the time at which the report expires; nil: they still report it.
        var sources: [SocketAddress: Timestamp?]

        func isLive(at now: Timestamp) -> Bool { sources.values.contains { $0.map { $0 > now } ?? true } }
    }
    private struct State {
        var found: [Key: Found] = [:]
        var byService: [String: Set<Key>] = [:]
        var services: [String: [SocketAddress: NSMNetworkService]] = [:]
        /// Why registries can't be followed.
        var troubles: [SocketAddress: String] = [:]
        /// Since when registries are followed.
        var followed: [SocketAddress: Timestamp] = [:]
    }
    private let state = Mutex(State())
    /// How long endpoints of a registry that can't be reached count: as long as registrations live.
    private static let grace = Duration.seconds(60)

    // MARK: - What registries tell

    /// A registry says that there is an endpoint.
    func add(_ endpoint: NSMNetworkServiceEndpoint, from source: SocketAddress) {
        let key = Key(endpoint)
        state.withLock { state in
            if let old = state.found[key] { Self.unlist(old.endpoint, key, &state) }
            state.found[key, default: Found(endpoint: endpoint, sources: [:])].endpoint = endpoint
            state.found[key]?.sources[source] = .some(nil)
            for service in endpoint.networkServiceNames { state.byService[service, default: []].insert(key) }
        }
    }

    /// A registry says that an endpoint is gone.
    func remove(_ endpoint: NSMNetworkServiceEndpoint, from source: SocketAddress) {
        let key = Key(endpoint)
        state.withLock { state in
            state.found[key]?.sources[source] = nil
            if state.found[key]?.sources.isEmpty == true { Self.forget(key, &state) }
        }
    }

    /// A registry says that there is a service.
    func add(_ service: NSMNetworkService, from source: SocketAddress) {
        state.withLock { $0.services[service.name, default: [:]][source] = service }
    }

    /// A registry says that a service is gone.
    func remove(_ service: NSMNetworkService, from source: SocketAddress) {
        state.withLock { state in
            state.services[service.name]?[source] = nil
            if state.services[service.name]?.isEmpty == true { state.services[service.name] = nil }
        }
    }

    /// A registry can't be reached. What it does not tell again in time is forgotten.
    func lost(_ source: SocketAddress, now: Timestamp = .now) {
        state.withLock { state in
            for (key, found) in state.found {
                if case .some(nil) = found.sources[source] {
                    state.found[key]?.sources[source] = now.advanced(by: Self.grace)
                }
                if !found.isLive(at: now) { Self.forget(key, &state) }
            }
        }
    }

    /// Notes why a registry can't be followed; nil: it is. Returns whether that is news.
    func note(_ trouble: String?, of source: SocketAddress) -> Bool {
        state.withLock { state in
            defer { state.troubles[source] = trouble }
            state.followed[source] = trouble == nil ? state.followed[source] ?? .now : nil
            return state.troubles[source] != trouble
        }
    }

    // MARK: - Lookups

    /// What keeps us from knowing all endpoints, for people; the first of them.
    var troubles: [String] {
        let all = state.withLock { $0.troubles }
        return all.sorted { $0.key.url < $1.key.url }.prefix(3).map { "\($0.key.url) can't be followed: \($0.value)" }
    }

    /// Every live endpoint, in no order.
    var all: [RegistryStore.Entry] {
        let now = Timestamp.now
        return state.withLock { $0.found.values.filter { $0.isLive(at: now) } }.map {
            RegistryStore.Entry(endpoint: $0.endpoint, socket: nil)
        }
    }

    /// The services that registries reported.
    var serviceNames: Set<String> { state.withLock { Set($0.services.keys).union($0.byService.keys) } }

    /// The state of a watch on a registry: since when, or why it failed, and how many endpoints the registry reported.
    func standing(of source: SocketAddress) -> (since: Timestamp?, trouble: String?, endpoints: Int) {
        state.withLock { state in
            let count = state.found.values.count { $0.sources[source] != nil }
            return (state.followed[source], state.troubles[source], count)
        }
    }

    /// The live endpoints of a service.
    func candidates(_ service: String, now: Timestamp = .now) -> [RegistryStore.Entry] {
        state.withLock { state in
            let found = (state.byService[service] ?? []).compactMap { state.found[$0] }.filter { $0.isLive(at: now) }
            return found.map { RegistryStore.Entry(endpoint: $0.endpoint, socket: nil) }.sorted {
                ($0.endpoint.name, $0.endpoint.url) < ($1.endpoint.name, $1.endpoint.url)
            }
        }
    }

    /// The live endpoint of this name that offers a service.
    func endpoint(_ name: String, of service: String) -> RegistryStore.Entry? {
        candidates(service).first { $0.endpoint.name == name }
    }

    /// A service, as one of the registries has it.
    func service(_ name: String) -> NSMNetworkService? {
        state.withLock { $0.services[name]?.min { $0.key.url < $1.key.url }?.value }
    }

    // MARK: - Parts

    private static func forget(_ key: Key, _ state: inout State) {
        guard let old = state.found.removeValue(forKey: key) else { return }
        unlist(old.endpoint, key, &state)
    }

    private static func unlist(_ endpoint: NSMNetworkServiceEndpoint, _ key: Key, _ state: inout State) {
        for service in endpoint.networkServiceNames {
            state.byService[service]?.remove(key)
            if state.byService[service]?.isEmpty == true { state.byService[service] = nil }
        }
    }
}
