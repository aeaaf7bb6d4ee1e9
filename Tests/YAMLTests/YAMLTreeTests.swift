import Testing
import YAML

/// A parsed document as nested values, to compare with.
func shape(_ tree: YAMLTree, _ node: Int) -> Tree {
    switch tree.kind(of: node) {
    case .sequence: return .sequence(tree.elements(of: node).map { shape(tree, $0) })
    case .mapping: return .mapping(tree.pairs(of: node).map { (tree.string(of: $0.key), shape(tree, $0.value)) })
    default: break
    }
    switch tree.scalar(node) {
    case .null: return .null
    case .bool(let value): return .bool(value)
    case .integer(let size, let isNegative): return isNegative ? .int(-Int64(size)) : .uint(size)
    case .float(let value): return .double(value)
    case .text: return .string(tree.string(of: node))
    }
}

func parse(_ text: String) -> Tree? {
    let tree = YAMLTree(parsing: text)
    guard tree.mistakes.isEmpty, let root = tree.documents.first else { return nil }
    return shape(tree, root)
}

func mistakes(_ text: String) -> [String] {
    YAMLTree(parsing: text).mistakes.map { "\($0.line):\($0.column): \($0.text)" }
}

@Suite struct YAMLTreeTests {
    @Test("block and flow collections become one shape")
    func collections() throws {
        let expected: Tree = ["a": ["x", "y"], "b": ["c": .uint(1), "d": .null], "e": []]
        #expect(parse("a:\n  - x\n  - y\nb:\n  c: 1\n  d:\ne: []\n") == expected)
        #expect(parse("{a: [x, y], b: {c: 1, d: ~}, e: []}") == expected)
    }

    @Test("every node knows its line and column")
    func positions() throws {
        let tree = YAMLTree(parsing: "a: 1\nlist:\n  - name: x\n    other: 'ü' # ü\n")
        let root = try #require(tree.documents.first)
        let list = try #require(tree.pair("list", in: root))
        #expect((tree[list.key].line, tree[list.key].column) == (2, 1))
        let item = try #require(tree.elements(of: list.value).first { _ in true })
        #expect((tree[item].line, tree[item].column) == (3, 5))
        let other = try #require(tree.pair("other", in: item))
        #expect((tree[other.key].line, tree[other.key].column) == (4, 5))
        #expect((tree[other.value].line, tree[other.value].column) == (4, 12))
    }

    @Test("a list and a mapping have no text, however many elements they have")
    func textOfCollections() throws {
        let tree = YAMLTree(parsing: "[[[], [], []], {a: 1, b: 2}, x]")
        let root = try #require(tree.documents.first)
        for node in [root] + tree.elements(of: root).prefix(2) {
            #expect(tree.string(of: node) == "")
            #expect(tree.withBytes(of: node) { $0.count } == 0)
            #expect(
                !tree.text(of: node, equals: "ab") && !tree.text(of: node, equals: "xab")
                    && !tree.text(of: node, equals: "".utf8))
        }
    }

    @Test("a stream holds several documents, also empty ones")
    func documents() {
        let tree = YAMLTree(parsing: "a: 1\n---\n---\nb: 2\n...\n")
        #expect(tree.documents.count == 3)
        #expect(tree.documents.map { shape(tree, $0) } == [["a": .uint(1)], .null, ["b": .uint(2)]])
        #expect(YAMLTree(parsing: "").documents.isEmpty)
        #expect(YAMLTree(parsing: "# only a comment\n").documents.isEmpty)
    }

    @Test("JSON is read with its escapes")
    func json() {
        let text = #"{"a": "tab\t quote\" slash\/ \u00e9 \\", "b": [true, false, null, -1, 2.5e3], "c": {}}"#
        let expected: Tree = [
            "a": "tab\t quote\" slash/ é \\", "b": [true, false, .null, -1, .double(2500)], "c": .mapping([]),
        ]
        #expect(parse(text) == expected)
        #expect(mistakes(#"{"a": 1, "a": 2}"#) == ["1:10: key 'a' is there twice; first at 1:2"])
    }

    @Test("aliases stand for what their anchors hold, merge keys bring pairs in")
    func aliases() {
        #expect(parse("a: &x [1, 2]\nb: *x\n") == ["a": [.uint(1), .uint(2)], "b": [.uint(1), .uint(2)]])
        let merged = "base: &b {p: 1, q: 2}\nuse:\n  <<: *b\n  q: 3\nboth:\n  <<: [*b, {r: 4}]\n"
        #expect(
            parse(merged) == [
                "base": ["p": .uint(1), "q": .uint(2)], "use": ["q": .uint(3), "p": .uint(1)],
                "both": ["p": .uint(1), "q": .uint(2), "r": .uint(4)],
            ])
        #expect(mistakes("a: *x") == ["1:4: alias '*x' has no anchor '&x' before it"])
        #expect(mistakes("a: &x [*x]") == ["1:8: alias '*x' refers to what it is part of"])
        #expect(mistakes("<<: 3").first == "1:5: '<<' takes a mapping or a list of mappings")
    }

    @Test("aliases can't make a small file large")
    func billionLaughs() {
        var text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        for level in 1...9 {
            let list = Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ", ")
            text += "a\(level): &a\(level) [\(list)]\n"
        }
        let found = mistakes(text)
        #expect(found.count == 1)
        #expect(found.first?.contains("aliases stand for more than 1000000 nodes") == true)

        var deep = "a0: &a0 [x]\n"
        for level in 1...80 { deep += "a\(level): &a\(level) [*a\(level - 1)]\n" }
        #expect(mistakes(deep).first?.contains("nests deeper than 64 levels") == true)
    }

    @Test("nesting is bounded")
    func depth() {
        #expect(parse(String(repeating: "[", count: 64) + String(repeating: "]", count: 64)) != nil)
        let text = String(repeating: "[", count: 100_000)
        #expect(mistakes(text) == ["1:65: nested deeper than 64 levels"])
    }

    @Test("all duplicate keys are found, in small and in large mappings")
    func duplicates() {
        #expect(
            mistakes("a: 1\nb:\n  c: 1\n  'c': 2\na: 3\n") == [
                "4:3: key 'c' is there twice; first at 3:3", "5:1: key 'a' is there twice; first at 1:1",
            ])
        var text = ""
        for index in 0..<100 { text += "k\(index): 0\n" }
        #expect(mistakes(text).isEmpty)
        #expect(mistakes(text + "k42: 1\n") == ["101:1: key 'k42' is there twice; first at 43:1"])
    }

    @Test(
        "syntax errors say where and what",
        arguments: [
            (
                "a: [1, 2\nb: 3\n",
                "2:2: did not find expected ',' or ']' while parsing a flow sequence that starts at line 1"
            ),
            ("a:\n\t- b\n", "2:1: a tab can't indent YAML; use spaces"),
            ("a: \"x\n", "2:1: found unexpected end of stream while scanning a quoted scalar that starts at line 1"),
            (
                "l:\n  - a: 1\n    b: 2\n   c: 3\n",
                "4:4: wrong indentation: items of the list that starts at line 2 begin with '-' in column 3, and what belongs to"
                    + " an item stands further right"
            ),
            (
                "l:\n  - a: 1\n  b: 2\n",
                "3:3: wrong indentation: items of the list that starts at line 2 begin with '-' in column 3, and what belongs to"
                    + " an item stands further right"
            ),
            (
                "m:\n    a: 1\n  b: 2\n",
                "3:3: wrong indentation: keys of the block that starts at line 1 begin in column 1"
            ),
            (
                "m:\n  a: x\n    b: 2\n",
                "3:5: wrong indentation: this key stands further right than line 2, whose value ends there"
            ),
            // What else libyaml says so of.
            ("a: 'x' y\nb: 1\n", "1:8: did not find expected key while parsing a block mapping"),
            ("a: b: c\n", "1:5: mapping values are not allowed in this context"),
            ("a: @x\n", "1:4: '@' can't start a value; put the value in quotes"),
            ("a: !thing x\n", "1:4: tag '!thing' has no meaning here; remove it"),
            ("? [a]\n: b\n", "1:3: a key must be a single word or text"),
        ])
    func syntax(text: String, expected: String) {
        #expect(mistakes(text) == [expected])
    }

    @Test("documents before a syntax error are kept")
    func partial() {
        let tree = YAMLTree(parsing: "a: 1\n---\nb: [\n")
        #expect(tree.documents.count == 1)
        #expect(tree.mistakes.count == 1)
    }

    @Test("what is no UTF-8 is refused at its place")
    func encodings() {
        func found(_ bytes: [UInt8]) -> String? {
            bytes.withUnsafeBytes { YAMLTree(parsing: $0) }.mistakes.first.map { "\($0.line):\($0.column): \($0.text)" }
        }
        #expect(found(Array("a: b\nc: ".utf8) + [0xff, 10]) == "2:4: not valid UTF-8: invalid leading UTF-8 octet")
        #expect(found([0xff, 0xfe, 0x61, 0]) == "1:1: not valid UTF-8: invalid leading UTF-8 octet")
        #expect(found(Array("a: b\u{1}\n".utf8)) == "1:5: control character U+0001 is not allowed")
        #expect(found([0xef, 0xbb, 0xbf] + Array("a: b\n".utf8)) == nil)
    }
}

@Suite struct YAMLScalarTests {
    @Test(
        "plain scalars follow the core schema",
        arguments: [
            ("", .null), ("~", .null), ("null", .null), ("Null", .null), ("nULL", .text), ("true", .bool(true)),
            ("TRUE", .bool(true)), ("False", .bool(false)), ("yes", .text), ("on", .text),
            ("0", .integer(0, isNegative: false)), ("-12", .integer(12, isNegative: true)),
            ("+7", .integer(7, isNegative: false)), ("010", .integer(10, isNegative: false)),
            ("0x1F", .integer(31, isNegative: false)), ("0o17", .integer(15, isNegative: false)), ("0o8", .text),
            ("18446744073709551615", .integer(.max, isNegative: false)), ("1.5", .float(1.5)), ("-1e3", .float(-1000)),
            (".5", .float(0.5)), ("1.", .float(1)), ("-.inf", .float(-.infinity)), ("1.2.3", .text), ("-", .text),
            (".", .text), ("10.0.0.1/24", .text), ("1_000", .text), ("12:30:45", .text), ("1e", .text), ("e3", .text),
        ] as [(String, YAMLScalar)])
    func coreSchema(text: String, expected: YAMLScalar) {
        #expect(YAMLScalar(plain: text) == expected)
    }

    @Test("quoted text is text")
    func quoted() {
        #expect(parse("a: '1'\nb: \"true\"\nc: !!str 5\nd: |\n  1\n") == ["a": "1", "b": "true", "c": "5", "d": "1\n"])
    }
}
