import Model
import Testing

@Suite struct ExplainTests {
    @Test("without a path, all models are listed")
    func overview() throws {
        let text = try Explain.text(for: nil)
        for model in ModelRegistry.all {
            #expect(text.contains(model.name))
            #expect(text.contains("\(model.group).\(model.list)"))
        }
    }

    @Test("what begins so can be completed: models, and the fields of one")
    func completes() {
        #expect(Set(Explain.paths("")).isSuperset(of: ["linux.l3.route", "route", "neighbour", "CNFConfiguration"]))
        #expect(Explain.paths("route.dst").contains("route.dstNetwork"))
        #expect(Explain.paths("interface.veth.p").contains("interface.veth.peerIfName"))
        #expect(Set(Explain.paths("nothing.such.x")) == Set(Explain.paths("")))
        // A field without fields has none to offer.
        #expect(!Explain.paths("route.dstNetwork.").contains { $0.hasPrefix("route.dstNetwork.") })
    }

    @Test(
        "a path leads to a model, a message or a field",
        arguments: [
            ("linux.interfaces.interface", "    A network interface: one the agent creates, or one it adopts."),
            ("linux.interfaces.interface", "  hostIfName, host_if_name  <text>"),
            (
                "linux.interfaces.interface",
                "  Only one of the group 'link' can be set: veth, tap, vrfDev, tuntap, bridge"
            ),
            ("linuxConfig.interfaces", "    in files  linuxConfig.interfaces"),
            (
                "linux.interfaces.interface.veth.peerIfName",
                "linux.interfaces.interface.veth.peerIfName  <text>\n    Logical name of the other end.\n"
            ),
            ("linuxConfig.interfaces.mtu", "    range    0–65575\n"),
            ("linux.interfaces.interface.type", "  TAP (100)\n      A persistent TAP or TUN device"),
            ("linux.l3.route.gw_addr", "an IP address, or a reference alloc:NETWORK[/INTERFACE][/GW]"),
            ("linux.l3.route.nextHops", "  weight  <number 0–256>"),
            ("linuxConfig.arp_entries.proxy", "    default  false\n"),
            ("VxlanLink", "  vni  <number 0–16777215>"), ("VxlanLink.group", "needs a parent"),
            ("linuxConfig", "  RuleChain  (linux.iptables.rulechain)"),
            ("cnf.nsm.client", "  endpointId, endpoint_id  <text>\n"),
            ("cnf.nsm.client.accept", "  routes  <list of IP prefix, optional>\n"),
            ("cnf.nsm.client.accept.routes", "    format   an IP address with or without prefix length\n"),
            ("cnf.nsm.client.accept", "  dns  <bool, optional>\n"),
            ("ligato.linux.l3.NextHop", "One of several next hops."),
        ])
    func paths(path: String, part: String) throws {
        let text = try Explain.text(for: path)
        #expect(text.contains(part), "\(text)")
    }

    @Test(
        "a path that leads nowhere says what is near",
        arguments: [
            (
                "linux.interfaces.interfaces",
                "there is no model or message 'linux.interfaces.interfaces'; did you mean 'linux.interfaces.interface'?"
            ),
            ("linux.l3.route.metrics", "unknown field 'metrics' in Route; did you mean 'metric'?"),
            ("linux.l3.route.metric.x", "linux.l3.route.metric has no fields"),
            ("zzz", "there is no model or message 'zzz'; 'explain' alone lists them"),
        ])
    func unknown(path: String, expected: String) {
        #expect {
            try Explain.text(for: path)
        } throws: {
            "\($0)" == expected
        }
    }

    @Test("the JSON Schema names every field in both spellings, with ranges and comments")
    func jsonSchema() throws {
        let schema = Schema.jsonSchema()
        #expect(schema["$schema"] == "https://json-schema.org/draft/2020-12/schema")
        let interface = try #require(schema["$defs"]?["ligato.linux.interfaces.Interface"])
        #expect(interface["additionalProperties"] == false)
        #expect(interface["properties"]?["hostIfName"] == interface["properties"]?["host_if_name"])
        #expect(interface["properties"]?["mtu"]?["maximum"] == .uint(65575))
        #expect(interface["properties"]?["veth"]?["$ref"] == "#/$defs/ligato.linux.interfaces.VethLink")
        #expect(interface["properties"]?["enabled"]?["description"] == "Administrative state: true is up.")
        let acceptance = try #require(schema["$defs"]?["upnp.ServiceAcceptance"]?["properties"])
        #expect(acceptance["routes"]?["type"] == "array" && acceptance["routes"]?["items"]?["pattern"] != nil)
        let config = try #require(schema["$defs"]?["Config"]?["properties"])
        #expect(config["linuxConfig"]?["properties"]?["arp_entries"] != nil)
        #expect(
            config["linux_config"] != nil && config["cnfConfig"]?["properties"]?["NetworkServiceClient_list"] != nil)
        // Every reference leads somewhere.
        let text = JSONWriter.write(schema)
        for part in text.split(separator: "\"$ref\": \"#/$defs/").dropFirst() {
            let name = String(part.prefix { $0 != "\"" })
            #expect(schema["$defs"]?[name] != nil, "\(name)")
        }
    }
}
