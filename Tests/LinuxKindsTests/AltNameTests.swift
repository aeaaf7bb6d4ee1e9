import Testing

@Suite("alternative names and aliases", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct AltNameTests {
    private let bad = "name: all, type: TAP, enabled: true"

    @Test("a text for people stands behind our mark")
    func alias() throws {
        try Sandbox.run { host in
            let mark = "/vnf-agent/\(host.label)"
            try host.apply(linux(veth("a/b", "c d", host: "v0"), veth("c d", "a/b", host: "v1")))
            let yaml = linux(
                veth("a/b", "c d", host: "v0", "alias: 'to rack 4'"), veth("c d", "a/b", host: "v1", "alias: \"x/y\""),
                "name: l, type: LOOPBACK, enabled: true, alias: 'mine'")
            let index = try host.link("v0")?.index
            let agent = try host.apply(yaml)
            #expect(try host.link("v0")?.alias == "\(mark)/a/b/c d\tto rack 4")
            #expect(try host.link("v1")?.alias == "\(mark)/c d/a/b\tx/y")
            #expect(try host.link("lo")?.alias == "\(mark)/l\tmine")
            // Set and changed in place.
            #expect(try host.link("v0")?.index == index)
            try agent.watch()
            try host.ip("link set v0 alias \(mark)/other")
            #expect(try agent.settle { try host.link("v0")?.alias == "\(mark)/a/b/c d\tto rack 4" })
            #expect(try host.link("v0")?.index == index)
            // A new agent takes them all away by their marks.
            try host.agent().apply("")
            #expect(try host.link("v0") == nil && host.link("lo")?.alias == "")
        }
    }

    @Test("an alias that does not fit beside our mark is refused, and says so")
    func tooLong() throws {
        try Sandbox.run { host in
            let name = String(repeating: "n", count: 130)
            let agent = host.agent()
            try agent.apply(
                linux(
                    "name: \(name), type: TAP, hostIfName: t0, enabled: true, alias: \(String(repeating: "a", count: 128))"
                ))
            #expect(agent.interface(name)?.error.contains("the kernel takes at most 255") == true)
        }
    }

    @Test("names of others stay on an interface of theirs")
    func existing() throws {
        try Sandbox.run { host in
            try host.ip("link add eth0 type veth peer name eth1")
            try host.ip("link property add dev eth0 altname theirs")
            let yaml = linux("name: e, type: EXISTING, hostIfName: eth0, enabled: true, altNames: [ours, a:b.c]")
            let agent = try host.apply(yaml)
            #expect(try host.link("eth0")?.altNames.sorted() == ["a:b.c", "ours", "theirs"])
            try agent.watch()
            try host.ip("link property del dev eth0 altname ours")
            #expect(try agent.settle { try host.link("eth0")?.altNames.contains("ours") == true })
            try agent.apply("")
            #expect(try host.link("eth0")?.altNames == ["theirs"])
            try agent.change(to: yaml)
            #expect(agent.problems == [])
            try agent.change(to: linux("name: e, type: EXISTING, hostIfName: eth0, enabled: true, altNames: [ours]"))
            #expect(try host.link("eth0")?.altNames == ["theirs", "ours"])
            try agent.change(to: "")
            #expect(try host.link("eth0")?.altNames == ["theirs"])
        }
    }

    @Test(
        "what the agent before gave a link of others goes, too, and nothing else", arguments: [nil, "x"] as [String?])
    func restarted(_ namespace: String?) throws {
        try Sandbox.run { host in
            if let namespace { try host.addNamespaces(namespace) }
            func add(_ names: String...) throws {
                try host.ip("link add eth0 type veth peer name eth1", in: namespace)
                for name in names { try host.ip("link property add dev eth0 altname \(name)", in: namespace) }
            }
            func names() throws -> [String]? { try host.link("eth0", in: namespace)?.altNames.sorted() }
            func yaml(_ names: String) -> String {
                linux(
                    "name: e, type: EXISTING, hostIfName: eth0, enabled: true, altNames: [\(names)]" + place(namespace))
            }
            try add("theirs")
            try host.apply(yaml("theirs, one, two"))
            #expect(try names() == ["one", "theirs", "two"])
            // What is declared still is in place.
            try host.expectInPlace(yaml("theirs, one, two"))
            try host.apply(yaml("two"))
            #expect(try names() == ["theirs", "two"])
            // Another agent on this host knows nothing of them.
            try host.agent(label: "other").apply("")
            #expect(try names() == ["theirs", "two"])
            try host.apply("")
            #expect(try names() == ["theirs"])
            // Once more, but another link has the name by then.
            try host.apply(yaml("one"))
            try host.ip("link del eth0", in: namespace)
            try add("one")
            try host.apply("")
            #expect(try names() == ["one"])
        }
    }

    @Test("a name that has gone belongs to who gives it next", arguments: [true, false])
    func givenByOthers(isRunning: Bool) throws {
        try Sandbox.run { host in
            try host.ip("link add eth0 type veth peer name eth1")
            for link in ["eth0", "eth1"] { try host.ip("link set \(link) up") }
            let yaml = linux("name: e, type: EXISTING, hostIfName: eth0, enabled: true, altNames: [one, two]")
            let agent = try host.apply(yaml)
            try agent.watch()
            try host.ip("link property del dev eth0 altname one")
            // A process that was not there before finds that it has gone, and writes that down.
            if !isRunning { try host.apply("") }
            try host.ip("link property add dev eth0 altname one")
            if isRunning {
                try agent.quiesce()
                try agent.apply("")
                #expect(try host.link("eth0")?.altNames == ["one"])
            }
            try host.apply("")
            #expect(try host.link("eth0")?.altNames == ["one"])
        }
    }

    @Test("names that the agent gave go from a link that was moved, too", arguments: [true, false])
    func moved(isRestarted: Bool) throws {
        try Sandbox.run { host in
            try host.addNamespaces("x")
            // A device that outlives its namespace.
            try host.ip("tuntap add eth0 mode tap")
            try host.ip("link property add dev eth0 altname theirs")
            func yaml(_ namespace: String?) -> String {
                linux(
                    "name: e, type: EXISTING, enabled: true, match: {driver: tun}, altNames: [one]" + place(namespace))
            }
            let agent = host.agent()
            for namespace in ["x", nil, "x"] as [String?] {
                try agent.change(to: yaml(namespace))
                #expect(agent.problems == [])
                #expect(try host.link("eth0", in: namespace)?.altNames.sorted() == ["one", "theirs"])
            }
            let last = isRestarted ? host.agent() : agent
            try last.change(to: "")
            #expect(last.problems == [])
            #expect(try host.link("eth0")?.altNames == ["theirs"])
        }
    }

    @Test("a name moves from one of our links to another, and not from a link of somebody else")
    func moves() throws {
        try Sandbox.run { host in
            func yaml(_ first: String, _ second: String) -> String {
                linux(
                    "name: t, type: TAP, enabled: true, altNames: [\(first)]",
                    "name: u, type: TAP, enabled: true, altNames: [\(second)]")
            }
            let agent = try host.apply(yaml("one", "two"))
            try agent.change(to: yaml("two", "one"))
            #expect(agent.problems == [])
            #expect(try host.link("t")?.altNames == ["two"] && host.link("u")?.altNames == ["one"])
            // Also by an agent that was not there before.
            try host.apply(yaml("one", "two"))
            try host.ip("link add eth0 type veth peer name eth1")
            try host.ip("link property add dev eth0 altname theirs")
            try agent.apply(yaml("theirs", "two"))
            #expect(agent.problems.count == 1 && agent.problems[0].contains("theirs is a name of eth0 already"))
        }
    }

    @Test("an interface is found by any of its names, as soon as it has that")
    func found() throws {
        try Sandbox.run { host in
            try host.ip("link add eth0 type veth peer name eth1")
            let name = "uplink-of-a-long-name:1"
            let yaml = linux(
                "name: e, type: EXISTING, hostIfName: '\(name)', enabled: true, ipAddresses: [10.0.0.1/24], sysctls: {rp_filter: '2'}",
                routes: ["outgoingInterface: e, dstNetwork: 10.5.0.0/16, gwAddr: 10.0.0.2"])
            let agent = host.agent()
            try agent.apply(yaml)
            #expect(agent.interface("e")?.details == ["host-interface-exists: \(name) is not there"])
            try agent.watch()
            for link in ["eth1", "eth0"] { try host.ip("link set \(link) up") }
            // Of a link that is down the kernel would tell nothing.
            try host.ip("link property add dev eth0 altname \(name)")
            #expect(try agent.settle { agent.problems == [] })
            #expect(try host.routes() == ["10.5.0.0/16 via 10.0.0.2 dev eth0"])
            #expect(try host.sysctl("net/ipv4/conf/eth0/rp_filter") == "2")
            try host.expectInPlace(yaml, agent)
            try host.ip("addr del 10.0.0.1/24 dev eth0")
            #expect(try agent.settle { try host.addresses("eth0") == ["10.0.0.1/24"] })
            #expect(try agent.settle { agent.problems == [] })
            try host.ip("link property del dev eth0 altname \(name)")
            #expect(try agent.settle { agent.interface("e")?.state == .pending })
            // A route finds its interface by such a name, too.
            try host.ip("link property add dev eth0 altname other-name")
            try host.ip("addr replace 10.0.0.1/24 dev eth0")
            try host.apply(linux(routes: ["outgoingInterface: other-name, dstNetwork: 10.6.0.0/16, gwAddr: 10.0.0.2"]))
        }
    }

    @Test("an undo gives every link the names that it had")
    func undone() throws {
        try Sandbox.run { host in
            try host.ip("link add eth0 type veth peer name eth1")
            try host.ip("link property add dev eth0 altname theirs")
            let existing = "name: e, type: EXISTING, hostIfName: eth0, enabled: true"
            let yaml = linux(
                "name: t, type: TAP, enabled: true, altNames: [one], alias: first", existing + ", altNames: [two]")
            let agent = try host.apply(yaml)
            for changed in [
                linux(
                    "name: t, type: TAP, enabled: true, altNames: [two], alias: second", existing + ", altNames: [one]",
                    bad), linux(existing, bad),
            ] {
                let transaction = try agent.apply(changed, revertOnFailure: true)
                #expect(transaction?.reverted == true && transaction?.revertErrors == [])
                #expect(try host.link("t")?.altNames == ["one"])
                #expect(try host.link("t")?.alias.hasSuffix("\tfirst") == true)
                #expect(try host.link("eth0")?.altNames.sorted() == ["theirs", "two"])
                try agent.apply(yaml)
                try host.expectInPlace(yaml)
            }
        }
    }

    @Test("a link gets one of its alternative names as its name, and one that was there before stays")
    func taken() throws {
        try Sandbox.run { host in
            let agent = try host.apply(linux("name: t, type: TAP, hostIfName: a, enabled: true, altNames: [b]"))
            let yaml = linux("name: t, type: TAP, hostIfName: b, enabled: true")
            try agent.apply(yaml)
            #expect(try agent.problems == [] && host.link("b")?.altNames == [])
            try host.expectInPlace(yaml, agent)
            try host.ip("link add eth0 type veth peer name eth1")
            try host.ip("link property add dev eth0 altname theirs")
            try agent.apply(linux("name: e, type: EXISTING, hostIfName: eth0, enabled: true, altNames: [theirs, ours]"))
            #expect(agent.problems == [])
            try agent.apply("")
            #expect(try host.link("eth0")?.altNames == ["theirs"])
        }
    }
}
