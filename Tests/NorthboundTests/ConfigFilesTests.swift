import Glibc
import Model
import Northbound
import Testing

/// Reads files once.
func load(_ paths: [String]) -> LoadedConfig { ConfigFiles.load(paths: paths, label: "default", names: .none) }

/// A configuration whose interfaces are these.
func interfaces(_ lines: String...) -> String {
    "linuxConfig:\n  interfaces:\n" + lines.map { "    - \($0)\n" }.joined()
}

@Suite struct ConfigFilesTests {
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
        let config = load([folder.path])
        #expect(config.mistakes.isEmpty)
        #expect(config.items.map(\.value.name) == ["a", "mounted", "z"])
        #expect(config.files == ["10-sub/a.json", "m.yaml", "z.yml"].map { "\(folder.path)/\($0)" })
    }

    @Test("what can't be read says what to do")
    func unreadable() throws {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        let config = load(["\(folder.path)/none.yaml", folder.path])
        #expect(config.mistakes.map(\.description) == ["\(folder.path)/none.yaml: does not exist; check the path"])
        #expect(config.warnings.map(\.description) == ["\(folder.path): holds no *.yaml, *.yml or *.json file"])
    }

    @Test("nothing is not everything: what says nothing is a mistake, with the way to say it")
    func silence() throws {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        let way = "if nothing is wanted, say so with 'linuxConfig: {}', or with 'nsm-agent delete --all'"
        #expect(
            load([folder.path]).mistakes.map(\.description) == [
                "\(folder.path): holds no *.yaml, *.yml or *.json file; \(way)"
            ])
        try folder.write("a.yaml", "# later\n")
        try folder.write("b.yaml", "apiVersion: apps/v1\nkind: Deployment\n")
        #expect(
            load([folder.path]).mistakes.map(\.description) == [
                "\(folder.path)/a.yaml: declares nothing; \(way)", "\(folder.path)/b.yaml: declares nothing; \(way)",
            ])
        try folder.write("c.yaml", "linuxConfig: {}\n")
        #expect(load([folder.path]).isValid)
    }

    @Test("files that fall silent keep what they said, until they go or say that it is nothing")
    func fallingSilent() throws {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        var files = ConfigFiles(
            paths: [folder.path], label: "default", names: .none, silence: .isMistakeAfterWords)
        let empty = files.refresh()
        #expect(empty.isValid && empty.findings.isSilent)
        try folder.write("a.yaml", interfaces("{name: x, type: DUMMY}"))
        try folder.write("b.yaml", interfaces("{name: y, type: DUMMY}"))
        #expect(files.refresh().changed.map(\.value.name) == ["x", "y"])
        try folder.write("a.yaml", "")
        let fallen = files.refresh()
        #expect(fallen.removed.isEmpty)
        #expect(
            fallen.findings.mistakes.first?.text.hasPrefix("declares nothing any more; what it declared stays") == true)
        #expect(!files.refresh().isValid, "it stays a mistake")
        unlink("\(folder.path)/a.yaml")
        #expect(files.refresh().removed.count == 1, "a file that goes takes along what it said")
        unlink("\(folder.path)/b.yaml")
        let gone = files.refresh()
        #expect(gone.removed.isEmpty)
        #expect(gone.findings.mistakes.first?.text.contains("what is in force stays") == true)
        try folder.write("a.yaml", "linuxConfig: {}\n")
        #expect(files.refresh().removed.count == 1)
    }

    @Test("texts that programs read are handed out anew when they move, as errors name their lines")
    func movedTexts() throws {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        var files = ConfigFiles(paths: [folder.path], label: "default", names: .none)
        let text =
            "linuxConfig:\n  interfaces: [{name: x, type: DUMMY}]\n  nftables:\n  - name: t\n    ruleset: |\n      chain c { }\n"
        try folder.write("a.yaml", text)
        #expect(files.refresh().changed.count == 2)
        try folder.write("a.yaml", text + "# the end\n")
        #expect(files.refresh().changed.isEmpty)
        try folder.write("a.yaml", "# the start\n" + text)
        #expect(files.refresh().changed.map(\.value.name) == ["t"])
    }

    @Test("mistakes of all files and documents are listed in order")
    func allMistakes() throws {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        try folder.write("b.yaml", "linuxConfg: {}\n")
        try folder.write(
            "a.yaml",
            "linuxConfig:\n  route: []\n---\n[1]\n---\nlinuxConfig: 3\n---\nlinuxConfig: {routes: {}}\n---\nx: [\n")
        let found = load([folder.path]).mistakes
        #expect(
            found.map { String($0.description.dropFirst(folder.path.count + 1)) } == [
                "a.yaml:2:3: unknown field 'route' in linuxConfig; did you mean 'routes'?",
                "a.yaml:4:1: the document must be a mapping, such as 'linuxConfig:' with what belongs to it",
                "a.yaml:6:14: linuxConfig must be a mapping of lists", "a.yaml:8:23: linuxConfig.routes must be a list",
                "a.yaml:11:1: did not find expected node content while parsing a flow node",
                "b.yaml:1:1: unknown field 'linuxConfg' in the configuration; did you mean 'linuxConfig'?",
            ])
    }

    @Test("one name declared in two files is reported with both places")
    func twiceInFiles() throws {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        try folder.write("a.yaml", interfaces("{name: x, type: DUMMY}"))
        try folder.write("b.yaml", "---\n---\n" + interfaces("{name: x, type: DUMMY}"))
        #expect(
            load([folder.path]).mistakes.map(\.description) == [
                "\(folder.path)/b.yaml:5:7: linux.interfaces.interface 'x': is declared twice; first at \(folder.path)/a.yaml:3:7"
            ])
    }
}
