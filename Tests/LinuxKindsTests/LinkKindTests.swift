import Testing

@Suite("tap, bridge, macvlan, vxlan", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct LinkKindTests {
    @Test("tap and tun devices with their attributes", arguments: [nil, "x"] as [String?])
    func tap(_ namespace: String?) throws {
        try Sandbox.run { host in
            let yaml = linux(
                "name: t0, type: TAP, enabled: true, mtu: 1400, physAddress: '02:00:00:00:00:10', ipAddresses: [10.0.0.1/24], tuntap: {mode: TAP, multiQueue: true, owner: 54321, group: 54322, vnetHeader: true}"
                    + place(namespace),
                "name: u0, type: TAP, enabled: true, ipAddresses: [10.0.1.1/24], tuntap: {mode: TUN}" + place(namespace)
            )
            try host.apply(yaml)
            let tap = try #require(try host.link("t0", in: namespace))
            #expect(tap.kind == "tun" && tap.isUp)
            #expect((tap.mtu, tap.mac) == (1400, "02:00:00:00:00:10"))
            #expect(tap.data["type"] as? String == "tap")
            #expect(tap.data["multi_queue"] as? Bool == true && tap.data["vnet_hdr"] as? Bool == true)
            #expect(tap.data["persist"] as? Bool == true)
            #expect("\(tap.data["user"] ?? "")" == "54321" && "\(tap.data["group"] ?? "")" == "54322")
            #expect(try host.link("u0", in: namespace)?.data["type"] as? String == "tun")
            #expect(try host.addresses("u0", in: namespace) == ["10.0.1.1/24"])
            try host.agent().apply("")
            #expect(host.namespaces == [])
            #expect(try host.links().map(\.name) == ["lo"])
        }
    }

    @Test("other attributes need another device; MTU and addresses do not")
    func tapChanges() throws {
        try Sandbox.run { host in
            let agent = try host.apply(linux("name: t0, type: TAP, enabled: true, tuntap: {mode: TAP}"))
            let index = try host.link("t0")?.index
            let larger = linux(
                "name: t0, type: TAP, enabled: true, mtu: 1600, ipAddresses: [10.0.0.1/24], tuntap: {mode: TAP}")
            try agent.apply(larger)
            try host.expectInPlace(larger, agent)
            #expect(try host.link("t0")?.index == index)
            let owned = linux(
                "name: t0, type: TAP, enabled: true, mtu: 1600, ipAddresses: [10.0.0.1/24], tuntap: {mode: TAP, owner: 7}"
            )
            try agent.apply(owned)
            try host.expectInPlace(owned, agent)
            #expect(try host.link("t0")?.index != index)
            #expect(try host.addresses("t0") == ["10.0.0.1/24"])
        }
    }

    @Test("a bridge with ports, options, and an existing uplink")
    func bridge() throws {
        try Sandbox.run { host in
            try host.ip("link add up0 type veth peer name far")
            let yaml = linux(
                "name: br0, type: BRIDGE, enabled: true, ipAddresses: [10.0.0.1/24], bridge: {ports: [up0, p1, p2], stp: true, vlanFiltering: \(Kernel.filtersVLANs), ageingTime: 60, forwardDelay: 4}",
                "name: up0, type: EXISTING, enabled: true", veth("p1", "a"), veth("p2", "b"),
                veth("a", "p1", in: "a", host: "eth0", "ipAddresses: [10.0.0.2/24]"),
                veth("b", "p2", in: "b", host: "eth0", "ipAddresses: [10.0.0.3/24]"))
            try host.apply(yaml)
            for port in ["up0", "p1", "p2"] { #expect(try host.link(port)?.master == "br0") }
            let bridge = try #require(try host.link("br0"))
            #expect(bridge.data["stp_state"] as? Int == 1)
            #expect((bridge.data["vlan_filtering"] as? Int ?? 0) == (Kernel.filtersVLANs ? 1 : 0))
            #expect(bridge.data["ageing_time"] as? Int == 6000)
            #expect(bridge.data["forward_delay"] as? Int == 400)
            #expect(try host.command("bridge link show").contains("up0"))
            // Options change in place and go back.
            let agent = host.agent()
            let plain = linux(
                "name: br0, type: BRIDGE, enabled: true, ipAddresses: [10.0.0.1/24], bridge: {ports: [up0, p2]}",
                "name: up0, type: EXISTING, enabled: true", veth("p1", "a"), veth("p2", "b"),
                veth("a", "p1", in: "a", host: "eth0", "ipAddresses: [10.0.0.2/24]"),
                veth("b", "p2", in: "b", host: "eth0", "ipAddresses: [10.0.0.3/24]"))
            try agent.apply(plain)
            #expect(agent.problems == [])
            let after = try #require(try host.link("br0"))
            #expect(after.index == bridge.index)
            #expect(after.data["stp_state"] as? Int == 0 && after.data["ageing_time"] as? Int == 30000)
            #expect((after.data["vlan_filtering"] as? Int ?? 0) == 0 && after.data["forward_delay"] as? Int == 1500)
            #expect(try host.link("p1")?.master == "")
            try host.expectInPlace(plain, agent)
            // The uplink is let go with the bridge.
            try agent.apply("")
            #expect(try host.links().map(\.name).sorted() == ["far", "lo", "up0"])
        }
    }

    @Test("an uplink that leaves the ports is let go, one that others put into a bridge is not")
    func uplinkLeaves() throws {
        try Sandbox.run { host in
            try host.ip("link add up0 type veth peer name far0")
            try host.ip("link add up1 type veth peer name far1")
            try host.ip("link add foreign type bridge")
            try host.ip("link set up1 master foreign")
            func yaml(_ ports: String) -> String {
                linux(
                    "name: br0, type: BRIDGE, enabled: true, bridge: {ports: [\(ports)]}",
                    "name: up0, type: EXISTING, enabled: true",
                    "name: up1, type: EXISTING, enabled: true")
            }
            let agent = try host.apply(yaml("up0"))
            #expect(try host.link("up0")?.master == "br0")
            try agent.apply(yaml(""))
            #expect(try host.link("up0")?.master == "")
            #expect(try host.link("up1")?.master == "foreign")
            try host.expectInPlace(yaml(""), agent)
        }
    }

    @Test("a port moves from one bridge to another, and waits for one that is missing")
    func membership() throws {
        try Sandbox.run { host in
            func yaml(_ one: String, _ two: String) -> String {
                linux(
                    "name: br1, type: BRIDGE, enabled: true, bridge: {ports: [\(one)]}",
                    "name: br2, type: BRIDGE, enabled: true, bridge: {ports: [\(two)]}",
                    veth("p", "q", "ipAddresses: ['fd00::1/64']"), veth("q", "p", in: "x"))
            }
            let agent = try host.apply(yaml("p", ""))
            #expect(try host.link("p")?.master == "br1")
            try agent.apply(yaml("", "p"))
            try host.expectInPlace(yaml("", "p"), agent)
            #expect(try host.link("p")?.master == "br2")
            #expect(try host.addresses("p") == ["fd00::1/64"])
            try agent.apply(
                linux(
                    "name: br2, type: BRIDGE, enabled: true, bridge: {ports: [p, later]}", veth("p", "q"),
                    veth("q", "p", in: "x")), tolerant: true)
            #expect(agent.problems.count == 1 && agent.problems[0].contains("br2/port/later PENDING port-exists"))
        }
    }

    @Test("a bridge that is removed and comes back has its ports again; ports in another namespace are refused")
    func bridgeRecreated() throws {
        try Sandbox.run { host in
            let ports = [veth("p", "q"), veth("q", "p", in: "x")]
            let agent = try host.apply(
                Config(interfaces: ports + ["name: br, type: BRIDGE, enabled: true, bridge: {ports: [p]}"]).text)
            try agent.apply(Config(interfaces: ports).text)
            #expect(try host.link("br") == nil)
            #expect(try host.link("p")?.master == "")
            let again = Config(interfaces: ["name: br, type: BRIDGE, enabled: true, bridge: {ports: [p]}"] + ports).text
            try agent.apply(again)
            try host.expectInPlace(again, agent)
            try agent.apply(
                Config(interfaces: ports + ["name: br, type: BRIDGE, enabled: true, bridge: {ports: [p, q]}"]).text,
                tolerant: true)
            #expect(agent.problems.count == 1 && agent.problems[0].contains("different namespaces"))
        }
    }

    @Test("macvlan in both modes, below an interface here or in another namespace", arguments: [nil, "x"] as [String?])
    func macvlan(_ namespace: String?) throws {
        try Sandbox.run { host in
            func yaml(_ mode: String) -> String {
                linux(
                    veth("p", "q"), veth("q", "p", in: "y"),
                    "name: m, type: MACVLAN, enabled: true, physAddress: '02:00:00:00:00:21', ipAddresses: [10.0.0.1/24], macvlan: {parent: p, mode: \(mode)}"
                        + place(namespace))
            }
            let agent = try host.apply(yaml("BRIDGE"))
            var link = try #require(try host.link("m", in: namespace))
            #expect(link.kind == "macvlan" && link.data["mode"] as? String == "bridge" && link.isUp)
            #expect(link.mac == "02:00:00:00:00:21")
            let index = link.index
            try agent.apply(yaml("PRIVATE"))
            try host.expectInPlace(yaml("PRIVATE"), agent)
            link = try #require(try host.link("m", in: namespace))
            #expect(link.data["mode"] as? String == "private" && link.index == index)
            // With its parent it goes, and with it it comes.
            let alone = linux("name: m, type: MACVLAN, enabled: true, macvlan: {parent: p}" + place(namespace))
            try agent.apply(alone, tolerant: true)
            #expect(agent.interface("m")?.state == .pending)
            #expect(try host.link("m", in: namespace) == nil)
            try agent.apply(yaml("BRIDGE"))
            try host.expectInPlace(yaml("BRIDGE"), agent)
        }
    }

    @Test("a macvlan becomes the only one of its parent, and one of several again")
    func passthrough() throws {
        try Sandbox.run { host in
            func yaml(_ mode: String, _ more: String...) -> String {
                Config(
                    interfaces: [
                        veth("p", "q"), veth("q", "p", in: "y"),
                        "name: m, type: MACVLAN, enabled: true, physAddress: '02:00:00:00:00:22', ipAddresses: [10.0.0.1/24], macvlan: {parent: p, mode: \(mode)}",
                    ] + more,
                    routes: ["outgoingInterface: m, dstNetwork: 10.1.0.0/16, gwAddr: 10.0.0.2"]
                ).text
            }
            let agent = try host.apply(yaml("VEPA"))
            for (mode, isSame) in [("PASSTHRU", false), ("PRIVATE", false), ("BRIDGE", true)] {
                let index = try host.link("m")?.index
                let refused = yaml(mode, "name: default, type: BRIDGE")
                let transaction = try agent.apply(refused, tolerant: true, revertOnFailure: true)
                #expect(transaction?.reverted == true && transaction?.revertErrors ?? [] == [])
                let before = try host.link("m")?.data["mode"] as? String
                #expect(before != mode.lowercased())
                try agent.apply(yaml(mode))
                try host.expectInPlace(yaml(mode), agent)
                let link = try #require(try host.link("m"))
                #expect(link.data["mode"] as? String == mode.lowercased())
                #expect((link.index == index) == isSame)
                #expect(try host.routes() == ["10.1.0.0/16 via 10.0.0.2 dev m"])
            }
        }
    }

    @Test("a bridge has the MTU that is declared, whatever its ports have", arguments: [1500, 9000], [false, true])
    func bridgeMTU(_ mtu: Int, _ isDeclaredLater: Bool) throws {
        try Sandbox.run { host in
            func yaml(_ ports: [Int], isDeclared: Bool = true) -> String {
                var interfaces = [
                    "name: br, type: BRIDGE, enabled: true, \(isDeclared ? "mtu: \(mtu), " : "")bridge: {ports: [\(ports.indices.map { "p\($0)" }.joined(separator: ", "))]}"
                ]
                for (number, mtu) in ports.enumerated() {
                    interfaces.append(veth("p\(number)", "q\(number)", "mtu: \(mtu)"))
                    interfaces.append(veth("q\(number)", "p\(number)", in: "x", "mtu: \(mtu)"))
                }
                return Config(interfaces: interfaces).text
            }
            let agent = host.agent()
            if isDeclaredLater {
                // What follows its ports has the declared MTU by chance.
                try agent.apply(yaml([9000, mtu], isDeclared: false))
                #expect(try host.link("br")?.mtu == min(9000, mtu))
            }
            for ports in [[9000, 1400], [9000, 9000], [1400, 1500], [1400, 9000, 1300], [9000]] {
                try agent.change(to: yaml(ports))
                #expect(agent.problems == [])
                #expect(try host.link("br")?.mtu == mtu, "\(ports)")
                try host.expectInPlace(yaml(ports), agent)
            }
        }
    }

    @Test("vxlan to a remote, and to a group over an interface", arguments: [nil, "x"] as [String?])
    func vxlan(_ namespace: String?) throws {
        try Sandbox.run { host in
            let below = [veth("p", "q", "ipAddresses: [10.0.0.1/24]"), veth("q", "p", in: "y")]
            let yaml = Config(
                interfaces: below + [
                    "name: v1, type: VXLAN, enabled: true, mtu: 1400, ipAddresses: [10.1.0.1/24], vxlan: {vni: 100, remote: 10.0.0.2, local: 10.0.0.1, noLearning: true, ttl: 7, port: 8472, parent: p}"
                        + place(namespace),
                    "name: v2, type: VXLAN, enabled: true, vxlan: {vni: 101, group: 239.1.1.1, parent: p}"
                        + place(namespace),
                    "name: v3, type: VXLAN, enabled: true, vxlan: {vni: 102, remote: 'fd00::5'}" + place(namespace),
                ]
            ).text
            let agent = try host.apply(yaml)
            let v1 = try #require(try host.link("v1", in: namespace))
            #expect(
                v1.data["id"] as? Int == 100 && v1.data["remote"] as? String == "10.0.0.2"
                    && v1.data["port"] as? Int == 8472)
            #expect(
                v1.data["learning"] as? Bool == false && v1.data["ttl"] as? Int == 7
                    && v1.data["local"] as? String == "10.0.0.1")
            #expect(v1.mtu == 1400)
            let v2 = try #require(try host.link("v2", in: namespace))
            #expect(v2.data["group"] as? String == "239.1.1.1" && v2.data["port"] as? Int == 4789)
            #expect(try host.link("v3", in: namespace)?.data["remote6"] as? String == "fd00::5")
            // Another tunnel number is another tunnel; addresses are put back.
            let other = yaml.replacing("vni: 100", with: "vni: 200")
            try agent.apply(other)
            try host.expectInPlace(other, agent)
            #expect(try host.addresses("v1", in: namespace) == ["10.1.0.1/24"])
        }
    }

    @Test("dummy", .enabled(if: Kernel.hasDummy, Kernel.reason))
    func dummy() throws {
        try Sandbox.run { host in
            let yaml = linux("name: d, type: DUMMY, enabled: true, mtu: 1400, ipAddresses: [10.0.0.1/24]" + place("x"))
            try host.apply(yaml)
            let link = try #require(try host.link("d", in: "x"))
            #expect((link.kind, link.mtu, link.isUp) == ("dummy", 1400, true))
        }
    }

    @Test("ipvlan", .enabled(if: Kernel.hasIPVLAN, Kernel.reason), arguments: [nil, "x"] as [String?])
    func ipvlan(_ namespace: String?) throws {
        try Sandbox.run { host in
            func yaml(_ mode: String) -> String {
                linux(
                    veth("p", "q"), veth("q", "p", in: "y"),
                    "name: i, type: IPVLAN, enabled: true, ipAddresses: [10.0.0.1/24], ipvlan: {parent: p, mode: \(mode)}"
                        + place(namespace))
            }
            let agent = try host.apply(yaml("L2"))
            try agent.apply(yaml("L3"))
            try host.expectInPlace(yaml("L3"), agent)
            #expect(try host.link("i", in: namespace)?.data["mode"] as? String == "l3")
        }
    }

    @Test(
        "VRFs: members, addresses, routes in their table; removed and made again",
        .enabled(if: Kernel.hasVRF, Kernel.reason))
    func vrf() throws {
        try Sandbox.run { host in
            let members = [
                veth("a", "b", in: "x", "ipAddresses: [10.0.0.1/24, 'fd00::1/64'], vrfMasterInterface: red"),
                veth("b", "a"),
                veth("c", "d", in: "x", "ipAddresses: [10.0.0.1/24], vrfMasterInterface: blue"), veth("d", "c"),
            ]
            let routes = [
                "outgoingInterface: a, dstNetwork: 0.0.0.0/0, gwAddr: 10.0.0.2",
                "outgoingInterface: c, dstNetwork: 0.0.0.0/0, gwAddr: 10.0.0.3",
                "outgoingInterface: a, dstNetwork: '::/0', gwAddr: 'fd00::2'",
            ]
            let red = "name: red, type: VRF_DEVICE, enabled: true, vrfDev: {routingTable: 10}" + place("x")
            let blue = "name: blue, type: VRF_DEVICE, enabled: true, vrfDev: {routingTable: 20}" + place("x")
            let yaml = Config(interfaces: members + [red, blue], routes: routes).text
            let agent = try host.apply(yaml)
            #expect(try host.link("a", in: "x")?.master == "red")
            #expect(try host.routes(in: "x", table: "10") == ["default via 10.0.0.2 dev a"])
            #expect(try host.routes(in: "x", table: "20") == ["default via 10.0.0.3 dev c"])
            #expect(try host.routes(in: "x", v6: true, table: "10") == ["default via fd00::2 dev a metric 1024"])
            try agent.apply(Config(interfaces: members + [blue], routes: routes).text, tolerant: true)
            #expect(agent.state("linux/interface/a/vrf/red") == .pending)
            #expect(agent.state("linux/interface/a/address/static/10.0.0.1/24") == .pending)
            #expect(try host.link("red", in: "x") == nil)
            try agent.apply(yaml)
            try host.expectInPlace(yaml, agent)
            let moved = yaml.replacing("routingTable: 10", with: "routingTable: 11")
            try agent.apply(moved)
            try host.expectInPlace(moved, agent)
            #expect(try host.routes(in: "x", table: "11") == ["default via 10.0.0.2 dev a"])
        }
    }

    @Test("a kind this kernel lacks is named", .enabled(if: !Kernel.hasDummy, "this kernel has dummy links"))
    func unknownKind() throws {
        try Sandbox.run { host in
            let agent = host.agent()
            try agent.apply(linux("name: d, type: DUMMY, enabled: true", "name: br, type: BRIDGE, enabled: true"))
            #expect(agent.interface("d")?.state == .failed)
            #expect(agent.interface("d")?.error.contains("dummy") == true)
            #expect(agent.interface("br")?.state == .configured)
        }
    }
}
