import LinuxKinds
import Model
import Reconciler
import TestSupport
import Testing

/// One key whose value two sources write in turn, with agents that are killed in between.
@Suite("a key changes hands", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct HandoverTests {
    /// `NSM_AGENT_SEED=7` runs one, `NSM_AGENT_SEED=51-350` runs a range.
    private static let seeds: [UInt64] = RandomHost.seeds(1...30, long: 1...500)

    @Test("whoever wrote last is heard, whatever was there and whenever an agent is killed", arguments: seeds)
    func life(_ seed: UInt64) throws {
        try Sandbox.run { host in
            var life = try Handover(host, seed: seed)
            for step in 0..<12 { try life.step(step) }
        }
    }
}

/// What becomes of the key on one host.
private struct Handover {
    private struct Claim {
        var source: Int
        var value: ModelValue
        var text: String
    }

    private let host: Sandbox
    private let seed: UInt64
    private var random: RandomHost
    private var agent: TestAgent
    /// What both sources say; the last one wrote last.
    private var claims: [Claim] = []
    private var log: [String] = []
    private var count = 0

    init(_ host: Sandbox, seed: UInt64) throws {
        (self.host, self.seed) = (host, seed)
        random = RandomHost(seed: seed)
        agent = host.agent()
        try agent.watch()
    }

    private static let key: Key = "config/linux/interfaces/v2/interface/s"

    mutating func step(_ number: Int) throws {
        for _ in 0..<(random.chance(30) ? 2 : 1) { try write() }
        if random.chance(40) {
            try restart()
        } else {
            // What the kernel tells of the change before may still be on its way.
            if random.chance(50) { try agent.quiesce() }
            try take(claims.last?.value)
        }
        try check("step \(number)")
    }

    /// One of both writes something new, or takes away what it wrote.
    private mutating func write() throws {
        let source = random.pick([0, 1])
        claims.removeAll { $0.source == source }
        guard random.chance(75) else { return log.append("source \(source): none") }
        count += 1
        let addresses = random.pick(["10.9.\(count).1/24", "10.9.\(count).1/24, 'fd09:\(count)::1/64'"])
        let text =
            random.pick([
                "type: TAP, tuntap: {mode: TAP}", "type: BRIDGE", "type: BRIDGE, bridge: {stp: true}",
                "type: VXLAN, vxlan: {vni: 5, remote: 192.0.2.1}", "type: TAP, tuntap: {mode: TUN}",
            ])
            + ", name: s, enabled: \(random.chance(90)), ipAddresses: [\(addresses)]\(random.chance(20) ? ", mtu: 1400" : "")"
        let config = ConfigLoader.load(bytes: Array(linux(text).utf8), name: "s.yaml")
        let value = try #require(config.items.first?.value)
        log.append("source \(source): \(text)")
        claims.append(Claim(source: source, value: value, text: text))
    }

    /// Declares the value of the key in the agent, which makes only that so.
    private func take(_ value: ModelValue?) throws {
        let ownership = agent.world.ownership
        agent.reconciler.change(
            source: "files", [(Self.key, value.map { LinuxRegistry.desired($0, ownership: ownership) })])
        try agent.world.readNew()
        agent.reconciler.reconcile(reason: .apply, scope: .changes)
    }

    /// The agent is killed, at any step of what it did, and the next one hears of one source before the other.
    private mutating func restart() throws {
        try leaveHalfDone()
        agent = host.agent()
        let knowsNone = random.chance(40)
        let first = knowsNone ? nil : claims.first
        log.append("restart, knows \(first.map { "source \($0.source)" } ?? "none")")
        if claims.count > 1 || knowsNone {
            // What nobody declares yet may be the other one's.
            agent.reconciler.spares = { _ in true }
            let ownership = agent.world.ownership
            let desired = first.map { LinuxRegistry.desired($0.value, ownership: ownership) }
            agent.reconciler.replace(source: "files", with: desired.map { [(key: Self.key, desired: $0)] } ?? [])
            try agent.watch()
            if random.chance(50) { try agent.quiesce() }
            agent.reconciler.spares = { _ in false }
            try take(claims.last?.value)
        } else {
            let ownership = agent.world.ownership
            let desired = claims.last.map { LinuxRegistry.desired($0.value, ownership: ownership) }
            agent.reconciler.replace(source: "files", with: desired.map { [(key: Self.key, desired: $0)] } ?? [])
            try agent.watch()
        }
    }

    /// What a kill between two requests leaves: the former link is gone, or a new one is there without all that makes it ours.
    private mutating func leaveHalfDone() throws {
        let ownership = agent.world.ownership
        let steps = [
            "link del s",
            "link add s type \(random.pick(["bridge", "dummy", "vxlan id 5 remote 192.0.2.1 dstport 4789"]))",
            "link set s group \(ownership.linkGroup)", "link set s alias \(ownership.aliasPrefix)s", "link set s up",
        ]
        let done = random.pick([0, 0, 1, 2, 3, 4, 5])
        // A link without the group would be somebody else's.
        if done == 2 { return }
        for step in steps.prefix(done) { _ = try? host.ip(step) }
        if done > 0 { log.append("half done: \(steps.prefix(done))") }
        if done == 0, random.chance(30), let link = try host.link("s"),
            let address = try host.addresses(link.name).first
        {
            log.append("half done: without \(address)")
            try host.ip("addr del \(address) dev s")
        }
    }

    private func check(_ when: String) throws {
        _ = try agent.quiesce()
        let link = try host.link("s")
        if let claim = claims.last {
            let kind = claim.text.contains("TAP") ? "tun" : claim.text.contains("VXLAN") ? "vxlan" : "bridge"
            expect(link?.kind == kind, "\(when): \(link?.kind ?? "none") instead of \(kind)")
            if let link, let spec = claim.value.interface {
                let there = try host.addresses(link.name).filter { !$0.hasPrefix("fe80") }
                // Without being up it has them all the same.
                expect(there == spec.ipAddresses.sorted(), "\(when): \(there) instead of \(spec.ipAddresses)")
                expect(link.isUp == spec.enabled, "\(when): up is \(link.isUp)")
            }
        } else {
            expect(link == nil, "\(when): \(link?.kind ?? "") is left")
        }
        let again = agent.reconciler.reconcile(reason: .apply)?.entries.map(\.line) ?? []
        expect(again == [], "\(when), again: \(again)")
    }

    private func expect(_ holds: Bool, _ what: @autoclosure () -> String) {
        if holds { return }
        Issue.record("seed \(seed): \(what())\n\(log.joined(separator: "\n"))\n\(agent.problems)")
    }
}

extension ModelValue {
    fileprivate var interface: Ligato_Linux_Interfaces_Interface? {
        if case .interface(let message) = self { message } else { nil }
    }
}
