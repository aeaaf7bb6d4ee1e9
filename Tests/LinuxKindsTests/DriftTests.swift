import Netlink
import Testing

@testable import LinuxKinds

@Suite("drift", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct DriftTests {
    static let yaml = linux(
        veth(
            "a", "b", in: "x",
            "mtu: 1450, physAddress: '02:00:00:00:00:01', ipAddresses: [10.0.0.1/24, 10.0.0.2/24, 'fd00::1/64']"),
        veth("b", "a"),
        "name: br, type: BRIDGE, enabled: true, ipAddresses: [10.5.0.1/24], bridge: {ports: [b, t]}",
        "name: t, type: TAP, enabled: true, tuntap: {mode: TAP}",
        routes: [
            "outgoingInterface: a, dstNetwork: 0.0.0.0/0, gwAddr: 10.0.0.254",
            "outgoingInterface: a, dstNetwork: 'fd09::/64', gwAddr: 'fd00::2'",
            "outgoingInterface: a, dstNetwork: 10.3.0.0/16",
            "outgoingInterface: br, dstNetwork: 10.6.0.0/16, gwAddr: 10.5.0.2, table: 100",
        ],
        arps: [
            "interface: a, ipAddress: 10.0.0.9, hwAddress: '02:00:00:00:00:09'",
            "interface: a, ipAddress: 'fd00::9', hwAddress: '02:00:00:00:00:09'",
        ],
        rules: [
            "name: r, priority: 100, from: 10.0.0.0/8, table: 100",
            "name: s, priority: 100, from: 'fd00::/8', table: 100" + place("x"),
        ])

    @Test("a deleted bridge comes back with its ports in the same repair")
    func bridgeWithPorts() throws {
        try Sandbox.run { host in
            let agent = try host.apply(Self.yaml)
            try agent.watch()
            try host.ip("link del dev br")
            #expect(try agent.settle { try host.link("br") != nil })
            for port in ["b", "t"] { #expect(try host.link(port)?.master == "br") }
            #expect(agent.problems == [])
            let failures = agent.reconciler.transactions.flatMap(\.entries).filter { !$0.error.isEmpty }
            #expect(failures.map(\.line) == [])
        }
    }

    @Test(
        "what somebody breaks is put right",
        arguments: [
            "x: addr del 10.0.0.1/24 dev a", "x: addr del 10.0.0.2/24 dev a", "x: addr del fd00::1/64 dev a",
            "x: addr flush dev a", "x: route del default",
            "x: -6 route del fd09::/64", "x: route flush proto %", "x: route del 10.3.0.0/16",
            "host: route flush table 100", "x: neigh del 10.0.0.9 dev a", "x: neigh del fd00::9 dev a",
            "host: rule del priority 100", "x: -6 rule del priority 100", "x: rule flush",
            "host: link set dev b nomaster", "host: link set dev t nomaster",
            "x: link set dev a mtu 1300", "host: link set dev b mtu 1200",
            "x: link set dev a address 02:00:00:00:00:99", "x: link set dev a down", "host: link set dev b down",
            "host: link set dev br down", "x: link del dev a", "host: link del dev b", "host: link del dev br",
            "host: link del dev t", "x: link set dev a down;x: link set dev a name z;x: link set dev z up",
            "x: link set dev a down;x: link set dev a name z",
            "host: link set dev br type bridge stp_state 1", "x: link set dev a mtu 1000",
            "x: link set dev a alias foo",
            "x: link property add dev a altname longname", "x: route replace default via 10.0.0.253 dev a proto %",
            "x: link set dev a down;x: link set dev a up",
            "x: route replace default via 10.0.0.253 dev a",
            "x: addr change 10.0.0.1/24 dev a preferred_lft 100 valid_lft 200",
        ])
    func repairs(_ command: String) throws {
        try Sandbox.run { host in
            let agent = try host.apply(Self.yaml)
            try agent.watch()
            #expect(agent.problems == [])
            let before = try host.picture(of: ["x"])
            for part in command.split(separator: ";") {
                let words = part.split(separator: ":", maxSplits: 1)
                let text = words[1].replacing("%", with: "\(agent.world.ownership.proto)")
                try host.ip(text.trimmingPrefix(" ").description, in: words[0] == "x" ? "x" : nil)
            }
            #expect(try agent.settle { try host.picture(of: ["x"]) == before }, "\(command)")
            let after = try host.picture(of: ["x"])
            #expect(after == before, "\(command)")
            #expect(agent.problems == [])
            try agent.quiesce()
            try host.expectInPlace(Self.yaml, agent)
        }
    }

    @Test("links that somebody takes out of the group that marks them get it back", arguments: ["a", "b", "br", "t"])
    func groups(link: String) throws {
        try Sandbox.run { host in
            let agent = try host.apply(Self.yaml)
            try agent.watch()
            let place = link == "a" ? "x" : nil
            let before = try #require(try host.link(link, in: place))
            try host.ip("link set dev \(link) group 7", in: place)
            #expect(try agent.settle { try host.link(link, in: place)?.group == before.group })
            #expect(try host.link(link, in: place)?.index == before.index)
            #expect(agent.problems == [])
            try agent.quiesce()
            try host.expectInPlace(Self.yaml, agent)
        }
    }

    @Test("a neighbour that lost its mark gets it back: no event tells, so one looks from time to time")
    func unmarkedNeighbour() throws {
        try Sandbox.run { host in
            let agent = try host.apply(Self.yaml)
            try agent.watch()
            let before = try host.neighbours("a", in: "x")
            try host.ip(
                "neigh replace 10.0.0.9 lladdr 02:00:00:00:00:09 dev a nud permanent protocol static", in: "x")
            agent.reconciler.reconcile(reason: .drift, scope: .keys(agent.world.audit(suspectsOnly: false).keys))
            #expect(agent.problems == [])
            #expect(try host.neighbours("a", in: "x") == before)
            try host.expectInPlace(Self.yaml, agent)
            try agent.apply("")
            #expect(host.namespaces == [])
        }
    }

    @Test("what somebody moves to another namespace is made again, and does not stay there", arguments: [false, true])
    func moved(isKnown: Bool) throws {
        try Sandbox.run { host in
            try host.addNamespaces("away", "unrelated")
            let agent = host.agent()
            // Who looks into no other namespace finds there only what came from here.
            if !isKnown {
                try host.ip("link add z type bridge", in: "away")
                try host.ip("link set z alias /vnf-agent/\(host.label)/z", in: "away")
            }
            let rest = isKnown ? ["lo"] : ["lo", "z"]
            agent.world.looksEverywhere = isKnown
            let yaml = linux(
                "name: t, type: TAP, enabled: true, ipAddresses: [10.1.0.1/24]",
                veth("v", "w", "ipAddresses: [10.2.0.1/24]"), veth("w", "v"))
            try agent.apply(yaml)
            try agent.watch()
            for name in ["t", "w", "v"] {
                try host.ip("link set dev \(name) netns \(host.file("away"))")
                #expect(try agent.settle { try host.links(in: "away").map(\.name) == rest && agent.problems == [] })
                #expect(try host.links(in: "away").map(\.name) == rest, "\(name)")
                #expect(Set(try host.links().map(\.name)) == ["lo", "t", "v", "w"])
            }
            #expect(try host.addresses("t") == ["10.1.0.1/24"])
            #expect(try host.addresses("v") == ["10.2.0.1/24"])
            try agent.quiesce()
            if !isKnown {
                let losses = agent.reconciler.transactions.flatMap(\.losses)
                #expect(losses.contains { $0.hasPrefix("z in away stays") })
                try host.ip("link del z", in: "away")
            }
            try host.expectInPlace(yaml, agent)
        }
    }

    @Test("many links that somebody moved go from there by themselves, and only while they are there")
    func manyMoved() throws {
        try Sandbox.run { host in
            try host.addNamespaces("away")
            let agent = host.agent()
            agent.world.looksEverywhere = false
            func addTheirs() throws {
                try host.ip("link add z type bridge", in: "away")
                try host.ip(
                    "link set z group \(agent.world.ownership.linkGroup) alias /vnf-agent/\(host.label)/z", in: "away")
            }
            try addTheirs()
            let names = (1...6).map { "t\($0)" }
            let config = Config(interfaces: names.map { "name: \($0), type: TAP, enabled: true" })
            try agent.apply(config.text)
            try agent.watch()
            for name in names { try host.ip("link set dev \(name) netns \(host.file("away"))") }
            #expect(try agent.settle { try host.links(in: "away").count == 2 && agent.problems == [] })
            #expect(try host.links(in: "away").map(\.name) == ["lo", "z"])
            try agent.quiesce()
            // Another namespace of that name is nobody's concern, nor is a link with the same alias.
            try host.removeNamespace("away")
            try host.addNamespaces("away")
            try addTheirs()
            try agent.quiesce()
            try agent.apply(config.text)
            #expect(try host.links(in: "away").map(\.name) == ["lo", "z"])
        }
    }

    @Test("a link with the alias of one that was moved and went is nobody's concern")
    func visitEnds() throws {
        try Sandbox.run { host in
            try host.addNamespaces("away")
            let agent = host.agent()
            agent.world.looksEverywhere = false
            let yaml = linux("name: t, type: TAP, enabled: true")
            try agent.apply(yaml)
            try agent.watch()
            try host.ip("link set dev t netns \(host.file("away"))")
            #expect(try agent.settle { try host.links(in: "away").count == 1 && agent.problems == [] })
            try agent.apply(yaml)
            try host.ip("link add z type bridge", in: "away")
            try host.ip("link set z alias /vnf-agent/\(host.label)/t", in: "away")
            try agent.apply(yaml)
            try agent.apply(yaml)
            #expect(try host.links(in: "away").map(\.name) == ["lo", "z"])
        }
    }

    @Test("what others do causes no work")
    func noise() throws {
        try Sandbox.run { host in
            let agent = try host.apply(Self.yaml)
            try agent.watch()
            let before = agent.world.modifyingRequests
            for command in [
                "link add n0 type veth peer name n1", "link set n0 up", "link set n1 up",
                "addr add 10.99.0.1/24 dev n0", "route add 10.98.0.0/16 via 10.99.0.2",
                "neigh add 10.99.0.3 lladdr 02:00:00:00:00:03 dev n0", "rule add priority 5 lookup 5", "link del n0",
                "rule del priority 5",
            ] { try host.ip(command, in: "x") }
            try host.addNamespaces("unrelated")
            try host.ip("link add n0 type bridge", in: "unrelated")
            let keys = try agent.quiesce()
            #expect(keys == [])
            #expect(agent.world.modifyingRequests == before)
            #expect(agent.reconciler.transactions.filter { $0.reason == .drift }.isEmpty)
        }
    }

    @Test("events of our own work cause no more of it")
    func ownEvents() throws {
        try Sandbox.run { host in
            let agent = host.agent()
            try agent.watch()
            try agent.apply(Self.yaml)
            #expect(agent.problems == [])
            let before = agent.world.modifyingRequests
            let transactions = agent.reconciler.transactions.count
            try agent.quiesce()
            #expect(agent.world.modifyingRequests == before)
            #expect(agent.reconciler.transactions.count == transactions)
            try host.expectInPlace(Self.yaml, agent)
        }
    }

    @Test("10 000 events in a burst: what the kernel dropped is read again, nothing is lost")
    func overrun() throws {
        try Sandbox.run { host in
            let agent = try host.apply(Self.yaml)
            try agent.watch()
            let before = try host.picture(of: ["x"])
            try host.ip("link add noise type veth peer name noise1", in: "x")
            try host.ip("link set dev noise up", in: "x")
            let space = try NetworkNamespace(path: host.file("x"))
            let socket = try RouteSocket(in: space)
            let index = try #require(try socket.link(name: "noise")).index
            var address: Address?
            for case .address(let known) in try socket.dump(.addresses) { address = known }
            address?.linkIndex = index
            let other = try #require(address)
            for _ in 0..<50 {
                let batch = Batch()
                for _ in 0..<100 {
                    batch.append(.addAddress(other, replace: false))
                    batch.append(.deleteAddress(other))
                }
                try socket.transact(batch) { _, _ in }
            }
            try host.ip("addr flush dev a", in: "x")
            try host.ip("route flush table 100")
            try host.ip("link del noise", in: "x")
            #expect(try agent.settle { try host.picture(of: ["x"]) == before })
            #expect(agent.problems == [])
            try host.expectInPlace(Self.yaml, agent)
        }
    }

    @Test("a burst while applying: none lost")
    func burstWhileApplying() throws {
        try Sandbox.run { host in
            let agent = host.agent()
            try agent.watch()
            try agent.apply(Self.yaml)
            // Events of our own apply and of others are mixed in the queue.
            try host.ip("addr flush dev a", in: "x")
            try agent.apply(Self.yaml.replacing("10.5.0.1/24", with: "10.5.0.3/24"))
            try host.ip("neigh flush dev a nud permanent", in: "x")
            let wanted = Self.yaml.replacing("10.5.0.1/24", with: "10.5.0.3/24")
            #expect(try agent.settle { try host.agent().plan(wanted) == [] })
        }
    }

    @Test("someone who changes it back again and again is noticed, and left alone for a while")
    func fight() throws {
        try Sandbox.run { host in
            // Time stands still, so that a slow machine doesn't make peace.
            let start = TestAgent.now
            let patient = TestAgent(host, retry: .init(), now: { start })
            try patient.apply(Self.yaml)
            try patient.watch()
            for _ in 0..<15 {
                guard try host.link("a", in: "x")?.mtu == 1450 else { break }
                try host.ip("link set dev a mtu 1300", in: "x")
                _ = try patient.settle(seconds: 0.3) { try host.link("a", in: "x")?.mtu == 1450 }
            }
            let status = try #require(patient.interface("a"))
            #expect(status.state == .retrying)
            #expect(status.error.contains("another program changed it back"))
            #expect(status.nextTry != nil)
            let before = patient.world.modifyingRequests
            try host.ip("link set dev a mtu 1301", in: "x")
            try patient.quiesce()
            #expect(patient.world.modifyingRequests == before)
        }
    }

    @Test("without repair, drift is only reported")
    func noRepair() throws {
        try Sandbox.run { host in
            let agent = try host.apply(Self.yaml)
            agent.reconciler.repairsDrift = false
            try agent.watch()
            try host.ip("link set dev a mtu 1300", in: "x")
            try host.ip("addr del 10.0.0.2/24 dev a", in: "x")
            #expect(try agent.settle { agent.problems.count == 2 })
            #expect(
                agent.interface("a")?.error == "changed from outside: mtu 1450 → 1300; repair is off"
                    || agent.interface("a")?.error.contains("mtu 1300 → 1450") == true)
            #expect(try host.link("a", in: "x")?.mtu == 1300)
            try host.ip("link set dev a mtu 1450", in: "x")
            try host.ip("addr add 10.0.0.2/24 dev a", in: "x")
            #expect(try agent.settle { agent.problems == [] })
            #expect(agent.problems == [])
        }
    }
}
