internal import NetworkTypes
internal import YAML

typealias InterfaceMessage = Ligato_Linux_Interfaces_Interface
typealias PortMessage = Ligato_Linux_Interfaces_BridgePort
typealias RouteMessage = Ligato_Linux_L3_Route
typealias RuleMessage = Nsmagent_Linux_Rule

/// What was found in the files of another program so far: values, and what has no counterpart.
///
/// A reader of a format takes each key of a file once; what nobody has taken at the end is listed. So a key that a reader does not
/// know can't get lost.
struct ConversionDraft {
    /// A value and where it comes from.
    struct Piece {
        var value: ModelValue
        var place: SourcePosition
    }

    /// An interface that says which other one it is a port or member of.
    private struct Membership {
        var port: String
        var master: String
        var place: SourcePosition
        var field: String
    }

    /// More than this that is left out is only counted.
    static let mostLeftOut = 1000

    /// The file that is read.
    var source = Source(file: "", tree: YAMLTree(parsing: ""))
    /// Keys of it that were taken.
    var taken: Set<YAMLTree.Index> = []
    /// Why keys of a format have no counterpart.
    var reasons: [String: String] = [:]
    /// The named network namespace that is read about; empty: the agent's own.
    var scope = ""
    /// Where the interface of a container is to be.
    var containerNamespace = ""

    /// Interfaces, in the order in which they were found.
    var interfaces: [InterfaceMessage] = []
    private(set) var places: [SourcePosition] = []
    private var indexes: [String: Int] = [:]
    /// All other values.
    private(set) var pieces: [Piece] = []
    private var memberships: [Membership] = []
    private var namespaces: Set<String> = []
    /// Settings of bridge ports, by the logical name.
    var ports: [String: PortMessage] = [:]
    /// Interfaces that their bonds prefer, by their logical names.
    var primaries: [(name: String, place: SourcePosition)] = []
    /// Rules without a priority, of each family, as the kernel counts them.
    private var nextPriority: UInt32 = 32765
    private var ruleCount = 0
    /// Addresses of interfaces, by their indexes.
    var knownAddresses: [Int: Set<IPPrefix>] = [:]

    /// More values than anybody declares.
    static let mostValues = 100_000
    /// Whether there are more. Then it is for nothing to go on.
    var isFull: Bool { interfaces.count + pieces.count > Self.mostValues }

    private(set) var leftOut: [Mistake] = []
    private(set) var omitted = 0

    /// All values.
    var all: [Piece] {
        zip(interfaces, places).map { Piece(value: .interface($0), place: $1) } + pieces
    }

    // MARK: - What is left out

    /// Lists something that has no counterpart.
    mutating func leave(_ place: SourcePosition, _ field: String, _ reason: String) {
        guard leftOut.count < Self.mostLeftOut else {
            omitted += 1
            return
        }
        leftOut.append(Mistake("\(field.shortened): \(reason)", at: place))
    }

    // MARK: - Interfaces

    /// The logical name of an interface of the namespace that is read about.
    func logical(_ name: String) -> String { scope.isEmpty ? name : "\(scope)-\(name)" }

    /// Whether an interface was found.
    func knows(_ name: String) -> Bool { indexes[logical(name)] != nil }

    /// The index of an interface by its name in the kernel; one that was not found yet is taken for one that others make.
    mutating func interface(_ name: String, at place: SourcePosition) -> Int {
        let logical = logical(name)
        if let index = indexes[logical] { return index }
        var message = InterfaceMessage()
        message.name = logical
        message.type = .existing
        message.enabled = true
        if logical != name { message.hostIfName = name }
        if !scope.isEmpty { message.namespace = .named(scope) }
        indexes[logical] = interfaces.count
        interfaces.append(message)
        places.append(place)
        return interfaces.count - 1
    }

    /// The same of an interface that is described at this place, whoever has mentioned it before.
    mutating func device(_ name: String, at place: SourcePosition) -> Int {
        let index = interface(name, at: place)
        places[index] = place
        return index
    }

    /// The logical name of an interface that another one needs to be declared.
    mutating func need(_ name: String, at place: SourcePosition) -> String {
        interfaces[interface(name, at: place)].name
    }

    /// Notes that an interface is a port or a member of another one, both by their names in the kernel.
    mutating func join(_ port: String, to master: String, at place: SourcePosition, _ field: String) {
        memberships.append(
            Membership(port: logical(port), master: logical(master), place: place, field: field))
    }

    /// Adds a value that is no interface.
    mutating func add(_ value: ModelValue, at place: SourcePosition) {
        if isFull { return }
        pieces.append(Piece(value: value, place: place))
    }

    /// Declares a named network namespace, once.
    mutating func declare(namespace name: String, at place: SourcePosition) {
        guard namespaces.insert(name).inserted else { return }
        var namespace = Nsmagent_Linux_Namespace()
        namespace.name = name
        add(.namespace(namespace), at: place)
    }

    /// Adds a route of the namespace that is read about.
    mutating func add(_ route: RouteMessage, at place: SourcePosition) {
        var route = route
        if !scope.isEmpty { route.namespace = .named(scope) }
        add(.route(route), at: place)
    }

    /// Adds a rule, with a name and, if it has none, the priority that the kernel would give it.
    mutating func add(_ rule: RuleMessage, at place: SourcePosition) {
        var rule = rule
        if !scope.isEmpty { rule.namespace = .named(scope) }
        ruleCount += 1
        rule.name = "rule-\(ruleCount)"
        if rule.priority == 0 {
            rule.priority = nextPriority
            nextPriority = max(nextPriority - 1, 1)
        }
        add(.rule(rule), at: place)
    }

    // MARK: - The end

    /// Puts together what was said in several places.
    mutating func finish() {
        for membership in memberships { settle(membership) }
        memberships = []
        for (name, place) in primaries {
            let bond = interfaces.firstIndex { $0.type == .bond && $0.bond.ports.contains(name) }
            if let bond {
                interfaces[bond].bond.primary = name
            } else {
                leave(place, name, "it is no port of a bond of these files")
            }
        }
        settlePorts()
        settleNextHops()
        settleRoutes()
    }

    private mutating func settle(_ membership: Membership) {
        guard let port = indexes[membership.port] else { return }
        guard let master = indexes[membership.master] else {
            return leave(
                membership.place, membership.field,
                "\(membership.master.inQuotes) is not in these files; convert them together")
        }
        switch interfaces[master].type {
        case .bridge:
            if !interfaces[master].bridge.ports.contains(membership.port) {
                interfaces[master].bridge.ports.append(membership.port)
            }
        case .bond:
            if !interfaces[master].bond.ports.contains(membership.port) {
                interfaces[master].bond.ports.append(membership.port)
            }
        case .vrfDevice: interfaces[port].vrfMasterInterface = membership.master
        case .undefined, .veth, .tapToVpp, .loopback, .existing, .dummy, .tap, .vlan, .vxlan, .macvlan, .ipvlan,
            .macvtap,
            .geneve, .gre, .gretap, .ip6Gre, .ip6Gretap, .ipip, .sit, .ip6Tnl, .wireguard, .UNRECOGNIZED:
            leave(
                membership.place, membership.field,
                "\(membership.master.inQuotes) is no bridge, bond or VRF of these files")
        }
    }

    /// Settings of ports stand at their bridges.
    private mutating func settlePorts() {
        for index in interfaces.indices where interfaces[index].type == .bridge {
            for name in interfaces[index].bridge.ports {
                guard var settings = ports.removeValue(forKey: name), settings != PortMessage() else { continue }
                settings.interface = name
                interfaces[index].bridge.portSettings.append(settings)
                // VLANs are for bridges that look at them.
                if !settings.vlans.isEmpty { interfaces[index].bridge.vlanFiltering = true }
            }
        }
        for (name, settings) in ports.sorted(by: { $0.key < $1.key }) where settings != PortMessage() {
            guard let index = indexes[name] else { continue }
            leave(
                places[index], name,
                "its settings of a bridge port are left out: it is no port of a bridge in these files")
        }
    }

    /// Groups and routes need the nexthop objects that they refer to, which may stand in any of the files.
    private mutating func settleNextHops() {
        var families: [String: IPAddress.Family] = [:]
        /// Whether an object has all that it needs.
        func isWhole(_ value: ModelValue) -> Bool {
            if case .nextHop(let hop) = value { return hop.group.allSatisfy { families[$0.nexthop] != nil } }
            if case .route(let route) = value { return route.nexthop.isEmpty || families[route.nexthop] != nil }
            return true
        }
        for case .nextHop(let hop) in pieces.map(\.value) where hop.group.isEmpty {
            families[hop.name] = IPAddress(hop.gwAddr)?.family ?? (hop.family == .ipv6 ? .v6 : .v4)
        }
        for case .nextHop(let hop) in pieces.map(\.value) {
            if let first = hop.group.first, isWhole(.nextHop(hop)) { families[hop.name] = families[first.nexthop] }
        }
        for (index, piece) in pieces.enumerated().reversed() {
            if !isWhole(piece.value) {
                leave(
                    piece.place, piece.value.name,
                    "the nexthop it refers to is not in these files; convert them together")
                pieces.remove(at: index)
            } else if case .route(var route) = piece.value, families[route.nexthop] == .v6,
                route.dstNetwork == IPPrefix.any(.v4).description
            {
                // The default route of the family of the nexthop.
                route.dstNetwork = IPPrefix.any(.v6).description
                pieces[index].value = .route(route)
            }
        }
    }

    /// Routes without an interface leave by the one whose network their gateway is in, as the kernel would have it.
    private mutating func settleRoutes() {
        let networks = attachedNetworks()
        for (index, piece) in pieces.enumerated().reversed() {
            guard case .route(var route) = piece.value else { continue }
            // One that leaves by an interface of these files is where that is.
            if indexes[route.outgoingInterface] != nil {
                route.clearNamespace()
                pieces[index].value = .route(route)
            }
            guard route.type == .unicast, route.outgoingInterface.isEmpty, route.nextHops.isEmpty, route.nexthop.isEmpty
            else { continue }
            guard let gateway = IPAddress(route.gwAddr),
                let owner = networks.owner(of: gateway, in: route.namespace.reference)
            else {
                leave(
                    piece.place, route.dstNetwork,
                    "the route names no interface, and none of these files has an address beside its gateway; add it with "
                        + "outgoingInterface")
                pieces.remove(at: index)
                continue
            }
            route.outgoingInterface = owner
            route.clearNamespace()
            pieces[index].value = .route(route)
        }
    }

    private func attachedNetworks() -> AttachedNetworks {
        var networks = AttachedNetworks()
        for interface in interfaces {
            let texts = interface.ipAddresses + interface.addresses.map { $0.peer.isEmpty ? $0.address : $0.peer }
            for prefix in texts.compactMap({ IPPrefix($0) }) {
                networks.add(prefix.network, of: interface.name, in: interface.namespace.reference)
            }
        }
        return networks
    }
}

/// The networks that interfaces are in, to find the one that a gateway is in.
private struct AttachedNetworks {
    private struct Network: Hashable {
        var namespace: String
        var prefix: IPPrefix
    }
    /// Of each network the first interface, by its place among all.
    private var owners: [Network: (order: Int, name: String)] = [:]
    private var lengths: Set<UInt8> = []

    mutating func add(_ prefix: IPPrefix, of interface: String, in namespace: String) {
        lengths.insert(prefix.length)
        let network = Network(namespace: namespace, prefix: prefix)
        if owners[network] == nil { owners[network] = (owners.count, interface) }
    }

    /// The first interface that is in a network with an address.
    func owner(of address: IPAddress, in namespace: String) -> String? {
        lengths.compactMap { length in
            IPPrefix(address, length: length).flatMap { owners[Network(namespace: namespace, prefix: $0.network)] }
        }.min { $0.order < $1.order }?.name
    }
}

extension Ligato_Linux_Namespace_NetNamespace {
    /// A named one.
    static func named(_ name: String) -> Self {
        var namespace = Self()
        namespace.type = .nsid
        namespace.reference = name
        return namespace
    }
}
