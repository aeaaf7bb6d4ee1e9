import Concurrency
import NSM
import SPIFFE
import SwiftProtobuf
import Synchronization
import TestSupport
import Testing

@testable import Mesh

@Suite("The registry")
struct RegistryTests {
    static func endpoint(
        _ name: String, _ services: [String] = ["s"], labels: [String: String] = [:], for time: Duration = .seconds(60)
    ) -> RegistryStore.Entry {
        var endpoint = NSMNetworkServiceEndpoint()
        endpoint.name = name
        endpoint.networkServiceNames = services
        for service in services { endpoint.networkServiceLabels[service] = .with { $0.labels = labels } }
        endpoint.expirationTime = Google_Protobuf_Timestamp(Timestamp.now.advanced(by: time))
        return RegistryStore.Entry(endpoint: endpoint, socket: nil)
    }

    static func names(_ entries: [RegistryStore.Entry]) -> Set<String> { Set(entries.map(\.endpoint.name)) }

    @Test("names belong to whoever registered them first")
    func ownership() throws {
        let store = RegistryStore { _ in }
        try store.register(Self.endpoint("e"), .stranger("a"))
        try store.register(Self.endpoint("e"), .stranger("a"))
        #expect(throws: RegistryStore.Refused.self) { try store.register(Self.endpoint("e"), .stranger("b")) }
        #expect(throws: RegistryStore.Refused.self) {
            try store.unregister(Self.endpoint("e").endpoint, .stranger("b"))
        }
        try store.unregister(Self.endpoint("e").endpoint, .stranger("a"))
        try store.register(Self.endpoint("e"), .stranger("b"))
        let service = NSMNetworkService.with { $0.name = "s" }
        #expect(try store.register(service, .stranger("a"), pathIDs: ["a"]).payload == "IP")
        #expect(throws: RegistryStore.Refused.self) { try store.register(service, .stranger("b"), pathIDs: ["b"]) }
    }

    @Test("matches are kept though an endpoint came first with the name alone, and belong to their first owner")
    func declared() throws {
        let store = RegistryStore { _ in }
        let plain = NSMNetworkService.with { $0.name = "s" }
        let declared = NSMNetworkService.with { service in
            service.name = "s"
            service.matches = [.with { $0.routes = [.init()] }]
        }
        func refusal(
            _ service: NSMNetworkService, _ peer: String, isFree: Bool? = true, as standing: Caller.Standing = .stranger
        ) -> String {
            let caller = Caller(
                identity: PeerIdentity(unproven: peer), credentials: nil, standing: standing, address: nil)
            do {
                _ = try store.register(service, caller, pathIDs: [peer], isFree: isFree)
                return ""
            } catch {
                return "\(error)"
            }
        }
        #expect(refusal(plain, "endpoint") == "")
        // Without the operator's word the first one is the owner.
        #expect(refusal(declared, "b", isFree: nil).contains("belongs to somebody else"))
        #expect(refusal(plain, "b").contains("belongs to somebody else"))
        // One who may have no more names leaves it to its owner.
        for number in 0..<NameLedger.mostOfOneAccount {
            #expect(refusal(.with { $0.name = "s\(number)" }, "full") == "")
        }
        #expect(refusal(declared, "full").contains("which is the most"))
        #expect(store.service("s")?.pathIds == ["endpoint"])
        #expect(refusal(plain, "b").contains("belongs to somebody else"))
        #expect(refusal(plain, "endpoint") == "")
        #expect(refusal(declared, "a") == "")
        #expect(store.service("s")?.pathIds == ["a"] && store.service("s")?.matches.count == 1)
        for service in [plain, declared] {
            #expect(refusal(service, "endpoint").contains("belongs to somebody else"))
        }
        #expect(refusal(declared, "a") == "")
        #expect(throws: Never.self) { try store.unregister(declared, .stranger("a")) }
        #expect(store.service("s") == nil)
        // What root or a manager registered is no stranger's to declare.
        var (ofRoot, declaration) = (plain, declared)
        ofRoot.name = "t"
        declaration.name = "t"
        #expect(refusal(ofRoot, "root", as: .root) == "")
        #expect(refusal(declaration, "a").contains("belongs to somebody else"))
        #expect(store.service("t")?.pathIds == ["root"] && store.service("t")?.matches.isEmpty == true)
        #expect(refusal(declaration, "manager", as: .manager) == "")
        #expect(store.service("t")?.pathIds == ["manager"] && store.service("t")?.matches.count == 1)
    }

    @Test("an endpoint that is not renewed ends, and keeps its name from others")
    func expiry() async throws {
        let gone = Gone()
        let store = RegistryStore { gone.add($0.name) }
        try store.register(Self.endpoint("short", for: .milliseconds(50)), .stranger("a"))
        try store.register(Self.endpoint("long"), .stranger("a"))
        try await eventually("the endpoint ends") { gone.names == ["short"] }
        #expect(store.endpoint("short") == nil && store.endpoint("long") != nil)
        #expect(throws: RegistryStore.Refused.self) { try store.register(Self.endpoint("short"), .stranger("b")) }
    }

    @Test("of a service without rules those come last whose labels are not the client's")
    func labels() throws {
        let store = RegistryStore { _ in }
        for (name, labels) in [("prod", ["env": "prod"]), ("test", ["env": "test"]), ("plain", [:])] {
            try store.register(Self.endpoint(name, labels: labels), .stranger("a"))
        }
        for _ in 0..<6 {
            let found = store.candidates(service: "s", labels: ["env": "test", "other": "x"]).map(\.endpoint.name)
            #expect(Set(found.prefix(2)) == ["test", "plain"] && found.last == "prod")
            #expect(Set(store.candidates(service: "s", labels: [:]).prefix(3).map(\.endpoint.name)).count == 3)
        }
        // Rules decide alone.
        let rules = NSMNetworkService.with { service in
            service.name = "s"
            service.matches = [.with { $0.routes = [.with { $0.destinationSelector = ["env": "prod"] }] }]
        }
        _ = try store.register(rules, .stranger("a"), pathIDs: ["a"])
        let chosen = store.candidates(service: "s", labels: ["env": "test"]).map(\.endpoint.name)
        #expect(chosen == ["prod"])
    }

    final class Gone: Sendable {
        private let all = Mutex<[String]>([])
        var names: [String] { all.withLock { $0 } }
        func add(_ name: String) { all.withLock { $0.append(name) } }
    }

    @Test("who watches gets what is there, what comes and what goes, and is not woken by renewals")
    func watch() async throws {
        let store = RegistryStore { _ in }
        try store.register(Self.endpoint("a"), .stranger("o"))
        let query = NSMNetworkServiceEndpoint.with { $0.networkServiceNames = ["s"] }
        var events = store.find(query, watch: true).makeAsyncIterator()
        #expect(await events.next()?.networkServiceEndpoint.name == "a")
        try store.register(Self.endpoint("a"), .stranger("o"))
        try store.register(Self.endpoint("other", ["t"]), .stranger("o"))
        try store.register(Self.endpoint("b"), .stranger("o"))
        #expect(await events.next()?.networkServiceEndpoint.name == "b")
        try store.unregister(Self.endpoint("a").endpoint, .stranger("o"))
        let last = await events.next()
        #expect(last?.deleted == true && last?.networkServiceEndpoint.name == "a")
        var once = store.find(query, watch: false).makeAsyncIterator()
        #expect(await once.next()?.networkServiceEndpoint.name == "b")
        #expect(await once.next() == nil)
    }

    @Test("who watches by a name, a service, a URL or nothing gets each event once, and those of others never")
    func watchers() async throws {
        let store = RegistryStore { _ in }
        let (all, a, s, tu, byURL) = (
            NSMNetworkServiceEndpoint(), NSMNetworkServiceEndpoint.with { $0.name = "a" },
            NSMNetworkServiceEndpoint.with { $0.networkServiceNames = ["s"] },
            NSMNetworkServiceEndpoint.with { $0.networkServiceNames = ["t", "u"] },
            NSMNetworkServiceEndpoint.with { $0.url = "tcp://1" }
        )
        let streams = [all, a, s, tu, byURL].map { store.find($0, watch: true) }
        let queries: [NSMNetworkService] = [.init(), .with { $0.name = "s" }, .with { $0.payload = "IP" }]
        let services = queries.map { store.find($0, watch: true) }
        for (name, offered) in [("a", ["s"]), ("b", ["s", "t"]), ("c", ["u", "t"]), ("d", ["v"])] {
            try store.register(Self.endpoint(name, offered), .stranger("o"))
        }
        for name in ["s", "t"] {
            _ = try store.register(.with { $0.name = name }, .stranger("o"), pathIDs: ["o"])
        }
        try store.unregister(Self.endpoint("b").endpoint, .stranger("o"))
        try store.unregister(NSMNetworkService.with { $0.name = "s" }, .stranger("o"))
        for (stream, wanted) in zip(streams, ["abcd-b", "a", "ab-b", "c", ""]) {
            var seen = ""
            var events = stream.makeAsyncIterator()
            while seen.count < wanted.count, let event = await events.next() {
                seen += (event.deleted ? "-" : "") + event.networkServiceEndpoint.name
            }
            #expect(seen == wanted)
        }
        for (stream, wanted) in zip(services, ["st-s", "s-s", "st-s"]) {
            var seen = ""
            var events = stream.makeAsyncIterator()
            while seen.count < wanted.count, let event = await events.next() {
                seen += (event.deleted ? "-" : "") + event.networkService.name
            }
            #expect(seen == wanted)
        }
    }

    @Test("a registry with thousands of watchers by name takes thousands of endpoints at the pace of a few")
    func manyWatchers() throws {
        /// How often watchers were asked about an event: what an event costs, without a clock.
        let looks = Mutex(0)
        var watchers = RegistryStore.Watchers<NSMNetworkServiceEndpointResponse>()
        var streams: [AsyncStream<NSMNetworkServiceEndpointResponse>] = []
        for number in 0..<1000 {
            let query = NSMNetworkServiceEndpoint.with { $0.name = "e\(number)" }
            streams.append(
                watchers.follow(
                    .init(viewer: nil) { _ in
                        looks.withLock { $0 += 1 }
                        return true
                    }, on: query.topic, backlog: .newest))
        }
        let owner = PeerIdentity(unproven: "o")
        for number in 0..<1000 {
            let endpoint = Self.endpoint("e\(number)").endpoint
            RegistryStore.tell(
                .with { $0.networkServiceEndpoint = endpoint }, on: endpoint.topics, of: owner, &watchers)
        }
        #expect(looks.withLock { $0 } == 1000 && streams.count == 1000)
    }

    @Test("who never reads loses its stream after a bounded number of events")
    func slow() async throws {
        let store = RegistryStore { _ in }
        let events = store.find(NSMNetworkServiceEndpoint(), watch: true)
        let services = store.find(NSMNetworkService(), watch: true)
        for number in 0..<3000 {
            try store.register(Self.endpoint("e"), .stranger("o"))
            try store.unregister(Self.endpoint("e").endpoint, .stranger("o"))
            _ = try store.register(
                NSMNetworkService.with { service in
                    service.name = "s"
                    service.payload = "\(number)"
                }, .stranger("o"), pathIDs: ["o"])
            try store.unregister(NSMNetworkService.with { $0.name = "s" }, .stranger("o"))
        }
        var count = 0
        for await _ in events { count += 1 }
        for await _ in services { count += 1 }
        #expect(count < 12_000)
    }

    @Test("without matches every endpoint serves, in turn")
    func turns() throws {
        let store = RegistryStore { _ in }
        for name in ["a", "b", "c"] { try store.register(Self.endpoint(name), .stranger("o")) }
        let first = (0..<6).map { _ in store.candidates(service: "s", labels: [:]).first?.endpoint.name ?? "" }
        #expect(first == ["a", "b", "c", "a", "b", "c"])
        #expect(store.candidates(service: "t", labels: [:]).isEmpty)
    }

    @Test("matches choose by the labels of both sides, with templates and fallthrough")
    func matches() throws {
        let store = RegistryStore { _ in }
        try store.register(Self.endpoint("fw", labels: ["app": "firewall"]), .stranger("o"))
        try store.register(Self.endpoint("db-1", labels: ["app": "db", "site": "1"]), .stranger("o"))
        try store.register(Self.endpoint("db-2", labels: ["app": "db", "site": "2"]), .stranger("o"))
        func route(_ labels: [String: String]) -> NSMDestination { .with { $0.destinationSelector = labels } }
        let service = NSMNetworkService.with { service in
            service.name = "s"
            service.matches = [
                .with { match in
                    match.sourceSelector = ["app": "firewall"]
                    match.routes = [route(["app": "db", "site": "{{ .site }}"])]
                    match.fallthrough = true
                },
                .with { match in
                    match.sourceSelector = ["app": "firewall"]
                    match.routes = [route(["app": "db"])]
                },
                .with { $0.routes = [route(["app": "firewall"])] },
            ]
        }
        _ = try store.register(service, .stranger("o"), pathIDs: [])
        #expect(Self.names(store.candidates(service: "s", labels: [:])) == ["fw"])
        #expect(Self.names(store.candidates(service: "s", labels: ["app": "firewall", "site": "2"])) == ["db-2"])
        #expect(
            Self.names(store.candidates(service: "s", labels: ["app": "firewall", "site": "9"])) == ["db-1", "db-2"])
    }

    @Test("any order of registrations is as a plain list says")
    func random() throws {
        var random = SeededGenerator(seed: 17)
        for _ in 0..<50 {
            let store = RegistryStore { _ in }
            var model: [String: Set<String>] = [:]
            for _ in 0..<100 {
                let name = random.pick(["a", "b", "c", "d"])
                if random.chance(30) {
                    try store.unregister(Self.endpoint(name).endpoint, .stranger("o"))
                    model[name] = nil
                } else {
                    let services = ["s", "t", "u"].filter { _ in random.chance(50) }
                    try store.register(Self.endpoint(name, services), .stranger("o"))
                    model[name] = Set(services)
                }
                for service in ["s", "t", "u"] {
                    let wanted = Set(model.filter { $0.value.contains(service) }.keys)
                    #expect(Self.names(store.candidates(service: service, labels: [:])) == wanted)
                }
            }
        }
    }

    /// Nobody may offer a service that another one offers.
    private static let first: @Sendable (String) -> Bool? = { _ in nil }

    @Test("a service is offered by who was first, with as many endpoints as he likes, and by nobody else")
    func offers() throws {
        let store = RegistryStore { _ in }
        try store.register(Self.endpoint("a1", ["db"]), .stranger("a"), isFree: Self.first)
        try store.register(Self.endpoint("a2", ["db", "web"]), .stranger("a"), isFree: Self.first)
        func refused(_ entry: RegistryStore.Entry, _ who: String) -> String {
            do {
                try store.register(entry, .stranger(who), isFree: Self.first)
                return ""
            } catch {
                return "\(error)"
            }
        }
        #expect(refused(Self.endpoint("b", ["own", "db"]), "b").contains("db: it belongs to somebody else"))
        #expect(store.endpoint("b") == nil)
        // What was refused took nothing else along.
        #expect(refused(Self.endpoint("c", ["own"]), "c") == "")
        let service = NSMNetworkService.with { $0.name = "db" }
        #expect(throws: RegistryStore.Refused.self) {
            try store.register(service, .stranger("b"), pathIDs: [], isFree: nil)
        }
        // A restart does not lose it.
        store.remove("a1", .ended)
        store.remove("a2", .withdrawn)
        #expect(refused(Self.endpoint("b", ["db"]), "b").contains("it belongs to somebody else"))
        #expect(refused(Self.endpoint("a3", ["db"]), "a") == "")
        // Whom the operator lets, the first one does not hinder.
        try store.register(Self.endpoint("root", ["db"]), .stranger("root"))
        #expect(throws: RegistryStore.Refused.self) {
            try store.register(Self.endpoint("x", ["other"]), .stranger("x"), isFree: { _ in false })
        }
    }

    @Test("everybody sees his own registrations, and who serves others sees all")
    func scope() async throws {
        let store = RegistryStore { _ in }
        try store.register(Self.endpoint("a", ["s"]), .stranger("a"))
        try store.register(Self.endpoint("b", ["s"]), .stranger("b"))
        _ = try store.register(.with { $0.name = "s" }, .stranger("a"), pathIDs: [])
        func seen(_ viewer: PeerIdentity?) async -> [String] {
            var names: [String] = []
            for await response in store.find(NSMNetworkServiceEndpoint(), watch: false, for: viewer) {
                names.append(response.networkServiceEndpoint.name)
            }
            for await response in store.find(NSMNetworkService(), watch: false, for: viewer) {
                names.append(response.networkService.name)
            }
            return names.sorted()
        }
        #expect(await seen(nil) == ["a", "b", "s"])
        #expect(await seen(PeerIdentity(unproven: "a")) == ["a", "s"])
        #expect(await seen(PeerIdentity(unproven: "b")) == ["b"])
        let all = NSMNetworkServiceEndpoint()
        var events = store.find(all, watch: true, for: PeerIdentity(unproven: "b")).makeAsyncIterator()
        #expect(await events.next()?.networkServiceEndpoint.name == "b")
        store.remove("a")
        store.remove("b")
        let next = await events.next()
        #expect(next?.networkServiceEndpoint.name == "b" && next?.deleted == true)
    }

    @Test("what nobody uses is forgotten, and registrations are not larger than they need be")
    func forgets() throws {
        let store = RegistryStore { _ in }
        for number in 0..<1000 {
            try store.register(Self.endpoint("e\(number)", ["s\(number)"]), .stranger("a"))
            _ = try store.register(.with { $0.name = "s\(number)" }, .stranger("a"), pathIDs: [])
            store.remove("e\(number)", .withdrawn)
            store.forgetService("s\(number)")
            #expect(store.service("s\(number)") == nil)
        }
        #expect(store.knownNames == 1000, "services are still their owner's for a while")
        try store.register(Self.endpoint("e", ["s"]), .stranger("a"))
        _ = try store.register(.with { $0.name = "s" }, .stranger("a"), pathIDs: [])
        store.forgetService("s")
        #expect(store.service("s") != nil, "one that is offered stays")
        for name in ["", "a\nb", String(repeating: "x", count: 254)] {
            #expect(throws: RegistryStore.Refused.self) { try store.register(Self.endpoint(name), .stranger("a")) }
        }
        let labels = Dictionary(uniqueKeysWithValues: (0..<10_000).map { ("label \($0)", "value") })
        #expect(throws: RegistryStore.Refused.self) {
            try store.register(Self.endpoint("large", labels: labels), .stranger("a"))
        }
        let services = (0...RegistryStore.mostServices).map { "s\($0)" }
        #expect(throws: RegistryStore.Refused.self) {
            try store.register(Self.endpoint("many", services), .stranger("a"))
        }
    }
}
