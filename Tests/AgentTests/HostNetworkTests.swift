import LinuxKinds
import Model
import Reconciler
import Testing

@testable import Agent
@testable import NSMKinds
@testable import NSMServices

/// What is declared where; nothing here reads or changes the kernel.
@Suite("Connections and files together")
struct HostNetworkTests {
    private let clientKey = "config/cnf/nsm/v1/client/a"
    private let interfaceKey = "config/linux/interfaces/v2/interface/nsm-1"
    private let client = "{name: a, networkService: s, interfaceName: nsm-1}"

    private func config(_ text: String) -> LoadedConfig { ConfigLoader.load(bytes: Array(text.utf8), name: "f.yaml") }

    private func config(clients: String..., interfaces: String = "", endpoints: String = "") -> LoadedConfig {
        var text = "cnfConfig:\n  NetworkServiceClient_list: [\(clients.joined(separator: ", "))]\n"
        text += "  NetworkServiceEndpoint_list: [\(endpoints)]\nlinuxConfig:\n  interfaces: [\(interfaces)]\n"
        return config(text)
    }

    private func report(_ observation: Observation = .inPlace, interface name: String = "nsm-1") -> ServiceReport {
        var interface = Ligato_Linux_Interfaces_Interface()
        interface.name = name
        interface.type = .existing
        interface.ipAddresses = ["10.0.0.1/32"]
        var route = Ligato_Linux_L3_Route()
        route.outgoingInterface = name
        route.dstNetwork = "10.1.0.0/16"
        route.scope = .link
        var report = ServiceReport(observation)
        var part = ServiceReport.Part(interface: name)
        for value in [ModelValue.interface(interface), .route(route)] { part.values[value.key] = value }
        report.parts = ["1": part]
        return report
    }

    private func keys(_ network: HostNetwork) -> [Key] {
        network.reconciler.status().map(\.key).filter { $0.hasPrefix("config/") }
    }

    @Test("what a connection brings is there as long as it is told")
    func brought() {
        let network = HostNetwork(AgentSettings())
        network.declare(config(clients: client))
        #expect(keys(network) == [clientKey])
        network.bring([clientKey: report()])
        #expect(keys(network) == [clientKey, interfaceKey, "config/linux/l3/v2/route/10.1.0.0/16/nsm-1"])
        // Nothing that it says of itself is left to wait for; what it brought waits for the kernel.
        network.reconciler.reconcile(reason: .apply)
        #expect(network.reconciler.status(of: clientKey)?.state == .configured)
        // A change of the files keeps it.
        network.declare(config(clients: client, "{name: b, networkService: s, interfaceName: nsm-2}"))
        #expect(keys(network).contains(interfaceKey))
        network.bring([clientKey: nil])
        #expect(keys(network) == [clientKey, "config/cnf/nsm/v1/client/b"])
    }

    @Test("what the user wrote of an interface wins, whichever comes first")
    func usersOwn() throws {
        let own = "{name: nsm-1, type: EXISTING, mtu: 1400}"
        for isFirst in [true, false] {
            let network = HostNetwork(AgentSettings())
            if !isFirst {
                network.declare(config(clients: client))
                network.bring([clientKey: report()])
            }
            network.declare(config(clients: client, interfaces: own))
            if isFirst { network.bring([clientKey: report()]) }
            #expect(keys(network).contains("config/linux/l3/v2/route/10.1.0.0/16/nsm-1"))
            // None of the mesh's addresses is derived from it.
            #expect(!network.reconciler.status().contains { $0.key.contains("10.0.0.1") })
            // Without it the mesh's word counts again.
            network.declare(config(clients: client))
            #expect(network.reconciler.status().contains { $0.key.contains("10.0.0.1") })
        }
    }

    @Test("also under another logical name, and only in the agent's own namespace")
    func otherNames() {
        let network = HostNetwork(AgentSettings())
        network.declare(config(clients: client, interfaces: "{name: up, type: EXISTING, hostIfName: nsm-1}"))
        network.bring([clientKey: report()])
        #expect(!keys(network).contains(interfaceKey))
        network.declare(
            config(
                clients: client,
                interfaces: "{name: up, type: EXISTING, hostIfName: nsm-1, namespace: {type: NSID, reference: x}}"))
        #expect(keys(network).contains(interfaceKey))
    }

    @Test("clients of the environment are declared, and files replace them by name")
    func environment() {
        var other = Upnp_NetworkServiceClient()
        other.name = "0"
        other.networkService = "env"
        other.interfaceName = "nsm-0"
        let network = HostNetwork(AgentSettings(), clients: [other])
        network.declare(config(clients: client))
        #expect(Set(network.services.keys) == [clientKey, "config/cnf/nsm/v1/client/0"])
        network.declare(config(clients: "{name: '0', networkService: file, interfaceName: nsm-0}"))
        guard case .client(let message)? = network.services["config/cnf/nsm/v1/client/0"] else {
            Issue.record("no client")
            return
        }
        #expect(message.networkService == "file" && network.services.count == 1)
    }

    @Test("of clients and endpoints only those that changed are handed on")
    func serviceChanges() {
        let network = HostNetwork(AgentSettings())
        let other = "{name: b, networkService: s, interfaceName: nsm-2}"
        network.declare(config(clients: client, other))
        #expect(Set(network.takeServiceChanges().keys) == [clientKey, "config/cnf/nsm/v1/client/b"])
        network.declare(config(clients: client, other.replacing("nsm-2", with: "nsm-3")))
        #expect(Set(network.takeServiceChanges().keys) == ["config/cnf/nsm/v1/client/b"])
        #expect(network.takeServiceChanges().isEmpty)
        network.declare(config(clients: other))
        let changes = network.takeServiceChanges()
        #expect(changes.count == 2 && changes[clientKey] == .some(nil))
    }

    @Test("clients that can't be are declared and not kept")
    func invalid() {
        let network = HostNetwork(AgentSettings())
        network.declare(
            config(clients: "{name: a, networkService: s, interfaceName: nsm-1, interfaceType: MEM_INTERFACE}"))
        #expect(network.services.isEmpty)
        #expect(network.reconciler.status().map(\.state) == [.invalid])
    }

    @Test("what is on interfaces of connections is spared until they say what belongs to them")
    func sparing() {
        let network = HostNetwork(AgentSettings())
        network.declare(config(clients: client, endpoints: "{networkService: e, interfaceNamePrefix: cl}"))
        guard let spec = network.services[clientKey], case .client(let message) = spec else { return }
        let table = PolicyTables.table(of: message.name, 3)
        #expect(network.isSpared(link: "nsm-1") && network.isSpared(link: "cl0") && network.isSpared(table: table))
        #expect(!network.isSpared(link: "nsm-10") && !network.isSpared(link: "eth0") && !network.isSpared(table: 254))
        network.bring([clientKey: report(), "config/cnf/nsm/v1/endpoint/e": report(interface: "cl0")])
        #expect(!network.isSpared(link: "nsm-1") && !network.isSpared(link: "cl0") && !network.isSpared(table: table))
        // A client of the endpoint that has not come back yet.
        #expect(network.isSpared(link: "cl1"))
        network.declare(config(""))
        network.bring([:])
        #expect(!network.isSpared(link: "nsm-1") && !network.isSpared(link: "cl1"))
    }
}
