import Model
import Testing

@Suite struct LoaderTests {
    @Test(
        "an empty text is an empty configuration",
        arguments: ["", "---\n", "# nothing\n", "linuxConfig:\n", "linuxConfig: {interfaces: }\n"])
    func empty(text: String) {
        let config = load(text)
        #expect(config.isValid && config.items.isEmpty && config.warnings.isEmpty)
    }

    @Test("JSON is read as YAML is")
    func json() {
        let config = loadCorpus("config.json")
        #expect(config.mistakes.map(\.description) == [])
        #expect(config.items.map(\.value.name) == ["lo", "d1"])
        guard case .interface(let dummy) = config.items.last?.value else { return }
        #expect(dummy.mtu == 1400)
    }
}

@Suite struct ResourceTests {
    @Test("items for this microservice are read, others skipped, VPP items named")
    func resource() {
        let config = loadCorpus("cnf.yaml")
        #expect(config.mistakes.map(\.description) == [])
        #expect(
            config.items.map(\.key) == [
                "config/linux/l3/v2/route/80.80.80.0/24/tap0", "config/cnf/nsm/v1/client/access",
            ])
        #expect(config.warnings.map(\.text) == ["item vpp.interfaces.interface is skipped: there is no VPP here"])
        #expect(config.items.first?.position.description == "\(corpus("cnf.yaml")):11:9")
        let other = loadCorpus("cnf.yaml", label: "other")
        #expect(other.items.isEmpty)
        #expect(other.mistakes.map(\.line) == [30])
    }

    private static let wrongResource = """
        apiVersion: pantheon.tech/v1
        kind: CNFConfiguration
        spec:
          microservice: default
          configItem: []
          configItems:
            - module: linux.l3
              type: route
              data: |
                  # a comment
                  outgoing_interface: tap0
                  dst_network: 80.80.80.0/99
            - module: linux.l3
              type: rout
              data: ''
            - module: linux.l3
              type: arp
              version: v1
              data: ''
            - {module: linux.l3, type: arp, data: "interface: e\\nipadress: 3"}
            - {module: linux.l3, type: arp, data: {interface: e}}
            - {module: linux.l3, type: arp}
            - module: linux.l3
              type: arp
              data: |
                a: [
            - {module: linux.l3, type: arp, data: ""}
        ---
        apiVersion: pantheon.tech/v2
        kind: CNFConfiguration
        ---
        apiVersion: apps/v1
        kind: Deployment

        """

    @Test("mistakes in data are at their place in the file")
    func positions() {
        let config = load(Self.wrongResource)
        #expect(
            config.mistakes.map(\.description) == [
                "f.yaml:5:3: unknown field 'configItem' in spec; did you mean 'configItems'?",
                "f.yaml:12:24: linux.l3.route '80.80.80.0/99/tap0': dst_network '80.80.80.0/99' is not an IP prefix (length 0–32)",
                "f.yaml:13:15: there is no model with module 'linux.l3' and type 'rout'; did you mean 'linux.l3.route'?",
                "f.yaml:18:16: version 'v1' of linux.l3.arp must be 'v2'",
                "f.yaml:20:43: unknown field 'ipadress' in ARPEntry; did you mean 'ipAddress'?",
                "f.yaml:21:43: data must be text: put '|' behind 'data:'", "f.yaml:22:7: has no 'data'",
                "f.yaml:27:9: did not find expected node content while parsing a flow node",
                "f.yaml:27:43: data must hold one linux.l3.arp",
                "f.yaml:29:13: apiVersion 'pantheon.tech/v2' must be 'pantheon.tech/v1'",
            ])
        #expect(
            config.warnings.map(\.description) == [
                "f.yaml:32:1: Deployment is skipped: only CNFConfiguration and ConfigMap are read"
            ])
    }

    @Test("a ConfigMap is read as the files that it holds, with their places")
    func configMap() {
        let config = load(
            """
            apiVersion: v1
            kind: ConfigMap
            metadata: {name: network}
            data:
              one.yaml: |
                linuxConfig:
                  namespaces: [{name: a}]
              notes.txt: no configuration
              two.json: '{"linuxConfig": {"namespaces": [{"name": "b"}, {"nam": "c"}]}}'
            ---
            linuxConfig: {namespaces: [{name: d}]}

            """)
        #expect(config.items.map(\.value.name) == ["a", "b", "d"])
        #expect(config.items.first?.position.description == "f.yaml:7:20")
        #expect(config.mistakes.map(\.position.line) == [9])
        let none = load("apiVersion: v1\nkind: ConfigMap\ndata: {Corefile: x}\n")
        #expect(none.mistakes.first?.description.hasPrefix("f.yaml:1:1: the ConfigMap holds no *.yaml") == true)
        #expect(none.items.isEmpty)
        let nested = load(
            "apiVersion: v1\nkind: ConfigMap\ndata:\n  a.yaml: |\n    {apiVersion: v1, kind: ConfigMap, data: {}}\n")
        #expect(nested.mistakes.map(\.text) == ["a ConfigMap in a ConfigMap is not read"])
    }

    @Test(
        "what says nothing is told from what says that nothing is wanted",
        arguments: [
            ("", true), ("# nothing\n", true), ("---\n---\n", true), ("{}\n", true), ("vppConfig: {}\n", true),
            ("apiVersion: apps/v1\nkind: Deployment\n", true), ("linuxConfig: {}\n", false), ("linuxConfig:\n", false),
            ("cnfConfig: {}\n", false), ("linuxConfig: {namespaces: [{name: a}]}\n", false),
            ("{apiVersion: pantheon.tech/v1, kind: CNFConfiguration, spec: {configItems: []}}\n", false),
        ])
    func silence(text: String, isSilent: Bool) { #expect(load(text).findings.isSilent == isSilent) }

    @Test("a Kubernetes list holds several resources")
    func list() {
        let item = "{module: nsmagent.linux, type: namespace, data: \"name: NAME\"}"
        func resource(_ name: String) -> String {
            "{apiVersion: pantheon.tech/v1, kind: CNFConfiguration, spec: {microservice: default, configItems: [\(item.replacing("NAME", with: name))]}}"
        }
        let config = load(
            "apiVersion: v1\nkind: List\nitems:\n  - \(resource("a"))\n  - \(resource("b"))\n  - \(resource("a"))\n")
        #expect(config.items.map(\.value.name) == ["a", "b", "a"])
        #expect(config.mistakes.count == 1)
        #expect(config.mistakes.first?.text == "nsmagent.linux.namespace 'a': is declared twice; first at f.yaml:4:152")
        #expect(mistakes("apiVersion: v1\nkind: List\n") == ["f.yaml:1:1: List has no list 'items'"])
    }
}

@Suite struct FollowUpTests {
    @Test("one mistake is not reported a second time by what depends on it")
    func noFollowUps() {
        let half = "{name: b, type: VETH, veth: {peerIfName: a}}"
        for broken in [
            "{name: a, type: VETH, veth: {peerIfName: b}, mtu: x}", "{name: a, veth: {peerIfName: b}}",
            "{name: a, type: VETH, veth: {peerIfName: b}}\n  rotes: []", "{name: c, type: DUMMY}\n---\n[",
        ] {
            #expect(mistakes(interfaces(half, broken)).count == 1, "\(broken)")
        }
    }
}
