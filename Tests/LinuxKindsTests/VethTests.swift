import Testing

@Suite("veth", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct VethTests {
    @Test(
        "a pair between any two places",
        arguments: [(nil, nil), (nil, "a"), ("a", nil), ("a", "a"), ("a", "b")] as [(String?, String?)])
    func placement(_ left: String?, _ right: String?) throws {
        try Sandbox.run { host in
            let common = "mtu: 1450, physAddress: \"02:00:00:00:00:0"
            try host.apply(
                linux(
                    veth("left", "right", in: left, host: "l0", common + "1\", ipAddresses: [10.0.0.1/30]"),
                    veth(
                        "right", "left", in: right, host: "r0",
                        common + "2\", ipAddresses: [10.0.0.2/30, \"fd00::2/64\"]")))
            let l0 = try #require(try host.link("l0", in: left))
            let r0 = try #require(try host.link("r0", in: right))
            #expect(l0.isUp && r0.isUp)
            #expect([l0.mac, r0.mac] == ["02:00:00:00:00:01", "02:00:00:00:00:02"])
            #expect([l0.mtu, r0.mtu] == [1450, 1450])
            #expect(l0.alias == "/vnf-agent/\(host.label)/left/right")
            #expect(r0.alias == "/vnf-agent/\(host.label)/right/left")
            #expect(try host.addresses("l0", in: left) == ["10.0.0.1/30"])
            #expect(try host.addresses("r0", in: right) == ["10.0.0.2/30", "fd00::2/64"])
            try host.agent().apply("")
            #expect(host.namespaces == [])
            #expect(try host.links().map(\.name) == ["lo"])
        }
    }

    @Test("peers change places: two pairs become two others")
    func swappedPeers() throws {
        try Sandbox.run { host in
            let agent = try host.apply(
                linux(veth("a", "b", in: "x"), veth("b", "a"), veth("c", "d", in: "x"), veth("d", "c")))
            let yaml = linux(veth("a", "d", in: "x"), veth("d", "a"), veth("c", "b", in: "x"), veth("b", "c"))
            try agent.apply(yaml)
            #expect(agent.problems == [])
            #expect(try host.link("a", in: "x")?.alias.hasSuffix("/a/d") == true)
            #expect(try host.link("b")?.alias.hasSuffix("/b/c") == true)
            try host.expectInPlace(yaml, agent)
        }
    }

    @Test("half a pair moves to another namespace")
    func move() throws {
        try Sandbox.run { host in
            let agent = try host.apply(linux(veth("a", "b", in: "x", "ipAddresses: [10.0.0.1/24]"), veth("b", "a")))
            let yaml = linux(veth("a", "b", in: "y", "ipAddresses: [10.0.0.1/24]"), veth("b", "a"))
            try agent.apply(yaml)
            #expect(agent.problems == [])
            #expect(host.namespaces == ["y"])
            #expect(try host.addresses("a", in: "y") == ["10.0.0.1/24"])
            try host.expectInPlace(yaml, agent)
        }
    }

    @Test("a new host name keeps the link, its addresses and its routes")
    func rename() throws {
        try Sandbox.run { host in
            let more = "ipAddresses: [10.0.0.1/24, \"fd00::1/64\"]"
            let routes = [
                "outgoingInterface: a, dstNetwork: 10.9.0.0/16, gwAddr: 10.0.0.2",
                "outgoingInterface: a, dstNetwork: 'fd99::/64', gwAddr: 'fd00::2'",
            ]
            let agent = try host.apply(
                linux(veth("a", "b", in: "x", host: "old", more), veth("b", "a"), routes: routes))
            let before = try #require(try host.link("old", in: "x"))
            let yaml = linux(veth("a", "b", in: "x", host: "new", more), veth("b", "a"), routes: routes)
            try agent.apply(yaml)
            #expect(agent.problems == [])
            let after = try #require(try host.link("new", in: "x"))
            #expect(after.index == before.index)
            #expect(try host.addresses("new", in: "x") == ["10.0.0.1/24", "fd00::1/64"])
            #expect(try host.routes(in: "x") == ["10.9.0.0/16 via 10.0.0.2 dev new"])
            #expect(try host.routes(in: "x", v6: true) == ["fd99::/64 via fd00::2 dev new metric 1024"])
            try host.expectInPlace(yaml, agent)
        }
    }

    @Test("two links of a namespace change names with each other")
    func swappedNames() throws {
        try Sandbox.run { host in
            let agent = try host.apply(
                linux(
                    veth("a", "b", in: "x", host: "one"), veth("b", "a"), veth("c", "d", in: "x", host: "two"),
                    veth("d", "c")))
            let indexes = try ["one", "two"].map { try host.link($0, in: "x")?.index }
            let yaml = linux(
                veth("a", "b", in: "x", host: "two"), veth("b", "a"), veth("c", "d", in: "x", host: "one"),
                veth("d", "c"))
            try agent.apply(yaml)
            #expect(agent.problems == [])
            #expect(try ["two", "one"].map { try host.link($0, in: "x")?.index } == indexes)
            try host.expectInPlace(yaml, agent)
        }
    }

    @Test("names move up in a chain", arguments: [["a", "c", "e"], ["e", "c", "a"]])
    func chainOfNames(_ order: [String]) throws {
        try Sandbox.run { host in
            func yaml(_ names: [String: String]) -> String {
                Config(
                    interfaces: order.flatMap { [veth($0, "\($0)p", in: "x", host: names[$0]), veth("\($0)p", $0)] }
                ).text
            }
            let agent = try host.apply(yaml(["a": "n1", "c": "n2", "e": "n3"]))
            let last = yaml(["a": "n2", "c": "n3", "e": "n4"])
            try agent.apply(last)
            #expect(agent.problems == [])
            try host.expectInPlace(last, agent)
        }
    }

    @Test("without one half the other waits; with it the pair comes back")
    func halfRemoved() throws {
        try Sandbox.run { host in
            let agent = try host.apply(linux(veth("a", "b", in: "x"), veth("b", "a")))
            try agent.apply(linux(veth("a", "b", in: "x")), tolerant: true)
            #expect(agent.interface("a")?.state == .pending)
            #expect(agent.interface("a")?.details.first?.contains("veth-peer-exists") == true)
            #expect(try host.link("a", in: "x") == nil)
            #expect(try host.link("b") == nil)
            let yaml = linux(veth("b", "a"), veth("a", "b", in: "x"))
            try agent.apply(yaml)
            try host.expectInPlace(yaml, agent)
        }
    }

    @Test("a name that a foreign link has is left to it, with a text that says so")
    func conflict() throws {
        try Sandbox.run { host in
            try host.addNamespaces("x")
            try host.ip("link add taken type bridge", in: "x")
            let agent = host.agent()
            try agent.apply(linux(veth("a", "b", in: "x", host: "taken"), veth("b", "a")))
            #expect(agent.interface("a")?.state == .failed)
            #expect(
                agent.interface("a")?.error.contains("a link named taken is there already in x and is not ours") == true
            )
            #expect(try host.link("b") == nil)
            #expect(try host.link("taken", in: "x")?.kind == "bridge")
            try host.ip("link del taken", in: "x")
            try host.apply(linux(veth("a", "b", in: "x", host: "taken"), veth("b", "a")))
        }
    }

    @Test("a link of ours that is to go makes room for its name")
    func nameOfLeftover() throws {
        try Sandbox.run { host in
            let agent = try host.apply(linux(veth("a", "b", in: "x", host: "eth0"), veth("b", "a", host: "e1")))
            let yaml = linux(veth("c", "d", in: "x", host: "eth0"), veth("d", "c", host: "e1"))
            try agent.apply(yaml)
            #expect(agent.problems == [])
            #expect(try host.link("eth0", in: "x")?.alias.hasSuffix("/c/d") == true)
            try host.expectInPlace(yaml, agent)
        }
    }

    @Test("MTU, MAC and admin state change in place")
    func inPlace() throws {
        try Sandbox.run { host in
            let addresses = "ipAddresses: [10.0.0.1/24, \"fd00::1/64\"]"
            let agent = try host.apply(linux(veth("a", "b", in: "x", addresses), veth("b", "a")))
            let index = try #require(try host.link("a", in: "x")).index
            let changed = linux(
                veth("a", "b", in: "x", addresses + ", mtu: 1400, physAddress: '02:00:00:00:00:77'"), veth("b", "a"))
            try agent.apply(changed)
            try host.expectInPlace(changed, agent)
            var link = try #require(try host.link("a", in: "x"))
            #expect((link.mtu, link.mac, link.isUp) == (1400, "02:00:00:00:00:77", true))
            let down = changed.replacing("name: a, type: VETH, enabled: true", with: "name: a, type: VETH")
            try agent.apply(down)
            try host.expectInPlace(down, agent)
            link = try #require(try host.link("a", in: "x"))
            #expect(!link.isUp && link.index == index)
            #expect(try host.addresses("a", in: "x") == ["10.0.0.1/24", "fd00::1/64"])
            // Without them the defaults come back; a MAC stays as it is.
            let plain = linux(veth("a", "b", in: "x", addresses), veth("b", "a"))
            try agent.apply(plain)
            try host.expectInPlace(plain, agent)
            link = try #require(try host.link("a", in: "x"))
            #expect((link.mtu, link.isUp, link.index) == (1500, true, index))
        }
    }

    @Test("an MTU below what IPv6 needs takes its addresses, and a larger one brings them back")
    func smallMTU() throws {
        try Sandbox.run { host in
            func yaml(_ mtu: Int, _ addresses: String) -> String {
                linux(veth("a", "b", in: "x", "mtu: \(mtu), ipAddresses: [\(addresses)]"), veth("b", "a"))
            }
            let agent = try host.apply(yaml(1500, "10.0.0.1/24, 'fd00::1/64'"))
            let small = yaml(1000, "10.0.0.1/24")
            try agent.apply(small)
            try host.expectInPlace(small, agent)
            let large = yaml(1500, "10.0.0.1/24, 'fd00::1/64'")
            try agent.apply(large)
            try host.expectInPlace(large, agent)
            #expect(try host.addresses("a", in: "x") == ["10.0.0.1/24", "fd00::1/64"])
        }
    }

    @Test("checksum offloads are set and go back to the default")
    func offload() throws {
        try Sandbox.run { host in
            func yaml(_ word: String) -> String {
                linux(
                    "name: a, type: VETH, enabled: true, veth: {peerIfName: b, rxChecksumOffloading: \(word), txChecksumOffloading: \(word)}"
                        + place("x"), veth("b", "a"))
            }
            let agent = try host.apply(yaml("CHKSM_OFFLOAD_DISABLED"))
            let index = try host.link("a", in: "x")?.index
            try agent.apply(yaml("CHKSM_OFFLOAD_ENABLED"))
            try host.expectInPlace(yaml("CHKSM_OFFLOAD_ENABLED"), agent)
            try agent.apply(yaml("CHKSM_OFFLOAD_DISABLED"))
            try host.expectInPlace(yaml("CHKSM_OFFLOAD_DISABLED"), agent)
            #expect(try host.agent().plan(yaml("CHKSM_OFFLOAD_DEFAULT")).count == 1)
            try agent.apply(yaml("CHKSM_OFFLOAD_DEFAULT"))
            try host.expectInPlace(yaml("CHKSM_OFFLOAD_DEFAULT"), agent)
            #expect(try host.agent().plan(yaml("CHKSM_OFFLOAD_ENABLED")) == [])
            #expect(try host.link("a", in: "x")?.index == index)
        }
    }
}
