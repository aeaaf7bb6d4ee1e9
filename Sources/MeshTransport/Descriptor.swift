internal import CLinux
internal import Glibc

/// What is wrong with a descriptor.
public struct DescriptorError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Where, what, and what to do.
    public let description: String
    /// Makes an error.
    public init(_ description: String) { self.description = description }

    init(_ what: String, code: Int32) {
        self.init("\(what): \(String(cString: strerror(code)))")
    }
}

/// What a descriptor stands for, whatever its number in a process.
public struct Inode: Hashable, Sendable {
    /// The device, as in `st_dev`.
    public let device: UInt64
    /// The number on it, as in `st_ino`.
    public let number: UInt64

    /// Makes an inode.
    public init(device: UInt64, number: UInt64) {
        self.device = device
        self.number = number
    }

    /// Reads `inode://DEVICE/NUMBER`, decimal; nil when the text is none.
    public init?(url: String) {
        guard url.hasPrefix("inode://") else { return nil }
        let words = url.dropFirst(8).split(separator: "/", omittingEmptySubsequences: false)
        guard words.count == 2, let device = UInt64(words[0]), let number = UInt64(words[1]) else { return nil }
        self.init(device: device, number: number)
    }

    /// `inode://DEVICE/NUMBER`
    public var url: String { "inode://\(device)/\(number)" }
}

/// An owned file descriptor. It is closed when its last reference is gone.
public final class Descriptor: Sendable {
    /// Its number in this process.
    public let number: Int32
    /// What it stands for.
    public let inode: Inode

    /// Takes ownership of an open descriptor; also when this throws.
    ///
    /// - Throws: ``DescriptorError`` when it is not open.
    public init(owning number: Int32) throws(DescriptorError) {
        var device: UInt64 = 0
        var inode: UInt64 = 0
        let result = cl_inode(number, &device, &inode)
        guard result == 0 else {
            close(number)
            throw DescriptorError("descriptor \(number)", code: -result)
        }
        self.number = number
        self.inode = Inode(device: device, number: inode)
    }

    deinit { close(number) }

    /// Opens a file for reading, or only as a place (`O_PATH`), which also works for sockets.
    ///
    /// - Throws: ``DescriptorError``.
    public static func open(_ path: String, pathOnly: Bool) throws(DescriptorError) -> Descriptor {
        let number = cl_open(path, pathOnly)
        guard number >= 0 else { throw DescriptorError(path, code: -number) }
        return try Descriptor(owning: number)
    }

    /// The same file, opened for reading: what was opened as a place can't be given to `setns(2)` or netlink.
    ///
    /// - Throws: ``DescriptorError``.
    package func reopened() throws(DescriptorError) -> Descriptor { try Descriptor.open(path, pathOnly: false) }

    /// A path that leads to it from this process.
    package var path: String { "/proc/self/fd/\(number)" }

    /// How it was opened: for reading, for writing, or as a place. Source: `F_GETFL`, fcntl(2).
    var flags: Int32 { fcntl(number, F_GETFL) }

    /// What it stands for, and whose that is; nil when the kernel does not tell. Nothing is opened for it.
    package var file: FileStatus? {
        var status = cl_file_status()
        guard cl_status(number, &status) == 0 else { return nil }
        return FileStatus(isSocket: status.is_socket, mode: status.mode, uid: status.uid, gid: status.gid)
    }

    /// Whether it is the file of a Unix socket that listens in the network namespace of this process, as far as the kernel tells.
    /// Source: sock_diag(7).
    package var listensHere: Bool { cl_unix_listens_here(number) == 1 }

    /// Whether it is a namespace, of whatever type; told without opening what it stands for, which for a device or a FIFO has
    /// effects. Source: `NSFS_MAGIC`, fstatfs(2).
    package var isNamespace: Bool { cl_is_namespace(number) == 1 }

    /// Another descriptor of the same open file.
    func duplicate() throws(DescriptorError) -> Descriptor {
        let copy = fcntl(number, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else { throw DescriptorError("descriptor \(number) can't be duplicated", code: errno) }
        return try Descriptor(owning: copy)
    }
}

/// What a descriptor stands for.
package struct FileStatus: Hashable, Sendable {
    /// Whether it is a socket's file.
    package let isSocket: Bool
    /// The permission bits, as in chmod(2).
    package let mode: UInt32
    /// Its owner.
    package let uid: UInt32
    /// Its group.
    package let gid: UInt32

    /// Whether its mode lets a process write to it, which for a socket is the right to connect.
    package func canBeWritten(by process: PeerCredentials) -> Bool {
        if process.uid == uid { return mode & 0o200 != 0 }
        if process.gid == gid || process.groups.contains(gid) { return mode & 0o020 != 0 }
        return mode & 0o002 != 0
    }
}
