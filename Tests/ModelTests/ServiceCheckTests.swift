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

    @Test("an endpoint of a network of several has names for its links, many clients, and servers that can be asked")
    func sharedNetworks() {
        let good = "{networkService: s, interfaceNamePrefix: endpoint, vl3: true, excludedPrefixes: [10.0.0.0/24]}"
        #expect(mistakes(endpoints(good)).isEmpty)
        func all(_ more: String) -> [String] {
            mistakes(endpoints("{networkService: s, interfaceNamePrefix: net, \(more)}")).map {
                String($0.split(separator: "'s': ", maxSplits: 1).last ?? "")
            }
        }
        #expect(
            mistakes(endpoints("{networkService: s, interfaceNamePrefix: endpoints, vl3: true}")).first?
                .contains("'endpoints' is longer than 8 bytes; with vl3 the interfaces to other endpoints") == true)
        #expect(all("vl3: true, singleClient: true") == ["vl3 'true' is for many clients, and single_client is set"])
        #expect(all("prefixServers: ['unix:///run/ipam.sock', 'tcp://[2001:db8::1]:5006']").isEmpty)
        for url in ["192.0.2.1:5006", "tcp://192.0.2.1", "tcp://:1", "tcp://a:0", "unix:run", "http://a:1"] {
            #expect(all("prefixServers: ['\(url)']").first?.contains("is not a URL such as") == true, "\(url)")
        }
        #expect(all("prefixServers: ['tcp://a:1', 'tcp://a:1']").first?.contains("is there twice") == true)
        let many = (1...9).map { "'tcp://a:\($0)'" }.joined(separator: ", ")
        #expect(all("prefixServers: [\(many)]").first?.contains("at most 8 are asked") == true)
    }

    @Test(
        "an endpoint's identity is a SPIFFE id, and its path may be a pattern",
        arguments: [
            ("spiffe://example.org/db", nil), ("spiffe://example.org/*", nil),
            ("spiffe://example.org/ns/*/sa/db-*", nil), ("spiffe://example-1.org/A.b_c", nil),
            ("example.org/db", "is not a SPIFFE id, such as spiffe://example.org/db"),
            ("spiffe://*/db", "has a '*' in its trust domain; only the path can be a pattern"),
            ("spiffe:///db", "has a trust domain that is not 1 to 255 lower-case letters, digits, '.', '-' and '_'"),
            (
                "spiffe://Example.org/db",
                "has a trust domain that is not 1 to 255 lower-case letters, digits, '.', '-' and '_'"
            ),
            ("spiffe://example.org", "has no path; for all of a trust domain write '/*' behind it"),
            (
                "spiffe://example.org/", "has a path segment that is not of letters, digits, '.', '-', '_' and '*'"
            ),
            (
                "spiffe://example.org/a/../b",
                "has a path segment that is not of letters, digits, '.', '-', '_' and '*'"
            ),
            (
                "spiffe://example.org/a b", "has a path segment that is not of letters, digits, '.', '-', '_' and '*'"
            ),
        ] as [(String, String?)])
    func identities(text: String, problem: String?) {
        let found = mistakes(clients("{name: a, networkService: s, interfaceName: i, endpointId: '\(text)'}"))
        let expected = problem.map { "f.yaml:3:66: cnf.nsm.client 'a': endpoint_id '\(text)' \($0)" }
        #expect(found == [expected].compactMap { $0 })
    }

    @Test("what a client accepts is checked where it is written")
    func acceptance() {
        func client(_ accept: String) -> String {
            clients("{name: a, networkService: s, interfaceName: i, accept: \(accept)}")
        }
        for good in [
            "{}", "{routes: []}", "{routes: [10.0.0.0/8, 'fd00::/8']}", "{dns: false}", "{routes: , dns: true}",
        ] {
            #expect(mistakes(client(good)) == [], "\(good)")
        }
        #expect(
            mistakes(client("{routes: [10.0.0.0/8, 10.0.0.0/33, 10.1.0.0/8, 10.0.0.0/8]}")) == [
                "f.yaml:3:84: cnf.nsm.client 'a': accept.routes[1] '10.0.0.0/33' is not an IP prefix (length 0–32)",
                "f.yaml:3:97: cnf.nsm.client 'a': accept.routes[2] '10.1.0.0/8' has bits beyond its length; write 10.0.0.0/8",
                "f.yaml:3:109: cnf.nsm.client 'a': accept.routes[3] '10.0.0.0/8' is there twice",
            ])
        #expect(
            mistakes(client("{routes: [10.0.0.0/8, 10.1.0.0/8, 10.0.0.0/8]}")) == [
                "f.yaml:3:84: cnf.nsm.client 'a': accept.routes[1] '10.1.0.0/8' has bits beyond its length; write 10.0.0.0/8",
                "f.yaml:3:96: cnf.nsm.client 'a': accept.routes[2] '10.0.0.0/8' is there twice",
            ])
        #expect(
            mistakes(client("{routes: 10.0.0.0/8}")) == [
                "f.yaml:3:71: cnf.nsm.client 'a': accept.routes must be a list"
            ])
        #expect(
            mistakes(client("{dns: maybe}")) == [
                "f.yaml:3:68: cnf.nsm.client 'a': accept.dns 'maybe' is not true or false"
            ])
        #expect(
            mistakes(client("{route: []}")) == [
                "f.yaml:3:63: unknown field 'route' in ServiceAcceptance; did you mean 'routes'?"
            ])
    }

    @Test("matches of a service are checked field by field, and come back from a file as they were")
    func matches() throws {
        func service(_ text: String) -> String { "cnfConfig:\n  NetworkService_list:\n    - \(text)\n" }
        func messages(_ text: String) -> [String] {
            let config = load(service(text))
            return (config.mistakes + config.warnings).map(\.description)
        }
        let whole = """
            {name: s, payload: ETHERNET, matches: [{source_selector: [{key: a, value: b}], fall_through: true, \
            routes: [{destination_selector: [{key: app, value: "{{.a}}"}], weight: 2}, {}]}]}
            """
        let config = load(service(whole))
        #expect(config.mistakes.isEmpty && config.warnings.isEmpty)
        let written = YAMLWriter.write(ConfigDocument.tree(of: config.items.map(\.value)))
        #expect(load(written).items.map(\.value) == config.items.map(\.value))
        #expect(config.items.first?.value.key == "config/nsmagent/nsm/v1/service/s")
        for (text, part) in [
            ("{name: s, matches: [{}]}", "matches[0].routes is missing"),
            ("{name: s, payload: FRAMES}", "payload 'FRAMES'"), ("{matches: []}", "name"),
            ("{name: s, matches: [{routes: [{}]}, {routes: [{}]}]}", "matches[1] is never reached"),
            ("{name: s, matches: [{routes: [{destination_selector: [{value: x}]}]}]}", "key is missing"),
            (
                "{name: s, matches: [{source_selector: [{key: a}, {key: a}], routes: [{}]}]}",
                "source_selector[1].key 'a' is there twice"
            ),
        ] {
            let found = messages(text)
            #expect(found.count == 1 && found[0].contains(part), "\(text): \(found)")
        }
        let many = Array(repeating: "{routes: [{}], fall_through: true}", count: 257).joined(separator: ", ")
        #expect(messages("{name: s, matches: [\(many)]}").contains { $0.contains("more than 256") })
    }

    @Test("an empty list of routes is not the same as none, there and back")
    func lists() throws {
        func read(_ text: String) throws -> Upnp_NetworkServiceClient {
            let config = load(text)
            guard case .client(let client) = config.items.first?.value else { throw CancellationError() }
            let written = YAMLWriter.write(ConfigDocument.tree(of: config.items.map(\.value)))
            #expect(load(written).items.map(\.value) == config.items.map(\.value))
            return client
        }
        let fields = "name: a, networkService: s, interfaceName: i"
        let plain = try read(clients("{\(fields)}"))
        #expect(!plain.hasAccept)
        // Who does not know the new fields sees none.
        var old = Upnp_NetworkServiceClient()
        (old.name, old.networkService, old.interfaceName) = ("a", "s", "i")
        #expect(try plain.serializedData() == old.serializedData())
        #expect(try !read(clients("{\(fields), accept: {dns: false}}")).accept.hasRoutes)
        #expect(try !read(clients("{\(fields), accept: {routes: }}")).accept.hasRoutes)
        let none = try read(clients("{\(fields), accept: {routes: []}}")).accept
        #expect(none.hasRoutes && none.routes.prefixes == [] && !none.hasDns)
        let some = try read(
            clients("{\(fields), endpoint_id: 'spiffe://a/b', accept: {routes: [10.0.0.0/8], dns: false}}"))
        #expect(some.endpointID == "spiffe://a/b")
        #expect(some.accept.routes.prefixes == ["10.0.0.0/8"] && some.accept.hasDns && !some.accept.dns)
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

    @Test("networks of addresses have room for pairs, and none lies in another")
    func pools() {
        func found(_ fields: String) -> [String] {
            mistakes(endpoints("{networkService: s, interfaceNamePrefix: i, \(fields)}")).map {
                String($0.split(separator: "cnf.nsm.endpoint 's': ").last ?? "")
            }
        }
        #expect(
            found(
                "prefixes: [10.60.0.0/24, 'fd00:60::/64', 10.61.0.0/31], excludedPrefixes: [10.60.0.0/28, 10.60.0.99/32]"
            ) == [])
        #expect(
            found("prefixes: [10.60.0.1/24]") == [
                "prefixes[0] '10.60.0.1/24' has bits beyond its length; write 10.60.0.0/24"
            ])
        #expect(
            found("prefixes: [10.60.0.1/32]") == [
                "prefixes[0] '10.60.0.1/32' has room for one address; a connection needs two"
            ])
        #expect(found("prefixes: [10.60.0.0/24, 10.60.0.0/24]") == ["prefixes[1] '10.60.0.0/24' is there twice"])
        #expect(
            found("prefixes: [10.60.0.0/24, 10.60.0.128/25]") == [
                "prefixes[1] '10.60.0.128/25' lies in 10.60.0.0/24, which is there, too"
            ])
        #expect(
            found("prefixes: [224.0.0.0/24]") == ["prefixes[0] '224.0.0.0/24' can't be the addresses of interfaces"])
        #expect(
            found("prefixes: [10.60.0.0/24], excludedPrefixes: [10.60.0.0/16]") == [
                "prefixes[0] '10.60.0.0/24' is excluded as a whole"
            ])
        #expect(found("prefixes: [x]").count == 1)
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
