internal import CLinux
public import SPIFFE

/// How peers are recognised.
public enum Security: Sendable {
    /// They are not, and nothing is encrypted: for a local socket that only trusted programs can reach.
    case insecure
    /// By mutual TLS with SPIFFE identities.
    case identity(any IdentitySource)
}

/// Which process connected, as the kernel tells.
public struct PeerCredentials: Hashable, Sendable {
    /// Its process id, in our PID namespace; 0 when it is not in it.
    public let pid: Int32
    /// Its user.
    public let uid: UInt32
    /// Its group.
    public let gid: UInt32

    init?(socket: Int32) {
        var credentials = cl_credentials()
        guard cl_peer_credentials(socket, &credentials) == 0 else { return nil }
        pid = credentials.pid
        uid = credentials.uid
        gid = credentials.gid
    }
}

/// One transport connection, seen from either side.
public struct ConnectionInfo: Sendable {
    /// A number that no other connection of this process has.
    public let id: UInt64
    /// The descriptors beside the bytes; nil over TCP.
    public let descriptors: DescriptorChannel?
    /// The process at the other end; nil over TCP.
    public let credentials: PeerCredentials?
    /// The peer's identity; nil without TLS.
    public let peer: VerifiedPeer?
    /// What was shown to the peer in this connection's handshake; nil without TLS.
    public let local: Identity?

    /// The connection of the call that is being served; nil outside of calls.
    @TaskLocal public static var current: ConnectionInfo?
}

/// What is wrong with a connection.
public struct TransportError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Where, what, and what to do.
    public let description: String
    /// Makes an error.
    public init(_ description: String) { self.description = description }
}
