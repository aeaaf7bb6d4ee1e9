internal import CLinux
internal import Glibc

/// Why listening at a path fails.
package enum ListenFailure: Error, Hashable, Sendable, CustomStringConvertible {
    /// Another program listens there.
    case inUse(String)
    /// The path exists and is not a socket: it is not ours to remove.
    case notASocket(String)
    /// A system call failed.
    case refused(call: String, path: String, code: Int32)

    /// What is wrong and what to do.
    package var description: String {
        switch self {
        case .inUse(let path): "another program listens on \(path); stop it or choose another path"
        case .notASocket(let path): "\(path) is there and is not a socket; remove it or choose another path"
        case .refused(let call, let path, let code): "\(call) of \(path) failed: \(String(cString: strerror(code)))"
        }
    }
}

/// The files of listening Unix sockets.
enum UnixSocketFile {
    /// Listens at a path. Directories that are missing are made, with mode 0755; a socket that nobody listens on any more is
    /// replaced, and nothing else ever is. Neither depends on the umask.
    ///
    /// - Parameter mode: Of the socket's file; it has this mode before anybody can connect.
    /// - Returns: The socket, and its file.
    static func listen(_ path: String, mode: UInt32) throws(ListenFailure) -> (socket: Int32, file: Inode) {
        if let slash = path.lastIndex(of: "/"), slash != path.startIndex {
            try makeDirectory(String(path[..<slash]))
        }
        let kept: Descriptor?
        let short: String
        do {
            (short, kept) = try shortened(path)
        } catch {
            throw .refused(call: "open", path: path, code: ENOENT)
        }
        defer { withExtendedLifetime(kept) {} }
        try removeAbandoned(short, path)
        let result = cl_unix_listen(short, mode_t(mode))
        if result == -EADDRINUSE { throw .inUse(path) }
        guard result >= 0 else { throw .refused(call: "bind", path: path, code: -result) }
        guard let file = socketFile(short) else {
            close(result)
            throw .refused(call: "lstat", path: path, code: ENOENT)
        }
        return (result, file)
    }

    /// Removes the file of a socket if it is still that one.
    static func remove(_ path: String, _ file: Inode) {
        guard let (short, kept) = try? shortened(path), socketFile(short) == file else { return }
        unlink(short)
        withExtendedLifetime(kept) {}
    }

    /// Connects, to see whether it has a listener: 0, or the error as a negative number.
    static func probe(_ path: String) -> Int32 {
        guard let (short, kept) = try? shortened(path) else { return -ENOENT }
        let result = cl_unix_connect(short)
        withExtendedLifetime(kept) {}
        guard result >= 0 else { return result }
        close(result)
        return 0
    }

    /// Sockets of a directory that are looked at by ``removeAbandoned(in:)``.
    private static let mostSwept = 4096
    /// How old a socket must be: between `bind(2)` and `listen(2)` one looks abandoned. Unit: seconds.
    private static let sweptAge = 10

    /// Removes the sockets of a directory that their listeners have left, and nothing else. Returns how many those were.
    static func removeAbandoned(in directory: String) -> Int {
        guard let stream = opendir(directory) else { return 0 }
        defer { closedir(stream) }
        var removed = 0
        var seen = 0
        while seen < mostSwept, let entry = readdir(stream) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard name.hasSuffix(".sock"), let (short, kept) = try? shortened("\(directory)/\(name)") else { continue }
            defer { withExtendedLifetime(kept) {} }
            seen += 1
            var status = stat()
            guard lstat(short, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK,
                status.st_ctim.tv_sec < time(nil) - sweptAge, let file = socketFile(short)
            else { continue }
            let probe = cl_unix_connect(short)
            if probe >= 0 { close(probe) }
            if probe == -ECONNREFUSED, socketFile(short) == file, unlink(short) == 0 { removed += 1 }
        }
        return removed
    }

    /// A socket that its listener has left is removed: only what `lstat(2)` calls a socket, and only the one that was looked
    /// at. `connect(2)` refuses in the same way for other files.
    private static func removeAbandoned(_ short: String, _ path: String) throws(ListenFailure) {
        var status = stat()
        guard lstat(short, &status) == 0 else { return }
        guard let file = socketFile(short) else { throw .notASocket(path) }
        let probe = cl_unix_connect(short)
        if probe >= 0 { close(probe) }
        guard probe == -ECONNREFUSED else { throw .inUse(path) }
        if socketFile(short) == file { unlink(short) }
    }

    /// The socket's file at a path; nil when there is none, or another kind of file.
    private static func socketFile(_ path: String) -> Inode? {
        var status = stat()
        guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else { return nil }
        return Inode(device: UInt64(status.st_dev), number: UInt64(status.st_ino))
    }

    private static func makeDirectory(_ path: String) throws(ListenFailure) {
        let result = cl_make_directory(path, 0o755)
        if result == 0 || result == -EEXIST { return }
        guard result == -ENOENT, let slash = path.lastIndex(of: "/"), slash != path.startIndex else {
            throw .refused(call: "mkdir", path: path, code: -result)
        }
        try makeDirectory(String(path[..<slash]))
        let again = cl_make_directory(path, 0o755)
        if again != 0, again != -EEXIST { throw .refused(call: "mkdir", path: path, code: -again) }
    }
}

/// A path that fits into a socket address, the path itself or the same by its directory's descriptor, which must be kept as
/// long as it is used.
func shortened(_ path: String) throws -> (String, Descriptor?) {
    // Source: sun_path, linux/un.h: 108 bytes with the NUL.
    guard path.utf8.count > 107, let slash = path.lastIndex(of: "/") else { return (path, nil) }
    let directory = try Descriptor.open(String(path[...slash]), pathOnly: true)
    return ("\(directory.path)/\(path[path.index(after: slash)...])", directory)
}
