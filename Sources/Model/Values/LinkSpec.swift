public import NetworkTypes

/// What a network interface is: the word for it, and what follows from that word alone.
public enum LinkType: Hashable, Sendable, CaseIterable {
    /// One end of a pair.
    case veth
    /// The loopback interface of a namespace.
    case loopback
    /// One that something else makes.
    case existing
    /// A virtual routing and forwarding device.
    case vrf
    /// A device that swallows what it is sent.
    case dummy
    /// A persistent TAP or TUN device.
    case tap
    /// A bridge.
    case bridge
    /// A VLAN of another interface.
    case vlan
    /// A VXLAN tunnel end point.
    case vxlan
    /// A further MAC address on another interface.
    case macvlan
    /// Further IP addresses on another interface.
    case ipvlan

    /// What an unset MTU stands for, in bytes; nil: whatever it is.
    ///
    /// Source: `ETH_DATA_LEN`, linux/if_ether.h; `loopback_setup`, drivers/net/loopback.c.
    public var defaultMTU: UInt32? {
        switch self {
        case .veth, .dummy: 1500
        case .loopback: 65536
        case .existing, .vrf, .tap, .bridge, .vlan, .vxlan, .macvlan, .ipvlan: nil
        }
    }

    /// What the MTU can be, in bytes; nil: that is for whoever makes the interface to know.
    var mtuRange: ClosedRange<UInt32>? {
        switch self {
        case .loopback: 68...65575
        case .vrf: 1280...65575
        case .existing: nil
        case .veth, .dummy, .tap, .bridge, .vlan, .vxlan, .macvlan, .ipvlan: 68...65535
        }
    }

    /// The name in the .proto file.
    var word: String {
        switch self {
        case .veth: "VETH"
        case .loopback: "LOOPBACK"
        case .existing: "EXISTING"
        case .vrf: "VRF_DEVICE"
        case .dummy: "DUMMY"
        case .tap: "TAP"
        case .bridge: "BRIDGE"
        case .vlan: "VLAN"
        case .vxlan: "VXLAN"
        case .macvlan: "MACVLAN"
        case .ipvlan: "IPVLAN"
        }
    }

    /// The field that holds what is special about this type; nil when nothing is.
    var block: String? {
        switch self {
        case .veth: "veth"
        case .vrf: "vrf_dev"
        case .tap: "tuntap"
        case .bridge: "bridge"
        case .vlan: "vlan"
        case .vxlan: "vxlan"
        case .macvlan: "macvlan"
        case .ipvlan: "ipvlan"
        case .loopback, .existing, .dummy: nil
        }
    }
}

/// A persistent TAP or TUN device.
public struct TunTapSpec: Hashable, Sendable {
    /// Whether it carries IP packets instead of Ethernet frames.
    public let isTUN: Bool
    /// Whether several queues can be opened.
    public let isMultiQueue: Bool
    /// The user who may open it; nil: root.
    public let owner: UInt32?
    /// The group that may open it; nil: root.
    public let group: UInt32?
    /// Whether each frame begins with a virtio header.
    public let hasVNETHeader: Bool
}

/// A bridge.
public struct BridgeSpec: Hashable, Sendable {
    /// Logical names of the interfaces that are its ports.
    public let ports: [String]
    /// Whether the kernel's spanning tree protocol runs.
    public let isSTP: Bool
    /// Whether frames are told apart by VLAN.
    public let isFilteringVLANs: Bool
    /// How long an address is kept that is not seen any more, in seconds.
    public let ageingTime: UInt32
    /// How long a port listens and learns before it forwards, in seconds.
    public let forwardDelay: UInt32

    /// The kernel's own. Source: `br_dev_setup`, net/bridge/br_device.c.
    public static let defaultAgeingTime: UInt32 = 300
    /// The kernel's own.
    public static let defaultForwardDelay: UInt32 = 15
}

/// A VLAN of another interface.
public struct VLANSpec: Hashable, Sendable {
    /// The tag's protocol.
    public enum TagProtocol: Hashable, Sendable, CaseIterable {
        /// IEEE 802.1Q, a customer tag.
        case dot1q
        /// IEEE 802.1ad, a service tag.
        case dot1ad
    }

    /// The logical name of the interface below.
    public let parent: String
    /// The VLAN, 1 to 4094.
    public let id: UInt16
    /// The tag's protocol.
    public let tagProtocol: TagProtocol
}

/// A VXLAN tunnel end point. Source: RFC 7348.
public struct VXLANSpec: Hashable, Sendable {
    /// The logical name of the interface below.
    public let parent: String?
    /// The network, 0 to 16777215.
    public let vni: UInt32
    /// The other end, or a multicast group of all ends.
    public let remote: IPAddress?
    /// Our own end.
    public let local: IPAddress?
    /// The UDP port of all ends.
    public let port: UInt16
    /// Whether addresses are learned from what arrives.
    public let isLearning: Bool
    /// The hop limit of what is sent; nil: the kernel's.
    public let ttl: UInt8?

    /// IANA's port of the protocol.
    public static let defaultPort: UInt16 = 4789
}

/// How a MACVLAN interface and its siblings see each other.
public enum MACVLANMode: Hashable, Sendable, CaseIterable {
    /// Directly.
    case bridge
    /// Not at all.
    case isolated
    /// By way of the switch outside.
    case vepa
    /// There are none.
    case passthrough
}

/// Up to which layer an IPVLAN interface works by itself.
public enum IPVLANMode: Hashable, Sendable, CaseIterable {
    /// Ethernet.
    case l2
    /// IP, without netfilter of the parent's namespace.
    case l3
    /// IP, with it.
    case l3s
}
