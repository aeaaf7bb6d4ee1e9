/// A `wireguard` link. Its keys, ports and peers are set by another bus, see ``WireGuardSocket``.
public struct WireGuardAttributes: LinkKindAttributes, LinkKindCodec {
    /// `wireguard`
    public static let kindName = "wireguard"
    /// What fits 1500 bytes over IPv6. Source: `wg_setup`, drivers/net/wireguard/device.c.
    public static let kernelMTU: UInt32 = 1420

    var isEmpty: Bool { true }

    init() {}
    init(data: UnsafeRawBufferPointer) {}
    func write(_ writer: MessageWriter) {}
}

extension LinkKind {
    /// `wireguard`.
    public static let wireguard = LinkKind(WireGuardAttributes())
}
