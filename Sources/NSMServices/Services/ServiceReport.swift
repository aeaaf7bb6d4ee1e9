public import Model
internal import NSM
internal import NSMKinds
public import Reconciler

/// How a client or an endpoint stands, and what changed of what follows from its connections.
///
/// An endpoint may have thousands of connections, and one that comes or goes must not be the work of all.
public struct ServiceReport: Hashable, Sendable {
    /// What one connection brought.
    public struct Part: Hashable, Sendable {
        /// Logical name of its interface.
        public var interface: String
        /// Interface, routes, neighbours and rules, by their keys.
        public var values: [Key: ModelValue] = [:]
        /// What of the mesh's answer can't be used.
        var problems: [String] = []

        init(interface: String) { self.interface = interface }

        init(_ side: ConnectionSide) {
            self.init(interface: side.interface)
            let brought = ConnectionValues(side)
            for value in brought.values { values[value.key] = value }
            problems = brought.problems
        }
    }

    /// How it stands.
    public var observation: Observation
    /// What connections brought that are new or have changed, by their ids; nil: the connection is gone. Others are as they were.
    public var parts: [String: Part?] = [:]
    /// The name servers that its connection gives.
    var nameServers = ResolverConfiguration()

    init(_ observation: Observation) { self.observation = observation }
}

extension ServiceReport {
    /// What a client's state says. A client has one connection at most.
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
            // Nor is the MTU, as the mesh may connect to another endpoint by another way before it answers.
            if connection.state != .reselectRequested {
                var connection = connection
                connection.context.mtu = 0
                bring(client, connection)
            }
        case .closed:
            self.init(.waiting(["a new connection; the last one was closed"]))
        }
        if parts.isEmpty { parts.updateValue(nil, forKey: client.name) }
    }

    private mutating func bring(_ client: Upnp_NetworkServiceClient, _ connection: NSMConnection) {
        parts[client.name] = Part(ConnectionSide(client, connection))
        nameServers = ResolverConfiguration(connection)
    }

    /// What an endpoint's state says.
    ///
    /// - Parameters:
    ///   - state: With the connections that changed.
    ///   - gone: The ids of those that are gone.
    ///   - isLink: Whether the client of one is another endpoint of the network.
    init(
        _ endpoint: Upnp_NetworkServiceEndpoint, _ state: NetworkServiceEndpoint.State, gone: Set<String> = [],
        isLink: (NSMConnection) -> Bool = { _ in false }
    ) {
        if state.registeredUntil != nil, state.lastError == nil {
            self.init(.inPlace)
        } else {
            self.init(
                state.lastError.map { .blocked("\(endpoint.networkService) is not registered: \($0)") }
                    ?? .waiting(["the registration of \(endpoint.networkService)"]))
        }
        for (id, connection) in state.connections {
            parts[id] = Part(ConnectionSide(endpoint, connection, isLink: isLink(connection)))
        }
        for id in gone { parts.updateValue(nil, forKey: id) }
    }
}

/// How a client or an endpoint stands, and all that its connections brought.
struct ServiceStanding {
    private(set) var observation: Observation
    private(set) var parts: [String: ServiceReport.Part] = [:]
    private(set) var nameServers = ResolverConfiguration()

    init(_ observation: Observation) { self.observation = observation }

    /// What a report changed.
    struct Change {
        /// Ids of connections.
        var parts: Set<String> = []
        var isOther = false
        /// What can't be used, of connections of which this was not known yet.
        var problems: [String] = []
        var isNone: Bool { parts.isEmpty && !isOther }
    }

    /// Takes in a report.
    mutating func take(_ report: ServiceReport) -> Change {
        var change = Change()
        change.isOther = observation != report.observation || nameServers != report.nameServers
        (observation, nameServers) = (report.observation, report.nameServers)
        for (id, part) in report.parts {
            let old = parts[id]
            if old == part { continue }
            change.parts.insert(id)
            if let part, part.problems != old?.problems { change.problems += part.problems }
            parts[id] = part
        }
        return change
    }

    /// Says that it waits; what connections brought stays.
    mutating func wait(for reasons: [String]) { observation = .waiting(reasons) }

    /// What can't be used of what connections said.
    var problems: [String] { parts.sorted { $0.key < $1.key }.flatMap(\.value.problems) }

    /// The report that tells of some connections.
    func report(of ids: Set<String>) -> ServiceReport {
        var report = ServiceReport(observation)
        report.nameServers = nameServers
        for id in ids { report.parts.updateValue(parts[id], forKey: id) }
        return report
    }

    /// The report that tells all.
    var whole: ServiceReport { report(of: Set(parts.keys)) }
}

/// What status says of a client or an endpoint beside its state. Times and counts are those of the moment it was asked.
public struct ServiceNote: Hashable, Sendable {
    /// What it waits for, while it waits.
    public var waiting: [String] = []
    /// How it stands: path, addresses, until when …
    public var facts: [String] = []

    /// Says something of a value.
    public init(waiting: [String] = [], facts: [String] = []) {
        self.waiting = waiting
        self.facts = facts
    }
}
