internal import Concurrency
internal import MeshTransport
internal import NSM
internal import SPIFFE
internal import Synchronization

/// Who reports endpoints of other hosts.
enum RegistrySource: Hashable, Sendable, CustomStringConvertible {
    /// The registry at an address.
    case registry(SocketAddress)
    /// The etcd that meshes share, by its members; of which meshes it tells is said by `mesh`.
    case etcd(String)
    /// A mesh, by its name, that wrote to this etcd.
    case mesh(String)

    var description: String {
        switch self {
        case .registry(let address): address.url
        case .etcd(let text), .mesh(let text): text
        }
    }
}

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
        var sources: [RegistrySource: Timestamp?]
        /// Bytes.
        var size = 0

        func isLive(at now: Timestamp) -> Bool { sources.values.contains { $0.map { $0 > now } ?? true } }

        func isReported(by source: RegistrySource) -> Bool {
            switch source {
            case .registry, .mesh: sources[source] != nil
            case .etcd: sources.contains { if case .mesh = $0.key { true } else { false } }
            }
        }
    }
    private struct State {
        var found: [Key: Found] = [:]
        var byService: [String: Set<Key>] = [:]
        var services: [String: [RegistrySource: NSMNetworkService]] = [:]
        /// Why registries can't be followed.
        var troubles: [RegistrySource: String] = [:]
        /// Since when registries are followed.
        var followed: [RegistrySource: Timestamp] = [:]
        /// Who must answer at an address, as the meshes say by which it is known.
        var managers: [SocketAddress: [RegistrySource: SPIFFEID?]] = [:]
        /// What the endpoints take up, and the services; of these each report counts.
        var bytes = 0
        var reports = 0
        var serviceBytes = 0
        /// Those who follow the endpoints of a service.
        var followers = Broadcast<Void, String, Void>()
    }
    /// How much registries may report together. What etcd tells has such limits of its own.
    struct Limits {
        /// Endpoints, and reports of services.
        var count = 131_072
        /// Bytes of endpoints, and of services.
        var bytes = 64 << 20
    }
    private let limits: Limits
    private let state = Mutex(State())
    /// How long endpoints of a registry that can't be reached count: as long as registrations live.
    private static let grace = Duration.seconds(60)

    /// Knows of none yet.
    init(limits: Limits = Limits()) { self.limits = limits }

    // MARK: - What registries tell

    /// A registry says that there is an endpoint.
    ///
    /// - Throws: `RegistryStore.Refused` for one that no registry of ours would take, or when there are too many.
    func take(_ endpoint: NSMNetworkServiceEndpoint, from source: RegistrySource) throws(RegistryStore.Refused) {
        let size = (try? endpoint.serializedData().count) ?? .max
        try RegistryStore.check(endpoint.name, "an endpoint", size)
        guard endpoint.networkServiceNames.count <= RegistryStore.mostServices else {
            throw RegistryStore.Refused(
                description: "\(endpoint.name) offers more than \(RegistryStore.mostServices) services")
        }
        let key = Key(endpoint)
        let hasRoom = state.withLock { state in
            let old = state.found[key]
            return (old != nil || state.found.count < limits.count)
                && state.bytes - (old?.size ?? 0) + size <= limits.bytes
        }
        guard hasRoom else { throw tooMuch }
        add(endpoint, from: source, size: size)
    }

    /// A registry says that there is a service.
    ///
    /// - Throws: As for an endpoint.
    func take(_ service: NSMNetworkService, from source: RegistrySource) throws(RegistryStore.Refused) {
        let size = Self.size(service)
        try RegistryStore.check(service.name, "a service", size)
        let hasRoom = state.withLock { state in
            let old = state.services[service.name]?[source]
            return (old != nil || state.reports < limits.count)
                && state.serviceBytes - (old.map(Self.size) ?? 0) + size <= limits.bytes
        }
        guard hasRoom else { throw tooMuch }
        add(service, from: source)
    }

    private var tooMuch: RegistryStore.Refused {
        RegistryStore.Refused(
            description: "registries report more than the \(limits.count) endpoints or services, or the"
                + " \(limits.bytes >> 20) MiB, that are kept")
    }

    private static func size(_ service: NSMNetworkService) -> Int { (try? service.serializedData().count) ?? .max }

    /// There is an endpoint.
    ///
    /// - Parameter size: Bytes; those that count have been checked.
    func add(_ endpoint: NSMNetworkServiceEndpoint, from source: RegistrySource, size: Int = 0) {
        let key = Key(endpoint)
        state.withLock { state in
            if let old = state.found[key] {
                Self.unlist(old.endpoint, key, &state)
                state.bytes -= old.size
            }
            state.found[key, default: Found(endpoint: endpoint, sources: [:])].endpoint = endpoint
            state.found[key]?.sources[source] = .some(nil)
            state.found[key]?.size = size
            state.bytes += size
            for service in endpoint.networkServiceNames { state.byService[service, default: []].insert(key) }
            Self.tell(of: endpoint, &state)
        }
    }

    /// Says, once and whenever the endpoints of a service may have changed, to look at them.
    func changes(of service: String) -> AsyncStream<Void> {
        state.withLock { $0.followers.follow((), on: service, backlog: .newest, from: [()]) }
    }

    private static func tell(of endpoint: NSMNetworkServiceEndpoint, _ state: inout State) {
        state.followers.tell((), on: Set(endpoint.networkServiceNames)) { _ in true }
    }

    /// A registry says that an endpoint is gone.
    func remove(_ endpoint: NSMNetworkServiceEndpoint, from source: RegistrySource) {
        let key = Key(endpoint)
        state.withLock { state in
            state.found[key]?.sources[source] = nil
            if state.found[key]?.sources.isEmpty == true { Self.forget(key, &state) }
        }
    }

    /// There is a service.
    func add(_ service: NSMNetworkService, from source: RegistrySource) {
        state.withLock { state in
            Self.forget(service.name, source, &state)
            state.services[service.name, default: [:]][source] = service
            state.reports += 1
            state.serviceBytes += Self.size(service)
        }
    }

    /// A registry says that a service is gone.
    func remove(_ service: NSMNetworkService, from source: RegistrySource) {
        state.withLock { Self.forget(service.name, source, &$0) }
    }

    /// A registry can't be reached. What it does not tell again in time is forgotten.
    func lost(_ source: RegistrySource, now: Timestamp = .now) { lost([source: Self.grace], now: now) }

    /// Some can't be reached. What they do not tell again in these times is forgotten.
    func lost(_ sources: [RegistrySource: Duration], now: Timestamp = .now) {
        state.withLock { state in
            for (key, found) in state.found {
                for (source, end) in found.sources where end == nil {
                    guard let grace = sources[source] else { continue }
                    state.found[key]?.sources[source] = now.advanced(by: grace)
                }
                if !found.isLive(at: now) { Self.forget(key, &state) }
            }
        }
    }

    /// A mesh says where it is, and who must answer there.
    func add(_ id: SPIFFEID?, at address: SocketAddress, from source: RegistrySource) {
        state.withLock { $0.managers[address, default: [:]][source] = .some(id) }
    }

    /// A mesh is not there any more.
    func remove(at address: SocketAddress, from source: RegistrySource) {
        state.withLock { state in
            state.managers[address]?[source] = nil
            if state.managers[address]?.isEmpty == true { state.managers[address] = nil }
        }
    }

    /// Who may answer at an address, beside that it must be a manager; nil: any of those. Somebody who writes to the same
    /// etcd can add to them, but can't keep out who is there.
    func managers(at address: SocketAddress) -> [SPIFFEID]? {
        state.withLock { state in
            guard let said = state.managers[address], !said.isEmpty else { return nil }
            let ids = said.values.compactMap { $0 }
            return ids.count == said.count ? ids : nil
        }
    }

    /// Who may answer at the address of an endpoint. An endpoint that a registry reports, too, is not of etcd alone: there any
    /// manager may answer, or a record in etcd could keep out a host that etcd does not know of.
    func managers(
        of endpoint: NSMNetworkServiceEndpoint, at address: SocketAddress, now: Timestamp = .now
    ) -> [SPIFFEID]? {
        let isOfEtcdAlone = state.withLock { state in
            let sources = state.found[Key(endpoint)]?.sources ?? [:]
            return sources.allSatisfy { source, end in
                if let end, end <= now { return true }
                return switch source {
                case .mesh, .etcd: true
                case .registry: false
                }
            }
        }
        return isOfEtcdAlone ? managers(at: address) : nil
    }

    /// Notes why a registry can't be followed; nil: it is. Returns whether that is news.
    ///
    /// - Parameter isFollowed: That it is, even if something else is wrong.
    func note(_ trouble: String?, of source: RegistrySource, isFollowed: Bool = false) -> Bool {
        state.withLock { state in
            defer { state.troubles[source] = trouble }
            state.followed[source] = trouble == nil || isFollowed ? state.followed[source] ?? .now : nil
            return state.troubles[source] != trouble
        }
    }

    // MARK: - Lookups

    /// What keeps us from knowing all endpoints, for people; the first of them.
    var troubles: [String] {
        let all = state.withLock { state in state.troubles.filter { state.followed[$0.key] == nil } }
        return Array(all.map { "\($0.key) can't be followed: \($0.value)" }.sorted().prefix(3))
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
    func standing(of source: RegistrySource) -> (since: Timestamp?, trouble: String?, endpoints: Int) {
        state.withLock { state in
            let count = state.found.values.count { $0.isReported(by: source) }
            return (state.followed[source], state.troubles[source], count)
        }
    }

    /// The names of the meshes that say in etcd where they are.
    var meshes: [String] {
        let sources = state.withLock { state in Set(state.managers.values.flatMap(\.keys)) }
        return sources.map(\.description).sorted()
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
        state.withLock { $0.services[name]?.min { $0.key.description < $1.key.description }?.value }
    }

    // MARK: - Parts

    private static func forget(_ key: Key, _ state: inout State) {
        guard let old = state.found.removeValue(forKey: key) else { return }
        state.bytes -= old.size
        unlist(old.endpoint, key, &state)
        tell(of: old.endpoint, &state)
    }

    private static func forget(_ service: String, _ source: RegistrySource, _ state: inout State) {
        guard let old = state.services[service]?.removeValue(forKey: source) else { return }
        state.reports -= 1
        state.serviceBytes -= size(old)
        if state.services[service]?.isEmpty == true { state.services[service] = nil }
    }

    private static func unlist(_ endpoint: NSMNetworkServiceEndpoint, _ key: Key, _ state: inout State) {
        for service in endpoint.networkServiceNames {
            state.byService[service]?.remove(key)
            if state.byService[service]?.isEmpty == true { state.byService[service] = nil }
        }
    }
}
