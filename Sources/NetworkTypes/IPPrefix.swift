/// An address with a prefix length, such as 10.0.0.1/24 or fd00::/64. Host bits are kept.
public struct IPPrefix: Hashable, Sendable, Comparable {
    /// The address, with its host bits.
    public let address: IPAddress
    /// Bits of the network part: 0 to 32 for IPv4, 0 to 128 for IPv6.
    public let length: UInt8

    /// Makes a prefix; nil when `length` exceeds the family's width.
    public init?(_ address: IPAddress, length: UInt8) {
        guard length <= address.family.bitWidth else { return nil }
        self.address = address
        self.length = length
    }

    /// The address alone: /32 or /128.
    public init(host address: IPAddress) {
        self.address = address
        self.length = address.family.bitWidth
    }

    /// The default route of a family: 0.0.0.0/0 or ::/0.
    public static func any(_ family: IPAddress.Family) -> IPPrefix {
        IPPrefix(unchecked: .unspecified(family), length: 0)
    }

    private init(unchecked address: IPAddress, length: UInt8) {
        self.address = address
        self.length = length
    }

    /// The address family.
    public var family: IPAddress.Family { address.family }

    /// The prefix with its host bits cleared.
    public var network: IPPrefix { IPPrefix(unchecked: address.masked(to: length), length: length) }

    /// Whether this is one address, /32 or /128.
    public var isHost: Bool { length == family.bitWidth }

    /// Whether `other` is of the same family and lies inside this prefix.
    public func contains(_ other: IPAddress) -> Bool {
        other.family == family && other.masked(to: length) == address.masked(to: length)
    }

    /// By address, then by length.
    public static func < (left: IPPrefix, right: IPPrefix) -> Bool {
        (left.address, left.length) < (right.address, right.length)
    }
}

extension IPPrefix: CustomStringConvertible, LosslessStringConvertible {
    /// Reads ADDRESS/LENGTH, or ADDRESS for a single host. The length is decimal without leading zeros.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = IPAddress(parts[0]) else { return nil }
        guard parts.count == 2 else {
            self.init(host: address)
            return
        }
        guard (1...3).contains(parts[1].utf8.count), parts[1].allSatisfy({ "0"..."9" ~= $0 }),
            parts[1].count == 1 || parts[1].first != "0", let length = UInt8(parts[1])
        else { return nil }
        self.init(address, length: length)
    }

    /// ADDRESS/LENGTH, always with the length.
    public var description: String { "\(address)/\(length)" }
}
