public import Concurrency
public import NetworkTypes
/// A client that asks an endpoint for a connection, or for an established one again.
public struct EndpointRequest: Sendable {
    /// The connection's id at the endpoint. It may change when a manager between starts anew.
    public let connectionID: String
    /// The connection's id at the client, which stays.
    public let clientID: String
    /// The client's name on the path.
    public let clientName: String
    /// The service asked for.
    public let service: String
    /// The client's labels.
    public let labels: [String: String]
    /// The name of the endpoint's interface that an earlier answer gave; empty at first.
    public let interfaceName: String
    /// What the request says of addresses.
    public let context: NSMConnectionContext
    /// The connection is established here.
    public let isRefresh: Bool

    /// Describes a request.
    public init(
        connectionID: String, clientID: String, clientName: String, service: String, labels: [String: String],
        interfaceName: String, context: NSMConnectionContext, isRefresh: Bool
    ) {
        self.connectionID = connectionID
        self.clientID = clientID
        self.clientName = clientName
        self.service = service
        self.labels = labels
        self.interfaceName = interfaceName
        self.context = context
        self.isRefresh = isRefresh
    }
}

/// What an endpoint gives a client that it takes.
public struct EndpointAdmission: Sendable {
    /// The name of the endpoint's interface; at most 15 bytes. Empty: one that follows from the service.
    public var interfaceName: String
    /// Addresses of the endpoint's end, beside those of the service's pools.
    public var destinationAddresses: [IPPrefix]
    /// The MAC of the endpoint's end; nil: the kernel's choice.
    public var destinationMAC: MACAddress?
    /// Networks that this client reaches, in place of those of the service; nil: those.
    public var routes: [IPPrefix]?

    /// Makes an admission.
    public init(
        interfaceName: String = "", destinationAddresses: [IPPrefix] = [], destinationMAC: MACAddress? = nil,
        routes: [IPPrefix]? = nil
    ) {
        self.interfaceName = interfaceName
        self.destinationAddresses = destinationAddresses
        self.destinationMAC = destinationMAC
        self.routes = routes
    }
}

/// Why an endpoint does not take a client; the text reaches the client.
public struct EndpointRefusal: Error, Sendable, CustomStringConvertible {
    /// What is wrong and what would be right.
    public let description: String
    /// Makes a refusal.
    public init(_ description: String) { self.description = description }
}

extension NetworkServiceEndpoint {
    /// A service that an endpoint offers.
    public struct Service: Sendable {
        /// Its name.
        public var name: String
        /// Labels of the endpoint for this service.
        public var labels: [String: String]
        /// `ETHERNET` or `IP`.
        public var payload: String
        /// Addresses for the connections; nil: none are given.
        public var ipam: PointToPointIPAM?
        /// Networks that the clients reach by this endpoint, beside its addresses; nil: routes that they bring stay.
        public var routes: [IPPrefix]?
        /// Name servers for the clients.
        public var dns: [NSMDNSConfig]
        /// Policy routes for the clients; each `from` is also one of their addresses.
        public var policies: [NSMPolicyRoute]
        /// Takes a client, or throws ``EndpointRefusal``. Requests of one connection come one after another.
        public var admit: @Sendable (EndpointRequest) async throws -> EndpointAdmission
        /// Called when a connection is gone, with its id at the endpoint.
        public var released: @Sendable (String) async -> Void

        /// Describes a service.
        public init(
            name: String, labels: [String: String] = [:], payload: String = "ETHERNET",
            ipam: PointToPointIPAM? = nil, routes: [IPPrefix]? = nil, dns: [NSMDNSConfig] = [],
            policies: [NSMPolicyRoute] = [],
            admit: @escaping @Sendable (EndpointRequest) async throws -> EndpointAdmission = { _ in EndpointAdmission()
            },
            released: @escaping @Sendable (String) async -> Void = { _ in }
        ) {
            self.name = name
            self.labels = labels
            self.payload = payload
            self.ipam = ipam
            self.routes = routes
            self.dns = dns
            self.policies = policies
            self.admit = admit
            self.released = released
        }
    }

    /// How an endpoint stands.
    public struct State: Sendable {
        /// When the registration ends unless it is renewed; nil: it is not registered.
        public var registeredUntil: Timestamp?
        /// The name it is registered under.
        public var name: String
        /// Why the last registration failed; nil when it did not.
        public var lastError: String?
        /// The connections by their ids here.
        public var connections: [String: NSMConnection]
    }
}

extension NetworkServiceEndpoint.State: CustomStringConvertible {
    /// One line for people.
    public var description: String {
        let registration =
            if let error = lastError {
                "not registered: \(error)"
            } else if let end = registeredUntil {
                "registered as \(name) until \(end.rfc3339)"
            } else {
                "registering"
            }
        let clients = connections.values.map { $0.summary(of: $0.context.ipContext.dstIpAddrs) }.sorted()
        return registration + clients.map { "; \($0)" }.joined()
    }
}
