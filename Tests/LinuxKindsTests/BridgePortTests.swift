import Testing

@Suite("settings of a bridge's ports", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct BridgePortTests {
    /// A bridge with two ports; both ends of the pairs are in the same host.
    private func yaml(_ settings: String...) -> String {
        linux(
            "name: br, type: BRIDGE, enabled: true, bridge: {ports: [p, q], portSettings: [\(settings.joined(separator: ", "))]}",
            veth("p", "pp"), veth("pp", "p", in: "x"), veth("q", "qq"), veth("qq", "q", in: "x"))
    }

    /// What `ip -d` says of a port.
    private func port(_ name: String, _ host: Sandbox) throws -> [String: String] {
        let info = try host.link(name)?.fields["linkinfo"] as? [String: Any]
        #expect(info?["info_slave_kind"] as? String == "bridge")
        let data = info?["info_slave_data"] as? [String: Any] ?? [:]
        var port: [String: String] = [:]
        for (field, value) in data {
            // Numbers 0 and 1 pass for truth values, too.
            if let number = value as? Int, ["cost", "priority"].contains(field) {
                port[field] = "\(number)"
            } else if let isOn = value as? Bool {
                port[field] = isOn ? "on" : "off"
            }
        }
        return port
    }

    private static let fields: [(yaml: String, changed: String, field: String, normal: String)] = [
        ("cost: 7", "7", "cost", "2"), ("priority: 5", "5", "priority", "32"),
        ("priority: 0", "0", "priority", "32"), ("isolated: true", "on", "isolated", "off"),
        ("hairpin: true", "on", "hairpin", "off"), ("learning: false", "off", "learning", "on"),
        ("flood: false", "off", "flood", "on"), ("mcastFlood: false", "off", "mcast_flood", "on"),
        ("bcastFlood: false", "off", "bcast_flood", "on"), ("neighSuppress: true", "on", "neigh_suppress", "off"),
        ("guard: true", "on", "guard", "off"), ("rootBlock: true", "on", "root_block", "off"),
        ("fastleave: true", "on", "fastleave", "off"),
    ]

    @Test("each is set with the port, alone, and goes back")
    func each() throws {
        try Sandbox.run { host in
            let agent = try host.apply(yaml())
            let before = try port("p", host)
            for (text, changed, field, normal) in Self.fields {
                #expect(before[field] == normal, "\(field)")
                let set = yaml("{interface: p, \(text)}")
                try agent.change(to: set)
                #expect(agent.problems == [])
                #expect(try port("p", host)[field] == changed, "\(text)")
                #expect(try port("q", host)[field] == normal)
                try host.expectInPlace(set, agent)
                let names = Set(Self.fields.map(\.field))
                let all = try port("p", host).filter {
                    names.contains($0.key) && $0.key != field && before[$0.key] != $0.value
                }
                #expect(all == [:], "\(text) changed more")
                // What it costs without a word of ours only the kernel knows.
                if field == "cost" { try host.ip("link set p type bridge_slave cost 2") }
                try agent.change(to: yaml())
                #expect(try port("p", host)[field] == normal, "\(text)")
            }
            let everything = yaml(
                "{interface: p, \(Self.fields.map(\.yaml).filter { $0 != "priority: 0" }.joined(separator: ", "))}")
            try host.apply(everything)
            // A port that is made anew has them again.
            try agent.apply("")
            #expect(try host.links().map(\.name) == ["lo"])
            try host.apply(everything)
            let made = try port("p", host)
            for (text, changed, field, _) in Self.fields where text != "priority: 0" {
                #expect(made[field] == changed, "\(field)")
            }
        }
    }

    @Test("what bridge(8) and ip(8) change is put back at once")
    func drift() throws {
        try Sandbox.run { host in
            let yaml = yaml("{interface: p, isolated: true, cost: 9}")
            let agent = try host.apply(yaml)
            try agent.watch()
            for command in [
                "bridge link set dev p isolated off", "bridge link set dev p hairpin on",
                "ip link set p type bridge_slave cost 11", "bridge link set dev q learning off",
                "ip link set p nomaster",
            ] {
                try host.command(command)
                #expect(
                    try agent.settle {
                        let (p, q) = (
                            try host.link("p")?.master == "br" ? try port("p", host) : [:], try port("q", host)
                        )
                        return p["isolated"] == "on" && p["hairpin"] == "off" && p["cost"] == "9"
                            && q["learning"] == "on"
                    }, "\(command)")
            }
            try agent.quiesce()
            try host.expectInPlace(yaml, agent)
        }
    }

    @Test("isolated ports don't reach each other, and others do")
    func isolation() throws {
        try Sandbox.run { host in
            func yaml(_ settings: String) -> String {
                linux(
                    "name: br, type: BRIDGE, enabled: true, ipAddresses: [10.0.0.9/24], bridge: {ports: [p, q], portSettings: [\(settings)]}",
                    veth("p", "pp"), veth("pp", "p", in: "x", "ipAddresses: [10.0.0.1/24]"), veth("q", "qq"),
                    veth("qq", "q", in: "z", "ipAddresses: [10.0.0.2/24]"))
            }
            let agent = try host.apply(yaml(""))
            try host.command("ping -c 1 -W 5 10.0.0.2", in: "x")
            try agent.change(to: yaml("{interface: p, isolated: true}, {interface: q, isolated: true}"))
            #expect(throws: (any Error).self) { try host.command("ping -c 1 -W 1 10.0.0.2", in: "x") }
            try host.command("ping -c 1 -W 5 10.0.0.9", in: "x")
        }
    }
}
