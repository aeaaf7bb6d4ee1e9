import Testing

/// One kind of values, as the tests of all kinds want to know it.
struct KindCase: CustomTestStringConvertible, Sendable {
    let name: String
    /// Whether this kernel, and this machine, have it.
    var isThere = true
    /// What is there before and after.
    var base = ""
    /// The same with values of the kind.
    let with: String
    /// Commands of somebody else in the host's own namespace, or `in y`, each of which damages it.
    let damage: [String]
    /// Commands that show it, beside what is always looked at.
    var witnesses: [String] = []
    /// Whether it can be found in the kernel without the configuration.
    var isExported = true

    var testDescription: String { name }
}

extension KindCase {
    private static let pair = [
        veth("p", "q", "ipAddresses: [192.0.2.1/24, 'fd00::1/64']"), veth("q", "p", in: "y"),
    ]

    /// A link `t` over `p`.
    private static func link(
        _ type: String, _ rest: String = "", _ isThere: Bool = true, damage: [String] = []
    ) -> KindCase {
        let item = "name: t, type: \(type), enabled: true" + (rest.isEmpty ? "" : ", \(rest)")
        return KindCase(
            name: type, isThere: isThere, base: Config(interfaces: pair).text,
            with: Config(interfaces: pair + [item]).text,
            damage: ["ip link set dev t down", "ip link set dev t mtu 1300", "ip link del dev t"] + damage,
            witnesses: ["ip -d -o link show dev t"])
    }

    private static func beside(
        _ name: String, _ with: Config, _ damage: [String], witnesses: [String] = [], isExported: Bool = true,
        isThere: Bool = true
    ) -> KindCase {
        var with = with
        with.interfaces = pair + with.interfaces
        return KindCase(
            name: name, isThere: isThere, base: Config(interfaces: pair).text, with: with.text, damage: damage,
            witnesses: witnesses,
            isExported: isExported)
    }

    private static let tunnel = "tunnel: {local: 192.0.2.1, remote: 192.0.2.2, ttl: 9}"
    private static let tunnel6 = "tunnel: {local: 'fd00::1', remote: 'fd00::2'}"

    private static let links = [
        link("VETH", "veth: {peerIfName: u}").with(item: veth("u", "t", in: "y")),
        link("DUMMY", "mtu: 1400", Kernel.hasDummy),
        link("TAP", "mtu: 1400, tuntap: {mode: TAP}"),
        link("TAP", "mtu: 1400, tuntap: {mode: TUN, owner: 7}").named("TUN"),
        link(
            "BRIDGE", "mtu: 1400, bridge: {ageingTime: 60}", damage: ["ip link set dev t type bridge ageing_time 900"]),
        link("BRIDGE", "mtu: 1400, bridge: {ports: [p]}", damage: ["ip link set p nomaster"]).named("port of a bridge"),
        link(
            "BRIDGE", "mtu: 1400, bridge: {ports: [p], portSettings: [{interface: p, isolated: true, priority: 3}]}",
            damage: ["bridge link set dev p isolated off", "ip link set p type bridge_slave priority 9"]
        ).named("settings of a port").shown(by: "bridge -d link show dev p"),
        link(
            "BRIDGE",
            "mtu: 1400, bridge: {ports: [p], vlanFiltering: true, vlans: [{vid: 9}], portSettings: [{interface: p, vlans: [{vid: 10, pvid: true, untagged: true}, {vid: 20, last: 29}]}]}",
            Kernel.filtersVLANs,
            damage: [
                "bridge vlan del dev p vid 10", "bridge vlan add dev p vid 7", "bridge vlan del dev t vid 9 self",
                "ip link set p nomaster",
            ]
        ).named("VLANs of a bridge").shown(by: "bridge -c vlan show dev p").shown(by: "bridge -c vlan show dev t"),
        link("BOND", "mtu: 1400, bond: {mode: active-backup}", Kernel.hasBond),
        link("VLAN", "mtu: 1400, vlan: {id: 7, parent: p}", Kernel.hasVLAN),
        link("VXLAN", "mtu: 1400, vxlan: {vni: 7, remote: 192.0.2.2}"),
        link("MACVLAN", "mtu: 1400, macvlan: {parent: p, mode: VEPA}"),
        link("MACVTAP", "mtu: 1400, macvtap: {parent: p, mode: VEPA}", Kernel.hasMACVTAP),
        link("IPVLAN", "mtu: 1400, ipvlan: {parent: p}", Kernel.hasIPVLAN),
        link("VRF_DEVICE", "vrfDev: {routingTable: 77}", Kernel.hasVRF).damaged(without: "ip link set dev t mtu 1300"),
        link("GENEVE", "mtu: 1400, geneve: {vni: 5, remote: 192.0.2.2}", Kernel.hasTunnels),
        link(
            "WIREGUARD",
            "mtu: 1400, wireguard: {listenPort: 51820, fwmark: 7, peers: [{publicKey: 'nWd6zmmpbdDvaOuvgPSnBkEU+YnvB0pfC7Yd6ZhioHs=', endpoint: '192.0.2.2:7', allowedIps: [10.1.0.0/16], persistentKeepalive: 5}]}",
            Kernel.hasWireGuard
        ).shown(by: "wg show t dump"),
    ]

    private static let tunnels =
        ["GRE", "GRETAP", "IPIP", "SIT"].map { link($0, "mtu: 1400, " + tunnel, Kernel.hasTunnels) }
        + ["IP6GRE", "IP6GRETAP", "IP6TNL"].map { link($0, "mtu: 1400, " + tunnel6, Kernel.hasTunnels) }

    private static let others = [
        beside(
            "address", Config(interfaces: ["name: lo1, type: LOOPBACK, enabled: true, ipAddresses: [10.7.0.1/32]"]),
            ["ip addr del 10.7.0.1/32 dev lo"]),
        beside(
            "address with label and flags",
            Config(interfaces: [
                veth(
                    "s", "r",
                    "addresses: [{address: 10.7.0.1/24, label: 's:one', noprefixroute: true}, {address: 10.8.0.1/24, deprecated: true}, {address: 'fd07::1/64', nodad: true, deprecated: true, noprefixroute: true}]"
                ),
                veth("r", "s", in: "y"),
            ]),
            [
                "ip addr del 10.7.0.1/24 dev s", "ip addr change 10.8.0.1/24 dev s preferred_lft forever",
                "ip addr change fd07::1/64 dev s preferred_lft forever", "ip link set s down",
            ],
            witnesses: [
                "ip -o addr show dev s to 10.7.0.0/24", "ip -o addr show dev s to 10.8.0.0/24",
                "ip -o addr show dev s to fd07::/64", "ip route show dev s",
            ]),
        beside(
            "alias and alternative names",
            Config(interfaces: [
                veth("s", "r", "alias: 'to rack 4, port é', altNames: [uplink-to-rack-4]"),
                veth("r", "s", in: "y", "altNames: [two]"),
            ]),
            [
                "ip link property del dev s altname uplink-to-rack-4", "ip link property add dev s altname three",
                "in y ip link property del dev r altname two", "ip link set s down", "ip link del s",
            ], witnesses: ["ip link show dev s", "in y ip link show dev two"]),
        beside(
            "EXISTING", Config(interfaces: ["name: up0, type: EXISTING, enabled: true, ipAddresses: [10.8.0.1/24]"]),
            ["ip link set up0 down", "ip addr flush dev up0"], isExported: false),
        beside(
            "EXISTING by match",
            Config(interfaces: [
                "name: m, type: EXISTING, hostIfName: m0, enabled: true, match: {mac: '02:00:00:00:00:77', driver: tun, path: 't*', altname: uplink-0}, ipAddresses: [10.8.0.1/24]"
                    + place("y")
            ]),
            [
                "in y ip link set m0 down", "in y ip addr flush dev m0", "in y ip link set m0 name other",
            ],
            witnesses: [
                "ip link show lent0", "in y ip link show m0",
            ]),
        beside(
            "route",
            Config(routes: [
                "outgoingInterface: p, dstNetwork: 10.1.0.0/16, gwAddr: 192.0.2.9, metric: 5",
                "outgoingInterface: p, dstNetwork: 'fd01::/64', gwAddr: 'fd00::9'",
            ]), ["ip route del 10.1.0.0/16", "ip -6 route del fd01::/64", "ip link set p down"]),
        beside(
            "route with metrics, by a router of the other family",
            Config(routes: [
                "outgoingInterface: p, dstNetwork: 10.1.0.0/16, gwAddr: 'fd00::9', advmss: 1300, initcwnd: 20, initrwnd: 30, mtu: 1400",
                "outgoingInterface: p, dstNetwork: 'fd01::/64', gwAddr: 'fd00::9', pref: HIGH, advmss: 1200",
            ]),
            [
                "ip route del 10.1.0.0/16", "ip -6 route del fd01::/64", "ip link set p down",

            ], witnesses: ["ip route show 10.1.0.0/16", "ip -6 route show fd01::/64"]),
        beside(
            "route by several ways",
            Config(routes: [
                "dstNetwork: 10.1.0.0/16, nextHops: [{gwAddr: 192.0.2.8, outgoingInterface: p, weight: 3}, {gwAddr: 192.0.2.9, outgoingInterface: p}]"
            ]), ["ip route del 10.1.0.0/16"]),
        beside(
            "neighbour", Config(arps: ["interface: p, ipAddress: 192.0.2.9, hwAddress: '02:00:00:00:00:09'"]),
            ["ip neigh del 192.0.2.9 dev p", "ip neigh replace 192.0.2.9 lladdr 02:00:00:00:00:08 nud permanent dev p"]),
        beside(
            "rule", Config(rules: ["name: r, priority: 100, from: 10.0.0.0/8, fwmark: 5, table: 100"]),
            ["ip rule del priority 100"]),
        beside(
            "rule with every condition",
            Config(rules: [
                "name: r, priority: 100, table: 254, suppressPrefixlength: 0, ipProto: tcp, sport: 1024-65534, dport: '443', uidRange: 1000-1999",
                "name: s, priority: 101, table: 100, suppressPrefixlength: 8, ipProto: '89', uidRange: '7', family: IPV6",
            ]), ["ip rule del priority 100", "ip -6 rule del priority 101"], witnesses: ["ip rule", "ip -6 rule"]),
        beside(
            "rule of VRFs", Config(rules: ["name: r, priority: 999, l3mdev: true, iif: p"]),
            ["ip rule del priority 999"],
            witnesses: ["ip rule"], isThere: Kernel.hasVRF),
        beside(
            "setting",
            Config(interfaces: [
                veth("s", "r", "sysctls: {ipv4.forwarding: 1, rp_filter: 2}"), veth("r", "s", in: "y"),
            ]), ["ip link set s down"], witnesses: ["sysctl net.ipv4.conf.s.forwarding net.ipv4.conf.s.rp_filter"],
            isExported: false),
        beside(
            "forwarding entries of a VXLAN",
            Config(
                interfaces: [
                    "name: t, type: VXLAN, enabled: true, vxlan: {vni: 7, local: 192.0.2.1, remotes: [192.0.2.2, 192.0.2.3]}"
                ],
                fdb: [
                    "mac: '02:00:00:00:00:09', interface: t, dst: 192.0.2.3",
                    "mac: '00:00:00:00:00:00', interface: t, dst: 192.0.2.4, vni: 8, port: 8472",
                ]),
            [
                "bridge fdb del 00:00:00:00:00:00 dev t dst 192.0.2.2",
                "bridge fdb replace 02:00:00:00:00:09 dev t dst 192.0.2.2",
                "bridge fdb del 00:00:00:00:00:00 dev t dst 192.0.2.4 vni 8 port 8472",
                "bridge fdb del 02:00:00:00:00:09 dev t", "ip link del dev t",
            ], witnesses: ["bridge fdb show dev t"]),
        beside(
            "forwarding entries of a bridge",
            Config(
                interfaces: ["name: br, type: BRIDGE, enabled: true, bridge: {ports: [p]}"],
                fdb: ["mac: '02:00:00:00:00:09', interface: p"]),
            [
                "bridge fdb del 02:00:00:00:00:09 dev p master", "ip link set p nomaster", "ip link del dev br",
                "bridge fdb replace 02:00:00:00:00:09 dev p master static",
            ], witnesses: ["bridge fdb show br br"]),
        beside(
            "forwarding entries of VLANs",
            Config(
                interfaces: [
                    "name: br, type: BRIDGE, enabled: true, bridge: {ports: [p], vlanFiltering: true, portSettings: [{interface: p, vlans: [{vid: 7}, {vid: 8}]}]}"
                ], fdb: ["mac: '02:00:00:00:00:09', interface: p, vlan: 7"]),
            [
                "bridge fdb del 02:00:00:00:00:09 dev p vlan 7 master", "bridge vlan del dev p vid 7",
                "ip link del dev br",
            ],
            witnesses: ["bridge fdb show br br"], isThere: Kernel.filtersVLANs),
        beside(
            "tbf", Config(qdiscs: ["interface: p, tbf: {rate: 10mbit, burst: 32kb, latency: 50ms}"]),
            [
                "tc qdisc del dev p root", "tc qdisc change dev p root tbf rate 5mbit burst 32kb latency 50ms",
                "tc qdisc change dev p root tbf rate 10mbit burst 32kb limit 9kb",
                "tc qdisc change dev p root tbf rate 10mbit burst 32kb latency 50ms peakrate 20mbit mtu 1600",
                "tc qdisc change dev p root stab overhead 20 linklayer ethernet tbf rate 10mbit burst 32kb latency 50ms",
                "ip link del dev p",
            ], witnesses: ["tc qdisc show dev p"], isThere: Kernel.hasTBF),
        beside(
            "police", Config(qdiscs: ["interface: p, police: {rate: 10mbit, burst: 32kb}"]),
            ["tc filter del dev p ingress", "tc qdisc del dev p ingress", "ip link del dev p"],
            witnesses: ["tc qdisc show dev p", "tc filter show dev p ingress"], isThere: Kernel.hasPolice
        ),
        beside(
            "fq_codel",
            Config(qdiscs: ["interface: p, fqCodel: {limit: 500, flows: 64, target: 4ms, interval: 80ms, ecn: false}"]),
            [
                "tc qdisc del dev p root", "tc qdisc change dev p root fq_codel limit 900",
                "tc qdisc change dev p root fq_codel target 1ms ecn",
                "tc qdisc change dev p root fq_codel ce_threshold 1ms",
                "tc qdisc change dev p root fq_codel quantum 700",
                "tc qdisc change dev p root fq_codel drop_batch 32",
                "ip link del dev p",
            ], witnesses: ["tc qdisc show dev p"], isThere: Kernel.hasFairQueue),
        beside(
            "netem",
            Config(qdiscs: ["interface: p, netem: {delay: 10ms, jitter: 100us, loss: 0.5%, reorder: 25%, limit: 500}"]),
            [
                "tc qdisc del dev p root", "tc qdisc change dev p root netem delay 1ms",
                "tc qdisc change dev p root netem delay 10ms 100us loss 0.5% reorder 25% 50% limit 500",
                "tc qdisc change dev p root netem delay 10ms 100us loss 0.5% ecn reorder 25% limit 500",
                "tc qdisc change dev p root netem delay 10ms 100us loss 0.5% reorder 25% limit 500 slot 1ms 2ms",
                "tc qdisc change dev p root netem rate 1mbit corrupt 1% duplicate 1%", "ip link del dev p",
            ], witnesses: ["tc qdisc show dev p"], isThere: Kernel.hasNetem),
        beside(
            "nexthops, their groups, and routes by both",
            Config(
                routes: [
                    "dstNetwork: 10.1.0.0/16, nexthop: both", "dstNetwork: 10.2.0.0/16, nexthop: left",
                    "dstNetwork: 'fd01::/64', nexthop: six", "dstNetwork: 10.3.0.0/16, nexthop: drop",
                ],
                nexthops: [
                    "name: left, outgoingInterface: p, gwAddr: 192.0.2.8, id: 70",
                    "name: right, outgoingInterface: p, gwAddr: 198.51.100.9, onlink: true, id: 71",
                    "name: six, outgoingInterface: p, gwAddr: 'fd00::9', id: 72",
                    "name: both, group: [{nexthop: left, weight: 3}, {nexthop: right}], id: 73",
                    "name: drop, blackhole: true, id: 74", "name: follows, outgoingInterface: p",
                ]),
            [
                "ip nexthop del id 73", "ip nexthop del id 70", "ip nexthop del id 72", "ip route del 10.1.0.0/16",
                "ip -6 route del fd01::/64", "ip nexthop flush", "ip link set p down",
                "ip link del dev p",
            ],
            witnesses: [
                "ip nexthop", "ip route show 10.1.0.0/16", "ip route show 10.2.0.0/16", "ip route show 10.3.0.0/16",
                "ip -6 route show fd01::/64",
            ]),
        beside("namespace", Config(namespaces: ["name: z"]), []),
        beside(
            "settings of a namespace",
            Config(namespaces: ["name: z, sysctls: {net.ipv4.ip_forward: '1', net.ipv4.ping_group_range: '0 7'}"]),
            [],
            witnesses: ["ip netns exec z sysctl net.ipv4.ip_forward net.ipv4.ping_group_range"], isExported: false),
    ]

    /// All kinds: a new one gets every test of kinds by being listed here.
    static let all = links + tunnels + others

    private func with(item: String) -> KindCase {
        KindCase(
            name: name, isThere: isThere, base: base, with: with + "    - {\(item)}\n", damage: damage,
            witnesses: witnesses)
    }

    private func named(_ name: String) -> KindCase {
        KindCase(name: name, isThere: isThere, base: base, with: with, damage: damage, witnesses: witnesses)
    }

    private func shown(by witness: String) -> KindCase {
        KindCase(
            name: name, isThere: isThere, base: base, with: with, damage: damage, witnesses: witnesses + [witness])
    }

    private func damaged(without command: String) -> KindCase {
        KindCase(
            name: name, isThere: isThere, base: base, with: with, damage: damage.filter { $0 != command },
            witnesses: witnesses)
    }
}
