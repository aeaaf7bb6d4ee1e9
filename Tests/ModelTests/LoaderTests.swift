import Glibc
import Model
import Testing

/// A folder that is removed after the test.
final class TemporaryFolder {
    let path: String
    private var made: [String] = []

    init() throws {
        var template = Array("/tmp/nsm-agent-model.XXXXXX".utf8CString)
        path = try template.withUnsafeMutableBufferPointer { buffer in
            let start = try #require(buffer.baseAddress)
            return String(cString: try #require(mkdtemp(start)))
        }
    }

    func write(_ name: String, _ text: String) throws {
        let file = try #require(fopen("\(path)/\(name)", "w"))
        fputs(text, file)
        fclose(file)
        made.append("\(path)/\(name)")
    }

    func folder(_ name: String) {
        mkdir("\(path)/\(name)", 0o755)
        made.append("\(path)/\(name)")
    }

    func link(_ name: String, to target: String) {
        symlink(target, "\(path)/\(name)")
        made.append("\(path)/\(name)")
    }

    func remove() {
        for entry in made.reversed() { Glibc.remove(entry) }
        rmdir(path)
    }
}

/// A file of the committed corpus.
func corpus(_ name: String) -> String {
    #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
        + "/Corpus/\(name)"
}

@Suite struct LoaderTests {
    @Test("directories are read sorted and recursively; hidden entries are not")
    func directories() throws {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        folder.folder("10-sub")
        folder.folder("..2024")
        try folder.write("..2024/m.yaml", interfaces("{name: mounted, type: DUMMY}"))
        folder.link("..data", to: "..2024")
        folder.link("m.yaml", to: "..data/m.yaml")
        try folder.write("z.yml", interfaces("{name: z, type: DUMMY}"))
        try folder.write("10-sub/a.json", #"{"linuxConfig": {"interfaces": [{"name": "a", "type": "DUMMY"}]}}"#)
        try folder.write("notes.txt", "not: [yaml")
        try folder.write(".hidden.yaml", "not: [yaml")
        let config = ConfigLoader.load(paths: [folder.path], label: "default")
        #expect(config.mistakes.isEmpty)
        #expect(config.items.map(\.value.name) == ["a", "mounted", "z"])
        #expect(config.files == ["10-sub/a.json", "m.yaml", "z.yml"].map { "\(folder.path)/\($0)" })
    }

    @Test("what can't be read says what to do")
    func unreadable() throws {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        let config = ConfigLoader.load(paths: ["\(folder.path)/none.yaml", folder.path], label: "default")
        #expect(config.mistakes.map(\.description) == ["\(folder.path)/none.yaml: does not exist; check the path"])
        #expect(config.warnings.map(\.description) == ["\(folder.path): holds no *.yaml, *.yml or *.json file"])
    }

    @Test("mistakes of all files and documents are listed in order")
    func allMistakes() throws {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        try folder.write("b.yaml", "linuxConfg: {}\n")
        try folder.write(
            "a.yaml",
            "linuxConfig:\n  route: []\n---\n[1]\n---\nlinuxConfig: 3\n---\nlinuxConfig: {routes: {}}\n---\nx: [\n")
        let found = ConfigLoader.load(paths: [folder.path], label: "default").mistakes
        #expect(
            found.map { String($0.description.dropFirst(folder.path.count + 1)) } == [
                "a.yaml:2:3: unknown field 'route' in linuxConfig; did you mean 'routes'?",
                "a.yaml:4:1: the document must be a mapping, such as 'linuxConfig:' with what belongs to it",
                "a.yaml:6:14: linuxConfig must be a mapping of lists", "a.yaml:8:23: linuxConfig.routes must be a list",
                "a.yaml:11:1: did not find expected node content while parsing a flow node",
                "b.yaml:1:1: unknown field 'linuxConfg' in the configuration; did you mean 'linuxConfig'?",
            ])
    }

    @Test(
        "an empty text is an empty configuration",
        arguments: ["", "---\n", "# nothing\n", "linuxConfig:\n", "linuxConfig: {interfaces: }\n"])
    func empty(text: String) {
        let config = load(text)
        #expect(config.isValid && config.items.isEmpty && config.warnings.isEmpty)
    }

    @Test("JSON is read as YAML is")
    func json() {
        let config = ConfigLoader.load(paths: [corpus("config.json")], label: "default")
        #expect(config.mistakes.map(\.description) == [])
        #expect(config.items.map(\.value.name) == ["lo", "d1"])
        guard case .interface(let dummy) = config.items.last?.value else { return }
        #expect(dummy.mtu == 1400)
    }
}

@Suite struct ResourceTests {
    @Test("items for this microservice are read, others skipped, VPP items named")
    func resource() {
        let config = ConfigLoader.load(paths: [corpus("cnf.yaml")], label: "default")
        #expect(config.mistakes.map(\.description) == [])
        #expect(
            config.items.map(\.key) == [
                "config/linux/l3/v2/route/80.80.80.0/24/tap0", "config/cnf/nsm/v1/client/access",
            ])
        #expect(config.warnings.map(\.text) == ["item vpp.interfaces.interface is skipped: there is no VPP here"])
        #expect(config.items.first?.position.description == "\(corpus("cnf.yaml")):11:9")
        let other = ConfigLoader.load(paths: [corpus("cnf.yaml")], label: "other")
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
            config.warnings.map(\.description) == ["f.yaml:32:1: Deployment is skipped: only CNFConfiguration is read"])
    }

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
