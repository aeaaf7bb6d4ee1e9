import Glibc
import TestSupport

/// Random configurations of one small host, and random things that others do on it.
struct RandomHost {
    static let namespaces = ["x", "y"]
    private var random: SeededGenerator

    init(seed: UInt64) { random = SeededGenerator(seed: seed) }

    /// The seeds of a test: `NSM_AGENT_SEED=7` asks for one, `NSM_AGENT_SEED=51-350` for a range, and NSM_AGENT_LONG for many.
    static func seeds(_ usual: some Sequence<UInt64>, long: ClosedRange<UInt64>) -> [UInt64] {
        if let text = getenv("NSM_AGENT_SEED") {
            let bounds = String(cString: text).split(separator: "-").compactMap { UInt64($0) }
            if let first = bounds.first, let last = bounds.last, first <= last { return Array(first...last) }
        }
        return getenv("NSM_AGENT_LONG") == nil ? Array(usual) : Array(long)
    }

    mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }

    mutating func pick<T>(_ items: [T]) -> T { items[Int.random(in: 0..<items.count, using: &random)] }

    private mutating func some<T>(_ items: [T], _ percent: Int) -> [T] {
        items.filter { _ in chance(percent) }.shuffled(using: &random)
    }

    // MARK: - Configurations

    /// A configuration, which may have mistakes: what is random may not fit together.
    mutating func config() -> Config {
        var config = Config()
        var places: [String: String?] = [:]
        for (index, pair) in [["a", "b"], ["c", "d"]].enumerated() where chance(85) {
            for (end, other) in [(pair[0], pair[1]), (pair[1], pair[0])] {
                let place: String? = pick([nil, nil, "x", "y"])
                places[end] = place
                let more = veth(end, network: index)
                config.interfaces.append(
                    "name: \(end), type: VETH, enabled: \(chance(90)), veth: {peerIfName: \(other)}, \(more)"
                        + LinuxKindsTests.place(place))
            }
        }
        if chance(40) { config.interfaces.append("name: t, type: TAP, enabled: true, tuntap: {mode: TAP}\(mtu())") }
        addBridge(to: &config, places)
        addUppers(to: &config, places)
        if chance(70) { addUplink(to: &config) }
        addRoutes(to: &config, places)
        if chance(50) { config.namespaces = some(["name: y", "name: z"], 50) }
        return config
    }

    private mutating func mtu() -> String {
        chance(40) ? ", mtu: \(pick([1280, 1400, 1500, 9000]))" : ""
    }

    private mutating func veth(_ name: String, network: Int) -> String {
        let host = ["a": 1, "b": 2, "c": 1, "d": 2][name] ?? 3
        let pool = [
            "10.\(network).0.\(host)/24", "10.\(network).0.\(host + 10)/24", "10.\(network).0.\(host + 20)/16",
            "10.\(network + 8).0.\(host)/32", "'fd0\(network)::\(host)/64'", "'fd0\(network)::1\(host)/64'",
        ]
        var text = "ipAddresses: [\(some(pool, 40).joined(separator: ", "))]\(mtu())"
        if chance(20) { text += ", physAddress: '02:00:00:00:0\(network):\(host)0'" }
        if chance(25) { text += ", sysctls: {\(pick(["ipv6.mtu: '1280'", "rp_filter: '2'", "proxy_arp: '1'"]))}" }
        return text
    }

    private mutating func addBridge(to config: inout Config, _ places: [String: String?]) {
        guard chance(50) else { return }
        // Not the first: a link below a MACVLAN can't be a port.
        let ports = some(places.keys.sorted().dropFirst().filter { places[$0] == .some(nil) }, 60)
        config.interfaces.append(
            "name: br, type: BRIDGE, enabled: true, bridge: {ports: [\(ports.joined(separator: ", "))]}\(mtu()), "
                + "ipAddresses: [\(some(["10.5.0.1/24", "10.5.0.2/24", "'fd05::1/64'"], 50).joined(separator: ", "))]")
    }

    private mutating func addUppers(to config: inout Config, _ places: [String: String?]) {
        if chance(35), let parent = places.keys.sorted().first {
            let mode = pick(["", ", mode: PRIVATE", ", mode: BRIDGE"])
            config.interfaces.append(
                "name: m, type: MACVLAN, enabled: true, macvlan: {parent: \(parent)\(mode)}, ipAddresses: [10.6.0.1/24]"
                    + LinuxKindsTests.place(pick([places[parent] ?? nil, "x"])))
        }
        if chance(35) {
            config.interfaces.append(
                "name: v, type: VXLAN, enabled: true, vxlan: {vni: \(pick([5, 6])), remote: 192.0.2.\(pick([7, 8]))}\(mtu()), "
                    + "ipAddresses: [10.7.0.1/24]" + LinuxKindsTests.place(pick([nil, "x"])))
        }
    }

    /// The interface that others have, too.
    private mutating func addUplink(to config: inout Config) {
        let pool = ["192.0.2.1/24", "192.0.2.2/24", "192.0.2.3/25", "198.51.100.1/24", "'2001:db8::1/64'"]
        let addresses = some(pool, 45)
        config.interfaces.append(
            "name: up, type: EXISTING, hostIfName: fe0, enabled: true, "
                + "ipAddresses: [\(addresses.joined(separator: ", "))]\(chance(20) ? ", mtu: \(pick([1400, 9000]))" : "")"
        )
        config.routes += some(
            [
                "outgoingInterface: up, dstNetwork: 203.0.113.0/24, gwAddr: 192.0.2.254",
                "outgoingInterface: up, dstNetwork: 0.0.0.0/0, gwAddr: 192.0.2.254, metric: 50",
                "outgoingInterface: up, dstNetwork: '2001:db8:1::/48', gwAddr: '2001:db8::fe'",
            ], 40)
        // Without the address that it prefers it waits.
        if chance(addresses.contains("192.0.2.1/24") ? 40 : 15) {
            config.routes.append(
                "outgoingInterface: up, dstNetwork: 198.18.0.0/15, gwAddr: 192.0.2.253, srcAddr: 192.0.2.1")
        }
        config.arps += some(
            [
                "interface: up, ipAddress: 192.0.2.254, hwAddress: '02:00:00:00:00:fe'",
                "interface: up, ipAddress: '2001:db8::fe', hwAddress: '02:00:00:00:00:fe'",
            ], 40)
    }

    private mutating func addRoutes(to config: inout Config, _ places: [String: String?]) {
        for (name, network, host) in [("a", 0, 1), ("b", 0, 2), ("c", 1, 1), ("d", 1, 2)] where places[name] != nil {
            config.routes += some(
                [
                    "outgoingInterface: \(name), dstNetwork: 10.2\(network).\(host).0/24, gwAddr: 10.\(network).0.77\(routeMore())",
                    "outgoingInterface: \(name), dstNetwork: 10.3\(network).\(host).0/24, scope: LINK",
                    "outgoingInterface: \(name), dstNetwork: 'fd3\(network):\(host)::/64', gwAddr: 'fd0\(network)::77'",
                    "dstNetwork: 10.4\(network).\(host).0/24, nextHops: [{gwAddr: 10.\(network).0.77, outgoingInterface: \(name)}, {gwAddr: 10.\(network).0.78, outgoingInterface: \(name), weight: \(pick([1, 3]))}]",
                    "dstNetwork: 'fd4\(network):\(host)::/64', nextHops: [{gwAddr: 'fd0\(network)::77', outgoingInterface: \(name)}, {gwAddr: 'fd0\(network)::78', outgoingInterface: \(name)}]",
                ], 30)
            config.arps += some(
                [
                    "interface: \(name), ipAddress: 10.\(network).0.77, hwAddress: '02:00:00:00:00:7\(pick([7, 8]))'",
                    "interface: \(name), ipAddress: 'fd0\(network)::77', hwAddress: '02:00:00:00:00:77'",
                ], 25)
        }
        config.routes += some(
            ["dstNetwork: 10.60.0.0/16, type: BLACKHOLE", "dstNetwork: 'fd60::/64', type: PROHIBIT"], 25)
        config.rules += some(
            [
                "name: r1, priority: 100, from: 10.0.0.0/8, table: \(pick([100, 101]))",
                "name: r2, priority: 101, to: 10.0.0.0/8, table: 100, iif: lo",
                "name: r3, priority: 102, from: 'fd00::/8', table: 100", "name: r4, priority: 200, table: 77",
            ], 40)
    }

    private mutating func routeMore() -> String { pick(["", "", ", metric: 7", ", mtu: 1300", ", table: 100"]) }

    // MARK: - Others

    /// Commands of ip(8) by which others make something, and take it away. What they do does not depend on what is ours.
    static let foreign: [(make: String, take: String)] = [
        ("addr add 192.0.2.100/24 dev fe0 label fe0:vip", "addr del 192.0.2.100/24 dev fe0"),
        ("addr add 192.0.2.101/32 dev fe0", "addr del 192.0.2.101/32 dev fe0"),
        ("addr add 198.51.100.100/24 dev fe0 valid_lft 3600 preferred_lft 1800", "addr del 198.51.100.100/24 dev fe0"),
        ("addr add 2001:db8::100/64 dev fe0 nodad", "addr del 2001:db8::100/64 dev fe0"),
        ("route add default via 192.0.2.200 dev fe0 onlink proto dhcp metric 9", "route del default proto dhcp"),
        ("route add 203.0.114.0/24 dev fe0 proto bird", "route del 203.0.114.0/24 proto bird"),
        (
            "-6 route add 2001:db8:77::/48 via fe80::7 dev fe0 proto static metric 5",
            "-6 route del 2001:db8:77::/48 metric 5"
        ),
        ("neigh add 192.0.2.200 lladdr 02:00:00:00:00:20 dev fe0 nud permanent", "neigh del 192.0.2.200 dev fe0"),
        ("neigh add proxy 192.0.2.201 dev fe0", "neigh del proxy 192.0.2.201 dev fe0"),
        ("neigh add proxy 2001:db8::201 dev fe0", "neigh del proxy 2001:db8::201 dev fe0"),
        (
            "rule add priority 100 from 10.0.0.0/8 uidrange 5-9 lookup 100",
            "rule del priority 100 from 10.0.0.0/8 uidrange 5-9 lookup 100"
        ),
        (
            "rule add priority 200 ipproto tcp dport 80 lookup 77",
            "rule del priority 200 ipproto tcp dport 80 lookup 77"
        ),
        ("rule add priority 300 lookup 7 suppress_prefixlength 0", "rule del priority 300"),
    ]
}
