internal import GRPCCore
public import MeshTransport
internal import NSM
public import NetworkTypes

/// Where the endpoints of a mesh have shared prefixes from, so that those of one service on several hosts give addresses of one
/// network without clash.
public enum PrefixSource: Hashable, Sendable {
    /// This mesh divides a network into parts of a length.
    case network(IPPrefix, length: UInt8)
    /// It asks another one: the mesh of another host, or an IPAM of vL3 networks.
    case server(SocketAddress)

    /// Reads a prefix, or a URL.
    ///
    /// - Parameters:
    ///   - text: `10.60.0.0/16`, or `tcp://192.0.2.1:5001`.
    ///   - length: Of the parts; nil: /24 and /64, or the network's own when that is longer.
    /// - Throws: `TransportError` with what is wrong and what would be right.
    public init(_ text: String, length: UInt8?) throws(TransportError) {
        guard let network = IPPrefix(text)?.network, text.contains("/"), !text.contains("://") else {
            guard let address = SocketAddress(url: text) else {
                throw TransportError(
                    "'\(text)' is neither a prefix such as 10.60.0.0/16 nor a URL such as tcp://address:port")
            }
            guard length == nil else {
                throw TransportError("the length of prefixes is set where they are given, not at \(text)")
            }
            self = .server(address)
            return
        }
        let length = length ?? max(network.family == .v4 ? 24 : 64, network.length)
        let most = network.family.bitWidth - 2
        guard network.length <= most else {
            throw TransportError("\(network) is too small to be divided; a network of at most /\(most) is needed")
        }
        let least: UInt8 = network.family == .v4 ? 8 : 16
        guard length >= least, PrefixPool(network, length: length) != nil else {
            throw TransportError(
                "\(network) can't be divided into parts of /\(length); /\(max(network.length, least)) to"
                    + " /\(network.family.bitWidth - 2) are possible")
        }
        self = .network(network, length: length)
    }

    /// What answers the endpoints.
    func service(_ peers: EndpointPeers) -> (any RegistrableRPCService)? {
        switch self {
        case .network(let network, let length): PrefixPool(network, length: length).map { PrefixServer($0) }
        case .server(let address): PrefixRelay(peers.connector(address))
        }
    }
}
