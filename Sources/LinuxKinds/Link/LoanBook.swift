internal import CLinux
internal import Glibc
internal import Netlink
internal import NetworkTypes

/// The record of links that were moved to other namespaces, which nobody but root can write.
///
/// Root in the namespace that a link was moved to can change its alias. So the alias decides nothing: only links in this record are
/// given back. There is one file for each label and own namespace; the numbers in it hold until the machine starts anew.
final class LoanBook {
    /// One link that was moved.
    struct Entry {
        /// The cookie of the namespace it was moved to, or else the inode of its file.
        var namespace: UInt64
        /// Its index there.
        var index: Int32
        /// Whether it got there. Before that it may still be at home, or have got another index.
        var isMoved: Bool
        /// The name of its kind; no physical device has one.
        let kind: String
        /// The address that its device keeps; nil: it has none.
        let permanentMAC: MACAddress?
        /// What it had at home.
        var loan: Loan

        func isLike(_ link: Link) -> Bool { kind == link.kind.name && permanentMAC == link.permanentMAC }
    }

    /// Where the files are.
    var directory = "/run/nsm-agent/lent"
    private var entries: [Entry] = []
    private var home: UInt64 = 0
    private var ownership: Ownership?
    /// So many links are moved at most.
    private static let mostEntries = 4096
    private static let mostBytes = 4 << 20

    // MARK: - What is known

    /// What is known of a link as one that was moved; nil: it was not, or it is back.
    func loan(of link: Link, in state: NamespaceState) -> Loan? {
        if entries.isEmpty || link.index <= 0 { return nil }
        let number = state.cookie
        return entries.first { entry in
            guard entry.isLike(link) else { return false }
            // At home others than the host's root set no alias. The kernel brings it back with that of its journey.
            if number == home { return ownership.map { entry.loan.text($0) == link.alias } ?? false }
            guard entry.namespace == number else { return false }
            return entry.index == link.index || !entry.isMoved && entry.permanentMAC != nil
        }?.loan
    }

    // MARK: - Changes

    /// Notes that a link is about to move.
    ///
    /// - Throws: the record can't be written.
    func enter(_ loan: Loan, of link: Link, in state: NamespaceState) throws(KernelError) {
        let former = entries
        guard entries.count < Self.mostEntries else {
            throw KernelError(code: ENOSPC, message: "more than \(Self.mostEntries) interfaces are moved")
        }
        entries.removeAll { $0.namespace == state.cookie && $0.index == link.index }
        entries.append(
            Entry(
                namespace: state.cookie, index: link.index, isMoved: false, kind: link.kind.name,
                permanentMAC: link.permanentMAC, loan: loan))
        do throws(KernelError) {
            try write()
        } catch {
            entries = former
            throw KernelError(
                code: error.code,
                message: "\(link.name) stays where it is, as the record of moved interfaces can't be written: "
                    + (error.message ?? directory))
        }
    }

    /// Notes where a link got to.
    func settle(from old: Int32, as new: Int32, in state: NamespaceState) {
        guard let place = entries.firstIndex(where: { $0.namespace == state.cookie && $0.index == old }) else { return }
        entries[place].index = new
        entries[place].isMoved = true
        // Without it a reader takes the old index, which is nearly always the new one.
        try? write()
    }

    /// A link is in a namespace no more, or never got there.
    func remove(_ index: Int32, in state: NamespaceState) {
        let count = entries.count
        entries.removeAll { $0.namespace == state.cookie && $0.index == index }
        // What is left over names a link that is not there.
        if entries.count != count { try? write() }
    }

    /// Another interface has the link. The file follows with the next change: until then the link is found by what it is.
    func rename(_ loan: Loan, to name: String) {
        for place in entries.indices where entries[place].loan == loan { entries[place].loan.name = name }
    }

    // MARK: - The file

    /// Reads what this agent, or the one before it, has moved out of its own namespace. What is not root's alone is not read.
    func load(_ ownership: Ownership, home state: NamespaceState) {
        if ownership.extent != .namespaces { return }
        (self.ownership, home) = (ownership, state.cookie)
        guard let text = Self.read(path), let boot = Self.boot else { return }
        var lines = text.split(separator: "\n")
        guard !lines.isEmpty, lines.removeFirst() == "moved interfaces 1 \(boot)" else { return }
        entries = lines.prefix(Self.mostEntries).compactMap(Entry.init(line:))
    }

    private var path: String {
        let label = (ownership?.label ?? "").utf8.map { byte in
            let isPlain = byte < 0x80 && (isalnum(Int32(byte)) != 0 || byte == UInt8(ascii: "-"))
            return isPlain ? String(decoding: [byte], as: UTF8.self) : "_\(byte)_"
        }
        return "\(directory)/\(label.joined())-\(home)"
    }

    private static var boot: String? { SysctlFile.read("/proc/sys/kernel/random/boot_id") }

    private static func read(_ path: String) -> String? {
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
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

    private func write() throws(KernelError) {
        if entries.isEmpty {
            if unlink(path) != 0, errno != ENOENT { throw KernelError(errno: errno, message: path) }
            return
        }
        guard let boot = Self.boot else { throw KernelError(code: ENOENT, message: "/proc/sys/kernel/random/boot_id") }
        for (position, letter) in directory.enumerated() where letter == "/" && position > 0 {
            _ = mkdir(String(directory.prefix(position)), 0o755)
        }
        _ = mkdir(directory, 0o700)
        var status = stat()
        guard lstat(directory, &status) == 0 else { throw KernelError(errno: errno, message: directory) }
        guard status.st_mode & S_IFMT == S_IFDIR, Self.isPrivate(status) else {
            throw KernelError(code: EACCES, message: "\(directory) is not root's alone")
        }
        let text = (["moved interfaces 1 \(boot)"] + entries.map(\.line)).joined(separator: "\n") + "\n"
        try Self.replace(path, Array(text.utf8))
    }

    private static func replace(_ path: String, _ bytes: [UInt8]) throws(KernelError) {
        let new = path + ".new"
        unlink(new)
        let file = open(new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
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
}

extension LoanBook.Entry {
    /// One line of the file.
    fileprivate var line: String {
        let words = [
            "\(namespace)", "\(index)", isMoved ? "moved" : "moving", kind, permanentMAC?.description ?? "", loan.name,
            "\(loan.origin)", loan.hostName, loan.isUp ? "up" : "down", loan.alias,
        ]
        return words.map(Self.escape).joined(separator: "\t")
    }

    fileprivate init?(line: Substring) {
        let words = line.split(separator: "\t", omittingEmptySubsequences: false).map(Self.unescape)
        guard words.count == 10, let namespace = UInt64(words[0]), let index = Int32(words[1]), index > 0,
            let origin = UInt64(words[6]), InterfaceName.mistake(in: words[7]) == nil
        else { return nil }
        let mac = MACAddress(words[4])
        if mac == nil, !words[4].isEmpty { return nil }
        self.init(
            namespace: namespace, index: index, isMoved: words[2] == "moved", kind: words[3], permanentMAC: mac,
            loan: Loan(
                name: words[5], origin: origin, hostName: words[7], isUp: words[8] == "up", alias: words[9]))
    }

    private static func escape(_ word: String) -> String {
        word.utf8.contains { $0 == 0x25 || $0 == 0x09 || $0 == 0x0a }
            ? word.map { $0 == "%" ? "%p" : $0 == "\t" ? "%t" : $0 == "\n" ? "%n" : String($0) }.joined() : word
    }

    private static func unescape(_ word: Substring) -> String {
        var (text, isEscaped) = ("", false)
        for letter in word {
            if isEscaped {
                text += letter == "t" ? "\t" : letter == "n" ? "\n" : "%"
                isEscaped = false
            } else if letter == "%" {
                isEscaped = true
            } else {
                text.append(letter)
            }
        }
        return text
    }
}

extension NamespaceState {
    /// What tells the namespace from all others since the machine started: its cookie. Before Linux 5.14 it is the inode of its file,
    /// which is used again. 0 as long as it is only planned.
    var cookie: UInt64 {
        if let knownCookie { return knownCookie }
        guard let handle else { return 0 }
        var number: UInt64 = 0
        if cl_namespace_cookie(handle.descriptor, &number) != 0 { number = handle.identity.inode }
        knownCookie = number
        return number
    }
}
