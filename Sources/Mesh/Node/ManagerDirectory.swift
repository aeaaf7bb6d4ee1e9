internal import Concurrency
internal import GRPCCore
internal import MeshTransport
internal import NSM
internal import SPIFFE
internal import Synchronization

/// The endpoints that a manager knows, as a forwarder asks for them: a request names a service, or an endpoint that served it
/// before.
///
/// A socket that came once is kept until its endpoint was asked and has no connections. While it is held, its inode is
/// nobody else's.
final class ManagerDirectory: Sendable {
    private struct State {
        var entries: [String: RegistryStore.Entry] = [:]
        /// What requests need to know of a service that name an endpoint.
        var services: [String: NSMNetworkService] = [:]
    }
    private let registry: RegistryClient
    private let state = Mutex(State())
    /// Services and endpoints that are remembered. Who asks for more finds them again.
    private static let most = 4096

    init(_ manager: PeerConnector) { registry = RegistryClient(manager) }

    /// An endpoint that was found.
    func entry(_ name: String) -> RegistryStore.Entry? { state.withLock { $0.entries[name] } }

    /// A service that was found.
    func service(_ name: String) -> NSMNetworkService? { state.withLock { $0.services[name] } }

    /// Forgets an endpoint whose process has ended. Returns whether it was the one that is known by its name.
    func forget(_ name: String, _ socket: Descriptor) -> Bool {
        state.withLock { state in
            guard state.entries[name]?.socket === socket else { return false }
            state.entries[name] = nil
            return true
        }
    }

    /// Keeps an endpoint that is used, unless one is known by its name.
    func keep(_ entry: RegistryStore.Entry) {
        guard entry.host == nil else { return }
        state.withLock { state in
            if state.entries[entry.endpoint.name] == nil { state.entries[entry.endpoint.name] = entry }
        }
    }

    /// Forgets an endpoint that nobody uses.
    func drop(_ name: String) { state.withLock { $0.entries[name] = nil } }

    /// The endpoints to try for a connection, the best first.
    ///
    /// - Parameters:
    ///   - store: Knows whose turn it is.
    ///   - peers: Knows which endpoints are in use; those are never forgotten for want of room.
    ///   - onlyHere: Whether endpoints of other hosts are left out: for a client of another host, whose forwarder has chosen, and
    ///     where there are no tunnels.
    /// - Throws: `RPCError` when there is none; ``NSMError`` when the manager can't be asked.
    func candidates(
        _ wanted: NSMConnection, _ store: RegistryStore, _ peers: EndpointPeers, onlyHere: Bool = false
    ) async throws -> [RegistryStore.Entry] {
        let (service, name) = (wanted.networkService, wanted.networkServiceEndpointName)
        guard !service.isEmpty || !name.isEmpty else {
            throw RPCError(code: .invalidArgument, message: "neither a service nor an endpoint is named")
        }
        let query = NSMNetworkServiceEndpoint.with { query in
            if name.isEmpty { query.networkServiceNames = [service] } else { query.name = name }
        }
        async let declared = declaration(of: service, isNeeded: name.isEmpty || wanted.payload.isEmpty)
        let endpoints = try await find(query, peers)
        let declaration = try await declared
        let found = endpoints.filter { entry in
            // Of a service, the registry says who offers it: between domains names differ.
            (name.isEmpty || entry.endpoint.name == name) && (!onlyHere || entry.host == nil)
                && (entry.endpoint.expiry.map { $0 > .now } ?? true)
        }
        let chosen =
            name.isEmpty
            ? store.candidates(service: service, labels: wanted.labels, others: found, known: declaration) : found
        guard chosen.isEmpty else { return chosen }
        let what = name.isEmpty ? "endpoint of \(service.prefix(bytes: 253))" : "endpoint \(name.prefix(bytes: 253))"
        throw RPCError(
            code: name.isEmpty ? .notFound : .unavailable,
            message: "the manager knows no \(what)\(onlyHere ? " on this host" : "") for a client with these labels")
    }

    private func declaration(of service: String, isNeeded: Bool) async throws -> NSMNetworkService? {
        guard isNeeded, !service.isEmpty else { return self.service(service) }
        let query = NSMNetworkService.with { $0.name = service }
        let found = try await registry.find(query).first { $0.name == service }
        state.withLock { state in
            if state.services.count >= Self.most { state.services = [:] }
            state.services[service] = found
        }
        return found
    }

    private func find(
        _ query: NSMNetworkServiceEndpoint, _ peers: EndpointPeers
    ) async throws -> [RegistryStore.Entry] {
        let held = state.withLock { state in
            let sockets = state.entries.values.compactMap(\.socket)
            return Dictionary(sockets.map { ($0.inode.url, $0) }, uniquingKeysWith: { first, _ in first })
        }
        let found = try await registry.findWithSockets(query) { held[$0.url] != nil }
        if state.withLock({ $0.entries.count + found.count > Self.most }) {
            peers.withUsed { used in
                state.withLock { state in
                    state.entries = state.entries.filter { $0.value.host == nil && used.contains($0.value.place) }
                }
            }
        }
        return state.withLock { state in
            found.compactMap { endpoint, socket in
                // The one that is held, so that calls go on by the connection that there is.
                let entry = RegistryStore.Entry(endpoint: endpoint, socket: held[endpoint.url] ?? socket)
                if entry.socket == nil, entry.host == nil { return nil }
                state.entries[endpoint.name] = entry
                return entry
            }
        }
    }
}
