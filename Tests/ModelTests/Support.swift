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

/// A small generator with a seed, so that a failure can be repeated.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    mutating func below(_ limit: Int) -> Int { Int.random(in: 0..<limit, using: &self) }

    mutating func chance(_ percent: Int) -> Bool { below(100) < percent }

    mutating func pick<Element>(_ list: [Element]) -> Element { list[below(list.count)] }
}
