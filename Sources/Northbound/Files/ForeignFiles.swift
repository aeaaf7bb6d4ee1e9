public import Model

/// Reads files of other programs, to be converted.
public enum ForeignFiles {
    /// What files of other programs end in.
    private static let endings = [".yaml", ".yml", ".json", ".network", ".netdev", ".link", ".conf", ".conflist"]

    /// The files that paths stand for: of a directory those of other programs in it, recursively; `-` is standard input.
    ///
    /// - Throws: what can't be read, and why.
    public static func read(_ paths: [String]) throws(Mistake) -> [ForeignFile] {
        var files: [ForeignFile] = []
        var size = 0
        for path in paths {
            do throws(ConfigFile.Failure) {
                let found = try ConfigFile.list(path, endings: endings)
                if found.isEmpty {
                    throw ConfigFile.Failure(text: "holds no file that ends in \(endings.joined(separator: ", "))")
                }
                for file in found {
                    guard files.count < Conversion.maximumFileCount else {
                        throw ConfigFile.Failure(text: "holds more than \(Conversion.maximumFileCount) files")
                    }
                    let bytes = try ConfigFile.read(file.path).bytes
                    size += bytes.count
                    guard size <= Conversion.maximumByteCount else {
                        throw ConfigFile.Failure(
                            text: "makes more than \(Conversion.maximumByteCount >> 20) MiB of files")
                    }
                    files.append(ForeignFile(name: file.path, bytes: bytes))
                }
            } catch {
                throw Mistake(file: path, line: 0, column: 0, text: error.text)
            }
        }
        return files
    }
}
