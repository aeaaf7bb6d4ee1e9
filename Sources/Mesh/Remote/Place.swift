internal import MeshTransport
internal import NSM

/// Whom a manager asks for a connection.
enum Place: Hashable, Sendable, CustomStringConvertible {
    /// An endpoint of this host, by its name.
    case endpoint(String)
    /// The manager of another host.
    case host(SocketAddress)

    var description: String {
        switch self {
        case .endpoint(let name): name
        case .host(let address): address.url
        }
    }
}

extension RegistryStore.Entry {
    /// The manager of another host that has the endpoint; nil: it is on this host.
    var host: SocketAddress? {
        guard socket == nil, case .tcp? = SocketAddress(url: endpoint.url) else { return nil }
        return SocketAddress(url: endpoint.url)
    }

    /// Whom to ask for it.
    var place: Place { host.map { .host($0) } ?? .endpoint(endpoint.name) }
}

extension ConnectionInfo {
    /// Whether the call that is being served comes from another host: by a connection that carries no descriptors.
    static var isOfOtherHost: Bool { current.map { $0.descriptors == nil } ?? false }
}
