import CLinux
import Glibc

/// A `tun` or `tap` device. Reported only; made with ioctl(2). `IFLA_TUN_*`, linux/if_link.h.
public struct TUNAttributes: LinkKindAttributes, LinkKindCodec {
    /// `tun`
    public static let kindName = "tun"

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

    var isEmpty: Bool { true }

    init(data: UnsafeRawBufferPointer) {
        self.init(isTUN: false)
        persistent = false
        for attribute in AttributeReader(data) {
            let value = attribute.payload
            switch attribute.type {
            case IFLA_TUN_TYPE: isTUN = Int32(value.u8) == IFF_TUN
            case IFLA_TUN_OWNER: owner = value.u32
            case IFLA_TUN_GROUP: group = value.u32
            case IFLA_TUN_VNET_HDR: vnetHeader = value.u8 != 0
            case IFLA_TUN_MULTI_QUEUE: multiQueue = value.u8 != 0
            case IFLA_TUN_PERSIST: persistent = value.u8 != 0
            default: break
            }
        }
    }

    func write(_ writer: MessageWriter) {}
}

extension LinkKind {
    /// `tun`.
    public static func tun(_ attributes: TUNAttributes) -> LinkKind { LinkKind(attributes) }
}
