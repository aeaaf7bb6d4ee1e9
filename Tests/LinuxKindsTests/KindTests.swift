import Foundation
import Model
import Testing

@testable import LinuxKinds

/// What holds for values of every kind. A kind is tested by a line in ``KindCase/all``.
@Suite("every kind", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct KindTests {
    /// All that are there, or those whose names hold what NSM_AGENT_KIND says, where each takes long.
    private static let cases: [KindCase] = {
        let word = ProcessInfo.processInfo.environment["NSM_AGENT_KIND"] ?? ""
        return KindCase.all.filter { $0.isThere && (word.isEmpty || $0.name.contains(word)) }
    }()

    /// All there is, as far as it doesn't differ from one life of an object to the next.
    private func picture(_ kind: KindCase, _ host: Sandbox) throws -> [String] {
        // A device without a MAC address gets another link-local address each time.
        var lines = try host.picture(of: ["y"]).filter { !$0.hasPrefix("  address fe80:") } + host.namespaces
        for witness in kind.witnesses {
            // What shows nothing may fail.
            let text = (try? run(witness, host)) ?? "nothing"
            var shown = text.split(separator: "\n")
            // The addresses of the links themselves are others each time, and the order says nothing.
            if witness.hasPrefix("bridge fdb") {
                lines += shown.filter { $0.hasPrefix("02:00:00:") || $0.hasPrefix("00:") }.map(String.init).sorted()
                shown = []
            }
            lines += shown.map { line in
                String(line).replacing(#/^\d+: /#, with: "").replacing(#/@(if)?\w+:/#, with: ":")
                    .replacing(#/<[^>]*>|state \w+|[0-9a-f]{2}(:[0-9a-f]{2}){5}/#, with: "…")
                    .replacing(#/(ifalias|alias) \S+/#, with: "").replacing(#/group \S+|link-netns\S* \S+/#, with: "")
                    .replacing(#/(bridge_id|port_id|port_no|designated_\w+|\w+_timer) +\S+/#, with: "")
                    // The kernel sets it where a device without a MAC address comes up before its loss of carrier has gone round.
                    .replacing(#/addrgenmode \w+/#, with: "")
                    // Of a filter, whether its qdisc is ours, which is not known after somebody took the filter away.
                    .replacing(#/police 0x\w+|handle 0x\w+/#, with: "")
            }
        }
        return lines
    }

    /// What a command prints in the host's own namespace, or in the one that it names.
    @discardableResult
    private func run(_ command: String, _ host: Sandbox) throws -> String {
        let other = "in y "
        guard command.hasPrefix(other) else { return try host.command(command) }
        return try host.command(String(command.dropFirst(other.count)), in: "y")
    }

    /// A host on which what is not ours is there, and the first configuration.
    private func prepare(_ kind: KindCase, _ host: Sandbox) throws -> [String] {
        if kind.with.contains("up0") {
            try host.ip("link add up0 type veth peer name far0")
            try host.ip("link set up0 up")
        }
        if kind.with.contains("match: ") {
            try host.ip("tuntap add lent0 mode tap")
            try host.ip("link set lent0 address 02:00:00:00:00:77 alias theirs up")
            try host.ip("link property add dev lent0 altname uplink-0")
        }
        try host.apply(kind.base)
        return try picture(kind, host)
    }

    /// What a new agent that has the configuration makes of the host.
    private func restart(_ yaml: String, _ host: Sandbox) throws {
        let agent = host.agent()
        try agent.apply(yaml)
        #expect(agent.problems == [])
    }

    @Test("is made, found again after a restart, exported, and leaves nothing", arguments: cases)
    func life(_ kind: KindCase) throws {
        try Sandbox.run { host in
            let before = try prepare(kind, host)
            let agent = host.agent()
            try agent.apply(kind.base)
            try agent.apply(kind.with)
            #expect(agent.problems == [])
            let made = try picture(kind, host)
            #expect(made != before)
            try host.expectInPlace(kind.with, agent)
            if kind.isExported {
                let exported = YAMLWriter.write(
                    ConfigDocument.tree(of: try host.agent().world.export(namespace: nil, all: false)))
                #expect(try host.agent().plan(exported) == [], "\(exported)")
                try host.expectInPlace(exported)
                // Nothing of it is left when what was exported is withdrawn but for what was there before.
                try restart(kind.base, host)
                #expect(try picture(kind, host) == before)
                try restart(exported, host)
                #expect(try picture(kind, host) == made, "\(exported)")
            }
            // A new agent finds what is left over.
            try restart(kind.base, host)
            #expect(try picture(kind, host) == before)
            try host.expectInPlace(kind.base)
        }
    }

    @Test("is put back as soon as it is damaged, and after a restart", arguments: cases)
    func drift(_ kind: KindCase) throws {
        try Sandbox.run { host in
            _ = try prepare(kind, host)
            let agent = try host.apply(kind.with)
            let made = try picture(kind, host)
            // Nobody sees it until a new agent starts.
            for command in kind.damage {
                try run(command, host)
                try restart(kind.with, host)
                let after = try picture(kind, host)
                #expect(after == made, "\(command), before a restart")
            }
            try agent.watch()
            for command in kind.damage {
                try run(command, host)
                #expect(try agent.settle(seconds: 20) { try picture(kind, host) == made }, "\(command)")
                #expect(try picture(kind, host) == made, "\(command)")
                try agent.quiesce()
            }
            try host.expectInPlace(kind.with, agent)
        }
    }

    @Test("is as it was after a change that was undone", arguments: cases)
    func undone(_ kind: KindCase) throws {
        try Sandbox.run { host in
            let refused = "  interfaces:\n    - {name: default, type: BRIDGE}\n"
            func bad(_ yaml: String) -> String {
                yaml.contains("  interfaces:\n")
                    ? yaml.replacing("  interfaces:\n", with: refused) : yaml + refused
            }
            let before = try prepare(kind, host)
            let agent = host.agent()
            for (yaml, other, expected) in [(kind.base, kind.with, before), (kind.with, kind.base, nil)] {
                try agent.apply(yaml)
                let expected = try expected ?? picture(kind, host)
                let transaction = try agent.apply(bad(other), tolerant: true, revertOnFailure: true)
                #expect(transaction?.reverted == true && transaction?.revertErrors ?? [] == [])
                let after = try picture(kind, host)
                #expect(after == expected)
                try host.expectInPlace(yaml)
            }
        }
    }

    @Test("is finished, or taken away, wherever a kill came between", arguments: cases)
    func killed(_ kind: KindCase) throws {
        try Sandbox.run { host in
            let before = try prepare(kind, host)
            try restart(kind.with, host)
            let made = try picture(kind, host)
            for (start, end, pictures) in [
                (kind.base, kind.with, (made, before)), (kind.with, kind.base, (before, made)),
            ] {
                var count = 0
                var reached = 0
                repeat {
                    try restart(start, host)
                    // An agent that dies when it has done so much.
                    let agent = host.agent()
                    try agent.declare(end)
                    try agent.world.readAll()
                    let plan = agent.reconciler.plan()
                    count = plan.operations.count
                    // Nothing comes between two requests of one system call.
                    if reached > 0, plan.operations[reached - 1].staysWithNext { reached += 1 }
                    _ = agent.world.execute(Array(plan.operations.prefix(reached)))
                    try restart(end, host)
                    let after = try picture(kind, host)
                    #expect(after == pictures.0, "killed after \(reached) of \(count)")
                    reached += 1
                } while reached < count
                try restart(start, host)
                #expect(try picture(kind, host) == pictures.1)
            }
        }
    }
}
