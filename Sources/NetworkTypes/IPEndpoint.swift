/// An address with a UDP or TCP port, such as 192.0.2.1:51820 or [2001:db8::1]:51820.
public struct IPEndpoint: Hashable, Sendable {
    /// The address.
    public let address: IPAddress
    /// The port, host byte order.
    public let port: UInt16

    /// Pairs an address with a port.
    public init(_ address: IPAddress, port: UInt16) {
        self.address = address
        self.port = port
    }
}

extension IPEndpoint: CustomStringConvertible {
    /// `192.0.2.1:51820`, `[2001:db8::1]:51820`
    public var description: String { address.family == .v4 ? "\(address):\(port)" : "[\(address)]:\(port)" }
}
