public import NSM
public import NetworkTypes

/// A VXLAN tunnel to another host (RFC 7348).
public struct Tunnel: Hashable, Sendable {
    /// The VXLAN network identifier, 1 to 16777215. A host can't use it twice, even with different peers.
    public var vni: UInt32
    /// The address of this host.
    public var local: IPAddress
    /// The address of the other host.
    public var remote: IPAddress
    /// The UDP port of the other host.
    public var port: UInt16

    /// Makes a tunnel.
    public init(vni: UInt32, local: IPAddress, remote: IPAddress, port: UInt16 = 4789) {
        self.vni = vni
        self.local = local
        self.remote = remote
        self.port = port
    }

    /// Bytes that the tunnel adds to each packet: Ethernet, VXLAN, UDP and IP headers. Source: RFC 7348, section 5.
    public static func overhead(_ family: IPAddress.Family) -> UInt32 { family == .v4 ? 50 : 70 }
}

/// A connection whose other end is on another host: one interface here, and a tunnel.
public struct RemoteLeg: Sendable {
    /// The connection's id here; it is kept in the link's alias.
    public var id: String
    /// The end on this host.
    public var end: ConnectionEnd
    /// The tunnel to the other.
    public var tunnel: Tunnel
    /// Bytes; nil: what fits the network between the hosts, which is also the most there can be.
    public var mtu: UInt32?
    /// The other end's MAC, if the hosts agreed on one.
    public var peerMAC: MACAddress?

    /// Makes one end of a connection between hosts.
    public init(id: String, end: ConnectionEnd, tunnel: Tunnel, mtu: UInt32? = nil) {
        self.id = id
        self.end = end
        self.tunnel = tunnel
        self.mtu = mtu
    }

    /// Takes what concerns this side from a connection of the mesh.
    ///
    /// - Parameter granted: On the endpoint's side, addresses of the client that the endpoint gave; others are not led to
    ///   unless the endpoint does so itself. Nil: all are.
    /// - Throws: ``ForwarderError`` when a policy can't be read.
    public mutating func configure(
        from context: NSMConnectionContext, as side: ConnectionSide, payload: String = "", granted: Set<String>? = nil
    ) throws(ForwarderError) {
        try end.configure(from: context, as: side, payload: payload, granted: granted)
        let ethernet = context.ethernetContext
        peerMAC = MACAddress(side == .client ? ethernet.dstMac : ethernet.srcMac)
        mtu = context.mtu > 0 ? context.mtu : nil
    }
}

/// Which VXLAN network identifiers this host uses.
///
/// The kernel refuses one that is used already; this only makes that rare.
public struct VNIAllocator: Sendable {
    private static let range: ClosedRange<UInt32> = 1...0xff_ffff
    private var used: [String: UInt32] = [:]
    private var taken: Set<UInt32> = []

    /// Makes an allocator that knows of none.
    public init() {}

    /// The identifier of a connection: the one it has, else the one the other host proposes if it is free here, else a free
    /// one at random.
    public mutating func allocate(for id: String, proposed: UInt32? = nil) -> UInt32 {
        if let known = used[id], proposed == nil || proposed == known { return known }
        release(id)
        if let proposed, Self.range.contains(proposed), !taken.contains(proposed) { return take(proposed, id) }
        while true {
            let number = UInt32.random(in: Self.range)
            if !taken.contains(number) { return take(number, id) }
        }
    }

    /// How many identifiers are in use.
    public var count: Int { used.count }

    /// Gives the identifier of a connection back.
    public mutating func release(_ id: String) {
        if let number = used.removeValue(forKey: id) { taken.remove(number) }
    }

    private mutating func take(_ number: UInt32, _ id: String) -> UInt32 {
        used[id] = number
        taken.insert(number)
        return number
    }
}
