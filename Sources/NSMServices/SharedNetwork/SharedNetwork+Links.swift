internal import Concurrency
internal import Logging
internal import NSM

/// Connections to other endpoints, and their names.
extension SharedNetwork {
    /// Makes the client of another endpoint; nil when there is one, or something is in the way.
    func begin(_ name: String) -> Int? {
        let (number, obstacle): (Int?, Obstacle?) = state.withLock { state in
            if state.peers[name] != nil { return (nil, nil) }
            let isFull = state.peers.count >= Self.most
            guard !isFull, let client = client(of: name) else {
                let obstacle = isFull ? Obstacle.tooMany : .noName
                return (nil, state.obstacles.insert(obstacle).inserted ? obstacle : nil)
            }
            state.lastNumber += 1
            state.peers[name] = Peer(
                number: state.lastNumber, client: client, registered: state.present[name] ?? "")
            return (state.lastNumber, nil)
        }
        if let obstacle {
            context.manager.component.logger.warning(
                "not all endpoints of a network are connected",
                metadata: [
                    "service": "\(message.networkService)", "reason": "\(obstacle.rawValue)", "most": "\(Self.most)",
                ])
        }
        return number
    }

    /// Makes clients of those that have none, as far as there is room. What was in the way is told again only after all had one.
    func beginWaiting() -> [(name: String, number: Int)] {
        var begun: [(name: String, number: Int)] = []
        for name in state.withLock({ $0.waiting }) {
            if let number = begin(name) { begun.append((name, number)) }
            if state.withLock({ $0.peers.count >= Self.most }) { break }
        }
        state.withLock { state in
            guard state.waiting.isEmpty else { return }
            state.obstacles.remove(.noName)
            if state.peers.count < Self.most { state.obstacles.remove(.tooMany) }
        }
        return begun
    }

    /// Keeps the connection to another endpoint until it is closed.
    func keep(_ name: String, _ number: Int, _ event: AsyncStream<Event>.Continuation) async {
        guard let client = state.withLock({ $0.peers[name].flatMap { $0.number == number ? $0.client : nil } }) else {
            return
        }
        await withDiscardingTaskGroup { group in
            group.addTask { await client.run() }
            for await state in client.states {
                guard let since = note(state, of: name) else { continue }
                group.addTask {
                    guard (try? await Task.sleep(for: Self.patience)) != nil else { return }
                    self.noteOverdue(name, healedSince: since)
                }
            }
            group.cancelAll()
        }
        if Task.isCancelled { return }
        release(client, of: name)
        forget(name)
        // It may have come back while its connection was closed, and there is room for another one.
        event.yield(.look)
    }

    private func release(_ client: NetworkServiceClient, of name: String) {
        context.addresses.forget(client.configuration.id)
        context.register.release(client.configuration.interfaceName, of: owner(name))
    }

    /// Closes the connection to an endpoint that the registry does not have any more, as soon as it carries nothing: a registry that
    /// was started again, or whose other host is not reached, does not know of endpoints that are there. One that ends takes its
    /// connections back itself.
    func leave(_ name: String) async {
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
                release(client, of: name)
                group.addTask {
                    do {
                        try await client.close()
                    } catch {
                        self.context.manager.component.logger.warning(
                            "could not close the connection to another endpoint; it ends when its tokens expire",
                            metadata: ["endpoint": "\(name)", "error": "\(error)"])
                    }
                }
            }
        }
    }

    // MARK: - Clients and names

    /// The client of another endpoint; nil when no name is left for its interface.
    private func client(of name: String) -> NetworkServiceClient? {
        guard let interface = freeInterfaceName(for: name) else { return nil }
        let addresses = context.addresses
        let id = Self.id(of: endpoint, to: name)
        // It names its endpoint, and needs no labels to choose one.
        var configuration = NetworkServiceClient.Configuration(
            id: id, networkService: message.networkService, interfaceName: interface,
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

    /// The start of keys of what connections to others bring, among those of the endpoint's connections.
    static let keyStart = "link/"

    static func key(_ id: String) -> String { keyStart + id }

    /// Whether a connection of the endpoint would have the key of one to another endpoint.
    static func isKey(_ id: String) -> Bool { id.hasPrefix(keyStart) }

    /// Who has the name of the interface to another endpoint.
    private func owner(_ name: String) -> String { "\(message.networkService)>\(name)" }

    /// A name that follows from the other one's, so that it is the same after each start.
    private func freeInterfaceName(for name: String) -> String? {
        for attempt in 0..<Self.nameAttempts {
            let candidate = Self.interfaceName(message.interfaceNamePrefix, name, attempt)
            if context.register.take(candidate, for: owner(name)) { return candidate }
        }
        return nil
    }

    /// Names that are tried for one interface.
    static let nameAttempts = 64

    static func interfaceName(_ prefix: String, _ name: String, _ attempt: Int = 0) -> String {
        let digits = String(FNV1a.hash64("\(attempt)/\(name)".utf8) & 0xff_ffff, radix: 16)
        return "\(prefix)-\(String(repeating: "0", count: 6 - digits.count))\(digits)"
    }
}
