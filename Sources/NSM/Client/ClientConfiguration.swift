public import NetworkTypes

extension NetworkServiceClient {
    /// What a client wants.
    public struct Configuration: Hashable, Sendable {
        /// The connection's id: the same again after a restart, so that the connection is found again.
        public var id: String
        /// The service, or `service@domain`.
        public var networkService: String
        /// Labels that choose the endpoint.
        public var labels: [String: String]
        /// The name of the interface; empty: one that follows from the service.
        public var interfaceName: String
        /// Addresses that the client's end shall have beside those that the endpoint gives.
        public var sourceAddresses: [IPPrefix]
        /// The MAC of the client's end; nil: the kernel's choice.
        public var sourceMAC: MACAddress?
        /// Prefixes from which no addresses shall be given.
        public var excludedPrefixes: [IPPrefix]
        /// The network namespace of the interface, as a path; the process's own unless set.
        public var namespace: String
        /// How the data path is checked; nil: not at all.
        public var liveness: LivenessCheck?
        /// The endpoint that may serve it: a SPIFFE id, in which `*` stands for anything; nil: any.
        public var endpointID: String?
        /// What is taken of what an endpoint gives; nil: everything.
        public var acceptance: Acceptance?
        /// The name of the only endpoint that may serve it; nil: any.
        public var endpointName: String?
        /// What endpoints of this kind are told beside what the protocol has fields for.
        package var notes: [String: String] = [:]

        /// Makes a configuration.
        public init(
            id: String, networkService: String, labels: [String: String] = [:], interfaceName: String = "",
            sourceAddresses: [IPPrefix] = [], sourceMAC: MACAddress? = nil, excludedPrefixes: [IPPrefix] = [],
            namespace: String = "/proc/self/ns/net", liveness: LivenessCheck? = LivenessCheck(),
            endpointID: String? = nil, acceptance: Acceptance? = nil, endpointName: String? = nil
        ) {
            self.id = id
            self.networkService = networkService
            self.labels = labels
            self.interfaceName = interfaceName.isEmpty ? generatedInterfaceName(for: networkService) : interfaceName
            self.sourceAddresses = sourceAddresses
            self.sourceMAC = sourceMAC
            self.excludedPrefixes = excludedPrefixes
            self.namespace = namespace
            self.liveness = liveness
            self.endpointID = endpointID
            self.acceptance = acceptance
            self.endpointName = endpointName
        }
    }

    /// What a client takes of what an endpoint gives it.
    public struct Acceptance: Hashable, Sendable {
        /// Routes and policy routes are taken only inside these, and so are addresses of the endpoint beyond the client's own
        /// networks; nil: all are.
        public var routes: [IPPrefix]?
        /// Whether name servers are taken.
        public var dns: Bool
        /// Whether routes to much of the world are taken, such as default ones: those wider than /8, or /16 of IPv6.
        package var takesWideRoutes = true

        /// Accepts everything by default.
        public init(routes: [IPPrefix]? = nil, dns: Bool = true) {
            self.routes = routes
            self.dns = dns
        }
    }

    /// How a client stands.
    public enum State: Sendable {
        /// Not connected yet; the number of attempts, and why the last one failed.
        case connecting(attempts: Int, lastError: String?)
        /// The connection is there, as the manager described it.
        case established(NSMConnection)
        /// The connection was there and is requested again; why, and why it failed the last time. With the state
        /// `reselectRequested` it is given up for one by another endpoint.
        case healing(NSMConnection, reason: String, lastError: String?)
        /// The connection was closed.
        case closed
    }
}

extension NetworkServiceClient.State: CustomStringConvertible {
    /// One line for people.
    public var description: String {
        switch self {
        case .connecting(_, let error): "connecting" + (error.map { ": \($0)" } ?? "")
        case .established(let connection):
            "connected: \(connection.summary(of: connection.context.ipContext.srcIpAddrs))"
        case .healing(_, let reason, let error): "healing, as \(reason)" + (error.map { ": \($0)" } ?? "")
        case .closed: "closed"
        }
    }
}

extension NSMConnection {
    /// The interface, its addresses on one side, and the path.
    func summary(of addresses: [String]) -> String {
        ([mechanism.interfaceName] + addresses).joined(separator: " ")
            + " by " + path.pathSegments.map(\.name).joined(separator: " → ")
    }
}

/// How the data path of a connection is checked: by ICMP echoes through the interface.
public struct LivenessCheck: Hashable, Sendable {
    /// The time between two checks.
    public var interval: Duration
    /// How long one check may take.
    public var timeout: Duration

    /// Every five seconds, for a second, unless set.
    public init(interval: Duration = .seconds(5), timeout: Duration = .seconds(1)) {
        self.interval = interval
        self.timeout = timeout
    }
}
