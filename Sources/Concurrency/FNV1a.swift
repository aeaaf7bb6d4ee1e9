/// Numbers that follow from bytes, the same in every process and version: marks in the kernel and names are made of them.
///
/// Anyone who chooses the bytes can make two of them collide. Source: FNV-1a, by Fowler, Noll and Vo.
public enum FNV1a {
    /// 32 bits.
    @inlinable public static func hash32(_ bytes: some Sequence<UInt8>) -> UInt32 {
        var hash: UInt32 = 0x811c_9dc5
        for byte in bytes { hash = (hash ^ UInt32(byte)) &* 0x0100_0193 }
        return hash
    }

    /// 64 bits.
    @inlinable public static func hash64(_ bytes: some Sequence<UInt8>) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        return hash
    }
}
