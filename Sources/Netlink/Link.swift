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
    /// `IFLA_IFALIAS`.
    public var alias: String?
    /// `IFLA_MASTER`: index of the bridge or VRF this is a member of; 0: none.
    public var master: Int32
    /// `IFLA_LINK`: index of the interface below, or of a veth's peer; 0: none.
    public var link: Int32
    /// `IFLA_LINK_NETNSID`: which namespace `link` is in, in this namespace's numbering; nil: the same.
    public var linkNamespaceID: Int32?
    /// `IFLA_GROUP`.
    public var group: UInt32
    /// `IFLA_OPERSTATE`: RFC 2863 state, `IF_OPER_*`.
    public var operationalState: UInt8
    /// `IFLA_LINKINFO`.
    public var kind: LinkKind

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
}

/// The kind of a link with the attributes of that kind (`IFLA_INFO_KIND`, `IFLA_INFO_DATA`).
///
/// In a dump every attribute the kernel reports is set; in a request nil leaves the kernel's default.
public enum LinkKind: Hashable, Sendable {
    /// No `IFLA_LINKINFO`: hardware, or the loopback device.
    case none
    /// A kind this room does not decode, with its name.
    case other(String)
    /// `veth`.
    case veth
    /// `dummy`.
    case dummy
    /// `vrf` with `IFLA_VRF_TABLE`.
    case vrf(table: UInt32)
    /// `bridge`.
    case bridge(BridgeAttributes)
    /// `vlan`.
    case vlan(VLANAttributes)
    /// `vxlan`.
    case vxlan(VXLANAttributes)
    /// `macvlan` with `IFLA_MACVLAN_MODE`: private 1, vepa 2, bridge 4, passthru 8.
    case macvlan(mode: UInt32)
    /// `ipvlan` with `IFLA_IPVLAN_MODE`: l2 0, l3 1, l3s 2.
    case ipvlan(mode: UInt16)
    /// `tun`. Reported only; made with ioctl(2).
    case tun(TUNAttributes)

    /// `IFLA_INFO_KIND`; empty for ``none``.
    public var name: String {
        switch self {
        case .none: ""
        case .other(let name): name
        case .veth: "veth"
        case .dummy: "dummy"
        case .vrf: "vrf"
        case .bridge: "bridge"
        case .vlan: "vlan"
        case .vxlan: "vxlan"
        case .macvlan: "macvlan"
        case .ipvlan: "ipvlan"
        case .tun: "tun"
        }
    }
}

/// `IFLA_BR_*`. Times are in the kernel's unit, USER_HZ (1/100 s).
public struct BridgeAttributes: Hashable, Sendable {
    /// `IFLA_BR_STP_STATE`: 0 off, 1 kernel STP, 2 user-space STP.
    public var stpState: UInt32?
    /// `IFLA_BR_VLAN_FILTERING`.
    public var vlanFiltering: Bool?
    /// `IFLA_BR_AGEING_TIME`, 1/100 s.
    public var ageingTime: UInt32?
    /// `IFLA_BR_FORWARD_DELAY`, 1/100 s.
    public var forwardDelay: UInt32?

    /// Makes attributes; nil leaves the kernel's default.
    public init(
        stpState: UInt32? = nil, vlanFiltering: Bool? = nil, ageingTime: UInt32? = nil, forwardDelay: UInt32? = nil
    ) {
        self.stpState = stpState
        self.vlanFiltering = vlanFiltering
        self.ageingTime = ageingTime
        self.forwardDelay = forwardDelay
    }
}

/// `IFLA_VLAN_*`.
public struct VLANAttributes: Hashable, Sendable {
    /// `IFLA_VLAN_ID`, 1 to 4094.
    public var id: UInt16
    /// `IFLA_VLAN_PROTOCOL`, host byte order: 0x8100 or 0x88a8.
    public var ethertype: UInt16

    /// Makes attributes.
    public init(id: UInt16, ethertype: UInt16 = 0x8100) {
        self.id = id
        self.ethertype = ethertype
    }
}

/// `IFLA_VXLAN_*`.
public struct VXLANAttributes: Hashable, Sendable {
    /// `IFLA_VXLAN_ID`, 24 bits.
    public var vni: UInt32
    /// `IFLA_VXLAN_GROUP` or `IFLA_VXLAN_GROUP6`: the remote endpoint or multicast group.
    public var remote: IPAddress?
    /// `IFLA_VXLAN_LOCAL` or `IFLA_VXLAN_LOCAL6`.
    public var local: IPAddress?
    /// `IFLA_VXLAN_LINK`: index of the interface below; 0: none.
    public var link: Int32
    /// `IFLA_VXLAN_PORT`, host byte order.
    public var port: UInt16?
    /// `IFLA_VXLAN_LEARNING`.
    public var learning: Bool?
    /// `IFLA_VXLAN_TTL`.
    public var ttl: UInt8?

    /// Makes attributes; nil leaves the kernel's default.
    public init(
        vni: UInt32, remote: IPAddress? = nil, local: IPAddress? = nil, link: Int32 = 0, port: UInt16? = nil,
        learning: Bool? = nil, ttl: UInt8? = nil
    ) {
        self.vni = vni
        self.remote = remote
        self.local = local
        self.link = link
        self.port = port
        self.learning = learning
        self.ttl = ttl
    }
}

/// `IFLA_TUN_*`.
public struct TUNAttributes: Hashable, Sendable {
    /// `IFLA_TUN_TYPE` is `IFF_TUN` (1) rather than `IFF_TAP` (2).
    public var isTUN: Bool
    /// `IFLA_TUN_OWNER`, user id.
    public var owner: UInt32?
    /// `IFLA_TUN_GROUP`, group id.
    public var group: UInt32?
    /// `IFLA_TUN_VNET_HDR`.
    public var vnetHeader: Bool
    /// `IFLA_TUN_MULTI_QUEUE`.
    public var multiQueue: Bool
    /// `IFLA_TUN_PERSIST`.
    public var persistent: Bool

    /// Makes attributes.
    public init(
        isTUN: Bool, owner: UInt32? = nil, group: UInt32? = nil, vnetHeader: Bool = false, multiQueue: Bool = false,
        persistent: Bool = true
    ) {
        self.isTUN = isTUN
        self.owner = owner
        self.group = group
        self.vnetHeader = vnetHeader
        self.multiQueue = multiQueue
        self.persistent = persistent
    }
}
