internal import Glibc
internal import Synchronization

/// Accepts connections from a listener and identifies their peers. The caller decides what to use them for.
package final class ConnectionSource: Sendable {
    /// A connection that has just come.
    package struct Connection: Sendable {
        /// The socket, which is the receiver's to close.
        package let socket: Int32
        /// The process at the other end; nil over TCP.
        package let credentials: PeerCredentials?
        /// The numeric address of the other end; nil on Unix sockets.
        package let address: String?
        /// The user whose socket is at the other end, when both ends are TCP sockets of this network namespace; else nil.
        package let user: UInt32?
    }

    private let listener: ServerListener
    private let watch = Mutex<UInt64?>(nil)

    /// Makes a source that takes nothing until it is started.
    package init(_ listener: ServerListener) { self.listener = listener }

    /// Starts accepting connections. `accepted` runs on a thread that must not block.
    ///
    /// - Throws: ``TransportError`` when the process has no descriptors or threads left.
    package func start(_ accepted: @escaping @Sendable (Connection) -> Void) throws(TransportError) {
        let loop = try RelayLoop.shared()
        let id = loop.newID()
        let isUnix =
            switch listener.address {
            case .unix: true
            case .tcp: false
            }
        try loop.listen(id: id, listener) { socket in
            accepted(
                Connection(
                    socket: socket, credentials: isUnix ? PeerCredentials(socket: socket, isAccepted: true) : nil,
                    address: isUnix ? nil : peerAddress(of: socket), user: isUnix ? nil : peerUser(of: socket)))
        }
        watch.withLock { $0 = id }
    }

    /// Takes no more connections.
    package func stop() {
        let id = watch.withLock { watch in
            defer { watch = nil }
            return watch
        }
        // Who was started has a loop.
        if let id, let loop = try? RelayLoop.shared() { loop.post(.remove(id: id)) }
    }
}
