internal import ArgumentParser
internal import Glibc

/// Small files as texts.
enum TextFile {
    private static let mostBytes = 1 << 20

    /// The text of a file.
    static func read(_ path: String) throws -> String {
        guard let file = fopen(path, "re") else {
            throw ValidationError("\(path): \(String(cString: strerror(errno)))")
        }
        defer { fclose(file) }
        var content: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 16 << 10)
        while case let count = fread(&part, 1, part.count, file), count > 0 {
            content += part[..<count]
            guard content.count <= mostBytes else { throw ValidationError("\(path): more than 1 MiB") }
        }
        guard ferror(file) == 0 else { throw ValidationError("\(path): it can't be read") }
        return String(decoding: content, as: UTF8.self)
    }
}
