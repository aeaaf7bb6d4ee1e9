internal import Glibc
internal import Model

/// A configuration file, and what tells whether it changed.
struct ConfigFile {
    /// A state of a file. A change of its content changes one of these, but perhaps none within one tick of the clock.
    struct Identity: Hashable {
        var device: UInt64
        var inode: UInt64
        var size: Int64
        /// Nanoseconds since 1970.
        var modified: Int64
        /// Nanoseconds since 1970; not even `touch -d` can set it back.
        var changed: Int64

        init(_ status: stat) {
            device = UInt64(status.st_dev)
            inode = UInt64(status.st_ino)
            size = Int64(status.st_size)
            modified = Int64(status.st_mtim.tv_sec) * 1_000_000_000 + Int64(status.st_mtim.tv_nsec)
            changed = Int64(status.st_ctim.tv_sec) * 1_000_000_000 + Int64(status.st_ctim.tv_nsec)
        }
    }

    var path: String
    /// Its state when it was listed; nil for standard input.
    var identity: Identity?
    /// Whether it is a symbolic link: a watch of the directory does not notice changes of the file behind it.
    var isLink = false

    /// The content of a file.
    struct Content {
        var bytes: [UInt8]
        /// The file's state before it was read; nil for standard input.
        var identity: Identity?
        /// Whether any later change is one that the identity shows.
        var isSettled: Bool
    }

    /// Why something can't be read.
    struct Failure: Error {
        var text: String

        init(code: Int32) {
            switch code {
            case ENOENT: text = "does not exist; check the path"
            case EACCES, EPERM: text = "can't be read: permission denied; check its owner and mode"
            default: text = "can't be read: \(String(cString: strerror(code)))"
            }
        }

        init(text: String) { self.text = text }
    }

    /// What configuration files end in.
    private static let endings = [".yaml", ".yml", ".json"]

    /// The configuration files that a path stands for, sorted; the path itself unless it is a directory.
    ///
    /// - Parameter endings: what files of a directory end in.
    static func list(_ path: String, endings: [String] = endings) throws(Failure) -> [ConfigFile] {
        if path == "-" { return [ConfigFile(path: path, identity: nil)] }
        var status = stat()
        guard stat(path, &status) == 0 else { throw Failure(code: errno) }
        guard status.st_mode & S_IFMT == S_IFDIR else { return [ConfigFile(path: path, identity: Identity(status))] }
        var found: [ConfigFile] = []
        try collect(path.hasSuffix("/") ? path : path + "/", endings, into: &found, depth: 0)
        return found
    }

    private static func collect(
        _ folder: String, _ endings: [String], into found: inout [ConfigFile], depth: Int
    ) throws(Failure) {
        // Links to directories are not followed, so only a very odd tree is this deep.
        guard depth < 32 else { throw Failure(text: "\(folder) is nested too deeply") }
        guard let directory = opendir(folder) else { throw Failure(code: errno) }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            // Editors' backups, and the `..data` of a mounted ConfigMap.
            if !name.hasPrefix(".") { names.append(name) }
        }
        for name in names.sorted(by: { $0.utf8.lexicographicallyPrecedes($1.utf8) }) {
            let path = folder + name
            var status = stat()
            guard lstat(path, &status) == 0 else { continue }
            if status.st_mode & S_IFMT == S_IFDIR {
                try collect(path + "/", endings, into: &found, depth: depth + 1)
            } else if endings.contains(where: { name.hasSuffix($0) }) {
                let isLink = status.st_mode & S_IFMT == S_IFLNK
                guard stat(path, &status) == 0 else {
                    throw Failure(text: "holds \(name), a link to something that does not exist")
                }
                if status.st_mode & S_IFMT == S_IFREG {
                    found.append(ConfigFile(path: path, identity: Identity(status), isLink: isLink))
                }
            }
        }
    }

    /// A file in a directory, as ``list(_:)`` would have it; nil: it would not be there.
    ///
    /// - Throws: when only a list of the whole directory can tell.
    static func look(at path: String) throws(Failure) -> ConfigFile? {
        var status = stat()
        guard lstat(path, &status) == 0 else { return nil }
        let isLink = status.st_mode & S_IFMT == S_IFLNK
        guard status.st_mode & S_IFMT != S_IFDIR, !isLink || stat(path, &status) == 0 else {
            throw Failure(code: EISDIR)
        }
        guard status.st_mode & S_IFMT == S_IFREG else { return nil }
        return ConfigFile(path: path, identity: Identity(status), isLink: isLink)
    }

    /// Whether a path comes before another one in ``list(_:)``: in each directory by the names' bytes.
    static func isBefore(_ left: String, _ right: String) -> Bool {
        // As if names ended in the lowest byte.
        func byte(_ byte: UInt8) -> UInt8 { byte == UInt8(ascii: "/") ? 0 : byte }
        return left.utf8.lazy.map(byte).lexicographicallyPrecedes(right.utf8.lazy.map(byte))
    }

    /// The content of a file, or of standard input for `-`.
    static func read(_ path: String) throws(Failure) -> Content {
        let isInput = path == "-"
        let descriptor = isInput ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Failure(code: errno) }
        defer { if !isInput { close(descriptor) } }
        // The clock that files are stamped by. What is written from now on gets this time or a later one.
        var now = timespec()
        clock_gettime(CLOCK_REALTIME_COARSE, &now)
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw Failure(code: errno) }
        let identity = isInput ? nil : Identity(status)
        let tick = Int64(now.tv_sec) * 1_000_000_000 + Int64(now.tv_nsec)
        return Content(
            bytes: try readAll(descriptor, expecting: status.st_size > 0 ? Int(status.st_size) : 64 << 10),
            identity: identity, isSettled: identity.map { $0.changed < tick && $0.modified < tick } ?? true)
    }

    private static func readAll(_ descriptor: Int32, expecting size: Int) throws(Failure) -> [UInt8] {
        let limit = ConfigText.maximumByteCount
        guard size <= limit else { throw Failure(text: "is larger than \(limit >> 20) MiB; split it") }
        var content: [UInt8] = []
        var chunk = size + 1
        while true {
            let start = content.count
            guard start <= limit else { throw Failure(text: "is larger than \(limit >> 20) MiB; split it") }
            var failure: Int32 = 0
            let part = [UInt8](unsafeUninitializedCapacity: chunk) { buffer, count in
                var done = Glibc.read(descriptor, buffer.baseAddress, chunk)
                while done < 0, errno == EINTR { done = Glibc.read(descriptor, buffer.baseAddress, chunk) }
                if done < 0 { failure = errno }
                count = max(done, 0)
            }
            guard failure == 0 else { throw Failure(code: failure) }
            if part.isEmpty { return content }
            if start == 0 { content = part } else { content += part }
            chunk = 64 << 10
        }
    }
}
