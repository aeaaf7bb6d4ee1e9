internal import NSM
internal import Netlink
internal import NetworkTypes

/// A connection as the kernel is to have it: a pair of links in two namespaces, or one link and a tunnel to another host.
struct Attachment {
    /// One link, and what it is for the connection.
    struct End {
        let segment: Segment
        let end: ConnectionEnd
    }

    /// What is wanted, without the namespaces.
    struct Form: Hashable {
        let ends: [EndConfiguration]
        let mtu: UInt32?
        let tunnel: Tunnel?
        let peerMAC: MACAddress?
    }

    let id: String
    /// The client's first.
    let ends: [End]
    /// Bytes; nil: the kernel's choice.
    let mtu: UInt32?
    let tunnel: Tunnel?
    /// The MAC of the end on the other host.
    let peerMAC: MACAddress?

    init(_ connection: CrossConnect) {
        id = connection.id
        ends = [
            End(segment: .client, end: connection.client), End(segment: .endpoint, end: connection.endpoint),
        ]
        mtu = connection.mtu
        tunnel = nil
        peerMAC = nil
    }

    init(_ leg: RemoteLeg, mtu: UInt32) {
        id = leg.id
        ends = [End(segment: .remote, end: leg.end)]
        self.mtu = mtu
        tunnel = leg.tunnel
        peerMAC = leg.peerMAC
    }

    var form: Form {
        Form(ends: ends.map(\.end.configuration), mtu: mtu, tunnel: tunnel, peerMAC: peerMAC)
    }

    func end(_ segment: Segment) -> ConnectionEnd? { ends.first { $0.segment == segment }?.end }

    /// RFC 8200, section 5. The kernel takes IPv6 off an interface whose MTU is less.
    private static let leastIPv6MTU: UInt32 = 1280

    func check() throws(ForwarderError) {
        try Forwarder.check(id: id)
        for end in ends.map(\.end) {
            if let mtu, mtu < Self.leastIPv6MTU, end.usesIPv6 {
                throw ForwarderError(
                    "interface \(end.name)", in: end.namespace,
                    "IPv6 needs an MTU of at least 1280 bytes, not \(mtu)")
            }
        }
        guard let client = end(.client), let endpoint = end(.endpoint) else { return }
        guard client.name != endpoint.name || client.namespace.identity != endpoint.namespace.identity else {
            throw ForwarderError(
                "link \(client.name)", in: client.namespace, "both ends can't have one name in one namespace")
        }
    }

    /// The MACs to set; none: the kernel's choice. They are chosen here where the other end needs them: so they are
    /// known before the links exist.
    func macs(_ links: [Segment: Link]) -> [Segment: MACAddress] {
        // What WireGuard carries has no frames.
        if tunnel?.wireGuard != nil { return [:] }
        var result: [Segment: MACAddress] = [:]
        for item in ends {
            let other = item.segment.other.flatMap { end($0) }
            let isTold = other.map { $0.resolvesPeers && !$0.peers.isEmpty } ?? false
            result[item.segment] = item.end.mac ?? (isTold ? links[item.segment]?.mac ?? .random : nil)
        }
        return result
    }

    /// All neighbours of an end.
    func neighbours(_ item: End, _ macs: [Segment: MACAddress]) -> [EndNeighbour] {
        if tunnel?.wireGuard != nil { return [] }
        return item.end.allNeighbours(item.segment.other.flatMap { macs[$0] } ?? peerMAC)
    }
}

extension MACAddress {
    /// Locally administered, of one interface (IEEE 802).
    static var random: MACAddress {
        MACAddress(bits: UInt64.random(in: 0...UInt64.max) & 0xfcff_ffff_ffff | 0x0200_0000_0000)
    }
}

extension ConnectionEnd {
    var usesIPv6: Bool {
        (addresses + peers + routes.map(\.destination)).contains { $0.family == .v6 }
    }

    /// What follows from its addresses and the other end's.
    var reach: ConnectionReach { ConnectionReach(addresses: addresses, peers: peers) }

    /// All routes of the main table. Those to the other end's addresses come first, and stand for others to the same place.
    var allRoutes: [EndRoute] {
        var routes = reach.unreachedPeers.map { EndRoute($0) }
        for wanted in self.routes where !routes.contains(where: { $0.destination == wanted.destination }) {
            routes.append(resolved(wanted))
        }
        return routes
    }

    /// With the next hop that it needs.
    func resolved(_ wanted: EndRoute) -> EndRoute {
        EndRoute(wanted.destination, gateway: reach.nextHop(of: wanted.destination, given: wanted.gateway))
    }

    /// The neighbours that are named, and the other end where its MAC is known.
    func allNeighbours(_ peerMAC: MACAddress?) -> [EndNeighbour] {
        var wanted: [IPAddress: MACAddress] = [:]
        for neighbour in neighbours where wanted[neighbour.address] == nil { wanted[neighbour.address] = neighbour.mac }
        if resolvesPeers, let peerMAC {
            for peer in peers where wanted[peer.address] == nil { wanted[peer.address] = peerMAC }
        }
        return wanted.filter { reach.isNeighbour($0.key) }.sorted { $0.key < $1.key }.map {
            EndNeighbour($0.key, $0.value)
        }
    }
}
