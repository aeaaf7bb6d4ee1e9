internal import MeshTransport
internal import Glibc

/// The Unix socket on which an agent listens, and by which the command line finds it.
public enum ControlSocket {
    /// Where the daemon listens by default.
    public static let defaultPath = "/run/nsm-agent/control.sock"
    /// Where an apply that waits for confirmation listens by default.
    public static let confirmationPath = "/run/nsm-agent/confirm.sock"

    /// Why there is no socket.
    public enum Failure: Error, Sendable, CustomStringConvertible {
        /// The path has too many bytes for the kernel.
        case pathTooLong(String)
        /// Another process listens there.
        case inUse(String)
        /// The file at the path is not a socket.
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
                "the name of the socket \(path) is too long; choose a shorter one"
            case .inUse(let path): "another agent is listening on \(path); stop it or give another --socket"
            case .notASocket(let path): "\(path) is there and is not a socket; remove it or give another --socket"
            case .refused(let call, let path, let code):
                "\(call) of \(path) failed: \(String(cString: strerror(code))); check its directory or give another --socket"
            case .noAgent(let path): "no agent is listening on \(path); start it with 'nsm-agent run' or give --socket"
            case .forbidden(let path): "permission denied for \(path); the agent's socket is for root only"
            }
        }
    }

    /// The longest message, bytes: values of one `set`, or all that are declared.
    static let messageLimit = 64 << 20

    /// Makes a socket that only the owner can open, and listens on it. Its directory is made if need be, for everybody to
    /// look into, as other sockets are in it; a socket that nobody listens on any more is replaced.
    static func listen(on path: String) throws(Failure) -> ServerListener {
        do throws(ListenFailure) {
            return try ServerListener(path: path, mode: 0o600)
        } catch {
            switch error {
            case .inUse(let path): throw .inUse(path)
            case .notASocket(let path): throw .notASocket(path)
            case .refused(_, let path, ENAMETOOLONG): throw .pathTooLong(path)
            case .refused(let call, let path, let code): throw .refused(call: call, path: path, code: code)
            }
        }
    }

    /// Who may ask: root and the agent's own user, from outside of containers. Root of a container that sees the socket is not
    /// root of the host.
    static func refusal(_ peer: PeerCredentials?) -> String? {
        guard let peer else { return "the kernel does not tell who asks" }
        guard AgentUser.isTrusted(peer.uid) else { return "only root and the agent's user may ask" }
        if peer.isOfHost || !isContained(peer.pid) { return nil }
        return "programs of containers may not ask"
    }

    /// Whether a process is in a PID namespace below ours. Source: `NSpid`, proc_pid_status(5).
    private static func isContained(_ pid: Int32) -> Bool {
        // One that we don't see is above us, or beside us.
        guard pid > 0, let file = fopen("/proc/\(pid)/status", "re") else { return false }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 512)
        while fgets(&line, Int32(line.count), file) != nil {
            let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            if text.hasPrefix("NSpid:") { return text.dropFirst(6).split(whereSeparator: \.isWhitespace).count > 1 }
        }
        return false
    }

    /// Checks that somebody listens, so that a command can say so in plain words if not.
    public static func check(_ path: String) throws(Failure) {
        let result = SocketAddress.unix(path).probe()
        switch -result {
        // A full queue is one at which somebody may still arrive.
        case 0, EAGAIN: return
        case ENOENT, ECONNREFUSED, ENOTDIR: throw .noAgent(path)
        case EACCES, EPERM: throw .forbidden(path)
        case ENAMETOOLONG: throw .pathTooLong(path)
        default: throw .refused(call: "connect", path: path, code: -result)
        }
    }

    /// Removes the socket's file.
    public static func remove(_ path: String) {
        var status = stat()
        if lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK { unlink(path) }
    }
}
