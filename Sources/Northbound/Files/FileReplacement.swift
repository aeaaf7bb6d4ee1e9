internal import CLinux
internal import Glibc

/// One configuration file in the place of those that there are, which stay beside it under other names.
///
/// A reader of the files in between finds values that are declared twice, which is a mistake and changes nothing, or
/// what files that are still to go declare: nothing goes that is not to go in the end.
public struct FileReplacement: Sendable {
    /// It could not be done, in words for the operator.
    public struct Failure: Error, Sendable, CustomStringConvertible {
        /// What is wrong and what to do.
        public let description: String

        init(_ description: String) { self.description = description }

        init(_ call: String, _ path: String) {
            self.init("\(path): \(call): \(String(cString: strerror(errno)))")
        }
    }

    /// A file, and the name under which it stays.
    public struct Aside: Sendable {
        /// Where it was.
        public var path: String
        /// Where it is now.
        public var kept: String
    }

    /// What tells a file from others, and from itself once somebody has written to it.
    private struct Identity: Equatable {
        private var device: dev_t
        private var number: ino_t
        private var size: off_t
        private var seconds: Int
        private var nanoseconds: Int

        /// nil: there is no file.
        init?(_ path: String) {
            var status = stat()
            guard lstat(path, &status) == 0 else { return nil }
            (device, number, size) = (status.st_dev, status.st_ino, status.st_size)
            (seconds, nanoseconds) = (status.st_mtim.tv_sec, status.st_mtim.tv_nsec)
        }
    }

    /// The new file.
    public let path: String
    private let identity: Identity?
    /// The files that it replaces, and where they are kept.
    public private(set) var aside: [Aside] = []

    /// The paths of the files that a directory of configuration files holds, or the path of a single file.
    ///
    /// - Throws: ``Failure`` when they can't be listed, or are none to be replaced: links, such as in a mounted ConfigMap.
    public static func present(in directory: String) throws(Failure) -> [String] {
        let files: [ConfigFile]
        do { files = try ConfigFile.list(directory) } catch { throw Failure("\(directory) \(error.text)") }
        for file in files {
            var status = stat()
            guard lstat(file.path, &status) == 0 else { throw Failure("lstat", file.path) }
            if status.st_mode & S_IFMT == S_IFREG { continue }
            throw Failure("\(file.path) is a link, as in a mounted ConfigMap; change it where it comes from")
        }
        return files.map(\.path)
    }

    /// What a file says; nil: it can't be read.
    public static func text(of path: String) -> String? {
        (try? ConfigFile.read(path)).map { String(decoding: $0.bytes, as: UTF8.self) }
    }

    /// Writes a file in the place of all that a directory holds, or of a single file.
    ///
    /// - Parameters:
    ///   - name: the name of the new file in the directory.
    ///   - files: those to be replaced.
    /// - Throws: ``Failure``; then all is as it was.
    public init(of directory: String, name: String, by content: String, files: [String]) throws(Failure) {
        let folder = directory.count > 1 && directory.hasSuffix("/") ? String(directory.dropLast()) : directory
        path = files == [directory] ? directory : "\(folder)/\(name)"
        if !files.contains(path), access(path, F_OK) == 0 {
            throw Failure("\(path) exists and is not one of the files to replace")
        }
        let held = HeldSignals()
        defer { held.release() }
        let new = Self.beside(path, prefix: ".", suffix: ".new")
        try Self.write(content, to: new, like: files)
        identity = Identity(new)
        do throws(Failure) {
            for file in files { aside.append(Aside(path: file, kept: try Self.keep(file))) }
            guard rename(new, path) == 0 else { throw Failure("rename", new) }
        } catch {
            unlink(new)
            for file in aside { unlink(file.kept) }
            throw error
        }
        do throws(Failure) {
            for file in aside where file.path != path {
                guard unlink(file.path) == 0 || errno == ENOENT else { throw Failure("unlink", file.path) }
            }
            try Self.sync(path)
        } catch {
            try undo()
            throw error
        }
    }

    /// Puts the files back, and the new one goes. What somebody has written in their places meanwhile stays.
    ///
    /// - Throws: ``Failure``; what could not be put back is still where it is kept.
    public func undo() throws(Failure) {
        let held = HeldSignals()
        defer { held.release() }
        let isThere = identity != nil && Identity(path) == identity
        var left: [String] = []
        for file in aside {
            if file.path == path, isThere {
                // A reader finds one of them at any time.
                guard rename(file.kept, path) == 0 else { throw Failure("rename", file.kept) }
            } else if try !Self.putBack(file) {
                left.append("\(file.path) (before: \(file.kept))")
            }
        }
        if !aside.contains(where: { $0.path == path }) {
            if isThere {
                guard unlink(path) == 0 || errno == ENOENT else { throw Failure("unlink", path) }
            } else if access(path, F_OK) == 0 {
                left.append(path)
            }
        }
        try Self.sync(path)
        if left.isEmpty { return }
        throw Failure("somebody has written meanwhile, and it stays: \(left.joined(separator: ", "))")
    }

    /// Gives a file its name back. Returns whether no other file has it.
    private static func putBack(_ file: Aside) throws(Failure) -> Bool {
        // Who watches the folder is told of a move, and not of a new file that is still to be written.
        let result = cl_rename_new(file.kept, file.path)
        if result == 0 { return true }
        errno = -result
        guard errno == EEXIST else { throw Failure("rename", file.kept) }
        // Two names of one file.
        guard Identity(file.kept) == Identity(file.path) else { return false }
        unlink(file.kept)
        return true
    }

    /// Gives a file another name ending in `.orig`, beside the one that it has, and never that of another file.
    private static func keep(_ path: String) throws(Failure) -> String {
        for number in 0..<1000 {
            let kept = path + ".orig" + (number == 0 ? "" : ".\(number)")
            if link(path, kept) == 0 { return kept }
            if errno != EEXIST { throw Failure("link", kept) }
        }
        throw Failure("\(path).orig and 999 more are there; move some away")
    }

    private static func beside(_ path: String, prefix: String, suffix: String) -> String {
        let name = path.lastIndex(of: "/").map { path.index(after: $0) } ?? path.startIndex
        return String(path[..<name]) + prefix + String(path[name...]) + suffix
    }

    /// Nobody may read it who may not read all that it is like.
    private static func write(_ content: String, to path: String, like others: [String]) throws(Failure) {
        unlink(path)
        let file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, others.isEmpty ? 0o644 : 0o600)
        guard file >= 0 else { throw Failure("open", path) }
        defer { close(file) }
        var mode: mode_t = 0o777
        var owners: [(user: uid_t, group: gid_t)] = []
        for other in others {
            var status = stat()
            guard stat(other, &status) == 0 else { continue }
            mode &= status.st_mode
            owners.append((status.st_uid, status.st_gid))
        }
        if let first = owners.first {
            // Files of several owners make one of ours.
            if owners.allSatisfy({ $0 == first }) { _ = fchown(file, first.user, first.group) }
            _ = fchmod(file, mode)
        }
        var content = content
        let result = content.withUTF8 { cl_write_all(file, $0.baseAddress, $0.count) }
        guard result == 0, fsync(file) == 0 else {
            if result < 0 { errno = -result }
            let failure = Failure("write", path)
            unlink(path)
            throw failure
        }
    }

    private static func sync(_ path: String) throws(Failure) {
        let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        let directory = open(folder.isEmpty ? "/" : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { throw Failure("open", folder) }
        defer { close(directory) }
        guard fsync(directory) == 0 else { throw Failure("fsync", folder) }
    }
}

/// Holds back the signals that would end the program, in this thread: files don't stop halfway between their places.
private struct HeldSignals {
    private var former = sigset_t()

    init() {
        var signals = sigset_t()
        sigemptyset(&signals)
        for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] { sigaddset(&signals, signal) }
        pthread_sigmask(SIG_BLOCK, &signals, &former)
    }

    func release() {
        var former = former
        pthread_sigmask(SIG_SETMASK, &former, nil)
    }
}
