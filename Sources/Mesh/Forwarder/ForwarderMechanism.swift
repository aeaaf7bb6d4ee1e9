public import NetworkTypes

/// How a connection is made in the kernel, by the name that its mechanism has.
public enum ForwarderMechanism: String, CaseIterable, Hashable, Sendable {
    /// A veth pair.
    case kernel = "KERNEL"
    /// A VXLAN link to another host: Ethernet frames, in the clear. Source: RFC 7348.
    case vxlan = "VXLAN"
    /// A WireGuard link to another host: IP packets, encrypted. Source: the WireGuard paper (NDSS 2017).
    case wireGuard = "WIREGUARD"

    /// Bytes that it adds to each packet: headers of Ethernet, VXLAN, UDP and IP (RFC 7348, section 5), or those of WireGuard with its
    /// authentication (16 each), UDP and IP.
    public func overhead(_ family: IPAddress.Family) -> UInt32 {
        switch self {
        case .kernel: 0
        case .vxlan: family == .v4 ? 50 : 70
        case .wireGuard: family == .v4 ? 60 : 80
        }
    }
}
