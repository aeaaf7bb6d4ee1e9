internal import GRPCCore
public import MeshTransport
internal import NSM
internal import SPIFFE
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
        let most = network.family.bitWidth - 2
        guard network.length <= most else {
            throw TransportError("\(network) is too small to be divided; a network of at most /\(most) is needed")
        }
        let length = length ?? max(network.family == .v4 ? 24 : 64, network.length)
        let least: UInt8 = network.family == .v4 ? 8 : 16
        guard length >= least, PrefixPool(network, length: length) != nil else {
            throw TransportError(
                "\(network) can't be divided into parts of /\(length); /\(max(network.length, least)) to"
                    + " /\(most) are possible")
        }
        self = .network(network, length: length)
    }

    /// What answers the endpoints, and what must run for that.
    func service(_ requests: MeshRequests) -> (service: any RegistrableRPCService, run: @Sendable () async -> Void)? {
        let rights = requests.rights
        let record = PrefixRecord(directory: requests.settings.prefixDirectory, logger: requests.component.logger)
        let book = record.book
        switch self {
        case .network(let network, let length):
            guard let pool = PrefixPool(network, length: length) else { return nil }
            return (PrefixServer(pool, book: book) { try rights.prefixCaller($0) }, { await record.run() })
        case .server(let address):
            let server = PeerConnector(address, component: requests.component)
            let relay = PrefixRelay(server, book: book, admit: { try rights.prefixCaller($0) }) { id, prefix in
                if let id, case .tcp = address, !rights.isManager(try? SPIFFEID(id.description)) {
                    return "\(id) is not a manager; --manager names those"
                }
                guard let prefix else { return nil }
                let taken = await requests.excludedPrefixes().first { other in
                    other.contains(prefix.address) || prefix.contains(other.address)
                }
                return taken.map { "it gave \(prefix), of which this host has \($0)" }
            }
            return (
                relay,
                {
                    await withDiscardingTaskGroup { group in
                        group.addTask { await record.run() }
                        group.addTask { await relay.run() }
                    }
                }
            )
        }
    }
}

extension Rights {
    /// Who asks for shared prefixes: those who may offer some service.
    func prefixCaller(_ info: ConnectionInfo?) throws(RPCError) -> PrefixCallers.Caller {
        guard let info else {
            throw RPCError(code: .permissionDenied, message: "the call came by a transport that has no connections")
        }
        let caller = caller(info)
        let mayOffer =
            caller.isTrusted || settings.offers["*"] == nil
            || settings.offers.values.contains { $0.contains { $0.matches(caller.credentials, id: info.peer?.id) } }
        guard mayOffer else {
            throw RPCError(
                code: .permissionDenied, message: "\(caller.identity) may offer no service, and needs no prefixes")
        }
        return PrefixCallers.Caller(
            identity: caller.identity.description, account: caller.identity.account,
            isUnlimited: caller.standing == .root, isRelay: caller.standing == .manager)
    }
}
