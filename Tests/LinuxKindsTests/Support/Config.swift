/// A configuration file from its items, each written as what stands between braces.
struct Config {
    var interfaces: [String] = []
    var routes: [String] = []
    var arps: [String] = []
    var rules: [String] = []
    var namespaces: [String] = []
    var allocations: [String] = []
    var fdb: [String] = []
    var qdiscs: [String] = []
    var nexthops: [String] = []

    var text: String {
        var text = "linuxConfig:\n"
        for (name, items) in [
            ("namespaces", namespaces), ("interfaces", interfaces), ("routes", routes), ("arpEntries", arps),
            ("rules", rules), ("fdb", fdb), ("qdiscs", qdiscs), ("nexthops", nexthops),
        ] where !items.isEmpty {
            text += "  \(name):\n" + items.map { "    - {\($0)}\n" }.joined()
        }
        if !allocations.isEmpty {
            text += "netallocConfig:\n  ipAddresses:\n" + allocations.map { "    - {\($0)}\n" }.joined()
        }
        return text
    }

    /// The same items in another order.
    func shuffled(using generator: inout some RandomNumberGenerator) -> Config {
        Config(
            interfaces: interfaces.shuffled(using: &generator), routes: routes.shuffled(using: &generator),
            arps: arps.shuffled(using: &generator), rules: rules.shuffled(using: &generator),
            namespaces: namespaces.shuffled(using: &generator), allocations: allocations.shuffled(using: &generator),
            fdb: fdb.shuffled(using: &generator), qdiscs: qdiscs.shuffled(using: &generator),
            nexthops: nexthops.shuffled(using: &generator))
    }
}

/// A configuration of interfaces and what goes with them.
func linux(
    _ interfaces: String..., routes: [String] = [], arps: [String] = [], rules: [String] = [],
    namespaces: [String] = [], allocations: [String] = []
) -> String {
    Config(
        interfaces: interfaces, routes: routes, arps: arps, rules: rules, namespaces: namespaces,
        allocations: allocations
    ).text
}

/// Half a veth pair that is up.
func veth(
    _ name: String, _ peer: String, in namespace: String? = nil, host: String? = nil, _ more: String = ""
) -> String {
    "name: \(name), type: VETH, enabled: true, veth: {peerIfName: \(peer)}" + place(namespace)
        + (host.map { ", hostIfName: \($0)" } ?? "") + (more.isEmpty ? "" : ", \(more)")
}

/// The `namespace` field of a named one.
func place(_ namespace: String?) -> String {
    namespace.map { ", namespace: {type: NSID, reference: \($0)}" } ?? ""
}
