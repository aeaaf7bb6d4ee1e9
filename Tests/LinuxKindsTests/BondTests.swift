import Model
import Testing

@testable import LinuxKinds

@Suite("bonds", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct BondTests {
    private static let pairs = [veth("p", "pp"), veth("pp", "p", in: "x"), veth("q", "qq"), veth("qq", "q", in: "x")]

    private func yaml(_ bond: String, _ more: String = "ipAddresses: [10.0.0.1/24, 'fd00::1/64']") -> String {
        Config(
            interfaces: ["name: bd, type: BOND, enabled: true, \(more), bond: {\(bond)}"] + Self.pairs,
            routes: ["outgoingInterface: bd, dstNetwork: 0.0.0.0/0, gwAddr: 10.0.0.2"]
        ).text
    }

    private func text(_ host: Sandbox, _ field: String) throws -> String {
        switch try host.link("bd")?.data[field] {
        case let text as String: text
        case let number as Int: "\(number)"
        default: ""
        }
    }

    @Test("the words of the model have numbers")
    func words() {
        for mode in BondMode.allCases { #expect(BondKind.modes.word(BondKind.modes[mode]) == mode) }
        for policy in BondHashPolicy.allCases { #expect(BondKind.policies.word(BondKind.policies[policy]) == policy) }
        for selection in BondSelection.allCases {
            #expect(BondKind.selections.word(BondKind.selections[selection]) == selection)
        }
    }

    @Test(
        "in every mode, with what goes with it", .enabled(if: Kernel.hasBond, Kernel.reason),
        arguments: [
            ("mode: balance-rr", ["mode": "balance-rr", "miimon": "100"]),
            (
                "mode: ACTIVE_BACKUP, primary: q, miimon: 50, updelay: 100, downdelay: 50",
                ["mode": "active-backup", "primary": "q", "miimon": "50", "updelay": "100", "downdelay": "50"]
            ),
            ("mode: balance-xor, xmitHashPolicy: layer3+4", ["mode": "balance-xor", "xmit_hash_policy": "layer3+4"]),
            ("mode: broadcast, miimon: 0", ["mode": "broadcast", "miimon": "0"]),
            (
                "mode: 802.3ad, lacpRate: fast, minLinks: 1, adSelect: count, xmitHashPolicy: encap2+3",
                [
                    "mode": "802.3ad", "ad_lacp_rate": "fast", "min_links": "1", "ad_select": "count",
                    "xmit_hash_policy": "encap2+3",
                ]
            ),
            ("mode: balance-tlb, primary: p", ["mode": "balance-tlb", "primary": "p"]),
            ("mode: balance-alb, mtu", ["mode": "balance-alb"]),
        ])
    func modes(_ bond: String, _ expected: [String: String]) throws {
        try Sandbox.run { host in
            let isLarge = bond.hasSuffix(", mtu")
            let bond = bond.replacing(", mtu", with: "") + ", ports: [p, q]"
            let yaml =
                isLarge ? yaml(bond, "mtu: 1600, physAddress: '02:00:00:00:00:77'") : yaml(bond)
            try host.apply(isLarge ? yaml.replacing("gwAddr: 10.0.0.2", with: "scope: LINK") : yaml)
            for (field, value) in expected { #expect(try text(host, field) == value, "\(field)") }
            for name in ["p", "q"] {
                let port = try #require(try host.link(name))
                #expect(port.master == "bd" && port.isUp && port.mtu == (isLarge ? 1600 : 1500))
            }
            if isLarge { return #expect(try host.link("bd")?.mac == "02:00:00:00:00:77") }
            #expect(try host.addresses("bd") == ["10.0.0.1/24", "fd00::1/64"])
            #expect(try host.routes() == ["default via 10.0.0.2 dev bd"])
            // What is exported finds all in place.
            let exported = YAMLWriter.write(
                ConfigDocument.tree(of: try host.agent().world.export(namespace: nil, all: false)))
            #expect(try host.agent().plan(exported) == [], "\(exported)")
        }
    }

    @Test("what the kernel lets change is changed in place", .enabled(if: Kernel.hasBond, Kernel.reason))
    func inPlace() throws {
        try Sandbox.run { host in
            let agent = try host.apply(yaml("mode: active-backup, primary: p, ports: [p, q]"))
            let index = try host.link("bd")?.index
            for (bond, field, value) in [
                ("primary: q, ports: [p, q]", "primary", "q"),
                ("primary: q, ports: [p, q], miimon: 20, updelay: 200, downdelay: 40", "updelay", "200"),
                ("primary: q, ports: [p, q], miimon: 40, updelay: 200, downdelay: 40", "downdelay", "40"),
                ("ports: [p, q], miimon: 0", "miimon", "0"), ("ports: [q], miimon: 30", "updelay", "0"),
                ("primary: p, ports: [p, q]", "miimon", "100"),
            ] {
                let yaml = yaml("mode: active-backup, " + bond)
                try agent.change(to: yaml)
                #expect(agent.problems == [])
                #expect(try text(host, field) == value, "\(bond)")
                try host.expectInPlace(yaml, agent)
                #expect(
                    try text(host, "primary")
                        == (bond.hasPrefix("primary: ") ? String(bond.dropFirst(9).prefix(1)) : ""))
            }
            #expect(try host.link("bd")?.index == index)
            #expect(try host.addresses("bd") == ["10.0.0.1/24", "fd00::1/64"])
        }
    }

    @Test(
        "what it doesn't makes the bond anew, and its ports come back", .enabled(if: Kernel.hasBond, Kernel.reason),
        arguments: [false, true])
    func recreated(_ isIncremental: Bool) throws {
        try Sandbox.run { host in
            let agent = host.agent()
            func apply(_ yaml: String) throws {
                if isIncremental { try agent.change(to: yaml) } else { try agent.apply(yaml) }
                #expect(agent.problems == [])
            }
            try apply(yaml("mode: active-backup, ports: [p, q]"))
            for (bond, field, value) in [
                ("mode: 802.3ad", "mode", "802.3ad"), ("mode: 802.3ad, lacpRate: fast", "ad_lacp_rate", "fast"),
                ("mode: 802.3ad, lacpRate: fast, adSelect: bandwidth", "ad_select", "bandwidth"),
                ("mode: balance-rr", "mode", "balance-rr"),
            ] {
                let index = try host.link("bd")?.index
                let yaml = yaml(bond + ", ports: [p, q]")
                try apply(yaml)
                #expect(try host.link("bd")?.index != index)
                #expect(try text(host, field) == value)
                for name in ["p", "q"] { #expect(try host.link(name)?.master == "bd") }
                #expect(try host.addresses("bd") == ["10.0.0.1/24", "fd00::1/64"])
                #expect(try host.routes() == ["default via 10.0.0.2 dev bd"])
                try host.expectInPlace(yaml, agent)
            }
        }
    }

    @Test(
        "ports that leave are up again with what is theirs, and so they are when the bond goes",
        .enabled(if: Kernel.hasBond, Kernel.reason), arguments: [false, true])
    func leaving(_ isIncremental: Bool) throws {
        try Sandbox.run { host in
            try host.ip("link add up0 type veth peer name far0")
            try host.ip("link set up0 up")
            let uplink = "name: up0, type: EXISTING, enabled: true"
            func yaml(_ bonds: String..., more: [String] = []) -> String {
                Config(interfaces: bonds + Self.pairs + [uplink] + more).text
            }
            let agent = host.agent()
            func apply(_ yaml: String) throws {
                if isIncremental { try agent.change(to: yaml) } else { try agent.apply(yaml) }
                #expect(agent.problems == [])
                for name in ["p", "q", "up0"] { #expect(try host.link(name)?.isUp == true, "\(name)") }
                try host.expectInPlace(yaml, agent)
            }
            let one = "name: bd, type: BOND, enabled: true, bond: {mode: active-backup, ports: [p, q, up0]}"
            try apply(yaml(one))
            for name in ["p", "q", "up0"] { #expect(try host.link(name)?.master == "bd") }
            try apply(yaml(one.replacing("p, q, up0", with: "q")))
            #expect(try host.link("p")?.master == "" && host.link("up0")?.master == "")
            // To another bond, and to a bridge.
            try apply(
                yaml(
                    one.replacing("p, q, up0", with: ""),
                    "name: b2, type: BOND, enabled: true, bond: {mode: balance-rr, ports: [q]}",
                    "name: br, type: BRIDGE, enabled: true, bridge: {ports: [p]}"))
            #expect(try host.link("q")?.master == "b2" && host.link("p")?.master == "br")
            try apply(yaml(one.replacing("p, q, up0", with: "p"), "name: br, type: BRIDGE, bridge: {ports: [q]}"))
            #expect(try host.link("p")?.master == "bd" && host.link("q")?.master == "br")
            try apply(yaml(one))
            try apply(yaml())
            #expect(try host.link("bd") == nil && host.link("p")?.master == "")
        }
    }

    @Test("below a VLAN, in a bridge, with ports that come later", .enabled(if: Kernel.hasBond, Kernel.reason))
    func stacked() throws {
        try Sandbox.run { host in
            let yaml = Config(
                interfaces: [
                    "name: bd, type: BOND, enabled: true, mtu: 1600, bond: {mode: 802.3ad, ports: [p, later]}",
                    "name: v, type: VLAN, enabled: true, ipAddresses: [10.1.0.1/24], vlan: {parent: bd, id: 5}",
                    "name: b2, type: BOND, enabled: true, bond: {ports: [q]}",
                    "name: br, type: BRIDGE, enabled: true, bridge: {ports: [b2]}",
                    "name: later, type: EXISTING, enabled: true",
                ] + Self.pairs
            ).text
            let agent = host.agent()
            try agent.apply(yaml)
            #expect(agent.state("linux/interface/bd/port/later") == .pending)
            try agent.watch()
            try host.ip("link add later type veth peer name far")
            #expect(try agent.settle { try host.link("later")?.master == "bd" })
            #expect(try host.link("later")?.mtu == 1600)
            #expect(try host.link("b2")?.master == "br")
            try host.expectInPlace(yaml, agent)
        }
    }

    @Test(
        "drift is mended: a port taken out, a mode changed, the bond deleted",
        .enabled(if: Kernel.hasBond, Kernel.reason))
    func drift() throws {
        try Sandbox.run { host in
            let yaml = yaml("mode: active-backup, primary: p, ports: [p, q]")
            let agent = try host.apply(yaml)
            try agent.watch()
            try host.ip("link set p nomaster")
            #expect(try agent.settle { try host.link("p")?.master == "bd" && text(host, "primary") == "p" })
            try host.ip("link set bd type bond primary q miimon 20")
            #expect(try agent.settle { try text(host, "primary") == "p" && text(host, "miimon") == "100" })
            try host.ip("link del bd")
            #expect(
                try agent.settle {
                    try host.link("bd") != nil && host.addresses("bd") == ["10.0.0.1/24", "fd00::1/64"]
                })
            try agent.quiesce()
            #expect(try host.link("p")?.master == "bd" && host.link("q")?.master == "bd")
            #expect(try host.routes() == ["default via 10.0.0.2 dev bd"])
            try host.expectInPlace(yaml, agent)
        }
    }

    @Test(
        "with revert on failure a bond is as it was", .enabled(if: Kernel.hasBond, Kernel.reason),
        arguments: [
            "mode: active-backup, primary: q, ports: [p, q], miimon: 20", "mode: 802.3ad, lacpRate: fast, ports: [p]",
            "mode: active-backup, ports: []",
        ], ["primary: p, ", ""])
    func revert(_ other: String, _ primary: String) throws {
        try Sandbox.run { host in
            let yaml = yaml("mode: active-backup, \(primary)ports: [p, q]")
            let agent = try host.apply(yaml)
            let refused = self.yaml(other).replacing(
                "  interfaces:\n", with: "  interfaces:\n    - {name: default, type: BRIDGE, enabled: true}\n")
            let transaction = try agent.apply(refused, tolerant: true, revertOnFailure: true)
            #expect(transaction?.reverted == true && transaction?.revertErrors ?? [] == [])
            try agent.declare(yaml)
            try host.expectInPlace(yaml)
        }
    }

    @Test("a kernel without bonds is told so", .enabled(if: !Kernel.hasBond, "this kernel has bonds"))
    func missing() throws {
        try Sandbox.run { host in
            let agent = host.agent()
            try agent.apply(yaml("ports: [p]"))
            #expect(agent.interface("bd")?.state == .failed)
            #expect(
                agent.interface("bd")?.error.contains("kind bond, or they are a module: try modprobe bonding") == true)
            #expect(agent.interface("p")?.state == .configured)
        }
    }
}
