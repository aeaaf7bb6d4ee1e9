import Foundation
import Netlink
import Testing

@testable import LinuxKinds

@Suite("nexthop objects", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct NextHopTests {
    private static let pair = [
        veth("p", "q", "ipAddresses: [192.0.2.1/24, 'fd00::1/64']"), veth("q", "p", in: "y"),
    ]
    private static let ways = [
        "name: left, outgoingInterface: p, gwAddr: 192.0.2.8", "name: right, outgoingInterface: p, gwAddr: 192.0.2.9",
    ]

    private func yaml(_ group: String, routes: [String] = ["dstNetwork: 10.1.0.0/16, nexthop: both"]) -> String {
        Config(
            interfaces: Self.pair, routes: routes,
            nexthops: Self.ways + ["name: both, group: [\(group)]"]
        ).text
    }

    private func shown(_ host: Sandbox) throws -> [String] {
        try host.command("ip route show 10.1.0.0/16").split(separator: "\n").map {
            $0.replacing(#/nhid \d+/#, with: "nhid").trimmingCharacters(in: .whitespaces)
        }
    }

    @Test("weights of a group change in one request, and no route is touched")
    func weights() throws {
        try Sandbox.run { host in
            let routes = (0..<50).map { "dstNetwork: 10.1.\($0).0/24, nexthop: both" }
            let agent = host.agent()
            try agent.change(to: yaml("{nexthop: left, weight: 3}, {nexthop: right}", routes: routes))
            #expect(agent.problems == [])
            #expect(
                try host.command("ip route show 10.1.7.0/24").contains("nexthop via 192.0.2.8 dev p weight 3"))
            let events = try EventSocket(in: nil, groups: .routes)
            let before = agent.world.modifyingRequests
            let wanted = yaml("{nexthop: left, weight: 1}, {nexthop: right, weight: 7}", routes: routes)
            try agent.change(to: wanted)
            #expect(agent.problems == [])
            #expect(agent.world.modifyingRequests == before + 1)
            #expect(
                try host.command("ip route show 10.1.7.0/24").contains("nexthop via 192.0.2.9 dev p weight 7"))
            var removed: [Report] = []
            _ = events.drain { report in
                if case .routeRemoved = report { removed.append(report) }
            }
            #expect(removed.isEmpty)
            try host.expectInPlace(wanted, agent)
        }
    }

    @Test("another router takes one request as well; the number stays from one start to the next")
    func router() throws {
        try Sandbox.run { host in
            func yaml(_ router: String, more: String = "") -> String {
                Config(
                    interfaces: Self.pair, routes: ["dstNetwork: 10.1.0.0/16, nexthop: up"],
                    nexthops: ["name: up, outgoingInterface: p, gwAddr: \(router)\(more)"]
                ).text
            }
            let agent = host.agent()
            try agent.change(to: yaml("192.0.2.8"))
            #expect(try shown(host) == ["10.1.0.0/16 nhid via 192.0.2.8 dev p proto \(agent.world.ownership.proto)"])
            let before = agent.world.modifyingRequests
            try agent.change(to: yaml("192.0.2.9"))
            #expect(agent.world.modifyingRequests == before + 1)
            #expect(try shown(host)[0].contains("via 192.0.2.9"))
            try host.expectInPlace(yaml("192.0.2.9"))
            // The IPv6 router of an IPv4 route is another family: the object is made anew, and the route with it.
            try agent.change(to: yaml("'fd00::9'"))
            #expect(agent.problems == [])
            #expect(try shown(host)[0].contains("via inet6 fd00::9"))
            // Another number is another object.
            try agent.change(to: yaml("192.0.2.8", more: ", id: 77"))
            #expect(agent.problems == [])
            #expect(try host.command("ip nexthop").hasPrefix("id 77 via 192.0.2.8"))
            #expect(try host.command("ip nexthop").split(separator: "\n").count == 1)
            try host.expectInPlace(yaml("192.0.2.8", more: ", id: 77"), agent)
        }
    }

    @Test("what goes with a carrier comes back with it")
    func carrier() throws {
        try Sandbox.run { host in
            let agent = try host.apply(yaml("{nexthop: left}, {nexthop: right}"))
            #expect(agent.problems == [])
            let before = try shown(host)
            // The agent keeps its own ends up: the other end is somebody else's here.
            try host.command("ip link add up0 type veth peer name far0")
            try host.command("ip link set far0 up")
            let wanted = Config(
                interfaces: ["name: up0, type: EXISTING, enabled: true, ipAddresses: [198.51.100.1/24]"],
                routes: ["dstNetwork: 10.1.0.0/16, nexthop: up"],
                nexthops: ["name: up, outgoingInterface: up0, gwAddr: 198.51.100.2"]
            ).text
            try agent.apply(wanted)
            #expect(agent.problems == [])
            #expect(try shown(host) != before)
            try agent.watch()
            try host.command("ip link set far0 down")
            #expect(try agent.settle { agent.problems.count == 2 })
            #expect(agent.problems.contains { $0.contains("carrier") }, "\(agent.problems)")
            #expect(try shown(host) == [])
            try host.command("ip link set far0 up")
            #expect(try agent.settle { agent.problems == [] })
            #expect(try shown(host).count == 1)
        }
    }

    @Test("groups and routes wait for what they name; two of one number are told")
    func names() throws {
        try Sandbox.run { host in
            let agent = host.agent()
            try agent.apply(yaml("{nexthop: left}, {nexthop: nobody}"), tolerant: true)
            #expect(agent.problems.count == 2)
            #expect(agent.problems.allSatisfy { $0.contains("PENDING") }, "\(agent.problems)")
            try agent.apply(
                Config(
                    interfaces: Self.pair,
                    nexthops: [
                        "name: a, id: 5, outgoingInterface: p, gwAddr: 192.0.2.8", "name: b, id: 5, blackhole: true",
                    ]
                ).text, tolerant: true)
            #expect(
                agent.problems == [
                    "config/nsmagent/linux/v1/nexthop/b FAILED the nexthop a has the same number 5: give one of them another id"
                ])
        }
    }

    @Test("the one that has a number keeps it, whoever comes first by name")
    func running() throws {
        try Sandbox.run { host in
            let late = "name: z, id: 5, outgoingInterface: p, gwAddr: 192.0.2.8"
            func yaml(_ hops: String...) -> String { Config(interfaces: Self.pair, nexthops: hops).text }
            let agent = try host.apply(yaml(late))
            let both = yaml("name: a, id: 5, blackhole: true", late)
            for _ in 0..<2 {
                try agent.apply(both, tolerant: true)
                #expect(agent.problems.count == 1 && agent.problems[0].contains("the nexthop z has the same number"))
                #expect(try host.command("ip nexthop").hasPrefix("id 5 via 192.0.2.8"))
            }
            // A new agent sees whose it is by what it is like.
            let other = host.agent()
            try other.apply(both, tolerant: true)
            #expect(other.problems.count == 1 && other.problems[0].contains("/a "), "\(other.problems)")
            // Once the number is free the next try takes it.
            let alone = yaml("name: a, id: 5, blackhole: true")
            try agent.change(to: alone)
            try host.apply(alone)
            #expect(try host.command("ip nexthop").hasPrefix("id 5 blackhole"))
        }
    }

    @Test(
        "two routes for one place by different nexthops: one is refused, and nothing moves to and fro",
        arguments: ["dstNetwork: 10.1.0.0/16, nexthop: right", "dstNetwork: 10.1.0.0/16, outgoingInterface: p"])
    func samePlace(_ second: String) throws {
        try Sandbox.run { host in
            let yaml = Config(
                interfaces: Self.pair, routes: ["dstNetwork: 10.1.0.0/16, nexthop: left", second], nexthops: Self.ways
            ).text
            let agent = host.agent()
            try agent.apply(yaml, tolerant: true)
            #expect(agent.problems.count == 1 && agent.problems[0].contains("has the same table and metric"))
            let before = agent.world.modifyingRequests
            try agent.apply(yaml, tolerant: true)
            #expect(agent.world.modifyingRequests == before)
        }
    }

    @Test("a route moves from one nexthop to another in one request, and to one of another number")
    func moves() throws {
        try Sandbox.run { host in
            func yaml(_ id: Int, _ nexthop: String = "a") -> String {
                Config(
                    interfaces: Self.pair, routes: ["dstNetwork: 10.1.0.0/16, nexthop: \(nexthop)"],
                    nexthops: [
                        "name: a, id: \(id), outgoingInterface: p, gwAddr: 192.0.2.8",
                        "name: b, outgoingInterface: p, gwAddr: 192.0.2.9",
                    ]
                ).text
            }
            let agent = try host.apply(yaml(5))
            for wanted in [yaml(6), yaml(6, "b"), yaml(7)] {
                try agent.change(to: wanted)
                #expect(agent.problems == [])
                #expect(try shown(host).count == 1)
                try host.expectInPlace(wanted, agent)
            }
        }
    }

    @Test("routes and groups of others outlive an object that is made anew; what goes for good is told")
    func bystanders() throws {
        try Sandbox.run { host in
            func yaml(_ hops: String...) -> String { Config(interfaces: Self.pair, nexthops: Self.ways + hops).text }
            let single = yaml("name: up, id: 77, outgoingInterface: p, gwAddr: 192.0.2.7")
            let agent = try host.apply(single)
            try host.command("ip route add 10.7.0.0/16 nhid 77 proto zebra metric 5")
            let left = try host.command("ip nexthop").matches(of: #/id (\d+) via 192.0.2.8/#)[0].output.1
            try host.command("ip nexthop add id 900 group \(left),4 proto zebra")
            try host.command("ip route add 10.8.0.0/16 nhid 900 proto zebra")
            // One becomes a group of two.
            let group = yaml("name: up, id: 77, group: [{nexthop: left}, {nexthop: right}]")
            #expect(try agent.change(to: group)?.losses == [])
            #expect(agent.problems == [])
            #expect(try host.command("ip route show 10.7.0.0/16").contains("nhid 77 proto zebra metric 5"))
            // A member of somebody's group is made anew, of the other family.
            let anew = single.replacing("192.0.2.8", with: "'fd00::8'")
            try agent.change(to: anew)
            #expect(agent.problems == [])
            #expect(try host.command("ip nexthop show id 900").contains("group \(left)"))
            #expect(try host.command("ip route show 10.8.0.0/16").contains("nhid 900"))
            let route = try host.command("ip route show 10.7.0.0/16")
            #expect(route.contains("nhid 77 via 192.0.2.7") && route.contains("proto zebra metric 5"), "\(route)")
            let losses = try agent.change(to: Config(interfaces: Self.pair).text)?.losses ?? []
            #expect(
                losses.contains("nexthop 77 goes, and the route 10.7.0.0/16 via 192.0.2.7 proto zebra with it"),
                "\(losses)")
            #expect(losses.contains("the nexthop group 900 of others loses \(left)"), "\(losses)")
        }
    }

    @Test("what somebody made of ours while no agent ran is put right; a number that people choose is theirs")
    func restart() throws {
        try Sandbox.run { host in
            let wanted = Config(interfaces: Self.pair, nexthops: Self.ways).text
            try host.apply(wanted)
            let left = try host.command("ip nexthop").matches(of: #/id (\d+) via 192.0.2.8/#)[0].output.1
            try host.command("ip nexthop replace id \(left) via 192.0.2.3 dev p")
            try host.apply(wanted)
            #expect(try host.command("ip nexthop show id \(left)").contains("via 192.0.2.8"))
            try host.command("ip nexthop add id 5 via 192.0.2.3 dev p")
            let chosen = Config(
                interfaces: Self.pair, nexthops: Self.ways + ["name: x, id: 5, outgoingInterface: p, gwAddr: 192.0.2.7"]
            ).text
            let agent = host.agent()
            for _ in 0..<2 {
                try agent.apply(chosen)
                #expect(agent.problems.count == 1 && agent.problems[0].contains("there and is not ours"))
                #expect(try host.command("ip nexthop show id 5").contains("via 192.0.2.3"))
            }
            try host.command("ip nexthop del id 5")
            try host.apply(chosen)
        }
    }

    @Test("objects of others, and what routes of others use, stay")
    func strangers() throws {
        try Sandbox.run { host in
            let base = Config(interfaces: Self.pair).text
            let agent = try host.apply(base)
            try host.command("ip nexthop add id 5 via 192.0.2.7 dev p")
            try host.command("ip route add 10.7.0.0/16 nhid 5")
            try agent.apply(yaml("{nexthop: left}, {nexthop: right}"))
            #expect(agent.problems == [])
            // What somebody makes of ours is put right, also without our mark.
            try agent.watch()
            for id in try host.command("ip nexthop").matches(of: #/id (\d+) via 192.0.2.8/#).map(\.output.1) {
                try host.command("ip nexthop replace id \(id) via 192.0.2.3 dev p")
            }
            #expect(try host.command("ip nexthop").contains("via 192.0.2.3"))
            #expect(try agent.settle { try !host.command("ip nexthop").contains("via 192.0.2.3") })
            #expect(agent.problems == [])
            try agent.apply(base)
            #expect(try host.command("ip nexthop").hasPrefix("id 5 via 192.0.2.7"))
            #expect(try host.command("ip nexthop").split(separator: "\n").count == 1)
            #expect(try host.command("ip route show 10.7.0.0/16").contains("nhid 5"))
            // Its number is taken.
            try agent.apply(
                Config(interfaces: Self.pair, nexthops: ["name: x, id: 5, outgoingInterface: p, gwAddr: 192.0.2.8"])
                    .text)
            #expect(
                agent.problems.count == 1
                    && agent.problems[0].contains("a nexthop of that number (5) is there and is not ours"),
                "\(agent.problems)")
            #expect(try host.command("ip nexthop").hasPrefix("id 5 via 192.0.2.7"))
        }
    }
}
