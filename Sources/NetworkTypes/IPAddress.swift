/// An IPv4 or IPv6 address.
///
/// Source: RFC 791, RFC 4291. Text forms are those of inet_pton(3); IPv6 is printed as RFC 5952 says.
public struct IPAddress: Hashable, Sendable {
    /// Which version of the protocol an address belongs to.
    public enum Family: UInt8, Hashable, Sendable, Comparable, CaseIterable {
        /// IPv4; `AF_INET`.
        case v4 = 2
        /// IPv6; `AF_INET6`.
        case v6 = 10

        /// Bits in an address: 32 or 128.
        public var bitWidth: UInt8 { self == .v4 ? 32 : 128 }

        /// IPv4 comes first.
        public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
    }

    /// The upper 64 bits of an IPv6 address, 0 for IPv4. Host byte order.
    public let high: UInt64
    /// The lower 64 bits of an IPv6 address, or the 32 bits of an IPv4 address. Host byte order.
    public let low: UInt64
    /// The address family.
    public let family: Family

    /// Makes an IPv6 address from its two halves, in host byte order.
    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
        self.family = .v6
    }

    /// Makes an IPv4 address from its 32 bits, in host byte order: 10.0.0.1 is 0x0a000001.
    public init(v4 bits: UInt32) {
        self.high = 0
        self.low = UInt64(bits)
        self.family = .v4
    }

    /// Makes an address from bytes in network order: 4 for IPv4, 16 for IPv6; nil for other counts.
    public init?(networkOrder bytes: UnsafeRawBufferPointer) {
        switch bytes.count {
        case 4:
            self.init(v4: UInt32(bigEndian: bytes.loadUnaligned(as: UInt32.self)))
        case 16:
            self.init(
                high: UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self)),
                low: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)))
        default:
            return nil
        }
    }

    /// The unspecified address of a family: 0.0.0.0 or ::.
    public static func unspecified(_ family: Family) -> IPAddress {
        family == .v4 ? IPAddress(v4: 0) : IPAddress(high: 0, low: 0)
    }

    /// Calls `body` with the bytes in network order: 4 for IPv4, 16 for IPv6.
    public func withNetworkOrderBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        switch family {
        case .v4:
            var bits = UInt32(truncatingIfNeeded: low).bigEndian
            return try withUnsafeBytes(of: &bits, body)
        case .v6:
            var bits = (high.bigEndian, low.bigEndian)
            return try withUnsafeBytes(of: &bits, body)
        }
    }

    /// Whether this is 0.0.0.0 or ::.
    public var isUnspecified: Bool { high == 0 && low == 0 }

    /// Whether this is 224.0.0.0/4 (RFC 5771) or ff00::/8 (RFC 4291).
    public var isMulticast: Bool {
        family == .v4 ? low >> 28 == 0xe : high >> 56 == 0xff
    }

    /// Whether this is 169.254.0.0/16 (RFC 3927) or fe80::/10 (RFC 4291).
    public var isLinkLocal: Bool {
        family == .v4 ? low >> 16 == 0xa9fe : high >> 54 == 0xfe80 >> 6
    }

    /// Whether this is 127.0.0.0/8 or ::1.
    public var isLoopback: Bool {
        family == .v4 ? low >> 24 == 127 : high == 0 && low == 1
    }

    /// The address with all but its first `length` bits cleared.
    public func masked(to length: UInt8) -> IPAddress {
        switch family {
        case .v4:
            let mask: UInt64 = length == 0 ? 0 : (0xffff_ffff << UInt64(32 - min(length, 32))) & 0xffff_ffff
            return IPAddress(v4: UInt32(truncatingIfNeeded: low & mask))
        case .v6:
            let upper: UInt64 = length == 0 ? 0 : length >= 64 ? .max : .max << UInt64(64 - length)
            let lower: UInt64 = length <= 64 ? 0 : length >= 128 ? .max : .max << UInt64(128 - length)
            return IPAddress(high: high & upper, low: low & lower)
        }
    }
}

extension IPAddress: Comparable {
    /// IPv4 comes before IPv6; within a family by number.
    public static func < (left: IPAddress, right: IPAddress) -> Bool {
        (left.family, left.high, left.low) < (right.family, right.high, right.low)
    }
}
