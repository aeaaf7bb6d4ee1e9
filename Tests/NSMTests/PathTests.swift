import NSM
import TestSupport
import Testing

@Suite("Connection paths")
struct PathTests {
    /// Ids that count up.
    final class Counter {
        var count = 0
        func next() -> String {
            count += 1
            return "id-\(count)"
        }
    }

    static func connection(_ id: String = "client-0") -> NSMConnection { .with { $0.id = id } }

    @Test("the first component becomes the first segment")
    func first() throws {
        var connection = Self.connection()
        let hop = try connection.enter("client")
        #expect(connection.path.index == 0)
        #expect(connection.path.pathSegments.map(\.id) == ["client-0"])
        #expect(hop.ownID == "client-0")
    }

    @Test("each hop adds a segment with an id of its own, and the way back restores the caller's")
    func hops() throws {
        let counter = Counter()
        var connection = Self.connection()
        try connection.enter("client", newID: counter.next)
        let manager = try connection.enter("manager", newID: counter.next)
        let endpoint = try connection.enter("endpoint", newID: counter.next)
        #expect(connection.path.pathSegments.map(\.name) == ["client", "manager", "endpoint"])
        #expect(connection.path.pathSegments.map(\.id) == ["client-0", "id-1", "id-2"])
        #expect(connection.id == "id-2" && connection.path.index == 2)
        endpoint.leave(&connection)
        #expect(connection.id == "id-1" && connection.path.index == 1)
        manager.leave(&connection)
        #expect(connection.id == "client-0" && connection.path.index == 0)
    }

    @Test("a refresh keeps the ids, and another component behind gets a new one")
    func refresh() throws {
        let counter = Counter()
        var connection = Self.connection()
        try connection.enter("client", newID: counter.next)
        let hop = try connection.enter("manager", newID: counter.next)
        try connection.enter("endpoint", newID: counter.next)
        connection.path.index = 0
        connection.id = hop.callerID
        try connection.enter("manager", newID: counter.next)
        #expect(connection.id == "id-1")
        try connection.enter("other", newID: counter.next)
        #expect(connection.path.pathSegments.map(\.name) == ["client", "manager", "other"])
        #expect(connection.id == "id-3")
    }

    @Test("an index beyond the segments, and an id that is not the segment's, are refused")
    func refused() throws {
        var connection = Self.connection()
        try connection.enter("client")
        var beyond = connection
        beyond.path.index = 1
        #expect(throws: PathError.self) { try beyond.enter("manager") }
        var other = connection
        other.id = "somebody"
        #expect(throws: PathError.self) { try other.enter("manager") }
    }

    @Test("random paths never trap, and whoever enters stands at its own segment")
    func random() throws {
        var random = SeededGenerator(seed: 21)
        for _ in 0..<5000 {
            var connection = Self.connection(random.pick(["a", "b", ""]))
            connection.path.index = UInt32(random.below(4))
            for _ in 0..<random.below(4) {
                connection.path.pathSegments.append(
                    .with { segment in
                        segment.name = random.pick(["x", "y", "z"])
                        segment.id = random.pick(["a", "b", "c"])
                    })
            }
            let before = connection
            guard (try? connection.enter("y")) != nil else { continue }
            #expect(connection.currentSegment?.name == "y" || before.path.pathSegments.isEmpty)
            #expect(connection.currentSegment?.id == connection.id)
        }
    }

    @Test("registration paths are read as peers write them")
    func registryPath() {
        #expect(RegistryPath(json: "{\"Index\":0,\"PathSegments\":null}") == RegistryPath())
        #expect(RegistryPath(json: "{\"Index\":0,\"PathSegments\":[]}") == RegistryPath())
        #expect(
            RegistryPath(json: "{\"Index\":1,\"PathSegments\":[{\"token\":\"a.b.c\"},{\"token\":\"d\",\"x\":1}]}")
                == RegistryPath(index: 1, tokens: ["a.b.c", "d"]))
        #expect(RegistryPath(index: 0, tokens: ["a"]).json == "{\"Index\":0,\"PathSegments\":[{\"token\":\"a\"}]}")
        for bad in ["", "{", "[]", "{\"Index\":\"x\"}"] { #expect(RegistryPath(json: bad) == nil) }
    }

    @Test("paths that are longer than any way are refused")
    func long() throws {
        var connection = Self.connection()
        for number in 0..<64 { try connection.enter("hop-\(number)") }
        #expect(connection.path.pathSegments.count == 64)
        try connection.enter("hop-64")
        #expect(throws: PathError.self) { try connection.enter("hop-65") }
    }

    @Test("selectors match runs of segments, and empty fields match all")
    func selectors() throws {
        var connection = Self.connection()
        connection.networkService = "s"
        try connection.enter("client")
        try connection.enter("manager", newID: { "m" })
        func selects(_ segments: [(String, String)], _ services: [String] = []) -> Bool {
            NSMMonitorScopeSelector.with { selector in
                selector.pathSegments = segments.map { pair in
                    .with { segment in
                        segment.name = pair.0
                        segment.id = pair.1
                    }
                }
                selector.networkServices = services
            }.matches(connection)
        }
        #expect(selects([]) && selects([], ["s"]) && !selects([], ["t"]))
        #expect(selects([("", "client-0")]) && selects([("manager", "")]) && selects([("client", ""), ("", "m")]))
        #expect(!selects([("manager", ""), ("client", "")]) && !selects([("", ""), ("", ""), ("", "")]))
    }
}
