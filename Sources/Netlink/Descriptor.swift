import Glibc

/// An open file descriptor with one owner: closed when the last reference goes.
final class Descriptor: Sendable {
    let rawValue: Int32

    /// Takes ownership; a negative value is an errno value of the shim.
    init(_ result: Int32) throws(KernelError) {
        guard result >= 0 else { throw KernelError(errno: result) }
        rawValue = result
    }

    /// Opens a file for reading, close-on-exec. `O_NONBLOCK` keeps a FIFO from blocking the thread.
    convenience init(path: String) throws(KernelError) {
        let result = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        try self.init(result < 0 ? -errno : result)
    }

    deinit { close(rawValue) }
}
