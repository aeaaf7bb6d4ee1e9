import Foundation
import Netlink
import Testing

/// What is on a link by the kernel's own knowledge: the reach of gateways, and the routes that come with addresses.
@Suite("what is on a link", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct ConnectedTests {
    private static func uplink(_ more: String, routes: String...) -> String {
        linux("name: up0, type: EXISTING, enabled: true" + (more.isEmpty ? "" : ", \(more)"), routes: routes)
    }

    private static func makeUplink(_ host: Sandbox) throws {
        try host.ip("link add up0 type veth peer name far0")
        try host.ip("link set up0 up")
        try host.ip("link set far0 up")
    }

    // MARK: - Reach

    @Test(
        "what the kernel reaches by somebody else's address or route is reach enough",
        arguments: [
            ["addr add 10.0.0.9/24 dev up0"], ["addr add 10.0.0.9 peer 10.0.0.1/32 dev up0"],
            ["addr add 10.9.0.5/32 dev up0", "route add 10.0.0.1 dev up0 proto dhcp scope link"],
            ["addr add 10.9.0.5/32 dev up0", "route add 10.0.0.0/8 dev up0"],
            [
                "addr add 10.0.0.9/24 dev up0 noprefixroute",
                "route add 10.0.0.0/24 dev up0 proto kernel scope link metric 100",
            ],
        ], ["linkOnly: true", nil])
    func foreignReach(_ commands: [String], _ declaration: String?) throws {
        try Sandbox.run { host in
            try Self.makeUplink(host)
            let route = "outgoingInterface: up0, dstNetwork: 10.77.0.0/16, gwAddr: 10.0.0.1"
            let yaml = declaration.map { Self.uplink($0, routes: route) } ?? linux(routes: [route])
            let agent = host.agent()
            try agent.watch()
            try agent.apply(yaml)
            #expect(
                agent.problems == ["config/linux/l3/v2/route/10.77.0.0/16/up0 PENDING gw-reachable: 10.0.0.1 on up0"])
            for command in commands { try host.ip(command) }
            #expect(try agent.settle { agent.problems == [] })
            #expect(try host.routes().contains("10.77.0.0/16 via 10.0.0.1 dev up0"))
            try host.expectInPlace(yaml, agent)
            let addresses = try host.addresses("up0")
            try agent.apply("")
            #expect(try host.addresses("up0") == addresses)
        }
    }

    @Test("a network that somebody else's address keeps is reach when ours in it goes", arguments: [true, false])
    func keptReach(isSecondary: Bool) throws {
        try Sandbox.run { host in
            try Self.makeUplink(host)
            func yaml(_ addresses: String) -> String {
                Self.uplink(
                    "ipAddresses: [\(addresses)]",
                    routes: "outgoingInterface: up0, dstNetwork: 10.77.0.0/16, gwAddr: 10.0.0.254",
                    // The kernel is asked what is on the link while an address of ours is in that network.
                    "outgoingInterface: up0, dstNetwork: 10.78.0.0/16, gwAddr: 10.9.0.1")
            }
            if !isSecondary { try host.ip("addr add 10.0.0.100/24 dev up0") }
            let agent = host.agent()
            try agent.apply(yaml("10.0.0.1/24, 10.0.0.3/25"))
            if isSecondary { try host.ip("addr add 10.0.0.100/24 dev up0") }
            try agent.watch()
            try agent.change(to: yaml("10.0.0.1/24, 10.0.0.3/25"))
            try agent.change(to: yaml("10.0.0.3/25"))
            #expect(
                agent.problems == ["config/linux/l3/v2/route/10.78.0.0/16/up0 PENDING gw-reachable: 10.9.0.1 on up0"])
            #expect(try host.routes().contains("10.77.0.0/16 via 10.0.0.254 dev up0"))
            #expect(try host.agent().plan(yaml("10.0.0.3/25")) == [])
            // It goes with the last address in the network.
            try host.ip("addr del 10.0.0.100/24 dev up0")
            #expect(try agent.settle { agent.problems.count == 2 })
            try host.ip("addr add 10.0.0.100/24 dev up0")
            #expect(try agent.settle { agent.problems.count == 1 })
        }
    }

    @Test("neither an address without its route, nor a route of a wider scope, is a way to a gateway")
    func noReach() throws {
        try Sandbox.run { host in
            try Self.makeUplink(host)
            try host.ip("addr add 10.0.0.9/24 dev up0 noprefixroute")
            try host.ip("addr add 10.5.0.9/24 dev up0")
            try host.ip("route del 10.5.0.0/24 dev up0")
            try host.ip("route add 10.6.0.0/24 dev up0 scope global")
            for gateway in ["10.0.0.1", "10.6.0.1"] {
                let agent = host.agent()
                try agent.apply(
                    Self.uplink(
                        "linkOnly: true", routes: "outgoingInterface: up0, dstNetwork: 10.77.0.0/16, gwAddr: \(gateway)"
                    ))
                #expect(agent.problems.count == 1 && agent.problems[0].contains("gw-reachable: \(gateway) on up0"))
            }
        }
    }

    @Test("a router's prefix is reach: the kernel keeps it without an address of ours")
    func foreignReachV6() throws {
        try Sandbox.run { host in
            try Self.makeUplink(host)
            try host.ip("-6 route add fd00::/64 dev up0 proto kernel metric 256")
            let yaml = Self.uplink(
                "linkOnly: true", routes: "outgoingInterface: up0, dstNetwork: 'fd77::/64', gwAddr: 'fd00::1'")
            try host.apply(yaml)
        }
    }

    @Test("a route without a gateway needs no written scope to lead to one", arguments: [true, false])
    func deviceRoute(_ isDeclared: Bool) throws {
        try Sandbox.run { host in
            try Self.makeUplink(host)
            let routes = [
                "outgoingInterface: up0, dstNetwork: 10.78.0.0/16, gwAddr: 10.77.0.1",
                "outgoingInterface: up0, dstNetwork: 10.77.0.1/32",
                "outgoingInterface: up0, dstNetwork: 'fd78::/64', gwAddr: 'fd77::1'",
                "outgoingInterface: up0, dstNetwork: 'fd77::1/128'",
            ]
            let interface = "name: up0, type: EXISTING, enabled: true, ipAddresses: [10.9.0.5/32, 'fd09::5/128']"
            if !isDeclared { try host.ip("addr add 10.9.0.5/32 dev up0") }
            let agent = try host.apply(isDeclared ? linux(interface, routes: routes) : linux(routes: routes))
            #expect(try host.routes().count == 2)
            try agent.apply("")
            #expect(try host.routes() == [])
        }
    }

    @Test("the address that a gateway was reached by goes with its declaration: the route waits, it is not left behind")
    func ownReach() throws {
        try Sandbox.run { host in
            try Self.makeUplink(host)
            let route = "outgoingInterface: up0, dstNetwork: 10.77.0.0/16, gwAddr: 10.0.0.1"
            let agent = try host.apply(Self.uplink("ipAddresses: [10.0.0.9/24]", routes: route))
            try agent.apply(Self.uplink("", routes: route))
            #expect(agent.problems.count == 1 && agent.problems[0].contains("gw-reachable"))
            #expect(try host.routes() == [] && host.addresses("up0") == [])
        }
    }

    @Test("the kernel's route to a network whose address goes in the same change is no way to a gateway")
    func goingReach() throws {
        try Sandbox.run { host in
            let routes = ["outgoingInterface: a, dstNetwork: 10.77.0.0/16, gwAddr: 10.0.0.77"]
            let agent = try host.apply(
                linux(veth("a", "b", in: "x", "ipAddresses: [10.8.0.1/32, 10.0.0.11/24]"), veth("b", "a")))
            try agent.apply(
                linux(veth("a", "b", in: "x", "ipAddresses: ['fd00::11/64']"), veth("b", "a"), routes: routes))
            #expect(
                agent.problems.count == 1 && agent.problems[0].contains("PENDING gw-reachable"), "\(agent.problems)")
        }
    }

    // MARK: - Routes that come with addresses

    private static let addressed = linux(
        // The kernel tells of changes of an address only when it is no longer looking for duplicates.
        veth(
            "a", "b", in: "x",
            "ipAddresses: [10.0.0.1/24, 10.0.0.2/24, 10.3.0.1/32], "
                + "addresses: [{address: 'fd00::1/64', nodad: true}, {address: 'fd00::2/64', nodad: true}]"),
        veth("b", "a"),
        routes: [
            "outgoingInterface: a, dstNetwork: 0.0.0.0/0, gwAddr: 10.0.0.254",
            "outgoingInterface: a, dstNetwork: 'fd09::/64', gwAddr: 'fd00::9'",
        ])

    private func connected(_ host: Sandbox) throws -> [String] {
        try ["-4", "-6"].flatMap { family in
            try host.ip("\(family) route show dev a proto kernel", in: "x").split(separator: "\n")
                .map { $0.split(separator: " ")[0] == "fe80::/64" ? "" : $0.replacing("pref medium", with: "") }
                .map { $0.split(separator: " ").joined(separator: " ") }.filter { !$0.isEmpty }
        }
    }

    private static let harm = [
        "route flush table main", "route del 10.0.0.0/24 dev a", "-6 route del fd00::/64 dev a",
        "-6 route flush table main", "addr change fd00::1/64 dev a noprefixroute",
        "addr change fd00::1/64 dev a preferred_lft 0", "addr change fd00::2/64 dev a preferred_lft 50 valid_lft 60",
        "addr change 10.0.0.1/24 dev a preferred_lft 0", "addr change 10.0.0.2/24 dev a valid_lft 60 preferred_lft 50",
    ]

    @Test("an address keeps the route to its network, its flags and its lifetime", arguments: harm, [true, false])
    func mended(_ command: String, _ isWatched: Bool) throws {
        try Sandbox.run { host in
            var agent = try host.apply(Self.addressed)
            let before = try (connected(host), host.picture(of: ["x"]))
            #expect(before.0.count == 2)
            if isWatched { try agent.watch() }
            try host.ip(command, in: "x")
            if isWatched {
                #expect(try agent.settle { try connected(host) == before.0 && host.picture(of: ["x"]) == before.1 })
                try agent.quiesce()
            } else {
                agent = host.agent()
                try agent.apply(Self.addressed)
            }
            #expect(agent.problems == [])
            #expect(try connected(host) == before.0)
            #expect(try host.picture(of: ["x"]) == before.1)
            let flags = try host.ip("addr show dev a", in: "x")
            for word in ["noprefixroute", "deprecated", "dynamic"] { #expect(!flags.contains(word)) }
            try host.expectInPlace(Self.addressed, agent)
            try agent.apply("")
            #expect(try host.links().map(\.name) == ["lo"])
            #expect(host.namespaces == [])
        }
    }

    @Test(
        "an address keeps the route to its network beside more routes than one dump is good for",
        arguments: [true, false])
    func manyRoutes(_ isWatched: Bool) throws {
        try Sandbox.run { host in
            var agent = try host.apply(Self.addressed)
            let before = try connected(host)
            let file = "\(NSTemporaryDirectory())/routes-\(UUID().uuidString)"
            defer { try? FileManager.default.removeItem(atPath: file) }
            try (0..<17_000).map { "route add blackhole 172.20.\($0 >> 8).\($0 & 255)/32\n" }.joined()
                .write(toFile: file, atomically: true, encoding: .utf8)
            try host.ip("-batch \(file)", in: "x")
            agent = host.agent()
            try agent.apply(Self.addressed)
            #expect(agent.problems == [])
            try host.expectInPlace(Self.addressed, agent)
            if isWatched { try agent.watch() }
            try host.ip("route del 10.0.0.0/24 dev a", in: "x")
            if isWatched {
                #expect(try agent.settle { try connected(host) == before })
            } else {
                agent = host.agent()
                try agent.apply(Self.addressed)
            }
            #expect(try connected(host) == before)
        }
    }

    @Test("the route of an address that somebody else made is mended, its flags are theirs")
    func foreignAddress() throws {
        try Sandbox.run { host in
            try Self.makeUplink(host)
            try host.ip("addr add 10.0.0.9/24 dev up0 valid_lft 500 preferred_lft 400")
            try host.ip("addr add fd00::9/64 dev up0 nodad preferred_lft 0")
            try host.ip("addr add 10.1.0.9/24 dev up0 noprefixroute")
            let yaml = Self.uplink("ipAddresses: [10.0.0.9/24, 10.1.0.9/24, 'fd00::9/64']")
            let agent = try host.apply(yaml)
            try host.ip("route del 10.0.0.0/24 dev up0")
            try host.ip("-6 route del fd00::/64 dev up0")
            try agent.watch()
            #expect(try host.ip("-4 route show dev up0").contains("10.0.0.0/24 proto kernel scope link src 10.0.0.9"))
            #expect(try host.ip("-6 route show dev up0").contains("fd00::/64 proto kernel"))
            let text = try host.ip("addr show dev up0")
            #expect(text.contains("dynamic") && text.contains("deprecated") && text.contains("noprefixroute"))
            try host.expectInPlace(yaml, agent)
            try host.ip("addr del 10.0.0.9/24 dev up0")
            #expect(try agent.settle { try host.addresses("up0").contains("10.0.0.9/24") })
            #expect(try host.ip("-4 route show dev up0").split(separator: "\n").count == 1)
        }
    }

    @Test("another route to the network over the same link may stand for the one of the address")
    func standIn() throws {
        try Sandbox.run { host in
            let agent = try host.apply(Self.addressed)
            try agent.watch()
            try host.ip("route replace 10.0.0.0/24 dev a proto static scope link", in: "x")
            try agent.quiesce()
            #expect(agent.problems == [])
            try host.expectInPlace(Self.addressed, agent)
        }
    }

    @Test(
        "an address in a VRF has the route to its network in the table of the VRF",
        .enabled(if: Kernel.hasVRF, Kernel.reason))
    func vrf() throws {
        try Sandbox.run { host in
            let yaml = linux(
                "name: v, type: VRF_DEVICE, enabled: true, vrfDev: {routingTable: 77}",
                veth("a", "b", "vrfMasterInterface: v, ipAddresses: [10.0.0.1/24, 'fd00::1/64']"), veth("b", "a"))
            let agent = try host.apply(yaml)
            for command in ["route flush table 77", "-6 route flush table 77"] { try host.ip(command) }
            try host.expectRepaired(yaml, agent) {
                try host.ip("route show table 77").contains("10.0.0.0/24 dev a proto kernel")
                    && host.ip("-6 route show table 77").contains("fd00::/64 dev a proto kernel")
            }
        }
    }
}

extension Sandbox {
    fileprivate func expectRepaired(_ yaml: String, _ agent: TestAgent, _ isRepaired: () throws -> Bool) throws {
        try agent.watch()
        #expect(try agent.settle(until: isRepaired))
        try agent.quiesce()
        try expectInPlace(yaml, agent)
    }
}
