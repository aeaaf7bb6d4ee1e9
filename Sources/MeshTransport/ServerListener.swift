internal import CLinux
internal import Glibc

/// A socket that listens. Connections wait in its queue until an ``RPCServer`` runs with it.
package final class ServerListener: Sendable {
    /// Where it listens, with the real port.
    package let address: SocketAddress
    let socket: Int32
    /// The file it made, so that it does not remove another's.
    private let file: Inode?

    /// Listens. On a Unix socket's path, directories that are missing are made with mode 0755, and a socket that nobody
    /// listens on any more is replaced; whatever else is there is left alone.
    ///
    /// - Parameter mode: Who may connect to a Unix socket, whatever the umask; the file has this mode before anybody can.
    /// - Throws: ``TransportError``, also when another program listens there.
    package init(_ address: SocketAddress, mode: UInt32 = 0o600) throws(TransportError) {
        switch address {
        case .unix(let path):
            do {
                let made = try UnixSocketFile.listen(path, mode: mode)
                socket = made.socket
                file = made.file
                self.address = address
            } catch {
                throw TransportError("\(address.url): \(error)")
            }
        case .tcp(let host, let port):
            guard let number = UInt16(exactly: port) else {
                throw TransportError("\(address.url): a port from 0 to 65535 is needed, not \(port)")
            }
            let result = cl_tcp_listen(host, number)
            guard result >= 0 else {
                let hint = result == -EINVAL ? "; a numeric address is needed" : ""
                throw TransportError("\(address.url): \(String(cString: strerror(-result)))\(hint)")
            }
            socket = result
            file = nil
            self.address = .tcp(host: host, port: Int(cl_socket_port(result)))
        }
    }

    /// Listens at a path as the other one does, and says why not in a way that a program can tell apart.
    package init(path: String, mode: UInt32) throws(ListenFailure) {
        let made = try UnixSocketFile.listen(path, mode: mode)
        socket = made.socket
        file = made.file
        address = .unix(path)
    }

    deinit {
        removeFile()
        close(socket)
    }

    /// Removes the file of a Unix socket: nobody finds it any more. It goes by itself when nobody holds the listener.
    package func removeFile() {
        if case .unix(let path) = address, let file { UnixSocketFile.remove(path, file) }
    }
}
