import NetworkTypes
import TestSupport
import Testing

@testable import NSMServices

private func part(_ servers: String..., search: [String] = []) -> ResolverConfiguration {
    var configuration = ResolverConfiguration()
    configuration.add(servers: servers, search: search)
    return configuration
}

private func addresses(_ text: String...) -> [IPAddress] { text.compactMap { IPAddress($0) } }

private func answer(_ kind: DNSAnswer.Kind, ttl: UInt32 = 60) throws -> DNSAnswer {
    let reply =
        switch kind {
        case .records: ReplyText(answers: [ReplyText.record(1, ttl: ttl, [10, 0, 0, 1])])
        case .noData: ReplyText(authorities: [ReplyText.soa(ttl: ttl, minimum: ttl)])
        case .noName: ReplyText(code: 3, authorities: [ReplyText.soa(ttl: ttl, minimum: ttl)])
        }
    return try #require(try reply.answer(to: request("a.example")))
}

@Suite("Who is asked for a name")
struct ResolverRouteTests {
    private let own: Set<IPAddress> = [IPAddress(v4: 0x7f00_0001)]

    private var routes: ResolverRoutes {
        ResolverRoutes(
            [
                part("10.0.0.1", search: ["db.example", "shared.example"]),
                part("10.0.0.2", "10.0.0.1", search: ["shared.example", "deep.db.example"]), part("10.0.0.3"),
            ], original: part("127.0.0.1", "10.0.0.9", search: ["home.test", "db.example"]), own: own)
    }

    @Test("the longest domain decides; other names are asked of all, but never of ourselves")
    func domains() throws {
        func servers(_ name: String) throws -> [IPAddress] { routes.route(try domain(name)).servers }
        #expect(
            try servers("one.db.example") == addresses("10.0.0.1") && servers("db.example") == addresses("10.0.0.1"))
        #expect(try servers("x.deep.db.example") == addresses("10.0.0.2", "10.0.0.1"))
        #expect(try servers("x.shared.example") == addresses("10.0.0.1", "10.0.0.2"))
        #expect(try servers("example") == addresses("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.9"))
        #expect(try servers("x.home.test") == servers("example") && servers("notdb.example") == servers("example"))
        let search = ["db.example", "shared.example", "deep.db.example", "home.test"]
        #expect(routes.search.map(\.description) == search && routes.servers.count == 4)
    }

    @Test("another endpoint with servers at the same addresses is another route")
    func origins() throws {
        var (one, other) = (part("10.0.0.1", search: ["db.example"]), part("10.0.0.1", search: ["db.example"]))
        (one.origin, other.origin) = ("a", "b")
        func route(_ parts: ResolverConfiguration..., to name: String = "x.db.example") throws -> ResolverRoutes.Route {
            ResolverRoutes(parts, original: ResolverConfiguration(), own: own).route(try domain(name))
        }
        #expect(try route(one) != route(other) && route(one) == route(one, part("10.0.0.2")))
        #expect(try route(one, to: "x.test") == route(other, to: "x.test"))
    }

    @Test("nobody's thousand servers or domains push others out")
    func bounds() throws {
        let greedy = (0..<1000).map { "10.9.\($0 / 250).\($0 % 250 + 1)" }
        var parts: [ResolverConfiguration] = []
        for server in greedy { parts.append(part(server, search: ["d\(server).test", "same.test"])) }
        let routes = ResolverRoutes(parts, original: part("10.0.0.9"), own: own)
        let all = routes.route(try domain("other"))
        #expect(all.servers.count == 14 && all.servers.last == IPAddress("10.0.0.9"))
        #expect(try routes.route(domain("x.same.test")).servers.count == ResolverRoutes.mostServers)
        #expect(routes.search.count == ResolverRoutes.mostSearch)
        #expect(try routes.route(domain("d10.9.3.250.test")).servers == addresses("10.9.3.250"))
    }

    @Test("records win at once; that there are none only when others had their chance")
    func fanIn() throws {
        let (records, noData, noName) = (try answer(.records), try answer(.noData), try answer(.noName))
        /// After which outcome there was nothing to wait for, from 0, and what the answer is then.
        func run(_ count: Int, doubtful: Set<Int> = [], _ outcomes: (Int, DNSAnswer?)...) -> [Int?: DNSAnswer?] {
            var fan = FanIn(count, doubtful: doubtful)
            for (number, (place, answer)) in outcomes.enumerated() {
                if fan.note(answer.map { .answer($0) } ?? .failure, from: place) { return [number: fan.preliminary] }
            }
            return [nil: fan.preliminary]
        }
        #expect(run(3, (0, noName)) == [nil: noName] && run(3, (0, noName), (2, noData)) == [nil: noData])
        #expect(run(3, (0, noName), (2, noData), (1, records)) == [2: records] && run(3, (2, records)) == [0: records])
        #expect(run(2, (0, nil), (1, nil)) == [1: nil] && run(2, (0, noData), (1, noName)) == [1: noData])
        // Nobody waits for one that did not answer lately, unless there is no other.
        #expect(run(2, doubtful: [1], (0, noName)) == [0: noName])
        #expect(run(2, doubtful: [1], (0, nil), (1, records)) == [1: records])
        #expect(run(2, doubtful: [0, 1], (0, noName)) == [nil: noName])
    }

    @Test("that there is nothing is only sure when nobody is left who could know better")
    func sureness() throws {
        var fan = FanIn(3, doubtful: [2])
        _ = fan.note(.answer(try answer(.noName)), from: 0)
        #expect(fan.isUnsure)
        var sure = fan
        _ = sure.note(.failure, from: 1)
        #expect(!sure.isUnsure)
        _ = fan.note(.answer(try answer(.records)), from: 2)
        #expect(!fan.isUnsure)
    }

    @Test("three silences in a row make a server doubtful, and one answer ends that")
    func health() {
        var health = ServerHealth()
        let server = IPAddress(v4: 1)
        for _ in 0..<2 { health.note(server, isAlive: false) }
        #expect(!health.isDoubtful(server))
        for _ in 0..<10 { health.note(server, isAlive: false) }
        #expect(health.isDoubtful(server) && health.doubtful == 1)
        health.note(server, isAlive: true)
        #expect(!health.isDoubtful(server))
    }

    @Test(
        "addresses to listen at",
        arguments: [
            ("127.0.0.1", "127.0.0.1:53"), ("127.0.0.1:5353", "127.0.0.1:5353"), ("::1", "[::1]:53"),
            ("[::1]:54", "[::1]:54"), ("0.0.0.0:53", "0.0.0.0:53"),
        ])
    func places(text: String, shown: String) {
        #expect(ResolverAddress(text)?.description == shown)
    }

    @Test(
        "no addresses",
        arguments: [
            "", ":53", "localhost:53", "127.0.0.1:0", "127.0.0.1:65536", "[127.0.0.1]:53", "1:2:53", "127.0.0.1:+5",
        ])
    func noPlaces(text: String) { #expect(ResolverAddress(text) == nil) }
}

@Suite("Answers that are kept")
struct ResolverCacheTests {
    private func key(_ name: String) throws -> ResolverCache.Key { ResolverCache.Key(try request(name)) }

    @Test("an answer is given until its time is over")
    func time() throws {
        var cache = ResolverCache()
        func ask(_ name: String, at now: Int64) throws -> UInt32? { cache.answer(to: try key(name), at: now)?.age }
        cache.keep(try answer(.records, ttl: 60), for: try key("a.example"), at: 1000)
        #expect(try ask("a.example", at: 1059) == 59 && ask("A.example", at: 1000) == 0)
        #expect(try ask("b.example", at: 1000) == nil)
        #expect(try ask("a.example", at: 1060) == nil && cache.count == 0 && cache.size == 0)
        cache.keep(try answer(.records, ttl: 0), for: try key("a.example"), at: 1000)
        #expect(cache.count == 0)
    }

    @Test("what was not used for longest goes first, and neither count nor size is ever over")
    func bounds() throws {
        var cache = ResolverCache(entries: 100, bytes: 1 << 20)
        func has(_ name: String) throws -> Bool { cache.answer(to: try key(name), at: 0) != nil }
        let records = try answer(.records)
        for number in 0..<1000 {
            cache.keep(records, for: try key("n\(number).example"), at: 0)
            #expect(try has("n0.example") && cache.count <= 100)
        }
        #expect(try !has("n1.example") && has("n999.example"))
        var small = ResolverCache(entries: 1000, bytes: 8192)
        for number in 0..<1000 {
            small.keep(records, for: try key("n\(number).example"), at: 0)
            #expect(small.size <= 8192)
        }
        #expect(small.count > 10)
    }

    @Test("answers of servers that are not asked any more go")
    func removal() throws {
        var cache = ResolverCache()
        for name in ["a.example", "b.test"] { cache.keep(try answer(.records), for: try key(name), at: 0) }
        let example = try domain("example")
        cache.remove { $0.isWithin(example) }
        let kept = cache.answer(to: try key("b.test"), at: 0)
        #expect(cache.count == 1 && kept != nil)
    }
}
