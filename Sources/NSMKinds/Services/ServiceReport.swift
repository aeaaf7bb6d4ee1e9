internal import NSM
public import Model
public import Reconciler

/// How a client or an endpoint stands, and what follows from its connections.
public struct ServiceReport: Hashable, Sendable {
    /// How it stands.
    public var observation: Observation
    /// Interfaces that its connections brought, by the keys of the values.
    public var interfaces: [Key: Ligato_Linux_Interfaces_Interface]
}

extension ServiceReport {
    init(_ observation: Observation) {
        self.observation = observation
        interfaces = [:]
    }

    /// What a client's state says.
    init(_ client: Upnp_NetworkServiceClient, _ state: NetworkServiceClient.State) {
        switch state {
        case .connecting(let attempts, let lastError):
            self.init(
                lastError.map { .waiting(["no connection after \(attempts) tries: \($0)"]) }
                    ?? .waiting(["asking the mesh for \(client.networkService)"]))
        case .established(let connection):
            self.init(.inPlace)
            var addresses = client.ipAddresses
            if addresses.isEmpty { addresses = connection.context.ipContext.sourcePrefixes.map { "\($0)" } }
            add(client.interfaceName, addresses)
        case .healing(let connection, let reason, let lastError):
            let path = connection.path.pathSegments.map(\.name).joined(separator: " → ")
            self.init(
                .waiting(["healing \(path): \(reason)" + (lastError.map { "; the last try: \($0)" } ?? "")]))
            var addresses = client.ipAddresses
            if addresses.isEmpty { addresses = connection.context.ipContext.sourcePrefixes.map { "\($0)" } }
            add(client.interfaceName, addresses)
        case .closed:
            self.init(.waiting(["closed"]))
        }
    }

    /// What an endpoint's state says.
    init(_ endpoint: Upnp_NetworkServiceEndpoint, _ state: NetworkServiceEndpoint.State) {
        if state.registeredUntil != nil, state.lastError == nil {
            self.init(.inPlace)
        } else {
            self.init(
                state.lastError.map { .waiting(["not registered: \($0)"]) }
                    ?? .waiting(["registering \(endpoint.networkService)"])
            )
        }
        for connection in state.connections.values {
            add(
                connection.mechanism.interfaceName,
                connection.context.ipContext.destinationPrefixes.map { "\($0)" })
        }
    }

    private mutating func add(_ name: String, _ addresses: [String]) {
        var interface = Ligato_Linux_Interfaces_Interface()
        interface.name = name
        interface.type = .existing
        interface.hostIfName = name
        interface.enabled = true
        interface.ipAddresses = addresses
        interfaces[ModelValue.interface(interface).key] = interface
    }
}
