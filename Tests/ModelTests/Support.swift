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
