internal import Glibc

/// What the kernel says of this process.
struct ProcessFigures {
    var cpuSeconds = 0.0
    var openFiles = 0.0
    var fileLimit = 0.0
    var residentBytes = 0.0
    var virtualBytes = 0.0
    var virtualLimit = 0.0
    var threads = 0.0

    init() {
        var usage = rusage()
        if getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 {
            cpuSeconds = [usage.ru_utime, usage.ru_stime].reduce(0) {
                $0 + Double($1.tv_sec) + Double($1.tv_usec) / 1e6
            }
        }
        var limit = rlimit()
        if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 { fileLimit = Double(limit.rlim_cur) }
        if getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) == 0 { virtualLimit = Double(limit.rlim_cur) }
        // Source: proc_pid_status(5).
        for line in Self.read("/proc/self/status").split(separator: "\n") {
            let words = line.split(whereSeparator: \.isWhitespace)
            guard words.count > 1, let number = Double(words[1]) else { continue }
            switch words[0] {
            case "VmRSS:": residentBytes = number * 1024
            case "VmSize:": virtualBytes = number * 1024
            case "Threads:": threads = number
            default: break
            }
        }
        if let folder = opendir("/proc/self/fd") {
            // Itself, and the two names of folders.
            openFiles = -3
            while readdir(folder) != nil { openFiles += 1 }
            closedir(folder)
        }
    }

    private static func read(_ path: String) -> String {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return "" }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 16 << 10)
        let count = Glibc.read(file, &bytes, bytes.count)
        return String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self)
    }
}
