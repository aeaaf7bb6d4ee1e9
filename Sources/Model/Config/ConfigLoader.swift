internal import YAML

/// Reads configuration files: every document of every file is checked, and every mistake is listed.
public enum ConfigLoader {
    /// The most bytes that all files together may have.
    static let maximumByteCount = 256 << 20
    /// The most files that are read.
    static let maximumFileCount = 100_000

    /// Reads files and directories (their `*.yaml`, `*.yml`, `*.json`, recursively); `-` is standard input.
    ///
    /// - Parameters:
    ///   - paths: What to read, in this order.
    ///   - label: The microservice this agent is; resources take items for others.
    /// - Returns: What they say; beyond 64 MiB in a file, 256 MiB or 100 000 files in all, that this is too much.
    public static func load(paths: [String], label: String) -> LoadedConfig {
        var reader = ConfigReader(label: label)
        var seen = Set<String>()
        for path in paths {
            do throws(Files.Failure) {
                let files = path == "-" ? [path] : try Files.list(path)
                if files.isEmpty {
                    reader.warn("holds no *.yaml, *.yml or *.json file", file: path)
                }
                for file in files where seen.insert(file).inserted {
                    guard seen.count <= maximumFileCount else {
                        throw Files.Failure(text: "holds more than \(maximumFileCount) files; put them together")
                    }
                    try read(file, &reader)
                }
            } catch {
                reader.fail(error.text, file: path)
            }
        }
        return reader.finish()
    }

    /// Reads one text; `name` stands for the file in positions.
    public static func load(bytes: [UInt8], name: String, label: String = "default") -> LoadedConfig {
        var reader = ConfigReader(label: label)
        bytes.withUnsafeBytes { reader.read($0, name: name) }
        return reader.finish()
    }

    /// - Throws: when no other file is to be read.
    private static func read(_ file: String, _ reader: inout ConfigReader) throws(Files.Failure) {
        let content: [UInt8]
        do throws(Files.Failure) {
            content = try Files.read(file)
        } catch {
            return reader.fail(error.text, file: file)
        }
        guard reader.byteCount + content.count <= maximumByteCount else {
            throw Files.Failure(text: "makes more than \(maximumByteCount >> 20) MiB of files; declare less")
        }
        content.withUnsafeBytes { reader.read($0, name: file) }
    }
}
