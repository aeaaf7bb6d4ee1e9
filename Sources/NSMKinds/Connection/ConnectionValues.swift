package import Model
internal import NSM
internal import NetworkTypes

/// What a connection brings to one of its ends, as values of the model: the interface, routes, neighbours and rules.
///
/// They say what forwarders program, so that what a forwarder did is found in place, and what it left out or somebody took
/// away is made: ``ConnectionReach``.
package struct ConnectionValues {
    /// The values.
    package private(set) var values: [ModelValue] = []
    /// What the mesh said that can't be used, for people.
    package private(set) var problems: [String] = []

    private let side: ConnectionSide
    private let networks: [IPPrefix]
    private let reach: ConnectionReach

    /// Works out what a side of a connection brings.
    package init(_ side: ConnectionSide) {
        self.side = side
        var problems: [String] = []
        func prefixes(_ texts: [String], _ what: String) -> [IPPrefix] {
            texts.compactMap { text in
                let prefix = NSMIPContext.prefix(text)
                if let prefix, prefix.address.canBeAnInterfaces { return prefix }
                problems.append("the mesh's \(what) '\(text.prefix(64))' can't be used")
                return nil
            }
        }
        var networks: [IPPrefix] = []
        // The user's first, then what the mesh adds: its forwarders put all of them on the interface.
        for prefix in side.ownTexts.compactMap({ IPPrefix($0) }) + prefixes(side.addresses, "address")
        where !networks.contains(prefix) {
            networks.append(prefix)
        }
        self.networks = networks
        reach = ConnectionReach(addresses: networks, peers: prefixes(side.peers, "address of the other end"))
        if side.ownTexts.isEmpty, side.addresses.isEmpty, side.peers.isEmpty {
            problems.append("neither end has an address: the service gives none, and none is declared")
        }
        self.problems = problems
        addInterface()
        for route in routes(side.routes, table: 0, linksToPeers: true) { values.append(.route(route)) }
        addNeighbours()
        for (index, policy) in side.policies.enumerated() { add(policy, index) }
    }

    private mutating func addInterface() {
        var interface = Ligato_Linux_Interfaces_Interface()
        interface.name = side.interface
        interface.type = .existing
        if side.hostName != side.interface { interface.hostIfName = side.hostName }
        interface.enabled = true
        interface.ipAddresses =
            networks.filter { $0.family == .v4 }.map(\.description) + side.ownTexts.filter { IPPrefix($0) == nil }
        // Both ends are given out by one endpoint: looking for duplicates would only make the first second useless.
        interface.addresses = networks.filter { $0.family == .v6 }.map { prefix in
            var address = Ligato_Linux_Interfaces_InterfaceAddress()
            address.address = prefix.description
            address.nodad = true
            return address
        }
        if !side.mac.isEmpty {
            if let mac = MACAddress(side.mac), mac.canBeAnInterfaces {
                interface.physAddress = mac.description
            } else {
                problems.append("the mesh's MAC address '\(side.mac.prefix(64))' can't be used")
            }
        }
        interface.mtu = side.mtu
        if side.forwards { interface.sysctls["ipv4.forwarding"] = "1" }
        // Of two endpoints of a network each sends by its own connection to the other. A strict filter would drop that.
        if side.isOneWay { interface.sysctls["ipv4.rp_filter"] = "2" }
        values.append(.interface(interface))
    }

    private mutating func addNeighbours() {
        var seen: Set<IPAddress> = []
        for neighbour in side.neighbours {
            guard let address = IPAddress(neighbour.ip), address.canBeAnInterfaces,
                let mac = MACAddress(neighbour.hardwareAddress), mac.canBeAnInterfaces
            else {
                problems.append(
                    "the mesh's neighbour '\(neighbour.ip.prefix(64)) \(neighbour.hardwareAddress.prefix(64))' can't be used"
                )
                continue
            }
            guard reach.isNeighbour(address), seen.insert(address).inserted else { continue }
            var entry = Ligato_Linux_L3_ARPEntry()
            entry.interface = side.interface
            entry.ipAddress = address.description
            entry.hwAddress = mac.description
            values.append(.arp(entry))
        }
    }
}

// MARK: - Routes

extension ConnectionValues {
    /// Routes to the other end's addresses that no network of ours reaches, then those that the mesh gives.
    private mutating func routes(
        _ wanted: [NSMRoute], table: UInt32, linksToPeers: Bool
    ) -> [Ligato_Linux_L3_Route] {
        var result: [Ligato_Linux_L3_Route] = []
        var seen: Set<IPPrefix> = []
        if linksToPeers {
            for peer in reach.unreachedPeers {
                seen.insert(peer)
                result.append(route(peer, nil, table))
            }
        }
        for item in wanted {
            guard let prefix = NSMIPContext.prefix(item.prefix)?.network else {
                problems.append("the mesh's route '\(item.prefix.prefix(64))' can't be read")
                continue
            }
            let given = IPAddress(item.nextHop)
            guard item.nextHop.isEmpty || given?.family == prefix.family else {
                problems.append("the mesh's next hop '\(item.nextHop.prefix(64))' of \(prefix) can't be used")
                continue
            }
            if seen.insert(prefix).inserted {
                result.append(route(prefix, reach.nextHop(of: prefix, given: given), table))
            }
        }
        return result
    }

    private func route(_ prefix: IPPrefix, _ gateway: IPAddress?, _ table: UInt32) -> Ligato_Linux_L3_Route {
        var route = Ligato_Linux_L3_Route()
        route.outgoingInterface = side.interface
        route.dstNetwork = prefix.description
        route.table = table
        if let gateway {
            route.gwAddr = gateway.description
            route.onlink = true
        } else {
            route.scope = .link
        }
        return route
    }
}

// MARK: - Policies

extension ConnectionValues {
    /// A rule and the routes of its table. One that looks at protocols or ports is left to the forwarder, as the model's
    /// rules can't say that, and a rule that said less would take more than is meant.
    private mutating func add(_ policy: NSMPolicyRoute, _ index: Int) {
        guard policy.proto.isEmpty, policy.dstPort.isEmpty, policy.srcPort.isEmpty else {
            problems.append("policy \(index) looks at protocols or ports, and is left to the forwarder")
            return
        }
        let from = policy.from.isEmpty ? nil : NSMIPContext.prefix(policy.from)
        if from == nil, !policy.from.isEmpty {
            problems.append("the mesh's policy for '\(policy.from.prefix(64))' can't be read")
            return
        }
        guard index < PolicyTables.limit else {
            problems.append("policy \(index) is one too many")
            return
        }
        let destinations = policy.routes.compactMap { NSMIPContext.prefix($0.prefix) }
        let families = reach.families(from: from, destinations: destinations)
        for family in families {
            let table = PolicyTables.table(of: side.owner, index)
            var rule = Nsmagent_Linux_Rule()
            rule.name = "nsm/\(side.owner)/\(index)" + (families.count > 1 ? "/\(family == .v4 ? "v4" : "v6")" : "")
            rule.priority = Marks.clientPriorities.lowerBound + UInt32(index)
            rule.from = from.map { $0.network.description } ?? ""
            rule.table = table
            if from == nil { rule.family = family == .v4 ? .ipv4 : .ipv6 }
            var wanted = policy.routes.filter { NSMIPContext.prefix($0.prefix)?.family == family }
            if policy.routes.isEmpty { wanted = [NSMRoute.with { $0.prefix = IPPrefix.any(family).description }] }
            values += routes(wanted, table: table, linksToPeers: false).map { .route($0) }
            values.append(.rule(rule))
        }
    }
}

extension IPAddress {
    /// Whether it can be that of an interface.
    fileprivate var canBeAnInterfaces: Bool { !isUnspecified && !isMulticast }
}

extension MACAddress {
    /// Whether it can be that of an interface.
    fileprivate var canBeAnInterfaces: Bool { !isMulticast && !isZero }
}
