import CLinux
import Glibc

/// A name that one process at a time has in a network namespace: that of an abstract Unix socket, which lives in the namespace
/// and goes with the process, however it ends.
public final class NamespaceLock: Sendable {
    /// The holder of a name.
    public struct Holder: Sendable {
        /// The process, as far as it can be seen from here; 0: it can't.
        public let pid: Int32
        private let connection: Descriptor

        init?(_ connection: Descriptor) {
            var credentials = cl_credentials()
            guard cl_peer_credentials(connection.rawValue, &credentials) == 0, credentials.uid == 0 else { return nil }
            pid = credentials.pid
            self.connection = connection
        }

        /// Becomes readable when the name is given up.
        public var descriptor: Int32 { connection.rawValue }

        /// Waits until the name is given up, at most so long. Returns whether it was.
        public func hasEnded(within milliseconds: Int32) -> Bool {
            var entry = pollfd(fd: connection.rawValue, events: Int16(POLLIN), revents: 0)
            return poll(&entry, 1, max(milliseconds, 0)) > 0
        }
    }

    /// What came of trying to take a name.
    public enum Attempt: Sendable {
        /// It is ours for as long as the lock lives.
        case taken(NamespaceLock)
        /// A process of root holds it.
        case held(Holder)
        /// Its holder is not trusted: the kernel does not report that it runs as root.
        case squatted
    }

    private let socket: Descriptor

    private init(_ socket: Descriptor) { self.socket = socket }

    /// Tries to take a name in the network namespace of the calling thread.
    public static func take(_ name: String) throws(KernelError) -> Attempt {
        // The holder may release the name between our two looks.
        for _ in 0..<3 {
            let result = cl_abstract_listen(name)
            if result != -EADDRINUSE { return .taken(NamespaceLock(try Descriptor(result))) }
            let connection = cl_abstract_connect(name)
            if connection >= 0 { return try Holder(Descriptor(connection)).map { .held($0) } ?? .squatted }
            // EAGAIN: strangers fill the queue of the listener.
            if connection != -ECONNREFUSED { return .squatted }
        }
        return .squatted
    }
}
