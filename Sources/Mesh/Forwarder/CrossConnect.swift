public import NSM
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

    /// Makes an end without any configuration.
    public init(namespace: NetworkNamespace, name: String) {
        self.namespace = namespace
        self.name = name
        addresses = []
        routes = []
        peers = []
        neighbours = []
    }

    /// What of it the kernel is told.
    var configuration: EndConfiguration {
        EndConfiguration(
            name: name, mac: mac, addresses: addresses, routes: routes, peers: peers, neighbours: neighbours)
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

/// A veth pair between two namespaces.
public struct CrossConnect: Sendable {
    /// The connection's id here; it is kept in the links' aliases.
    public var id: String
    /// The client's end.
    public var client: ConnectionEnd
    /// The endpoint's end.
    public var endpoint: ConnectionEnd
    /// Bytes; nil: the kernel's choice.
    public var mtu: UInt32?

    /// Makes a connection of two ends.
    public init(id: String, client: ConnectionEnd, endpoint: ConnectionEnd, mtu: UInt32? = nil) {
        self.id = id
        self.client = client
        self.endpoint = endpoint
        self.mtu = mtu
    }

    /// Takes addresses, routes and neighbours from a connection of the mesh.
    public mutating func configure(from context: NSMConnectionContext) {
        let addresses = context.ipContext
        client.addresses = addresses.sourcePrefixes
        endpoint.addresses = addresses.destinationPrefixes
        client.peers = endpoint.addresses
        endpoint.peers = client.addresses
        client.routes = Self.routes(addresses.srcRoutes)
        endpoint.routes = Self.routes(addresses.dstRoutes)
        let neighbours = addresses.ipNeighbors.compactMap { neighbour -> EndNeighbour? in
            guard let address = IPAddress(neighbour.ip), let mac = MACAddress(neighbour.hardwareAddress) else {
                return nil
            }
            return EndNeighbour(address, mac)
        }
        client.neighbours = neighbours
        endpoint.neighbours = neighbours
        client.mac = MACAddress(context.ethernetContext.srcMac)
        endpoint.mac = MACAddress(context.ethernetContext.dstMac)
        mtu = context.mtu > 0 ? context.mtu : nil
    }

    private static func routes(_ routes: [NSMRoute]) -> [EndRoute] {
        routes.compactMap { route in
            NSMIPContext.prefix(route.prefix).map { EndRoute($0.network, gateway: IPAddress(route.nextHop)) }
        }
    }
}

/// Why a connection can't be made in the kernel.
public struct ForwarderError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The object, the namespace and the kernel's words.
    public let description: String
    init(_ what: String, _ error: any Error) { description = "\(what): \(error)" }
    init(_ text: String) { description = text }
}
