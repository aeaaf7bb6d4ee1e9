import Testing

/// What has conditions or attributes that the model has no words for is not what a value asks for.
@Suite("more than the model can say", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct UnknownAttributeTests {
    @Test(
        "a rule of somebody else with one more condition does not stand for ours, and is not exported wider",
        arguments: [
            "uidrange 5-9", "suppress_prefixlength 0", "suppress_ifgroup 7", "tos 0x10", "ipproto tcp",
            "ipproto tcp dport 80", "ipproto udp sport 5-9", "fwmark 0x1/0x3", "iif lo",
        ])
    func rule(_ condition: String) throws {
        try Sandbox.run { host in
            try host.ip("rule add priority 100 from 10.0.0.0/8 \(condition) lookup 7")
            let foreign = try host.rules()
            let yaml = linux(rules: ["name: r, priority: 100, from: 10.0.0.0/8, table: 7"])
            let agent = try host.apply(yaml)
            #expect(try host.rules().contains("100: from 10.0.0.0/8 lookup 7"))
            try agent.apply("")
            #expect(try host.rules() == foreign)
            let isKnown = !condition.hasPrefix("suppress_ifgroup") && !condition.hasPrefix("tos")
            let export = try agent.world.export(namespace: nil, all: true)
            #expect(export.contains { if case .rule = $0 { true } else { false } } == isKnown)
            #expect(agent.world.omissions.isEmpty == isKnown)
        }
    }

    @Test(
        "a route of somebody else with more attributes does not stand for ours, and is not exported",
        arguments: [
            ("window 1400", false), ("rto_min 20ms", false), ("tos 4", true), ("realms 5", false),
        ])
    func route(_ attribute: String, _ hasOwnPlace: Bool) throws {
        try Sandbox.run { host in
            try host.ip("link add up0 type veth peer name far0")
            try host.ip("link set up0 up")
            try host.ip("addr add 10.0.0.1/24 dev up0")
            let words = attribute.hasPrefix("tos") ? "\(attribute) 10.9.0.0/16" : "10.9.0.0/16"
            let rest = attribute.hasPrefix("tos") ? "" : " \(attribute)"
            try host.ip("route add \(words) via 10.0.0.2 dev up0\(rest)")
            let agent = host.agent()
            try agent.apply(linux(routes: ["outgoingInterface: up0, dstNetwork: 10.9.0.0/16, gwAddr: 10.0.0.2"]))
            if hasOwnPlace {
                #expect(agent.problems == [])
                #expect(try host.routes().count == 2)
            } else {
                #expect(agent.problems.count == 1 && agent.problems[0].contains("is not ours"))
            }
            try agent.apply("")
            #expect(try host.routes().count == 1)
            let export = try agent.world.export(namespace: nil, all: true)
            #expect(!export.contains { if case .route = $0 { true } else { false } })
            #expect(agent.world.omissions.count == 1)
        }
    }
}
