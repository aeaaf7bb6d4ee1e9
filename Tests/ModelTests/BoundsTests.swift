import Testing

@testable import Model

/// What comes from a file has bounds, whatever the file says.
@Suite("Bounds")
struct BoundsTests {
    private static let count = 2000

    private static func list(_ line: (Int) -> String) -> String {
        interfaces((0..<count).map(line).joined(separator: "\n    - "))
    }

    /// Texts with as many mistakes as there are numbers.
    private static let wrong: [(name: String, text: String)] = [
        ("groups", (0..<count).map { "linuxConfg\($0): 1\n" }.joined()),
        ("lists", "linuxConfig:\n" + (0..<count).map { "  interfacs\($0): []\n" }.joined()),
        ("fields", list { "{nmae: x\($0)}" }),
        ("fields of one", interfaces("{" + (0..<count).map { "nam\($0): x" }.joined(separator: ", ") + "}")),
        ("enumerations", list { "{name: x\($0), type: DUMY}" }),
        ("types", list { "{name: [x\($0)], type: DUMMY}" }),
        ("keys", "a: 1\n" + String(repeating: "a: 1\n", count: count - 1)),
        ("peers", list { "{name: x\($0), type: VETH, veth: {peerIfName: nobody\($0)}}" }),
        (
            "ports",
            interfaces(
                "{name: br, type: BRIDGE, bridge: {ports: [" + (0..<count).map { "p\($0)" }.joined(separator: ", ")
                    + "]}}")
        ),
        (
            "settings",
            interfaces(
                "{name: x, type: DUMMY, sysctls: {" + (0..<count).map { "forwading\($0): 1" }.joined(separator: ", ")
                    + "}}")
        ),
        (
            "same",
            interfaces("{name: x, type: DUMMY}") + String(repeating: "    - {name: x, type: DUMMY}\n", count: count)
        ),
        (
            "objects",
            "apiVersion: v1\nkind: List\nitems:\n"
                + String(repeating: "- {apiVersion: pantheon.tech/v1, kind: CNFConfiguration}\n", count: count)
        ),
    ]

    @Test("of mistakes the first are listed, and all are counted", arguments: wrong.indices)
    func mistakes(index: Int) {
        let (name, text) = Self.wrong[index]
        let config = load(text)
        #expect(config.mistakes.count == 100, "\(name)")
        // A key that is there twice is unknown, too.
        let expected = name == "keys" ? 2 * Self.count - 1 : Self.count
        #expect(config.mistakeCount == expected, "\(name): \(config.mistakes.first?.description ?? "")")
        #expect(config.mistakes.count { $0.text.contains("did you mean") } <= 20, "\(name)")
    }

    @Test("of warnings the first are listed, and all are counted")
    func warnings() {
        let config = load(String(repeating: "vppConfig: {}\n---\n", count: Self.count))
        #expect(config.warnings.count == 100)
        #expect(config.warnings.count + config.omittedWarnings == Self.count)
        let endpoints = (0..<Self.count).map {
            "    - {networkService: s\($0), interfaceNamePrefix: q\($0), physAddress: '02:00:00:00:00:01'}\n"
        }
        let others = load("cnfConfig:\n  NetworkServiceEndpoint_list:\n" + endpoints.joined())
        #expect(others.warnings.count + others.omittedWarnings == Self.count)
        #expect(others.warnings.count == 100)
    }

    @Test("a text of a value has at most 64 KiB")
    func longTexts() {
        func text(_ count: Int) -> String { String(repeating: "x", count: count) }
        let most = "cnfConfig: {NetworkServiceClient_list: [{name: c, interfaceName: i, networkService: TEXT}]}"
        #expect(load(most.replacing("TEXT", with: text(65536))).isValid)
        let mistakes = load(most.replacing("TEXT", with: text(65537))).mistakes
        #expect(mistakes.count == 1)
        #expect(mistakes.first?.text.hasSuffix("is 65537 bytes long; at most 65536") == true)
        let table = "linuxConfig: {nftables: [{name: t, ruleset: 'set s { type ipv4_addr; } # TEXT'}]}"
        #expect(load(table.replacing("TEXT", with: text(1_000_000))).isValid)
        let tooLong = load(table.replacing("TEXT", with: text(1 << 20))).mistakes
        #expect(tooLong.first?.text.hasSuffix("bytes long; at most 1048576") == true, "\(tooLong)")
        let setting = load(interfaces("{name: x, type: DUMMY, sysctls: {forwarding: '\(text(70000))'}}"))
        #expect(setting.mistakes.first?.text.contains("is 70000 bytes long") == true)
    }

    @Test(
        "no message holds more of the file than a reader can use",
        arguments: [
            "? TEXT\n: 1\n", "? TEXT\n: 1\n? TEXT\n: 2\n", "a: *TEXT\n", "a: !TEXT b\n", "linuxConfig: {? TEXT : 1}\n",
            "linuxConfig: {interfaces: [{name: TEXT, type: DUMMY}]}",
            "linuxConfig: {interfaces: [{name: a, type: TEXT}]}",
            "linuxConfig: {interfaces: [{name: a, type: DUMMY, ? TEXT : 1}]}",
            "linuxConfig: {interfaces: [{name: a, type: VETH, veth: {peerIfName: TEXT}}]}",
            "linuxConfig: {interfaces: [{name: a, type: DUMMY, sysctls: {? TEXT : 'x'}}]}",
            "linuxConfig: {routes: [{dstNetwork: TEXT, outgoingInterface: a}]}",
            "apiVersion: TEXT\nkind: CNFConfiguration\n", "apiVersion: v1\nkind: TEXT\n",
        ])
    func quotations(text: String) {
        for count in [1000, 60_000, 200_000] {
            let config = load(text.replacing("TEXT", with: String(repeating: "x", count: count)))
            let found = config.mistakes + config.warnings
            #expect(!found.isEmpty)
            #expect(found.allSatisfy { $0.text.utf8.count < 500 })
        }
    }
}
