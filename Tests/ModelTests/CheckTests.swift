import Model
import Testing

/// One configuration and what is wrong with it.
struct CheckCase: Sendable, CustomTestStringConvertible {
    var text: String
    var expected: [String]
    init(_ text: String, _ expected: String...) { (self.text, self.expected) = (text, expected) }
    var testDescription: String { expected.first ?? text }

    /// The expected mistakes of interfaces, `LINE:COLUMN NAME TEXT` in short.
    static func interface(_ lines: [String], _ expected: String...) -> CheckCase {
        var test = CheckCase("linuxConfig:\n  interfaces:\n" + lines.map { "    - \($0)\n" }.joined())
        test.expected = expected
        return test
    }
}

private let pairA = "{name: a, type: VETH, veth: {peerIfName: b}}"
private let pairB = "{name: b, type: VETH, veth: {peerIfName: a}}"
private let upper = "{name: up, type: EXISTING}"

@Suite struct InterfaceCheckTests {
    /// Compares texts without the part that all share.
    private func check(_ test: CheckCase) {
        let found = mistakes(test.text).map { text in
            String(text.dropFirst("f.yaml:".count).replacing(": linux.interfaces.interface ", with: " "))
        }
        #expect(found == test.expected)
    }

    @Test(
        "an interface by itself",
        arguments: [
            .interface(["{type: DUMMY}"], "3:7: linux.interfaces.interface: name is missing; give it a name"),
            .interface(
                ["{name: a}"],
                "3:7 'a': type is missing; it is one of VETH, LOOPBACK, EXISTING, VRF_DEVICE, DUMMY, TAP, BRIDGE, VLAN, VXLAN, MACVLAN, IPVLAN, BOND, MACVTAP, GENEVE, GRE, GRETAP, IP6GRE, IP6GRETAP, IPIP, SIT, IP6TNL, WIREGUARD"
            ),
            .interface(
                ["{name: a, type: DUMMY, namespace: {reference: x}}"],
                "3:41 'a': namespace needs a type: NSID, PID, FD, MICROSERVICE or POD"),
            .interface(["{name: a, type: DUMMY, namespace: {type: NSID}}"], "3:41 'a': namespace needs a reference"),
            .interface(
                ["{name: a, type: DUMMY, namespace: {type: NSID, reference: a/b}}"],
                "3:65 'a': namespace.reference 'a/b' holds a '/'; for a path use type FD"),
            .interface(
                ["{name: a, type: DUMMY, namespace: {type: PID, reference: x}}"],
                "3:64 'a': namespace.reference 'x' is not a process number"),
            .interface(
                ["{name: a, type: DUMMY, namespace: {type: FD, reference: x}}"],
                "3:63 'a': namespace.reference 'x' is not an absolute path, such as /proc/1/ns/net"),
            .interface(
                ["{name: a-name-of-17-byte, type: DUMMY}"],
                "3:14 'a-name-of-17-byte': name 'a-name-of-17-byte' is 17 bytes long; the kernel takes at most 15; give it another name in the kernel with host_if_name"
            ),
            .interface(
                ["{name: a, type: DUMMY, hostIfName: 'x y'}"],
                "3:42 'a': host_if_name 'x y' holds '/', ':', '%', a space or a control character"),
            .interface(["{name: a-name-of-17-byte, hostIfName: a, type: DUMMY}"]),
            .interface(["{name: a-name-of-17-byte, type: LOOPBACK}"]),
            .interface(
                ["{name: a, type: DUMMY, physAddress: '02:00'}"],
                "3:43 'a': phys_address '02:00' is not a MAC address, such as 02:00:00:00:00:01"),
            .interface(
                ["{name: a, type: DUMMY, physAddress: '03:00:00:00:00:00'}"],
                "3:43 'a': phys_address '03:00:00:00:00:00' is a multicast address (the lowest bit of its first byte is set)"
            ),
            .interface(
                ["{name: a, type: DUMMY, physAddress: '00:00:00:00:00:00'}"],
                "3:43 'a': phys_address '00:00:00:00:00:00' is all zeros"),
            .interface(
                ["{name: a, type: VRF_DEVICE, vrfDev: {routingTable: 1}, physAddress: '02:00:00:00:00:01'}"],
                "3:75 'a': phys_address is not possible: a VRF has no MAC address of its own"),
            .interface(
                ["{name: a, type: TAP, tuntap: {mode: TUN}, physAddress: '02:00:00:00:00:01'}"],
                "3:62 'a': phys_address is not possible: a TUN device carries no Ethernet frames"),
            .interface(
                [upper, "{name: a, type: IPVLAN, ipvlan: {parent: up}, physAddress: '02:00:00:00:00:01'}"],
                "4:66 'a': phys_address is not possible: an IPVLAN has the MAC address of its parent"),
            .interface(["{name: a, type: DUMMY, mtu: 67}"], "3:35 'a': mtu '67' is out of range for DUMMY (68–65535)"),
            .interface(
                ["{name: a, type: BRIDGE, mtu: 65536}"], "3:36 'a': mtu '65536' is out of range for BRIDGE (68–65535)"),
            .interface(["{name: a, type: LOOPBACK, mtu: 65575}", "{name: c, type: EXISTING, mtu: 3}"]),
            .interface(
                ["{name: a, type: DUMMY, mtu: 1000, ipAddresses: ['fd00::1/64']}"],
                "3:35 'a': mtu '1000' is below 1280, which IPv6 needs, but the interface has IPv6 addresses"),
            .interface(
                ["{name: a, type: DUMMY, mtu: 1000, addresses: [{address: 'fd00::1/64'}]}"],
                "3:35 'a': mtu '1000' is below 1280, which IPv6 needs, but the interface has IPv6 addresses"),
            .interface(
                ["{name: a, type: DUMMY, ipAddresses: ['fd00::1/64', 10.0.0.1/24, 10.0.0.1/16, 'fd00:0::1/128']}"],
                "3:84 'a': ip_addresses[3] 'fd00:0::1/128' is the same address as 'fd00::1/64' of ip_addresses[0]: an interface has an IPv6 address once, with one prefix length"
            ),
            .interface(
                [
                    "{name: a, type: DUMMY, ipAddresses: ['fd00::1/64'], addresses: [{address: 'fd00::1/48', nodad: true}]}"
                ],
                "3:81 'a': addresses[0].address 'fd00::1/48' is the same address as 'fd00::1/64' of ip_addresses[0]: an interface has an IPv6 address once, with one prefix length"
            ),
            .interface(
                ["{name: a, type: DUMMY, ipAddresses: [10.0.0.1/24, 'fd00::1/64'], sysctls: {disable_ipv6: 1}}"],
                "3:82 'a': sysctls['disable_ipv6'] '1' switches IPv6 off, but ip_addresses[1] has 'fd00::1/64'"),
            .interface(["{name: a, type: DUMMY, ipAddresses: ['fd00::1/64'], sysctls: {disable_ipv6: 0}}"]),
            .interface(["{name: a, type: DUMMY, ipAddresses: [10.0.0.1/24], sysctls: {disable_ipv6: 1}}"]),
            .interface(
                ["{name: a, type: DUMMY, ipAddresses: [10.0.0.1/8, 10.0.0.1/8]}"],
                "3:56 'a': ip_addresses[1] '10.0.0.1/8' is there twice"),
            .interface(
                ["{name: a, type: DUMMY, ipAddresses: [224.0.0.1/8, 0.0.0.0/8]}"],
                "3:44 'a': ip_addresses[0] '224.0.0.1/8' is a multicast address",
                "3:57 'a': ip_addresses[1] '0.0.0.0/8' is the unspecified address"),
            .interface(
                [
                    "{name: a, type: DUMMY, ipAddresses: ['alloc:n/a/GW', 'alloc:n/b', 'alloc:/', 'alloc:n', 'alloc:n/a']}"
                ], "3:44 'a': ip_addresses[0] 'alloc:n/a/GW' can't be a gateway (/GW) here",
                "3:60 'a': ip_addresses[1] 'alloc:n/b' refers to an allocation of another interface than 'a'",
                "3:73 'a': ip_addresses[2] 'alloc:/' is not a reference of the form alloc:NETWORK[/INTERFACE][/GW]"),
            .interface(
                ["{name: a, type: EXISTING, linkOnly: true, ipAddresses: ['alloc:n']}"],
                "3:63 'a': ip_addresses[0] 'alloc:n' is not possible on an EXISTING interface with link_only"),
            .interface(
                ["{name: a, type: DUMMY, addresses: [{nodad: true}]}"], "3:42 'a': addresses[0].address is missing"),
            .interface(
                ["{name: a, type: DUMMY, addresses: [{address: 10.0.0.1, peer: 'fd00::1', nodad: true}]}"],
                "3:68 'a': addresses[0].peer 'fd00::1' is not of the same family as 10.0.0.1",
                "3:86 'a': addresses[0].nodad is only for IPv6 addresses; 10.0.0.1 is IPv4"),
            .interface(
                ["{name: a, type: DUMMY, ipAddresses: [10.0.0.1/8], addresses: [{address: 10.0.0.1/8}]}"],
                "3:79 'a': addresses[0].address '10.0.0.1/8' is there twice"),
            .interface(["{name: a, type: DUMMY, sysctls: {rp_filter: 1, ipv6.accept_ra: 2, ipv4.forwarding: 1}}"]),
            .interface(
                ["{name: a, type: DUMMY, sysctls: {forwarding: 1}}"],
                "3:40 'a': sysctls['forwarding'] is a setting of IPv4 and of IPv6; write ipv4.forwarding or ipv6.forwarding"
            ),
            .interface(
                ["{name: a, type: DUMMY, sysctls: {rp_fitler: 1}}"],
                "3:40 'a': sysctls['rp_fitler'] is not a setting of an interface; did you mean 'rp_filter'?"),
            .interface(
                ["{name: a, type: DUMMY, sysctls: {ipv4.accept_ra: 1}}"],
                "3:40 'a': sysctls['ipv4.accept_ra'] is not a setting of an interface; did you mean 'ipv6.accept_ra'?"),
            .interface(
                ["{name: a, type: DUMMY, sysctls: {rp_filter: loose}}"],
                "3:40 'a': sysctls['rp_filter'] 'loose' is not a whole number"),
        ] as [CheckCase])
    func alone(test: CheckCase) { check(test) }

    @Test(
        "the block of an interface",
        arguments: [
            .interface(
                ["{name: a, type: DUMMY, veth: {peerIfName: b}}"],
                "3:36 'a': veth does not belong to type DUMMY, which takes none"),
            .interface(
                ["{name: a, type: VETH, bridge: {}}"],
                "3:37 'a': bridge does not belong to type VETH, which takes 'veth'"),
            .interface(
                ["{name: a, type: EXISTING, veth: {peerIfName: b}}"],
                "3:39 'a': veth does not belong to type EXISTING, which takes none"),
            .interface(
                ["{name: a, type: VETH}"], "3:7 'a': veth.peer_if_name is missing; name the other half of the pair"),
            .interface(
                ["{name: a, type: VRF_DEVICE}"],
                "3:7 'a': vrf_dev.routing_table is missing; give the VRF a table of its own"),
            .interface(
                ["{name: a, type: VLAN}"], "3:7 'a': vlan.id is missing; it is 1–4094",
                "3:7 'a': vlan.parent is missing; name the interface below"),
            .interface(
                [upper, "{name: a, type: VLAN, vlan: {parent: up, id: 4095}}"],
                "4:52 'a': vlan.id '4095' is out of range (1–4094)"),
            .interface(["{name: a, type: MACVLAN}"], "3:7 'a': macvlan.parent is missing; name the interface below"),
            .interface(["{name: a, type: IPVLAN}"], "3:7 'a': ipvlan.parent is missing; name the interface below"),
            .interface(
                ["{name: a, type: BRIDGE, bridge: {forwardDelay: 1}}"],
                "3:54 'a': bridge.forward_delay '1' is out of range (2–30, 0 for the default)"),
            .interface(
                [
                    "{name: a, type: BRIDGE, bridge: {portSettings: [{}, {interface: up}, {interface: x, cost: 65536, priority: 64}]}}"
                ],
                "3:97 'a': bridge.port_settings[2].cost '65536' is out of range (0–65535)",
                "3:114 'a': bridge.port_settings[2].priority '64' is out of range (0–63)"),
            .interface(
                [
                    upper,
                    "{name: a, type: BRIDGE, bridge: {ports: [up], portSettings: [{}, {interface: no}, {interface: up, cost: 7}, {interface: up}]}}",
                ], "4:68 'a': bridge.port_settings[0].interface is missing; name one of the ports",
                "4:84 'a': bridge.port_settings[1].interface 'no' is not among the ports of the bridge",
                "4:127 'a': bridge.port_settings[3].interface 'up' is there twice"),
            .interface(
                [
                    "{name: a, type: BRIDGE, bridge: {vlanFiltering: true, vlans: [{vid: 10, last: 4}, {vid: 20, last: 29, pvid: true}, {vid: 30, pvid: true}, {vid: 25}, {vid: 31, pvid: true}]}}"
                ], "3:85 'a': bridge.vlans[0].last '4' is less than vid, the first one",
                "3:115 'a': bridge.vlans[1].pvid can't hold for a range, as a frame without a tag belongs to one VLAN",
                "3:138 'a': bridge.vlans[2].pvid is that of 20-29 already",
                "3:151 'a': bridge.vlans[3].vid '25' is there twice: 20-29 is listed before",
                "3:172 'a': bridge.vlans[4].pvid is that of 20-29 already"),
            .interface(
                ["{name: a, type: BRIDGE, bridge: {vlanFiltering: true, vlans: [{vid: 4095}, {vid: 0}]}}"],
                "3:75 'a': bridge.vlans[0].vid '4095' is out of range (1–4094)",
                "3:88 'a': bridge.vlans[1].vid '0' is out of range (1–4094)"),
            .interface(
                [
                    "{name: a, type: BRIDGE, addresses: [{address: 10.0.0.1/24, label: b:1}, {address: 'fd00::1/64', label: a:1}, {address: 10.0.0.2/24, label: 'a:'}, {address: 10.0.0.3/24, label: a:12345678901234}, {address: 10.0.0.4/24, label: a:1}]}"
                ], "3:73 'a': addresses[0].label 'b:1' has to be a: and more, at most 15 bytes",
                "3:110 'a': addresses[1].label 'a:1' is only for IPv4 addresses; fd00::1/64 is IPv6",
                "3:146 'a': addresses[2].label 'a:' has to be a: and more, at most 15 bytes",
                "3:183 'a': addresses[3].label 'a:12345678901234' has to be a: and more, at most 15 bytes"),
            .interface(
                ["{name: a, type: BRIDGE, bridge: {vlans: [{vid: 7}]}}"],
                "3:47 'a': bridge.vlans are there only with vlanFiltering: true"),
            .interface(
                ["{name: a, type: VXLAN, vxlan: {remote: 10.0.0.1, group: 10.0.0.2}}"],
                "3:63 'a': vxlan.group '10.0.0.2' can't be set together with remote",
                "3:63 'a': vxlan.group '10.0.0.2' is not a multicast address; use remote",
                "3:63 'a': vxlan.group '10.0.0.2' needs a parent"),
            .interface(
                ["{name: a, type: VXLAN, vxlan: {remote: 224.0.0.9, local: 'fd00::1'}}"],
                "3:46 'a': vxlan.remote '224.0.0.9' is a multicast address; use group",
                "3:64 'a': vxlan.local 'fd00::1' is not of the same family as 224.0.0.9"),
            .interface(
                ["{name: a, type: GENEVE}"],
                "3:7 'a': geneve.remote is missing; name the other end, or set external"),
            .interface(
                ["{name: a, type: GENEVE, geneve: {vni: 4, external: true}}"],
                "3:58 'a': geneve.external leaves only the port to be set"),
            .interface(
                ["{name: a, type: GRE}"],
                "3:7 'a': tunnel.remote is missing; name the other end or the local one, or set external"),
            .interface(
                ["{name: a, type: SIT, tunnel: {remote: 'fd00::1', key: 5}}"],
                "3:45 'a': tunnel.remote 'fd00::1' is not an IPv4 address, which SIT runs over",
                "3:61 'a': tunnel.key '5' is not possible: only GRE tunnels have a key"),
            .interface(
                ["{name: a, type: IPIP, physAddress: '02:00:00:00:00:01', tunnel: {remote: 10.0.0.1}}"],
                "3:42 'a': phys_address is not possible: a tunnel of IP packets has no MAC address"),
            .interface(
                ["{name: a, type: IPIP, tunnel: {remote: 10.0.0.1, parent: b}}"],
                "3:64 'a': tunnel.parent 'b' is not declared; declare it, as EXISTING if something else makes it"),
            .interface(
                ["{name: a, type: GRE, tunnel: {remote: 239.1.1.1}}"],
                "3:36 'a': tunnel.local is missing; with a multicast group as remote the kernel needs it"),
            .interface(["{name: a, type: GRETAP, tunnel: {remote: 239.1.1.1}}"]),
            .interface(["{name: a, type: MACVTAP}"], "3:7 'a': macvtap.parent is missing; name the interface below"),
        ] as [CheckCase])
    func blocks(test: CheckCase) { check(test) }

    @Test(
        "interfaces together",
        arguments: [
            .interface([pairA, pairB]),
            .interface([pairA], "3:48 'a': veth.peer_if_name 'b' is not declared; both halves of a pair are"),
            .interface(
                ["{name: a, type: VETH, veth: {peerIfName: veth1}}", "{name: vteh1, type: DUMMY}"],
                "3:48 'a': veth.peer_if_name 'veth1' is not declared; both halves of a pair are; did you mean 'vteh1'?"),
            .interface(
                ["{name: a, type: VETH, veth: {peerIfName: a}}"],
                "3:48 'a': veth.peer_if_name 'a' is the interface itself"),
            .interface(
                [pairA, "{name: b, type: DUMMY}"], "3:48 'a': veth.peer_if_name 'b' is a DUMMY, not a VETH (f.yaml:4:7)"
            ),
            .interface(
                [pairA, pairB, "{name: c, type: VETH, veth: {peerIfName: a}}"],
                "5:48 'c': veth.peer_if_name 'a' names 'b' as its peer, not 'c' (f.yaml:3:7)"),
            .interface([pairA, pairA, pairB], "4:7 'a': is declared twice; first at f.yaml:3:7"),
            .interface(
                ["{name: a, type: DUMMY, hostIfName: x}", "{name: x, type: DUMMY}"],
                "4:14 'x': name makes it 'x' in the kernel, which is also 'a' in the same namespace (f.yaml:3:7)"),
            .interface(
                ["{name: a, type: LOOPBACK}", "{name: b, type: LOOPBACK}"],
                "4:14 'b': name makes it 'lo' in the kernel, which is also 'a' in the same namespace (f.yaml:3:7)"),
            .interface([
                "{name: a, type: LOOPBACK}", "{name: b, type: LOOPBACK, namespace: {type: NSID, reference: n}}",
            ]),
            .interface(
                [
                    "{name: a, type: LOOPBACK, namespace: {type: FD, reference: /run/netns/n}}",
                    "{name: b, type: LOOPBACK, namespace: {type: NSID, reference: n}}",
                ], "4:14 'b': name makes it 'lo' in the kernel, which is also 'a' in the same namespace (f.yaml:3:7)"),
            .interface(
                ["{name: a, type: DUMMY, vrfMasterInterface: v}"], "3:50 'a': vrf_master_interface 'v' is not declared"),
            .interface(
                ["{name: a, type: DUMMY, vrfMasterInterface: b}", "{name: b, type: DUMMY}"],
                "3:50 'a': vrf_master_interface 'b' is a DUMMY, not a VRF_DEVICE (f.yaml:4:7)"),
            .interface(
                ["{name: a, type: DUMMY, vrfMasterInterface: up, namespace: {type: NSID, reference: n}}", upper],
                "3:50 'a': vrf_master_interface 'up' is in another namespace (f.yaml:4:7)"),
            .interface(
                ["{name: v, type: VRF_DEVICE, vrfDev: {routingTable: 1}, vrfMasterInterface: up}", upper],
                "3:82 'v': vrf_master_interface is not possible: a VRF can't be a member of a VRF"),
            .interface(
                [
                    "{name: a, type: BRIDGE, bridge: {ports: [x, up, up, a, b]}}", upper,
                    "{name: b, type: BRIDGE, bridge: {ports: [up]}}",
                ], "3:48 'a': bridge.ports[0] 'x' is not declared", "3:55 'a': bridge.ports[2] 'up' is there twice",
                "3:59 'a': bridge.ports[3] 'a' is the bridge itself",
                "3:62 'a': bridge.ports[4] 'b' is a BRIDGE, which can't be a port (f.yaml:5:7)",
                "5:48 'b': bridge.ports[0] 'up' is a port of bridge 'a' already"),
            .interface(
                [
                    "{name: a, type: BRIDGE, bridge: {ports: [c, d]}}",
                    "{name: c, type: DUMMY, namespace: {type: NSID, reference: n}}",
                    "{name: d, type: DUMMY, vrfMasterInterface: up}", upper,
                ], "3:48 'a': bridge.ports[0] 'c' is in another namespace than the bridge (f.yaml:4:7)",
                "3:51 'a': bridge.ports[1] 'd' is a member of a VRF, so it can't be a port (f.yaml:5:7)"),
            .interface(
                ["{name: a, type: VLAN, vlan: {parent: eth0, id: 5}}"],
                "3:44 'a': vlan.parent 'eth0' is not declared; declare it, as EXISTING if something else makes it"),
            .interface(
                [upper, "{name: a, type: VLAN, vlan: {parent: up, id: 5}, namespace: {type: NSID, reference: n}}"],
                "4:44 'a': vlan.parent 'up' is in another namespace (f.yaml:3:7)"),
            .interface([
                upper, "{name: a, type: MACVLAN, macvlan: {parent: up}, namespace: {type: NSID, reference: n}}",
            ]),
            .interface(
                [
                    upper, "{name: a, type: VLAN, vlan: {parent: up, id: 5}}",
                    "{name: b, type: VLAN, vlan: {parent: up, id: 5}}",
                ], "5:52 'b': vlan.id '5' is taken on 'up' by 'a' (f.yaml:4:7)"),
            .interface(
                ["{name: a, type: VLAN, vlan: {parent: b, id: 5}}", "{name: b, type: VLAN, vlan: {parent: a, id: 5}}"],
                "3:44 'a': vlan.parent 'b' stands on this interface itself (f.yaml:4:7)",
                "4:44 'b': vlan.parent 'a' stands on this interface itself (f.yaml:3:7)"),
            .interface(
                [
                    "{name: a, type: MACVLAN, physAddress: '02:00:00:00:00:01', macvlan: {parent: b, mode: PASSTHRU}}",
                    "{name: b, type: TAP, physAddress: '02:00:00:00:00:02'}",
                ],
                "3:45 'a': phys_address '02:00:00:00:00:01' is not 02:00:00:00:00:02, the MAC address of 'b' (f.yaml:4:7), "
                    + "and in mode PASSTHRU both have one"),
            .interface([
                "{name: a, type: MACVLAN, physAddress: '02:00:00:00:00:01', macvlan: {parent: b, mode: PASSTHRU}}",
                "{name: c, type: MACVTAP, physAddress: '02:00:00:00:00:01', macvtap: {parent: d}}",
                "{name: b, type: TAP, physAddress: '02:00:00:00:00:01'}",
                "{name: d, type: TAP, physAddress: '02:00:00:00:00:02'}",
            ]),
            .interface(
                [
                    "{name: a, type: GRE, tunnel: {local: 10.0.0.1, remote: 10.0.0.2, key: 5}}",
                    "{name: b, type: GRE, tunnel: {local: 10.0.0.1, remote: 10.0.0.2, ttl: 9, key: 5}}",
                ], "4:62 'b': tunnel.remote makes it the same tunnel as 'a' in the same namespace (f.yaml:3:7)"),
            .interface([
                "{name: a, type: GRE, tunnel: {local: 10.0.0.1, remote: 10.0.0.2}}",
                "{name: b, type: GRE, tunnel: {local: 10.0.0.1, remote: 10.0.0.2, key: 5}}",
                "{name: c, type: IPIP, tunnel: {local: 10.0.0.1, remote: 10.0.0.2}}",
                "{name: d, type: GRE, tunnel: {local: 10.0.0.1, remote: 10.0.0.2}, namespace: {type: NSID, reference: n}}",
            ]),
            .interface(
                [
                    "{name: a, type: IP6TNL, tunnel: {external: true}}",
                    "{name: b, type: IP6TNL, tunnel: {external: true}}",
                ], "4:50 'b': tunnel.external makes it the same tunnel as 'a' in the same namespace (f.yaml:3:7)"),
            .interface(
                [
                    "{name: a, type: GENEVE, geneve: {vni: 5, remote: 10.0.0.2}}",
                    "{name: b, type: GENEVE, geneve: {vni: 5, remote: 10.0.0.2, port: 6081}}",
                ], "4:56 'b': geneve.remote makes it the same tunnel as 'a' in the same namespace (f.yaml:3:7)"),
            .interface(
                ["{name: a, type: IPVLAN, ipvlan: {parent: a}}"], "3:48 'a': ipvlan.parent 'a' is the interface itself"),
        ] as [CheckCase])
    func together(test: CheckCase) { check(test) }

    @Test("what needs VPP is a value that can't be configured, not a mistake")
    func invalidValues() {
        let config = load(
            interfaces("{name: t, type: TAP_TO_VPP, tap: {vppTapIfName: x}}", "{name: d, type: DUMMY}")
                + "cnfConfig:\n  NetworkServiceClient_list:\n    - {name: c, networkService: n, interfaceName: i, interfaceType: MEM_INTERFACE}\n"
        )
        #expect(config.isValid && config.items.count == 3)
        #expect(
            config.invalidValues.map(\.key) == ["config/linux/interfaces/v2/interface/t", "config/cnf/nsm/v1/client/c"])
        #expect(config.invalidValues.map(\.fields) == [["type"], ["interface_type"]])
        #expect(
            config.invalidValues.map { "\($0.position): \($0.text)" } == [
                "f.yaml:3:23: linux.interfaces.interface 't': type 'TAP_TO_VPP' is not possible: there is no VPP here; for a TAP device use type TAP",
                "f.yaml:7:69: cnf.nsm.client 'c': interface_type 'MEM_INTERFACE' is not possible: it needs VPP, which is not here; use KERNEL_INTERFACE",
            ])
    }
}
