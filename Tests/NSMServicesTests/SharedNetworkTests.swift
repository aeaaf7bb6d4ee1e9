import Logging
import Model
import NSM
import NetworkTypes
import Testing

@testable import NSMServices

/// What an endpoint knows of the others of its network before anybody is asked. How they are connected is shown by the scenario
/// `mesh-vl3`.
@Suite("An endpoint of a network of several")
struct SharedNetworkTests {
    private func network() throws -> SharedNetwork {
        var settings = try ServiceSettings(environment: { _ in nil }, host: "a")
        settings.isInsecure = true
        let message = Upnp_NetworkServiceEndpoint.with { message in
            message.networkService = "net"
            message.interfaceNamePrefix = "net"
            message.vl3 = true
            message.prefixes = ["10.60.0.0/24"]
            message.routes = ["192.0.2.0/24"]
        }
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        return SharedNetwork(message, SessionContext(settings, logger: logger), endpoint: "a-net") {}
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

    @Test("what a link brings has a key that no connection has")
    func keys() {
        #expect(SharedNetwork.isKey(SharedNetwork.key("a-net-to-b-net")) && !SharedNetwork.isKey("a-net-to-b-net"))
    }
}
