import NSM
import NetworkTypes
import TestSupport
import Testing

@testable import NSMServices

@Suite("The parts of a network of several endpoints")
struct NetworkPartsTests {
    private static func prefixes(_ texts: String...) throws -> [IPPrefix] {
        try texts.map { try #require(IPPrefix($0)) }
    }

    @Test("clients are led to the whole network, or to all of its parts when it is not known")
    func clients() throws {
        var parts = NetworkParts(
            declared: try Self.prefixes("192.0.2.0/24"), own: try Self.prefixes("10.60.1.0/24"))
        #expect(parts.note(try Self.prefixes("10.60.0.0/24", "10.60.0.1/32"), of: "b") == ["b"])
        #expect(
            parts.routesOfClients.map { "\($0)" } == ["192.0.2.0/24", "10.60.1.0/24", "10.60.0.0/24"])
        #expect(parts.set(own: parts.own, networks: try Self.prefixes("10.60.0.0/16")).isEmpty)
        #expect(parts.routesOfClients.map { "\($0)" } == ["192.0.2.0/24", "10.60.0.0/16"])
        #expect(parts.note(try Self.prefixes("10.60.7.0/24"), of: "c") == ["c"])
        #expect(parts.routesOfClients.map { "\($0)" } == ["192.0.2.0/24", "10.60.0.0/16"])
    }

    @Test("nothing that is ours, lies outside of the network, or is half of the world goes to another endpoint")
    func usable() throws {
        var parts = NetworkParts(own: try Self.prefixes("10.60.1.0/24"))
        let said = try Self.prefixes(
            "0.0.0.0/0", "10.60.0.0/16", "10.60.1.0/25", "10.60.2.0/24", "10.61.0.0/24", "::/0")
        _ = parts.note(said, of: "b")
        #expect(parts.routes(to: "b").map { "\($0)" } == ["10.60.2.0/24", "10.61.0.0/24"])
        #expect(parts.set(own: parts.own, networks: try Self.prefixes("10.60.0.0/16")) == ["b"])
        #expect(parts.routes(to: "b").map { "\($0)" } == ["10.60.2.0/24"])
        _ = parts.note((0..<100).map { IPPrefix("10.60.\($0 + 100).0/24") }.compactMap { $0 }, of: "b")
        #expect(parts.routes(to: "b").count == NetworkParts.mostOfOne)
        #expect(parts.forget("b") == ["b"] && parts.forget("b").isEmpty)
        #expect(parts.routes(to: "b").isEmpty)
    }

    @Test("who was first with a part has it while he is reached, and has it back")
    func held() throws {
        var parts = NetworkParts()
        let part = try Self.prefixes("10.60.0.0/24")
        _ = parts.note(part, of: "b")
        for other in [part, try Self.prefixes("10.60.0.0/31"), try Self.prefixes("10.60.0.0/16")] {
            #expect(parts.note(other, of: "c").isEmpty)
            #expect(parts.routes(to: "b") == part && parts.routes(to: "c").isEmpty)
        }
        // Something that overlaps is never believed, though the other one is not reached.
        #expect(parts.noteUnreached("b").isEmpty && parts.routes(to: "b") == part)
        #expect(parts.note(part, of: "c") == ["b", "c"] && parts.routes(to: "c") == part)
        #expect(parts.note(part, of: "b") == ["b", "c"] && parts.routes(to: "b") == part)
        #expect(parts.note(part, of: "b", isLive: false) == ["b", "c"] && parts.routes(to: "c") == part)
        // When nobody is reached it stays.
        #expect(parts.noteUnreached("c").isEmpty && parts.routes(to: "c") == part)
        // One that has it in the meantime can't make it another one's by something that overlaps it.
        _ = parts.note(try Self.prefixes("10.60.0.0/23"), of: "d")
        #expect(parts.note(try Self.prefixes("10.60.0.0/25"), of: "c") == ["b", "c"])
        #expect(parts.routes(to: "b") == part && parts.routes(to: "c").isEmpty && parts.routes(to: "d").isEmpty)
        // One that said something earlier, and had nothing of it, does not take what came to be held since.
        _ = parts.forget("c")
        _ = parts.note(try Self.prefixes("10.60.0.0/16"), of: "d")
        _ = parts.note(try Self.prefixes("10.60.5.0/24"), of: "e")
        _ = parts.forget("b")
        #expect(parts.routes(to: "d").isEmpty && parts.routes(to: "e").count == 1)
    }

    @Test("a link is of use when the addresses of both ends are of the other one's part")
    func addresses() throws {
        var parts = NetworkParts(own: try Self.prefixes("10.60.1.0/24"))
        _ = parts.note(try Self.prefixes("10.60.0.0/24"), of: "b")
        _ = parts.note(try Self.prefixes("10.60.2.0/24"), of: "c")
        func mistake(_ source: String, _ destination: String, of name: String = "b") -> String? {
            parts.mistake(
                in: .with { ($0.srcIpAddrs, $0.dstIpAddrs) = ([source], [destination]) }, of: name)
        }
        #expect(mistake("10.60.0.2/32", "10.60.0.1/32") == nil)
        #expect(mistake("10.60.0.2/32", "10.60.1.7/32") == "10.60.1.7 lies in no part of its own")
        #expect(mistake("10.60.0.2/32", "10.60.2.7/32") == "10.60.2.7 lies in no part of its own")
        #expect(mistake("10.60.1.2/32", "10.60.0.1/32") == "10.60.1.2 lies in no part of its own")
        #expect(mistake("10.60.0.2/8", "10.60.0.1/32") == "10.60.0.2/8 is no single address")
        #expect(parts.mistake(in: .init(), of: "d") == "it has no part of its own")
    }

    @Test("a client comes again only for routes that it lacks, and another endpoint for our own parts")
    func lacks() throws {
        let wanted = NetworkRoutes(
            clients: try Self.prefixes("10.60.0.0/16", "10.60.0.1/32"), others: try Self.prefixes("10.60.0.0/24"))
        func lacks(_ connection: NSMConnection) -> Bool { wanted.areLacking(in: connection) }
        func connection(_ routes: [String], origin: String? = nil) -> NSMConnection {
            .with { connection in
                connection.context.extraContext["nsm-agent/vl3-endpoint"] = origin
                connection.context.ipContext.dstIpAddrs = ["10.60.0.1/32"]
                connection.context.ipContext.srcRoutes = routes.map { text in .with { $0.prefix = text } }
            }
        }
        #expect(!lacks(connection(["10.60.0.0/16", "10.60.0.1/32"])) && !lacks(connection(["10.60.0.0/16"])))
        #expect(!lacks(connection(["10.60.0.0/16", "10.60.0.0/16"])) && lacks(connection([])))
        #expect(lacks(connection(["10.60.0.1/32"])) && lacks(connection(["10.60.0.0/16", "10.61.0.0/16"])))
        #expect(!lacks(connection(["10.60.0.0/24", "10.60.0.1/32"], origin: "b")))
        #expect(lacks(connection(["10.60.0.0/16", "10.60.0.1/32"], origin: "b")))
    }

    /// What is never so, whatever others say.
    private func check(_ parts: NetworkParts, _ names: [String], seed: UInt64) {
        let routes = names.flatMap { parts.routes(to: $0) }
        for (index, route) in routes.enumerated() {
            #expect(!parts.own.contains(where: route.overlaps), "seed \(seed): \(route) is our own")
            #expect(!routes[..<index].contains(where: route.overlaps), "seed \(seed): \(route) is with two")
            #expect(parts.routesOfClients.contains { $0.contains(route) }, "seed \(seed): clients lack \(route)")
        }
        let all = parts.declared + parts.networks + parts.own + routes.sorted()
        var wanted: [IPPrefix] = []
        for route in all where !wanted.contains(where: { $0.contains(route) }) { wanted.append(route) }
        #expect(parts.routesOfClients == wanted, "seed \(seed)")
    }

    @Test("whatever others say, each part is behind one of them, and nobody takes another one's")
    func random() {
        for seed in Seeds("parts of networks", usual: 200, long: 5000) {
            var generator = SeededGenerator(seed: seed)
            let all = (0..<12).compactMap { IPPrefix("10.60.\($0).0/24") }
            let odd = ["10.60.0.0/16", "10.60.0.0/22", "10.60.3.0/25", "10.60.5.4/31", "10.61.0.0/24"].compactMap {
                IPPrefix($0)
            }
            var parts = NetworkParts(own: [all[0]])
            let names = (1...5).map { "e\($0)" }
            for _ in 0..<60 {
                let name = names.randomElement(using: &generator) ?? ""
                let before = parts
                var changed: Set<String> = []
                switch Int.random(in: 0..<8, using: &generator) {
                case 0: changed = parts.forget(name)
                case 1, 2: changed = parts.noteUnreached(name)
                default:
                    let count = Int.random(in: 0...3, using: &generator)
                    changed = parts.note(
                        (all + odd).shuffled(using: &generator).prefix(count).map { $0 }, of: name,
                        isLive: Int.random(in: 0..<4, using: &generator) > 0)
                }
                check(parts, names, seed: seed)
                for other in names {
                    let (was, now) = (before.routes(to: other), parts.routes(to: other))
                    #expect((was != now) == changed.contains(other), "seed \(seed): \(other)")
                    // Who says and does nothing loses a part only to one who has the same.
                    guard other != name else { continue }
                    for lost in was where !now.contains(lost) {
                        #expect(parts.routes(to: name).contains(lost), "seed \(seed): \(other) lost \(lost)")
                    }
                }
            }
            // In the end all say what is so.
            var truth: [String: [IPPrefix]] = [:]
            for name in names { _ = parts.forget(name) }
            for (index, name) in names.shuffled(using: &generator).enumerated() {
                truth[name] = Array(all[(2 * index + 1)...(2 * index + 2)])
                _ = parts.note(truth[name] ?? [], of: name)
            }
            for name in names { #expect(parts.routes(to: name) == truth[name], "seed \(seed) \(name)") }
        }
    }

    @Test("whatever liars do, and whoever is healed or started again, an honest one that is reached has its part")
    func liars() {
        for seed in Seeds("liars of networks", usual: 200, long: 5000) {
            var generator = SeededGenerator(seed: seed)
            var parts = NetworkParts(own: [IPPrefix("10.62.0.0/24")].compactMap { $0 })
            let honest = (1...4).map { "honest\($0)" }
            let liars = (1...4).map { "liar\($0)" }
            var truth: [String: [IPPrefix]] = [:]
            for (index, name) in honest.enumerated() {
                truth[name] = [IPPrefix("10.60.\(index).0/24")].compactMap { $0 }
                _ = parts.note(truth[name] ?? [], of: name)
            }
            let lies = [
                "10.60.0.0/24", "10.60.1.0/24", "10.60.2.0/24", "10.60.3.0/24", "10.60.0.0/16", "10.60.0.0/22",
                "10.60.1.0/25", "10.60.2.128/25", "10.60.3.4/31", "10.60.0.0/23", "10.60.2.0/23", "10.61.0.0/24",
            ].compactMap { IPPrefix($0) }
            var reached = Set(honest)
            for step in 0..<120 {
                switch Int.random(in: 0..<12, using: &generator) {
                case 0:
                    // The mesh is started again: nobody is reached, and then one after the other.
                    reached = []
                    for name in honest + liars { _ = parts.noteUnreached(name) }
                case 1:
                    for name in honest where !reached.contains(name) { _ = parts.note(truth[name] ?? [], of: name) }
                    reached = Set(honest)
                case 2...4:
                    guard let name = honest.randomElement(using: &generator) else { continue }
                    if reached.remove(name) == nil {
                        reached.insert(name)
                        _ = parts.note(truth[name] ?? [], of: name)
                    } else {
                        _ = parts.note(truth[name] ?? [], of: name, isLive: false)
                    }
                case 5: _ = parts.forget(liars.randomElement(using: &generator) ?? "")
                case 6: _ = parts.noteUnreached(liars.randomElement(using: &generator) ?? "")
                default:
                    let count = Int.random(in: 0...4, using: &generator)
                    _ = parts.note(
                        lies.shuffled(using: &generator).prefix(count).map { $0 },
                        of: liars.randomElement(using: &generator) ?? "")
                }
                check(parts, honest + liars, seed: seed)
                for name in reached {
                    #expect(parts.routes(to: name) == truth[name], "seed \(seed), step \(step): \(name)")
                }
            }
        }
    }

    @Test("interfaces to other endpoints have names that the kernel takes, and that stay")
    func names() {
        let names = (0..<2000).map { SharedNetwork.interfaceName("endpoint", "pod-\($0)-net") }
        #expect(names.allSatisfy { $0.utf8.count == 15 && $0.hasPrefix("endpoint-") })
        #expect(Set(names).count > 1990)
        #expect(SharedNetwork.interfaceName("net", "x") == SharedNetwork.interfaceName("net", "x"))
        #expect(SharedNetwork.interfaceName("net", "x") != SharedNetwork.interfaceName("net", "x", 1))
        let long = SharedNetwork.id(of: String(repeating: "a", count: 200), to: String(repeating: "b", count: 200))
        #expect(long.utf8.count <= 253 && SharedNetwork.id(of: "a-net", to: "b-net") == "a-net-to-b-net")
    }
}
