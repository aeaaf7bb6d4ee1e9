import NetworkTypes

@testable import Netlink

// What ip(8) of iproute2 6.1 sends, caught with strace(1); sequence numbers cleared. Interfaces at that time:
// p0 5, d0 7, d1 9, br0 10, v2 18.
let routeGoldens: [Golden] = [
    Golden(
        "ip route add 10.2.0.0/16 via 10.9.0.2 proto static",
        hex: """
            2c00000018000506000000000000000002100000fe04000100000000080001000a020000080005000a090002
            """,
        .addRoute(route("10.2.0.0/16", proto: 4, [hop("10.9.0.2")]), replace: false)),
    Golden(
        "ip route add 10.3.0.0/16 dev p0 scope link",
        hex: """
            2c00000018000506000000000000000002100000fe03fd0100000000080001000a0300000800040005000000
            """,
        .addRoute(route("10.3.0.0/16", scope: 253, [hop(nil, 5)]), replace: false)),
    Golden(
        "ip route add fd02::/64 via fd09::2",
        hex: """
            440000001800050600000000000000000a400000fe0300010000000014000100fd020000000000000000000000000000
            14000500fd090000000000000000000000000002
            """,
        .addRoute(route("fd02::/64", [hop("fd09::2")]), replace: false)),
    Golden(
        "ip route add fd03::/64 dev p0 metric 50",
        hex: """
            400000001800050600000000000000000a400000fe0300010000000014000100fd030000000000000000000000000000
            08000600320000000800040005000000
            """,
        .addRoute(route("fd03::/64", metric: 50, [hop(nil, 5)]), replace: false)),
    Golden(
        "ip route add 10.7.0.0/16 via inet6 fe80::9 dev p0 advmss 1300 initcwnd 20 initrwnd 30 mtu 1400",
        hex: """
            6800000018000506000000000000000002100000fe03000100000000080001000a070000160012000a00fe8000000000
            000000000000000000090000080004000500000024000800080008001405000008000b001400000008000e001e000000
            0800020078050000
            """,
        .addRoute(
            tuned(
                route("10.7.0.0/16", [hop("fe80::9", 5)]), mtu: 1400, mss: 1300, windows: (send: 20, receive: 30)),
            replace: false)),
    Golden(
        "ip -6 route add fd07::/64 via fd09::2 dev p0 pref high",
        hex: """
            540000001800050600000000000000000a400000fe0300010000000014000100fd070000000000000000000000000000
            14000500fd09000000000000000000000000000205001400010000000800040005000000
            """,
        .addRoute(tuned(route("fd07::/64", [hop("fd09::2", 5)]), preference: 1), replace: false)),
    Golden(
        "ip -6 route add fd08::/64 via fd09::2 dev p0 pref low advmss 1200",
        hex: """
            600000001800050600000000000000000a400000fe0300010000000014000100fd080000000000000000000000000000
            14000500fd090000000000000000000000000002050014000300000008000400050000000c00080008000800b0040000
            """,
        .addRoute(tuned(route("fd08::/64", [hop("fd09::2", 5)]), mss: 1200, preference: 3), replace: false)),
    Golden(
        "ip route add blackhole 10.4.0.0/16",
        hex: """
            2400000018000506000000000000000002100000fe03000600000000080001000a040000
            """,
        .addRoute(route("10.4.0.0/16", type: 6, []), replace: false)),
    Golden(
        "ip route add unreachable fd04::/64",
        hex: """
            300000001800050600000000000000000a400000fe0300070000000014000100fd040000000000000000000000000000
            """,
        .addRoute(route("fd04::/64", type: 7, []), replace: false)),
    Golden(
        "ip route add 10.5.0.0/16 nexthop via 10.9.0.2 dev p0 weight 3 nexthop via 10.9.0.3 dev p0 onlink",
        hex: """
            4800000018000506000000000000000002100000fe03000100000000080001000a050000240009001000000205000000
            080005000a0900021000040005000000080005000a090003
            """,
        .addRoute(
            route("10.5.0.0/16", [hop("10.9.0.2", 5, weight: 3), hop("10.9.0.3", 5, onlink: true)]), replace: false)),
    Golden(
        "ip route add fd05::/64 nexthop via fd09::2 dev p0 nexthop via fd09::3 dev p0 weight 2",
        hex: """
            6c0000001800050600000000000000000a400000fe0300010000000014000100fd050000000000000000000000000000
            3c0009001c0000000500000014000500fd0900000000000000000000000000021c0000010500000014000500fd090000
            000000000000000000000003
            """,
        .addRoute(route("fd05::/64", [hop("fd09::2", 5), hop("fd09::3", 5, weight: 2)]), replace: false)),
    Golden(
        "ip route add 10.6.0.0/16 via 192.0.2.1 dev p0 onlink",
        hex: """
            3400000018000506000000000000000002100000fe03000104000000080001000a06000008000500c000020108000400
            05000000
            """,
        .addRoute(route("10.6.0.0/16", [hop("192.0.2.1", 5, onlink: true)]), replace: false)),
    Golden(
        "ip route add 10.7.0.0/16 via 10.9.0.2 mtu 1300",
        hex: """
            3800000018000506000000000000000002100000fe03000100000000080001000a070000080005000a0900020c000800
            0800020014050000
            """,
        .addRoute(route("10.7.0.0/16", mtu: 1300, [hop("10.9.0.2")]), replace: false)),
    Golden(
        "ip route add 10.8.0.0/16 via 10.9.0.2 src 10.9.0.1",
        hex: """
            3400000018000506000000000000000002100000fe03000100000000080001000a080000080005000a09000208000700
            0a090001
            """,
        .addRoute(route("10.8.0.0/16", source: "10.9.0.1", [hop("10.9.0.2")]), replace: false)),
    Golden(
        "ip route add 10.10.0.0/16 via 10.9.0.2 table 1000",
        hex: """
            34000000180005060000000000000000021000000003000100000000080001000a0a0000080005000a09000208000f00
            e8030000
            """,
        .addRoute(route("10.10.0.0/16", table: 1000, [hop("10.9.0.2")]), replace: false)),
    Golden(
        "ip route add 10.11.0.0/16 via inet6 fd09::2 dev p0",
        hex: """
            4400000018000506000000000000000002100000fe03000100000000080001000a0b0000160012000a00fd0900000000
            0000000000000000000200000800040005000000
            """,
        .addRoute(route("10.11.0.0/16", [hop("fd09::2", 5)]), replace: false)),
    Golden(
        "ip route add default via 10.9.0.2 metric 100",
        hex: """
            2c00000018000506000000000000000002000000fe03000100000000080005000a0900020800060064000000
            """,
        .addRoute(route("0.0.0.0/0", metric: 100, [hop("10.9.0.2")]), replace: false)),
    Golden(
        "ip -6 route add default via fd09::2",
        hex: """
            440000001800050600000000000000000a000000fe030001000000001400010000000000000000000000000000000000
            14000500fd090000000000000000000000000002
            """,
        .addRoute(route("::/0", [hop("fd09::2")]), replace: false)),
    Golden(
        "ip route replace 10.2.0.0/16 via 10.9.0.3 proto 77 table 200",
        hex: """
            2c00000018000505000000000000000002100000c84d000100000000080001000a020000080005000a090003
            """,
        .addRoute(route("10.2.0.0/16", table: 200, proto: 77, [hop("10.9.0.3")]), replace: true)),
    Golden(
        "ip route del 10.2.0.0/16 via 10.9.0.2 proto static",
        hex: """
            2c00000019000500000000000000000002100000fe04ff0000000000080001000a020000080005000a090002
            """,
        .deleteRoute(route("10.2.0.0/16", proto: 4, [hop("10.9.0.2")]))),
]

private func tuned(
    _ route: Route, mtu: UInt32 = 0, mss: UInt32 = 0, windows: (send: UInt32, receive: UInt32) = (0, 0),
    preference: UInt8 = 0
) -> Route {
    var route = route
    (route.mtu, route.advertisedMSS, route.preference) = (mtu, mss, preference)
    (route.initialCongestionWindow, route.initialReceiveWindow) = (windows.send, windows.receive)
    return route
}
