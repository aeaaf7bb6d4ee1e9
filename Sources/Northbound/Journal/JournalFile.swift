internal import Concurrency
internal import Glibc

/// Calls on a journal's file.
enum JournalFile {
    /// Makes the directories that lead to a file. All may look into them.
    static func makeDirectory(of path: String) throws(JournalFailure) {
        var place = path.hasPrefix("/") ? "" : "."
        for part in path.split(separator: "/").dropLast() {
            place += "/" + part
            if mkdir(place, 0o755) == 0 {
                try syncDirectory(of: place)
            } else if errno != EEXIST {
                throw JournalFailure("mkdir", place, errno)
            }
        }
    }

    /// A thread for a journal.
    static func thread() throws(JournalFailure) -> ThreadExecutor {
        do { return try ThreadExecutor.started() } catch { throw JournalFailure("\(error)") }
    }

    /// Opens a file and takes hold of it.
    ///
    /// - Parameter patience: How many times another program that holds it is waited for, 50 ms each.
    static func open(_ path: String, patience: Int) throws(JournalFailure) -> Int32 {
        for _ in 0...patience {
            let file = Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
            if file < 0 { throw JournalFailure("open", path, errno) }
            do throws(JournalFailure) {
                try checkOwner(of: file, path)
            } catch {
                close(file)
                throw error
            }
            if flock(file, LOCK_EX | LOCK_NB) == 0, isAt(path, file) { return file }
            close(file)
            usleep(50_000)
        }
        throw JournalFailure("\(path) is in use by another agent; give another --label or --state-dir")
    }

    /// Whether a path is still that of an open file.
    private static func isAt(_ path: String, _ file: Int32) -> Bool {
        var (named, opened) = (stat(), stat())
        guard lstat(path, &named) == 0, fstat(file, &opened) == 0 else { return false }
        return named.st_dev == opened.st_dev && named.st_ino == opened.st_ino
    }

    /// Reads all of a file.
    static func read(_ file: Int32, _ path: String, limit: Int) throws(JournalFailure) -> [UInt8] {
        var status = stat()
        guard fstat(file, &status) == 0 else { throw JournalFailure("fstat", path, errno) }
        guard status.st_mode & S_IFMT == S_IFREG, status.st_size <= limit else {
            throw JournalFailure("\(path) is not a file, or is larger than \(limit >> 20) MiB; move it away")
        }
        var bytes = [UInt8](repeating: 0, count: status.st_size)
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeMutableBytes { buffer in
                pread(file, buffer.baseAddress.map { $0 + done }, buffer.count - done, off_t(done))
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw JournalFailure("read", path, count < 0 ? errno : EIO) }
            done += count
        }
        return bytes
    }

    /// Reads a file by its path; nil: there is none.
    static func read(_ path: String, limit: Int) throws(JournalFailure) -> [UInt8]? {
        let file = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        if file < 0 {
            if errno == ENOENT || errno == ENOTDIR { return nil }
            throw JournalFailure("open", path, errno)
        }
        defer { close(file) }
        try checkOwner(of: file, path)
        return try read(file, path, limit: limit)
    }

    /// Refuses a file that another user made, can write to, or has under another name: what is in it would count as ours, and
    /// what is written to it would go there.
    private static func checkOwner(of file: Int32, _ path: String) throws(JournalFailure) {
        var status = stat()
        guard fstat(file, &status) == 0 else { throw JournalFailure("fstat", path, errno) }
        guard status.st_uid == geteuid() || status.st_uid == 0, status.st_nlink <= 1, status.st_mode & 0o022 == 0 else {
            throw JournalFailure("\(path) is not the agent's alone: another user owns or can change it; move it away")
        }
    }

    /// Writes bytes at a place; they are on the disk when it returns.
    static func replace(_ file: Int32, at place: Int, with bytes: [UInt8], _ path: String) throws(JournalFailure) {
        try add(bytes, to: file, at: place, path)
        guard fdatasync(file) == 0 else { throw JournalFailure("fdatasync", path, errno) }
    }

    /// Writes bytes at a place; the kernel brings them to the disk when it wants to.
    static func add(_ bytes: [UInt8], to file: Int32, at place: Int, _ path: String) throws(JournalFailure) {
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                pwrite(file, buffer.baseAddress.map { $0 + done }, buffer.count - done, off_t(place + done))
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw JournalFailure("write", path, count < 0 ? errno : EIO) }
            done += count
        }
    }

    static func truncate(_ file: Int32, to length: Int, _ path: String) throws(JournalFailure) {
        guard ftruncate(file, off_t(length)) == 0 else { throw JournalFailure("ftruncate", path, errno) }
    }

    /// Writes a file in one step: a reader finds the old content or the new.
    ///
    /// - Returns: the new file, open, and held if that is asked for.
    @discardableResult
    static func write(_ bytes: [UInt8], to path: String, isLocked: Bool) throws(JournalFailure) -> Int32 {
        let new = path + ".new"
        unlink(new)
        let file = Glibc.open(new, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        if file < 0 { throw JournalFailure("open", new, errno) }
        do throws(JournalFailure) {
            if isLocked, flock(file, LOCK_EX | LOCK_NB) != 0 { throw JournalFailure("flock", new, errno) }
            try replace(file, at: 0, with: bytes, new)
            guard rename(new, path) == 0 else { throw JournalFailure("rename", path, errno) }
            try syncDirectory(of: path)
            return file
        } catch {
            close(file)
            unlink(new)
            throw error
        }
    }

    /// Writes a file in one step.
    static func write(_ bytes: [UInt8], to path: String) throws(JournalFailure) {
        close(try write(bytes, to: path, isLocked: false))
    }

    static func syncDirectory(of path: String) throws(JournalFailure) {
        let parent = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        let directory = Glibc.open(parent.isEmpty ? "/" : parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { throw JournalFailure("open", parent, errno) }
        defer { close(directory) }
        guard fsync(directory) == 0 else { throw JournalFailure("fsync", parent, errno) }
    }
}
