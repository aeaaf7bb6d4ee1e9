import Model
import Testing

/// The kernel keeps one route to a destination with a metric in a table, and one receiver of an interface's packets.
@Suite("what the kernel has room for once") struct RoutePlaceTests {
    private static let interfaces = [
        "{name: a, type: DUMMY}", "{name: b, type: DUMMY}", "{name: c, type: DUMMY, vrfMasterInterface: v}",
        "{name: e, type: EXISTING}", "{name: f, type: EXISTING, vrfMasterInterface: v}",
        "{name: v, type: VRF_DEVICE, vrfDev: {routingTable: 10}}",
        "{name: x, type: TAP, namespace: {type: NSID, reference: x}}",
    ]

    private func file(_ routes: [String], _ interfaces: [String] = interfaces) -> String {
        "linuxConfig:\n  interfaces:\n" + interfaces.map { "    - \($0)\n" }.joined()
            + (routes.isEmpty ? "" : "  routes:\n") + routes.map { "    - {\($0)}\n" }.joined()
    }

    private func mistakes(_ text: String) -> [String] {
        ConfigLoader.load(bytes: Array(text.utf8), name: "f").mistakes.map(\.text)
    }

    @Test(
        "routes that differ in what the kernel tells them apart by",
        arguments: [
            ["outgoingInterface: a, dstNetwork: 0.0.0.0/0", "outgoingInterface: b, dstNetwork: 0.0.0.0/0, metric: 5"],
            ["outgoingInterface: a, dstNetwork: 0.0.0.0/0", "outgoingInterface: b, dstNetwork: 0.0.0.0/0, table: 5"],
            ["outgoingInterface: a, dstNetwork: 0.0.0.0/0", "outgoingInterface: c, dstNetwork: 0.0.0.0/0"],
            ["outgoingInterface: a, dstNetwork: 0.0.0.0/0", "outgoingInterface: x, dstNetwork: 0.0.0.0/0"],
            // They may be in a VRF that nobody declares.
            ["outgoingInterface: a, dstNetwork: 0.0.0.0/0", "outgoingInterface: e, dstNetwork: 0.0.0.0/0"],
            ["outgoingInterface: a, dstNetwork: 10.0.0.0/8", "outgoingInterface: b, dstNetwork: 10.0.0.0/9"],
            ["outgoingInterface: a, dstNetwork: 0.0.0.0/0", "outgoingInterface: b, dstNetwork: '::/0'"],
        ])
    func different(_ routes: [String]) { #expect(mistakes(file(routes)) == []) }

    @Test(
        "routes in one place",
        arguments: [
            (
                ["outgoingInterface: a, dstNetwork: 10.0.0.0/8", "outgoingInterface: b, dstNetwork: 10.0.0.1/8"],
                "10.0.0.1/8"
            ),
            (
                [
                    "outgoingInterface: a, dstNetwork: 'fd00::/64'",
                    "outgoingInterface: b, dstNetwork: 'fd00::/64', metric: 1024",
                ], "fd00::/64"
            ),
            (
                [
                    "outgoingInterface: c, dstNetwork: 10.0.0.0/8",
                    "outgoingInterface: a, dstNetwork: 10.0.0.0/8, table: 10",
                ], "10.0.0.0/8"
            ),
            (
                ["outgoingInterface: c, dstNetwork: 10.0.0.0/8", "outgoingInterface: f, dstNetwork: 10.0.0.0/8"],
                "10.0.0.0/8"
            ),
            (
                ["outgoingInterface: a, dstNetwork: 10.0.0.0/8", "type: BLACKHOLE, dstNetwork: 10.0.0.0/8"],
                "10.0.0.0/8"
            ),
        ])
    func same(_ routes: [String], _ destination: String) {
        let found = mistakes(file(routes))
        #expect(found.count == 1)
        #expect(
            found.first?.contains("dst_network '\(destination)' has the same table and metric as route '") == true
                && found.first?.contains("(f:11:7)") == true, "\(found)")
    }

    @Test("what changes with an interface, and what goes, is noticed")
    func changes() {
        var set = ConfigSet()
        let routes = ["outgoingInterface: a, dstNetwork: 10.0.0.0/8", "outgoingInterface: c, dstNetwork: 10.0.0.0/8"]
        func mistakes(_ name: String, _ text: String) -> Int {
            set.set(Array(text.utf8).withUnsafeBytes { ConfigText($0, name: name, label: "default", names: .none) })
            return set.settle().findings.mistakes.count
        }
        let others = file([], Self.interfaces.map { $0.replacing(", vrfMasterInterface: v", with: "") })
        #expect(mistakes("interfaces", file([])) == 0)
        #expect(mistakes("routes", "linuxConfig:\n  routes:\n" + routes.map { "    - {\($0)}\n" }.joined()) == 0)
        #expect(mistakes("interfaces", others) == 1)
        #expect(mistakes("interfaces", file([])) == 0)
        #expect(mistakes("interfaces", others) == 1)
        #expect(mistakes("routes", "linuxConfig:\n  routes:\n    - {\(routes[1])}\n") == 0)
    }

    @Test("a port of a bridge or bond can't carry others", arguments: ["MACVLAN, macvlan", "IPVLAN, ipvlan"])
    func ports(_ kind: String) {
        let text = file(
            [],
            [
                "{name: m, type: \(kind): {parent: up}}", "{name: up, type: EXISTING}",
                "{name: br, type: BRIDGE, bridge: {ports: [up]}}",
            ])
        let found = mistakes(text)
        #expect(found.count == 1)
        #expect(found.first?.contains("parent 'up' is a port of bridge 'br' (f:5:7)") == true, "\(found)")
        #expect(mistakes(text.replacing("[up]", with: "[]")) == [])
    }
}
