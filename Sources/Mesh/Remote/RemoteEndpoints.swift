internal import Concurrency
internal import MeshTransport
internal import NSM
internal import SPIFFE
internal import SwiftProtobuf
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
    struct Key: Hashable {
        let name: String
        let url: String
        init(_ endpoint: NSMNetworkServiceEndpoint) {
            name = endpoint.name
            url = endpoint.url
        }
    }
    struct Found {
        var endpoint: NSMNetworkServiceEndpoint
        /// The registries that reported it.
        var sources: [RegistrySource: Report] = [:]

        func isLive(at now: Timestamp) -> Bool { sources.values.contains { $0.isLive(at: now) } }

        func isReported(by source: RegistrySource) -> Bool {
            switch source {
            case .registry, .mesh: sources[source] != nil
            case .etcd: sources.contains { if case .mesh = $0.key { true } else { false } }
            }
        }
    }
    struct State {
        var found: [Key: Found] = [:]
        var byService: [String: Set<Key>] = [:]
        var services: [String: [RegistrySource: (service: NSMNetworkService, report: Report)]] = [:]
        /// Why registries can't be followed.
        var troubles: [RegistrySource: String] = [:]
        /// Since when registries are followed.
        var followed: [RegistrySource: Timestamp] = [:]
        /// Who must answer at an address, as the meshes say by which it is known.
        var managers: [SocketAddress: [RegistrySource: SPIFFEID?]] = [:]
        /// What endpoints take up, and services, by the registry that reported them.
        var endpointUse: [RegistrySource: Use] = [:]
        var serviceUse: [RegistrySource: Use] = [:]
        /// When the first of those expires that are no longer said; nil: none does.
        var firstEnd: Timestamp?
        /// How often all was looked at for what has expired.
        var prunes = 0
        /// What was left out.
        var omissions: [RegistrySource: Set<Omission.Kind>] = [:]
        /// Those who follow the endpoints of a service.
        var followers = Broadcast<Void, String, Void>()
    }
    let limits: Limits
    let state = Mutex(State())
    /// How long endpoints of a registry that can't be reached count: as long as registrations live.
    private static let grace = Duration.seconds(60)

    /// Knows of none yet.
    init(limits: Limits = Limits()) { self.limits = limits }

    // MARK: - What registries tell

    /// There is an endpoint.
    func add(_ endpoint: NSMNetworkServiceEndpoint, from source: RegistrySource) {
        let key = Key(endpoint)
        let report = Report(end: nil, size: Self.size(endpoint))
        state.withLock { state in
            if let old = state.found[key] {
                Self.unlist(old.endpoint, key, &state)
                // It may not offer the same services any more.
                Self.tell(of: old.endpoint, &state)
            }
            Self.forget(key, source, &state)
            state.found[key, default: Found(endpoint: endpoint)].endpoint = endpoint
            state.found[key]?.sources[source] = report
            state.endpointUse[source, default: Use()].count += 1
            state.endpointUse[source, default: Use()].bytes += report.size
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
            Self.forget(key, source, &state)
            if state.found[key]?.sources.isEmpty == true { Self.forget(key, &state) }
        }
    }

    /// There is a service.
    func add(_ service: NSMNetworkService, from source: RegistrySource) {
        let report = Report(end: nil, size: Self.size(service))
        state.withLock { state in
            Self.forget(service.name, source, &state)
            state.services[service.name, default: [:]][source] = (service, report)
            state.serviceUse[source, default: Use()].count += 1
            state.serviceUse[source, default: Use()].bytes += report.size
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
                for (source, report) in found.sources where report.end == nil {
                    guard let grace = sources[source] else { continue }
                    state.found[key]?.sources[source]?.end = now.advanced(by: grace)
                }
            }
            for (name, reports) in state.services {
                for (source, known) in reports where known.report.end == nil {
                    guard let grace = sources[source] else { continue }
                    state.services[name]?[source]?.report.end = now.advanced(by: grace)
                }
            }
            Self.prune(&state, now)
        }
    }

    /// Forgets what has expired.
    static func prune(_ state: inout State, _ now: Timestamp) {
        state.prunes += 1
        var firstEnd: Timestamp?
        func isLive(_ report: Report) -> Bool {
            guard report.isLive(at: now) else { return false }
            if let end = report.end { firstEnd = min(firstEnd ?? end, end) }
            return true
        }
        for (key, found) in state.found {
            let expired = found.sources.filter { !isLive($0.value) }.keys
            if expired.count == found.sources.count {
                forget(key, &state)
            } else {
                for source in expired { forget(key, source, &state) }
            }
        }
        for (name, reports) in state.services {
            for (source, known) in reports where !isLive(known.report) { forget(name, source, &state) }
        }
        state.firstEnd = firstEnd
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
            return sources.allSatisfy { source, report in
                if !report.isLive(at: now) { return true }
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
            let isTrouble = trouble != nil && !isFollowed
            let trouble = trouble ?? Omission.text(state.omissions[source])
            defer { state.troubles[source] = trouble }
            state.followed[source] = isTrouble ? nil : state.followed[source] ?? .now
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
    var serviceNames: Set<String> {
        let now = Timestamp.now
        return state.withLock { state in
            let live = state.services.filter { $0.value.values.contains { $0.report.isLive(at: now) } }
            return Set(live.keys).union(state.byService.keys)
        }
    }

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
    func service(_ name: String, now: Timestamp = .now) -> NSMNetworkService? {
        state.withLock { state in
            let live = state.services[name]?.filter { $0.value.report.isLive(at: now) }
            return live?.min { $0.key.description < $1.key.description }?.value.service
        }
    }

    // MARK: - Parts

    private static func forget(_ key: Key, _ state: inout State) {
        for source in state.found[key].map({ Array($0.sources.keys) }) ?? [] { forget(key, source, &state) }
        guard let old = state.found.removeValue(forKey: key) else { return }
        unlist(old.endpoint, key, &state)
        tell(of: old.endpoint, &state)
    }

    private static func forget(_ key: Key, _ source: RegistrySource, _ state: inout State) {
        guard let old = state.found[key]?.sources.removeValue(forKey: source) else { return }
        leave(old, source, &state.endpointUse)
    }

    private static func forget(_ service: String, _ source: RegistrySource, _ state: inout State) {
        guard let old = state.services[service]?.removeValue(forKey: source) else { return }
        leave(old.report, source, &state.serviceUse)
        if state.services[service]?.isEmpty == true { state.services[service] = nil }
    }

    private static func leave(_ report: Report, _ source: RegistrySource, _ use: inout [RegistrySource: Use]) {
        use[source]?.count -= 1
        use[source]?.bytes -= report.size
        if use[source]?.count == 0 { use[source] = nil }
    }

    private static func unlist(_ endpoint: NSMNetworkServiceEndpoint, _ key: Key, _ state: inout State) {
        for service in endpoint.networkServiceNames {
            state.byService[service]?.remove(key)
            if state.byService[service]?.isEmpty == true { state.byService[service] = nil }
        }
    }
}
