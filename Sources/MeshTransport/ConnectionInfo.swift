internal import CLinux
internal import Glibc
public import SPIFFE
internal import Synchronization

/// How peers are recognised.
public enum Security: Sendable {
    /// They are not, and nothing is encrypted: for a local socket that only trusted programs can reach.
    case insecure
    /// By mutual TLS with SPIFFE identities.
    case identity(any IdentitySource)
}

/// The network namespace in which a peer's socket was made. It can't be chosen by who only holds a descriptor of it.
package struct PeerNamespace: Hashable, Sendable {
    /// `SO_NETNS_COOKIE`: the kernel gives it to no other namespace until the next boot. Nil before Linux 5.14.
    package let cookie: UInt64?
    /// Its file, while the connection is open; nil when we lack `CAP_NET_ADMIN` over it.
    package let inode: Inode?

    /// That of an accepted socket's client; nil when the kernel tells neither.
    init?(accepted socket: Int32) {
        self.init(socket: socket)
    }

    /// One that does not come from the kernel, for tests.
    init(cookie: UInt64?, inode: Inode?) {
        self.cookie = cookie
        self.inode = inode
    }

    private init?(socket: Int32) {
        var number: UInt64 = 0
        cookie = cl_socket_namespace_cookie(socket, &number) == 0 ? number : nil
        // Source: SIOCGSKNS, net/socket.c.
        let space = cl_socket_namespace(socket)
        inode = space >= 0 ? (try? Descriptor(owning: space))?.inode : nil
        if cookie == nil, inode == nil { return nil }
    }

    /// The namespace of this process's main thread, found in the same way; nil when no descriptors are left.
    package static var own: PeerNamespace? {
        known.withLock { known in
            if known == nil {
                var pair: [Int32] = [-1, -1]
                guard cl_stream_pair(&pair) == 0 else { return nil }
                defer { for end in pair { close(end) } }
                known = PeerNamespace(socket: pair[0])
            }
            return known
        }
    }
    private static let known = Mutex<PeerNamespace?>(nil)

    /// Whether both are the same one: by the cookies where both are known, else by the files.
    package func isSame(as other: PeerNamespace) -> Bool {
        if let cookie, let known = other.cookie { return cookie == known }
        if let inode, let known = other.inode { return inode == known }
        return false
    }
}

/// Which process connected, as the kernel tells.
package struct PeerCredentials: Hashable, Sendable {
    /// Its process id, in our PID namespace; 0 when it is not in it.
    package let pid: Int32
    /// Its user.
    package let uid: UInt32
    /// Its group.
    package let gid: UInt32
    /// Its supplementary groups, up to a limit that keeps the list cheap.
    package let groups: [UInt32]
    /// Where its socket was made; nil for a listener that we connected to, of which the kernel does not tell it.
    package let namespace: PeerNamespace?

    /// Longer lists of groups count as empty.
    private static let mostGroups = 256

    init?(socket: Int32, isAccepted: Bool) {
        var credentials = cl_credentials()
        guard cl_peer_credentials(socket, &credentials) == 0 else { return nil }
        pid = credentials.pid
        uid = credentials.uid
        gid = credentials.gid
        var groups = [gid_t](repeating: 0, count: Self.mostGroups)
        let count = cl_peer_groups(socket, &groups, Int32(groups.count))
        self.groups = Array(groups.prefix(Int(max(count, 0))))
        namespace = isAccepted ? PeerNamespace(accepted: socket) : nil
    }

    /// Whether its socket was made in the network namespace of this process.
    package var isOfHost: Bool {
        guard let namespace, let own = PeerNamespace.own else { return false }
        return namespace.isSame(as: own)
    }

    /// Whether it is root of this host: user 0, with a socket that was made where we are. User 0 of a pod is not.
    package var isHostRoot: Bool { uid == 0 && isOfHost }
}

/// One transport connection, seen from either side.
package struct ConnectionInfo: Sendable {
    /// A number that no other connection of this process has.
    package let id: UInt64
    /// The descriptors beside the bytes; nil over TCP.
    package let descriptors: DescriptorChannel?
    /// The process at the other end; nil over TCP.
    package let credentials: PeerCredentials?
    /// The numeric address of the other end; nil on Unix sockets.
    package let address: String?
    /// The user whose socket is at the other end, when both ends are TCP sockets of this network namespace; else nil.
    package let user: UInt32?
    /// The peer's identity; nil without TLS.
    package let peer: VerifiedPeer?
    /// What was shown to the peer in this connection's handshake; nil without TLS.
    package let local: Identity?
    /// The tokens that went over it.
    package let tokens = TokenMemory()

    /// The connection of the call that is being served; nil outside of calls.
    @TaskLocal package static var current: ConnectionInfo?
}

/// Whom a program takes connections from, or makes them to, before a byte is exchanged. It returns why not; nil lets them in.
package typealias Admission = @Sendable (PeerCredentials?) -> String?

/// What is wrong with a connection.
public struct TransportError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Where, what, and what to do.
    public let description: String
    /// Makes an error.
    public init(_ description: String) { self.description = description }

    static let noDescriptors = TransportError(
        "no descriptors are left; raise the limit of open files (LimitNOFILE, ulimit -n)")
    static let noThreads = TransportError("no threads are left; raise the limit of tasks (TasksMax, ulimit -u)")
}
