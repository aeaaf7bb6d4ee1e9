package import MeshTransport

/// The identity of the peer of a transport connection, as far as the kernel or a certificate proves it.
///
/// What a peer says of itself or of others, such as the subject of a token signed by others, is not part of it.
package struct PeerIdentity: Hashable, Sendable, CustomStringConvertible {
    /// A SPIFFE id; without certificates `uid:USER net:NAMESPACE`, or the transport connection alone.
    package let description: String
    /// Who shares the limits of a peer: all processes of a user, as every user can make network namespaces without end; of
    /// user 0 only those of one namespace, as all pods have a user 0.
    package let account: String

    /// The peer of a connection.
    package init(_ info: ConnectionInfo) {
        let space = info.credentials?.namespace
        let number = (space?.cookie ?? space?.inode?.number).map { "\($0)" } ?? "?"
        switch info.credentials?.uid {
        case 0: account = "uid:0 net:\(number)"
        case let uid?: account = "uid:\(uid)"
        case nil: account = info.peer?.id.description ?? info.address ?? "connection \(info.id)"
        }
        if let peer = info.peer {
            description = peer.id.description
        } else if let credentials = info.credentials {
            description = "uid:\(credentials.uid) net:\(number)"
        } else {
            description = "connection \(info.id)"
        }
    }

    /// One that the transport does not prove: a forwarder's manager has verified it.
    package init(unproven description: String, account: String? = nil) {
        self.description = description
        self.account = account ?? description
    }

    /// By its identity.
    package static func == (left: PeerIdentity, right: PeerIdentity) -> Bool { left.description == right.description }

    /// By its identity.
    package func hash(into hasher: inout Hasher) { hasher.combine(description) }
}

/// Which connections of a monitor a peer may see.
package enum MonitorScope: Hashable, Sendable {
    /// All of them.
    case all
    /// Those that this peer asked for.
    case of(PeerIdentity)

    /// Whether it holds a connection that `owner` asked for.
    func shows(_ owner: PeerIdentity?) -> Bool {
        switch self {
        case .all: true
        case .of(let peer): owner == peer
        }
    }
}
