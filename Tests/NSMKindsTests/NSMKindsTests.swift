import Model
import NSM
import NetworkTypes
import SwiftProtobuf
import Testing

@testable import NSMKinds

@Suite("Network services as values")
struct NSMKindsTests {
    static func request(_ client: String, connection: String? = nil, name: String = "", labels: [String: String] = [:])
        -> EndpointRequest
    {
        EndpointRequest(
            connectionID: connection ?? "c-\(client)", clientID: client, clientName: client, service: "s",
            labels: labels,
            interfaceName: name, context: NSMConnectionContext(), isRefresh: false)
    }

    @Test("interfaces get the first free number, and keep it")
    func numbers() throws {
        let names = InterfaceNames(prefix: "cl", label: "", isSingle: false)
        #expect(try names.name(for: Self.request("a")) == "cl0")
        #expect(try names.name(for: Self.request("b")) == "cl1")
        #expect(try names.name(for: Self.request("a")) == "cl0")
        names.release("c-a")
        #expect(try names.name(for: Self.request("c")) == "cl0")
        // A name of an earlier life is given again when it is free.
        #expect(try names.name(for: Self.request("d", name: "cl7")) == "cl7")
        #expect(try names.name(for: Self.request("e", name: "cl1")) == "cl2")
        // After a restart of a manager the client comes by another connection, and the old one ends later.
        #expect(try names.name(for: Self.request("b", connection: "new")) == "cl1")
        names.release("c-b")
        #expect(try names.name(for: Self.request("f")) == "cl3")
    }

    @Test("one client at a time, and the same one again")
    func single() throws {
        let names = InterfaceNames(prefix: "cl", label: "", isSingle: true)
        #expect(try names.name(for: Self.request("a")) == "cl0")
        #expect(throws: EndpointRefusal.self) { try names.name(for: Self.request("b")) }
        #expect(try names.name(for: Self.request("a", connection: "new")) == "cl0")
        names.release("c-a")
        names.release("new")
        #expect(try names.name(for: Self.request("b")) == "cl0")
    }

    @Test("a label names the interface, and must fit")
    func label() throws {
        let names = InterfaceNames(prefix: "cl-", label: "site", isSingle: false)
        #expect(try names.name(for: Self.request("a", labels: ["site": "east"])) == "cl-east")
        #expect(throws: EndpointRefusal.self) { try names.name(for: Self.request("b")) }
        #expect(throws: EndpointRefusal.self) { try names.name(for: Self.request("b", labels: ["site": "east"])) }
        #expect(throws: EndpointRefusal.self) { try names.name(for: Self.request("b", labels: ["site": "a/b"])) }
        #expect(throws: EndpointRefusal.self) {
            try names.name(for: Self.request("b", labels: ["site": String(repeating: "x", count: 13)]))
        }
    }

    @Test("the variables of stock clients are honoured, and wrong ones refused")
    func environment() throws {
        let variables = [
            "NSM_CONNECT_TO": "unix:///a/b.sock", "NSM_NAME": "pod", "NSM_REQUEST_TIMEOUT": "1m30s",
            "NSM_DIAL_TIMEOUT": "200ms",
            "NODE_NAME": "n",
        ]
        let settings = try ServiceSettings(environment: { variables[$0] }, host: "h")
        #expect(settings.manager == .unix("/a/b.sock") && settings.name == "pod")
        #expect(settings.requestTimeout == .seconds(90) && settings.dialTimeout == .milliseconds(200))
        #expect(settings.tokenLifetime == .seconds(600) && settings.labels == ["nodeName": "n"])
        #expect(try ServiceSettings(environment: { _ in nil }, host: "h").name == "h")
        for (name, value) in [("NSM_CONNECT_TO", "x"), ("NSM_DIAL_TIMEOUT", "5"), ("NSM_REQUEST_TIMEOUT", "-1s")] {
            #expect(throws: ServiceSettings.Mistake.self) {
                try ServiceSettings(environment: { $0 == name ? value : nil }, host: "h")
            }
        }
    }

    @Test("a client's state becomes its value's, and its interface follows")
    func reports() throws {
        let client = Upnp_NetworkServiceClient.with { client in
            client.name = "access"
            client.networkService = "db"
            client.interfaceName = "nsm-1"
        }
        #expect(
            ServiceReport(client, .connecting(attempts: 2, lastError: "no")).observation
                == .waiting(["no connection after 2 tries: no"]))
        var connection = NSMConnection()
        connection.context.ipContext.srcIpAddrs = ["10.0.0.1/32", "fd00::1/128"]
        let report = ServiceReport(client, .established(connection))
        #expect(report.observation == .inPlace)
        let interface = try #require(report.interfaces["config/linux/interfaces/v2/interface/nsm-1"])
        #expect(interface.type == .existing && interface.ipAddresses == ["10.0.0.1/32", "fd00::1/128"])
    }
}
