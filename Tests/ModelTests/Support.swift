import Glibc
import Model

/// Reads a text as the file `f.yaml`.
func load(_ text: String, label: String = "default") -> LoadedConfig {
    ConfigLoader.load(bytes: Array(text.utf8), name: "f.yaml", label: label)
}

/// What is wrong with a text.
func mistakes(_ text: String) -> [String] { load(text).mistakes.map(\.description) }

/// A configuration whose interfaces are these.
func interfaces(_ lines: String...) -> String {
    "linuxConfig:\n  interfaces:\n" + lines.map { "    - \($0)\n" }.joined()
}

/// A configuration with one list of `linuxConfig`.
func linux(_ list: String, _ lines: String...) -> String {
    "linuxConfig:\n  \(list):\n" + lines.map { "    - \($0)\n" }.joined()
}

/// A file of the committed corpus.
func corpus(_ name: String) -> String {
    #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
        + "/Corpus/\(name)"
}

/// The content of a file of the committed corpus.
func corpusText(_ name: String) -> [UInt8] { fileText(corpus(name)) }

/// The content of a file.
func fileText(_ path: String) -> [UInt8] {
    guard let file = fopen(path, "r") else { return [] }
    defer { fclose(file) }
    var text: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while case let count = fread(&buffer, 1, buffer.count, file), count > 0 { text += buffer[..<count] }
    return text
}

/// Reads a file of the committed corpus.
func loadCorpus(_ name: String, label: String = "default") -> LoadedConfig {
    ConfigLoader.load(bytes: corpusText(name), name: corpus(name), label: label)
}
