import Model
import NetworkTypes
import Testing

/// Messages as clients send them: nobody has looked at their fields before.
@Suite struct CheckedValueTests {
    private func sentences(_ value: ModelValue) -> [String] { value.checked().findings.map { value.sentence($0) } }

    @Test("numbers that an enumeration does not have, and numbers out of range, are named by their fields")
    func numbers() {
        var interface = Ligato_Linux_Interfaces_Interface()
        interface.name = "a"
        interface.type = .UNRECOGNIZED(77)
        #expect(
            sentences(.interface(interface)) == [
                "linux.interfaces.interface 'a': type '77' is not one of UNDEFINED (0), VETH (1), TAP_TO_VPP (2), LOOPBACK (3), EXISTING (4), VRF_DEVICE (5), DUMMY (6), TAP (100), BRIDGE (101), VLAN (102), VXLAN (103), MACVLAN (104), IPVLAN (105), BOND (106), MACVTAP (107), GENEVE (108), GRE (109), GRETAP (110), IP6GRE (111), IP6GRETAP (112), IPIP (113), SIT (114), IP6TNL (115), WIREGUARD (116)"
            ])
        interface.type = .vlan
        interface.mtu = 70_000
        interface.vlan.parent = "up"
        interface.vlan.id = 4095
        interface.vlan.protocol = .UNRECOGNIZED(5)
        interface.namespace.type = .UNRECOGNIZED(9)
        interface.namespace.reference = "x"
        #expect(
            sentences(.interface(interface)) == [
                "linux.interfaces.interface 'a': namespace.type '9' is not one of UNDEFINED (0), NSID (1), PID (2), FD (3), MICROSERVICE (4), POD (5)",
                "linux.interfaces.interface 'a': vlan.id '4095' is out of range (1–4094)",
                "linux.interfaces.interface 'a': vlan.protocol '5' is not one of DOT1Q (0), DOT1AD (1)",
                "linux.interfaces.interface 'a': mtu '70000' is out of range (0–65575)",
            ])
        var hop = Ligato_Linux_L3_NextHop()
        hop.outgoingInterface = "e"
        hop.weight = 257
        var route = Ligato_Linux_L3_Route()
        route.dstNetwork = "10.0.0.0/8"
        route.scope = .UNRECOGNIZED(8)
        route.type = .UNRECOGNIZED(5)
        route.mtu = 70_000
        route.nextHops = [hop]
        #expect(
            sentences(.route(route)) == [
                "linux.l3.route '10.0.0.0/8/ecmp': type '5' is not one of UNICAST (0), BLACKHOLE (1), UNREACHABLE (2), PROHIBIT (3)",
                "linux.l3.route '10.0.0.0/8/ecmp': scope '8' is not one of UNDEFINED (0), GLOBAL (1), SITE (2), LINK (3), HOST (4)",
                "linux.l3.route '10.0.0.0/8/ecmp': mtu '70000' is out of range (0–65535)",
                "linux.l3.route '10.0.0.0/8/ecmp': next_hops[0].weight '257' is out of range (0–256)",
            ])
    }

    @Test("what the decoder of files would refuse is refused in the same words")
    func sameWords() throws {
        let config = load(
            "linuxConfig:\n  routes:\n    - {dstNetwork: 10.0.0.0/33, outgoingInterface: e, srcAddr: x, gwAddr: 10.0.0.1/8}\n"
        )
        var route = Ligato_Linux_L3_Route()
        route.dstNetwork = "10.0.0.0/33"
        route.outgoingInterface = "e"
        route.srcAddr = "x"
        route.gwAddr = "10.0.0.1/8"
        #expect(sentences(.route(route)).sorted() == config.mistakes.map(\.text).sorted())
        #expect(config.mistakes.count == 3)
    }

    @Test("a value without mistakes is typed, with its defaults")
    func defaults() throws {
        let config = load(
            interfaces(
                "{name: a, type: VETH, veth: {peerIfName: b, txChecksumOffloading: CHKSM_OFFLOAD_DISABLED}}",
                "{name: b, type: VETH, hostIfName: bb, mtu: 1400, veth: {peerIfName: a}}", "{name: l, type: LOOPBACK}",
                "{name: br, type: BRIDGE}", "{name: up, type: EXISTING}",
                "{name: x, type: VXLAN, vxlan: {vni: 5, remote: 10.0.0.1}, ipAddresses: ['alloc:n', 10.0.0.5/8]}")
                + "  routes:\n    - {dstNetwork: 'fd00::/64', outgoingInterface: a, gwAddr: 'alloc:n/GW'}\n")
        #expect(config.mistakes == [])
        let specs = config.items.compactMap { item -> InterfaceSpec? in
            guard case .interface(let spec)? = item.specification else { return nil }
            return spec
        }
        #expect(specs.map(\.hostName) == ["a", "bb", "lo", "br", "up", "x"])
        #expect(specs.map(\.mtu) == [1500, 1400, 65536, nil, nil, nil])
        let veth = try #require(specs[0].link as? VethSpec)
        #expect(veth.other == "b" && veth.receiveOffload == nil && veth.transmitOffload == false)
        let bridge = try #require(specs[3].link as? BridgeSpec)
        let vxlan = try #require(specs[5].link as? VXLANSpec)
        #expect(bridge.ageingTime == 300 && bridge.forwardDelay == 15)
        #expect(vxlan.port == 4789 && vxlan.remote == IPAddress("10.0.0.1") && vxlan.parent == nil)
        #expect(specs[5].addresses.map(\.text) == ["alloc:n", "10.0.0.5/8"])
        guard case .allocated(let reference) = specs[5].addresses[0].source else {
            Issue.record("a reference was expected")
            return
        }
        #expect(reference.network == "n" && reference.interface == "x" && !reference.isGateway)
        guard case .route(let route)? = config.items.last?.specification,
            case .allocated(let gateway)? = route.hops.first?.gateway
        else {
            Issue.record("a route by way of an allocated gateway was expected")
            return
        }
        #expect(gateway.interface == "a" && gateway.isGateway)
    }

    @Test("a message of any kind is checked without a crash, and is typed or says why not")
    func anyMessage() throws {
        for kind in ModelDescription.Kind.allCases {
            let value = try ModelValue(kind, serializedBytes: [UInt8]())
            let checked = value.checked()
            #expect(checked.specification == nil && !checked.isValid && checked.obstacle != nil, "\(kind)")
        }
    }
}

@Suite struct NameTests {
    private static let tables: [String: Int64] = ["main": 254, "blue": 7, "red": 8]

    private static func number(_ name: String, _ vocabulary: NameResolver.Vocabulary) -> Int64? {
        switch vocabulary {
        case .table: tables[name]
        case .scope: name == "link" ? 3 : nil
        case .routeType: ["unicast": 0, "blackhole": 1, "throw": 9][name]
        }
    }

    private static func name(_ number: Int64, _ vocabulary: NameResolver.Vocabulary) -> String? {
        vocabulary == .table ? tables.first(where: { $0.value == number })?.key : nil
    }

    private static let host = NameResolver(
        number: { NameTests.number($0, $1) }, name: { NameTests.name($0, $1) },
        names: { $0 == .table ? NameTests.tables.keys.sorted() : [] })

    private func read(_ text: String) -> LoadedConfig {
        ConfigLoader.load(bytes: Array(text.utf8), name: "f.yaml", names: Self.host)
    }

    private static let text = """
        linuxConfig:
          interfaces:
            - {name: v, type: VRF_DEVICE, vrfDev: {routingTable: blue}}
          routes:
            - {dstNetwork: 10.0.0.0/8, outgoingInterface: e, table: "red", scope: link}
            - {dstNetwork: 10.1.0.0/16, type: blackhole, table: 254}
          rules:
            - {name: r, priority: 1, table: main}
            - {name: s, priority: 2, action: blackhole}

        """

    @Test("names of the host stand for numbers where it has such")
    func names() throws {
        let config = read(Self.text)
        #expect(config.mistakes == [])
        #expect(
            config.items.map(\.key) == [
                "config/linux/interfaces/v2/interface/v", "config/linux/l3/v2/route/10.0.0.0/8/e/table/8",
                "config/linux/l3/v2/route/10.1.0.0/16/blackhole/table/254", "config/nsmagent/linux/v1/rule/r",
                "config/nsmagent/linux/v1/rule/s",
            ])
        guard case .interface(let vrf) = config.items[0].value, case .route(let route) = config.items[1].value,
            case .rule(let rule) = config.items[4].value
        else {
            Issue.record("an interface, a route and a rule were expected")
            return
        }
        #expect(vrf.vrfDev.routingTable == 7 && route.scope == .link && rule.action == .blackhole)
    }

    @Test("a name that the host does not have is a mistake at its place, with the nearest one that it has")
    func unknown() {
        func mistakes(_ field: String) -> [String] {
            read("linuxConfig: {rules: [{name: r, priority: 1, \(field)}]}").mistakes.map(\.description)
        }
        #expect(
            mistakes("table: bleu") == [
                "f.yaml:1:53: nsmagent.linux.rule 'r': table 'bleu' is neither a number (0–4294967295) nor the name of a routing table on this host; did you mean 'blue'?"
            ])
        // There is such a type, but no rule does that.
        #expect(
            mistakes("action: throw") == [
                "f.yaml:1:54: nsmagent.linux.rule 'r': action 'throw' is not one of LOOKUP, BLACKHOLE, UNREACHABLE, PROHIBIT"
            ])
        #expect(mistakes("table: 5, fwmark: blue").count == 1)
        // `tos` is no slip for `to`.
        #expect(mistakes("table: 5, tos: 4").allSatisfy { !$0.contains("did you mean") })
    }

    @Test("what is written with names reads back as the same, and without them it has numbers")
    func written() {
        let values = read(Self.text).items.map(\.value)
        let named = YAMLWriter.write(ConfigDocument.tree(of: values, names: Self.host))
        #expect(named.contains("routingTable: blue") && named.contains("table: main") && named.contains("table: red"))
        #expect(read(named).items.map(\.value) == values)
        let plain = YAMLWriter.write(ConfigDocument.tree(of: values))
        #expect(plain.contains("routingTable: 7") && !plain.contains("blue"))
        #expect(load(plain).items.map(\.value) == values)
    }

    @Test("documentation lists the names that there are")
    func explained() throws {
        let text = try Explain.text(for: "linux.l3.route.table", names: Self.host)
        #expect(text.contains("routing tables by their names on this host as well: blue, main, red"), "\(text)")
    }
}
