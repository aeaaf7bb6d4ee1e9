internal import Concurrency
internal import Logging
internal import Model
internal import NSM
internal import NSMKinds
internal import NetworkTypes
internal import Synchronization

/// The network that the endpoints of a service make together (vL3): each is also a client of the others, and leads packets for their
/// parts to them.
///
/// Each of two endpoints asks the other one, as stock endpoints do. What the other says is taken as far as ``NetworkParts`` allows.
final class SharedNetwork: Sendable {
    let message: Upnp_NetworkServiceEndpoint
    let context: SessionContext
    let endpoint: String
    private let registry: RegistryClient
    /// Says that there are changes.
    let changed: @Sendable () -> Void
    /// Asks those clients of the endpoint to come whose routes are no longer right.
    let refresh = Callback<@Sendable (NSMConnection) -> Bool>()
    let state: Mutex<State>

    /// Another endpoint that we have a client for.
    struct Peer {
        let number: Int
        let client: NetworkServiceClient
        /// Whose it is, as the registry said last; empty: it did not.
        var registered: String
        /// Who answered by its name.
        var met: String?
        var isLeaving = false
        /// Since when its connection is healed; nil: it is not.
        var healingSince: ContinuousClock.Instant?
        /// Whether that takes so long that it does not count as reached.
        var isOverdue = false
        /// That still carries packets.
        var connection: NSMConnection?
        var part: ServiceReport.Part?
        /// Why the connection is of no use.
        var problem: String?
    }
    /// Why there is no client for another endpoint.
    enum Obstacle: String {
        case tooMany = "there are too many"
        case noName = "no name is left for an interface"
    }
    struct State {
        var parts: NetworkParts
        /// What connections of the endpoint should have, by those.
        var routes: NetworkRoutes
        /// The others that the registry has, with their identities; empty: it does not say.
        var present: [String: String] = [:]
        /// Whether somebody is known by whom it may be told that a client is another endpoint, or is not any more.
        var hasArrivals = false
        var peers: [String: Peer] = [:]
        var lastNumber = 0
        /// What changed and was not told yet; nil: it is gone.
        var pending: [String: ServiceReport.Part?] = [:]
        /// What is new of problems, by the other's name.
        var problems: [String: String] = [:]
        /// Those that were told.
        var obstacles: Set<Obstacle> = []
        /// Whether those without a client are looked at again soon.
        var isLookDue = false
        /// Who else has our name.
        var namesakes: [String] = []
        var trouble: String?

        /// Those without a client.
        var waiting: [String] { present.keys.filter { peers[$0] == nil }.sorted() }
    }
    /// What changes which endpoints are connected.
    enum Event: Sendable {
        case registry(RegistryChange<NSMNetworkServiceEndpoint>)
        /// There may be room for those that have no client.
        case look
    }

    /// Other endpoints of one service that are asked.
    static let most = 256
    /// Those that are known.
    private static let mostKnown = 4096
    /// How long one whose connection is healed counts as reached: a mesh that is started again must not make others' claims better.
    static let patience = Duration.seconds(30)
    /// Between two looks for a free name.
    private static let lookInterval = Duration.seconds(10)

    /// - Parameters:
    ///   - endpoint: The own endpoint's name.
    ///   - changed: Called when ``takeChanges()`` has something.
    init(
        _ message: Upnp_NetworkServiceEndpoint, _ context: SessionContext, endpoint: String,
        changed: @escaping @Sendable () -> Void
    ) {
        self.message = message
        self.context = context
        self.endpoint = endpoint
        self.changed = changed
        registry = RegistryClient(context.manager)
        let terms = EndpointTerms(message)
        let parts = NetworkParts(declared: terms.routes, own: terms.prefixes.map(\.network))
        state = Mutex(
            State(parts: parts, routes: NetworkRoutes(clients: parts.routesOfClients, others: parts.own)))
    }

    // MARK: - The other endpoints

    /// Keeps connections to all other endpoints until the task is cancelled, which leaves them as they are.
    func run() async {
        let (events, event) = AsyncStream.makeStream(of: Event.self)
        await withDiscardingTaskGroup { group in
            group.addTask {
                let service = self.message.networkService
                await self.registry.followOfferers(of: service, as: self.endpoint) { trouble in
                    self.state.withLock { $0.trouble = trouble }
                } body: {
                    event.yield(.registry($0))
                }
                event.finish()
            }
            await self.serve(events, event)
            group.cancelAll()
        }
    }

    /// Does what events ask for until they end.
    func serve(_ events: AsyncStream<Event>, _ event: AsyncStream<Event>.Continuation) async {
        await withDiscardingTaskGroup { group in
            for await next in events {
                switch next {
                case .registry(.present(let other)):
                    guard noteArrival(of: other), let number = begin(other.name) else { break }
                    group.addTask { await self.keep(other.name, number, event) }
                case .registry(.gone(let other)):
                    guard noteEnd(of: other.name) else { break }
                    group.addTask { await self.leave(other.name) }
                case .look:
                    for (name, number) in beginWaiting() { group.addTask { await self.keep(name, number, event) } }
                }
                guard takeLookDue() else { continue }
                group.addTask {
                    guard (try? await Task.sleep(for: Self.lookInterval)) != nil else { return }
                    self.state.withLock { $0.isLookDue = false }
                    event.yield(.look)
                }
            }
            group.cancelAll()
        }
    }

    /// Returns whether there is to be a connection.
    func noteArrival(of other: NSMNetworkServiceEndpoint) -> Bool {
        guard !other.name.isEmpty, other.name.utf8.count <= 253 else { return false }
        guard state.withLock({ $0.present.count < Self.mostKnown || $0.present[other.name] != nil }) else {
            return false
        }
        if other.name == endpoint {
            noteNamesake(other.pathIds.count > 1 ? other.pathIds : [])
            return false
        }
        let identity = other.pathIds.first ?? ""
        let isNew = state.withLock { state in
            state.hasArrivals = true
            state.present[other.name] = identity
            if !identity.isEmpty { state.peers[other.name]?.registered = identity }
            return state.peers[other.name] == nil
        }
        changed()
        return isNew
    }

    private func noteNamesake(_ ids: [String]) {
        let isNews = state.withLock { state in
            defer { state.namesakes = ids }
            return !ids.isEmpty && state.namesakes != ids
        }
        guard isNews else { return }
        context.manager.component.logger.warning(
            "another host has an endpoint of this name, and the two are not connected",
            metadata: ["endpoint": "\(endpoint)", "of": "\(ids.joined(separator: ", "))"])
    }

    /// Returns whether its connection is to be closed.
    private func noteEnd(of name: String) -> Bool {
        state.withLock { state in
            state.present[name] = nil
            guard let peer = state.peers[name], !peer.isLeaving else { return false }
            state.peers[name]?.isLeaving = true
            return true
        }
    }

    /// Whether those without a client are to be looked at again by themselves: nobody says when a name is free.
    private func takeLookDue() -> Bool {
        state.withLock { state in
            guard state.obstacles.contains(.noName), !state.isLookDue else { return false }
            state.isLookDue = true
            return true
        }
    }

    /// Looks whether the interfaces to others are still there.
    func lookAtInterfaces() async {
        let clients = state.withLock { $0.peers.values.map(\.client) }
        await withDiscardingTaskGroup { group in
            for client in clients { group.addTask { await self.context.lookAtInterface(of: client) } }
        }
    }

    /// What connections to others brought that is new or has changed since the last call, by keys that no connection has.
    func takeChanges() -> [String: ServiceReport.Part?] {
        state.withLock { state in
            defer { state.pending = [:] }
            return state.pending
        }
    }

    /// For people.
    var facts: [String] {
        state.withLock { state in
            var facts = ["network of \(state.peers.count + 1) endpoints"]
            if let trouble = state.trouble { facts.append(trouble) }
            if !state.namesakes.isEmpty {
                facts.append("not the only \(endpoint): \(state.namesakes.joined(separator: ", "))")
            }
            let left = state.waiting.count
            if left > 0 {
                let reason =
                    state.peers.count < Self.most ? Obstacle.noName.rawValue : "\(Self.most) is the most"
                facts.append("\(left) others are not connected; \(reason)")
            }
            for (name, peer) in state.peers.sorted(by: { $0.key < $1.key }).prefix(8) {
                let routes = state.parts.routes(to: name).map { "\($0)" }.joined(separator: ", ")
                switch peer.client.state {
                case .established: facts.append("\(name): \(peer.problem.map { "not believed: \($0)" } ?? routes)")
                case .connecting(_, let error), .healing(_, _, let error):
                    facts.append("\(name): not connected\(error.map { ": \($0)" } ?? "")")
                case .closed: facts.append("\(name): closed")
                }
            }
            return facts
        }
    }
}
