internal import Model
internal import NSM
internal import NetworkTypes

/// Whom an endpoint serves, and what addresses it gives.
struct EndpointTerms: Sendable {
    /// The labels that it declares. Those that it has from its environment, such as `nodeName`, choose nobody.
    let labels: [String: String]
    /// nil: it gives none.
    let addresses: PointToPointIPAM?
    /// Networks that clients reach by it.
    let routes: [IPPrefix]
    /// Networks of its own to give addresses from.
    let prefixes: [IPPrefix]
    let excluded: [IPPrefix]
    private let spared: SparedAddresses?

    /// Takes a checked message.
    ///
    /// - Parameter spared: What is not given as long as there is something else.
    init(_ message: Upnp_NetworkServiceEndpoint, sparing spared: SparedAddresses? = nil) {
        self.spared = spared
        labels = Dictionary(
            message.advertisedLabels.map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first })
        routes = message.routes.compactMap { IPPrefix($0)?.network }
        prefixes = message.prefixes.compactMap { IPPrefix($0) }
        excluded = message.excludedPrefixes.compactMap { IPPrefix($0) }
        // In a network of several endpoints an address of another one's part leads nowhere here.
        var pools = Self.pools(prefixes, excluding: excluded, message.vl3 ? .strict : .polite)
        pools.spared = spared
        addresses = prefixes.isEmpty ? nil : pools
    }

    /// The pools of one family follow each other; each family gives a pair of its own.
    private static func pools(
        _ prefixes: [IPPrefix], excluding excluded: [IPPrefix], _ policy: PointToPointIPAM.Policy
    ) -> PointToPointIPAM {
        let groups = IPAddress.Family.allCases.map { family in prefixes.filter { $0.family == family } }
        return PointToPointIPAM(groups.filter { !$0.isEmpty }, policy: policy, excluding: excluded)
    }

    /// What it gives addresses from when it has shared prefixes. All others are taken from its clients: what they bring from an
    /// earlier life of this endpoint may be another endpoint's by now.
    func pools(_ grants: [SharedPrefix.Grant]) -> PointToPointIPAM {
        var pools = Self.pools(grants.map(\.prefix), excluding: excluded + grants.flatMap(\.excluded), .strict)
        pools.spared = spared
        return pools
    }

    /// - Throws: ``EndpointRefusal`` for a client that wants an endpoint with another label.
    func check(_ wanted: [String: String]) throws(EndpointRefusal) {
        for (key, value) in labels.sorted(by: { $0.key < $1.key }) {
            guard let other = wanted[key], other != value else { continue }
            throw EndpointRefusal("it has the label \(key)=\(value), and \(key)=\(other.prefix(64)) is wanted")
        }
    }
}
