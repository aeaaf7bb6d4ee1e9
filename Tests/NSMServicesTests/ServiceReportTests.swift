import Model
@testable import NSM
import Reconciler
import Testing

@testable import NSMServices

@Suite("How clients and endpoints stand")
struct ServiceReportTests {
    private let client = Upnp_NetworkServiceClient.with { client in
        client.name = "access"
        client.networkService = "db"
        client.interfaceName = "nsm-1"
    }

    private var connection: NSMConnection {
        var connection = NSMConnection()
        connection.path.pathSegments = ["h", "mgr", "e"].map { name in .with { $0.name = name } }
        connection.context.ipContext.srcIpAddrs = ["10.0.0.1/32", "fd00::1/128"]
        connection.context.dnsContext.configs = [.with { $0.dnsServerIps = ["10.0.0.53"] }]
        return connection
    }

    @Test("a client's state becomes its value's, and its interface follows")
    func clients() throws {
        #expect(
            ServiceReport(client, .connecting(attempts: 0, lastError: nil)).observation
                == .waiting(["the mesh's answer for db"]))
        #expect(
            ServiceReport(client, .connecting(attempts: 2, lastError: "no")).observation
                == .blocked("no connection to db after 2 tries: no"))
        let report = ServiceReport(client, .established(connection))
        let part = try #require(report.parts["access"] ?? nil)
        #expect(report.observation == .inPlace && report.parts.count == 1 && part.interface == "nsm-1")
        #expect(report.nameServers.servers == ["10.0.0.53"])
        guard case .interface(let interface)? = part.values["config/linux/interfaces/v2/interface/nsm-1"] else {
            Issue.record("no interface")
            return
        }
        #expect(interface.type == .existing && interface.ipAddresses == ["10.0.0.1/32"])
        // While it is healed traffic may go on: nothing is taken away.
        let healing = ServiceReport(client, .healing(connection, reason: "down", lastError: "no"))
        #expect(healing.observation == .blocked("healing h → mgr → e: down; the last try: no"))
        #expect(healing.parts == report.parts && healing.nameServers == report.nameServers)
        // What a tunnel's MTU was may be lowered onto the pair that the mesh makes instead.
        var narrow = connection
        narrow.context.mtu = 1350
        #expect(ServiceReport(client, .established(narrow)).parts != report.parts)
        #expect(ServiceReport(client, .healing(narrow, reason: "down", lastError: nil)).parts == report.parts)
        #expect(ServiceReport(client, .closed).parts == ["access": nil])
        // Tokens are renewed all the time, which is nothing to reconcile.
        var refreshed = connection
        refreshed.path.pathSegments[0].token = "new"
        #expect(ServiceReport(client, .established(refreshed)) == report)
    }

    @Test("an endpoint is as its registration, and each client brings an interface")
    func endpoints() {
        let endpoint = Upnp_NetworkServiceEndpoint.with { endpoint in
            endpoint.networkService = "db"
            endpoint.interfaceNamePrefix = "cl"
        }
        var state = NetworkServiceEndpoint.State(registeredUntil: nil, name: "h-db", lastError: nil, connections: [:])
        #expect(ServiceReport(endpoint, state).observation == .waiting(["the registration of db"]))
        state.lastError = "no"
        #expect(ServiceReport(endpoint, state).observation == .blocked("db is not registered: no"))
        state.lastError = nil
        state.registeredUntil = .init(seconds: 1000)
        for number in 0..<2 {
            var connection = connection
            connection.mechanism = .kernel(name: "cl\(number)")
            // As a pool says that it gave them.
            let given = connection.context.ipContext.srcIpAddrs
            connection.context.ipContext.dstRoutes = given.map { prefix in .with { $0.prefix = prefix } }
            state.connections["\(number)"] = connection
        }
        let report = ServiceReport(endpoint, state, gone: ["2"])
        #expect(
            report.observation == .inPlace
                && report.parts.mapValues { $0?.interface } == ["0": "cl0", "1": "cl1", "2": nil])
        // One interface and the routes to the client's two addresses.
        #expect(report.parts["0"]??.values.count == 3)
        state.connections["0"]?.context.ipContext = .init()
        #expect(ServiceReport(endpoint, state).parts["0"]??.values.count == 1)
    }

    @Test("sockets of endpoints have short names that follow from the endpoint's")
    func sockets() {
        let long = EndpointSession.socket(for: String(repeating: "a/b", count: 99), in: "/run/nsm-agent/endpoints")
        #expect(long.utf8.count < 108 && long.split(separator: "/").count == 4)
        #expect(EndpointSession.socket(for: "a", in: "/d") == EndpointSession.socket(for: "a", in: "/d"))
        #expect(EndpointSession.socket(for: "a", in: "/d") != EndpointSession.socket(for: "b", in: "/d"))
    }
}
