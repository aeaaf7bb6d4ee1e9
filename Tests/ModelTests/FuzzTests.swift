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

    /// A list or a mapping of others, or a word, as flow.
    private func nest(_ depth: Int, _ generator: inout SeededGenerator) -> String {
        let words = ["a", "Match", "link", "1", "linuxConfig", "apiVersion", "interfaces", "network", "data"]
        if depth == 0 || generator.below(5) == 0 { return generator.pick(words) }
        let parts = (0..<generator.below(5)).map { _ in nest(depth - 1, &generator) }
        if generator.below(2) == 0 { return "[\(parts.joined(separator: ", "))]" }
        let first = generator.below(words.count)
        let pairs = parts.enumerated().map { "\(words[(first + $0.offset) % words.count]): \($0.element)" }
        return "{\(pairs.joined(separator: ", "))}"
    }

    @Test("lists of lists and mappings are no configuration, and no crash")
    func nestedLists() {
        let seed: UInt64 = 1701
        var generator = SeededGenerator(seed: seed)
        for text in ["[[[],[],[]]]", "[[[], [], []], x]", "[{a: 1, b: 2}]", "[[Match]]", "[Match]", "- - - []\n"] {
            #expect(!load(text).isValid, "\(text)")
        }
        for _ in 0..<2000 {
            let text = nest(4, &generator)
            #expect(load(text).items.isEmpty, "seed \(seed): \(text)")
            #expect(!load("[\(text)]").isValid, "seed \(seed): \(text)")
        }
    }

    @Test("damaged files give mistakes or values, never a crash, within bounded memory")
    func damagedFiles() async {
        let seeds = ["upstream.yaml", "own.yaml", "cnf.yaml", "config.json"].map(corpusText)
        let before = peakKilobytes()
        var (accepted, all) = (0, 0)
        for seed in Seeds("damaged files", usual: 80, long: 4000, step: 100) {
            await Task.yield()
            var generator = SeededGenerator(seed: seed)
            for round in 0..<50 {
                all += 1
                let text = mutate(generator.pick(seeds), generator.pick(seeds), &generator)
                let config = ConfigLoader.load(bytes: text, name: "fuzz")
                if config.isValid { accepted += 1 }
                // What is accepted must also survive being written.
                guard config.isValid, round % 8 == 0 else { continue }
                let written = YAMLWriter.write(ConfigDocument.tree(of: config.items.map(\.value)))
                let again = load(written)
                let texts = "seed \(seed): \(String(decoding: text, as: UTF8.self))\n\(written)"
                #expect(again.mistakes.map(\.description) == [], "\(texts)")
                #expect(Set(again.items.map(\.value)) == Set(config.items.map(\.value)), "\(texts)")
            }
        }
        #expect(accepted > all / 80, "the damage is too heavy to reach the deeper checks")
        #expect(peakKilobytes() - before < 256 << 10)
    }

    private func text(_ bytes: [UInt8], former: ConfigText? = nil, names: NameResolver = .none) -> ConfigText {
        bytes.withUnsafeBytes { ConfigText($0, name: "fuzz", label: "default", names: names, former: former) }
    }

    /// What a text says; with `former`, in the place of that one.
    private func said(_ bytes: [UInt8], inPlaceOf former: ConfigText? = nil, reused: inout Int) -> LoadedConfig {
        var set = ConfigSet()
        if let former {
            set.set(former)
            _ = set.settle()
            set.forgetPlaces()
        }
        let text = text(bytes, former: set.text(named: "fuzz"))
        reused += text.reused
        set.set(text)
        let difference = set.settle()
        return set.whole(difference)
    }

    /// Values of which nothing is to be said, unlike those of the corpus.
    private static let plain: [UInt8] =
        Array(
            (0..<12).map { number in
                """
                - {name: d\(number), type: DUMMY, enabled: true, mtu: \(1400 + number), ipAddresses: [10.0.\(number).1/24]}
                """
            }.reduce("linuxConfig:\n  interfaces:\n") { "\($0)    \($1)\n" }.utf8)
        + Array(
            (0..<8).map { "    - {dstNetwork: 10.1.\($0).0/24, outgoingInterface: d\($0), metric: \($0 % 3)}\n" }
                .reduce("  routes:\n", +).utf8)

    @Test("a damaged text in the place of another one says what it says alone")
    func damagedTextsInPlace() async {
        let seeds =
            ["upstream.yaml", "own.yaml", "cnf.yaml", "config.json"].map(corpusText) + [Self.plain, Self.plain]
        var (reused, all) = (0, 0)
        for number in Seeds("texts in the place of others", usual: 32, long: 2000, step: 100) {
            await Task.yield()
            var generator = SeededGenerator(seed: number)
            for _ in 0..<25 {
                all += 1
                let (seed, other) = (generator.pick(seeds), generator.pick(seeds))
                let before = generator.below(2) == 0 ? seed : mutate(seed, other, &generator)
                let after = mutate(generator.below(4) == 0 ? other : seed, other, &generator)
                let found = said(after, inPlaceOf: text(before), reused: &reused)
                let expected = said(after, reused: &reused)
                let texts =
                    "seed \(number): \(String(decoding: before, as: UTF8.self))\n=>\n\(String(decoding: after, as: UTF8.self))"
                #expect(found.findings == expected.findings, "\(texts)")
                #expect(found.items.map(\.key) == expected.items.map(\.key), "\(texts)")
                #expect(found.items.map(\.value) == expected.items.map(\.value), "\(texts)")
                #expect(found.items.map(\.specification) == expected.items.map(\.specification), "\(texts)")
                #expect(found.items.map(\.position) == expected.items.map(\.position), "\(texts)")
            }
        }
        #expect(reused > all / 8, "hardly anything was taken over, so this tests nothing")
    }

    @Test("what a name of this host stands for is looked up in each text")
    func namesInPlace() throws {
        let bytes = Array(
            "linuxConfig: {routes: [{dstNetwork: 10.0.0.0/8, outgoingInterface: e, table: blue}, {dstNetwork: 11.0.0.0/8, outgoingInterface: e, table: 9}]}"
                .utf8)
        func names(_ number: Int64) -> NameResolver {
            NameResolver(
                number: { $1 == .table && $0 == "blue" ? number : nil }, name: { _, _ in nil }, names: { _ in ["blue"] }
            )
        }
        let first = text(bytes, names: names(7))
        let second = text(bytes, former: first, names: names(8))
        let tables = second.values.map { value -> UInt32? in
            if case .route(let route) = value { route.table } else { nil }
        }
        #expect(tables == [8, 9] && second.usesNames && second.reused == 1)
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
