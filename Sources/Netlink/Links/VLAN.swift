import CLinux

/// A `vlan` of another link. `IFLA_VLAN_*`, linux/if_link.h.
public struct VLANAttributes: LinkKindAttributes, LinkKindCodec {
    /// `vlan`
    public static let kindName = "vlan"
    /// `8021q`
    public static let moduleName = "8021q"
    /// Source: `vlan_dev_open` and `vlan_device_event`, net/8021q.
    public static let followsLower = true

    /// `IFLA_VLAN_ID`, 1 to 4094.
    public var id: UInt16
    /// `IFLA_VLAN_PROTOCOL`, host byte order: 0x8100 or 0x88a8.
    public var ethertype: UInt16

    /// Makes attributes.
    public init(id: UInt16, ethertype: UInt16 = 0x8100) {
        self.id = id
        self.ethertype = ethertype
    }

    var isEmpty: Bool { false }

    /// At most that of the link below.
    public static func mtu(_ own: UInt32, below: UInt32) -> UInt32 { min(own, below) }

    /// With the same tag.
    public func excludes(_ other: Self, onSameLink: Bool) -> Bool { onSameLink && self == other }

    init(data: UnsafeRawBufferPointer) {
        self.init(id: 0)
        for attribute in AttributeReader(data) {
            switch attribute.type {
            case IFLA_VLAN_ID: id = attribute.payload.u16
            case IFLA_VLAN_PROTOCOL: ethertype = UInt16(bigEndian: attribute.payload.u16)
            default: break
            }
        }
    }

    func write(_ writer: MessageWriter) {
        writer.put(IFLA_VLAN_ID, u16: id)
        writer.put(IFLA_VLAN_PROTOCOL, u16: ethertype.bigEndian)
    }
}

extension LinkKind {
    /// `vlan`.
    public static func vlan(_ attributes: VLANAttributes) -> LinkKind { LinkKind(attributes) }
}
