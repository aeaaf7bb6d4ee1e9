public import NSM
public import NetworkTypes

/// A tunnel to another host.
public struct Tunnel: Hashable, Sendable {
    /// What kinds have beside addresses and a port.
    public enum Kind: Hashable, Sendable {
        /// The VXLAN network identifier, 1 to 16777215. A host can't use it twice, even with different peers.
        case vxlan(vni: UInt32)
        /// Keys, and our port.
        case wireGuard(WireGuardEnd)
    }

    /// How it is made.
    public var kind: Kind
    /// The address of this host.
    public var local: IPAddress
    /// The address of the other host.
    public var remote: IPAddress
    /// The UDP port of the other host.
    public var port: UInt16

    /// Makes a VXLAN tunnel.
    public init(vni: UInt32, local: IPAddress, remote: IPAddress, port: UInt16 = 4789) {
        kind = .vxlan(vni: vni)
        self.local = local
        self.remote = remote
        self.port = port
    }

    /// Makes a WireGuard tunnel.
    public init(_ end: WireGuardEnd, local: IPAddress, remote: IPAddress, port: UInt16) {
        kind = .wireGuard(end)
        self.local = local
        self.remote = remote
        self.port = port
    }

    /// The VXLAN network identifier; 0: it is another tunnel. One that is set makes it VXLAN.
    public var vni: UInt32 {
        get { if case .vxlan(let vni) = kind { vni } else { 0 } }
        set { kind = .vxlan(vni: newValue) }
    }

    /// What WireGuard needs; nil: it is another tunnel.
    var wireGuard: WireGuardEnd? { if case .wireGuard(let end) = kind { end } else { nil } }

    /// The mechanism that managers know it by.
    public var mechanism: ForwarderMechanism {
        switch kind {
        case .vxlan: .vxlan
        case .wireGuard: .wireGuard
        }
    }
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

/// Numbers that this host gives connections, no two the same: VXLAN network identifiers, or UDP ports.
///
/// The kernel refuses one that is used already; this only makes that rare.
public struct NumberAllocator: Sendable {
    /// All VXLAN network identifiers.
    public static let vnis: ClosedRange<UInt32> = 1...0xff_ffff
    /// Where WireGuard tunnels listen, from its usual port on.
    public static let wireGuardPorts: ClosedRange<UInt32> = 51820...61819

    private let range: ClosedRange<UInt32>
    private var used: [String: UInt32] = [:]
    private var taken: Set<UInt32> = []

    /// Makes an allocator that has given none yet.
    public init(_ range: ClosedRange<UInt32> = vnis) { self.range = range }

    /// Whether all numbers are in use.
    var isFull: Bool { taken.count >= range.count }

    /// Whether all numbers are in use, and none of them by this connection.
    public func isFull(but id: String) -> Bool { used[id] == nil && isFull }

    /// The number of a connection: the one it has, else the one the other host proposes if it is free here, else a free
    /// one at random. One must be left.
    public mutating func allocate(for id: String, proposed: UInt32? = nil) -> UInt32 {
        if let known = used[id], proposed == nil || proposed == known { return known }
        release(id)
        if let proposed, range.contains(proposed), !taken.contains(proposed) { return take(proposed, id) }
        while true {
            let number = UInt32.random(in: range)
            if !taken.contains(number) { return take(number, id) }
        }
    }

    /// How many are in use.
    public var count: Int { used.count }

    /// Gives the number of a connection back.
    public mutating func release(_ id: String) {
        if let number = used.removeValue(forKey: id) { taken.remove(number) }
    }

    private mutating func take(_ number: UInt32, _ id: String) -> UInt32 {
        used[id] = number
        taken.insert(number)
        return number
    }
}
