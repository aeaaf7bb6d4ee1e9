import NetworkTypes

@testable import Netlink

// What ip(8) of iproute2 6.1 sends, caught with strace(1); sequence numbers cleared. Interfaces at that time:
// p0 5, d0 7, d1 9, br0 10, v2 18.
let linkGoldens: [Golden] = [
    Golden(
        "ip link add d0 type dummy",
        hex: """
            380000001000050600000000000000000000000000000000000000000000000007000300643000001000120009000100
            64756d6d79000000
            """,
        .createLink(link(0, "d0") { $0.kind = .dummy }, echo: false)),
    Golden(
        "ip link add d1 address 02:00:00:00:00:01 mtu 1400 type dummy",
        hex: """
            4c000000100005060000000000000000000000000000000000000000000000000a000100020000000001000008000400
            780500000700030064310000100012000900010064756d6d79000000
            """,
        .createLink(
            link(0, "d1") {
                $0.mac = MACAddress(bits: 0x0200_0000_0001); $0.mtu = 1400; $0.kind = .dummy
            }, echo: false)),
    Golden(
        "ip link add vrf10 type vrf table 10",
        hex: """
            44000000100005060000000000000000000000000000000000000000000000000a000300767266313000000018001200
            07000100767266000c000200080001000a000000
            """,
        .createLink(link(0, "vrf10") { $0.kind = .vrf(table: 10) }, echo: false)),
    Golden(
        "ip link add vl0 link p0 type vlan id 100",
        hex: """
            4800000010000506000000000000000000000000000000000000000000000000080005000500000008000300766c3000
            1800120008000100766c616e0c0002000600010064000000
            """,
        .createLink(
            link(0, "vl0") {
                $0.link = 5; $0.kind = .vlan(VLANAttributes(id: 100))
            }, echo: false)),
    Golden(
        "ip link add b0 type bond mode 802.3ad miimon 100 updelay 200 downdelay 300 xmit_hash_policy layer3+4 min_links 1 lacp_rate fast ad_select count",
        hex: """
            780000001000050600000000000000000000000000000000000000000000000007000300623000005000120008000100
            626f6e64440002000500010004000000080003006400000008000400c8000000080005002c01000005000e0001000000
            080012000100000005001500010000000500160002000000
            """,
        .createLink(
            link(0, "b0") {
                var bond = BondAttributes()
                (bond.mode, bond.miimon, bond.updelay, bond.downdelay) = (4, 100, 200, 300)
                (bond.hashPolicy, bond.minLinks, bond.lacpRate, bond.selection) = (1, 1, 1, 2)
                $0.kind = .bond(bond)
            }, echo: false)),
    Golden(
        "ip link add vl1 link p0 type vlan id 101 protocol 802.1ad",
        hex: """
            5000000010000506000000000000000000000000000000000000000000000000080005000500000008000300766c3100
            2000120008000100766c616e1400020006000100650000000600050088a80000
            """,
        .createLink(
            link(0, "vl1") {
                $0.link = 5; $0.kind = .vlan(VLANAttributes(id: 101, ethertype: 0x88a8))
            }, echo: false)),
    Golden(
        "ip link add vx0 type vxlan id 42 dstport 4789 remote 10.9.0.2 local 10.9.0.1 dev p0 ttl 64 nolearning",
        hex: """
            740000001000050600000000000000000000000000000000000000000000000008000300767830004c00120009000100
            76786c616e0000003c00020008000300050000000500050040000000080001002a000000080004000a09000108000200
            0a090002050007000000000006000f0012b50000
            """,
        .createLink(
            link(0, "vx0") {
                $0.kind = .vxlan(
                    VXLANAttributes(
                        vni: 42, remote: ip("10.9.0.2"), local: ip("10.9.0.1"), link: 5, port: 4789, learning: false,
                        ttl: 64))
            }, echo: false)),
    Golden(
        "ip link add vx1 type vxlan id 43 dstport 4789 remote fd09::2 local fd09::1 learning",
        hex: """
            7c0000001000050600000000000000000000000000000000000000000000000008000300767831005400120009000100
            76786c616e00000044000200080001002b00000014001100fd09000000000000000000000000000114001000fd090000
            000000000000000000000002050007000100000006000f0012b50000
            """,
        .createLink(
            link(0, "vx1") {
                $0.kind = .vxlan(
                    VXLANAttributes(vni: 43, remote: ip("fd09::2"), local: ip("fd09::1"), port: 4789, learning: true))
            }, echo: false)),
    Golden(
        "ip link add mv0 link p0 type macvlan mode bridge",
        hex: """
            4c000000100005060000000000000000000000000000000000000000000000000800050005000000080003006d763000
            1c0012000b0001006d6163766c616e000c0002000800010004000000
            """,
        .createLink(
            link(0, "mv0") {
                $0.link = 5; $0.kind = .macvlan(mode: 4)
            }, echo: false)),
    Golden(
        "ip link add iv0 link d0 type ipvlan mode l3",
        hex: """
            540000001000050600000000000000000000000000000000000000000000000008000500070000000800030069763000
            240012000a0001006970766c616e00001400020006000100010000000600020000000000
            """,
        .createLink(
            link(0, "iv0") {
                $0.link = 7; $0.kind = .ipvlan(mode: 1)
            }, echo: false)),
    Golden(
        "ip link add br1 type bridge stp_state 1 vlan_filtering 1 ageing_time 30000 forward_delay 1500",
        hex: """
            5c000000100005060000000000000000000000000000000000000000000000000800030062723100340012000a000100
            62726964676500002400020008000500010000000500070001000000080004003075000008000100dc050000
            """,
        .createLink(
            link(0, "br1") {
                $0.kind = .bridge(
                    BridgeAttributes(stpState: 1, vlanFiltering: true, ageingTime: 30000, forwardDelay: 1500))
            }, echo: false)),
    Golden(
        "ip link add v0 type veth peer name v1",
        hex: """
            540000001000050600000000000000000000000000000000000000000000000007000300763000002c00120008000100
            76657468200002001c000100000000000000000000000000000000000700030076310000
            """,
        .createLink(link(0, "v0") { $0.peer = VethPeer(name: "v1") }, echo: false)),
    Golden(
        "ip link add v2 mtu 1400 address 02:00:00:00:00:02 type veth peer name v3 mtu 1300 address 02:00:00:00:00:03",
        hex: """
            7c0000001000050600000000000000000000000000000000000000000000000008000400780500000a00010002000000
            000200000700030076320000400012000800010076657468340002003000010000000000000000000000000000000000
            08000400140500000a00010002000000000300000700030076330000
            """,
        .createLink(
            link(0, "v2") {
                $0.mtu = 1400; $0.mac = MACAddress(bits: 0x0200_0000_0002); $0.kind = .veth;
                $0.peer = VethPeer(name: "v3", mtu: 1300, mac: MACAddress(bits: 0x0200_0000_0003))
            }, echo: false)),
    Golden(
        "ip link set dev d0 up",
        hex: """
            2000000010000500000000000000000000000000070000000100000001000000
            """,
        .setLink(link(7) { $0.up = true })),
    Golden(
        "ip link set dev d0 down",
        hex: """
            2000000010000500000000000000000000000000070000000000000001000000
            """,
        .setLink(link(7) { $0.up = false })),
    Golden(
        "ip link set dev d1 master br0",
        hex: """
            280000001000050000000000000000000000000009000000000000000000000008000a000a000000
            """,
        .setLink(link(9) { $0.master = 10 })),
    Golden(
        "ip link set dev d1 nomaster",
        hex: """
            280000001000050000000000000000000000000009000000000000000000000008000a0000000000
            """,
        .setLink(link(9) { $0.master = 0 })),
    Golden(
        "ip link set dev d1 mtu 1280",
        hex: """
            28000000100005000000000000000000000000000900000000000000000000000800040000050000
            """,
        .setLink(link(9) { $0.mtu = 1280 })),
    Golden(
        "ip link set dev d1 alias hello",
        hex: """
            2c000000100005000000000000000000000000000900000000000000000000000900140068656c6c6f000000
            """,
        .setLink(link(9) { $0.alias = "hello" })),
    Golden(
        "ip link set dev d1 group 77",
        hex: """
            280000001000050000000000000000000000000009000000000000000000000008001b004d000000
            """,
        .setLink(link(9) { $0.group = 77 })),
    Golden(
        "ip link del dev v2",
        hex: """
            2000000011000500000000000000000000000000120000000000000000000000
            """,
        .deleteLink(index: 18)),
    Golden(
        "ip link del group 77",
        hex: """
            280000001100050000000000000000000000000000000000000000000000000008001b004d000000
            """,
        .deleteLinkGroup(77)),
]

/// Requests for alternative names have no tree that starts like that of others.
let propertyGoldens: [Golden] = [
    Golden(
        "ip link property add dev v0 altname uplink7 altname two",
        hex: """
            380000006c00050e00000000000000000000000003000000000000000000000018003480
            0c00350075706c696e6b37000800350074776f00
            """,
        .addAltNames(["uplink7", "two"], linkIndex: 3)),
    Golden(
        "ip link property del dev v0 altname two",
        hex: "2c0000006d0005000000000000000000000000000300000000000000000000000c0034800800350074776f00",
        .deleteAltNames(["two"], linkIndex: 3)),
]
