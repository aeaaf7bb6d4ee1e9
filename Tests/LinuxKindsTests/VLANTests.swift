import Testing

@Suite("VLANs", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct VLANTests {
    @Test("VLAN", .enabled(if: Kernel.hasVLAN, Kernel.reason), arguments: [nil] as [String?])
    func vlan(_ namespace: String?) throws {
        try Sandbox.run { host in
            let yaml = linux(
                veth("p", "q"), veth("q", "p", in: "y"),
                "name: v, type: VLAN, enabled: true, ipAddresses: [10.0.0.1/24], vlan: {parent: p, id: 42}"
                    + place(namespace),
                "name: s, type: VLAN, enabled: true, vlan: {parent: p, id: 43, protocol: DOT1AD}" + place(namespace))
            let agent = try host.apply(yaml)
            #expect(try host.link("v", in: namespace)?.data["id"] as? Int == 42)
            #expect(try host.link("s", in: namespace)?.data["protocol"] as? String == "802.1ad")
            let other = yaml.replacing("id: 42", with: "id: 44")
            try agent.apply(other)
            try host.expectInPlace(other, agent)
        }
    }

    @Test(
        "a VLAN is up when what is below it is, and is told to wait for that",
        .enabled(if: Kernel.hasVLAN, Kernel.reason))
    func parentIsDown() throws {
        try Sandbox.run { host in
            try host.ip("link add en0 type veth peer name far")
            try host.ip("link set far up")
            let yaml = linux(
                "name: en0, type: EXISTING",
                "name: v, type: VLAN, enabled: true, ipAddresses: [10.0.0.1/24, 'fd00::1/64'], vlan: {parent: en0, id: 2}",
                "name: vv, type: VLAN, enabled: true, vlan: {parent: v, id: 3}",
                "name: w, type: VLAN, vlan: {parent: en0, id: 4}",
                routes: ["outgoingInterface: v, dstNetwork: 10.1.0.0/16, gwAddr: 10.0.0.2"])
            let agent = host.agent()
            try agent.apply(yaml)
            for name in ["v", "vv"] {
                #expect(agent.interface(name)?.state == .configured)
                #expect(agent.status("linux/interface/state/\(name)/UP")?.details == ["parent-is-up: en0 is down"])
            }
            #expect(try host.link("v")?.isUp == false)
            #expect(try host.addresses("v") == ["10.0.0.1/24", "fd00::1/64"])
            #expect(try agent.plan(yaml) == [] && host.agent().plan(yaml) == [])
            try agent.watch()
            for _ in 0..<2 {
                try host.ip("link set en0 up")
                #expect(
                    try agent.settle { try agent.problems == [] && host.routes() == ["10.1.0.0/16 via 10.0.0.2 dev v"] }
                )
                // The kernel takes all VLANs up with what is below.
                #expect(try agent.settle { try host.link("w")?.isUp == false && host.link("vv")?.isUp == true })
                try host.expectInPlace(yaml, agent)
                try host.ip("link set en0 down")
                #expect(try agent.settle { agent.state("linux/interface/state/vv/UP") == .pending })
                try agent.quiesce()
                #expect(try agent.plan(yaml) == [] && host.agent().plan(yaml) == [])
            }
        }
    }

    @Test(
        "what is below a VLAN is disabled and enabled in one apply each", .enabled(if: Kernel.hasVLAN, Kernel.reason))
    func parentIsDisabled() throws {
        try Sandbox.run { host in
            func yaml(_ isEnabled: Bool) -> String {
                linux(
                    "name: br, type: BRIDGE, enabled: \(isEnabled)",
                    "name: v, type: VLAN, enabled: true, ipAddresses: [10.0.0.1/24, 'fd00::1/64'], vlan: {parent: br, id: 2}",
                    "name: w, type: VLAN, vlan: {parent: br, id: 4}")
            }
            let agent = try host.apply(yaml(true))
            try agent.apply(yaml(false), tolerant: true)
            #expect(agent.problems.count == 1 && agent.problems[0].contains("parent-is-up: br is not enabled"))
            #expect(try host.link("v")?.isUp == false)
            #expect(try host.addresses("v") == ["10.0.0.1/24", "fd00::1/64"])
            let again = host.agent()
            let transaction = try again.apply(yaml(false), tolerant: true)
            #expect(transaction?.entries.map(\.line) ?? [] == [])
            try agent.apply(yaml(true))
            #expect(agent.problems == [])
            try host.expectInPlace(yaml(true), agent)
        }
    }
}
