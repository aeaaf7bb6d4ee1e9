import Logging
import Model
import NetworkTypes
import SPIFFE
import Synchronization
import Testing

@testable import NSM
@testable import NSMServices

/// Keeps what is warned of.
private struct Warnings: LogHandler {
    final class Lines: Sendable {
        private let lines = Mutex<[String]>([])

        var all: [String] { lines.withLock { $0 } }

        func add(_ line: String) { lines.withLock { $0.append(line) } }
    }
    let lines: Lines
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?
    var logLevel = Logger.Level.warning

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        if event.level >= .warning { lines.add("\(event.message): \(event.metadata?["reason"] ?? "")") }
    }
}

/// What an endpoint knows of the others of its network, and what follows from what they say. How they are connected is shown by the
/// scenario `mesh-vl3`.
@Suite("An endpoint of a network of several", .timeLimit(.minutes(10)))
struct SharedNetworkTests {
    private let warnings = Warnings.Lines()

    private func network(isInsecure: Bool = true) throws -> SharedNetwork {
        var settings = try ServiceSettings(environment: { _ in nil }, host: "a")
        settings.isInsecure = isInsecure
        // Nobody answers: what clients become is said by the tests.
        settings.requestTimeout = .seconds(3600)
        let message = Upnp_NetworkServiceEndpoint.with { message in
            message.networkService = "net"
            message.interfaceNamePrefix = "net"
            message.vl3 = true
            message.prefixes = ["10.60.0.0/24"]
            message.routes = ["192.0.2.0/24"]
        }
        let logger = Logger(label: "test") { [warnings] _ in Warnings(lines: warnings) }
        return SharedNetwork(message, SessionContext(settings, logger: logger), endpoint: "a-net") {}
    }

    /// A connection to another endpoint.
    private func link(
        to name: String, _ routes: [String], source: String, destination: String, tokens: [String] = []
    ) -> NSMConnection {
        .with { connection in
            connection.id = SharedNetwork.id(of: "a-net", to: name)
            connection.mechanism = .kernel(name: "net-000001")
            connection.context.ipContext.srcIpAddrs = [source]
            connection.context.ipContext.dstIpAddrs = [destination]
            connection.context.ipContext.srcRoutes = routes.map { text in .with { $0.prefix = text } }
            connection.path.pathSegments = tokens.map { token in .with { $0.token = token } }
        }
    }

    private func until(_ condition: () throws -> Bool) async throws {
        while try !condition() { try await Task.sleep(for: .milliseconds(5)) }
    }

    private func other(_ name: String, _ ids: String...) -> NSMNetworkServiceEndpoint {
        .with { ($0.name, $0.pathIds) = (name, ids) }
    }

    private func context(of origin: String?) -> NSMConnectionContext {
        .with { $0.extraContext["nsm-agent/vl3-endpoint"] = origin }
    }

    @Test("clients are led to all, another endpoint to our part, and we are no client of ourselves")
    func routes() throws {
        let network = try network()
        #expect(try network.routes(for: context(of: nil)).map { "\($0)" } == ["192.0.2.0/24", "10.60.0.0/24"])
        #expect(try network.routes(for: context(of: "b-net")).map { "\($0)" } == ["10.60.0.0/24"])
        #expect(throws: EndpointRefusal.self) { try network.routes(for: context(of: "a-net")) }
    }

    @Test("who says that he is another endpoint is believed if the registry has that one")
    func origins() throws {
        let network = try network()
        func isLink(_ origin: String?) -> Bool { network.isLink(.with { $0.context = context(of: origin) }) }
        #expect(!isLink(nil) && !isLink("b-net") && !network.takeArrivals())
        #expect(network.noteArrival(of: other("b-net", "spiffe://example.org/b")))
        #expect(network.takeArrivals() && !network.takeArrivals())
        #expect(isLink("b-net") && !isLink("c-net") && !isLink(nil))
    }

    @Test("another endpoint of our name is said to be there, and is not connected")
    func namesake() throws {
        let network = try network()
        #expect(!network.noteArrival(of: other("a-net", "spiffe://a.example/x")))
        #expect(network.facts == ["network of 1 endpoints"])
        #expect(!network.noteArrival(of: other("a-net", "spiffe://a.example/x", "spiffe://b.example/x")))
        #expect(network.facts.last == "not the only a-net: spiffe://a.example/x, spiffe://b.example/x")
    }

    @Test("no more than so many others are connected, and those that are not are counted")
    func crowd() throws {
        let network = try network()
        for number in 0..<SharedNetwork.most + 44 {
            if network.noteArrival(of: other("e\(number)")) { _ = network.begin("e\(number)") }
        }
        #expect(network.facts.contains("network of \(SharedNetwork.most + 1) endpoints"))
        #expect(network.facts.contains("44 others are not connected; \(SharedNetwork.most) is the most"))
        #expect(network.begin("e0") == nil && network.begin("e\(SharedNetwork.most)") == nil)
    }

    @Test("where identities are known it must be that of the endpoint")
    func identities() throws {
        let network = try network(isInsecure: false)
        let end = Timestamp.now.advanced(by: .seconds(600))
        func token(_ name: String) -> String { Token.insecure(subject: "spiffe://example.org/\(name)", expires: end) }
        func isLink(_ origin: String, _ tokens: String...) -> Bool {
            network.isLink(
                .with { connection in
                    connection.context = context(of: origin)
                    connection.path.pathSegments = tokens.map { token in .with { $0.token = token } }
                })
        }
        #expect(network.noteArrival(of: other("b-net", "spiffe://example.org/b")))
        #expect(isLink("b-net", token("b"), token("manager")))
        #expect(!isLink("b-net", token("mallory"), token("b")) && !isLink("b-net", "b") && !isLink("b-net"))
        // A registry that does not say whose it is.
        #expect(network.noteArrival(of: other("c-net")))
        let nobody = Token.insecure(subject: "", expires: end)
        #expect(!isLink("c-net", token("c")) && !isLink("c-net", nobody) && !isLink("c-net", ""))
        // Who answered by the name is the one.
        _ = network.begin("c-net")
        _ = network.takeArrivals()
        let tokens = [token("a"), token("manager"), token("c")]
        let connection = link(
            to: "c-net", ["10.61.0.0/24"], source: "10.61.0.2/32", destination: "10.61.0.1/32", tokens: tokens)
        #expect(network.note(.established(connection), of: "c-net") == nil)
        #expect(network.takeArrivals() && isLink("c-net", token("c")))
        #expect(!isLink("c-net", token("b")) && !isLink("c-net", token("manager")) && !isLink("c-net", nobody))
        _ = network.note(.established(connection), of: "c-net")
        #expect(!network.takeArrivals())
        // One of a registry that knows only whose mesh it is.
        #expect(!network.noteArrival(of: other("c-net", "spiffe://example.org/mesh")))
        #expect(isLink("c-net", token("c")))
    }

    @Test("an endpoint that the registry does not know for a while is known as long as we have a client of it")
    func away() async throws {
        let network = try network(isInsecure: false)
        let end = Timestamp.now.advanced(by: .seconds(600))
        let incoming = NSMConnection.with { connection in
            connection.context = context(of: "b-net")
            let token = Token.insecure(subject: "spiffe://example.org/b", expires: end)
            connection.path.pathSegments = [.with { $0.token = token }]
        }
        try await serve(network) { event in
            event.yield(.registry(.present(other("b-net", "spiffe://example.org/b"))))
            let client = try await begun("b-net", in: network)
            client.become(
                .established(
                    link(to: "b-net", ["10.61.0.0/24"], source: "10.61.0.2/32", destination: "10.61.0.1/32")))
            event.yield(.registry(.gone(other("b-net"))))
            try await until { network.state.withLock { $0.peers["b-net"]?.isLeaving == true } }
            #expect(network.isLink(incoming))
            _ = network.takeArrivals()
            client.become(.connecting(attempts: 1, lastError: nil))
            try await until { network.state.withLock { $0.peers.isEmpty } }
            try await until { network.takeArrivals() }
            #expect(!network.isLink(incoming))
        }
    }

    // MARK: - What others say

    private func excluded(_ network: SharedNetwork) -> [String] {
        network.context.addresses.excluded(for: "a client").map { "\($0)" }
    }

    @Test("one that lies and comes first keeps no addresses from others")
    func addresses() throws {
        let network = try network()
        for name in ["b-net", "liar"] { _ = network.begin(name) }
        let hosts = (0..<250).map { "10.60.5.\($0)/32" }
        let lie = link(to: "liar", ["10.61.0.0/24"] + hosts, source: "10.61.0.2/32", destination: "10.61.0.3/32")
        _ = network.note(.established(lie), of: "liar")
        #expect(excluded(network) == ["10.61.0.2/31"])
        // Addresses that are not its own.
        var worse = lie
        worse.context.ipContext.dstIpAddrs = hosts
        _ = network.note(.established(worse), of: "liar")
        #expect(excluded(network).isEmpty && warnings.all.count == 1)
        let honest = link(to: "b-net", ["10.60.5.0/24"], source: "10.60.5.2/32", destination: "10.60.5.3/32")
        _ = network.note(.established(honest), of: "b-net")
        #expect(excluded(network) == ["10.60.5.2/31"])
        _ = network.note(.established(lie), of: "liar")
        #expect(excluded(network) == ["10.60.5.2/31", "10.61.0.2/31"])
        // While it is not reached its connection is asked for anew, and gets the same ones again.
        _ = network.note(.connecting(attempts: 1, lastError: nil), of: "b-net")
        #expect(excluded(network) == ["10.60.5.2/31", "10.61.0.2/31"])
    }

    @Test("one whose connection is healed keeps its part for a while, and has it back")
    func healing() throws {
        let network = try network()
        let part = ["10.61.0.0/24"]
        func connection(_ name: String) -> NSMConnection {
            link(to: name, part, source: "10.61.0.2/32", destination: "10.61.0.3/32")
        }
        func holder() -> String? {
            ["b-net", "liar"].first { name in
                network.state.withLock { !$0.parts.routes(to: name).isEmpty && $0.peers[name]?.part != nil }
            }
        }
        for name in ["b-net", "liar"] { _ = network.begin(name) }
        _ = network.note(.established(connection("b-net")), of: "b-net")
        // The mesh is started again.
        let since = network.note(.healing(connection("b-net"), reason: "r", lastError: nil), of: "b-net")
        #expect(network.note(.healing(connection("b-net"), reason: "r", lastError: "e"), of: "b-net") == nil)
        _ = network.note(.established(connection("liar")), of: "liar")
        #expect(holder() == "b-net")
        let start = try #require(since)
        network.noteOverdue("b-net", healedSince: start - .seconds(1))
        #expect(holder() == "b-net")
        network.noteOverdue("b-net", healedSince: start)
        #expect(holder() == "liar")
        _ = network.note(.healing(connection("b-net"), reason: "r", lastError: "e"), of: "b-net")
        #expect(holder() == "liar")
        _ = network.note(.established(connection("b-net")), of: "b-net")
        #expect(holder() == "b-net")
        // Asked for anew, it carries nothing; nor does anybody else have its part before it is reached.
        _ = network.note(.connecting(attempts: 1, lastError: nil), of: "liar")
        _ = network.note(.connecting(attempts: 1, lastError: nil), of: "b-net")
        #expect(holder() == nil && network.state.withLock { $0.parts.routes(to: "b-net").count } == 1)
        _ = network.note(.established(connection("b-net")), of: "b-net")
        #expect(holder() == "b-net")
    }

    // MARK: - Who is connected

    private func serve(
        _ network: SharedNetwork, _ body: (AsyncStream<SharedNetwork.Event>.Continuation) async throws -> Void
    ) async throws {
        let (events, event) = AsyncStream.makeStream(of: SharedNetwork.Event.self)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await network.serve(events, event) }
            try await body(event)
            group.cancelAll()
        }
    }

    private func begun(_ name: String, in network: SharedNetwork) async throws -> NetworkServiceClient {
        while true {
            if let client = network.state.withLock({ $0.peers[name]?.client }) { return client }
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    @Test("a connection to one that the registry has no more stays while it carries packets")
    func withdrawn() async throws {
        let network = try network()
        func isLeaving() -> Bool? { network.state.withLock { $0.peers["b-net"]?.isLeaving } }
        func hasPart() -> Bool { network.state.withLock { $0.peers["b-net"]?.part != nil } }
        try await serve(network) { event in
            event.yield(.registry(.present(other("b-net"))))
            let client = try await begun("b-net", in: network)
            client.become(
                .established(
                    link(to: "b-net", ["10.61.0.0/24"], source: "10.61.0.2/32", destination: "10.61.0.1/32")))
            try await until { hasPart() }
            event.yield(.registry(.gone(other("b-net"))))
            try await until { isLeaving() == true }
            // Longer than the first looks at it.
            try await Task.sleep(for: .milliseconds(500))
            #expect(isLeaving() == true && hasPart())
            // It is back before anybody noticed.
            event.yield(.registry(.present(other("b-net"))))
            try await until { isLeaving() == false }
            #expect(try await begun("b-net", in: network) === client)
            event.yield(.registry(.gone(other("b-net"))))
            try await until { isLeaving() == true }
            _ = network.takeChanges()
            client.become(.connecting(attempts: 1, lastError: nil))
            try await until { isLeaving() == nil }
            let changes = network.takeChanges()
            #expect(changes.count == 1 && changes.values.allSatisfy { $0 == nil })
            #expect(network.state.withLock { $0.parts.routes(to: "b-net").isEmpty })
            // It comes once more, with a new client.
            event.yield(.registry(.present(other("b-net"))))
            #expect(try await begun("b-net", in: network) !== client)
        }
    }

    @Test("when one goes another one has its place, and it is not told again that not all have one")
    func places() async throws {
        let network = try network()
        try await serve(network) { event in
            for number in 0..<SharedNetwork.most + 2 { event.yield(.registry(.present(other("e\(number)")))) }
            try await until { network.state.withLock { $0.present.count == SharedNetwork.most + 2 } }
            for gone in ["e0", "e1", "e2"] {
                event.yield(.registry(.gone(other(gone))))
                try await until { network.state.withLock { $0.peers[gone] == nil && !$0.waiting.contains(gone) } }
            }
            // Those that waited are in their places, and one is free.
            try await until {
                network.state.withLock { $0.peers.count == SharedNetwork.most - 1 && $0.waiting.isEmpty }
            }
            #expect(warnings.all == ["not all endpoints of a network are connected: there are too many"])
            try await until { network.state.withLock { $0.obstacles.isEmpty } }
            for number in 1000..<1002 { event.yield(.registry(.present(other("e\(number)")))) }
            try await until { warnings.all.count == 2 }
        }
    }

    @Test("without a name for its interface one is not connected until a name is free")
    func names() async throws {
        let network = try network()
        let names = (0..<SharedNetwork.nameAttempts).map { SharedNetwork.interfaceName("net", "b-net", $0) }
        for name in names { #expect(network.context.register.take(name, for: "somebody")) }
        try await serve(network) { event in
            event.yield(.registry(.present(other("b-net"))))
            // It is tried again by itself.
            try await until { network.state.withLock { $0.isLookDue } }
            #expect(network.facts.contains("1 others are not connected; no name is left for an interface"))
            #expect(warnings.all == ["not all endpoints of a network are connected: no name is left for an interface"])
            network.context.register.release(names[7], of: "somebody")
            event.yield(.look)
            let client = try await begun("b-net", in: network)
            #expect(client.configuration.interfaceName == names[7])
        }
        #expect(network.state.withLock { $0.obstacles.isEmpty })
    }

    @Test("what a link brings has a key that no connection has")
    func keys() {
        #expect(SharedNetwork.isKey(SharedNetwork.key("a-net-to-b-net")) && !SharedNetwork.isKey("a-net-to-b-net"))
    }
}
