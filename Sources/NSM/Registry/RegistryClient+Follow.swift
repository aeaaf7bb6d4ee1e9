internal import Concurrency
internal import Logging
internal import SwiftProtobuf
internal import Synchronization

/// What became of a service or an endpoint in the registry.
public enum RegistryChange<Entry: Sendable>: Sendable {
    /// It is there, and new or changed.
    case present(Entry)
    /// It is not there any more.
    case gone(Entry)
}

extension RegistryClient {
    /// Follows the services that match until the task is cancelled, also over times when the registry is away.
    ///
    /// - Parameters:
    ///   - service: What services must match.
    ///   - body: Called with what there is at first, and then with each change.
    public func follow(
        _ service: NSMNetworkService, body: @escaping @Sendable (RegistryChange<NSMNetworkService>) async -> Void
    ) async {
        await follow(Followed({ $0.name }, comparing: { $0 }, body)) { note in
            try await self.watch(service) { await note($0.networkService, $0.deleted) }
        } find: {
            try await self.find(service)
        }
    }

    /// Follows the endpoints that match until the task is cancelled, also over times when the registry is away.
    ///
    /// - Parameters:
    ///   - endpoint: What endpoints must match.
    ///   - body: Called with what there is at first, and then with each change. A later end of the registration alone is not
    ///     one.
    public func follow(
        _ endpoint: NSMNetworkServiceEndpoint,
        body: @escaping @Sendable (RegistryChange<NSMNetworkServiceEndpoint>) async -> Void
    ) async {
        await follow(Self.followed(body)) { note in
            try await self.watch(endpoint) { await note($0.networkServiceEndpoint, $0.deleted) }
        } find: {
            try await self.find(endpoint)
        }
    }

    /// Follows the endpoints of a service that the caller offers as well, on all hosts, until the task is cancelled. A registry
    /// of another kind shows what it shows anybody.
    ///
    /// - Parameters:
    ///   - service: The service's name.
    ///   - own: The name of the caller's endpoint.
    ///   - told: Called with why nothing is heard of others, or nil once the registry tells of them.
    ///   - body: Called with what there is at first, and then with each change.
    package func followOfferers(
        of service: String, as own: String, told: @escaping @Sendable (String?) -> Void = { _ in },
        body: @escaping @Sendable (RegistryChange<NSMNetworkServiceEndpoint>) async -> Void
    ) async {
        let query = NSMNetworkServiceEndpoint.with { $0.networkServiceNames = [service] }
        // Whether the present stream told of another one, which an earlier answer could not.
        let hasOthers = Mutex(false)
        await follow(Self.followed(body)) { note in
            hasOthers.withLock { $0 = false }
            try await Self.explaining(told) {
                try await self.find(query, watch: true, offering: service) { response in
                    if response.networkServiceEndpoint.name != own {
                        hasOthers.withLock { $0 = true }
                        told(nil)
                    }
                    await note(response.networkServiceEndpoint, response.deleted)
                }
            }
        } find: {
            let found = Mutex<[NSMNetworkServiceEndpoint]>([])
            let isTold = try await Self.explaining(told) {
                try await self.find(query, watch: false, offering: service) { response in
                    if !response.deleted { found.withLock { $0.append(response.networkServiceEndpoint) } }
                }
            }
            let all = found.withLock { $0 }
            let isAlone = !isTold && all.allSatisfy { $0.name == own } && !hasOthers.withLock { $0 }
            told(isAlone ? Self.oneOfferer : nil)
            return all
        }
    }

    /// Says why something fails.
    @discardableResult
    private static func explaining<Result: Sendable>(
        _ told: @Sendable (String?) -> Void, _ body: () async throws -> Result
    ) async throws -> Result {
        do {
            return try await body()
        } catch {
            // One of two that run at once ends when the other one fails.
            if !Task.isCancelled, !(error is CancellationError) { told((error as? NSMError)?.text ?? "\(error)") }
            throw error
        }
    }

    private static func followed(
        _ body: @escaping @Sendable (RegistryChange<NSMNetworkServiceEndpoint>) async -> Void
    ) -> Followed<NSMNetworkServiceEndpoint> {
        Followed(
            { $0.name },
            comparing: { endpoint in
                var endpoint = endpoint
                endpoint.clearExpirationTime()
                endpoint.clearInitialRegistrationTime()
                return endpoint
            }, body)
    }

    private func follow<Entry: Equatable & Sendable>(
        _ followed: Followed<Entry>,
        watch:
            @escaping @Sendable (_ note: @escaping @Sendable (Entry, _ isGone: Bool) async -> Void) async throws -> Void,
        find: @escaping @Sendable () async throws -> [Entry]
    ) async {
        var backoff = Backoff()
        while !Task.isCancelled {
            followed.begin()
            do {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await watch { await followed.note($0, isGone: $1) } }
                    // A removal while no stream was open is in no stream.
                    group.addTask { await followed.settle(try await find()) }
                    try await group.waitForAll()
                }
            } catch {
                logger.debug("the registry's stream ended", metadata: ["error": "\(error)"])
            }
            if followed.hasHeard { backoff.reset() }
            guard (try? await Task.sleep(for: backoff.wait())) != nil else { return }
        }
    }
}

/// What is known of entries that are followed.
private final class Followed<Entry: Equatable & Sendable>: Sendable {
    private struct State {
        var known: [String: Entry] = [:]
        /// What was known before the present stream, and the stream has not reported.
        var doubtful: Set<String> = []
        var hasHeard = false
    }
    private let state = Mutex(State())
    private let name: @Sendable (Entry) -> String
    private let comparing: @Sendable (Entry) -> Entry
    private let body: @Sendable (RegistryChange<Entry>) async -> Void

    init(
        _ name: @escaping @Sendable (Entry) -> String, comparing: @escaping @Sendable (Entry) -> Entry,
        _ body: @escaping @Sendable (RegistryChange<Entry>) async -> Void
    ) {
        self.name = name
        self.comparing = comparing
        self.body = body
    }

    /// Whether the present stream reported anything.
    var hasHeard: Bool { state.withLock { $0.hasHeard } }

    /// A new stream begins.
    func begin() {
        state.withLock { state in
            state.doubtful = Set(state.known.keys)
            state.hasHeard = false
        }
    }

    func note(_ entry: Entry, isGone: Bool) async {
        let isNews = state.withLock { state in
            state.hasHeard = true
            state.doubtful.remove(name(entry))
            if isGone { return state.known.removeValue(forKey: name(entry)) != nil }
            return state.known.updateValue(comparing(entry), forKey: name(entry)) != comparing(entry)
        }
        if isNews { await body(isGone ? .gone(entry) : .present(entry)) }
    }

    /// What the registry has now; the rest of what is doubtful is gone.
    func settle(_ entries: [Entry]) async {
        let gone = state.withLock { state in
            state.hasHeard = true
            let names = state.doubtful.subtracting(entries.map(name))
            state.doubtful = []
            return names.compactMap { state.known.removeValue(forKey: $0) }
        }
        for entry in gone { await body(.gone(entry)) }
    }
}
