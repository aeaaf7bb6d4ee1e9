import Model
import Testing

@Suite("export", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct ExportTests {
    private func text(_ agent: TestAgent, namespace: String? = nil, all: Bool = false) throws -> String {
        YAMLWriter.write(ConfigDocument.tree(of: try agent.world.export(namespace: namespace, all: all)))
    }

    private static let yaml = linux(
        veth(
            "a", "b", in: "x", host: "eth0",
            "mtu: 1450, physAddress: '02:00:00:00:00:01', ipAddresses: [10.0.0.1/24], addresses: [{address: 'fd00::1/64', nodad: true}, {address: 10.2.0.1, peer: 10.2.0.2/32}]"
        ),
        "name: b, type: VETH, enabled: true, veth: {peerIfName: a, txChecksumOffloading: CHKSM_OFFLOAD_DISABLED}",
        veth("c/1", "d/2", in: "x", host: "eth1"), veth("d/2", "c/1", host: "eth2"),
        "name: br, type: BRIDGE, enabled: true, ipAddresses: [10.5.0.1/24], bridge: {ports: [b, up0], ageingTime: 60, stp: true}",
        "name: up0, type: EXISTING, enabled: true, linkOnly: true",
        "name: t, type: TAP, tuntap: {mode: TAP, vnetHeader: true, owner: 7}" + place("x"),
        "name: m, type: MACVLAN, enabled: true, macvlan: {parent: 'd/2', mode: VEPA}, ipAddresses: ['fd06::1/64']"
            + place("y"),
        "name: v, type: VXLAN, enabled: true, vxlan: {vni: 5, remote: 10.5.0.9, parent: br, ttl: 3, noLearning: true}"
            + place("x"), "name: l, type: LOOPBACK, enabled: true, ipAddresses: [10.7.0.1/32]" + place("y"),
        routes: [
            "outgoingInterface: a, dstNetwork: 0.0.0.0/0, gwAddr: 10.77.0.1",
            "outgoingInterface: a, dstNetwork: 10.77.0.1/32, scope: LINK",
            "outgoingInterface: a, dstNetwork: 10.78.0.0/16, gwAddr: 10.0.0.9, srcAddr: 10.0.0.1, metric: 7, mtu: 1300",
            "outgoingInterface: a, dstNetwork: 10.78.0.0/16, gwAddr: 10.0.0.9, metric: 8",
            "dstNetwork: 10.79.0.0/16, type: PROHIBIT, table: 9" + place("y"),
            "outgoingInterface: a, dstNetwork: 'fd09::/64', gwAddr: 'fd00::2'",
            "dstNetwork: 10.80.0.0/16, nextHops: [{gwAddr: 10.0.0.9, outgoingInterface: a}, {gwAddr: 10.77.0.1, outgoingInterface: a, weight: 2}]",
            "outgoingInterface: up0, dstNetwork: 10.90.0.0/16, gwAddr: 10.91.0.1, onlink: true",
        ],
        arps: [
            "interface: a, ipAddress: 10.0.0.9, hwAddress: '02:00:00:00:00:09'",
            "interface: a, ipAddress: 10.0.0.8, proxy: true",
        ],
        rules: [
            "name: r, priority: 100, from: 10.0.0.0/8, fwmark: 5, table: 100" + place("y"),
            "name: s, priority: 101, family: IPV6, iif: lo, action: BLACKHOLE",
        ], namespaces: ["name: y"])

    private func uplink(_ host: Sandbox) throws {
        try host.ip("link add up0 type veth peer name far0")
        try host.ip("link set up0 up")
        try host.ip("link set far0 up")
    }

    @Test("what we own, everywhere: the same configuration, with nothing to do")
    func own() throws {
        try Sandbox.run { host in
            try uplink(host)
            try host.apply(Self.yaml)
            let exported = try text(host.agent())
            #expect(try host.agent().plan(exported) == [], "\(exported)")
            try host.expectInPlace(exported)
            // What it was made from has the same values.
            let names = Set(ConfigLoader.load(bytes: Array(exported.utf8), name: "e").items.map(\.key))
            let original = Set(ConfigLoader.load(bytes: Array(Self.yaml.utf8), name: "o").items.map(\.key))
            #expect(original.subtracting(names).filter { !$0.contains("/rule/") } == [])
        }
    }

    @Test("one namespace, with the other ends of its pairs")
    func one() throws {
        try Sandbox.run { host in
            try uplink(host)
            try host.apply(Self.yaml)
            let exported = try text(host.agent(), namespace: "x")
            let config = ConfigLoader.load(bytes: Array(exported.utf8), name: "e")
            #expect(config.mistakes == [])
            #expect(
                config.items.contains { $0.key.hasSuffix("/interface/a") }
                    && config.items.contains { $0.key.hasSuffix("/interface/b") })
            #expect(!config.items.contains { $0.key.hasSuffix("/interface/l") })
            #expect(throws: (any Error).self) { try host.agent().world.export(namespace: "nowhere", all: false) }
        }
    }

    @Test("an export builds the same network on another host")
    func elsewhere() throws {
        let (exported, expected) = try Sandbox.run { host in
            try uplink(host)
            try host.apply(Self.yaml)
            return (try text(host.agent()), try host.picture(of: ["x", "y"]))
        }
        try Sandbox.run { host in
            try uplink(host)
            try host.apply(exported)
            let picture = try host.picture(of: ["x", "y"])
            #expect(picture == expected)
        }
    }

    @Test("everything of a namespace, also what others made", arguments: [nil, "x"] as [String?])
    func everything(_ namespace: String?) throws {
        try Sandbox.run { host in
            if let namespace { try host.addNamespaces(namespace) }
            for command in [
                "link add f0 type veth peer name f1", "link set f0 up", "link set f1 up", "link set f0 mtu 1400",
                "addr add 10.200.0.1/24 dev f0", "addr add fd20::1/64 dev f0 nodad",
                "addr add 10.203.0.1 peer 10.203.0.2 dev f0", "route add 10.201.0.0/16 via 10.200.0.2",
                "-6 route add fd21::/64 via fd20::2 dev f0",
                "neigh add 10.200.0.3 lladdr 02:00:00:00:00:03 dev f0 nud permanent",
                "rule add priority 77 from 10.0.0.0/8 lookup 77", "route add blackhole 10.202.0.0/16",
                "link add fbr type bridge", "link set f1 master fbr", "route add 10.205.0.0/16 dev f0 table 5",
                "addr add 10.206.0.1/24 dev fbr valid_lft 1000 preferred_lft 1000",
            ] { try host.ip(command, in: namespace) }
            if namespace == "x" {
                try host.apply(linux(veth("a", "b", in: "x", "ipAddresses: [10.0.0.1/24]"), veth("b", "a")))
            }
            let before = try host.picture(of: ["x"].filter { $0 == namespace })
            let exported = try text(host.agent(), namespace: namespace, all: true)
            #expect(exported.contains("10.201.0.0/16") && exported.contains("10.206.0.1/24"))
            #expect(try host.agent().plan(exported) == [], "\(exported)")
            try host.expectInPlace(exported)
            #expect(try host.picture(of: ["x"].filter { $0 == namespace }) == before)
            // And it is not ours because it was declared.
            try host.agent().apply("")
            #expect(try host.routes(in: namespace).contains("10.201.0.0/16 via 10.200.0.2 dev f0"))
            #expect(try host.link("f0", in: namespace)?.alias == "")
        }
    }
}
