internal import GRPCCore
internal import NSM

/// The endpoints that offer a service, on this host and others: their names, labels and identities, and neither sockets nor
/// addresses. Of endpoints that one who asks may not see otherwise this is all that he is shown.
struct Offerers: Sendable {
    let service: String
    let store: RegistryStore
    let others: RemoteEndpoints

    /// Endpoints of one service that are shown.
    static let most = 4096
    /// How often it is looked for those whose registry has been away for too long, which nothing reports.
    private static let look = Duration.seconds(10)

    /// Writes those that there are, and then each change if `watch` is set.
    ///
    /// - Parameter mayLook: Whether the caller may still see them.
    /// - Throws: what the writer throws when the caller is gone; `RPCError` when he may not look any more.
    func write(
        to writer: RPCWriter<NSMNetworkServiceEndpointResponse>, watch: Bool,
        while mayLook: @Sendable () -> Bool = { true }
    ) async throws {
        guard watch else { return try await writer.write(contentsOf: Self.changes(from: [:], to: present)) }
        let query = NSMNetworkServiceEndpoint.with { $0.networkServiceNames = [service] }
        let (here, there) = (store.find(query, watch: true), others.changes(of: service))
        let (ticks, tick) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        try await withThrowingTaskGroup(of: Void.self) { group in
            defer { group.cancelAll() }
            group.addTask {
                for await _ in here { tick.yield() }
                // Too much happened at once: the caller asks again.
                tick.finish()
            }
            group.addTask { for await _ in there { tick.yield() } }
            group.addTask { while (try? await Task.sleep(for: Self.look)) != nil { tick.yield() } }
            var known: [String: NSMNetworkServiceEndpoint] = [:]
            for await _ in ticks {
                guard mayLook() else {
                    throw RPCError(code: .failedPrecondition, message: "the caller offers it no more")
                }
                let now = present
                for change in Self.changes(from: known, to: now) { try await writer.write(change) }
                known = now
            }
        }
    }

    /// The endpoints that exist now, by name. Several hosts may have one of the same name: the first is shown, with the identities
    /// of all.
    private var present: [String: NSMNetworkServiceEndpoint] {
        let query = NSMNetworkServiceEndpoint.with { $0.networkServiceNames = [service] }
        let all = store.entries(query).map(\.endpoint) + others.candidates(service).map(\.endpoint)
        var result: [String: NSMNetworkServiceEndpoint] = [:]
        let names = Set(all.map(\.name)).sorted().prefix(Self.most)
        let last = names.last ?? ""
        for endpoint in all where endpoint.name <= last {
            var shown =
                result[endpoint.name]
                ?? .with { shown in
                    shown.name = endpoint.name
                    shown.networkServiceNames = [service]
                    shown.networkServiceLabels = endpoint.networkServiceLabels.filter { $0.key == service }
                }
            for id in endpoint.pathIds.prefix(1) where !shown.pathIds.contains(id) && shown.pathIds.count < 8 {
                shown.pathIds.append(id)
            }
            result[endpoint.name] = shown
        }
        return result
    }

    /// What to say to one who knows something.
    static func changes(
        from known: [String: NSMNetworkServiceEndpoint], to now: [String: NSMNetworkServiceEndpoint]
    ) -> [NSMNetworkServiceEndpointResponse] {
        let gone = known.filter { now[$0.key] == nil }.sorted { $0.key < $1.key }
        let new = now.filter { known[$0.key] != $0.value }.sorted { $0.key < $1.key }
        return gone.map { .gone($0.value) } + new.map { .present($0.value) }
    }
}

extension NSMNetworkServiceEndpointResponse {
    fileprivate static func present(_ endpoint: NSMNetworkServiceEndpoint) -> Self {
        .with { $0.networkServiceEndpoint = endpoint }
    }

    fileprivate static func gone(_ endpoint: NSMNetworkServiceEndpoint) -> Self {
        .with { response in
            response.networkServiceEndpoint = endpoint
            response.deleted = true
        }
    }
}
