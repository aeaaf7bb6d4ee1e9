import Model
import Testing

@Suite struct OtherCheckTests {
    private static func list(_ name: String, _ line: String, _ expected: String...) -> CheckCase {
        var test = CheckCase("linuxConfig:\n  \(name):\n    - \(line)\n")
        test.expected = expected
        return test
    }

    @Test(
        "routes",
        arguments: [
            list(
                "routes", "{outgoingInterface: e}",
                "3:7: linux.l3.route 'e': dst_network is missing; write a network, or 0.0.0.0/0 or ::/0 for the default route"
            ),
            list(
                "routes", "{dstNetwork: 10.0.0.0/8}",
                "3:7: linux.l3.route '10.0.0.0/8': outgoing_interface is missing; name the interface the packets leave by"
            ),
            list(
                "routes", "{dstNetwork: 10.0.0.0/8, outgoingInterface: e, gwAddr: 10.0.0.1/24}",
                "3:62: linux.l3.route '10.0.0.0/8/e': gw_addr '10.0.0.1/24' is an address with a prefix length; write 10.0.0.1 alone"
            ),
            list(
                "routes", "{dstNetwork: 'fd00::/8', outgoingInterface: e, gwAddr: 10.0.0.1, pref: HIGH}",
                "3:62: linux.l3.route 'fd00::/8/e': gw_addr '10.0.0.1' is IPv4, but the destination is IPv6"),
            list(
                "routes", "{dstNetwork: 10.0.0.0/8, outgoingInterface: e, pref: LOW}",
                "3:60: linux.l3.route '10.0.0.0/8/e': pref is only for IPv6 routes; 10.0.0.0/8 is IPv4"),
            list(
                "routes", "{dstNetwork: 10.0.0.0/8, type: BLACKHOLE, advmss: 1400}",
                "3:57: linux.l3.route '10.0.0.0/8/blackhole': advmss '1400' does not belong to a BLACKHOLE route"),
            list(
                "routes", "{dstNetwork: 'fd00::/8', type: BLACKHOLE, pref: HIGH}",
                "3:55: linux.l3.route 'fd00::/8/blackhole': pref belongs to UNICAST routes only"),
            list(
                "routes", "{dstNetwork: 10.0.0.0/8, outgoingInterface: e, advmss: 65496}",
                "3:62: linux.l3.route '10.0.0.0/8/e': advmss '65496' is out of range (0–65495)"),
            list(
                "routes", "{dstNetwork: 10.0.0.0/8, outgoingInterface: e, initcwnd: 65536}",
                "3:64: linux.l3.route '10.0.0.0/8/e': initcwnd '65536' is out of range (0–65535)"),
            list(
                "routes", "{dstNetwork: 10.0.0.0/8, outgoingInterface: e, gwAddr: 224.0.0.1}",
                "3:62: linux.l3.route '10.0.0.0/8/e': gw_addr '224.0.0.1' is a multicast address"),
            list(
                "routes", "{dstNetwork: 10.0.0.0/8, outgoingInterface: e, gwAddr: 10.0.0.1, scope: LINK}",
                "3:79: linux.l3.route '10.0.0.0/8/e': scope 'LINK' is not possible with a gateway: the destination is not on the link"
            ),
            list(
                "routes", "{dstNetwork: 10.0.0.0/8, outgoingInterface: e, gwAddr: 'alloc:n/e'}",
                "3:62: linux.l3.route '10.0.0.0/8/e': gw_addr 'alloc:n/e' must end in /GW here"),
            list("routes", "{dstNetwork: 10.0.0.0/8, outgoingInterface: e, gwAddr: 'alloc:n/GW'}"),
            list(
                "routes", "{dstNetwork: 10.0.0.0/8, outgoingInterface: e, onlink: true}",
                "3:62: linux.l3.route '10.0.0.0/8/e': onlink is about a gateway; there is none"),
            list(
                "routes", "{dstNetwork: 10.0.0.0/8, outgoingInterface: e, srcAddr: 'fd00::1'}",
                "3:63: linux.l3.route '10.0.0.0/8/e': src_addr 'fd00::1' is not of the same family as 10.0.0.0/8"),
            list(
                "routes", "{dstNetwork: 10.0.0.0/8, outgoingInterface: e, srcAddr: 224.0.0.1}",
                "3:63: linux.l3.route '10.0.0.0/8/e': src_addr '224.0.0.1' can't be the source of a packet"),
            list(
                "routes", "{dstNetwork: '::/0', outgoingInterface: e, mtu: 1000}",
                "3:55: linux.l3.route '::/0/e': mtu '1000' is below the smallest MTU (1280)"),
            list(
                "routes",
                "{dstNetwork: 10.0.0.0/8, type: BLACKHOLE, outgoingInterface: e, gwAddr: 10.0.0.1, nextHops: [{outgoingInterface: e}]}",
                "3:68: linux.l3.route '10.0.0.0/8/e': outgoing_interface 'e' does not belong to a BLACKHOLE route",
                "3:79: linux.l3.route '10.0.0.0/8/e': gw_addr '10.0.0.1' does not belong to a BLACKHOLE route",
                "3:99: linux.l3.route '10.0.0.0/8/e': next_hops do not belong to a BLACKHOLE route"),
            list(
                "routes", "{dstNetwork: 10.0.0.0/8, outgoingInterface: e, nextHops: [{outgoingInterface: e}]}",
                "3:64: linux.l3.route '10.0.0.0/8/e': next_hops can't be set together with outgoing_interface or gw_addr"
            ),
            list(
                "routes",
                "{dstNetwork: 10.0.0.0/8, nextHops: [{gwAddr: 'fd00::1'}, {outgoingInterface: e, onlink: true}]}",
                "3:43: linux.l3.route '10.0.0.0/8/ecmp': next_hops[0].outgoing_interface is missing; name the interface the packets leave by",
                "3:95: linux.l3.route '10.0.0.0/8/ecmp': next_hops[1].onlink is about a gateway; there is none"),
            list(
                "routes", "{dstNetwork: 10.0.0.0/33, outgoingInterface: e}",
                "3:20: linux.l3.route '10.0.0.0/33/e': dst_network '10.0.0.0/33' is not an IP prefix (length 0–32)"),
        ] as [CheckCase])
    func routes(test: CheckCase) { check(test) }

    @Test(
        "rules, neighbours, namespaces, chains",
        arguments: [
            list(
                "rules", "{name: r}",
                "3:7: nsmagent.linux.rule 'r': priority is missing; rules are tried in the order of this number",
                "3:7: nsmagent.linux.rule 'r': table is missing; a LOOKUP rule needs the table to look in"),
            list(
                "rules", "{name: r, priority: 1, table: 5, from: 10.0.0.0/8, to: 'fd00::/8'}",
                "3:62: nsmagent.linux.rule 'r': to 'fd00::/8' is IPv6, but from is IPv4"),
            list(
                "rules", "{name: r, priority: 1, table: 5, from: 10.0.0.0/8, family: IPV6}",
                "3:66: nsmagent.linux.rule 'r': family 'IPV6' does not fit 10.0.0.0/8, which is IPv4"),
            list(
                "rules", "{name: r, priority: 1, table: 5, action: PROHIBIT}",
                "3:37: nsmagent.linux.rule 'r': table '5' belongs to action LOOKUP only"),
            list(
                "rules",
                "{name: r, priority: 1, table: 5, l3mdev: true, ipProto: foo, sport: 9-3, dport: '0', uidRange: '+1'}",
                "3:37: nsmagent.linux.rule 'r': table '5' can't be set together with l3mdev",
                "3:63: nsmagent.linux.rule 'r': ip_proto 'foo' is not a protocol: ah, dccp, esp, gre, icmp, ipv6-icmp, sctp, tcp, udp, or a number (1–255)",
                "3:75: nsmagent.linux.rule 'r': sport '9-3' is not a port (1–65534), nor a range of them, such as 1000-1999",
                "3:87: nsmagent.linux.rule 'r': dport '0' is not a port (1–65534), nor a range of them, such as 1000-1999",
                "3:102: nsmagent.linux.rule 'r': uid_range '+1' is not a user's number (0–4294967294), nor a range of them, such as 1000-1999"
            ),
            list(
                "rules", "{name: r, priority: 1, action: BLACKHOLE, l3mdev: true, suppressPrefixlength: 33}",
                "3:57: nsmagent.linux.rule 'r': l3mdev belongs to action LOOKUP only",
                "3:85: nsmagent.linux.rule 'r': suppress_prefixlength '33' is out of range (0–32)",
                "3:85: nsmagent.linux.rule 'r': suppress_prefixlength belongs to action LOOKUP only"),
            list(
                "rules", "{name: r, priority: 1, table: 5, iif: a/b}",
                "3:45: nsmagent.linux.rule 'r': iif 'a/b' holds '/', ':', '%', a space or a control character"),
            list(
                "arpEntries", "{interface: e}", "3:7: linux.l3.arp 'e': hw_address is missing",
                "3:7: linux.l3.arp 'e': ip_address is missing"),
            list(
                "arpEntries", "{ipAddress: 10.0.0.1/8, hwAddress: '02:00:00:00:00:01'}",
                "3:7: linux.l3.arp '10.0.0.1/8': interface is missing; give it the name of an interface",
                "3:19: linux.l3.arp '10.0.0.1/8': ip_address '10.0.0.1/8' is an address with a prefix length; write 10.0.0.1 alone"
            ),
            list(
                "arpEntries", "{ipAddress: 10.0.0.1, hwAddress: '02:00:00:00:00:01'}",
                "3:7: linux.l3.arp '10.0.0.1': interface is missing; give it the name of an interface"),
            list(
                "arpEntries", "{interface: e, ipAddress: 224.0.0.1, hwAddress: 'x'}",
                "3:33: linux.l3.arp 'e/224.0.0.1': ip_address '224.0.0.1' can't be the address of a neighbour",
                "3:55: linux.l3.arp 'e/224.0.0.1': hw_address 'x' is not a MAC address, such as 02:00:00:00:00:01"),
            list(
                "arpEntries", "{interface: e, ipAddress: 10.0.0.1, proxy: true, hwAddress: '02:00:00:00:00:01'}",
                "3:67: linux.l3.arp 'e/10.0.0.1': hw_address '02:00:00:00:00:01' does not belong to a proxy entry: the agent's host answers"
            ),
            list(
                "namespaces", "{name: a/b}",
                "3:14: nsmagent.linux.namespace 'a/b': name 'a/b' holds a '/'; for a path use type FD"),
            list(
                "namespaces",
                "{name: a, sysctls: {ipv4.ip_forward: '1', net.ipv4.conf.eth0.rp_filter: '1', net.ipv4.x/y: '1', net.ipv4.a: ''}}",
                "3:27: nsmagent.linux.namespace 'a': sysctls['ipv4.ip_forward'] is not a setting of a namespace, such as net.ipv4.ip_forward",
                "3:49: nsmagent.linux.namespace 'a': sysctls['net.ipv4.conf.eth0.rp_filter'] is a setting of an interface; write it in 'sysctls' of that",
                "3:84: nsmagent.linux.namespace 'a': sysctls['net.ipv4.x/y'] is not a setting of a namespace, such as net.ipv4.ip_forward",
                "3:103: nsmagent.linux.namespace 'a': sysctls['net.ipv4.a'] '' is not a value for a setting"),
            list(
                "namespaces",
                "{name: a, sysctls: {net.ipv6.conf.all.disable_ipv6: '1', net.ipv4.ip_local_reserved_ports: '8080,8081'}}",
                "3:27: nsmagent.linux.namespace 'a': sysctls['net.ipv6.conf.all.disable_ipv6'] takes IPv6 from all interfaces; write disable_ipv6 in 'sysctls' of those that are to have none"
            ),
            list("namespaces", "{}", "3:7: nsmagent.linux.namespace: name is missing; give it a name"),
            list(
                "RuleChain", "{name: c, chainType: CUSTOM, table: NAT, defaultPolicy: DROP}",
                "3:7: linux.iptables.rulechain 'c': chain_name is missing; a CUSTOM chain needs one",
                "3:63: linux.iptables.rulechain 'c': default_policy is only for built-in chains of table FILTER"),
            list(
                "RuleChain", "{name: c, chainType: INPUT, table: NAT}",
                "3:28: linux.iptables.rulechain 'c': chain_type 'INPUT' is not a chain of table NAT"),
        ] as [CheckCase])
    func others(test: CheckCase) { check(test) }

    @Test(
        "allocations and the mesh",
        arguments: [
            CheckCase(
                "netallocConfig:\n  ipAddresses:\n    - {networkName: a/b, address: 10.0.0.1, gw: 'fd00::1'}\n",
                "3:7: netalloc.ip 'a/b': interface_name is missing; give it the name of an interface",
                "3:21: netalloc.ip 'a/b': network_name 'a/b' holds a '/'",
                "3:49: netalloc.ip 'a/b': gw 'fd00::1' is IPv6, but address is IPv4"),
            CheckCase(
                "netallocConfig:\n  ipAddresses:\n    - {networkName: a, interfaceName: b}\n",
                "3:7: netalloc.ip 'a/b': address is missing"),
            CheckCase(
                "cnfConfig:\n  NetworkServiceClient_list:\n    - {name: c, ipAddresses: [x]}\n",
                "3:7: cnf.nsm.client 'c': interface_name is missing; give it the name of the interface it yields",
                "3:7: cnf.nsm.client 'c': network_service is missing; give it the name of a service",
                "3:31: cnf.nsm.client 'c': ip_addresses[0] 'x' is not an IP address with prefix length, such as 10.0.0.1/24 or fd00::1/64"
            ),
            CheckCase(
                "cnfConfig:\n  NetworkServiceEndpoint_list:\n    - {networkService: s}\n",
                "3:7: cnf.nsm.endpoint 's': interface_name_prefix is missing; give it the start of interface names"),
        ] as [CheckCase])
    func mesh(test: CheckCase) { check(test) }

    private func check(_ test: CheckCase) {
        let found = mistakes(test.text).map { String($0.dropFirst("f.yaml:".count)) }
        #expect(found == test.expected)
    }
}
