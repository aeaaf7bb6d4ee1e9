import Testing
import YAML

@testable import Model

/// Converts one file.
func convert(
    _ text: String, name: String = "file.yaml", from format: ForeignFormat? = nil
) throws -> Conversion {
    try Conversion([ForeignFile(name: name, bytes: Array(text.utf8))], from: format)
}

/// Checks that a conversion is what a file of ours says, and that this file is right.
func expect(_ conversion: Conversion, is text: String, sourceLocation: SourceLocation = #_sourceLocation) {
    let expected = load(text)
    #expect(expected.mistakes == [], sourceLocation: sourceLocation)
    let values = ConfigDocument.whole(of: expected.items.map(\.value))
    #expect(YAMLWriter.write(conversion.document) == YAMLWriter.write(values), sourceLocation: sourceLocation)
    let again = load(YAMLWriter.write(conversion.document))
    #expect(again.mistakes == [], sourceLocation: sourceLocation)
    #expect(again.invalidValues.isEmpty, sourceLocation: sourceLocation)
}

extension Conversion {
    /// What was left out, without the file's name.
    var lines: [String] { leftOut.map { "\($0.line): \($0.text)" } }
}

@Suite("files of netplan as ours")
struct NetplanConversionTests {
    @Test("links, addresses, routes and rules")
    func all() throws {
        let conversion = try convert(
            """
            network:
              version: 2
              renderer: networkd
              ethernets:
                eth0:
                  dhcp4: true
                  addresses: [192.0.2.5/24, {198.51.100.7/32: {label: "eth0:1", lifetime: 0}}]
                  gateway4: 192.0.2.1
                  nameservers: {addresses: [9.9.9.9]}
                  mtu: 1450
                lan:
                  match: {name: eth1}
                  accept-ra: false
              dummy-devices:
                d0: {addresses: [2001:db8::1/64]}
              virtual-ethernets:
                va: {peer: vb}
                vb: {peer: va}
              bridges:
                br0:
                  interfaces: [lan, va]
                  parameters: {stp: false, forward-delay: 4, path-cost: {lan: 50}}
                  addresses: [10.0.0.1/24]
                  routes:
                    - {to: default, via: 10.0.0.254, metric: 100}
                    - {to: 10.9.0.0/16, via: 10.0.0.253, on-link: true, table: 7}
                    - {to: 10.8.0.0/16, type: blackhole}
                  routing-policy: [{from: 10.0.0.0/24, table: 7, priority: 50}, {to: 10.8.0.0/16, table: 7}]
              vlans:
                br0.5: {id: 5, link: br0, macaddress: "02:00:00:00:00:05"}
              vrfs:
                red: {table: 11, interfaces: [d0], routes: [{to: "::/0", via: "2001:db8::2"}]}
              tunnels:
                t0: {mode: gre, local: 192.0.2.5, remote: 192.0.2.9, key: 4, ttl: 64}
                x0: {mode: vxlan, id: 9, remote: 192.0.2.9, port: 4790, mac-learning: false}
            """)
        #expect(conversion.format == .netplan)
        expect(
            conversion,
            is: """
                linuxConfig:
                  interfaces:
                    - name: eth0
                      type: EXISTING
                      enabled: true
                      mtu: 1450
                      ipAddresses: [192.0.2.5/24]
                      addresses: [{address: 198.51.100.7/32, label: "eth0:1", deprecated: true}]
                    - {name: lan, type: EXISTING, enabled: true, hostIfName: eth1, sysctls: {accept_ra: "0"}}
                    - {name: d0, type: DUMMY, enabled: true, ipAddresses: [2001:db8::1/64], vrfMasterInterface: red}
                    - {name: va, type: VETH, enabled: true, veth: {peerIfName: vb}}
                    - {name: vb, type: VETH, enabled: true, veth: {peerIfName: va}}
                    - name: br0
                      type: BRIDGE
                      enabled: true
                      ipAddresses: [10.0.0.1/24]
                      bridge: {ports: [lan, va], forwardDelay: 4, portSettings: [{interface: lan, cost: 50}]}
                    - name: br0.5
                      type: VLAN
                      enabled: true
                      physAddress: 02:00:00:00:00:05
                      vlan: {parent: br0, id: 5}
                    - {name: red, type: VRF_DEVICE, enabled: true, vrfDev: {routingTable: 11}}
                    - {name: t0, type: GRE, enabled: true, tunnel: {local: 192.0.2.5, remote: 192.0.2.9, key: 4, ttl: 64}}
                    - {name: x0, type: VXLAN, enabled: true, vxlan: {vni: 9, remote: 192.0.2.9, port: 4790, noLearning: true}}
                  routes:
                    - {outgoingInterface: eth0, dstNetwork: 0.0.0.0/0, gwAddr: 192.0.2.1}
                    - {outgoingInterface: br0, dstNetwork: 0.0.0.0/0, gwAddr: 10.0.0.254, metric: 100}
                    - {outgoingInterface: br0, dstNetwork: 10.9.0.0/16, gwAddr: 10.0.0.253, onlink: true, table: 7}
                    - {dstNetwork: 10.8.0.0/16, type: BLACKHOLE}
                    - {outgoingInterface: d0, dstNetwork: "::/0", gwAddr: "2001:db8::2", table: 11}
                  rules:
                    - {name: rule-1, priority: 50, from: 10.0.0.0/24, table: 7}
                    - {name: rule-2, priority: 32765, to: 10.8.0.0/16, table: 7}
                """)
        #expect(
            conversion.lines == [
                "6: network.ethernets.eth0.dhcp4: addresses by DHCP need a client, such as dhcpcd; the agent leaves them alone",
                "9: network.ethernets.eth0.nameservers: name servers are for the resolver: write them to /etc/resolv.conf or to its own "
                    + "configuration",
            ])
    }

    @Test("a bond, and what is said of a key that nobody knows")
    func bond() throws {
        let conversion = try convert(
            """
            network:
              version: 2
              ethernets: {e0: {}, e1: {sorcery: true}}
              bonds:
                b0:
                  interfaces: [e0, e1]
                  parameters: {mode: active-backup, primary: e0, mii-monitor-interval: 50, up-delay: 1s, arp-interval: 3}
            """)
        expect(
            conversion,
            is: """
                linuxConfig:
                  interfaces:
                    - {name: e0, type: EXISTING, enabled: true}
                    - {name: e1, type: EXISTING, enabled: true}
                    - name: b0
                      type: BOND
                      enabled: true
                      bond: {ports: [e0, e1], mode: active-backup, primary: e0, miimon: 50, updelay: 1000}
                """)
        #expect(
            conversion.lines == [
                "3: network.ethernets.e1.sorcery: it has no counterpart here",
                "7: network.bonds.b0.parameters.arp-interval: it has no counterpart here",
            ])
    }

    @Test("what would be wrong as ours is left out, and others go on without it")
    func wrongValues() throws {
        let conversion = try convert(
            """
            network:
              ethernets:
                a-name-that-is-too-long: {}
                eth0: {addresses: [10.0.0.1/33, 10.0.0.2/24], mtu: much}
              vlans: {v: {id: 5000, link: eth0}}
              bridges: {br0: {interfaces: [a-name-that-is-too-long, v]}}
            """)
        expect(
            conversion,
            is: """
                linuxConfig:
                  interfaces:
                    - {name: eth0, type: EXISTING, enabled: true, ipAddresses: [10.0.0.2/24]}
                    - {name: br0, type: BRIDGE, enabled: true, bridge: {}}
                """)
        #expect(conversion.lines.count == 4, "\(conversion.lines)")
        #expect(conversion.lines.allSatisfy { !$0.hasPrefix("0:") })
    }
}

@Suite("files of other programs")
struct ForeignFileTests {
    @Test("the program is recognised, and asked for where it can't be")
    func recognition() throws {
        #expect(try convert("network: {version: 2}").format == .netplan)
        #expect(try convert("interfaces: [{name: a, type: dummy}]").format == .nmstate)
        #expect(try convert("interfaces: [{name: a, link: {kind: dummy}}]").format == .ifstate)
        #expect(try convert("interfaces: {a: {link: {kind: dummy}}}").format == .ifstate)
        #expect(try convert("{\"cniVersion\": \"1.0.0\", \"name\": \"n\", \"plugins\": []}").format == .cni)
        #expect(try convert("# a comment\n[NetDev]\nName=a\nKind=dummy\n").format == .networkd)
        let failure = #expect(throws: ConversionFailure.self) { try convert("linuxConfig: {}") }
        #expect(failure?.mistakes.first?.text.contains("--from") == true)
        // What is said of it prevails.
        #expect(try convert("interfaces: [{name: a, type: dummy}]", from: .ifstate).format == .ifstate)
    }

    @Test("files of several programs are not mixed, and broken ones are told with their places")
    func mistakes() throws {
        let files = [
            ForeignFile(name: "a", bytes: Array("network: {version: 2}".utf8)),
            ForeignFile(name: "b", bytes: Array("[Match]\nName=x\n".utf8)),
        ]
        let mixed = #expect(throws: ConversionFailure.self) { try Conversion(files) }
        #expect(mixed?.mistakes.first?.text.contains("convert them one by one") == true)
        let broken = #expect(throws: ConversionFailure.self) { try convert("network: {version: 2\n", from: .netplan) }
        #expect(broken?.mistakes.first.map { $0.line > 0 } == true)
        let unit = #expect(throws: ConversionFailure.self) { try convert("Name=x\n[Match]\n", from: .networkd) }
        #expect(unit?.mistakes.map(\.description) == ["file.yaml:1:1: this line stands before the first [Section]"])
        // A line may hold a key.
        let key = #expect(throws: ConversionFailure.self) {
            try convert("[WireGuard]\nPrivateKey: secret\n", from: .networkd)
        }
        #expect(key?.mistakes.map(\.description) == ["file.yaml:2:1: this line is neither [Section] nor Key=Value"])
        #expect(throws: ConversionFailure.self) { try convert("{apiVersion: [[], []], kind: x}") }
        let list = #expect(throws: ConversionFailure.self) { try convert("[1, 2]", from: .nmstate) }
        #expect(list?.mistakes.first?.text.contains("not a mapping") == true)
    }

    @Test("sizes have bounds")
    func bounds() {
        let large = ForeignFile(name: "a", bytes: [UInt8](repeating: 32, count: Conversion.maximumByteCount + 1))
        #expect(throws: ConversionFailure.self) { try Conversion([large]) }
        let many = [ForeignFile](repeating: ForeignFile(name: "a", bytes: []), count: Conversion.maximumFileCount + 1)
        #expect(throws: ConversionFailure.self) { try Conversion(many) }
    }

    @Test("values have a bound, and where all are wrong, all are left out")
    func values() throws {
        let names = (0..<400).map { "e\($0)" }.joined(separator: " ")
        let routes = String(repeating: "[Route]\nDestination=10.0.0.0/8\n", count: 400)
        let many = #expect(throws: ConversionFailure.self) {
            try convert("[Match]\nName=\(names)\n" + routes, from: .networkd)
        }
        #expect(many?.mistakes.first?.text.contains("100000") == true)
        let wrong = (0..<150).map { "a-name-that-is-too-long-\($0): {}" }.joined(separator: ", ")
        let none = try convert("network: {dummy-devices: {\(wrong)}}")
        #expect(none.values.isEmpty)
        #expect(none.leftOutCount == 150)
    }

    @Test("a long list of what is left out is only counted at its end")
    func longList() throws {
        let keys = (0..<1500).map { "k\($0): 1" }.joined(separator: ", ")
        let conversion = try convert("network: {ethernets: {e: {\(keys)}}}")
        #expect(conversion.leftOut.count == 1000)
        #expect(conversion.omitted == 500)
    }

    @Test("any prefix of a file, and any byte changed, is an answer", arguments: ForeignFormat.allCases)
    func damage(format: ForeignFormat) {
        var text = Array(Self.samples[format, default: ""].utf8)
        var random = SystemRandomNumberGenerator()
        for count in stride(from: 0, to: text.count, by: 3) {
            _ = try? Conversion([ForeignFile(name: "f", bytes: Array(text.prefix(count)))], from: format)
        }
        for _ in 0..<300 {
            let place = Int.random(in: 0..<text.count, using: &random)
            let old = text[place]
            text[place] = UInt8.random(in: 9..<127, using: &random)
            _ = try? Conversion([ForeignFile(name: "f", bytes: text)], from: format)
            text[place] = old
        }
    }

    /// A file of each program.
    static let samples: [ForeignFormat: String] = [
        .netplan: """
        network:
          ethernets: {e0: {addresses: [10.0.0.1/24], routes: [{to: default, via: 10.0.0.2}]}}
          bridges: {b: {interfaces: [e0], parameters: {path-cost: {e0: 4}}}}
          vlans: {v: {id: 4, link: b}}
        """,
        .networkd:
            "[Match]\nName=e0 e1\n[Network]\nAddress=10.0.0.1/24\nVLAN=v\n[BridgeVLAN]\nVLAN=4-9\nPVID=4\n[Route]\nGateway=10.0.0.2\n",
        .nmstate: """
        interfaces:
        - {name: b, type: linux-bridge, bridge: {port: [{name: e, vlan: {mode: trunk, tag: 5, enable-native: true, trunk-tags: [{id: 7}]}}]}}
        routes: {config: [{destination: 10.0.0.0/8, next-hop-interface: b, weight: 4}]}
        """,
        .ifstate: """
        interfaces:
        - {name: b, addresses: [10.0.0.1/24], link: {kind: bridge, br_ageing_time: 3000}, neighbours: {10.0.0.2: 02:00:00:00:00:01}}
        routing: {routes: [{to: 10.1.0.0/16, via: 10.0.0.2}], rules: [{priority: 4, action: prohibit}]}
        """,
        .cni: """
        {"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": "bridge", "isGateway": true, "ipMasq": true, "vlan": 4,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.4.0.0/24", "rangeStart": "10.4.0.1"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
        """,
    ]
}
