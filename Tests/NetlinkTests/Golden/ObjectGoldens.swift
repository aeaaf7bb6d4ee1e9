import NetworkTypes

@testable import Netlink

// What ip(8) of iproute2 6.1 sends, caught with strace(1); sequence numbers cleared. Interfaces at that time:
// p0 5, d0 7, d1 9, br0 10, v2 18.
let objectGoldens: [Golden] = [
    Golden(
        "ip addr add 10.1.0.1/24 dev p0",
        hex: """
            280000001400050600000000000000000218000005000000080002000a010001080001000a010001
            """,
        .addAddress(address("10.1.0.1/24"), replace: false)),
    Golden(
        "ip addr add 10.1.1.1 peer 10.1.1.2/32 dev p0",
        hex: """
            280000001400050600000000000000000220000005000000080002000a010101080001000a010102
            """,
        .addAddress(address("10.1.1.1/32", peer: "10.1.1.2"), replace: false)),
    Golden(
        "ip addr add fd01::1/64 dev p0",
        hex: """
            400000001400050600000000000000000a4000000500000014000200fd01000000000000000000000000000114000100
            fd010000000000000000000000000001
            """,
        .addAddress(address("fd01::1/64"), replace: false)),
    Golden(
        "ip addr add fd01::2/64 dev p0 nodad",
        hex: """
            400000001400050600000000000000000a4002000500000014000200fd01000000000000000000000000000214000100
            fd010000000000000000000000000002
            """,
        .addAddress(address("fd01::2/64", flags: Address.noDAD), replace: false)),
    Golden(
        "ip addr add fd01::3 peer fd01::4/128 dev p0",
        hex: """
            400000001400050600000000000000000a8000000500000014000200fd01000000000000000000000000000314000100
            fd010000000000000000000000000004
            """,
        .addAddress(address("fd01::3/128", peer: "fd01::4"), replace: false)),
    Golden(
        "ip addr add 10.1.2.1/24 dev p0 noprefixroute",
        hex: """
            300000001400050600000000000000000218000005000000080002000a0102010800080000020000080001000a010201
            """,
        .addAddress(address("10.1.2.1/24", flags: 0x200), replace: false)),
    Golden(
        "ip addr del 10.1.0.1/24 dev p0",
        hex: """
            280000001500050000000000000000000218000005000000080002000a010001080001000a010001
            """,
        .deleteAddress(address("10.1.0.1/24"))),
    Golden(
        "ip neigh add 10.9.0.5 lladdr 02:00:00:00:00:05 dev p0",
        hex: """
            300000001c0005060000000000000000020000000500000080000000080001000a0900050a0002000200000000050000
            """,
        .addNeighbour(neighbour("10.9.0.5", 5), replace: false)),
    Golden(
        "ip neigh replace fd09::5 lladdr 02:00:00:00:00:05 dev p0 protocol 77",
        hex: """
            440000001c00050500000000000000000a000000050000008000000005000c004d00000014000100fd09000000000000
            00000000000000050a0002000200000000050000
            """,
        .addNeighbour(neighbour("fd09::5", 5, proto: 77), replace: true)),
    Golden(
        "ip neigh add proxy 10.9.0.6 dev p0",
        hex: """
            240000001c0005060000000000000000020000000500000080000800080001000a090006
            """,
        .addNeighbour(neighbour("10.9.0.6", nil, flags: Neighbour.proxy), replace: false)),
    Golden(
        "ip neigh del 10.9.0.5 dev p0",
        hex: """
            240000001d0005000000000000000000020000000500000080000000080001000a090005
            """,
        .deleteNeighbour(neighbour("10.9.0.5", nil))),
    Golden(
        "ip rule add from 10.0.0.0/8 table 100 priority 100",
        hex: """
            2c000000200005060000000000000000020008006400000100000000080002000a0000000800060064000000
            """,
        .addRule(Rule(family: .v4, priority: 100, from: prefix("10.0.0.0/8"), table: 100))),
    Golden(
        "ip rule add to 10.0.0.0/8 iif p0 table 1000 priority 101 protocol 77",
        hex: """
            44000000200005060000000000000000020800000000000100000000080001000a000000070003007030000008000f00
            e80300000800060065000000050015004d000000
            """,
        .addRule(
            Rule(family: .v4, priority: 101, to: prefix("10.0.0.0/8"), inputInterface: "p0", table: 1000, proto: 77))),
    Golden(
        "ip rule add fwmark 0x10/0xff table 100 priority 102",
        hex: """
            3400000020000506000000000000000002000000640000010000000008000a001000000008001000ff00000008000600
            66000000
            """,
        .addRule(Rule(family: .v4, priority: 102, mark: 0x10, mask: 0xff, table: 100))),
    Golden(
        "ip rule add not from 10.1.0.0/16 blackhole priority 103",
        hex: """
            2c000000200005060000000000000000020010000000000602000000080002000a0100000800060067000000
            """,
        .addRule(Rule(family: .v4, priority: 103, from: prefix("10.1.0.0/16"), action: 6, invert: true))),
    Golden(
        "ip -6 rule add from fd00::/8 oif p0 table 100 priority 104",
        hex: """
            400000002000050600000000000000000a000800640000010000000014000200fd000000000000000000000000000000
            07001100703000000800060068000000
            """,
        .addRule(Rule(family: .v6, priority: 104, from: prefix("fd00::/8"), outputInterface: "p0", table: 100))),
    Golden(
        "ip rule add table 254 suppress_prefixlength 0 priority 110 ipproto tcp sport 1024-65535 dport 443 uidrange 1000-1999",
        hex: """
            5000000020000506000000000000000002000000fe0000010000000008000e0000000000080006006e00000005001600
            06000000080017000004ffff08001800bb01bb010c001400e8030000cf070000
            """,
        .addRule(detailedRule)),
    Golden(
        "ip rule add l3mdev priority 1000",
        hex: """
            2c000000200005060000000000000000020000000000000100000000050013000100000008000600e8030000
            """,
        .addRule(ruleOfVRF)),
    Golden(
        "ip addr add 10.9.0.7/24 dev p0 label p0:one noprefixroute",
        hex: """
            3c0000001400050600000000000000000218000005000000080002000a0900070b00030070303a6f6e65000008000800
            00020000080001000a090007
            """,
        .addAddress(labelled(address("10.9.0.7/24", flags: Address.noPrefixRoute), 5, "p0:one"), replace: false)),
    Golden(
        "ip addr add 10.9.0.8/24 dev p0 preferred_lft 0",
        hex: """
            3c0000001400050600000000000000000218000005000000080002000a090008080001000a0900081400060000000000
            ffffffff0000000000000000
            """,
        .addAddress(labelled(address("10.9.0.8/24", flags: Address.deprecated), 5), replace: false)),
    Golden(
        "ip addr add fd09::8/64 dev p0 preferred_lft 0 noprefixroute nodad",
        hex: """
            5c0000001400050600000000000000000a4000000500000014000200fd09000000000000000000000000000808000800
            0202000014000100fd0900000000000000000000000000081400060000000000ffffffff0000000000000000
            """,
        .addAddress(
            labelled(address("fd09::8/64", flags: Address.deprecated | Address.noPrefixRoute | Address.noDAD), 5),
            replace: false)),
    Golden(
        "ip rule del from 10.0.0.0/8 table 100 priority 100",
        hex: """
            2c000000210005000000000000000000020008006400000000000000080002000a0000000800060064000000
            """,
        .deleteRule(Rule(family: .v4, priority: 100, from: prefix("10.0.0.0/8"), table: 100))),
]

private let detailedRule: Rule = {
    var rule = Rule(family: .v4, priority: 110, table: 254)
    rule.ipProtocol = 6
    (rule.sourcePorts, rule.destinationPorts, rule.users) = (1024...65535, 443...443, 1000...1999)
    rule.suppressedLength = 0
    return rule
}()

private let ruleOfVRF: Rule = {
    var rule = Rule(family: .v4, priority: 1000)
    rule.isOfVRF = true
    return rule
}()

private func labelled(_ address: Address, _ index: Int32, _ label: String? = nil) -> Address {
    var address = address
    (address.linkIndex, address.label) = (index, label)
    return address
}
