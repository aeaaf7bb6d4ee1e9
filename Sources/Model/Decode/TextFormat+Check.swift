internal import NetworkTypes

extension TextFormat {
    /// What is wrong with a text of this format; nil when nothing is.
    func mistake(in bytes: UnsafeRawBufferPointer) -> String? {
        guard self != .any else { return nil }
        let slash = bytes.firstIndex(of: UInt8(ascii: "/"))
        let head = slash.map { UnsafeRawBufferPointer(rebasing: bytes[..<$0]) } ?? bytes
        guard let address = IPAddress(utf8: head) else {
            return allowsLength
                ? "is not an IP address with prefix length, such as 10.0.0.1/24 or fd00::1/64" : "is not an IP address"
        }
        if isV4Only, address.family != .v4 { return "is not an IPv4 address" }
        if isV6Only, address.family != .v6 { return "is not an IPv6 address" }
        guard let slash else { return nil }
        guard allowsLength else { return "is an address with a prefix length; write \(address) alone" }
        let length = Self.length(bytes[(slash + 1)...], upTo: Int(address.family.bitWidth))
        return length != nil ? nil : "is not an IP prefix (length 0–\(address.family.bitWidth))"
    }

    /// Reads a prefix length: decimal, without leading zeros.
    static func length(_ digits: Slice<UnsafeRawBufferPointer>, upTo maximum: Int) -> Int? {
        guard (1...3).contains(digits.count), digits.count == 1 || digits.first != UInt8(ascii: "0") else { return nil }
        var value = 0
        for byte in digits {
            guard byte &- 48 < 10 else { return nil }
            value = value * 10 + Int(byte - 48)
        }
        return value <= maximum ? value : nil
    }
}
