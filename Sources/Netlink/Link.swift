public import NetworkTypes

/// A network device as the kernel reports it.
///
/// Source: `struct ifinfomsg` and `IFLA_*`, linux/if_link.h.
public struct Link: Hashable, Sendable {
    /// `ifi_index`: unique in its namespace.
    public var index: Int32
    /// `IFLA_IFNAME`.
    public var name: String
    /// `ifi_flags`: `IFF_UP`, `IFF_RUNNING`, …
    public var flags: UInt32
    /// `IFLA_MTU`, bytes.
    public var mtu: UInt32
    /// `IFLA_ADDRESS`, when it is a MAC address.
    public var mac: MACAddress?
    /// `IFLA_PERM_ADDRESS`: the MAC address that a device has from its maker.
    public var permanentMAC: MACAddress?
    /// `IFLA_IFALIAS`.
    public var alias: String?
    /// `IFLA_ALT_IFNAME`: more names, in the order they were given.
    public var altNames: [String] = []
    /// `IFLA_MASTER`: index of the bridge or VRF this is a member of; 0: none.
    public var master: Int32
    /// `IFLA_LINK`: index of the interface below, or of a veth's peer; 0: none.
    public var link: Int32
    /// `IFLA_LINK_NETNSID`: which namespace `link` is in, in this namespace's numbering; nil: the same.
    public var linkNamespaceID: Int32?
    /// `IFLA_NEW_NETNSID`: which namespace a link that is gone was moved to, in this namespace's numbering.
    public var newNamespaceID: Int32?
    /// `IFLA_GROUP`.
    public var group: UInt32
    /// `IFLA_OPERSTATE`: RFC 2863 state, `IF_OPER_*`.
    public var operationalState: UInt8
    /// `IFLA_LINKINFO`.
    public var kind: LinkKind
    /// `IFLA_INFO_SLAVE_DATA` of a bridge's port; nil: it is none.
    public var port: BridgePort?

    /// Makes a link from its parts.
    public init(
        index: Int32, name: String, flags: UInt32 = 0, mtu: UInt32 = 0, mac: MACAddress? = nil, alias: String? = nil,
        master: Int32 = 0, link: Int32 = 0, linkNamespaceID: Int32? = nil, group: UInt32 = 0,
        operationalState: UInt8 = 0, kind: LinkKind = .none
    ) {
        self.index = index
        self.name = name
        self.flags = flags
        self.mtu = mtu
        self.mac = mac
        self.alias = alias
        self.master = master
        self.link = link
        self.linkNamespaceID = linkNamespaceID
        self.group = group
        self.operationalState = operationalState
        self.kind = kind
    }

    /// Whether the device is administratively up (`IFF_UP`).
    public var isUp: Bool { flags & LinkFlags.up != 0 }
}

/// Bits of `ifi_flags`. Source: linux/if.h.
public enum LinkFlags {
    /// `IFF_UP`: administratively up.
    public static let up: UInt32 = 1
    /// `IFF_LOOPBACK`.
    public static let loopback: UInt32 = 1 << 3
    /// `IFF_RUNNING`: operational, RFC 2863.
    public static let running: UInt32 = 1 << 6
    /// `IFF_LOWER_UP`: carrier.
    public static let lowerUp: UInt32 = 1 << 16
    /// `IFF_DORMANT`: waits for something besides the carrier.
    public static let dormant: UInt32 = 1 << 17
}
