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
/// Each of two endpoints asks the other one: what an endpoint says is the only thing that a client has to believe, and stock
/// endpoints do the same.
final class SharedNetwork: Sendable {
    private let message: Upnp_NetworkServiceEndpoint
    private let context: SessionContext
    private let endpoint: String
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
        var part: ServiceReport.Part?
    }
    private struct State {
        var parts: NetworkParts
        /// The others that the registry has.
        var present: Set<String> = []
        var peers: [String: Peer] = [:]
        var lastNumber = 0
        /// What changed and was not told yet; nil: it is gone.
        var pending: [String: ServiceReport.Part?] = [:]
        var isCrowded = false
    }

    /// Other endpoints of one service that are asked.
    static let most = 256
    /// How long one that the registry does not have any more may come back while its connection lives: a registry that was started
    /// again learns of endpoints only as they register again.
    private static let grace = Duration.seconds(30)

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
        var parts = NetworkParts(declared: terms.routes)
        parts.own = terms.prefixes.map(\.network)
        state = Mutex(State(parts: parts))
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
        change { state in
            state.parts.own = grants.map(\.prefix)
            state.parts.networks = grants.compactMap(\.network)
        }
    }

    /// Changes the parts, and has those come whose routes are others now.
    private func change(_ body: (inout State) -> Void) {
        let (routes, isTold) = state.withLock { state in
            let before = state.parts.routesOfClients
            body(&state)
            let isNew = Self.renew(&state, message)
            let now = state.parts.routesOfClients
            return (before == now ? nil : now, isNew)
        }
        if isTold { changed() }
        if let routes { refresh(Self.lacks(routes)) }
    }

    /// Has those come who were given routes of before while these changed.
    func check(_ connections: [String: NSMConnection]) {
        if connections.isEmpty { return }
        let isConcerned = Self.lacks(state.withLock { $0.parts.routesOfClients })
        if connections.values.contains(where: isConcerned) { refresh(isConcerned) }
    }

    /// Whether a client has other routes than these.
    private static func lacks(_ routes: [IPPrefix]) -> @Sendable (NSMConnection) -> Bool {
        let routes = Set(routes.map { "\($0)" })
        return { connection in
            guard connection.context.networkOrigin == nil else { return false }
            let addresses = Set(connection.context.ipContext.dstIpAddrs)
            return Set(connection.context.ipContext.srcRoutes.map(\.prefix)).subtracting(addresses) != routes
        }
    }

    // MARK: - The other endpoints

    /// Keeps connections to all other endpoints until the task is cancelled, which leaves them as they are.
    func run() async {
        let (changes, change) = AsyncStream.makeStream(of: RegistryChange<NSMNetworkServiceEndpoint>.self)
        await withDiscardingTaskGroup { group in
            group.addTask {
                await self.registry.followOfferers(of: self.message.networkService) { change.yield($0) }
                change.finish()
            }
            for await change in changes {
                switch change {
                case .present(let other):
                    guard note(isPresent: true, other.name), let number = begin(other.name) else { continue }
                    group.addTask { await self.keep(other.name, number) }
                case .gone(let other):
                    guard note(isPresent: false, other.name) else { continue }
                    group.addTask { await self.leave(other.name) }
                }
            }
            group.cancelAll()
        }
    }

    /// Returns whether there is something to do.
    private func note(isPresent: Bool, _ name: String) -> Bool {
        guard name != endpoint, !name.isEmpty, name.utf8.count <= 253 else { return false }
        return state.withLock { state in
            if isPresent {
                state.present.insert(name)
                return state.peers[name] == nil
            }
            state.present.remove(name)
            guard let peer = state.peers[name], !peer.isLeaving else { return false }
            state.peers[name]?.isLeaving = true
            return true
        }
    }

    /// Makes the client of another endpoint; nil when there are too many.
    private func begin(_ name: String) -> Int? {
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

    /// Keeps the connection to another endpoint until it is closed.
    private func keep(_ name: String, _ first: Int) async {
        var number = first
        while let client = state.withLock({ $0.peers[name].flatMap { $0.number == number ? $0.client : nil } }) {
            await withDiscardingTaskGroup { group in
                group.addTask { await client.run() }
                for await state in client.states { note(state, of: name) }
                group.cancelAll()
            }
            if Task.isCancelled { return }
            context.addresses.forget(client.configuration.id)
            context.register.release(client.configuration.interfaceName, of: owner(name))
            let isWanted = state.withLock { state in
                state.peers[name] = nil
                return state.present.contains(name)
            }
            // It came back while its connection was closed.
            guard isWanted, let next = begin(name) else { return }
            number = next
        }
    }

    /// Closes the connection to an endpoint that the registry does not have any more, unless it comes back in time.
    private func leave(_ name: String) async {
        var backoff = Backoff(first: .milliseconds(100), limit: .seconds(2))
        let end = ContinuousClock.now + Self.grace
        while let client = state.withLock({ $0.peers[name]?.client }) {
            let isBack = state.withLock { state in
                guard state.present.contains(name) else { return false }
                state.peers[name]?.isLeaving = false
                return true
            }
            if isBack { return }
            // A manager that was started again is asked in vain at first, and the packets go on.
            let lives = client.state.carrying != nil && ContinuousClock.now < end
            if !lives, (try? await client.close()) != nil { return }
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
                group.addTask { try? await client.close() }
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

    private func client(of name: String) -> NetworkServiceClient? {
        guard let interface = interfaceName(for: name) else { return nil }
        let addresses = context.addresses
        let id = Self.id(of: endpoint, to: name)
        var configuration = NetworkServiceClient.Configuration(
            id: id, networkService: message.networkService, labels: context.labels([]), interfaceName: interface,
            liveness: context.settings.liveness, acceptance: .init(dns: false))
        // One that offers the service and knows of no such network may lead its clients anywhere.
        configuration.acceptance?.takesWideRoutes = false
        configuration.link(from: endpoint, to: name)
        return NetworkServiceClient(
            configuration, manager: context.manager, excluded: { addresses.excluded(for: id) })
    }

    /// The same after each start. Names of endpoints may be long.
    static func id(of endpoint: String, to name: String) -> String {
        let id = "\(endpoint)-to-\(name)"
        return id.utf8.count <= 253 ? id : "vl3-\(String(FNV1a.hash64(id.utf8), radix: 16))"
    }

    private func owner(_ name: String) -> String { "\(message.networkService)>\(name)" }

    /// A name that follows from the other one's, so that it is the same after each start.
    private func interfaceName(for name: String) -> String? {
        for attempt in 0..<64 {
            let candidate = Self.interfaceName(message.interfaceNamePrefix, name, attempt)
            if context.register.take(candidate, for: owner(name)) { return candidate }
        }
        return nil
    }

    static func interfaceName(_ prefix: String, _ name: String, _ attempt: Int = 0) -> String {
        let digits = String(FNV1a.hash64("\(attempt)/\(name)".utf8) & 0xff_ffff, radix: 16)
        return "\(prefix)-\(String(repeating: "0", count: 6 - digits.count))\(digits)"
    }

    // MARK: - What follows from the connections

    private func note(_ clientState: NetworkServiceClient.State, of name: String) {
        if case .established(let connection) = clientState { context.addresses.note(connection) }
        change { state in
            guard state.peers[name] != nil else { return }
            if let connection = clientState.carrying {
                let given = connection.context.ipContext.srcRoutes.compactMap { IPPrefix($0.prefix) }
                state.parts.note(given, of: name)
            } else {
                state.parts.forget(name)
            }
        }
    }

    /// Works out what the connections bring now. Returns whether something is new.
    private static func renew(_ state: inout State, _ message: Upnp_NetworkServiceEndpoint) -> Bool {
        for (name, peer) in state.peers {
            let part = peer.client.state.carrying.map { connection in
                ServiceReport.Part(
                    ConnectionSide(linking: message, connection, routes: state.parts.routes(to: name)))
            }
            if part == peer.part { continue }
            state.peers[name]?.part = part
            state.pending.updateValue(part, forKey: peer.client.configuration.id)
        }
        return !state.pending.isEmpty
    }

    /// What connections to others brought that is new or has changed since the last call, by their ids.
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
            for (name, peer) in state.peers.sorted(by: { $0.key < $1.key }).prefix(8) {
                let routes = state.parts.routes(to: name).map { "\($0)" }.joined(separator: ", ")
                switch peer.client.state {
                case .established: facts.append("\(name): \(routes.isEmpty ? "connected" : routes)")
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
