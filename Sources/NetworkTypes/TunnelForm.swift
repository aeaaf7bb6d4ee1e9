/// A form of tunnel that carries packets in IP packets: what is inside, what is outside, and the kernel's word for it.
public protocol TunnelForm: Sendable {
    /// The name of the type in the .proto file.
    static var word: String { get }
    /// `IFLA_INFO_KIND`.
    static var kindName: String { get }
    /// The kernel's module with it.
    static var moduleName: String { get }
    /// The family of both ends.
    static var family: IPAddress.Family { get }
    /// Whether it is GRE, which may have a key.
    static var isGRE: Bool { get }
    /// Whether Ethernet frames are inside.
    static var isEthernet: Bool { get }
    /// The MTU of a new one on a link of 1500 bytes.
    static var kernelMTU: UInt32 { get }
}

/// IP in GRE over IPv4.
public enum GREForm: TunnelForm {
    /// See ``TunnelForm``.
    public static let word = "GRE"
    /// See ``TunnelForm``.
    public static let kindName = "gre"
    /// See ``TunnelForm``.
    public static let moduleName = "ip_gre"
    /// See ``TunnelForm``.
    public static let family = IPAddress.Family.v4
    /// See ``TunnelForm``.
    public static let isGRE = true
    /// See ``TunnelForm``.
    public static let isEthernet = false
    /// See ``TunnelForm``.
    public static let kernelMTU: UInt32 = 1476
}

/// Ethernet in GRE over IPv4.
public enum GRETAPForm: TunnelForm {
    /// See ``TunnelForm``.
    public static let word = "GRETAP"
    /// See ``TunnelForm``.
    public static let kindName = "gretap"
    /// See ``TunnelForm``.
    public static let moduleName = "ip_gre"
    /// See ``TunnelForm``.
    public static let family = IPAddress.Family.v4
    /// See ``TunnelForm``.
    public static let isGRE = true
    /// See ``TunnelForm``.
    public static let isEthernet = true
    /// See ``TunnelForm``.
    public static let kernelMTU: UInt32 = 1462
}

/// IP in GRE over IPv6.
public enum IP6GREForm: TunnelForm {
    /// See ``TunnelForm``.
    public static let word = "IP6GRE"
    /// See ``TunnelForm``.
    public static let kindName = "ip6gre"
    /// See ``TunnelForm``.
    public static let moduleName = "ip6_gre"
    /// See ``TunnelForm``.
    public static let family = IPAddress.Family.v6
    /// See ``TunnelForm``.
    public static let isGRE = true
    /// See ``TunnelForm``.
    public static let isEthernet = false
    /// See ``TunnelForm``.
    public static let kernelMTU: UInt32 = 1448
}

/// Ethernet in GRE over IPv6.
public enum IP6GRETAPForm: TunnelForm {
    /// See ``TunnelForm``.
    public static let word = "IP6GRETAP"
    /// See ``TunnelForm``.
    public static let kindName = "ip6gretap"
    /// See ``TunnelForm``.
    public static let moduleName = "ip6_gre"
    /// See ``TunnelForm``.
    public static let family = IPAddress.Family.v6
    /// See ``TunnelForm``.
    public static let isGRE = true
    /// See ``TunnelForm``.
    public static let isEthernet = true
    /// See ``TunnelForm``.
    public static let kernelMTU: UInt32 = 1434
}

/// IPv4 in IPv4.
public enum IPIPForm: TunnelForm {
    /// See ``TunnelForm``.
    public static let word = "IPIP"
    /// See ``TunnelForm``.
    public static let kindName = "ipip"
    /// See ``TunnelForm``.
    public static let moduleName = "ipip"
    /// See ``TunnelForm``.
    public static let family = IPAddress.Family.v4
    /// See ``TunnelForm``.
    public static let isGRE = false
    /// See ``TunnelForm``.
    public static let isEthernet = false
    /// See ``TunnelForm``.
    public static let kernelMTU: UInt32 = 1480
}

/// IPv6 in IPv4.
public enum SITForm: TunnelForm {
    /// See ``TunnelForm``.
    public static let word = "SIT"
    /// See ``TunnelForm``.
    public static let kindName = "sit"
    /// See ``TunnelForm``.
    public static let moduleName = "sit"
    /// See ``TunnelForm``.
    public static let family = IPAddress.Family.v4
    /// See ``TunnelForm``.
    public static let isGRE = false
    /// See ``TunnelForm``.
    public static let isEthernet = false
    /// See ``TunnelForm``.
    public static let kernelMTU: UInt32 = 1480
}

/// IPv4 and IPv6 in IPv6.
public enum IP6TNLForm: TunnelForm {
    /// See ``TunnelForm``.
    public static let word = "IP6TNL"
    /// See ``TunnelForm``.
    public static let kindName = "ip6tnl"
    /// See ``TunnelForm``.
    public static let moduleName = "ip6_tunnel"
    /// See ``TunnelForm``.
    public static let family = IPAddress.Family.v6
    /// See ``TunnelForm``.
    public static let isGRE = false
    /// See ``TunnelForm``.
    public static let isEthernet = false
    /// See ``TunnelForm``.
    public static let kernelMTU: UInt32 = 1452
}
