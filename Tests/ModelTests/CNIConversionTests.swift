import Testing

@testable import Model

@Suite("configurations of CNI as ours")
struct CNIConversionTests {
    @Test("a bridge with a gateway, and one container")
    func bridge() throws {
        let conversion = try convert(
            """
            {
              "cniVersion": "1.0.0", "name": "pods",
              "plugins": [
                {"type": "bridge", "bridge": "cni0", "isDefaultGateway": true, "hairpinMode": true, "mtu": 1400,
                 "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.4.0.0/24"}], [{"subnet": "fd00:4::/64"}]],
                          "routes": [{"dst": "10.96.0.0/12"}]}},
                {"type": "portmap", "capabilities": {"portMappings": true}}
              ]
            }
            """)
        #expect(conversion.format == .cni)
        expect(
            conversion,
            is: """
                linuxConfig:
                  namespaces: [{name: pods}]
                  interfaces:
                    - name: cni0
                      type: BRIDGE
                      enabled: true
                      ipAddresses: [10.4.0.1/24, "fd00:4::1/64"]
                      sysctls: {ipv4.forwarding: "1", ipv6.forwarding: "1"}
                      bridge: {ports: [veth-pods], portSettings: [{interface: veth-pods, hairpin: true}]}
                    - name: pods-eth0
                      type: VETH
                      namespace: {type: NSID, reference: pods}
                      hostIfName: eth0
                      enabled: true
                      mtu: 1400
                      ipAddresses: [10.4.0.2/24, "fd00:4::2/64"]
                      veth: {peerIfName: veth-pods}
                    - {name: veth-pods, type: VETH, enabled: true, mtu: 1400, veth: {peerIfName: pods-eth0}}
                  routes:
                    - {outgoingInterface: pods-eth0, dstNetwork: 10.96.0.0/12, gwAddr: 10.4.0.1}
                    - {outgoingInterface: pods-eth0, dstNetwork: 0.0.0.0/0, gwAddr: 10.4.0.1}
                    - {outgoingInterface: pods-eth0, dstNetwork: "::/0", gwAddr: "fd00:4::1"}
                """)
        #expect(conversion.lines.map { $0.prefix(3) } == ["7: "], "\(conversion.lines)")
    }

    @Test("macvlan, and a namespace of one's own choice")
    func macvlan() throws {
        let text = """
            {"cniVersion": "0.4.0", "name": "m", "type": "macvlan", "master": "eth1", "mode": "bridge",
             "ipam": {"type": "static", "addresses": [{"address": "10.9.0.7/24", "gateway": "10.9.0.1"}], "routes": [{"dst": "0.0.0.0/0"}]}}
            """
        let conversion = try Conversion([ForeignFile(name: "m.conf", bytes: Array(text.utf8))], namespace: "c1")
        expect(
            conversion,
            is: """
                linuxConfig:
                  namespaces: [{name: c1}]
                  interfaces:
                    - {name: eth1, type: EXISTING, enabled: true}
                    - name: c1-eth0
                      type: MACVLAN
                      namespace: {type: NSID, reference: c1}
                      hostIfName: eth0
                      enabled: true
                      ipAddresses: [10.9.0.7/24]
                      macvlan: {parent: eth1}
                  routes: [{outgoingInterface: c1-eth0, dstNetwork: 0.0.0.0/0, gwAddr: 10.9.0.1}]
                """)
        #expect(conversion.lines == [])
    }

    @Test("each network has a namespace and names of its own; what meets an interface of another plugin is left out")
    func networks() throws {
        func list(_ name: String, _ plugins: String) -> ForeignFile {
            let text = "{\"cniVersion\": \"1.0.0\", \"name\": \"\(name)\", \"plugins\": [\(plugins)]}"
            return ForeignFile(name: name, bytes: Array(text.utf8))
        }
        let (bridge, macvlan) = ("{\"type\": \"bridge\"}", "{\"type\": \"macvlan\", \"master\": \"eth1\"}")
        let files = [list("production-a", bridge), list("production-b", "\(bridge), \(macvlan)"), list("c", bridge)]
        let conversion = try Conversion(files)
        let interfaces = conversion.values.compactMap { value -> Ligato_Linux_Interfaces_Interface? in
            if case .interface(let message) = value { message } else { nil }
        }
        let inside = interfaces.filter(\.hasNamespace)
        #expect(inside.map(\.name) == ["production-a-eth0", "production-b-eth0", "c-eth0"])
        #expect(inside.map(\.namespace.reference) == ["production-a", "production-b", "c"])
        let hosts = inside.map(\.veth.peerIfName)
        #expect(Set(hosts).count == 3 && hosts.allSatisfy { $0.utf8.count <= 15 } && hosts[2] == "veth-c", "\(hosts)")
        #expect(interfaces.first { $0.type == .bridge }?.bridge.ports == hosts)
        #expect(conversion.lines.count == 1, "\(conversion.lines)")
        // In one namespace there is room for one.
        let together = try Conversion(files, namespace: "n")
        #expect(together.leftOut.count == 3, "\(together.lines)")
    }
}
