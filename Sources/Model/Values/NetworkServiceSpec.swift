/// A network service as the registry is to have it.
public struct NetworkServiceSpec: Hashable, Sendable {
    /// What the connections of a service carry. Source: `NetworkService.payload`, the registry's proto.
    public enum Payload: String, Sendable {
        /// IP packets.
        case ip = "IP"
        /// Ethernet frames.
        case ethernet = "ETHERNET"
    }

    /// Which endpoints serve the clients with some labels.
    public struct Match: Hashable, Sendable {
        /// Labels of the clients.
        public let source: [ServiceLabel]
        /// Endpoints, in the order in which they were written; one at least.
        public let destinations: [Destination]
        /// Whether the next match is tried when none of the endpoints is there.
        public let fallsThrough: Bool
    }

    /// Endpoints by their labels.
    public struct Destination: Hashable, Sendable {
        /// Labels of the endpoints.
        public let labels: [ServiceLabel]
        /// How many of the clients go there, beside those of other destinations; 0: not said.
        public let weight: UInt32
    }

    /// More matches than this, or destinations of one, are a mistake: the registry goes through them with each request.
    static let mostMatches = 256

    /// The name.
    public let name: String
    /// What its connections carry.
    public let payload: Payload
    /// Who is served by whom.
    public let matches: [Match]

    init?(_ message: Nsmagent_Nsm_NetworkService, _ findings: inout FieldFindings) {
        name = message.name
        findings.check(name: name, "name", what: "the name of the service")
        switch message.payload {
        case .ip: payload = .ip
        case .ethernet: payload = .ethernet
        case .UNRECOGNIZED(let number):
            findings.unknown(number, "nsmagent.nsm.NetworkService.Payload", ["payload"])
            return nil
        }
        var matches: [Match] = []
        if message.matches.count > Self.mostMatches {
            findings.mistake(["matches"], "are more than \(Self.mostMatches)")
        }
        for (index, match) in message.matches.prefix(Self.mostMatches).enumerated() {
            matches.append(Match(match, ["matches", .element(index)], &findings))
        }
        self.matches = matches
        // What fits everybody, and ends there, hides what comes behind it.
        if let last = matches.firstIndex(where: { $0.source.isEmpty && !$0.fallsThrough }), last + 1 < matches.count {
            findings.warning(
                ["matches", .element(last + 1)], "is never reached: all clients fit the match before it")
        }
    }
}

extension NetworkServiceSpec.Match {
    fileprivate init(_ message: Nsmagent_Nsm_Match, _ path: [PathPart], _ findings: inout FieldFindings) {
        source = findings.labels(message.sourceSelector, path + ["source_selector"])
        fallsThrough = message.fallThrough
        if message.routes.isEmpty {
            findings.mistake(path + ["routes"], "is missing: say which endpoints serve these clients, or {} for all")
        } else if message.routes.count > NetworkServiceSpec.mostMatches {
            findings.mistake(path + ["routes"], "are more than \(NetworkServiceSpec.mostMatches)")
        }
        var destinations: [NetworkServiceSpec.Destination] = []
        for (index, route) in message.routes.prefix(NetworkServiceSpec.mostMatches).enumerated() {
            let field = path + ["routes", .element(index), "destination_selector"]
            destinations.append(
                NetworkServiceSpec.Destination(
                    labels: findings.labels(route.destinationSelector, field), weight: route.weight))
        }
        self.destinations = destinations
    }
}
