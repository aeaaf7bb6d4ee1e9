package import NetworkTypes

/// What one end of a connection has and what the other, and the routes and neighbours that follow from that.
///
/// Forwarders and the programs of the ends both make them, and by this one description each finds in place what the other made.
/// Source: the rules of the SDK's kernel elements for routes, rules and neighbours.
package struct ConnectionReach: Sendable {
    private let addresses: [IPPrefix]
    private let peers: [IPPrefix]

    /// Takes the addresses of this end and of the other.
    package init(addresses: [IPPrefix], peers: [IPPrefix]) {
        self.addresses = addresses
        self.peers = peers
    }

    /// The other end's addresses to which no network of this end leads: each gets a route onto the link.
    package var unreachedPeers: [IPPrefix] {
        var seen: Set<IPPrefix> = []
        return peers.map { IPPrefix(host: $0.address) }.filter { peer in
            !addresses.contains { $0.contains(peer.address) } && seen.insert(peer).inserted
        }
    }

    /// The next hop of a route: the one that is given; none for what is on the link; else the other end.
    ///
    /// - Parameter given: What the mesh says; an unspecified address is as good as none.
    package func nextHop(of destination: IPPrefix, given: IPAddress?) -> IPAddress? {
        if let given, !given.isUnspecified { return given }
        let isOnLink = peers.contains { $0.contains(destination.address) && $0.length <= destination.length }
        return isOnLink ? nil : peers.first { $0.family == destination.family }?.address
    }

    /// Whether an address can be a neighbour's. Both ends get all neighbours, and an end is not its own neighbour.
    package func isNeighbour(_ address: IPAddress) -> Bool { !addresses.contains { $0.address == address } }

    /// The families of the packets that a policy chooses: as its source says, or its routes, or the addresses of both ends.
    package func families(from: IPPrefix?, destinations: [IPPrefix]) -> [IPAddress.Family] {
        if let from { return [from.family] }
        let named = (destinations.isEmpty ? addresses + peers : destinations).map(\.family)
        return named.isEmpty ? [.v4] : Set(named).sorted()
    }
}
