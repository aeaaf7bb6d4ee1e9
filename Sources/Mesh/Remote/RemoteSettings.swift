public import MeshTransport
internal import NSM
public import NetworkTypes

/// How a mesh is joined with those of other hosts.
public struct RemoteSettings: Sendable {
    /// Where the managers of other hosts find this one: a TCP address; nil: nowhere, so that this host only asks.
    public var listen: SocketAddress?
    /// The address of this host that tunnels start from and lead to.
    public var tunnelAddress: IPAddress
    /// The UDP port of VXLAN tunnels, on both hosts.
    public var tunnelPort: UInt16
    /// The kinds of tunnels that are made, the preferred one first. WireGuard is where the kernel has it, and for IP packets alone.
    public var tunnels: [ForwarderMechanism] = [.vxlan, .wireGuard]
    /// Managers whose endpoints clients of this host may have.
    public var peers: [SocketAddress]
    /// The registry that many hosts share: endpoints of this host are registered there, and those of others found.
    public var registry: SocketAddress?
    /// The etcd that meshes share in its place.
    public var etcd: EtcdRegistrySettings?

    /// The UDP port that IANA assigned to VXLAN. Source: RFC 7348, section 8.
    public static let defaultTunnelPort: UInt16 = 4789

    /// Makes settings.
    public init(
        listen: SocketAddress?, tunnelAddress: IPAddress, tunnelPort: UInt16 = defaultTunnelPort,
        peers: [SocketAddress] = [], registry: SocketAddress? = nil
    ) {
        self.listen = listen
        self.tunnelAddress = tunnelAddress
        self.tunnelPort = tunnelPort
        self.peers = peers
        self.registry = registry
    }
}

extension RemoteSettings {
    /// Whether other hosts can be joined like this.
    func check(isSecure: Bool) throws(NSMError) {
        guard isSecure else { throw NSMError(.local, "between hosts there is mutual TLS only; identities are needed") }
        if let listen, case .unix = listen {
            throw NSMError(.local, "\(listen.url) can't be reached from other hosts; tcp://address:port is needed")
        }
    }

    /// Where other hosts find this one. A listener on all addresses is known by the tunnels' one.
    func ownURL(_ listener: ServerListener) -> String? {
        guard case .tcp(let host, let port) = listener.address else { return nil }
        let isAny = IPAddress(host)?.isUnspecified ?? false
        return SocketAddress.tcp(host: isAny ? "\(tunnelAddress)" : host, port: port).url
    }
}
