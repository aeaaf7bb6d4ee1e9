import Model
import Reconciler
import TestSupport
import Testing

/// What holds for every configuration and whatever others do beside it.
@Suite("random hosts", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct HostPropertyTests {
    private static let seeds = RandomHost.seeds(Array(1...50) + telling, long: 1...2000)

    /// Seeds that found something once.
    private static let telling: [UInt64] = [172, 548, 646, 669, 788, 853, 947, 1006, 1283]

    @Test(
        "after a change nothing is left to do; what others have is as before; in the end nothing of ours is left",
        arguments: seeds)
    func life(_ seed: UInt64) throws {
        try Sandbox.run { host in
            var life = try Life(host, seed: seed)
            for _ in 0..<5 { try life.step() }
            try life.end()
        }
    }
}

/// One host and what happens on it.
private struct Life {
    private let host: Sandbox
    private let seed: UInt64
    private let agent: TestAgent
    private var random: RandomHost
    /// Which of ``RandomHost/foreign`` are there.
    private var others: Set<Int> = []
    private var text = ""
    private let links: [String]
    private var log: [String] = []

    init(_ host: Sandbox, seed: UInt64) throws {
        (self.host, self.seed) = (host, seed)
        random = RandomHost(seed: seed)
        try host.addNamespaces("x")
        try host.ip("link add fe0 type veth peer name ff0")
        for name in ["fe0", "ff0"] {
            try host.ip("link set \(name) addrgenmode none")
            try host.ip("link set \(name) up")
        }
        links = try Self.links(host)
        agent = host.agent()
        if random.chance(50) { try agent.watch() }
    }

    /// Something others do, and then a change of ours.
    mutating func step() throws {
        for (number, (make, take)) in RandomHost.foreign.enumerated() where random.chance(25) {
            let isThere = others.contains(number)
            if (try? host.ip(isThere ? take : make)) == nil { continue }
            log.append(isThere ? take : make)
            if isThere { others.remove(number) } else { others.insert(number) }
        }
        if random.chance(40) { try undo() }
        let before = try foreign()
        let next = config()
        text = next
        log.append(next)
        let transaction = try agent.apply(next)
        let failures = transaction?.entries.filter { !$0.error.isEmpty }.map(\.line) ?? []
        expect(failures == [], "failed: \(failures)")
        expect(transaction?.losses ?? [] == [], "losses: \(transaction?.losses ?? [])")
        try check("after a change", before)
    }

    /// A change that fails and is undone: everything is as before it.
    private mutating func undo() throws {
        // Addresses of ours go with those of others in whose network they are: what was to be there is there first.
        try agent.apply(text)
        let next = config()
        // A name that the kernel refuses.
        let bad = "    - {name: default, type: BRIDGE, enabled: true}"
        let refused =
            next.contains("  interfaces:\n")
            ? next.replacing("  interfaces:\n", with: "  interfaces:\n\(bad)\n")
            : linux(String(bad.dropFirst(7).dropLast()))
        log.append("undone:\n" + refused)
        let (before, linksBefore) = (try foreign(), try Self.links(host).sorted())
        let transaction = try agent.apply(refused, tolerant: true, revertOnFailure: true)
        expect(transaction?.reverted == true, "not undone")
        expect(transaction?.revertErrors ?? [] == [], "undo failed: \(transaction?.revertErrors ?? [])")
        let linksAfter = try Self.links(host).sorted()
        expect(linksAfter == linksBefore, "links after an undo: \(linksAfter) not \(linksBefore)")
        let lines = try host.agent().plan(text)
        expect(lines == [], "after an undo, a new agent: \(lines)")
        let after = try foreign()
        expect(after == before, "after an undo, of others: \(Set(before).symmetricDifference(after).sorted())")
        try agent.apply(text)
    }

    mutating func end() throws {
        let before = try foreign()
        text = ""
        try agent.apply("")
        try check("at the end", before)
        let left = try Self.links(host)
        expect(left == links, "links at the end: \(left)")
    }

    private mutating func config() -> String {
        for _ in 0..<200 {
            let text = random.config().text
            if ConfigLoader.load(bytes: Array(text.utf8), name: "random.yaml").isValid { return text }
        }
        return ""
    }

    /// Nothing is to be done, as this agent believes, as it reads, and as a new one reads.
    private func check(_ when: String, _ before: [String]) throws {
        let after = try foreign()
        expect(after == before, "\(when), of others: \(Set(before).symmetricDifference(after).sorted())")
        let requests = agent.world.modifyingRequests
        for isRead in [false, true] {
            if isRead { try agent.world.readAll() }
            let again = agent.reconciler.reconcile(reason: .apply)?.entries.map(\.line) ?? []
            expect(again == [], "\(when), again, read: \(isRead): \(again)")
        }
        expect(agent.world.modifyingRequests == requests, "\(when), requests")
        let fresh = host.agent()
        let lines = try fresh.plan(text)
        expect(lines == [], "\(when), a new agent: \(lines)")
    }

    private func expect(_ holds: Bool, _ what: @autoclosure () -> String) {
        if holds { return }
        Issue.record("seed \(seed): \(what())\n\(log.joined(separator: "\n"))")
    }

    /// All that others have, without what changes by itself.
    private func foreign() throws -> [String] {
        let addresses = try host.ip("-o addr show dev fe0 scope global").split(separator: "\n")
            .filter { $0.contains(".100/") || $0.contains(".101/") || $0.contains("::100/") }
            .map { $0.split(separator: " ").dropFirst() }
        let rest = try [
            "-o route show proto dhcp", "-o route show proto bird", "-o -6 route show proto static",
            "neigh show dev fe0 nud permanent", "neigh show proxy dev fe0", "rule show",
        ].flatMap { try host.ip($0).split(separator: "\n") }
            .filter { !$0.contains(" proto ") || $0.contains("proto dhcp") }
            .map { $0.split(separator: " ")[...] }
        return (addresses + rest).map { words in
            words.filter { $0 != "secondary" && $0 != "linkdown" && !$0.hasSuffix("sec") }.joined(separator: " ")
        }.sorted()
    }

    /// The links that are there.
    private static func links(_ host: Sandbox) throws -> [String] {
        try ([nil] + host.namespaces.filter { $0 == "x" }).flatMap {
            try host.links(in: $0).map { "\($0.name) \($0.kind) \($0.isUp)" }
        }
            + host.namespaces.filter { $0 != "y" }.sorted()
    }
}
