import Netlink
import Testing

@testable import LinuxKinds

@Suite("limits for what arrives", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct PoliceTests {
    private static let pair = [
        veth("p", "q", "ipAddresses: [192.0.2.1/24]"), veth("q", "p", in: "y", "ipAddresses: [192.0.2.2/24]"),
    ]

    private func yaml(_ qdiscs: String...) -> String { Config(interfaces: Self.pair, qdiscs: qdiscs).text }

    private func police(_ rate: String, _ burst: String = "32kb") -> String {
        "interface: p, police: {rate: \(rate), burst: \(burst)}"
    }

    private func filters(_ host: Sandbox) throws -> String { try host.command("tc filter show dev p ingress") }

    private func hasQdisc(_ kind: String, _ host: Sandbox) throws -> Bool {
        try host.command("tc qdisc show dev p").contains("qdisc \(kind) ")
    }

    @Test(
        "a qdisc of ours goes with the filter, also after a restart", .enabled(if: Kernel.hasPolice, Kernel.reason))
    func own() throws {
        try Sandbox.run { host in
            let agent = host.agent()
            for (rate, shown) in [("10mbit", "10Mbit"), ("20mbit", "20Mbit"), ("40gbit", "40Gbit")] {
                let wanted = yaml(police(rate, "1mb"))
                try agent.change(to: wanted)
                #expect(agent.problems == [])
                let text = try filters(host)
                #expect(text.contains("rate \(shown) ") && text.contains("mtu 1Mb action drop/continue"), "\(text)")
                try host.expectInPlace(wanted, agent)
            }
            try host.apply(yaml())
            #expect(try !hasQdisc("ingress", host))
        }
    }

    @Test("packets above the limit are dropped, and others pass", .enabled(if: Kernel.hasPolice, Kernel.reason))
    func effect() throws {
        try Sandbox.run { host in
            func lost() throws -> Bool {
                let text = (try? host.command("ping -q -n -c 6 -i 0.2 -s 1000 -W 2 192.0.2.1", in: "y")) ?? ""
                return !text.contains(" 0% packet loss")
            }
            let agent = try host.apply(yaml(police("1gbit", "64kb")))
            #expect(try !lost())
            // Two packets at once, and less than one in a second.
            try agent.apply(yaml(police("4kbit", "2200b")))
            #expect(try lost())
            try agent.apply(yaml())
            #expect(try !lost())
        }
    }

    @Test(
        "a qdisc of others and their filters stay", .enabled(if: Kernel.hasPolice, Kernel.reason),
        arguments: ["ingress", "clsact"])
    func others(_ kind: String) throws {
        try Sandbox.run { host in
            let agent = try host.apply(yaml())
            try host.command("tc qdisc add dev p \(kind)")
            try host.command("tc filter add dev p ingress pref 7 matchall action continue")
            let before = try filters(host)
            let wanted = yaml(police("10mbit"))
            try agent.apply(wanted)
            #expect(agent.problems == [])
            #expect(try filters(host).contains("rate 10Mbit"))
            try host.expectInPlace(wanted, agent)
            try host.apply(yaml())
            #expect(try hasQdisc(kind, host) && filters(host) == before)
        }
    }

    @Test(
        "a filter of others in a qdisc of ours keeps it, as long as it is there",
        .enabled(if: Kernel.hasPolice, Kernel.reason), arguments: [true, false])
    func guests(isRestarted: Bool) throws {
        try Sandbox.run { host in
            let agent = try host.apply(yaml(police("10mbit")))
            try agent.watch()
            func next() throws -> TestAgent {
                if isRestarted { return host.agent() }
                try agent.quiesce()
                return agent
            }
            try host.command("tc filter add dev p ingress pref 7 matchall action ok")
            let guest = try next()
            try guest.apply(yaml(police("20mbit")))
            #expect(try filters(host).contains("rate 20Mbit") && filters(host).contains("pref 7"))
            try host.command("tc filter del dev p ingress pref 7")
            try next().apply(yaml())
            #expect(try !hasQdisc("ingress", host))
            try next().apply(yaml(police("10mbit")))
            try host.command("tc filter add dev p ingress pref 7 matchall action ok")
            try next().apply(yaml())
            let left = try filters(host)
            #expect(left.contains("pref 7") && !left.contains("police"))
        }
    }

    @Test(
        "another agent has a filter of its own, and none takes away that of the other",
        .enabled(if: Kernel.hasPolice, Kernel.reason))
    func neighbours() throws {
        try Sandbox.run { host in
            try host.ip("link add up0 type veth peer name far0")
            func wanted(_ rate: String) -> String {
                Config(qdiscs: ["interface: up0, police: {rate: \(rate), burst: 32kb}"]).text
            }
            func rates() throws -> [String] {
                let text = try host.command("tc filter show dev up0 ingress")
                return text.matches(of: #/rate (\d+Mbit)/#).map { String($0.1) }.sorted()
            }
            let agent = host.agent()
            try agent.apply(wanted("10mbit"))
            let other = host.agent(label: "other")
            try other.apply(wanted("20mbit"))
            #expect(try agent.problems + other.problems == [] && rates() == ["10Mbit", "20Mbit"])
            try host.apply(wanted("10mbit"))
            #expect(try rates() == ["10Mbit", "20Mbit"])
            try host.apply("")
            #expect(try rates() == ["20Mbit"])
            try other.apply("")
            #expect(try rates() == [])
        }
    }

    @Test("a qdisc that somebody made in place of ours stays")
    func replaced() throws {
        try Sandbox.run { host in
            let agent = try host.apply(yaml())
            let index = try #require(try host.link("p")?.index)
            let state = try #require(agent.world.byReference[.own])
            func delete() -> Bool {
                let result = agent.world.deleteIngress(.ingress(ofLink: Int32(index)), in: state)
                if case .done = result { return true }
                return false
            }
            try host.command("tc qdisc add dev p clsact")
            #expect(try delete() && hasQdisc("clsact", host))
            try host.command("tc qdisc del dev p clsact")
            // It has gone already.
            #expect(delete())
            try host.command("tc qdisc add dev p ingress")
            #expect(try delete() && !hasQdisc("ingress", host))
        }
    }

    @Test(
        "what the kernel has no module for is an error that says so, and nothing is left",
        .enabled(if: !Kernel.hasPolice, "this kernel can limit what arrives"))
    func missing() throws {
        try Sandbox.run { host in
            let agent = host.agent()
            try agent.apply(yaml(police("10mbit")))
            #expect(agent.problems.count == 1)
            let problem = agent.problems.first ?? ""
            #expect(problem.contains("/ingress FAILED ") && problem.contains("; this kernel can't limit what arrives"))
            #expect(problem.contains("modprobe"))
            // Nothing would say later that it is ours.
            #expect(try !hasQdisc("ingress", host))
            try agent.apply(yaml())
            #expect(agent.problems == [])
            #expect(try !hasQdisc("ingress", host))
        }
    }
}
