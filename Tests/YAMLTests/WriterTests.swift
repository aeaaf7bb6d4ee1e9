import TestSupport
import Testing
import YAML

@Suite struct WriterTests {
    @Test("YAML is written in readable block style")
    func readable() {
        let tree: Tree = [
            "linuxConfig": [
                "interfaces": [
                    ["name": "veth1", "mtu": .uint(1450), "ipAddresses": ["10.0.0.1/24", "fd00::1/64"]],
                    [
                        "name": "on", "enabled": true, "veth": ["peerIfName": "veth1"], "none": [],
                        "empty": .mapping([]),
                    ],
                ]
            ],
            "text": "a\nb",
        ]
        #expect(
            YAMLWriter.write(tree) == """
                linuxConfig:
                  interfaces:
                    - name: veth1
                      mtu: 1450
                      ipAddresses: [10.0.0.1/24, "fd00::1/64"]
                    - name: "on"
                      enabled: true
                      veth:
                        peerIfName: veth1
                      none: []
                      empty: {}
                text: "a\\nb"

                """)
    }

    @Test("JSON is written with its escapes")
    func json() {
        let tree: Tree = [
            "a": [.uint(1), -2, .null, .double(.infinity)], "b": "\"\\\u{1}\u{2028}é", "c": .mapping([]),
        ]
        #expect(
            JSONWriter.write(tree) == """
                {
                  "a": [
                    1,
                    -2,
                    null,
                    null
                  ],
                  "b": "\\"\\\\\\u0001\\u2028é",
                  "c": {}
                }

                """)
    }

    @Test("characters are escaped that have to be, and no others, wherever they stand")
    func escapes() {
        let scalars: [Unicode.Scalar] = [
            "\0", "\u{1f}", " ", "a", "\"", "\\", "\n", "\r", "\t", "~", "\u{7f}", "\u{80}", "\u{9f}", "\u{a0}", "é",
            "\u{2027}",
            "\u{2028}", "\u{2029}", "\u{202a}", "\u{20a8}", "\u{e0a9}", "\u{efff}", "\u{fefe}", "\u{feff}", "\u{ff00}",
            "\u{fffd}", "\u{fffe}", "\u{ffff}", "\u{10000}", "\u{1f600}",
        ]
        func escaped(_ scalar: Unicode.Scalar) -> String {
            switch scalar.value {
            case 0x22: return "\\\""
            case 0x5c: return "\\\\"
            case 0x0a: return "\\n"
            case 0x0d: return "\\r"
            case 0x09: return "\\t"
            case 0..<0x20, 0x7f...0x9f, 0x2028, 0x2029, 0xfeff, 0xfffe, 0xffff:
                let code = String(scalar.value, radix: 16)
                return "\\u" + String(repeating: "0", count: 4 - code.count) + code
            default: return String(Character(scalar))
            }
        }
        var generator = SeededGenerator(seed: 3)
        for _ in 0..<1000 {
            let chosen = (0..<generator.below(12)).map { _ in generator.pick(scalars) }
            var text = ""
            text.unicodeScalars.append(contentsOf: chosen)
            // Bytes, as equal strings may be written otherwise.
            #expect(Array(JSONWriter.quote(text).utf8) == Array("\"\(chosen.map(escaped).joined())\"".utf8))
        }
    }

    @Test("what would not read back as text is put in quotes")
    func quotes() {
        for text in [
            "", "true", "null", "~", "1", "1.5", "0x1f", "0o7", "yes", "No", "ON", "y", "12:30:45", "1_000", "-x",
            "a: b",
            "a #b", "#a", "a:", " a", "a ", "[a", "a]", "{", "*a", "&a", "!a", "|", ">", "'a'", "\"a\"", "%a", "@a",
            "`a",
            "2024-01-02", "<<", "=", "?", "a\tb", "a\u{85}b", "é", "\u{feff}", "0b11", "---", "...", ".5",
        ] {
            let out = YAMLWriter.write(.string(text))
            #expect(out.hasPrefix("\""), "\(text)")
            #expect(parse(out) == .string(text))
        }
        for text in [
            "veth1", "10.0.0.1", "10.0.0.1/24", "fd00::1", "/proc/1/ns/net", "a b", "a-b", "02:00:00:00:0a:01",
        ] {
            #expect(YAMLWriter.write(.string(text)) == text + "\n")
        }
    }

    private static let alphabet: [Character] = [
        "a", "Z", "0", "9", " ", ":", "-", "#", ",", "[", "]", "{", "}", "&", "*", "!", "|", ">", "'", "\"", "%", "@",
        "`",
        "\n", "\t", "\r", "\0", "\u{7f}", "\u{85}", "\u{2029}", "\u{feff}", "\u{fffe}", "é", "日", "🙂", "\\", "/", ".",
        "~", "?", "=",
        "_", "e", "x",
    ]

    private func random(_ generator: inout SeededGenerator, depth: Int) -> Tree {
        switch Int.random(in: 0..<(depth > 3 ? 6 : 8), using: &generator) {
        case 0: return .null
        case 1: return .bool(Bool.random(using: &generator))
        case 2: return .uint(UInt64.random(in: 0...(.max), using: &generator))
        case 3: return .double(Double.random(in: 0.25...1e9, using: &generator))
        case 4, 5: return .string(text(&generator))
        case 6:
            return .sequence(
                (0..<Int.random(in: 0..<5, using: &generator)).map { _ in random(&generator, depth: depth + 1) })
        default:
            var pairs: [(String, Tree)] = []
            for index in 0..<Int.random(in: 0..<5, using: &generator) {
                pairs.append(("\(text(&generator))\(index)", random(&generator, depth: depth + 1)))
            }
            return .mapping(pairs)
        }
    }

    private func text(_ generator: inout SeededGenerator) -> String {
        String(
            (0..<Int.random(in: 0..<8, using: &generator)).map { _ in
                Self.alphabet[Int.random(in: 0..<Self.alphabet.count, using: &generator)]
            })
    }

    @Test("any tree reads back as it was written, from YAML and from JSON")
    func roundTrip() {
        var generator = SeededGenerator(seed: 7)
        for _ in 0..<3000 {
            let tree = random(&generator, depth: 0)
            #expect(parse(YAMLWriter.write(tree)) == tree, "\(YAMLWriter.write(tree))")
            #expect(parse(JSONWriter.write(tree)) == tree, "\(JSONWriter.write(tree))")
        }
    }
}
