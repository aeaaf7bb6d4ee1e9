import CLinux

/// An `ipvlan`: further IP addresses on another link. `IFLA_IPVLAN_*`, linux/if_link.h.
public struct IPVLANAttributes: LinkKindAttributes, LinkKindCodec {
    /// `ipvlan`
    public static let kindName = "ipvlan"
    /// `ipvlan`
    public static let receiver: String? = "ipvlan"

    /// `IFLA_IPVLAN_MODE`: l2 0, l3 1, l3s 2.
    public var mode: UInt16

    var isEmpty: Bool { false }

    /// That of the link below.
    public static func mtu(_ own: UInt32, below: UInt32) -> UInt32 { below }

    /// Makes attributes.
    public init(mode: UInt16) { self.mode = mode }

    init(data: UnsafeRawBufferPointer) {
        mode = 0
        for attribute in AttributeReader(data) where attribute.type == IFLA_IPVLAN_MODE {
            mode = attribute.payload.u16
        }
    }

    func write(_ writer: MessageWriter) { writer.put(IFLA_IPVLAN_MODE, u16: mode) }
}

extension LinkKind {
    /// `ipvlan`.
    public static func ipvlan(mode: UInt16) -> LinkKind { LinkKind(IPVLANAttributes(mode: mode)) }
}
