internal import Glibc
internal import MeshTransport
internal import Netlink

/// What people call network namespaces: their names in `/run/netns`, else a process in them.
struct NamespaceNames {
    private let named: [Inode: String]
    private let processes: [Inode: String]

    /// Processes that are looked at.
    private static let mostProcesses = 65_536

    /// Looks at the names and processes that there are.
    init(directory: String = NetworkNamespace.standardDirectory) {
        var named: [Inode: String] = [:]
        for name in (try? NetworkNamespace.list(directory: directory)) ?? [] {
            guard let inode = Self.inode("\(directory)/\(name)"), named[inode] == nil else { continue }
            named[inode] = name
        }
        self.named = named
        processes = Self.processes(besides: named)
    }

    /// The name; empty when there is none.
    subscript(inode: Inode) -> String { named[inode] ?? processes[inode] ?? "" }

    private static func inode(_ path: String) -> Inode? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return Inode(device: UInt64(status.st_dev), number: UInt64(status.st_ino))
    }

    /// The oldest process of each namespace without a name, as `pid 1234 (nginx)`.
    private static func processes(besides named: [Inode: String]) -> [Inode: String] {
        guard let folder = opendir("/proc") else { return [:] }
        defer { closedir(folder) }
        var lowest: [Inode: Int32] = [:]
        var count = 0
        while let entry = readdir(folder), count < mostProcesses {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard let number = Int32(name) else { continue }
            count += 1
            guard let inode = inode("/proc/\(number)/ns/net"), named[inode] == nil else { continue }
            lowest[inode] = min(lowest[inode] ?? number, number)
        }
        return lowest.mapValues { "pid \($0)\(command(of: $0))" }
    }

    /// Source: proc_pid_comm(5): at most 15 bytes and a newline.
    private static func command(of process: Int32) -> String {
        guard let file = fopen("/proc/\(process)/comm", "re") else { return "" }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 64)
        guard fgets(&line, Int32(line.count), file) != nil else { return "" }
        let text = String(decoding: line.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        // A process chooses its name itself; it must not send control codes to a terminal.
        let isPlain = text.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7f }
        return isPlain && !text.isEmpty ? " (\(text))" : ""
    }
}
