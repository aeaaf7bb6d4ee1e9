internal import NSM
public import Netlink
public import NetworkTypes

/// One end of a connection: an interface in a namespace, and what is configured on it.
public struct ConnectionEnd: Sendable {
    /// The namespace.
    public var namespace: NetworkNamespace
    /// The interface's name.
    public var name: String
    /// Its MAC; nil: the kernel's choice.
    public var mac: MACAddress?
    /// Its addresses. When there is none, addresses are left alone.
    public var addresses: [IPPrefix]
    /// Routes by way of it.
    public var routes: [EndRoute]
    /// Addresses of the other end.
    public var peers: [IPPrefix]
    /// Permanent neighbours.
    public var neighbours: [EndNeighbour]
    /// Packets that are routed otherwise than the rest of the namespace's; earlier ones go before later ones.
    public var policies: [EndPolicy]
    /// Whether the other end's addresses become permanent neighbours with its MAC: nothing then asks who has them.
    public var resolvesPeers: Bool
    /// Whether the namespace's sysctls are set so that its programs can send echoes.
    public var setsSysctls = true

    /// Makes an end without any configuration.
    public init(namespace: NetworkNamespace, name: String) {
        self.namespace = namespace
        self.name = name
        addresses = []
        routes = []
        peers = []
        neighbours = []
        policies = []
        resolvesPeers = false
    }

    /// The part of it that is configured in the kernel.
    var configuration: EndConfiguration {
        EndConfiguration(
            name: name, mac: mac, addresses: addresses, routes: routes, peers: peers, neighbours: neighbours,
            policies: policies, resolvesPeers: resolvesPeers, setsSysctls: setsSysctls)
    }

    init(namespace: NetworkNamespace, _ configuration: EndConfiguration) {
        self.init(namespace: namespace, name: configuration.name)
        mac = configuration.mac
        addresses = configuration.addresses
        routes = configuration.routes
        peers = configuration.peers
        neighbours = configuration.neighbours
        policies = configuration.policies
        resolvesPeers = configuration.resolvesPeers
        setsSysctls = configuration.setsSysctls
    }
}

/// What is configured on an end.
struct EndConfiguration: Hashable {
    let name: String
    let mac: MACAddress?
    let addresses: [IPPrefix]
    let routes: [EndRoute]
    let peers: [IPPrefix]
    let neighbours: [EndNeighbour]
    let policies: [EndPolicy]
    let resolvesPeers: Bool
    let setsSysctls: Bool
}

/// A route by way of a connection.
public struct EndRoute: Hashable, Sendable {
    /// The destination.
    public var destination: IPPrefix
    /// The next hop; nil: the other end.
    public var gateway: IPAddress?
    /// Makes a route.
    public init(_ destination: IPPrefix, gateway: IPAddress? = nil) {
        self.destination = destination
        self.gateway = gateway
    }

    static func list(_ routes: [NSMRoute]) -> [EndRoute] {
        routes.compactMap { route in
            NSMIPContext.prefix(route.prefix).map { EndRoute($0.network, gateway: IPAddress(route.nextHop)) }
        }
    }
}

/// A neighbour by way of a connection.
public struct EndNeighbour: Hashable, Sendable {
    /// Its address.
    public var address: IPAddress
    /// Its MAC.
    public var mac: MACAddress
    /// Makes a neighbour.
    public init(_ address: IPAddress, _ mac: MACAddress) {
        self.address = address
        self.mac = mac
    }
}

/// Packets that take routes of their own by way of a connection.
public struct EndPolicy: Hashable, Sendable {
    /// Where they come from; nil: anywhere.
    public var from: IPPrefix?
    /// Their IP protocol, such as 6 for TCP; 0: any.
    public var ipProtocol: UInt8
    /// Their source ports; nil: any.
    public var sourcePorts: ClosedRange<UInt16>?
    /// Their destination ports; nil: any.
    public var destinationPorts: ClosedRange<UInt16>?
    /// Their routes; none: a default route to the other end.
    public var routes: [EndRoute]

    /// Makes a policy.
    public init(
        from: IPPrefix? = nil, ipProtocol: UInt8 = 0, sourcePorts: ClosedRange<UInt16>? = nil,
        destinationPorts: ClosedRange<UInt16>? = nil, routes: [EndRoute] = []
    ) {
        self.from = from
        self.ipProtocol = ipProtocol
        self.sourcePorts = sourcePorts
        self.destinationPorts = destinationPorts
        self.routes = routes
    }

    /// Reads a policy of the mesh. What can't be read is refused: left out, it would let more packets through.
    init(_ policy: NSMPolicyRoute) throws(ForwarderError) {
        self.init()
        if !policy.from.isEmpty {
            guard let prefix = NSMIPContext.prefix(policy.from) else {
                throw ForwarderError("policy route", "`from` is not a prefix: \(policy.from.prefix(64))")
            }
            from = prefix.network
        }
        if !policy.proto.isEmpty {
            guard let number = UInt8(policy.proto) else {
                throw ForwarderError(
                    "policy route", "`proto` is not a protocol number from 0 to 255: \(policy.proto.prefix(64))")
            }
            ipProtocol = number
        }
        sourcePorts = try Self.ports(policy.srcPort)
        destinationPorts = try Self.ports(policy.dstPort)
        routes = EndRoute.list(policy.routes)
        guard routes.count == policy.routes.count else {
            throw ForwarderError("policy route", "one of its routes has no prefix")
        }
        if let from, !routes.isEmpty, !routes.contains(where: { $0.destination.family == from.family }) {
            throw ForwarderError("policy route", "`from` \(from) has only routes of the other family")
        }
    }

    /// `80` or `8000-8080`; the kernel takes no port 0.
    private static func ports(_ text: String) throws(ForwarderError) -> ClosedRange<UInt16>? {
        if text.isEmpty { return nil }
        let ends = text.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map { UInt16($0) }
        guard let first = ends.first ?? nil, let last = ends.last ?? nil, first > 0, first <= last else {
            throw ForwarderError("policy route", "no port or range of ports from 1 to 65535: \(text.prefix(64))")
        }
        return first...last
    }
}
