import Testing

/// What is said of failures is right, or is not said.
@Suite("hints", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct HintTests {
    private func error(_ yaml: String, _ host: Sandbox) throws -> String {
        let agent = host.agent()
        try agent.apply(yaml, tolerant: true)
        return agent.problems.joined(separator: "\n")
    }

    @Test("the MTU is only asked about when one was declared")
    func mtu() throws {
        try Sandbox.run { host in
            // A name that the kernel refuses.
            let plain = try error(linux("name: default, type: BRIDGE, enabled: true"), host)
            #expect(plain.contains("FAILED") && plain.contains("bridge default") && !plain.contains("mtu"))
            // A bridge gets its MTU later, a VXLAN as it is made.
            let sized = try error(
                linux("name: default, type: VXLAN, enabled: true, mtu: 1400, vxlan: {vni: 5, remote: 192.0.2.7}"), host)
            #expect(sized.contains("is mtu 1400 in the range"), "\(sized)")
        }
    }

    @Test("a link that is there is not called gone: it has no IPv6")
    func noV6() throws {
        try Sandbox.run { host in
            try host.ip("link add up0 mtu 1000 type veth peer name far0")
            try host.ip("link set up0 up")
            let text = try error(linux("name: up0, type: EXISTING, enabled: true, ipAddresses: ['fd00::1/64']"), host)
            #expect(text.contains("up0 has no IPv6: its MTU is below 1280"), "\(text)")
            #expect(!text.contains("gone") && !text.contains("memory"))
        }
    }

    @Test(
        "a kind that is there needs no module", .enabled(if: !Kernel.filtersVLANs, "this kernel's bridges filter VLANs")
    )
    func vlanFiltering() throws {
        try Sandbox.run { host in
            let text = try error(linux("name: br, type: BRIDGE, enabled: true, bridge: {vlanFiltering: true}"), host)
            #expect(text.contains("CONFIG_BRIDGE_VLAN_FILTERING") && !text.contains("modprobe"), "\(text)")
        }
    }

    @Test("what marks our entries is no deletion of its own")
    func marks() throws {
        try Sandbox.run { host in
            let yaml = linux(
                veth("a", "b", "ipAddresses: [10.0.0.1/24]"), veth("b", "a"),
                arps: ["interface: a, ipAddress: 10.0.0.9, hwAddress: '02:00:00:00:00:09'"])
            let agent = try host.apply(yaml)
            let plan = try agent.plan(
                yaml.replacing("arpEntries", with: "unused").split(separator: "  unused")[0].description)
            #expect(plan.count == 1 && plan[0].contains("10.0.0.9"), "\(plan)")
            try agent.apply("")
            #expect(try host.ip("route show table all").contains("throw") == false)
        }
    }

    @Test(
        "rules of others are named as ip-rule(8) does",
        arguments: [
            "50: from 10.0.0.0/8 tos 0x10 ipproto tcp dport 80 lookup 100",
            "51: from all suppress_ifgroup 7 lookup main",
            "53: from all goto 32766", "54: from all tos 0x10 lookup 7",
        ])
    func rules(_ rule: String) throws {
        try Sandbox.run { host in
            let words = rule.replacing(":", with: "").split(separator: " ")
            try host.ip("rule add priority \(words.joined(separator: " "))")
            let agent = host.agent()
            _ = try agent.world.export(namespace: nil, all: true)
            #expect(
                agent.world.omissions.count == 1
                    && agent.world.omissions[0].contains("rule \(words.joined(separator: " ")) has"),
                "\(agent.world.omissions)")
        }
    }
}
