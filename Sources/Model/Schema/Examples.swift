/// A short file for each model, to start from.
enum Examples {
    /// A file with one or two values of a kind, and what they need.
    static func text(_ kind: ModelDescription.Kind) -> String {
        switch kind {
        case .interface: interface
        case .arp: neighbour
        case .route: route
        case .ruleChain: ruleChain
        case .allocation: allocation
        case .client: client
        case .endpoint: endpoint
        case .namespace: namespace
        case .rule: rule
        case .filterTable: filterTable
        case .forwarding: forwarding
        case .qdisc: qdisc
        case .nextHop: nextHop
        case .service: service
        }
    }

    private static let interface = """
        linuxConfig:
          interfaces:
            # One end of a pair here, the other one as eth0 in the namespace pod1.
            - name: veth1
              type: VETH
              enabled: true
              ipAddresses: [10.0.0.1/24]
              veth: {peerIfName: veth1-pod}
            - name: veth1-pod
              type: VETH
              enabled: true
              namespace: {type: NSID, reference: pod1}
              hostIfName: eth0
              ipAddresses: [10.0.0.2/24]
              veth: {peerIfName: veth1}

        """

    private static let neighbour = """
        linuxConfig:
          arpEntries:
            - interface: eth0
              ipAddress: 192.0.2.7
              hwAddress: 02:00:00:00:00:07
          interfaces:
            # It is there already; only the entry is made.
            - {name: eth0, type: EXISTING, enabled: true}

        """

    private static let route = """
        linuxConfig:
          interfaces:
            - {name: br0, type: BRIDGE, enabled: true, ipAddresses: [10.0.0.1/24]}
          routes:
            - {dstNetwork: 10.1.0.0/16, gwAddr: 10.0.0.254, outgoingInterface: br0, scope: GLOBAL}
            # Two next hops that share the load.
            - dstNetwork: default
              metric: 100
              nextHops:
                - {gwAddr: 10.0.0.253, outgoingInterface: br0, weight: 2}
                - {gwAddr: 10.0.0.252, outgoingInterface: br0}

        """

    private static let ruleChain = """
        linuxConfig:
          RuleChain:
            - name: web
              protocol: IPV4
              table: FILTER
              chainType: INPUT
              defaultPolicy: ACCEPT
              rules:
                - -p tcp --dport 80 -j ACCEPT

        """

    private static let allocation = """
        netallocConfig:
          ipAddresses:
            - {networkName: blue, interfaceName: br0, address: 10.0.0.1/24}
        linuxConfig:
          interfaces:
            - {name: br0, type: BRIDGE, enabled: true, ipAddresses: ["alloc:blue"]}

        """

    private static let client = """
        cnfConfig:
          NetworkServiceClient_list:
            - name: web
              network_service: web
              interface_name: nsm0

        """

    private static let endpoint = """
        cnfConfig:
          NetworkServiceEndpoint_list:
            - network_service: web
              interface_name_prefix: client
              prefixes: [10.60.0.0/24]

        """

    private static let service = """
        cnfConfig:
          NetworkService_list:
            # Clients with the label after=firewall go on to the gateway, all others to the firewall first.
            - name: internet
              matches:
                - source_selector: [{key: after, value: firewall}]
                  routes:
                    - destination_selector: [{key: app, value: gateway}]
                - routes:
                    - destination_selector: [{key: app, value: firewall}]

        """

    private static let namespace = """
        linuxConfig:
          namespaces:
            - {name: pod1}

        """

    private static let rule = """
        linuxConfig:
          rules:
            # Packets from this network are looked up in table 100.
            - {name: from-office, from: 10.1.0.0/16, priority: 1000, table: 100}

        """

    private static let forwarding = """
        linuxConfig:
          interfaces:
            - name: vx0
              type: VXLAN
              enabled: true
              vxlan: {vni: 42, local: 192.0.2.1, noLearning: true}
          fdb:
            # Frames for this address go to that host.
            - {mac: 02:00:00:00:00:07, interface: vx0, dst: 192.0.2.7}

        """

    private static let qdisc = """
        linuxConfig:
          qdiscs:
            # No more than 10 Mbit/s leave by eth0.
            - {interface: eth0, tbf: {rate: 10mbit, burst: 32kb, latency: 50ms}}
            # No more than 100 Mbit/s arrive there.
            - {interface: eth0, police: {rate: 100mbit, burst: 256kb}}

        """

    private static let nextHop = """
        linuxConfig:
          interfaces:
            - {name: veth1, type: VETH, enabled: true, ipAddresses: [10.0.0.1/24], veth: {peerIfName: veth2}}
            - {name: veth2, type: VETH, enabled: true, veth: {peerIfName: veth1}}
          nexthops:
            - {name: left, outgoingInterface: veth1, gwAddr: 10.0.0.2}
            - {name: right, outgoingInterface: veth1, gwAddr: 10.0.0.3}
            # Three packets of four go left.
            - {name: both, group: [{nexthop: left, weight: 3}, {nexthop: right}]}
          routes:
            - {dstNetwork: 10.1.0.0/16, nexthop: both}
            - {dstNetwork: 10.2.0.0/16, nexthop: both}

        """

    private static let filterTable = """
        linuxConfig:
          nftables:
            - name: nat
              masquerade:
                - {out: eth0, from: 10.0.0.0/24}

        """
}
