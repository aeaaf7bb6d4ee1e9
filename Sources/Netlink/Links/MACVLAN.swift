import CLinux

/// A `macvlan`: a further MAC address on another link. `IFLA_MACVLAN_*`, linux/if_link.h.
public struct MACVLANAttributes: LinkKindAttributes, LinkKindCodec {
    /// `macvlan`
    public static let kindName = "macvlan"
    /// `macvlan`
    public static let receiver: String? = "macvlan"

    /// `IFLA_MACVLAN_MODE`: private 1, vepa 2, bridge 4, passthru 8.
    public var mode: UInt32

    /// In mode passthru.
    public var isAlone: Bool { mode == 8 }

    var isEmpty: Bool { false }

    /// At most that of the link below.
    public static func mtu(_ own: UInt32, below: UInt32) -> UInt32 { min(own, below) }

    /// Makes attributes.
    public init(mode: UInt32) { self.mode = mode }

    init(data: UnsafeRawBufferPointer) {
        mode = 0
        for attribute in AttributeReader(data) where attribute.type == IFLA_MACVLAN_MODE {
            mode = attribute.payload.u32
        }
    }

    func write(_ writer: MessageWriter) { writer.put(IFLA_MACVLAN_MODE, u32: mode) }
}

extension LinkKind {
    /// `macvlan`.
    public static func macvlan(mode: UInt32) -> LinkKind { LinkKind(MACVLANAttributes(mode: mode)) }
}
