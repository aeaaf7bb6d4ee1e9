internal import EtcdClient
internal import Glibc

/// What an agent last saw of its etcd: kept over a restart, so that an etcd that lost its mind meanwhile is noticed.
struct EtcdMemory: Sendable, Equatable {
    /// What the keys of the agent begin with.
    var prefix: String
    /// The cluster that answered.
    var cluster: UInt64
    /// The newest revision that was seen of it.
    var revision: Int64
    /// What was there.
    var content = Content()

    /// Some keys with what they hold, as a number that tells whether two are the same. It does not withstand an
    /// attacker: one who can write to etcd does not need a collision.
    struct Content: Sendable, Equatable {
        /// How many keys there are.
        private(set) var count = 0
        private(set) var sum: UInt64 = 0

        /// Nothing.
        init() {}

        init(count: Int, sum: UInt64) { (self.count, self.sum) = (count, sum) }

        /// The content of a snapshot.
        init(_ entries: [EtcdEntry]) { for entry in entries { add(Self.digest(entry)) } }

        mutating func add(_ digest: UInt64) {
            count += 1
            sum &+= digest
        }

        mutating func remove(_ digest: UInt64) {
            count -= 1
            sum &-= digest
        }

        /// FNV-1a of a key, a zero and the value.
        static func digest(_ entry: EtcdEntry) -> UInt64 {
            var hash: UInt64 = 0xcbf2_9ce4_8422_2325
            func add(_ byte: UInt8) { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
            for byte in entry.key { add(byte) }
            add(0)
            for byte in entry.value { add(byte) }
            return hash
        }
    }
}

// MARK: - The file

extension EtcdMemory {
    private static let head = "nsm-agent etcd 1"
    /// No file of ours is as long.
    private static let limit = 64 << 10

    /// The content of the file.
    var text: String {
        [
            Self.head, "cluster \(String(cluster, radix: 16))", "revision \(revision)", "keys \(content.count)",
            "sum \(String(content.sum, radix: 16))", "prefix \(prefix)", "",
        ].joined(separator: "\n")
    }

    /// Nil: it is not what ``text`` makes.
    init?(text: String) {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        guard lines.count == 7, lines[0] == Self.head, lines[6].isEmpty else { return nil }
        func word(_ line: Int, _ name: String) -> String? {
            lines[line].hasPrefix(name + " ") ? String(lines[line].dropFirst(name.count + 1)) : nil
        }
        guard let cluster = word(1, "cluster").flatMap({ UInt64($0, radix: 16) }),
            let revision = word(2, "revision").flatMap({ Int64($0) }),
            let count = word(3, "keys").flatMap({ Int($0) }),
            let sum = word(4, "sum").flatMap({ UInt64($0, radix: 16) }), let prefix = word(5, "prefix")
        else { return nil }
        self.init(
            prefix: prefix, cluster: cluster, revision: revision, content: Content(count: count, sum: sum))
    }

    /// Reads the file; nil: there is none that can be read.
    static func read(_ path: String) -> EtcdMemory? {
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard file >= 0 else { return nil }
        defer { close(file) }
        guard let bytes = try? JournalFile.read(file, path, limit: limit) else { return nil }
        return EtcdMemory(text: String(decoding: bytes, as: UTF8.self))
    }

    /// Writes the file in one step, with its directory if there is none. It need not be on the disk: what the kernel has of
    /// it outlives the agent, and after the machine went down nothing of ours is left to be kept.
    ///
    /// - Throws: ``JournalFailure``.
    func write(to path: String) throws(JournalFailure) {
        try JournalFile.makeDirectory(of: path)
        let new = path + ".new"
        unlink(new)
        let file = open(new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        if file < 0 { throw JournalFailure("open", new, errno) }
        let bytes = Array(text.utf8)
        let count = bytes.withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
        let code = errno
        close(file)
        guard count == bytes.count else {
            unlink(new)
            throw JournalFailure("write", new, count < 0 ? code : ENOSPC)
        }
        guard rename(new, path) == 0 else { throw JournalFailure("rename", path, errno) }
    }
}
