internal import NSM
internal import NetworkTypes
internal import SPIFFE

/// Clients of the endpoint.
extension SharedNetwork {
    /// The networks that a client is led to. Another endpoint is told of our own parts alone.
    ///
    /// - Throws: ``EndpointRefusal`` for ourselves.
    func routes(for context: NSMConnectionContext) throws(EndpointRefusal) -> [IPPrefix] {
        guard let origin = context.networkOrigin else { return state.withLock { $0.parts.routesOfClients } }
        guard origin != endpoint else { throw EndpointRefusal("\(endpoint) is no client of itself") }
        return state.withLock { $0.parts.own }
    }

    /// Has those come who were given routes of before while these changed.
    func check(_ connections: [String: NSMConnection]) {
        if connections.isEmpty { return }
        let routes = state.withLock { $0.routes }
        if connections.values.contains(where: routes.areLacking(in:)) { refresh { routes.areLacking(in: $0) } }
    }

    /// Whether the client of one of our connections is another endpoint: everybody can say so. Its identity is that of the endpoint
    /// as the registry knows it, or as it answered us by that name: a registry that is shared knows whose mesh it is at most, or
    /// nothing.
    func isLink(_ connection: NSMConnection) -> Bool {
        guard let origin = connection.context.networkOrigin else { return false }
        let identities: Set<String>? = state.withLock { state in
            let peer = state.peers[origin]
            guard peer != nil || state.present[origin] != nil else { return nil }
            return Set([state.present[origin], peer?.registered, peer?.met].compactMap { $0 }).subtracting([""])
        }
        guard let identities else { return false }
        guard context.manager.component.isSecure else { return true }
        guard let token = connection.path.pathSegments.first?.token, let subject = try? Token(parsing: token).subject
        else { return false }
        return identities.contains(subject)
    }

    /// Whether what ``isLink(_:)`` says may have changed since the last call.
    func takeArrivals() -> Bool {
        state.withLock { state in
            defer { state.hasArrivals = false }
            return state.hasArrivals
        }
    }

    /// Who the endpoint is that a connection of ours leads to; nil: its path does not say.
    func identity(behind connection: NSMConnection) -> String? {
        let subjects = connection.path.pathSegments.map { (try? Token(parsing: $0.token))?.subject ?? "" }
        guard subjects.count > 1 else { return nil }
        let isOfHost = context.manager.peerID?.isManagerOfHost ?? false
        let identity = NetworkServiceClient.endpoint(subjects, isOfHost: isOfHost)
        return identity.isEmpty ? nil : identity
    }
}
