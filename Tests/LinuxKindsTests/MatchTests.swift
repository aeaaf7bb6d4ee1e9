import Testing

@testable import LinuxKinds

@Suite("existing interfaces by what they are", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct MatchTests {
    /// A device that stands for a physical one: it has a driver and a bus address, and lives on when others of its kind go.
    private func addDevice(_ host: Sandbox, _ name: String = "eth0", _ last: Int = 1, in namespace: String? = nil)
        throws
    {
        try host.ip("tuntap add \(name) mode tap", in: namespace)
        try host.ip("link set \(name) address 02:00:00:00:00:0\(last) up", in: namespace)
    }

    private func interface(_ match: String, _ more: String = "", in namespace: String? = nil) -> String {
        "name: a long logical name, type: EXISTING, enabled: true, match: {\(match)}"
            + (more.isEmpty ? "" : ", \(more)") + place(namespace)
    }

    private let key = "a long logical name"

    @Test(
        "it is found by any of its features, in any namespace",
        arguments: [
            "mac: '02:00:00:00:00:01'", "driver: tun", "path: 't?p'", "altname: uplink",
            "mac: '02:00:00:00:00:01', driver: tun, path: tap, altname: uplink",
        ], [nil, "x"] as [String?])
    func found(_ match: String, _ namespace: String?) throws {
        try Sandbox.run { host in
            if let namespace { try host.addNamespaces(namespace) }
            let yaml = linux(interface(match, "ipAddresses: [10.0.0.1/24], mtu: 1400", in: namespace))
            let agent = host.agent()
            try agent.apply(yaml)
            #expect(agent.interface(key)?.state == .pending)
            try agent.watch()
            try addDevice(host, in: namespace)
            try host.ip("link property add dev eth0 altname uplink", in: namespace)
            #expect(try agent.settle { agent.problems == [] })
            #expect(try host.addresses("eth0", in: namespace) == ["10.0.0.1/24"])
            #expect(try host.link("eth0", in: namespace)?.alias == "" && host.link("eth0", in: namespace)?.mtu == 1400)
            try host.expectInPlace(yaml, agent)
            // Its name is of no interest.
            try host.ip("link set eth0 down", in: namespace)
            try host.ip("link set eth0 name eth5", in: namespace)
            #expect(try agent.settle { try host.link("eth5", in: namespace)?.isUp == true && agent.problems == [] })
            try agent.quiesce()
            try host.expectInPlace(yaml, agent)
            try agent.apply("")
            #expect(try host.addresses("eth5", in: namespace) == [])
        }
    }

    @Test("what fits several is none of them, and says which")
    func several() throws {
        try Sandbox.run { host in
            try addDevice(host)
            let yaml = linux(interface("driver: tun", "ipAddresses: [10.0.0.1/24]"))
            let agent = try host.apply(yaml)
            try agent.watch()
            try addDevice(host, "eth1", 2)
            #expect(try agent.settle { agent.interface(key)?.state == .pending })
            #expect(
                agent.interface(key)?.details == ["host-interface-exists: several with driver tun: eth0, eth1"])
            try host.ip("link del eth0")
            #expect(try agent.settle { try agent.problems == [] && host.addresses("eth1") == ["10.0.0.1/24"] })
            // Links of ours are none of them.
            try agent.apply(linux(interface("driver: tun"), "name: t, type: TAP, enabled: true"))
            #expect(agent.problems == [])
        }
    }

    @Test("links that are none of them cost next to nothing, however many interfaces and links there are")
    func many() throws {
        try Sandbox.run { host in
            let features = [
                "mac: '02:00:00:00:01:", "driver: 'none", "path: 'none-", "path: 'no?e-", "altname: 'none-",
            ]
            let interfaces = (10..<60).map { number in
                let match = features[number % features.count] + "\(number)'"
                return "name: i\(number), type: EXISTING, enabled: true, match: {\(match)}"
            }
            let agent = host.agent()
            try agent.apply(Config(interfaces: interfaces + [interface("mac: '02:00:00:00:00:01'")]).text)
            #expect((10..<60).allSatisfy { agent.interface("i\($0)")?.state == .pending })
            try agent.watch()
            let before = agent.world.matchComparisons
            let links = 100
            for number in 0..<links { try host.ip("link add v\(number) type veth peer name w\(number)") }
            #expect(try agent.settle { agent.world.link(named: "w\(links - 1)", in: .own) != nil })
            try agent.quiesce()
            let spent = agent.world.matchComparisons - before
            #expect(spent <= 2 * links, "\(spent) comparisons")
            // One that is meant is found by the report that makes it so.
            try addDevice(host)
            #expect(try agent.settle { agent.interface(key)?.state == .configured })
            try host.ip("link set v7 up")
            try host.ip("link property add dev v7 altname none-14")
            #expect(try agent.settle { agent.interface("i14")?.state == .configured })
            #expect(try host.link("v7")?.isUp == true)
        }
    }

    @Test("a name that becomes free is noticed by the interface that waits for it")
    func freed() throws {
        try Sandbox.run { host in
            try addDevice(host)
            try host.addNamespaces("x")
            try host.ip("link add eth0 type veth peer name eth1", in: "x")
            let agent = host.agent()
            try agent.apply(linux(interface("driver: tun", in: "x")))
            #expect(agent.interface(key)?.error.contains("a link named eth0 is there already in x") == true)
            try agent.watch()
            try host.ip("link set eth0 name eth7", in: "x")
            let keys = try agent.quiesce()
            #expect(keys.contains("config/linux/interfaces/v2/interface/\(key)"), "\(keys)")
            // It is tried again when a failure is.
            agent.reconciler.forgetFailures()
            agent.reconciler.reconcile(reason: .retry)
            #expect(try agent.problems == [] && host.link("eth0", in: "x")?.mac == "02:00:00:00:00:01")
        }
    }

    @Test("it may get another MAC address than the one it is known by")
    func otherMAC() throws {
        try Sandbox.run { host in
            try addDevice(host)
            let yaml = linux(interface("mac: '02:00:00:00:00:01'", "physAddress: '02:00:00:00:00:09'"))
            let agent = try host.apply(yaml)
            #expect(try host.link("eth0")?.mac == "02:00:00:00:00:09")
            try host.expectInPlace(yaml, agent)
        }
    }

    @Test("it is moved, and given back as it was", arguments: [nil, "p0"] as [String?])
    func moved(_ name: String?) throws {
        try Sandbox.run { host in
            try addDevice(host)
            try host.ip("link set eth0 alias theirs")
            try host.ip("addr add 192.0.2.1/24 dev eth0")
            try host.ip("route add 198.51.100.0/24 via 192.0.2.254 dev eth0 proto dhcp")
            try host.command("tc qdisc replace dev eth0 root handle 1: tbf rate 1mbit burst 32kb latency 50ms")
            let more = name.map { "hostIfName: \($0), " } ?? ""
            let yaml = linux(
                interface("mac: '02:00:00:00:00:01'", more + "ipAddresses: [10.0.0.1/24]", in: "x"),
                routes: ["outgoingInterface: 'a long logical name', dstNetwork: 10.5.0.0/16, gwAddr: 10.0.0.2"])
            let agent = host.agent()
            let planner = host.agent()
            try planner.declare(yaml)
            try planner.world.readAll()
            let plan = planner.reconciler.plan()
            #expect(
                plan.losses == [
                    "eth0 loses 192.0.2.1/24, the route 198.51.100.0/24 via 192.0.2.254 proto dhcp and the qdisc tbf, as it moves to namespace x"
                ])
            try agent.apply(yaml)
            #expect(agent.problems == [])
            let moved = try #require(try host.link(name ?? "eth0", in: "x"))
            #expect(moved.alias.hasPrefix("/vnf-agent-lent/\(host.label)/a long logical name\t"))
            #expect(moved.alias.hasSuffix(":eth0:up\ttheirs") && moved.isUp)
            #expect(try host.link("eth0") == nil)
            #expect(try host.routes(in: "x") == ["10.5.0.0/16 via 10.0.0.2 dev \(name ?? "eth0")"])
            try host.expectInPlace(yaml, agent)
            #expect(try host.link(name ?? "eth0", in: "x")?.index == moved.index)
            // Somebody takes it out of there.
            try agent.watch()
            try host.ip("link set \(moved.name) netns \(host.file(nil))", in: "x")
            #expect(try agent.settle { try agent.problems == [] && host.routes(in: "x").count == 1 })
            try agent.quiesce()
            try host.expectInPlace(yaml, agent)
            // Or its mark.
            try host.ip("link set \(moved.name) alias somebody's", in: "x")
            #expect(try agent.settle { try host.link(moved.name, in: "x")?.alias == moved.alias })
            // A new agent that has nothing to do with it.
            try host.agent(label: host.label + "-2").apply("")
            #expect(try host.link(name ?? "eth0", in: "x") != nil)
            // Its own successor gives it back, and the namespace goes that was made for it.
            let last = host.agent()
            try last.apply("")
            let back = try #require(try host.link("eth0"))
            #expect((back.alias, back.isUp, back.mac) == ("theirs", true, "02:00:00:00:00:01"))
            #expect(host.namespaces == [])
            try host.expectInPlace("", last)
        }
    }

    @Test("one that is withdrawn alone is given back at once, and one that goes elsewhere goes by way of its home")
    func withdrawn() throws {
        try Sandbox.run { host in
            try addDevice(host)
            try host.addNamespaces("x", "z")
            func yaml(_ namespace: String) -> String { linux(interface("driver: tun", in: namespace)) }
            let agent = host.agent()
            try agent.change(to: yaml("x"))
            #expect(try agent.problems == [] && host.link("eth0", in: "x")?.isUp == true)
            try agent.change(to: yaml("z"))
            #expect(try agent.problems == [] && host.link("eth0", in: "z")?.isUp == true)
            try host.expectInPlace(yaml("z"), agent)
            try agent.change(to: "")
            #expect(try host.link("eth0")?.alias == "" && host.namespaces == ["x", "z"])
            try host.expectInPlace("", agent)
        }
    }

    @Test("a name that is taken is in the way of neither move")
    func taken() throws {
        try Sandbox.run { host in
            try addDevice(host)
            try host.addNamespaces("x")
            try host.ip("link add eth0 type veth peer name eth1", in: "x")
            let agent = host.agent()
            try agent.apply(linux(interface("driver: tun", in: "x")))
            #expect(agent.interface(key)?.error.contains("a link named eth0 is there already in x") == true)
            #expect(try host.link("eth0")?.isUp == true)
            try agent.apply(linux(interface("driver: tun", "hostIfName: p0", in: "x")))
            #expect(agent.problems == [])
            // Meanwhile somebody has its name at home.
            try host.ip("link add eth0 type veth peer name eth1")
            try agent.apply("")
            #expect(try host.link("p0")?.mac == "02:00:00:00:00:01" && host.link("p0")?.alias == "")
        }
    }

    @Test(
        "what the kernel brings home, as its namespace went, is moved again, or gets its name back",
        arguments: [true, false])
    func fallback(_ isDeclared: Bool) throws {
        try Sandbox.run { host in
            try addDevice(host)
            try host.addNamespaces("x")
            let yaml = linux(interface("mac: '02:00:00:00:00:01'", "hostIfName: p0", in: "x"))
            try host.apply(yaml)
            // As the kernel does with a physical one: it keeps its name and its alias.
            try host.ip("link set p0 netns \(host.file(nil))", in: "x")
            let agent = host.agent()
            try agent.apply(isDeclared ? yaml : "")
            #expect(agent.problems == [])
            if isDeclared {
                #expect(try host.link("p0", in: "x")?.alias.hasSuffix(":eth0:up") == true)
                try agent.apply("")
            }
            #expect(try host.link("eth0")?.alias == "" && host.link("p0") == nil)
            try host.expectInPlace("", agent)
        }
    }

    @Test("other devices can be moved, too, and what is built on one stays where it is")
    func others() throws {
        try Sandbox.run { host in
            try host.ip("link add v0 type veth peer name v1")
            try host.ip("link add mv0 link v0 type macvlan mode bridge")
            try host.ip("link set v1 up")
            for (match, name) in [("altname: far", "v0"), ("driver: macvlan", "mv0")] {
                try host.ip("link property add dev \(name) altname \(name == "v0" ? "far" : "upper")")
                let yaml = linux(interface(match, in: "x"))
                let agent = try host.apply(yaml)
                #expect(try host.link(name, in: "x")?.isUp == true)
                #expect(try host.links().count == 3)
                try agent.apply("")
                #expect(try host.links().count == 4 && host.namespaces == [])
            }
        }
    }

    @Test("a change that is undone leaves it where it was, with what others had on it")
    func undone() throws {
        try Sandbox.run { host in
            let bad = "name: all, type: TAP, enabled: true"
            try addDevice(host)
            try host.addNamespaces("x")
            try host.ip("addr add 192.0.2.1/24 dev eth0")
            try host.ip("route add 198.51.100.0/24 via 192.0.2.254 dev eth0 proto dhcp")
            try host.command("sysctl -qw net.ipv4.conf.eth0.rp_filter=2")
            func picture() throws -> [String] {
                try host.picture(of: ["x"]) + [host.sysctl("net/ipv4/conf/eth0/rp_filter")]
            }
            let before = try picture()
            let yaml = interface("driver: tun", "hostIfName: p0, ipAddresses: [10.0.0.1/24], mtu: 1400", in: "x")
            let agent = host.agent()
            let transaction = try agent.apply(linux(yaml, bad), revertOnFailure: true)
            #expect(transaction?.reverted == true && transaction?.revertErrors == [])
            #expect(try picture() == before)
            try agent.apply(linux(yaml))
            #expect(agent.problems == [])
            let moved = try host.picture(of: ["x"])
            let second = try agent.apply(linux(bad), revertOnFailure: true)
            #expect(second?.reverted == true && second?.revertErrors == [])
            #expect(try host.picture(of: ["x"]) == moved)
            try host.expectInPlace(linux(yaml))
        }
    }
}
