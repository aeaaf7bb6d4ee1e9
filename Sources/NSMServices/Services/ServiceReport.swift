public import Model
internal import NSM
internal import NSMKinds
public import Reconciler

/// How a client or an endpoint stands, and what follows from its connections.
public struct ServiceReport: Hashable, Sendable {
    /// How it stands.
    public var observation: Observation
    /// What its connections brought: interfaces, routes, neighbours and rules, by their keys.
    public var values: [Key: ModelValue] = [:]
    /// Logical names of the interfaces that its connections brought.
    public var interfaces: Set<String> = []
    /// The name servers that its connection gives.
    var nameServers = ResolverConfiguration()
    /// What of the mesh's answers can't be used.
    var problems: [String] = []

    init(_ observation: Observation) { self.observation = observation }

    fileprivate mutating func add(_ side: ConnectionSide, _ brought: ConnectionValues) {
        for value in brought.values { values[value.key] = value }
        problems += brought.problems
        interfaces.insert(side.interface)
    }
}

extension ServiceReport {
    /// What a client's state says.
    init(_ client: Upnp_NetworkServiceClient, _ state: NetworkServiceClient.State) {
        switch state {
        case .connecting(let attempts, let lastError):
            self.init(
                lastError.map { .blocked("no connection to \(client.networkService) after \(attempts) tries: \($0)") }
                    ?? .waiting(["the mesh's answer for \(client.networkService)"]))
        case .established(let connection):
            self.init(.inPlace)
            bring(client, connection)
        case .healing(let connection, let reason, let lastError):
            let path = connection.path.pathSegments.map(\.name).joined(separator: " → ")
            self.init(.blocked("healing \(path): \(reason)" + (lastError.map { "; the last try: \($0)" } ?? "")))
            // What is given up is not repaired while a forwarder makes the next.
            if connection.state != .reselectRequested { bring(client, connection) }
        case .closed:
            self.init(.waiting(["a new connection; the last one was closed"]))
        }
    }

    private mutating func bring(_ client: Upnp_NetworkServiceClient, _ connection: NSMConnection) {
        let side = ConnectionSide(client, connection)
        add(side, ConnectionValues(side))
        nameServers = ResolverConfiguration(connection.context.dnsContext)
    }

    /// What the connections of an endpoint brought, so that a change of one is not the work of all.
    typealias Brought = [String: (side: ConnectionSide, values: ConnectionValues)]

    /// What an endpoint's state says.
    ///
    /// - Parameter brought: What was worked out for the state before.
    init(
        _ endpoint: Upnp_NetworkServiceEndpoint, _ state: NetworkServiceEndpoint.State, _ brought: inout Brought
    ) {
        if state.registeredUntil != nil, state.lastError == nil {
            self.init(.inPlace)
        } else {
            self.init(
                state.lastError.map { .blocked("\(endpoint.networkService) is not registered: \($0)") }
                    ?? .waiting(["the registration of \(endpoint.networkService)"]))
        }
        let before = brought
        brought = [:]
        for (id, connection) in state.connections.sorted(by: { $0.key < $1.key }) {
            let side = ConnectionSide(endpoint, connection)
            var known = before[id]
            if known?.side != side { known = nil }
            let values = known?.values ?? ConnectionValues(side)
            brought[id] = (side, values)
            add(side, values)
        }
    }
}

/// What status says of a client or an endpoint beside its state. Times and counts are those of the moment it was asked.
public struct ServiceNote: Hashable, Sendable {
    /// What it waits for, while it waits.
    public var waiting: [String] = []
    /// How it stands: path, addresses, until when …
    public var facts: [String] = []
}
