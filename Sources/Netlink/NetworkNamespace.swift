import CLinux
import Glibc

/// An open network namespace. It lives at least as long as this object, even without a process or a name.
public final class NetworkNamespace: Sendable {
    /// What tells one namespace from all others while it is open: `st_dev` and `st_ino` of its file.
    public struct Identity: Hashable, Sendable {
        /// `st_dev`.
        public let device: UInt64
        /// `st_ino`; a small number in the nsfs file system, used again once the namespace is gone.
        public let inode: UInt64
    }

    /// Device and inode number.
    public let identity: Identity
    private let file: Descriptor

    /// The open descriptor, for `IFLA_NET_NS_FD` and the like. Closed when this object goes.
    public var descriptor: Int32 { file.rawValue }
    /// The inode number, as `ip netns identify` and `/proc/PID/ns/net` show it.
    public var inode: UInt64 { identity.inode }

    /// Opens the namespace behind a file such as `/run/netns/NAME` or `/proc/PID/ns/net`.
    ///
    /// A name is a mount, which its creator may unmount at any time: it is not held, unless `CAP_SYS_ADMIN` is missing.
    ///
    /// - Parameters:
    ///   - home: where the calling thread is, if that is known: to find it out takes two system calls.
    ///   - visit: runs in the namespace, if it is entered to get a descriptor that does not hold the mount: what is to be opened
    ///     there anyway takes no visit of its own then. Returns a socket that is in it, if there is one, which makes the way to
    ///     that descriptor shorter.
    /// - Throws: `ENOENT` and others of open(2); `EINVAL` when the file is not a network namespace.
    public convenience init(
        path: String, home: NetworkNamespace? = nil, visit: (Identity) -> RouteSocket? = { _ in nil }
    ) throws(KernelError) {
        let file = try Descriptor(path: path)
        let isMount = !path.hasPrefix("/proc/") && cl_is_network_namespace(file.rawValue) == 1
        if isMount, let identity = try? Self.identity(of: file),
            let reopened = Self.reopen(file, identity, home: home, visit)
        {
            self.init(checked: reopened, identity)
        } else {
            try self.init(file, description: path)
        }
    }

    /// A descriptor of a namespace that does not hold the mount by which it was opened; nil: that takes CAP_SYS_ADMIN.
    private static func reopen(
        _ file: Descriptor, _ identity: Identity, home: NetworkNamespace?, _ visit: (Identity) -> RouteSocket?
    ) -> Descriptor? {
        let path = "/proc/thread-self/ns/net"
        guard let origin = try? home?.file ?? Descriptor(path: path), cl_setns_net(file.rawValue) == 0 else {
            return nil
        }
        defer { leave(to: origin) }
        if let socket = visit(identity), let result = try? Descriptor(cl_namespace_of_socket(socket.descriptor)) {
            return result
        }
        return try? Descriptor(path: path)
    }

    private static func identity(of file: Descriptor) throws(KernelError) -> Identity {
        var status = stat()
        guard fstat(file.rawValue, &status) == 0 else { throw KernelError(errno: errno) }
        return Identity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    }

    /// Takes over an open descriptor, for instance one received over a socket. Closed even when this throws.
    public convenience init(takingOver descriptor: Int32) throws(KernelError) {
        try self.init(Descriptor(descriptor), description: "descriptor \(descriptor)")
    }

    /// What is behind a file now, without opening it; nil: nothing.
    public static func identity(path: String) -> Identity? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return Identity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    }

    /// The files of the namespaces in which processes are, as far as they can be seen from here.
    public static var pathsOfProcesses: [String] {
        guard let processes = opendir("/proc") else { return [] }
        defer { closedir(processes) }
        var paths: [String] = []
        while let entry = readdir(processes) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if let first = name.utf8.first, (0x30...0x39).contains(first) { paths.append("/proc/\(name)/ns/net") }
        }
        return paths
    }

    /// The namespace the calling thread is in.
    public static func current() throws(KernelError) -> NetworkNamespace {
        try NetworkNamespace(path: "/proc/thread-self/ns/net")
    }

    /// A new namespace without a name, which goes with this object. The calling thread stays where it is.
    ///
    /// - Throws: `EPERM` without `CAP_SYS_ADMIN`.
    public static func scratch() throws(KernelError) -> NetworkNamespace {
        let descriptor = cl_new_network_namespace()
        guard descriptor >= 0 else { throw KernelError(errno: descriptor) }
        return try NetworkNamespace(takingOver: descriptor)
    }

    private convenience init(_ file: Descriptor, description: @autoclosure () -> String) throws(KernelError) {
        let answer = cl_is_network_namespace(file.rawValue)
        guard answer >= 0 else { throw KernelError(errno: answer) }
        guard answer == 1 else {
            throw KernelError(code: EINVAL, message: "\(description()) is not a network namespace")
        }
        self.init(checked: file, try Self.identity(of: file))
    }

    private init(checked file: Descriptor, _ identity: Identity) {
        self.identity = identity
        self.file = file
    }

    /// Moves the calling thread into the namespace, runs `body` and moves the thread back.
    ///
    /// Call it only on a thread of one's own, never on a task of the shared pool: what `body` calls must not hop to
    /// another thread, hence no `async`. Costs about 10 µs. If the way back fails the process aborts, since a thread
    /// left in a foreign namespace would do its later work in the wrong place.
    ///
    /// - Parameter home: where the calling thread is, if that is known: to find it out takes two system calls.
    /// - Throws: `EPERM` without `CAP_SYS_ADMIN`; what `body` throws.
    public func run<T>(from home: NetworkNamespace? = nil, _ body: () throws -> T) throws -> T {
        let origin = try enter(from: home)
        defer { NetworkNamespace.leave(to: origin) }
        return try body()
    }

    /// Moves the calling thread into the namespace; the descriptor is the way back.
    func enter(from home: NetworkNamespace? = nil) throws(KernelError) -> Descriptor {
        let origin: Descriptor
        if let home { origin = home.file } else { origin = try Descriptor(path: "/proc/thread-self/ns/net") }
        let result = cl_setns_net(descriptor)
        guard result == 0 else { throw KernelError(errno: result) }
        return origin
    }

    /// Moves the calling thread back. It throws no error: whatever this thread did next, it would do to the network of
    /// another namespace.
    static func leave(to origin: Descriptor) {
        let result = cl_setns_net(origin.rawValue)
        guard result == 0 else {
            fatalError("a thread can't return to its network namespace: \(KernelError(errno: result))")
        }
    }
}
