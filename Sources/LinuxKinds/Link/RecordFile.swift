internal import Glibc
package import Netlink

/// A file that nobody but root can write, with what an agent must know of its predecessor and no mark in the kernel can say.
///
/// There is one for each label and own namespace. What it says holds until the machine starts anew: then the numbers in it mean
/// nothing any more.
package struct RecordFile: Sendable {
    /// What the first line says, besides which start of the machine it is.
    let title: String
    /// Where it is.
    var directory: String
    private var name = ""
    private static let mostBytes = 4 << 20

    private let isOfOneBoot: Bool

    /// Describes a file that is not opened yet.
    ///
    /// - Parameters:
    ///   - title: What its first line begins with.
    ///   - directory: Where it is. It must be this user's alone, and is made when needed.
    ///   - isOfOneBoot: Whether it means nothing any more when the machine was started anew.
    package init(title: String, directory: String, isOfOneBoot: Bool = true) {
        (self.title, self.directory, self.isOfOneBoot) = (title, directory, isOfOneBoot)
    }

    private var path: String { "\(directory)/\(name)" }

    private var boot: String? { isOfOneBoot ? SysctlFile.read("/proc/sys/kernel/random/boot_id") : "all" }

    /// The lines of the file of a label. What is not root's alone, or of another start of the machine, is not read.
    ///
    /// - Parameter home: what tells the own namespace from others.
    mutating func open(of label: String, home: UInt64) -> ArraySlice<Substring> {
        let letters = label.utf8.map { byte in
            let isPlain = byte < 0x80 && (isalnum(Int32(byte)) != 0 || byte == UInt8(ascii: "-"))
            return isPlain ? String(decoding: [byte], as: UTF8.self) : "_\(byte)_"
        }
        return open(named: "\(letters.joined())-\(home)")
    }

    /// The lines of the file with a name. What is not root's alone, or of another start of the machine, is not read.
    package mutating func open(named name: String) -> ArraySlice<Substring> {
        self.name = name
        guard let text = Self.read(path), let boot else { return [] }
        let lines = Self.lines(text)
        return lines.first.map { $0 == "\(title) \(boot)" } == true ? lines.dropFirst() : []
    }

    private static func read(_ path: String) -> String? {
        let file = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0, isPrivate(status), status.st_mode & S_IFMT == S_IFREG,
            (0...mostBytes).contains(Int(status.st_size))
        else { return nil }
        var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
        var count = 0
        while count < bytes.count {
            let more = bytes.withUnsafeMutableBytes { space in
                Glibc.read(file, space.baseAddress?.advanced(by: count), space.count - count)
            }
            if more <= 0 { break }
            count += more
        }
        return String(decoding: bytes[..<count], as: UTF8.self)
    }

    private static func isPrivate(_ status: stat) -> Bool {
        status.st_uid == geteuid() && status.st_mode & (S_IWGRP | S_IWOTH) == 0
    }

    /// Replaces the file; without lines it goes.
    ///
    /// - Throws: it can't be written, or others could write it.
    package func write(_ lines: [String]) throws(KernelError) {
        if lines.isEmpty {
            if unlink(path) != 0, errno != ENOENT { throw KernelError(errno: errno, message: path) }
            return
        }
        guard let boot else { throw KernelError(code: ENOENT, message: "/proc/sys/kernel/random/boot_id") }
        for (position, letter) in directory.enumerated() where letter == "/" && position > 0 {
            _ = mkdir(String(directory.prefix(position)), 0o755)
        }
        _ = mkdir(directory, 0o700)
        var status = stat()
        guard lstat(directory, &status) == 0 else { throw KernelError(errno: errno, message: directory) }
        guard status.st_mode & S_IFMT == S_IFDIR, Self.isPrivate(status) else {
            throw KernelError(code: EACCES, message: "\(directory) is not root's alone")
        }
        let text = (["\(title) \(boot)"] + lines).joined(separator: "\n") + "\n"
        try Self.replace(path, Array(text.utf8))
    }

    private static func replace(_ path: String, _ bytes: [UInt8]) throws(KernelError) {
        let new = path + ".new"
        unlink(new)
        let file = Glibc.open(new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard file >= 0 else { throw KernelError(errno: errno, message: new) }
        let isWritten = Glibc.write(file, bytes, bytes.count) == bytes.count && fsync(file) == 0
        let reason = errno
        close(file)
        guard isWritten else {
            unlink(new)
            throw KernelError(errno: reason == 0 ? ENOSPC : reason, message: new)
        }
        guard Glibc.rename(new, path) == 0 else { throw KernelError(errno: errno, message: path) }
    }

    // MARK: - Lines

    /// The lines of a text that are not empty.
    static func lines(_ text: String) -> ArraySlice<Substring> {
        text.utf8.split(separator: UInt8(ascii: "\n")).map { Substring($0) }[...]
    }

    /// One line of words, which may hold anything.
    package static func line(_ words: [String]) -> String { words.map(escape).joined(separator: "\t") }

    /// The words of a line.
    package static func words(_ line: Substring) -> [String] {
        line.utf8.split(separator: UInt8(ascii: "\t"), omittingEmptySubsequences: false).map(unescape)
    }

    // By bytes: as characters "\r\n" is one, which is neither a line's end nor anything else.
    private static func escape(_ word: String) -> String {
        var bytes: [UInt8] = []
        for byte in word.utf8 {
            switch byte {
            case UInt8(ascii: "%"): bytes += "%p".utf8
            case UInt8(ascii: "\t"): bytes += "%t".utf8
            case UInt8(ascii: "\n"): bytes += "%n".utf8
            default: bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func unescape(_ word: Substring.UTF8View.SubSequence) -> String {
        var (bytes, isEscaped) = ([UInt8](), false)
        for byte in word {
            if isEscaped {
                switch byte {
                case UInt8(ascii: "t"): bytes.append(UInt8(ascii: "\t"))
                case UInt8(ascii: "n"): bytes.append(UInt8(ascii: "\n"))
                default: bytes.append(UInt8(ascii: "%"))
                }
                isEscaped = false
            } else if byte == UInt8(ascii: "%") {
                isEscaped = true
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
