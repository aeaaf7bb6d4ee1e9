internal import Glibc
public import NetworkTypes

/// Where the local resolver is asked.
public struct ResolverAddress: Hashable, Sendable, CustomStringConvertible {
    /// The address.
    public let address: IPAddress
    /// The port. Range: 1...65535.
    public let port: UInt16

    /// The port that resolvers are asked at: files such as resolv.conf can't say another.
    public static let standardPort: UInt16 = 53
    /// The one that is meant when nothing is said.
    public static let standard = ResolverAddress(IPAddress(v4: 0x7f00_0001), port: standardPort)

    /// An address with a port.
    public init(_ address: IPAddress, port: UInt16) {
        self.address = address
        self.port = port
    }

    /// Reads `127.0.0.1`, `127.0.0.1:53`, `::1` or `[::1]:53`; nil when it is none.
    public init?(_ text: String) {
        if let address = IPAddress(text) {
            self.init(address, port: Self.standardPort)
            return
        }
        guard let colon = text.lastIndex(of: ":") else { return nil }
        let digits = text[text.index(after: colon)...]
        guard (1...5).contains(digits.utf8.count), digits.utf8.allSatisfy({ (48...57).contains($0) }),
            let port = UInt16(digits), port > 0
        else { return nil }
        var host = text[..<colon]
        let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
        if isBracketed { host = host.dropFirst().dropLast() }
        guard let address = IPAddress(host), (address.family == .v6) == isBracketed else { return nil }
        self.init(address, port: port)
    }

    /// `127.0.0.1:53`, `[::1]:53`
    public var description: String { address.family == .v4 ? "\(address):\(port)" : "[\(address)]:\(port)" }

    /// The address at which programs of this host ask.
    var asked: IPAddress {
        guard address == .unspecified(address.family) else { return address }
        return address.family == .v4 ? IPAddress(v4: 0x7f00_0001) : IPAddress(high: 0, low: 1)
    }
}
