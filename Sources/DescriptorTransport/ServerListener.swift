internal import CLinux
internal import Glibc

/// A socket that listens. Connections wait in its queue until an ``RPCServer`` runs with it.
public final class ServerListener: Sendable {
    /// Where it listens, with the real port.
    public let address: SocketAddress
    let socket: Int32
    /// The file it made, so that it does not remove another's.
    private let file: Inode?

    /// Listens. On a Unix socket's path, a directory that is missing is made, and a file of a listener that is gone is
    /// replaced.
    ///
    /// - Parameter mode: Who may connect to a Unix socket; the file has this mode before anybody can.
    /// - Throws: ``TransportError``, also when another program listens there.
    public init(_ address: SocketAddress, mode: UInt32 = 0o600) throws(TransportError) {
        switch address {
        case .unix(let path):
            do {
                socket = try Self.listen(path, mode)
                file = try? Descriptor.open(path, pathOnly: true).inode
                self.address = address
            } catch {
                throw TransportError("\(address.url): \(error)")
            }
        case .tcp(let host, let port):
            let result = cl_tcp_listen(host, UInt16(port))
            guard result >= 0 else {
                let hint = result == -EINVAL ? "; a numeric address is needed" : ""
                throw TransportError("\(address.url): \(String(cString: strerror(-result)))\(hint)")
            }
            socket = result
            file = nil
            self.address = .tcp(host: host, port: Int(cl_socket_port(result)))
        }
    }

    deinit {
        if case .unix(let path) = address, let file, (try? Descriptor.open(path, pathOnly: true))?.inode == file {
            unlink(path)
        }
        close(socket)
    }

    private static func listen(_ path: String, _ mode: UInt32) throws -> Int32 {
        if let slash = path.lastIndex(of: "/"), slash != path.startIndex {
            try makeDirectory(String(path[..<slash]))
        }
        return try withShortPath(path) { short in
            var result = cl_unix_listen(short, mode_t(mode))
            if result == -EADDRINUSE {
                let probe = cl_unix_connect(short)
                if probe >= 0 { close(probe) }
                guard probe == -ECONNREFUSED else {
                    throw TransportError("another program listens there, or it is no socket")
                }
                unlink(short)
                result = cl_unix_listen(short, mode_t(mode))
            }
            guard result >= 0 else { throw TransportError(String(cString: strerror(-result))) }
            return result
        }
    }

    private static func makeDirectory(_ path: String) throws {
        if mkdir(path, 0o755) == 0 || errno == EEXIST { return }
        guard errno == ENOENT, let slash = path.lastIndex(of: "/"), slash != path.startIndex else {
            throw TransportError("\(path): \(String(cString: strerror(errno)))")
        }
        try makeDirectory(String(path[..<slash]))
        guard mkdir(path, 0o755) == 0 || errno == EEXIST else {
            throw TransportError("\(path): \(String(cString: strerror(errno)))")
        }
    }
}
