public import NetworkTypes

/// An address of a link. Source: `struct ifaddrmsg` and `IFA_*`, linux/if_addr.h.
public struct Address: Hashable, Sendable {
    /// `ifa_index`.
    public var linkIndex: Int32
    /// `IFA_LOCAL` (or `IFA_ADDRESS` where the kernel sends no other) with `ifa_prefixlen`.
    public var local: IPPrefix
    /// `IFA_ADDRESS` when it differs from the local address: the other end of a point-to-point address.
    public var peer: IPAddress?
    /// `ifa_scope`: `RT_SCOPE_*`.
    public var scope: UInt8
    /// `IFA_FLAGS`: `IFA_F_*`.
    public var flags: UInt32
    /// `IFA_PROTO`: who made it; 0: unknown. Kernels before 5.18 do not keep it.
    public var proto: UInt8
    /// `IFA_LABEL` with a colon; the kernel tells the name of the link where there is none.
    public var label: String?

    /// Makes an address from its parts.
    public init(
        linkIndex: Int32, local: IPPrefix, peer: IPAddress? = nil, scope: UInt8 = 0, flags: UInt32 = 0, proto: UInt8 = 0
    ) {
        self.linkIndex = linkIndex
        self.local = local
        self.peer = peer
        self.scope = scope
        self.flags = flags
        self.proto = proto
    }

    /// `IFA_F_SECONDARY`: goes with its primary address (IPv4).
    public static let secondary: UInt32 = 0x01
    /// `IFA_F_NODAD`: no duplicate address detection (IPv6).
    public static let noDAD: UInt32 = 0x02
    /// `IFA_F_DADFAILED`.
    public static let dadFailed: UInt32 = 0x08
    /// `IFA_F_DEPRECATED`: its preferred lifetime is over; no new connection starts from it.
    public static let deprecated: UInt32 = 0x20
    /// `IFA_F_TENTATIVE`: duplicate address detection is under way.
    public static let tentative: UInt32 = 0x40
    /// `IFA_F_PERMANENT`: has no lifetime.
    public static let permanent: UInt32 = 0x80
    /// Those that somebody sets, and which stay.
    public static let chosen: UInt32 = noPrefixRoute | deprecated
    /// `IFA_F_NOPREFIXROUTE`: the kernel makes no route to its network.
    public static let noPrefixRoute: UInt32 = 0x200
}

/// One next hop of a route.
public struct NextHop: Hashable, Sendable {
    /// `RTA_GATEWAY` or `RTA_VIA`.
    public var gateway: IPAddress?
    /// `RTA_OIF`; 0: none.
    public var linkIndex: Int32
    /// Share of the traffic, 1 to 256 (`rtnh_hops` + 1).
    public var weight: UInt16
    /// `RTNH_F_ONLINK`.
    public var onlink: Bool

    /// Makes a next hop.
    public init(gateway: IPAddress? = nil, linkIndex: Int32 = 0, weight: UInt16 = 1, onlink: Bool = false) {
        self.gateway = gateway
        self.linkIndex = linkIndex
        self.weight = weight
        self.onlink = onlink
    }
}

/// A route. Source: `struct rtmsg` and `RTA_*`, linux/rtnetlink.h.
public struct Route: Hashable, Sendable {
    /// `RTA_DST` with `rtm_dst_len`; a default route has length 0.
    public var destination: IPPrefix
    /// `RTA_TABLE`.
    public var table: UInt32
    /// `rtm_protocol`: who made it.
    public var proto: UInt8
    /// `rtm_scope`: `RT_SCOPE_*`.
    public var scope: UInt8
    /// `rtm_type`: `RTN_*`.
    public var type: UInt8
    /// `RTA_PRIORITY`; 0 when absent.
    public var metric: UInt32
    /// `RTA_PREFSRC`.
    public var source: IPAddress?
    /// `RTAX_MTU`; 0: that of the link.
    public var mtu: UInt32
    /// `RTAX_ADVMSS`, bytes; 0: not set.
    public var advertisedMSS: UInt32 = 0
    /// `RTAX_INITCWND`, segments; 0: not set.
    public var initialCongestionWindow: UInt32 = 0
    /// `RTAX_INITRWND`, segments; 0: not set.
    public var initialReceiveWindow: UInt32 = 0
    /// `RTA_PREF`: 0 medium, 1 high, 3 low (`ICMPV6_ROUTER_PREF_*`); of IPv6 alone.
    public var preference: UInt8 = 0
    /// `rtm_tos`.
    public var tos: UInt8
    /// Where it leads: one entry, several for multipath, none for blackhole and its kin.
    public var nextHops: [NextHop]
    /// `RTA_NH_ID`: the nexthop object that says where it leads; 0: none. A report has its next hops besides.
    public var nextHopID: UInt32 = 0
    /// More that the kernel says of it, such as `RTA_ENCAP`, metrics beside the MTU, and the same of next hops.
    /// Read only.
    public internal(set) var others = UnknownAttributes()
    /// Whether it is for packets from some network only (`RTA_SRC`).
    public internal(set) var isForSomeSources = false

    /// `RTPROT_KERNEL`: made with an address.
    public static let kernel: UInt8 = 2
    /// `RTPROT_RA`: made with a router's advertisement.
    public static let advertised: UInt8 = 9

    /// Makes a route from its parts.
    public init(
        destination: IPPrefix, table: UInt32 = 254, proto: UInt8 = 0, scope: UInt8 = 0, type: UInt8 = 1,
        metric: UInt32 = 0, source: IPAddress? = nil, mtu: UInt32 = 0, tos: UInt8 = 0, nextHops: [NextHop] = []
    ) {
        self.destination = destination
        self.table = table
        self.proto = proto
        self.scope = scope
        self.type = type
        self.metric = metric
        self.source = source
        self.mtu = mtu
        self.tos = tos
        self.nextHops = nextHops
    }
}

/// A neighbour entry. Source: `struct ndmsg` and `NDA_*`, linux/neighbour.h.
public struct Neighbour: Hashable, Sendable {
    /// `ndm_ifindex`.
    public var linkIndex: Int32
    /// `NDA_DST`.
    public var destination: IPAddress
    /// `NDA_LLADDR`, when it is a MAC address.
    public var mac: MACAddress?
    /// `ndm_state`: `NUD_*`.
    public var state: UInt16
    /// `ndm_flags`: `NTF_*`.
    public var flags: UInt8
    /// `NDA_PROTOCOL`: who made it; 0: unknown.
    public var proto: UInt8

    /// Makes an entry from its parts.
    public init(
        linkIndex: Int32, destination: IPAddress, mac: MACAddress? = nil, state: UInt16 = 0, flags: UInt8 = 0,
        proto: UInt8 = 0
    ) {
        self.linkIndex = linkIndex
        self.destination = destination
        self.mac = mac
        self.state = state
        self.flags = flags
        self.proto = proto
    }

    /// `NUD_PERMANENT`.
    public static let permanent: UInt16 = 0x80
    /// `NTF_PROXY`.
    public static let proxy: UInt8 = 0x08
}

/// A policy rule. Source: `struct fib_rule_hdr` and `FRA_*`, linux/fib_rules.h.
public struct Rule: Hashable, Sendable {
    /// Address family.
    public var family: IPAddress.Family
    /// `FRA_PRIORITY`.
    public var priority: UInt32
    /// `FRA_SRC` with `src_len`; nil: any.
    public var from: IPPrefix?
    /// `FRA_DST` with `dst_len`; nil: any.
    public var to: IPPrefix?
    /// `FRA_IIFNAME`.
    public var inputInterface: String?
    /// `FRA_OIFNAME`.
    public var outputInterface: String?
    /// `FRA_FWMARK`; 0: any.
    public var mark: UInt32
    /// `FRA_FWMASK`; the kernel reports all ones when the mark is exact.
    public var mask: UInt32
    /// `FRA_TABLE`; 0: none.
    public var table: UInt32
    /// `FR_ACT_*`: to table 1, blackhole 6, unreachable 7, prohibit 8.
    public var action: UInt8
    /// `FIB_RULE_INVERT`.
    public var invert: Bool
    /// `FRA_PROTOCOL`: who made it.
    public var proto: UInt8
    /// `FRA_IP_PROTO`: protocol of the packet, such as 6 for TCP; 0: any.
    public var ipProtocol: UInt8 = 0
    /// `FRA_SPORT_RANGE`; nil: any.
    public var sourcePorts: ClosedRange<UInt16>?
    /// `FRA_DPORT_RANGE`; nil: any.
    public var destinationPorts: ClosedRange<UInt16>?
    /// `FRA_UID_RANGE`: users whose sockets send the packet; nil: any.
    public var users: ClosedRange<UInt32>?
    /// `FRA_SUPPRESS_PREFIXLEN`: routes with a prefix this long or shorter don't count; nil: all count.
    public var suppressedLength: UInt32?
    /// `FRA_L3MDEV`: looked up in the table of the interface's VRF.
    public var isOfVRF = false
    /// `tos`; 0: any.
    public var tos: UInt8 = 0
    /// More conditions, such as `FRA_SUPPRESS_IFGROUP`.
    public var others = UnknownAttributes()

    /// Makes a rule from its parts.
    public init(
        family: IPAddress.Family, priority: UInt32, from: IPPrefix? = nil, to: IPPrefix? = nil,
        inputInterface: String? = nil, outputInterface: String? = nil, mark: UInt32 = 0, mask: UInt32 = 0,
        table: UInt32 = 0, action: UInt8 = 1, invert: Bool = false, proto: UInt8 = 0
    ) {
        self.family = family
        self.priority = priority
        self.from = from
        self.to = to
        self.inputInterface = inputInterface
        self.outputInterface = outputInterface
        self.mark = mark
        self.mask = mask
        self.table = table
        self.action = action
        self.invert = invert
        self.proto = proto
    }
}
