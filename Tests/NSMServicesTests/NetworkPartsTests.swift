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
        var parts = NetworkParts(declared: try Self.prefixes("192.0.2.0/24"))
        parts.own = try Self.prefixes("10.60.1.0/24")
        parts.note(try Self.prefixes("10.60.0.0/24", "10.60.0.1/32"), of: "b")
        #expect(
            parts.routesOfClients.map { "\($0)" } == ["192.0.2.0/24", "10.60.1.0/24", "10.60.0.0/24"])
        parts.networks = try Self.prefixes("10.60.0.0/16")
        #expect(parts.routesOfClients.map { "\($0)" } == ["192.0.2.0/24", "10.60.0.0/16"])
        parts.note(try Self.prefixes("10.60.7.0/24"), of: "c")
        #expect(parts.routesOfClients.map { "\($0)" } == ["192.0.2.0/24", "10.60.0.0/16"])
    }

    @Test("nothing that is ours, lies outside of the network, or is half of the world goes to another endpoint")
    func usable() throws {
        var parts = NetworkParts()
        parts.own = try Self.prefixes("10.60.1.0/24")
        let said = try Self.prefixes(
            "0.0.0.0/0", "10.60.0.0/16", "10.60.1.0/25", "10.60.2.0/24", "10.61.0.0/24", "::/0")
        parts.note(said, of: "b")
        #expect(parts.routes(to: "b").map { "\($0)" } == ["10.60.2.0/24", "10.61.0.0/24"])
        parts.networks = try Self.prefixes("10.60.0.0/16")
        #expect(parts.routes(to: "b").map { "\($0)" } == ["10.60.2.0/24"])
        parts.note((0..<100).map { IPPrefix("10.60.\($0 + 100).0/24") }.compactMap { $0 }, of: "b")
        #expect(parts.routes(to: "b").count == NetworkParts.mostOfOne)
        parts.forget("b")
        #expect(parts.routes(to: "b").isEmpty && parts.others.isEmpty)
    }

    @Test("a part that two say they have is behind the one who came to have it last")
    func moved() throws {
        var parts = NetworkParts()
        parts.note(try Self.prefixes("10.60.0.0/24"), of: "b")
        parts.note(try Self.prefixes("10.60.0.0/24"), of: "c")
        #expect(parts.routes(to: "b").isEmpty && parts.routes(to: "c").count == 1)
        // Saying it again is no news.
        parts.note(try Self.prefixes("10.60.0.0/24"), of: "b")
        #expect(parts.routes(to: "b").isEmpty && parts.routes(to: "c").count == 1)
        parts.forget("c")
        #expect(parts.routes(to: "b").count == 1)
    }

    @Test(
        "in whatever order it is heard who has which part, each is behind one endpoint, and in the end behind its own")
    func random() {
        for seed in Seeds("parts of networks", usual: 200, long: 5000) {
            var generator = SeededGenerator(seed: seed)
            let all = (0..<12).compactMap { IPPrefix("10.60.\($0).0/24") }
            var parts = NetworkParts()
            parts.own = [all[0]]
            if Bool.random(using: &generator) { parts.networks = [IPPrefix("10.60.0.0/16")].compactMap { $0 } }
            var truth: [String: [IPPrefix]] = [:]
            var heard: [String: [IPPrefix]] = [:]
            let names = (1...5).map { "e\($0)" }
            func consider(_ name: String, _ prefixes: [IPPrefix]?) {
                heard[name] = prefixes
                if let prefixes { parts.note(prefixes, of: name) } else { parts.forget(name) }
                let routes = names.flatMap { parts.routes(to: $0) }
                #expect(Set(routes).count == routes.count && !routes.contains(all[0]), "seed \(seed)")
                let clients = parts.routesOfClients
                for route in routes + [all[0]] {
                    #expect(clients.contains { $0.contains(route.address) }, "seed \(seed)")
                }
            }
            for _ in 0..<40 {
                // Something happens, and somebody's last word is heard, late or not.
                let name = names.randomElement(using: &generator) ?? ""
                let taken = Set(truth.values.joined())
                let free = all.dropFirst().filter { !taken.contains($0) }
                truth[name] =
                    Int.random(in: 0..<4, using: &generator) == 0
                    ? nil : free.shuffled(using: &generator).prefix(Int.random(in: 1...2, using: &generator)).map { $0 }
                let other = names.randomElement(using: &generator) ?? ""
                consider(other, truth[other])
            }
            for name in names.shuffled(using: &generator) { consider(name, truth[name]) }
            for name in names {
                #expect(Set(parts.routes(to: name)) == Set(truth[name] ?? []), "seed \(seed) \(name)")
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
