import Glibc
import Model
import TestSupport
import Testing

/// Damages good files in every way that is cheap, and expects an answer each time.
@Suite struct FuzzTests {
    private static let pieces = [
        "\n", " ", "  ", "\t", ":", ": ", "- ", "[", "]", "{", "}", ",", "'", "\"", "&a ", "*a", "<<: *a", "|", ">",
        "#", "!!str ",
        "---\n", "...\n", "null", "~", "4294967296", "-1", "1e400", "0x", "alloc:", "alloc:n/GW", "/", "/99", "::",
        "true", "é",
        "\u{0}", "\u{feff}", "\\u0000", "%YAML 1.1\n", "? ", "name: ", "type: 7", "veth: {}", "[[[[[[[[", "&b [*b]",
    ].map { Array($0.utf8) }

    private func mutate(_ seed: [UInt8], _ other: [UInt8], _ generator: inout SeededGenerator) -> [UInt8] {
        var bytes = seed
        for _ in 0...generator.below(4) where !bytes.isEmpty {
            let place = generator.below(bytes.count)
            let count = min(1 + generator.below(40), bytes.count - place)
            switch generator.below(7) {
            case 0: bytes.removeSubrange(place..<place + count)
            case 1: bytes.insert(contentsOf: generator.pick(Self.pieces), at: place)
            case 2: bytes[place] = UInt8(generator.below(256))
            case 3: bytes.insert(contentsOf: bytes[place..<place + count], at: generator.below(bytes.count))
            case 4: bytes.replaceSubrange(place..<place + count, with: generator.pick(Self.pieces))
            case 5: bytes.insert(contentsOf: other.dropFirst(generator.below(other.count)).prefix(60), at: place)
            default: bytes.removeSubrange(place...)
            }
        }
        return bytes
    }

    /// The process's largest memory so far, as the kernel counts it.
    private func peakKilobytes() -> Int {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return usage.ru_maxrss
    }

    @Test("damaged files give mistakes or values, never a crash, within bounded memory")
    func damagedFiles() {
        var generator = SeededGenerator(seed: 42)
        let seeds = ["upstream.yaml", "own.yaml", "cnf.yaml", "config.json"].map(corpusText)
        let before = peakKilobytes()
        var accepted = 0
        for round in 0..<4000 {
            let text = mutate(generator.pick(seeds), generator.pick(seeds), &generator)
            let config = ConfigLoader.load(bytes: text, name: "fuzz")
            if config.isValid { accepted += 1 }
            // What is accepted must also survive being written.
            guard config.isValid, round % 8 == 0 else { continue }
            let written = YAMLWriter.write(ConfigDocument.tree(of: config.items.map(\.value)))
            let again = load(written)
            #expect(again.mistakes.map(\.description) == [], "\(String(decoding: text, as: UTF8.self))\n\(written)")
            #expect(Set(again.items.map(\.value)) == Set(config.items.map(\.value)))
        }
        #expect(accepted > 50, "the damage is too heavy to reach the deeper checks")
        #expect(peakKilobytes() - before < 256 << 10)
    }

    @Test("texts made to be expensive are answered")
    func expensiveTexts() {
        let texts = [
            String(repeating: "- ", count: 50_000), String(repeating: "? ", count: 50_000),
            String(repeating: "{a: ", count: 50_000), String(repeating: "&a ", count: 10_000),
            "linuxConfig: {interfaces: [" + String(repeating: "{}, ", count: 20_000) + "]}",
            "linuxConfig: {interfaces: [&x {name: a, type: DUMMY}" + String(repeating: ", *x", count: 20_000) + "]}",
            interfaces(
                (0..<5000).map { "{name: a\($0), type: VETH, veth: {peerIfName: b\($0)}}" }.joined(
                    separator: "\n    - ")),
            interfaces(
                (0..<5000).map { "{name: a\($0), type: DUMMY, sysctls: {x\($0): 1}}" }.joined(separator: "\n    - ")),
            "x: \"" + String(repeating: "a", count: 1_000_000) + "\"",
        ]
        for text in texts { #expect(!load(text).isValid) }
    }
}
