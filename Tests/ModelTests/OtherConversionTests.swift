import Testing

@testable import Model

@Suite("units of systemd-networkd as ours")
struct NetworkdConversionTests {
    private func convert(_ files: [String: String]) throws -> Conversion {
        try Conversion(
            files.sorted { $0.key < $1.key }.map { ForeignFile(name: $0.key, bytes: Array($0.value.utf8)) })
    }

    @Test("a bridge with VLANs, its ports and what stands on it")
    func bridge() throws {
        let conversion = try convert([
            "10-br.netdev":
                "[NetDev]\nName=br0\nKind=bridge\n\n[Bridge]\nVLANFiltering=yes\nForwardDelaySec=4\nSTP=no\n",
            "11-vlan.netdev": "[NetDev]\nName=guest\nKind=vlan\n[VLAN]\nId=20\n",
            "20-ports.network": """
            [Match]
            Name=eth1 eth2

            [Network]
            Bridge=br0

            [Bridge]
            Isolated=yes
            Cost=7

            [BridgeVLAN]
            VLAN=20-22
            PVID=21
            EgressUntagged=21
            """,
            "30-br.network": """
            [Match]
            Name=br0

            # a comment
            [Network]
            Address=10.0.0.1/24
            Gateway=10.0.0.254
            DNS=9.9.9.9
            VLAN=guest
            DHCP=no

            [BridgeVLAN]
            VLAN=20
            """,
            "40-guest.network":
                "[Match]\nName=gue*\n[Network]\nDHCP=ipv4\nIPv6AcceptRA=no\n[Address]\nAddress=10.20.0.1/24\nAddPrefixRoute=no\n",
        ])
        expect(
            conversion,
            is: """
                linuxConfig:
                  interfaces:
                    - name: br0
                      type: BRIDGE
                      enabled: true
                      ipAddresses: [10.0.0.1/24]
                      bridge:
                        ports: [eth1, eth2]
                        vlanFiltering: true
                        forwardDelay: 4
                        portSettings:
                          - interface: eth1
                            cost: 7
                            isolated: true
                            vlans: [{vid: 20}, {vid: 21, pvid: true, untagged: true}, {vid: 22}]
                          - interface: eth2
                            cost: 7
                            isolated: true
                            vlans: [{vid: 20}, {vid: 21, pvid: true, untagged: true}, {vid: 22}]
                        vlans: [{vid: 20}]
                    - name: guest
                      type: VLAN
                      enabled: true
                      sysctls: {accept_ra: "0"}
                      addresses: [{address: 10.20.0.1/24, noprefixroute: true}]
                      vlan: {parent: br0, id: 20}
                    - {name: eth1, type: EXISTING, enabled: true}
                    - {name: eth2, type: EXISTING, enabled: true}
                  routes:
                    - {outgoingInterface: br0, dstNetwork: 0.0.0.0/0, gwAddr: 10.0.0.254}
                """)
        #expect(
            conversion.leftOut.map { "\($0.file):\($0.line): \($0.text)" } == [
                "30-br.network:8: [Network] DNS: name servers are for the resolver: write them to /etc/resolv.conf or to its own "
                    + "configuration",
                "40-guest.network:4: [Network] DHCP: addresses by DHCP need a client, such as dhcpcd; the agent leaves them alone",
            ])
    }

    @Test("devices of all kinds")
    func devices() throws {
        let conversion = try convert([
            "a.netdev":
                "[NetDev]\nName=bo\nKind=bond\nMTUBytes=1400\n[Bond]\nMode=802.3ad\nTransmitHashPolicy=layer3+4\nMIIMonitorSec=0.2\n",
            "b.netdev": "[NetDev]\nName=ma\nKind=macvlan\n[MACVLAN]\nMode=private\n",
            "c.netdev":
                "[NetDev]\nName=vx\nKind=vxlan\n[VXLAN]\nVNI=5\nGroup=239.0.0.1\nDestinationPort=4789\nMacLearning=no\n",
            "d.netdev": "[NetDev]\nName=ta\nKind=tap\n[Tap]\nUser=1000\nVNetHeader=yes\n",
            "e.netdev":
                "[NetDev]\nName=gr\nKind=gretap\n[Tunnel]\nIndependent=yes\nLocal=192.0.2.1\nRemote=192.0.2.2\nKey=7\n",
            "f.netdev": "[NetDev]\nName=ve\nKind=veth\n[Peer]\nName=ve2\n",
            "g.netdev": "[NetDev]\nName=vr\nKind=vrf\n[VRF]\nTable=42\n",
            "h.netdev": "[NetDev]\nName=wg\nKind=wireguard\n[WireGuard]\nListenPort=5\n[WireGuardPeer]\nPublicKey=x\n",
            "m.network": "[Match]\nName=eth0\n[Network]\nMACVLAN=ma\nVXLAN=vx\n",
            "p.network": "[Match]\nName=eth1\n[Network]\nBond=bo\nPrimarySlave=no\n",
            "n.network":
                "[Match]\nName=ve\n[Network]\nVRF=vr\nAddress=10.1.0.1/24\n[Neighbor]\nAddress=10.1.0.2\nLinkLayerAddress=02:00:00:00:00:01\n",
            "o.network":
                "[Match]\nName=vx\n[BridgeFDB]\nMACAddress=00:00:00:00:00:00\nDestination=192.0.2.7\nAssociatedWith=self\n",
        ])
        expect(
            conversion,
            is: """
                linuxConfig:
                  interfaces:
                    - name: bo
                      type: BOND
                      enabled: true
                      mtu: 1400
                      bond: {ports: [eth1], mode: 802.3ad, miimon: 200, xmitHashPolicy: layer3+4}
                    - {name: ma, type: MACVLAN, enabled: true, macvlan: {parent: eth0, mode: PRIVATE}}
                    - name: vx
                      type: VXLAN
                      enabled: true
                      vxlan: {vni: 5, group: 239.0.0.1, parent: eth0, port: 4789, noLearning: true}
                    - {name: ta, type: TAP, enabled: true, tuntap: {owner: 1000, vnetHeader: true}}
                    - {name: gr, type: GRETAP, enabled: true, tunnel: {local: 192.0.2.1, remote: 192.0.2.2, key: 7}}
                    - {name: ve, type: VETH, enabled: true, ipAddresses: [10.1.0.1/24], vrfMasterInterface: vr, veth: {peerIfName: ve2}}
                    - {name: ve2, type: VETH, enabled: true, veth: {peerIfName: ve}}
                    - {name: vr, type: VRF_DEVICE, enabled: true, vrfDev: {routingTable: 42}}
                    - {name: wg, type: WIREGUARD, enabled: true, wireguard: {listenPort: 5}}
                    - {name: eth0, type: EXISTING, enabled: true}
                    - {name: eth1, type: EXISTING, enabled: true}
                  arpEntries: [{interface: ve, ipAddress: 10.1.0.2, hwAddress: 02:00:00:00:00:01}]
                  fdb: [{mac: "00:00:00:00:00:00", interface: vx, dst: 192.0.2.7}]
                """)
        #expect(conversion.lines.count == 1, "\(conversion.lines)")
    }

    @Test("routes and rules")
    func routes() throws {
        let conversion = try convert([
            "a.network": """
            [Match]
            Name=eth0
            [Route]
            Destination=10.0.0.0/8
            Gateway=192.0.2.1
            GatewayOnLink=yes
            Table=100
            Metric=5
            InitialCongestionWindow=20
            [Route]
            MultiPathRoute=192.0.2.3@eth0 7
            MultiPathRoute=192.0.2.4
            [Route]
            Destination=10.7.0.0/16
            Type=unreachable
            [Route]
            Gateway=_dhcp4
            [RoutingPolicyRule]
            From=10.0.0.0/8
            Table=100
            FirewallMark=7/255
            Priority=9
            [RoutingPolicyRule]
            Family=both
            SuppressPrefixLength=0
            """
        ])
        expect(
            conversion,
            is: """
                linuxConfig:
                  interfaces: [{name: eth0, type: EXISTING, enabled: true}]
                  routes:
                    - outgoingInterface: eth0
                      dstNetwork: 10.0.0.0/8
                      gwAddr: 192.0.2.1
                      metric: 5
                      table: 100
                      onlink: true
                      initcwnd: 20
                    - dstNetwork: 0.0.0.0/0
                      nextHops: [{gwAddr: 192.0.2.3, outgoingInterface: eth0, weight: 7}, {gwAddr: 192.0.2.4, outgoingInterface: eth0}]
                    - {dstNetwork: 10.7.0.0/16, type: UNREACHABLE}
                  rules:
                    - {name: rule-1, priority: 9, from: 10.0.0.0/8, fwmark: 7, fwmask: 255, table: 100}
                    - {name: rule-2, priority: 32765, table: 254, suppressPrefixlength: 0}
                    - {name: rule-3, priority: 32764, table: 254, suppressPrefixlength: 0, family: IPV6}
                """)
        #expect(conversion.lines.count == 1)
    }

    @Test("a file whose interface is not known, or has one already, is left out with one word")
    func unknown() throws {
        let conversion = try convert([
            "a.network": "[Match]\nName=eth0\n[Network]\nAddress=10.0.0.1/24\n",
            "b.network": "[Match]\nName=eth0\n[Network]\nAddress=10.0.0.2/24\n",
            "c.network": "[Match]\nType=ether\n[Network]\nAddress=10.0.0.3/24\n",
        ])
        expect(
            conversion,
            is: "linuxConfig: {interfaces: [{name: eth0, type: EXISTING, enabled: true, ipAddresses: [10.0.0.1/24]}]}")
        #expect(conversion.leftOut.map(\.file) == ["b.network", "c.network"])
    }
}

@Suite("states of nmstate as ours")
struct NMStateConversionTests {
    @Test("links, addresses, routes and rules")
    func all() throws {
        let conversion = try convert(
            """
            dns-resolver: {config: {server: [9.9.9.9]}}
            interfaces:
            - name: br0
              type: linux-bridge
              state: up
              ipv4: {enabled: true, dhcp: false, address: [{ip: 10.0.0.1, prefix-length: 24}]}
              ipv6: {enabled: false}
              bridge:
                options: {stp: {enabled: false}, mac-ageing-time: 60}
                port:
                - name: eth1
                  vlan: {mode: trunk, tag: 5, enable-native: true, trunk-tags: [{id: 7}, {id-range: {min: 10, max: 12}}]}
                - {name: eth2, stp-hairpin-mode: true}
            - {name: eth1, type: ethernet, state: up, mtu: 1400, ethernet: {speed: 1000}}
            - {name: red, type: vrf, vrf: {port: [va], route-table-id: 9}}
            - {name: va, type: veth, veth: {peer: vb}}
            - {name: eth1.5, type: vlan, vlan: {base-iface: eth1, id: 5, protocol: 802.1ad}}
            - {name: mv, type: mac-vlan, mac-vlan: {base-iface: eth9, mode: vepa, promiscuous: true}}
            - {name: ipip0, type: ip-tunnel, ip-tunnel: {mode: ipip, local: 192.0.2.1, remote: 192.0.2.2, ttl: 255}}
            - {name: old, type: dummy, state: absent}
            routes:
              config:
              - {destination: 0.0.0.0/0, next-hop-address: 10.0.0.2, next-hop-interface: br0, metric: 150, table-id: 254}
              - {destination: 10.2.0.0/16, next-hop-address: 10.0.0.3, next-hop-interface: br0, weight: 2}
              - {destination: 10.2.0.0/16, next-hop-address: 10.0.0.4, next-hop-interface: br0, weight: 1}
              - {destination: 10.3.0.0/16, route-type: blackhole}
            route-rules:
              config: [{ip-from: 10.0.0.0/24, priority: 100, route-table: 9, fwmark: "0x10"}]
            """)
        #expect(conversion.format == .nmstate)
        expect(
            conversion,
            is: """
                linuxConfig:
                  interfaces:
                    - name: br0
                      type: BRIDGE
                      enabled: true
                      ipAddresses: [10.0.0.1/24]
                      sysctls: {disable_ipv6: "1"}
                      bridge:
                        ports: [eth1, eth2]
                        vlanFiltering: true
                        ageingTime: 60
                        portSettings:
                          - interface: eth1
                            vlans: [{vid: 5, pvid: true, untagged: true}, {vid: 7}, {vid: 10, last: 12}]
                          - {interface: eth2, hairpin: true}
                    - {name: eth1, type: EXISTING, enabled: true, mtu: 1400}
                    - {name: eth2, type: EXISTING, enabled: true}
                    - {name: red, type: VRF_DEVICE, enabled: true, vrfDev: {routingTable: 9}}
                    - {name: va, type: VETH, enabled: true, vrfMasterInterface: red, veth: {peerIfName: vb}}
                    - {name: vb, type: VETH, enabled: true, veth: {peerIfName: va}}
                    - {name: eth1.5, type: VLAN, enabled: true, vlan: {parent: eth1, id: 5, protocol: DOT1AD}}
                    - {name: mv, type: MACVLAN, enabled: true, macvlan: {parent: eth9, mode: VEPA}}
                    - {name: eth9, type: EXISTING, enabled: true}
                    - {name: ipip0, type: IPIP, enabled: true, tunnel: {local: 192.0.2.1, remote: 192.0.2.2, ttl: 255}}
                  routes:
                    - {outgoingInterface: br0, dstNetwork: 0.0.0.0/0, gwAddr: 10.0.0.2, metric: 150, table: 254}
                    - {dstNetwork: 10.3.0.0/16, type: BLACKHOLE}
                    - dstNetwork: 10.2.0.0/16
                      nextHops:
                        - {gwAddr: 10.0.0.3, outgoingInterface: br0, weight: 2}
                        - {gwAddr: 10.0.0.4, outgoingInterface: br0, weight: 1}
                  rules: [{name: rule-1, priority: 100, from: 10.0.0.0/24, fwmark: 16, table: 9}]
                """)
        #expect(conversion.lines.count == 4, "\(conversion.lines)")
    }

    @Test("an object of Kubernetes holds a state")
    func policy() throws {
        let conversion = try convert(
            """
            apiVersion: nmstate.io/v1
            kind: NodeNetworkConfigurationPolicy
            metadata: {name: p}
            spec: {nodeSelector: {a: b}, desiredState: {interfaces: [{name: d, type: dummy, state: up}]}}
            """)
        expect(conversion, is: "linuxConfig: {interfaces: [{name: d, type: DUMMY, enabled: true}]}")
        #expect(conversion.lines.count == 1)
    }
}

@Suite("files of ifstate as ours")
struct IfStateConversionTests {
    @Test("links, addresses, routes and rules, with namespaces")
    func all() throws {
        let conversion = try convert(
            """
            interfaces:
            - name: bond0
              addresses: [192.0.2.1/24]
              link: {state: up, kind: bond, bond_mode: 4, bond_ad_lacp_rate: 1, bond_xmit_hash_policy: 1, bond_miimon: 100}
            - {name: port1, addresses: [], link: {state: up, kind: physical, businfo: '0000:03:00.0', master: bond0}}
            - name: bond0.10
              link: {kind: vlan, link: bond0, vlan_id: 10, vlan_protocol: 802.1ad, state: up}
              neighbours: {192.0.2.42: 02:00:00:00:00:fa}
              sysctl: {ipv6: {accept_ra: 0}}
            routing:
              routes: [{to: 0.0.0.0/0, via: 192.0.2.254}]
              rules: [{priority: 42, iif: bond0, to: 1.1.1.1/32, action: prohibit}]
            namespaces:
              outside:
                interfaces:
                - {name: d, addresses: [198.51.100.2/31], link: {state: up, kind: dummy}}
                routing: {routes: [{to: 10.0.0.0/8, dev: d}]}
            """)
        #expect(conversion.format == .ifstate)
        expect(
            conversion,
            is: """
                linuxConfig:
                  namespaces: [{name: outside}]
                  interfaces:
                    - name: bond0
                      type: BOND
                      enabled: true
                      ipAddresses: [192.0.2.1/24]
                      bond: {ports: [port1], mode: 802.3ad, lacpRate: fast, xmitHashPolicy: layer3+4, miimon: 100}
                    - {name: port1, type: EXISTING, enabled: true, match: {path: "0000:03:00.0"}}
                    - name: bond0.10
                      type: VLAN
                      enabled: true
                      sysctls: {ipv6.accept_ra: "0"}
                      vlan: {parent: bond0, id: 10, protocol: DOT1AD}
                    - name: outside-d
                      type: DUMMY
                      namespace: {type: NSID, reference: outside}
                      hostIfName: d
                      enabled: true
                      ipAddresses: [198.51.100.2/31]
                  arpEntries: [{interface: bond0.10, ipAddress: 192.0.2.42, hwAddress: 02:00:00:00:00:fa}]
                  routes:
                    - {outgoingInterface: bond0, dstNetwork: 0.0.0.0/0, gwAddr: 192.0.2.254}
                    - {outgoingInterface: outside-d, dstNetwork: 10.0.0.0/8}
                  rules: [{name: rule-1, priority: 42, to: 1.1.1.1/32, iif: bond0, action: PROHIBIT}]
                """)
        #expect(conversion.lines.map { $0.prefix(3) } == ["5: "], "\(conversion.lines)")
    }
}
