import CLinux

/// A `vrf`: virtual routing and forwarding. `IFLA_VRF_*`, linux/if_link.h.
public struct VRFAttributes: LinkKindAttributes, LinkKindCodec {
    /// `vrf`
    public static let kindName = "vrf"
    /// 65575: room for the largest IPv6 packet.
    public static let kernelMTU: UInt32 = 65575

    /// `IFLA_VRF_TABLE`.
    public var table: UInt32

    var isEmpty: Bool { false }

    /// Makes attributes.
    public init(table: UInt32) { self.table = table }

    init(data: UnsafeRawBufferPointer) {
        table = 0
        for attribute in AttributeReader(data) where attribute.type == IFLA_VRF_TABLE { table = attribute.payload.u32 }
    }

    func write(_ writer: MessageWriter) { writer.put(IFLA_VRF_TABLE, u32: table) }
}

extension LinkKind {
    /// `vrf`.
    public static func vrf(table: UInt32) -> LinkKind { LinkKind(VRFAttributes(table: table)) }
}
