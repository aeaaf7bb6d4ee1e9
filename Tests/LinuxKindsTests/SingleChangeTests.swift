import LinuxKinds
import Model
import Reconciler
import TestSupport
import Testing

/// Parts of a configuration that come, change and go one at a time.
private struct Parts {
    /// Which form each part has; 0: it is not there.
    private var forms: [String: Int] = [:]

    /// The ways to write each part.
    private static let all: [(name: String, forms: Int)] = [
        ("pair1", 4), ("pair2", 3), ("pair3", 3), ("bridge", 3), ("macvlan", 2), ("existing", 2), ("route1", 4),
        ("route2", 3), ("multipath", 2), ("rule", 3), ("arp", 3), ("proxy", 2), ("namespace", 2), ("blackhole", 2),
        ("allocation", 3),
    ]

    /// Changes one part.
    mutating func change(using generator: inout some RandomNumberGenerator) {
        let part = Self.all[Int.random(in: 0..<Self.all.count, using: &generator)]
        forms[part.name] = Int.random(in: 0..<part.forms, using: &generator)
    }

    private func form(_ name: String) -> Int { forms[name] ?? 0 }

    var config: Config {
        var config = Config()
        addPairs(&config)
        switch form("bridge") {
        case 1: config.interfaces.append("name: br, type: BRIDGE, enabled: true, bridge: {ports: [b1]}")
        case 2:
            config.interfaces.append(
                "name: br, type: BRIDGE, enabled: true, ipAddresses: [10.7.0.1/24], bridge: {ports: [b1, b2]}")
        default: break
        }
        if form("macvlan") == 1 {
            config.interfaces.append(
                "name: mv, type: MACVLAN, enabled: true, ipAddresses: [10.4.0.1/24], macvlan: {parent: a1}" + place("x")
            )
        }
        if form("existing") == 1 {
            config.interfaces.append(
                "name: e, type: EXISTING, hostIfName: eth, enabled: true, ipAddresses: [10.6.0.1/24]")
        }
        addRoutes(&config)
        addOthers(&config)
        return config
    }

    private func addPairs(_ config: inout Config) {
        switch form("pair1") {
        case 1: config.interfaces += [veth("a1", "b1", in: "x", "ipAddresses: [10.1.0.1/24]"), veth("b1", "a1")]
        case 2:
            config.interfaces += [
                veth("a1", "b1", in: "x", "ipAddresses: [10.1.0.1/24, 10.1.0.2/24, 'fd01::1/64']"),
                veth("b1", "a1", "mtu: 1400"),
            ]
        case 3:
            config.interfaces += [
                veth("a1", "b1", in: "x", host: "other", "ipAddresses: [10.1.0.2/24]"), veth("b1", "a1"),
            ]
        default: break
        }
        switch form("pair2") {
        case 1: config.interfaces += [veth("a2", "b2", in: "y", "ipAddresses: ['alloc:net']"), veth("b2", "a2")]
        case 2: config.interfaces += [veth("a2", "b2", in: "x", "ipAddresses: [10.2.0.1/24]"), veth("b2", "a2")]
        default: break
        }
        switch form("pair3") {
        case 1: config.interfaces += [veth("a3", "b3", in: "z"), veth("b3", "a3", in: "y")]
        case 2: config.interfaces.append(veth("a3", "b3", in: "z"))
        default: break
        }
    }

    private func addRoutes(_ config: inout Config) {
        switch form("route1") {
        case 1: config.routes.append("outgoingInterface: a1, dstNetwork: 10.30.0.0/16, gwAddr: 10.1.0.9")
        case 2: config.routes.append("outgoingInterface: a1, dstNetwork: 10.30.0.0/16, gwAddr: 10.1.0.8, metric: 5")
        case 3: config.routes.append("outgoingInterface: a2, dstNetwork: 10.30.0.0/16, gwAddr: 10.2.0.9")
        default: break
        }
        switch form("route2") {
        case 1: config.routes.append("outgoingInterface: a1, dstNetwork: 'fd30::/64', gwAddr: 'fd01::2'")
        case 2: config.routes.append("outgoingInterface: e, dstNetwork: 10.31.0.0/16, gwAddr: 10.6.0.9")
        default: break
        }
        if form("multipath") == 1 {
            config.routes.append(
                "dstNetwork: 10.32.0.0/16, nextHops: [{outgoingInterface: a1, gwAddr: 10.1.0.9}, "
                    + "{outgoingInterface: a2, gwAddr: 10.2.0.9}]")
        }
        if form("blackhole") == 1 { config.routes.append("type: BLACKHOLE, dstNetwork: 10.33.0.0/16" + place("x")) }
    }

    private func addOthers(_ config: inout Config) {
        switch form("rule") {
        case 1: config.rules.append("name: r, priority: 100, from: 10.1.0.0/24, table: 7" + place("x"))
        case 2: config.rules.append("name: r, priority: 101, from: 10.1.0.0/24, table: 7")
        default: break
        }
        switch form("arp") {
        case 1: config.arps.append("interface: a1, ipAddress: 10.1.0.7, hwAddress: '02:00:00:00:00:07'")
        case 2: config.arps.append("interface: a1, ipAddress: 10.1.0.7, hwAddress: '02:00:00:00:00:08'")
        default: break
        }
        if form("proxy") == 1 { config.arps.append("interface: a1, ipAddress: 10.1.0.99, proxy: true") }
        if form("namespace") == 1 { config.namespaces.append("name: z") }
        switch form("allocation") {
        case 1, 2:
            config.allocations.append(
                "networkName: net, interfaceName: a2, address: 10.2.0.\(form("allocation"))/24, gw: 10.2.0.254")
        default: break
        }
    }
}

@Suite("one change after the other", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct SingleChangeTests {
    @Test("any sequence of single changes ends as one look at everything would", arguments: [UInt64](1...8))
    func sequence(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        try Sandbox.run { host in
            try host.ip("link add eth type veth peer name far")
            try host.ip("link set eth up")
            try host.addNamespaces("x", "y")
            let agent = host.agent()
            try agent.watch()
            var parts = Parts()
            for step in 0..<25 {
                parts.change(using: &generator)
                if Int.random(in: 0..<4, using: &generator) == 0 { parts.change(using: &generator) }
                let yaml = parts.config.text
                try agent.change(to: yaml)
                if Int.random(in: 0..<3, using: &generator) == 0 { try agent.quiesce() }
                let entries = agent.reconciler.reconcile(reason: .apply)?.entries.map(\.line) ?? []
                try #require(entries == [], "seed \(seed), step \(step): \(yaml)")
                let fresh = host.agent()
                let left = try fresh.apply(yaml, tolerant: true)?.entries.filter { $0.error.isEmpty }.map(\.line) ?? []
                try #require(left == [], "after a restart; seed \(seed), step \(step): \(yaml)")
                #expect(Set(agent.problems) == Set(fresh.problems), "seed \(seed), step \(step): \(yaml)")
            }
        }
    }
}
