public import NSM
internal import Netlink
internal import NetworkTypes

/// A veth pair between two namespaces.
public struct CrossConnect: Sendable {
    /// The connection's id here; it is kept in the links' aliases.
    public var id: String
    /// The client's end.
    public var client: ConnectionEnd
    /// The endpoint's end.
    public var endpoint: ConnectionEnd
    /// Bytes; nil: ``fullMTU``.
    public var mtu: UInt32?
    /// The MTU of a veth pair for which nobody asks for less, in bytes: Ethernet's, as the kernel makes it.
    static let fullMTU = VethAttributes.kernelMTU

    /// Makes a connection of two ends.
    public init(id: String, client: ConnectionEnd, endpoint: ConnectionEnd, mtu: UInt32? = nil) {
        self.id = id
        self.client = client
        self.endpoint = endpoint
        self.mtu = mtu
    }

    /// Takes addresses, routes, policies and neighbours from a connection of the mesh.
    ///
    /// - Parameters:
    ///   - taken: The part that the client takes.
    ///   - context: What the endpoint said.
    ///   - payload: `IP` lets each end know the other's MAC beforehand.
    ///   - granted: Addresses of the client that the endpoint gave. Others are not led to in the endpoint's namespace unless
    ///     the endpoint does so itself. Nil: all are.
    /// - Throws: ``ForwarderError`` when a policy can't be read.
    public mutating func configure(
        from taken: NSMConnectionContext, of context: NSMConnectionContext, payload: String = "",
        granted: Set<String>? = nil
    ) throws(ForwarderError) {
        try client.configure(from: taken, as: .client, payload: payload)
        try endpoint.configure(from: context, as: .endpoint, payload: payload, granted: granted)
        mtu = context.mtu > 0 ? context.mtu : nil
    }
}

/// Which end of a connection an interface is.
public enum ConnectionSide: Hashable, Sendable {
    /// The client: `src` in the mesh's terms.
    case client
    /// The endpoint: `dst`.
    case endpoint
}

extension ConnectionEnd {
    /// Takes what concerns one side from a connection of the mesh.
    mutating func configure(
        from context: NSMConnectionContext, as side: ConnectionSide, payload: String, granted: Set<String>? = nil
    ) throws(ForwarderError) {
        let ip = context.ipContext
        let isClient = side == .client
        addresses = isClient ? ip.sourcePrefixes : ip.destinationPrefixes
        peers = isClient ? ip.destinationPrefixes : granted.map(ip.sources(granted:)) ?? ip.sourcePrefixes
        routes = EndRoute.list(isClient ? ip.srcRoutes : ip.dstRoutes)
        mac = MACAddress(isClient ? context.ethernetContext.srcMac : context.ethernetContext.dstMac)
        neighbours = ip.ipNeighbors.compactMap { neighbour in
            guard let address = IPAddress(neighbour.ip), let mac = MACAddress(neighbour.hardwareAddress) else {
                return nil
            }
            return EndNeighbour(address, mac)
        }
        resolvesPeers = payload == WellKnown.ip
        policies = []
        guard isClient else { return }
        for policy in ip.policies { policies.append(try EndPolicy(policy)) }
    }
}

extension ConnectionEnd {
    /// What is wrong with the name of an interface that a peer asks for; nil when nothing is. Two names stand for all
    /// interfaces wherever the kernel keeps settings of theirs. Source: net/ipv4/devinet.c.
    static func mistake(inName name: String) -> String? {
        ["all", "default"].contains(name) ? "is one that stands for all interfaces" : InterfaceName.mistake(in: name)
    }
}

/// Why a connection can't be made in the kernel.
public struct ForwarderError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What could not be made, changed or removed.
    public let object: String
    /// Inode number of the namespace it is in; nil: none in particular.
    public let namespace: UInt64?
    /// The kernel's errno value, such as `EEXIST`; 0: it was not asked.
    public let code: Int32
    /// The kernel's words, or ours.
    public let reason: String

    /// `OBJECT in namespace INODE: REASON`
    public var description: String {
        "\(object)\(namespace.map { " in namespace \($0)" } ?? ""): \(reason)"
    }

    init(_ object: String, _ namespace: NetworkNamespace, _ error: KernelError) {
        self.object = object
        self.namespace = namespace.inode
        code = error.code
        reason = "\(error)"
    }

    init(_ object: String, in namespace: NetworkNamespace? = nil, _ reason: String) {
        self.object = object
        self.namespace = namespace?.inode
        code = 0
        self.reason = reason
    }
}
