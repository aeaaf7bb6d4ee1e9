import Model
import Testing

@Suite("aliases, alternative names and matches in files") struct InterfaceNameTests {
    private func mistakes(_ interfaces: String...) -> [String] {
        let text = "linuxConfig:\n  interfaces:\n" + interfaces.map { "    - {\($0)}\n" }.joined()
        return ConfigLoader.load(bytes: Array(text.utf8), name: "f").mistakes.map { mistake in
            mistake.text.replacing("linux.interfaces.interface ", with: "")
        }
    }

    private static let long = String(repeating: "x", count: 128)

    @Test(
        "what is right",
        arguments: [
            "name: a, type: DUMMY, alias: 'to rack 4', altNames: [uplink, 'a:b', \(long.dropFirst())]",
            "name: a, type: LOOPBACK, alias: \(long)",
            "name: a, type: EXISTING, hostIfName: \(long.dropFirst()), altNames: [b]",
            "name: 'a long logical name', type: EXISTING, match: {mac: '02:00:00:00:00:01'}",
            "name: a, type: EXISTING, match: {driver: ixgbe, path: '0000:03:*'}",
            "name: a, type: EXISTING, hostIfName: eth9, match: {altname: uplink}, namespace: {type: NSID, reference: x}",
        ])
    func right(_ interface: String) { #expect(mistakes(interface) == []) }

    @Test(
        "what is wrong",
        arguments: [
            ("type: EXISTING, alias: x", "alias 'x' is not possible for type EXISTING: the alias is that of its maker"),
            ("type: DUMMY, alias: \(long)x", "alias 'xxx…' is longer than 128 bytes"),
            ("type: DUMMY, alias: \"a\\tb\"", "alias 'a\\u{9}b' holds a control character"),
            ("type: DUMMY, altNames: [a/b]", "alt_names[0] 'a/b' holds '/', a space or a control character"),
            ("type: DUMMY, altNames: ['']", "alt_names[0] '' is empty"),
            ("type: DUMMY, altNames: [b, b]", "alt_names[1] 'b' is there twice"),
            ("type: DUMMY, altNames: [a]", "alt_names[0] 'a' is its name already"),
            (
                "type: DUMMY, altNames: [\(long)]",
                "alt_names[0] 'xxx…' is 128 bytes long; the kernel takes at most 127"
            ),
            (
                "type: DUMMY, altNames: [b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r]",
                "alt_names[16] 'r' is one more than the 16 an interface can have here"
            ),
            ("type: DUMMY, match: {driver: dummy}", "match is possible only for type EXISTING"),
            ("type: EXISTING, match: {}", "match says nothing; give it mac, driver, path or altname"),
            (
                "type: EXISTING, match: {mac: nonsense}",
                "match.mac 'nonsense' is not a MAC address, such as 02:00:00:00:00:01"
            ),
            (
                "type: EXISTING, match: {driver: \(long)}",
                "match.driver 'xxx…' has to be at most 31 bytes without control characters"
            ),
            (
                "type: EXISTING, match: {altname: a/b}",
                "match.altname 'a/b' holds '/', a space or a control character"
            ),
            (
                "type: EXISTING, hostIfName: eth0, match: {driver: e1000}",
                "host_if_name 'eth0' goes with match only where the interface is moved to another namespace, and is its name there"
            ),
            (
                "type: EXISTING, hostIfName: 'a/b'",
                "host_if_name 'a/b' holds '/', ':', '%', a space or a control character"
            ),
        ])
    func wrong(_ interface: String, _ text: String) {
        let found = mistakes("name: a, " + interface).map { $0.replacing("'a': ", with: "") }
        // Long texts are cut in the middle of a message.
        let parts = text.split(separator: "…")
        #expect(
            found.count == 1 && found[0].hasPrefix(parts[0]) && found[0].hasSuffix(parts[parts.count - 1]), "\(found)")
    }

    @Test("one device can't be two interfaces")
    func twice() {
        let match = "type: EXISTING, match: {driver: ixgbe, path: '0000:03:00.0'}"
        #expect(mistakes("name: a, \(match)", "name: b, \(match)").count == 1)
        #expect(mistakes("name: a, \(match)", "name: b, type: EXISTING, match: {driver: ixgbe}") == [])
    }
}
