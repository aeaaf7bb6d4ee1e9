import Model
import Testing

@Suite struct ResourceContentTests {
    private func content(_ spec: String, keepsUnknownModels: Bool = false) -> ResourceContent {
        let text = #"{"apiVersion":"pantheon.tech/v1","kind":"CNFConfiguration","metadata":{},"spec":\#(spec)}"#
        return Array(text.utf8).withUnsafeBytes {
            ResourceContent(object: $0, name: "ns/x", keepsUnknownModels: keepsUnknownModels)
        }
    }

    private func lines(_ content: ResourceContent) -> [String] {
        content.items.map { "\($0.microservice) \($0.key) \(String(decoding: $0.json, as: UTF8.self))" }
    }

    @Test("texts and structured items become keys with JSON, each for its microservice")
    func items() {
        let found = content(
            """
            {"microservice": "a",
             "linuxConfig": {"interfaces": [{"name": "v", "type": "DUMMY", "ipAddresses": ["10.0.0.1/24"]}]},
             "cnfConfig": {"NetworkServiceClient_list": [
               {"name": "c", "networkService": "s", "interface_name": "t", "accept": {"routes": []}}]},
             "configItems": [
               {"module": "linux.l3", "type": "route", "data": "outgoing_interface: v\\ndstNetwork: 10.1.2.3/16\\n"},
               {"module": "linux.l3", "type": "arp", "version": "v2", "microservice": "b", "name": "ignored",
                "data": "{interface: v, ip_address: 10.0.0.2, hw_address: '02:00:00:00:00:01'}"}]}
            """)
        #expect(found.mistakes.map(\.description) == [])
        #expect(
            lines(found) == [
                #"a config/linux/interfaces/v2/interface/v {"name":"v","type":"DUMMY","ip_addresses":["10.0.0.1/24"]}"#,
                #"a config/cnf/nsm/v1/client/c {"name":"c","network_service":"s","interface_name":"t","accept":{"routes":[]}}"#,
                #"a config/linux/l3/v2/route/10.1.0.0/16/v {"outgoing_interface":"v","dst_network":"10.1.2.3/16"}"#,
                #"b config/linux/l3/v2/arp/v/10.0.0.2 {"interface":"v","ip_address":"10.0.0.2","hw_address":"02:00:00:00:00:01"}"#,
            ])
        #expect(found.items.last?.position.description == "ns/x: spec.configItems[1].data:1:1")
        #expect(found.items.first?.position.description == "ns/x: spec.linuxConfig.interfaces[0]")
    }

    @Test(
        "mistakes are at their fields, and in texts at their lines",
        arguments: [
            (
                #"{"microservice":"a","linuxConfig":{"interfaces":[{"name":"v","mtu":"x"}]}}"#,
                "ns/x: spec.linuxConfig.interfaces[0].mtu: linux.interfaces.interface 'v': mtu 'x' is not a whole number (0–65575)"
            ),
            (
                #"{"microservice":"a","configItems":[{"module":"linux.l3","type":"arp","data":"interface: e\n  ipadress: 3"}]}"#,
                "ns/x: spec.configItems[0].data:2:3: wrong indentation: this key stands further right than line 1, whose value ends there"
            ),
            (
                #"{"microservice":"a","configItems":[{"module":"linux.l3","type":"arp","data":"interface: e\nipadress: 3"}]}"#,
                "ns/x: spec.configItems[0].data:2:1: unknown field 'ipadress' in ARPEntry; did you mean 'ipAddress'?"
            ),
            (
                #"{"configItems":[{"module":"linux.l3","type":"arp","data":""}]}"#,
                "ns/x: spec.configItems[0]: names no microservice, and neither does spec"
            ),
            (
                #"{"linuxConfig":{}}"#,
                "ns/x: spec.linuxConfig: linuxConfig is for the microservice that spec names, and it names none"
            ),
            (
                #"{"microservice":"a","configItems":[{"module":"linux.l3","type":"rout","data":"a: b"}]}"#,
                "ns/x: spec.configItems[0].module: there is no model with module 'linux.l3' and type 'rout'; did you mean 'linux.l3.route'?"
            ),
            (
                #"{"microservice":"a","configItems":[{"module":"vpp.nat","type":"dnat44","data":"a: b"}]}"#,
                "ns/x: spec.configItems[0]: vpp.nat.dnat44 is not taken: there is no VPP here"
            ),
            (
                #"{"microservice":"a"}"#,
                "ns/x: spec: spec has no list 'configItems', nor 'linuxConfig', 'netallocConfig', 'cnfConfig'"
            ),
        ])
    func mistakes(spec: String, expected: String) {
        let found = content(spec)
        #expect(found.mistakes.first?.description == expected)
    }

    @Test("unknown models are kept as they are when that is asked for")
    func unknown() {
        let found = content(
            #"""
            {"microservice": "a", "configItems": [
              {"module": "vpp.nat", "type": "dnat44", "version": "v2", "data": "Label: x\nn: [1, -2, true, 1.5, ~, '1']"},
              {"module": "linux.l3", "type": "arp", "version": "v7", "name": "n", "data": "a: b"},
              {"module": "m", "type": "t", "data": "NAME: given"}, {"module": "m", "type": "t", "data": "- 1"}]}
            """#, keepsUnknownModels: true)
        #expect(found.mistakes.map(\.description) == [])
        #expect(
            lines(found) == [
                #"a config/vpp/nat/v2/dnat44 {"Label":"x","n":[1,-2,true,1.5,null,"1"]}"#,
                #"a config/linux/l3/v7/arp/n {"a":"b"}"#, #"a config/m/v1/t/given {"NAME":"given"}"#,
                "a config/m/v1/t [1]",
            ])
    }

    @Test("files may hold structured items, too")
    func files() {
        let text = """
            apiVersion: pantheon.tech/v1
            kind: CNFConfiguration
            spec:
              microservice: default
              linuxConfig:
                namespaces: [{name: a}, {nam: b}]

            """
        let config = load(text)
        #expect(config.items.map(\.value.name) == ["a"])
        #expect(
            config.mistakes.first?.description == "f.yaml:6:30: unknown field 'nam' in Namespace; did you mean 'name'?")
        #expect(load(text, label: "other").items.isEmpty && load(text, label: "other").isValid)
    }
}
