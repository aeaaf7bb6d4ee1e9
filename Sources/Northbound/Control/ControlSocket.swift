internal import Glibc

/// The Unix socket on which an agent listens, and by which the command line finds it.
public enum ControlSocket {
    /// Where the daemon listens unless told otherwise.
    public static let defaultPath = "/run/nsm-agent/control.sock"
    /// Where an apply that waits for confirmation listens unless told otherwise.
    public static let confirmationPath = "/run/nsm-agent/confirm.sock"

    /// Why there is no socket.
    public enum Failure: Error, Sendable, CustomStringConvertible {
        /// The path has too many bytes for the kernel.
        case pathTooLong(String)
        /// Another process listens there.
        case inUse(String)
        /// Something that is no socket is there.
        case notASocket(String)
        /// A system call failed.
        case refused(call: String, path: String, code: Int32)
        /// Nobody listens.
        case noAgent(String)
        /// Only root, or the agent's user, may connect.
        case forbidden(String)

        /// What is wrong and what to do.
        public var description: String {
            switch self {
            case .pathTooLong(let path):
                "the socket path \(path) is longer than \(capacity - 1) bytes; choose a shorter one"
            case .inUse(let path): "another agent is listening on \(path); stop it or give another --socket"
            case .notASocket(let path): "\(path) is there and is no socket; remove it or give another --socket"
            case .refused(let call, let path, let code):
                "\(call) of \(path) failed: \(String(cString: strerror(code))); check its directory or give another --socket"
            case .noAgent(let path): "no agent is listening on \(path); start it with 'nsm-agent run' or give --socket"
            case .forbidden(let path): "permission denied for \(path); the agent's socket is for root only"
            }
        }
    }

    /// Bytes of a path, with its NUL.
    private static let capacity = MemoryLayout.size(ofValue: sockaddr_un().sun_path)

    /// Makes a socket that only the owner can open, and listens on it. Its directory is made if need be, mode 0700; a
    /// socket that nobody listens on any more is replaced.
    /// - Returns: the descriptor.
    public static func listen(on path: String) throws(Failure) -> Int32 {
        try makeDirectory(of: path)
        var status = stat()
        if lstat(path, &status) == 0 {
            guard status.st_mode & S_IFMT == S_IFSOCK else { throw .notASocket(path) }
            if try isAlive(path) { throw .inUse(path) }
            unlink(path)
        }
        let descriptor = try open(path)
        // The file gets the mode of the socket, so it is never open to others, whatever the umask.
        guard fchmod(descriptor, 0o600) == 0 else { throw failure("fchmod", path, closing: descriptor) }
        let result = try withAddress(path) { Glibc.bind(descriptor, $0, $1) }
        guard result == 0 else { throw failure("bind", path, closing: descriptor) }
        guard Glibc.listen(descriptor, 16) == 0 else { throw failure("listen", path, closing: descriptor) }
        return descriptor
    }

    /// Checks that somebody listens, so that a command can say so in plain words if not.
    public static func check(_ path: String) throws(Failure) {
        guard try isAlive(path) else { throw .noAgent(path) }
    }

    /// Removes the socket's file.
    public static func remove(_ path: String) { unlink(path) }

    private static func isAlive(_ path: String) throws(Failure) -> Bool {
        let descriptor = try open(path)
        defer { close(descriptor) }
        if try withAddress(path, { connect(descriptor, $0, $1) }) == 0 { return true }
        switch errno {
        case ENOENT, ECONNREFUSED, ENOTDIR, ENOTSOCK: return false
        case EACCES, EPERM: throw .forbidden(path)
        case EAGAIN: return true
        default: throw .refused(call: "connect", path: path, code: errno)
        }
    }

    private static func open(_ path: String) throws(Failure) -> Int32 {
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let descriptor = socket(AF_UNIX, type, 0)
        guard descriptor >= 0 else { throw .refused(call: "socket", path: path, code: errno) }
        return descriptor
    }

    private static func makeDirectory(of path: String) throws(Failure) {
        guard let slash = path.lastIndex(of: "/"), slash > path.startIndex else { return }
        let directory = String(path[..<slash])
        if mkdir(directory, 0o700) == 0 || errno == EEXIST { return }
        throw .refused(call: "mkdir", path: directory, code: errno)
    }

    private static func failure(_ call: String, _ path: String, closing descriptor: Int32) -> Failure {
        let code = errno
        close(descriptor)
        return .refused(call: call, path: path, code: code)
    }

    private static func withAddress(
        _ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) throws(Failure) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        guard path.utf8.count < capacity else { throw .pathTooLong(path) }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }
}
