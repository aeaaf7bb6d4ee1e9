import Model
import Testing

@Suite("Checks of clients and endpoints")
struct ServiceCheckTests {
    private func clients(_ lines: String...) -> String {
        "cnfConfig:\n  NetworkServiceClient_list:\n" + lines.map { "    - \($0)\n" }.joined()
    }

    private func endpoints(_ lines: String...) -> String {
        "cnfConfig:\n  NetworkServiceEndpoint_list:\n" + lines.map { "    - \($0)\n" }.joined()
    }

    @Test("interfaces of clients have names that the kernel takes, each only once")
    func interfaceNames() {
        #expect(
            mistakes(clients("{name: a, networkService: s, interfaceName: nsm-interface-01}")) == [
                "f.yaml:3:51: cnf.nsm.client 'a': interface_name 'nsm-interface-01' is 16 bytes long; the kernel takes at most 15"
            ])
        #expect(
            mistakes(
                clients(
                    "{name: a, networkService: s, interfaceName: nsm-1}",
                    "{name: b, networkService: s, interfaceName: nsm-1}",
                    "{name: c, networkService: s, interfaceName: nsm-2}")) == [
                    "f.yaml:4:51: cnf.nsm.client 'b': interface_name 'nsm-1' is the interface of client 'a' already (f.yaml:3:7)"
                ])
        // One client declared twice is one mistake.
        #expect(
            mistakes(
                clients(
                    "{name: a, networkService: s, interfaceName: nsm-1}",
                    "{name: a, networkService: s, interfaceName: nsm-1}"))
                == ["f.yaml:4:7: cnf.nsm.client 'a': is declared twice; first at f.yaml:3:7"])
    }

    @Test("what a connection brings is not made by the agent")
    func made() {
        let client = clients("{name: a, networkService: s, interfaceName: nsm-1}")
        #expect(
            mistakes(client + interfaces("{name: x, type: DUMMY, hostIfName: nsm-1}")) == [
                "f.yaml:3:51: cnf.nsm.client 'a': interface_name 'nsm-1' is the name of a DUMMY, which the agent makes itself (f.yaml:6:7); choose another one"
            ])
        #expect(mistakes(client + interfaces("{name: nsm-1, type: EXISTING}")) == [])
        #expect(
            mistakes(client + interfaces("{name: nsm-1, type: DUMMY, namespace: {type: NSID, reference: x}}")) == [])
    }

    @Test("interfaces that come with connections can be ports and parents")
    func ports() {
        let bridge = interfaces(
            "{name: br, type: BRIDGE, bridge: {ports: [nsm-1, cl0]}}",
            "{name: v, type: VLAN, vlan: {parent: nsm-1, id: 5}}")
        let client = clients("{name: a, networkService: s, interfaceName: nsm-1}")
        #expect(mistakes(bridge).count == 3)
        #expect(mistakes(bridge + client).count == 1)
        let endpoint = "  NetworkServiceEndpoint_list:\n    - {networkService: s, interfaceNamePrefix: cl}\n"
        #expect(mistakes(bridge + client + endpoint) == [])
        #expect(
            mistakes(interfaces("{name: br, type: BRIDGE, bridge: {ports: [cl]}}") + "cnfConfig:\n" + endpoint).count
                == 1)
    }

    @Test("labels have keys, each only once")
    func labels() {
        #expect(
            mistakes(
                clients(
                    "{name: a, networkService: s, interfaceName: i, outgoingLabels: [{key: x, value: y}, {value: z}, {key: x}]}"
                ))
                == [
                    "f.yaml:3:91: cnf.nsm.client 'a': outgoing_labels[1].key is missing; a label has a key and a value",
                    "f.yaml:3:109: cnf.nsm.client 'a': outgoing_labels[2].key 'x' is there twice",
                ])
        #expect(
            mistakes(endpoints("{networkService: s, interfaceNamePrefix: i, advertisedLabels: [{value: z}]}")) == [
                "f.yaml:3:70: cnf.nsm.endpoint 's': advertised_labels[0].key is missing; a label has a key and a value"
            ])
    }

    @Test("prefixes leave room for a number")
    func prefixes() {
        #expect(mistakes(endpoints("{networkService: s, interfaceNamePrefix: abcdefghijklmn}")) == [])
        #expect(
            mistakes(endpoints("{networkService: s, interfaceNamePrefix: abcdefghijklmno}")) == [
                "f.yaml:3:48: cnf.nsm.endpoint 's': interface_name_prefix 'abcdefghijklmno' gives 'abcdefghijklmno0', which is 16 bytes long; the kernel takes at most 15"
            ])
        #expect(mistakes(endpoints("{networkService: s, interfaceNamePrefix: a/b}")).count == 1)
    }

    @Test("addresses are ones that an interface can have")
    func addresses() {
        #expect(
            mistakes(
                clients(
                    "{name: a, networkService: s, interfaceName: i, ipAddresses: [10.0.0.1/24, 224.0.0.1/32, 0.0.0.0/0, 10.0.0.1/24, 'alloc:n']}"
                )) == [
                    "f.yaml:3:81: cnf.nsm.client 'a': ip_addresses[1] '224.0.0.1/32' can't be the address of an interface",
                    "f.yaml:3:95: cnf.nsm.client 'a': ip_addresses[2] '0.0.0.0/0' can't be the address of an interface",
                    "f.yaml:3:106: cnf.nsm.client 'a': ip_addresses[3] '10.0.0.1/24' is there twice",
                ])
    }

    @Test("addresses of an endpoint for many clients are not used, which is said")
    func manyClients() {
        let many = load(
            endpoints(
                "{networkService: s, interfaceNamePrefix: i, ipAddresses: [10.0.0.1/24], physAddress: '02:00:00:00:00:01'}"
            ))
        #expect(many.isValid)
        #expect(
            many.warnings.map(\.description) == [
                "f.yaml:3:64: cnf.nsm.endpoint 's': ip_addresses is not used without single_client: several interfaces can't share it",
                "f.yaml:3:92: cnf.nsm.endpoint 's': phys_address is not used without single_client: several interfaces can't share it",
            ])
        let one = load(
            endpoints("{networkService: s, interfaceNamePrefix: i, singleClient: true, ipAddresses: [10.0.0.1/24]}"))
        #expect(one.warnings.isEmpty)
    }

    @Test("shared memory needs what is not here: the value is invalid, and the others are not")
    func sharedMemory() {
        let config = load(
            clients(
                "{name: a, networkService: s, interfaceName: i, interfaceType: MEM_INTERFACE}",
                "{name: b, networkService: s, interfaceName: j, interfaceType: KERNEL_INTERFACE}"))
        #expect(config.isValid && config.items.count == 2)
        #expect(config.invalidValues.map(\.key) == ["config/cnf/nsm/v1/client/a"])
        #expect(config.invalidValues.first?.text.contains("VPP") == true)
    }
}
