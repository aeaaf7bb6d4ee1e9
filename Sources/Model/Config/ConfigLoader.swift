internal import YAML

/// Reads configuration files: every document of every file is checked, and every mistake is listed.
public enum ConfigLoader {
    /// More mistakes than this are not listed: they have few causes, and the list must not grow with the file.
    static let maximumMistakes = 1000

    /// Reads files and directories (their `*.yaml`, `*.yml`, `*.json`, recursively); `-` is standard input.
    ///
    /// - Parameters:
    ///   - paths: What to read, in this order.
    ///   - label: The microservice this agent is; resources take items for others.
    public static func load(paths: [String], label: String) -> LoadedConfig {
        var reader = ConfigReader(label: label)
        var seen = Set<String>()
        for path in paths {
            do throws(Files.Failure) {
                let files = path == "-" ? [path] : try Files.list(path)
                if files.isEmpty {
                    reader.warn("holds no *.yaml, *.yml or *.json file", file: path)
                }
                for file in files where seen.insert(file).inserted { read(file, &reader) }
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

    private static func read(_ file: String, _ reader: inout ConfigReader) {
        do throws(Files.Failure) {
            let content = try Files.read(file)
            content.withUnsafeBytes { reader.read($0, name: file) }
        } catch {
            reader.fail(error.text, file: file)
        }
    }
}
