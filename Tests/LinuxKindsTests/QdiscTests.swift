import Foundation
import Testing

@testable import LinuxKinds

@Suite("qdiscs", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct QdiscTests {
    private static let pair = [veth("p", "q"), veth("q", "p", in: "y")]

    private func yaml(_ qdiscs: String...) -> String { Config(interfaces: Self.pair, qdiscs: qdiscs).text }

    private static let key = "config/nsmagent/linux/v1/qdisc/p/root"

    @Test("a change takes one request, and the qdisc stays", .enabled(if: Kernel.hasTBF, Kernel.reason))
    func change() throws {
        try Sandbox.run { host in
            func shown() throws -> [Substring] {
                try host.command("tc qdisc show dev p").split(separator: "\n")
            }
            let agent = host.agent()
            for (settings, text) in [
                ("rate: 10mbit, burst: 32kb, latency: 50ms", "rate 10Mbit burst 32Kb lat 50ms"),
                ("rate: 20mbit, burst: 32kb, limit: 64kb", "rate 20Mbit burst 32Kb lat 13.1ms"),
                ("rate: 1.5gbit, burst: 1mb, limit: 2mb", "rate 1500Mbit burst 1048500b lat 5.59ms"),
            ] {
                let before = agent.world.modifyingRequests
                let wasThere = agent.state(Self.key) != nil
                let wanted = yaml("interface: p, tbf: {\(settings)}")
                try agent.change(to: wanted)
                #expect(agent.problems == [])
                if wasThere { #expect(agent.world.modifyingRequests == before + 1) }
                let lines = try shown()
                #expect(lines.count == 1 && lines[0].hasPrefix("qdisc tbf ") && lines[0].contains(text), "\(lines)")
                try host.expectInPlace(wanted, agent)
            }
            try agent.change(to: yaml())
            #expect(try shown() == ["qdisc noqueue 0: root refcnt 2 "])
        }
    }

    @Test(
        "somebody else's qdisc stays, the value says so, and takes its place once it is free",
        .enabled(if: Kernel.hasTBF, Kernel.reason))
    func stranger() throws {
        try Sandbox.run { host in
            var agent = try host.apply(yaml())
            try host.command("tc qdisc add dev p root handle 1: tbf rate 1mbit burst 10k limit 20k")
            let before = try host.command("tc qdisc show dev p")
            let wanted = yaml("interface: p, tbf: {rate: 10mbit, burst: 32kb, latency: 50ms}")
            try agent.apply(wanted)
            #expect(
                agent.problems == [
                    "\(Self.key) FAILED the root qdisc tbf 1: of p is not ours; remove it (tc qdisc del dev p root), "
                        + "or don't declare one"
                ])
            #expect(try host.command("tc qdisc show dev p") == before)
            try host.command("tc qdisc del dev p root")
            agent = try host.apply(wanted)
            #expect(agent.problems == [])
            #expect(try host.command("tc qdisc show dev p").contains("rate 10Mbit"))
            try agent.watch()
            // Who takes the place is seen at once.
            try host.command("tc qdisc replace dev p root handle 2: tbf rate 1mbit burst 10k limit 20k")
            #expect(try agent.settle { agent.problems.count == 1 })
            #expect(try host.command("tc qdisc show dev p").contains("tbf 2: root"))
            // Without a value of ours nothing of it is touched either.
            try host.apply(yaml())
            #expect(try host.command("tc qdisc show dev p").contains("tbf 2: root"))
        }
    }

    @Test(
        "an undo leaves alone what somebody set since", .enabled(if: Kernel.hasTBF, Kernel.reason),
        arguments: [false, true])
    func undo(hadOurs: Bool) throws {
        try Sandbox.run { host in
            let ours = ["10mbit", "20mbit"].map { yaml("interface: p, tbf: {rate: \($0), burst: 32kb, limit: 64kb}") }
            let agent = host.agent()
            try agent.apply(hadOurs ? ours[0] : yaml())
            let journal = agent.world.snapshot()
            try agent.apply(ours[1])
            try host.command("tc qdisc replace dev p root handle 2: tbf rate 1mbit burst 10k limit 20k")
            try agent.world.readAll()
            _ = agent.world.takeLosses()
            #expect(agent.world.operations(toRestore: journal).isEmpty)
            #expect(agent.world.takeLosses() == ["p keeps the root qdisc tbf 2:, which is not ours"])
        }
    }

    @Test(
        "a namespace with nothing of ours but a qdisc has something of ours", .enabled(if: Kernel.hasTBF, Kernel.reason)
    )
    func mark() throws {
        try Sandbox.run { host in
            try host.ip("link add up0 type veth peer name far0")
            let agent = host.agent()
            let tbf = "tbf: {rate: 10mbit, burst: 32kb, latency: 50ms}"
            try agent.apply(Config(qdiscs: ["interface: up0, \(tbf)"]).text)
            let own = try #require(agent.world.byReference[.own])
            #expect(own.hasOurs(agent.world.ownership))
            try host.command("tc qdisc del dev up0 root")
            try agent.world.readAll()
            #expect(!own.hasOurs(agent.world.ownership))
        }
    }

    @Test("an interface that nobody declared has one, too", .enabled(if: Kernel.hasTBF, Kernel.reason))
    func undeclared() throws {
        try Sandbox.run { host in
            let tbf = "tbf: {rate: 10mbit, burst: 32kb, latency: 50ms}"
            let wanted = Config(qdiscs: ["interface: up0, \(tbf)"]).text
            let agent = host.agent()
            try agent.apply(wanted)
            #expect(agent.problems.count == 1 && agent.problems[0].contains("PENDING"))
            try agent.watch()
            try host.ip("link add up0 type veth peer name far0")
            #expect(try agent.settle { try host.command("tc qdisc show dev up0").contains("rate 10Mbit") })
            // Another agent on this host has another handle.
            let other = host.agent(label: "other")
            try other.apply("")
            #expect(try host.command("tc qdisc show dev up0").contains("rate 10Mbit"))
            try agent.apply("")
            #expect(try !host.command("tc qdisc show dev up0").contains("tbf"))
        }
    }

    @Test("what the kernel has no module for is an error that says so")
    func unknownKind() throws {
        if Kernel.hasNetem { return }
        try Sandbox.run { host in
            let agent = host.agent()
            try agent.apply(yaml("interface: p, netem: {delay: 10ms}"))
            #expect(agent.problems.count == 1)
            #expect(agent.problems.first?.contains("this kernel has no qdisc netem") == true, "\(agent.problems)")
        }
    }
}
