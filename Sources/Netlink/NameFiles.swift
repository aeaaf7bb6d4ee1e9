internal import Glibc

/// The files in which iproute2 keeps names for numbers, such as rt_tables.
///
/// Of a list there is one file, and a folder of files with `.conf` at the end of their names. Those of the administrator
/// are in /etc; those of the distribution in /usr, where a file counts only if /etc has none of its name.
///
/// Source: `rtnl_rttable_initialize` and `rtnl_hash_initialize_dir`, lib/rt_names.c of iproute2 6.
struct NameFiles: Sendable {
    /// A number and its name.
    struct Entry: Hashable, Sendable {
        var number: UInt32
        var name: String
    }

    /// Where the administrator's files are.
    var own = "/etc/iproute2"
    /// Where the distribution's may be; the first that has a list counts.
    var others = ["/usr/share/iproute2", "/usr/lib/iproute2"]

    /// The most bytes that are read of a file.
    private static let maximumByteCount = 1 << 20

    /// All entries of a list, such as `rt_tables`. Later ones win over earlier ones.
    func entries(of list: String) -> [Entry] {
        var entries: [Entry] = []
        let main = ([own] + others).lazy.compactMap { Self.read("\($0)/\(list)") }.first
        entries += Self.parse(main ?? "")
        let ownNames = Self.configurations(in: "\(own)/\(list).d")
        if let folder = others.first(where: { !Self.configurations(in: "\($0)/\(list).d").isEmpty }) {
            for name in Self.configurations(in: "\(folder)/\(list).d") where !ownNames.contains(name) {
                entries += Self.parse(Self.read("\(folder)/\(list).d/\(name)") ?? "")
            }
        }
        for name in ownNames { entries += Self.parse(Self.read("\(own)/\(list).d/\(name)") ?? "") }
        return entries
    }

    /// Names of the files of a folder that count, sorted.
    private static func configurations(in folder: String) -> [String] {
        guard let directory = opendir(folder) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if !name.hasPrefix("."), name.hasSuffix(".conf"), name.utf8.count > 5 { names.append(name) }
        }
        return names.sorted()
    }

    /// The content of a file; nil when it can't be read.
    private static func read(_ path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while bytes.count < maximumByteCount {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            bytes += chunk[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Lines of a decimal or hexadecimal number and a name; what begins with `#` is a comment. Other lines are left out.
    static func parse(_ text: String) -> [Entry] {
        text.split(separator: "\n").compactMap { line in
            let words = line.prefix { $0 != "#" }.split(whereSeparator: \.isWhitespace)
            guard words.count >= 2 else { return nil }
            let number = words[0].hasPrefix("0x") ? UInt32(words[0].dropFirst(2), radix: 16) : UInt32(words[0])
            return number.map { Entry(number: $0, name: String(words[1])) }
        }
    }
}
