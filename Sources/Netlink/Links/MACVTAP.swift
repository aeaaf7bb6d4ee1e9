import CLinux

/// A `macvtap`: a MACVLAN that is opened as a TAP device. `IFLA_MACVLAN_*`, linux/if_link.h.
public struct MACVTAPAttributes: LinkKindAttributes, LinkKindCodec {
    /// `macvtap`
    public static let kindName = "macvtap"

    /// `IFLA_MACVLAN_MODE`: private 1, vepa 2, bridge 4, passthru 8.
    public var mode: UInt32

    var isEmpty: Bool { false }

    /// Makes attributes.
    public init(mode: UInt32) { self.mode = mode }

    init(data: UnsafeRawBufferPointer) { mode = MACVLANAttributes(data: data).mode }

    func write(_ writer: MessageWriter) { writer.put(IFLA_MACVLAN_MODE, u32: mode) }
}

extension LinkKind {
    /// `macvtap`.
    public static func macvtap(mode: UInt32) -> LinkKind { LinkKind(MACVTAPAttributes(mode: mode)) }
}
