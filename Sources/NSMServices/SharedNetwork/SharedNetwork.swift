internal import Concurrency
internal import Logging
internal import Model
internal import NSM
internal import NSMKinds
internal import NetworkTypes
internal import SPIFFE
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
    private let changed: @Sendable () -> Void
    /// Asks those clients of the endpoint to come whose routes are no longer right.
    let refresh = Callback<@Sendable (NSMConnection) -> Bool>()
    private let state: Mutex<State>

    private struct Peer {
        let number: Int
        let client: NetworkServiceClient
        var isLeaving = false
        /// That still carries packets.
        var connection: NSMConnection?
        var part: ServiceReport.Part?
        /// Why the connection is of no use.
        var problem: String?
    }
    private struct State {
        var parts: NetworkParts
        /// The others that the registry has, with their identities; empty: it does not say.
        var present: [String: String] = [:]
        var hasArrivals = false
        var peers: [String: Peer] = [:]
        var lastNumber = 0
        /// What changed and was not told yet; nil: it is gone.
        var pending: [String: ServiceReport.Part?] = [:]
        /// What is new of problems, by the other's name.
        var problems: [String: String] = [:]
        var isCrowded = false
        /// Who else has our name.
        var namesakes: [String] = []
        var trouble: String?
    }

    /// Other endpoints of one service that are asked.
    static let most = 256
    /// Those that are known.
    private static let mostKnown = 4096

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
        state = Mutex(
            State(parts: NetworkParts(declared: terms.routes, own: terms.prefixes.map(\.network))))
    }

    // MARK: - Clients of the endpoint

    /// The networks that a client is led to. Another endpoint is told of our own parts alone.
    ///
    /// - Throws: ``EndpointRefusal`` for ourselves.
    func routes(for context: NSMConnectionContext) throws(EndpointRefusal) -> [IPPrefix] {
        guard let origin = context.networkOrigin else { return state.withLock { $0.parts.routesOfClients } }
        guard origin != endpoint else { throw EndpointRefusal("\(endpoint) is no client of itself") }
        return state.withLock { $0.parts.own }
    }

    /// Takes in what IPAM servers gave.
    func note(_ grants: [SharedPrefix.Grant]) {
        change { $0.parts.set(own: grants.map(\.prefix), networks: grants.compactMap(\.network)) }
    }

    /// Has those come who were given routes of before while these changed.
    func check(_ connections: [String: NSMConnection]) {
        if connections.isEmpty { return }
        let isConcerned = state.withLock { Self.lacks($0.parts.routesOfClients, own: $0.parts.own) }
        if connections.values.contains(where: isConcerned) { refresh(isConcerned) }
    }

    /// Whether a client has other routes than it should. The endpoint's addresses are routes, too.
    ///
    /// - Parameters:
    ///   - routes: Those of clients.
    ///   - own: Those of other endpoints.
    static func lacks(_ routes: [IPPrefix], own: [IPPrefix]) -> @Sendable (NSMConnection) -> Bool {
        let (routes, own) = (Set(routes.map { "\($0)" }), Set(own.map { "\($0)" }))
        return { connection in
            let ip = connection.context.ipContext
            let addresses = Set(ip.dstIpAddrs)
            let wanted = connection.context.networkOrigin == nil ? routes : own
            return Set(ip.srcRoutes.map(\.prefix)).subtracting(addresses) != wanted.subtracting(addresses)
        }
    }

    /// Whether the client of one of our connections is another endpoint, as the registry knows it: everybody can say so.
    func isLink(_ connection: NSMConnection) -> Bool {
        guard let origin = connection.context.networkOrigin,
            let identity = state.withLock({ $0.present[origin] })
        else { return false }
        guard context.manager.component.isSecure else { return true }
        let subject = connection.path.pathSegments.first.flatMap { try? Token(parsing: $0.token) }?.subject
        return !identity.isEmpty && subject == identity
    }

    /// Whether others became known since the last call.
    func takeArrivals() -> Bool {
        state.withLock { state in
            defer { state.hasArrivals = false }
            return state.hasArrivals
        }
    }

    /// Changes something, and tells what follows from that.
    ///
    /// - Parameter body: Returns the others for whom something is different.
    private func change(_ body: (inout State) -> Set<String>) {
        let (isConcerned, isTold, problems): ((@Sendable (NSMConnection) -> Bool)?, Bool, [String: String]) =
            state.withLock { state in
                let before = (state.parts.routesOfClients, state.parts.own)
                let names = body(&state)
                for name in names { renew(name, &state) }
                let now = (state.parts.routesOfClients, state.parts.own)
                defer { state.problems = [:] }
                return (
                    before == now ? nil : Self.lacks(now.0, own: now.1), !state.pending.isEmpty, state.problems
                )
            }
        for (name, problem) in problems.sorted(by: { $0.key < $1.key }) {
            context.manager.component.logger.warning(
                "another endpoint of the network is not believed",
                metadata: ["endpoint": "\(name)", "reason": "\(problem)"])
        }
        if isTold { changed() }
        if let isConcerned { refresh(isConcerned) }
    }

    /// Works out what the connection to another endpoint brings now.
    private func renew(_ name: String, _ state: inout State) {
        guard let peer = state.peers[name] else { return }
        let problem = peer.connection.flatMap { state.parts.mistake(in: $0.context.ipContext, of: name) }
        let part =
            problem == nil
            ? peer.connection.map {
                ServiceReport.Part(ConnectionSide(linking: message, $0, routes: state.parts.routes(to: name)))
            } : nil
        if let problem, problem != peer.problem { state.problems[name] = problem }
        state.peers[name]?.problem = problem
        if part == peer.part { return }
        state.peers[name]?.part = part
        state.pending.updateValue(part, forKey: Self.key(peer.client.configuration.id))
    }

    // MARK: - The other endpoints

    /// Keeps connections to all other endpoints until the task is cancelled, which leaves them as they are.
    func run() async {
        let (changes, change) = AsyncStream.makeStream(of: RegistryChange<NSMNetworkServiceEndpoint>.self)
        await withDiscardingTaskGroup { group in
            group.addTask {
                let service = self.message.networkService
                await self.registry.followOfferers(of: service, as: self.endpoint) { trouble in
                    self.state.withLock { $0.trouble = trouble }
                } body: {
                    change.yield($0)
                }
                change.finish()
            }
            for await change in changes {
                switch change {
                case .present(let other):
                    guard noteArrival(of: other), let number = begin(other.name) else { continue }
                    group.addTask { await self.keep(other.name, number) }
                case .gone(let other):
                    guard noteEnd(of: other.name) else { continue }
                    group.addTask { await self.leave(other.name) }
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
            let ids = other.pathIds.count > 1 ? other.pathIds : []
            let isNews = state.withLock { state in
                defer { state.namesakes = ids }
                return !ids.isEmpty && state.namesakes != ids
            }
            if isNews {
                context.manager.component.logger.warning(
                    "another host has an endpoint of this name, and the two are not connected",
                    metadata: ["endpoint": "\(endpoint)", "of": "\(ids.joined(separator: ", "))"])
            }
            return false
        }
        let isNew = state.withLock { state in
            state.hasArrivals = true
            state.present[other.name] = other.pathIds.first ?? ""
            return state.peers[other.name] == nil
        }
        changed()
        return isNew
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

    /// Makes the client of another endpoint; nil when there is one, or there are too many.
    func begin(_ name: String) -> Int? {
        let (number, isNews): (Int?, Bool) = state.withLock { state in
            if state.peers[name] != nil { return (nil, false) }
            guard state.peers.count < Self.most, let client = client(of: name) else {
                defer { state.isCrowded = true }
                return (nil, !state.isCrowded)
            }
            state.lastNumber += 1
            state.peers[name] = Peer(number: state.lastNumber, client: client)
            return (state.lastNumber, false)
        }
        if isNews {
            context.manager.component.logger.warning(
                "not all endpoints of a network are connected",
                metadata: ["service": "\(message.networkService)", "most": "\(Self.most)"])
        }
        return number
    }

    /// Keeps the connection to another endpoint until it is closed, and then that to one for which there was no room.
    private func keep(_ first: String, _ firstNumber: Int) async {
        var (name, number) = (first, firstNumber)
        while let client = state.withLock({ $0.peers[name].flatMap { $0.number == number ? $0.client : nil } }) {
            await withDiscardingTaskGroup { group in
                group.addTask { await client.run() }
                for await state in client.states { note(state, of: name) }
                group.cancelAll()
            }
            if Task.isCancelled { return }
            context.addresses.forget(client.configuration.id)
            context.register.release(client.configuration.interfaceName, of: owner(name))
            // It may have come back while its connection was closed.
            let waiting = state.withLock { state in
                state.peers[name] = nil
                state.isCrowded = false
                return [name].filter { state.present[$0] != nil }
                    + state.present.keys.filter { $0 != name && state.peers[$0] == nil }.sorted()
            }
            guard let next = waiting.lazy.compactMap({ other in self.begin(other).map { (other, $0) } }).first else {
                return
            }
            (name, number) = next
        }
    }

    /// Closes the connection to an endpoint that the registry does not have any more, as soon as it carries nothing: a registry that
    /// was started again, or whose other host is not reached, does not know of endpoints that are there. One that ends takes its
    /// connections back itself.
    private func leave(_ name: String) async {
        var backoff = Backoff(first: .milliseconds(100), limit: .seconds(2))
        while let client = state.withLock({ $0.peers[name]?.client }) {
            let isBack = state.withLock { state in
                guard state.present[name] != nil else { return false }
                state.peers[name]?.isLeaving = false
                return true
            }
            if isBack { return }
            if client.state.carrying == nil, (try? await client.close()) != nil { return }
            guard (try? await Task.sleep(for: backoff.wait())) != nil else { return }
        }
    }

    /// Ends all connections to others; called after ``run()`` ended.
    func close() async {
        let clients = state.withLock { state in
            defer { state.peers = [:] }
            return state.peers.map { ($0.key, $0.value.client) }
        }
        await withDiscardingTaskGroup { group in
            for (name, client) in clients {
                context.addresses.forget(client.configuration.id)
                context.register.release(client.configuration.interfaceName, of: owner(name))
                group.addTask {
                    do {
                        try await client.close()
                    } catch {
                        self.context.manager.component.logger.warning(
                            "a connection to another endpoint ends with its tokens only",
                            metadata: ["endpoint": "\(name)", "error": "\(error)"])
                    }
                }
            }
        }
    }

    /// Looks whether the interfaces to others are still there.
    func lookAtInterfaces() async {
        let clients = state.withLock { $0.peers.values.map(\.client) }
        await withDiscardingTaskGroup { group in
            for client in clients { group.addTask { await self.context.lookAtInterface(of: client) } }
        }
    }

    private func note(_ clientState: NetworkServiceClient.State, of name: String) {
        if case .established(let connection) = clientState { context.addresses.note(connection) }
        change { state in
            guard state.peers[name] != nil else { return [] }
            let connection = clientState.carrying
            state.peers[name]?.connection = connection
            var names: Set = [name]
            if let connection {
                var isLive = false
                if case .established = clientState { isLive = true }
                let given = connection.context.ipContext.srcRoutes.compactMap { IPPrefix($0.prefix) }
                names.formUnion(state.parts.note(given, of: name, isLive: isLive))
            } else {
                names.formUnion(state.parts.forget(name))
            }
            return names
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
            let left = state.present.keys.count { state.peers[$0] == nil }
            if left > 0 { facts.append("\(left) others are not connected; \(Self.most) is the most") }
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

extension NetworkServiceClient.State {
    /// The connection that still carries packets; nil: there is none. While a manager connects it anew by another way, its MTU is
    /// not known.
    fileprivate var carrying: NSMConnection? {
        switch self {
        case .established(let connection): return connection
        case .healing(var connection, _, _):
            if connection.state == .reselectRequested { return nil }
            connection.context.mtu = 0
            return connection
        case .connecting, .closed: return nil
        }
    }
}
