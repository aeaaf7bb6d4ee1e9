package import Model
package import NSM
package import NetworkTypes

/// One end of a connection, as the mesh describes it and the user wants it.
package struct ConnectionSide: Hashable, Sendable {
    /// The logical name of the interface.
    package private(set) var interface: String
    /// Its name in the kernel.
    var hostName: String
    /// Addresses as the user wrote them; they may refer to allocations.
    var ownTexts: [String] = []
    /// The mesh's addresses of this end.
    var addresses: [String] = []
    /// The mesh's addresses of the other end.
    var peers: [String] = []
    /// Routes by way of the connection.
    var routes: [NSMRoute] = []
    /// Neighbours by way of the connection.
    var neighbours: [NSMIpNeighbor] = []
    /// Tables of their own for some of what this end sends.
    var policies: [NSMPolicyRoute] = []
    /// What the names of policies begin with, and their tables follow from.
    var owner: String
    /// The MAC of the interface; empty: whatever it is.
    var mac = ""
    /// Bytes; 0: whatever it is.
    var mtu: UInt32 = 0
    /// Whether packets that come in are sent on.
    var forwards = false
    /// Whether packets may come in whose answers go out elsewhere.
    var isOneWay = false

    /// A client's end.
    package init(_ client: Upnp_NetworkServiceClient, _ connection: NSMConnection) {
        let context = connection.context
        let name = connection.mechanism.interfaceName
        interface = client.interfaceName
        hostName = InterfaceName.mistake(in: name) == nil ? name : client.interfaceName
        owner = client.name
        ownTexts = client.ipAddresses
        addresses = context.ipContext.srcIpAddrs
        peers = context.ipContext.dstIpAddrs
        routes = context.ipContext.srcRoutes
        neighbours = context.ipContext.ipNeighbors
        policies = context.ipContext.policies
        mac = client.physAddress.isEmpty ? context.ethernetContext.srcMac : client.physAddress
        mtu = context.mtu
    }

    /// The end of an endpoint that is the client of another one of its network (vL3).
    ///
    /// - Parameters:
    ///   - endpoint: Whose end it is.
    ///   - connection: To the other one.
    ///   - routes: Prefixes of the other one, which lie behind it.
    package init(
        linking endpoint: Upnp_NetworkServiceEndpoint, _ connection: NSMConnection, routes prefixes: [IPPrefix]
    ) {
        let context = connection.context
        interface = connection.mechanism.interfaceName
        hostName = interface
        owner = endpoint.networkService
        addresses = context.ipContext.srcIpAddrs
        peers = context.ipContext.dstIpAddrs
        routes = prefixes.map { prefix in NSMRoute.with { $0.prefix = "\(prefix)" } }
        neighbours = context.ipContext.ipNeighbors
        mac = context.ethernetContext.srcMac
        mtu = context.mtu
        forwards = true
        isOneWay = true
    }

    /// An endpoint's end of one of its connections.
    ///
    /// - Parameter isLink: Whether the client is known to be another endpoint of its network.
    package init(_ endpoint: Upnp_NetworkServiceEndpoint, _ connection: NSMConnection, isLink: Bool = false) {
        let context = connection.context
        interface = connection.mechanism.interfaceName
        hostName = interface
        owner = endpoint.networkService
        // Addresses and a MAC are one client's; several can't share them.
        ownTexts = endpoint.singleClient ? endpoint.ipAddresses : []
        addresses = context.ipContext.dstIpAddrs
        // Who asks may not say where packets of this namespace go: only what we gave is led to.
        let granted = Set(context.ipContext.policies.map(\.from))
        peers = context.ipContext.sources(granted: granted).map { "\($0)" }
        routes = context.ipContext.dstRoutes
        neighbours = context.ipContext.ipNeighbors
        let hasMAC = endpoint.singleClient && !endpoint.physAddress.isEmpty
        mac = hasMAC ? endpoint.physAddress : context.ethernetContext.dstMac
        mtu = context.mtu
        forwards = !endpoint.routes.isEmpty || endpoint.vl3
        isOneWay = isLink
    }
}
