internal import Glibc
internal import YAML

/// Finds and reads files, without Foundation.
enum Files {
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

    /// The configuration files that a path stands for, sorted; the path itself unless it is a directory.
    static func list(_ path: String) throws(Failure) -> [String] {
        var status = stat()
        guard stat(path, &status) == 0 else { throw Failure(code: errno) }
        guard status.st_mode & S_IFMT == S_IFDIR else { return [path] }
        var found: [String] = []
        try collect(path.hasSuffix("/") ? path : path + "/", into: &found, depth: 0)
        return found
    }

    private static func collect(_ folder: String, into found: inout [String], depth: Int) throws(Failure) {
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
                try collect(path + "/", into: &found, depth: depth + 1)
            } else if [".yaml", ".yml", ".json"].contains(where: { name.hasSuffix($0) }) {
                guard stat(path, &status) == 0 else {
                    throw Failure(text: "holds \(name), a link to something that does not exist")
                }
                if status.st_mode & S_IFMT == S_IFREG { found.append(path) }
            }
        }
    }

    /// The content of a file, or of standard input for `-`.
    static func read(_ path: String) throws(Failure) -> [UInt8] {
        let isInput = path == "-"
        let descriptor = isInput ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Failure(code: errno) }
        defer { if !isInput { close(descriptor) } }
        var status = stat()
        let size = fstat(descriptor, &status) == 0 && status.st_size > 0 ? Int(status.st_size) : 64 << 10
        let limit = YAMLTree.maximumByteCount
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
