internal import Logging
internal import NSM
internal import NSMKinds
internal import NetworkTypes
internal import Synchronization

/// What others say, and what follows from it.
extension SharedNetwork {
    /// Takes in what IPAM servers gave.
    func note(_ grants: [SharedPrefix.Grant]) {
        change { $0.parts.set(own: grants.map(\.prefix), networks: grants.compactMap(\.network)) }
    }

    /// Takes in how a connection to another endpoint stands.
    ///
    /// - Returns: since when it is healed, if it was not before.
    func note(_ clientState: NetworkServiceClient.State, of name: String) -> ContinuousClock.Instant? {
        var identity: String?
        if case .established(let connection) = clientState { identity = self.identity(behind: connection) }
        let (since, isMet): (ContinuousClock.Instant?, Bool) = state.withLock { [identity] state in
            guard var peer = state.peers[name] else { return (nil, false) }
            let before = peer.healingSince
            peer.noteHealing(clientState)
            let isMet = identity != nil && identity != peer.met
            if isMet {
                peer.met = identity
                state.hasArrivals = true
            }
            state.peers[name] = peer
            return (before == nil ? peer.healingSince : nil, isMet)
        }
        change { state in
            guard let peer = state.peers[name] else { return [] }
            let connection = clientState.carrying
            state.peers[name]?.connection = connection
            var names: Set = [name]
            if let connection {
                let given = connection.context.ipContext.srcRoutes.compactMap { IPPrefix($0.prefix) }
                names.formUnion(state.parts.note(given, of: name, isLive: !peer.isOverdue))
            } else if case .closed = clientState {
                names.formUnion(state.parts.forget(name))
            } else {
                names.formUnion(state.parts.noteUnreached(name))
            }
            return names
        }
        if isMet { changed() }
        return since
    }

    /// The connection to another endpoint has been healed for long: if it still is, somebody else may have what it says is its own.
    func noteOverdue(_ name: String, healedSince: ContinuousClock.Instant) {
        change { state in
            guard state.peers[name]?.healingSince == healedSince else { return [] }
            state.peers[name]?.isOverdue = true
            return state.parts.noteUnreached(name)
        }
    }

    /// Another endpoint has no client any more.
    func forget(_ name: String) {
        change { state in
            guard let peer = state.peers.removeValue(forKey: name) else { return [] }
            if peer.part != nil { state.pending.updateValue(nil, forKey: Self.key(peer.client.configuration.id)) }
            state.hasArrivals = true
            return state.parts.forget(name)
        }
        changed()
    }

    /// Changes something, and tells what follows from that.
    ///
    /// - Parameter body: Returns the others for whom something is different.
    private func change(_ body: (inout State) -> Set<String>) {
        let (routes, isTold, problems): (NetworkRoutes?, Bool, [String: String]) = state.withLock { state in
            let before = (state.parts.routesOfClients, state.parts.own)
            let names = body(&state)
            for name in names { renew(name, &state) }
            let isSame = before == (state.parts.routesOfClients, state.parts.own)
            if !isSame {
                state.routes = NetworkRoutes(clients: state.parts.routesOfClients, others: state.parts.own)
            }
            defer { state.problems = [:] }
            return (isSame ? nil : state.routes, !state.pending.isEmpty, state.problems)
        }
        for (name, problem) in problems.sorted(by: { $0.key < $1.key }) {
            context.manager.component.logger.warning(
                "another endpoint of the network is not believed",
                metadata: ["endpoint": "\(name)", "reason": "\(problem)"])
        }
        if isTold { changed() }
        if let routes { refresh { routes.areLacking(in: $0) } }
    }

    /// Works out what the connection to another endpoint brings now.
    private func renew(_ name: String, _ state: inout State) {
        guard let peer = state.peers[name] else { return }
        let id = peer.client.configuration.id
        var part: ServiceReport.Part?
        var problem: String?
        if let connection = peer.connection {
            problem = state.parts.mistake(in: connection.context.ipContext, of: name)
            if problem == nil {
                context.addresses.note(connection, isWithRoutes: false)
                let routes = state.parts.routes(to: name)
                part = ServiceReport.Part(ConnectionSide(linking: message, connection, routes: routes))
            } else {
                // Who is not believed must not keep addresses from others.
                context.addresses.forget(id)
            }
        }
        if let problem, problem != peer.problem { state.problems[name] = problem }
        state.peers[name]?.problem = problem
        if part == peer.part { return }
        state.peers[name]?.part = part
        state.pending.updateValue(part, forKey: Self.key(id))
    }
}

extension SharedNetwork.Peer {
    /// Takes in whether its connection is healed, and by that carries packets still.
    fileprivate mutating func noteHealing(_ clientState: NetworkServiceClient.State) {
        switch clientState {
        case .healing: healingSince = healingSince ?? .now
        case .established, .connecting, .closed: (healingSince, isOverdue) = (nil, false)
        }
    }
}

extension NetworkServiceClient.State {
    /// The connection that still carries packets; nil: there is none. While a manager connects it anew by another way, its MTU is
    /// not known.
    var carrying: NSMConnection? {
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
