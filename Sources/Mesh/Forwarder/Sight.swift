internal import LinuxKinds
internal import Netlink
internal import NetworkTypes

/// What is looked at in one namespace for a connection: the links that are its own, what is on them, and links that belong to
/// nobody and are in the way.
struct Sight {
    /// An end that is, or is to be, in the namespace.
    struct End {
        let segment: Segment
        let name: String
        /// The index of its link when the neighbours were made.
        var index: Int32?
        var neighbours: [EndNeighbour] = []
        /// Whether its addresses are those that are wanted and no others.
        var ownsAddresses = true
    }

    let namespace: NetworkNamespace
    var ends: [End] = []
    /// The marks of the connection.
    let ownership: Ownership
    /// Indexes of links without an owner.
    var nobodys: Set<Int32> = []
    /// What was read already, for the first look.
    var links: [Link] = []
    var tables: PolicyTables?
    /// Whether there are, or may be, rules of the connection.
    var hasRules = false

    /// As which the namespace is known to a world.
    var labels: [String] { ends.isEmpty ? ["leftovers"] : ends.map(\.segment.rawValue) }

    /// What a world is to know of the namespace.
    func read(_ socket: RouteSocket, isFirst: Bool) throws(KernelError) -> NamespaceDump {
        var dump = NamespaceDump()
        dump.links = try links(socket, isFirst)
        for link in dump.links where ownership.owns(alias: link.alias) {
            try read(link, socket, isFirst: isFirst, into: &dump)
        }
        guard hasRules else { return dump }
        let known = isFirst ? self.tables : nil
        let tables = if let known { known } else { try PolicyTables(socket, toAssign: false) }
        dump.rules = dump.links.flatMap { tables.rules(of: $0.index) } + tables.orphans
        return dump
    }

    private func links(_ socket: RouteSocket, _ isFirst: Bool) throws(KernelError) -> [Link] {
        var found = isFirst ? links : []
        if !isFirst { for end in ends { if let link = try socket.link(name: end.name) { found.append(link) } } }
        return found.compactMap { link in
            let isNobodys = nobodys.contains(link.index)
            if ownership.owns(alias: link.alias), !isNobodys { return link }
            guard isNobodys || link.group == ownership.linkGroup && link.alias == nil else { return nil }
            // As if it had been left in the middle of being made.
            var link = link
            link.alias = nil
            link.group = ownership.linkGroup
            return link
        }
    }

    private func read(
        _ link: Link, _ socket: RouteSocket, isFirst: Bool, into dump: inout NamespaceDump
    ) throws(KernelError) {
        let end = ends.first { $0.name == link.name }
        for case .address(var address) in try socket.dump(.addressesOfLink(link.index))
        where address.linkIndex == link.index && address.scope == 0 {
            // Every address on a link of ours is ours, even if another process added it.
            address.proto = end?.ownsAddresses ?? true ? ownership.proto : 0
            dump.addresses.append(address)
        }
        for case .route(let route) in try socket.dump(.routesOfLink(link.index, ignoringKernel: true))
        where route.nextHops.allSatisfy({ $0.linkIndex == link.index }) {
            dump.routes.append(route)
        }
        guard isFirst else {
            for case .neighbour(let neighbour) in try socket.dump(.neighbours())
            where neighbour.linkIndex == link.index && neighbour.proto == ownership.proto {
                dump.neighbours.append(neighbour)
            }
            return
        }
        guard let end, end.index == link.index else { return }
        dump.neighbours += end.neighbours.map { neighbour in
            Neighbour(
                linkIndex: link.index, destination: neighbour.address, mac: neighbour.mac, state: Neighbour.permanent,
                proto: ownership.proto)
        }
    }
}
