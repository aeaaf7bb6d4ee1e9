/// The rules for the name of a network device.
///
/// Source: `dev_valid_name` and `__dev_alloc_name`, net/core/dev.c; `IFNAMSIZ` is 16 with the NUL.
public enum InterfaceName {
    /// The longest name, in bytes.
    public static let maximumLength = 15

    /// The longest alternative name, in bytes. Source: `ALTIFNAMSIZ`, linux/if.h, which counts a zero.
    public static let maximumAlternativeLength = 127

    /// Why `name` can't be an alternative name, as ip(8) sees it; nil when it can.
    public static func mistake(inAlternative name: some StringProtocol) -> String? {
        let count = name.utf8.count
        if count == 0 { return "is empty" }
        if count > maximumAlternativeLength {
            return "is \(count) bytes long; the kernel takes at most \(maximumAlternativeLength)"
        }
        for byte in name.utf8 where byte == UInt8(ascii: "/") || byte <= 32 || byte == 127 {
            return "holds '/', a space or a control character"
        }
        return nil
    }

    /// Why the kernel would refuse `name`; nil when it would not.
    public static func mistake(in name: some StringProtocol) -> String? {
        let count = name.utf8.count
        if count == 0 { return "is empty" }
        if count > maximumLength { return "is \(count) bytes long; the kernel takes at most \(maximumLength)" }
        if name == "." || name == ".." { return "is reserved" }
        // Of a name such as eth%d the kernel makes eth0.
        let refused = "/:%".utf8
        for byte in name.utf8 where refused.contains(byte) || byte <= 32 || byte == 127 {
            return "holds '/', ':', '%', a space or a control character"
        }
        return nil
    }
}
