import Model
import NSM
import NetworkTypes
import SwiftProtobuf
import TestSupport
import Testing

@testable import NSMKinds

@Suite("What a connection brings")
struct ConnectionValuesTests {
    private let client = Upnp_NetworkServiceClient.with { client in
        client.name = "access"
        client.networkService = "db"
        client.interfaceName = "nsm-1"
    }

    private func connection(_ change: (inout NSMConnectionContext) -> Void = { _ in }) -> NSMConnection {
        var connection = NSMConnection()
        connection.id = "h-access"
        connection.mechanism = .kernel(name: "nsm-1")
        change(&connection.context)
        return connection
    }

    private func yaml(_ values: [ModelValue]) -> String { YAMLWriter.write(ConfigDocument.tree(of: values)) }

    @Test("a client's end: interface, routes, neighbours, policies")
    func clientSide() {
        let brought = ConnectionValues(
            ConnectionSide(
                client,
                connection { context in
                    context.ipContext.srcIpAddrs = ["172.16.0.2/32", "2001:db8::1/128"]
                    context.ipContext.dstIpAddrs = ["172.16.0.1/32", "2001:db8::/128"]
                    context.ipContext.srcRoutes = [
                        .with { $0.prefix = "172.16.0.1/32" }, .with { $0.prefix = "10.1.0.0/16" },
                        .with { route in
                            route.prefix = "10.2.0.5/16"
                            route.nextHop = "172.16.0.9"
                        }, .with { $0.prefix = "::/0" },
                    ]
                    context.ipContext.ipNeighbors = [
                        .with { neighbour in
                            neighbour.ip = "172.16.0.1"
                            neighbour.hardwareAddress = "02:00:00:00:00:01"
                        },
                        .with { neighbour in
                            neighbour.ip = "172.16.0.2"
                            neighbour.hardwareAddress = "02:00:00:00:00:02"
                        },
                    ]
                    context.ipContext.policies = [
                        .with { policy in
                            policy.from = "172.16.2.201/24"
                            policy.routes = [.with { $0.prefix = "172.16.4.0/24" }]
                        }, .with { $0.from = "2001:db8::1/128" },
                    ]
                    context.ethernetContext.srcMac = "02:00:00:00:00:02"
                    context.mtu = 1446
                }))
        #expect(brought.problems == [])
        #expect(
            yaml(brought.values)
                == """
                linuxConfig:
                  interfaces:
                    - name: nsm-1
                      type: EXISTING
                      enabled: true
                      ipAddresses: [172.16.0.2/32]
                      physAddress: "02:00:00:00:00:02"
                      mtu: 1446
                      addresses:
                        - address: 2001:db8::1/128
                          nodad: true
                  arpEntries:
                    - interface: nsm-1
                      ipAddress: 172.16.0.1
                      hwAddress: "02:00:00:00:00:01"
                  routes:
                    - outgoingInterface: nsm-1
                      scope: LINK
                      dstNetwork: 172.16.0.1/32
                    - outgoingInterface: nsm-1
                      scope: LINK
                      dstNetwork: 2001:db8::/128
                    - outgoingInterface: nsm-1
                      dstNetwork: 10.1.0.0/16
                      gwAddr: 172.16.0.1
                      onlink: true
                    - outgoingInterface: nsm-1
                      dstNetwork: 10.2.0.0/16
                      gwAddr: 172.16.0.9
                      onlink: true
                    - outgoingInterface: nsm-1
                      dstNetwork: "::/0"
                      gwAddr: "2001:db8::"
                      onlink: true
                    - outgoingInterface: nsm-1
                      dstNetwork: 172.16.4.0/24
                      gwAddr: 172.16.0.1
                      table: TABLE0
                      onlink: true
                    - outgoingInterface: nsm-1
                      dstNetwork: "::/0"
                      gwAddr: "2001:db8::"
                      table: TABLE1
                      onlink: true
                  rules:
                    - name: nsm/access/0
                      priority: 20000
                      from: 172.16.2.0/24
                      table: TABLE0
                    - name: nsm/access/1
                      priority: 20001
                      from: 2001:db8::1/128
                      table: TABLE1

                """.replacing("TABLE0", with: "\(PolicyTables.table(of: "access", 0))")
                .replacing("TABLE1", with: "\(PolicyTables.table(of: "access", 1))"))
    }

    @Test("what the user wrote comes first, and the mesh's addresses stay beside")
    func ownAddresses() throws {
        var client = client
        client.ipAddresses = ["10.60.0.2/30", "10.60.1.2", "alloc:net1"]
        client.physAddress = "02:00:00:00:00:aa"
        let brought = ConnectionValues(
            ConnectionSide(
                client,
                connection { context in
                    context.ipContext.srcIpAddrs = ["10.60.0.2/30", "172.16.0.2/32"]
                    context.ipContext.dstIpAddrs = ["10.60.0.1/30"]
                    context.ethernetContext.srcMac = "02:00:00:00:00:02"
                }))
        guard case .interface(let interface) = try #require(brought.values.first) else { return }
        #expect(interface.ipAddresses == ["10.60.0.2/30", "10.60.1.2/32", "172.16.0.2/32", "alloc:net1"])
        #expect(interface.physAddress == "02:00:00:00:00:aa")
        // The other end is in our own network: the kernel has the route already.
        #expect(brought.values.count == 1)
    }

    @Test("an endpoint's end; addresses and MAC of the user are for a single client")
    func endpointSide() {
        var endpoint = Upnp_NetworkServiceEndpoint()
        endpoint.networkService = "db"
        endpoint.interfaceNamePrefix = "cl"
        endpoint.ipAddresses = ["10.60.0.1/30"]
        endpoint.physAddress = "02:00:00:00:00:bb"
        var connection = connection { context in
            context.ipContext.srcIpAddrs = ["172.16.0.2/32"]
            context.ipContext.dstIpAddrs = ["172.16.0.1/32"]
            context.ipContext.dstRoutes = [.with { $0.prefix = "10.9.0.0/16" }]
            context.ipContext.policies = [.with { $0.from = "172.16.0.2/32" }]
            context.ethernetContext.dstMac = "02:00:00:00:00:01"
        }
        connection.mechanism = .kernel(name: "cl3")
        #expect(
            yaml(ConnectionValues(ConnectionSide(endpoint, connection)).values) == """
                linuxConfig:
                  interfaces:
                    - name: cl3
                      type: EXISTING
                      enabled: true
                      ipAddresses: [172.16.0.1/32]
                      physAddress: "02:00:00:00:00:01"
                  routes:
                    - outgoingInterface: cl3
                      scope: LINK
                      dstNetwork: 172.16.0.2/32
                    - outgoingInterface: cl3
                      dstNetwork: 10.9.0.0/16
                      gwAddr: 172.16.0.2
                      onlink: true

                """)
        endpoint.singleClient = true
        guard case .interface(let interface)? = ConnectionValues(ConnectionSide(endpoint, connection)).values.first
        else { return }
        #expect(interface.ipAddresses == ["10.60.0.1/30", "172.16.0.1/32"])
        #expect(interface.physAddress == "02:00:00:00:00:bb")
    }

    @Test("an endpoint leads to the addresses that it gave, and to no other that a client names")
    func claimedAddresses() {
        var endpoint = Upnp_NetworkServiceEndpoint()
        endpoint.networkService = "db"
        var connection = connection { context in
            context.ipContext.srcIpAddrs = ["203.0.113.77/32", "172.16.0.2/32", "10.60.0.2/24", "172.16.0.1/32"]
            context.ipContext.dstIpAddrs = ["172.16.0.1/32", "10.60.0.1/24"]
            context.ipContext.dstRoutes = [.with { $0.prefix = "172.16.0.2/32" }]
        }
        connection.mechanism = .kernel(name: "cl3")
        let routes = ConnectionValues(ConnectionSide(endpoint, connection)).values.compactMap { value in
            if case .route(let route) = value { route.dstNetwork } else { nil }
        }
        #expect(routes == ["172.16.0.2/32"])
    }

    @Test("what can't be read is told and left out")
    func problems() {
        let brought = ConnectionValues(
            ConnectionSide(
                client,
                connection { context in
                    context.ipContext.srcIpAddrs = ["x", "172.16.0.2/32"]
                    context.ipContext.dstIpAddrs = ["172.16.0.1/32"]
                    context.ipContext.srcRoutes = [
                        .with { $0.prefix = "10.0.0.0/33" },
                        .with { route in
                            route.prefix = "10.0.0.0/8"
                            route.nextHop = "fe80::1"
                        },
                    ]
                    context.ipContext.ipNeighbors = [.with { $0.ip = "172.16.0.1" }]
                    context.ipContext.policies = [
                        .with { policy in
                            policy.from = "172.16.0.2/32"
                            policy.proto = "6"
                        }, .with { $0.from = "nowhere" },
                    ]
                    context.ethernetContext.srcMac = "ff:ff:ff:ff:ff:ff"
                }))
        #expect(brought.values.map(\.kind) == [.interface, .route])
        #expect(brought.problems.count == 7, "\(brought.problems)")
    }

    @Test("a rule without a source, for each family of its routes")
    func openPolicies() {
        let brought = ConnectionValues(
            ConnectionSide(
                client,
                connection { context in
                    context.ipContext.policies = [
                        NSMPolicyRoute(),
                        .with { $0.routes = [.with { $0.prefix = "fd00::/8" }, .with { $0.prefix = "10.0.0.0/8" }] },
                    ]
                }))
        let rules = brought.values.compactMap { value -> Nsmagent_Linux_Rule? in
            if case .rule(let rule) = value { rule } else { nil }
        }
        #expect(rules.map(\.name) == ["nsm/access/0", "nsm/access/1/v4", "nsm/access/1/v6"])
        #expect(rules.map(\.family) == [.ipv4, .ipv4, .ipv6])
        #expect(brought.values.map(\.key).count == Set(brought.values.map(\.key)).count)
    }

    @Test("whatever the mesh says, the values are ones that a file could hold, and the order of texts is no matter")
    func fuzz() {
        var random = SeededGenerator(seed: 21)
        let prefixes = [
            "10.0.0.1/32", "10.0.0.2/24", "fd00::1/128", "0.0.0.0/0", "::/0", "x", "", "10.0.0.1", "300.0.0.1/8",
            "10.0.0.1/33", "fe80::1/64", "172.16.0.0/12", "fd00::/8",
        ]
        let macs = ["02:00:00:00:00:01", "", "x", "00:00:00:00:00:00", "01:00:00:00:00:00"]
        func list(_ most: Int) -> [String] { (0..<random.below(most)).map { _ in random.pick(prefixes) } }
        func routes() -> [NSMRoute] {
            list(4).map { text in
                .with { route in
                    route.prefix = text
                    if random.chance(40) { route.nextHop = random.pick(["10.0.0.9", "fd00::9", "x", "0.0.0.0"]) }
                }
            }
        }
        for _ in 0..<500 {
            let connection = connection { context in
                context.ipContext.srcIpAddrs = list(4)
                context.ipContext.dstIpAddrs = list(4)
                context.ipContext.srcRoutes = routes()
                context.ipContext.ipNeighbors = list(3).map { text in
                    .with { neighbour in
                        neighbour.ip = text
                        neighbour.hardwareAddress = random.pick(macs)
                    }
                }
                context.ipContext.policies = list(3).map { text in
                    .with { policy in
                        policy.from = text
                        policy.routes = routes()
                    }
                }
                context.ethernetContext.srcMac = random.pick(macs)
            }
            let values = ConnectionValues(ConnectionSide(client, connection)).values
            #expect(Set(values.map(\.key)).count == values.count)
            let text = yaml(values)
            let config = ConfigLoader.load(bytes: Array(text.utf8), name: "f")
            #expect(config.mistakes.isEmpty, "\(config.mistakes)\n\(text)")
            #expect(Set(config.items.map(\.key)) == Set(values.map(\.key)))
        }
    }
}
