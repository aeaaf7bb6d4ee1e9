import Glibc
import Logging
import NSM
import TestSupport
import Testing

@testable import NSMServices

/// A folder that goes with the test.
private final class Folder {
    let path: String
    init() throws {
        var template = Array("/tmp/nsm-agent-names.XXXXXX".utf8CString)
        path = String(cString: try #require(mkdtemp(&template)))
    }
    deinit { _ = try? Command.run(["rm", "-rf", path]) }

    func write(_ name: String, _ text: String) throws {
        let file = try #require(fopen("\(path)/\(name)", "w"))
        fputs(text, file)
        fclose(file)
    }
    func read(_ name: String) -> String? {
        guard let file = fopen("\(path)/\(name)", "r") else { return nil }
        defer { fclose(file) }
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        return String(decoding: buffer[..<fread(&buffer, 1, buffer.count, file)], as: UTF8.self)
    }
    var names: String { (try? Command.run(["ls", "-A", path])) ?? "" }
}

private func servers(_ servers: String..., search: [String] = []) -> ResolverConfiguration {
    var configuration = ResolverConfiguration()
    configuration.add(servers: servers, search: search)
    return configuration
}

@Suite("The resolver's file as text")
struct ResolverTextTests {
    @Test("name servers of the mesh come first, and what was there stays readable")
    func golden() {
        let original =
            "# DHCP\ndomain old.example\nsearch a.example b.example\nnameserver 10.96.0.10\noptions ndots:5\n"
        let text = ResolverText.render(
            .file(Array(original.utf8)), servers("10.60.0.53", search: ["mesh.example", "a.example"]))
        #expect(
            String(decoding: text, as: UTF8.self) == """
                # nsm-agent added name servers of network services. What was here before: a file
                #|# DHCP
                #|domain old.example
                #|search a.example b.example
                #|nameserver 10.96.0.10
                #|options ndots:5
                #|
                search mesh.example a.example b.example
                nameserver 10.60.0.53
                nameserver 10.96.0.10
                options ndots:5

                """)
    }

    @Test("one of the name servers that were there stays among the three that are asked")
    func three() {
        let original = ResolverText.Original.file(Array("nameserver 1.1.1.1\nnameserver 2.2.2.2\n".utf8))
        let text = String(
            decoding: ResolverText.render(original, servers("10.0.0.1", "10.0.0.2", "10.0.0.3")), as: UTF8.self)
        let asked = text.split(separator: "\n").filter { $0.hasPrefix("nameserver ") }.map { $0.dropFirst(11) }
        #expect(asked == ["10.0.0.1", "10.0.0.2", "1.1.1.1", "10.0.0.3", "2.2.2.2"])
    }

    @Test("only addresses and domains get in")
    func harmless() {
        let wanted = servers(
            "10.0.0.1", "10.0.0.1", "x", "10.0.0.2\nnameserver 6.6.6.6", "fd00:0::53", "",
            search: ["ok.example", "ok.example", "a b", "a\nnameserver 6.6.6.6", "", "#", "-_.x"])
        #expect(wanted == servers("10.0.0.1", "fd00::53", search: ["ok.example", "-_.x"]))
        #expect(!String(decoding: ResolverText.render(.absent, wanted), as: UTF8.self).contains("6.6.6.6"))
    }

    @Test("any file comes back byte for byte, however often name servers change")
    func fuzz() {
        var random = SeededGenerator(seed: 3)
        let parts =
            [
                "nameserver 1.2.3.4", "search a b", "domain c", "options x:1", "#|", "#", "\n", "\n", "\r\n", " ", "\t",
                "\0", "é", "nameserver", "search", "sortlist 1.2.3.0/24",
            ].map { Array($0.utf8) } + [[0xff, 0xfe], [0xc3]]
        for _ in 0..<2000 {
            let content = Array((0..<random.below(12)).map { _ in random.pick(parts) }.joined())
            let original: ResolverText.Original =
                switch random.below(3) {
                case 0: .file(content)
                case 1: .link(target: "../run/x \(random.below(9))", content)
                default: .absent
                }
            let first = ResolverText.render(original, servers("10.0.0.\(random.below(9))"))
            #expect(ResolverText.original(of: first) == original)
            let again = ResolverText.render(original, servers("10.0.0.1", search: ["z"]))
            #expect(ResolverText.original(of: again) == original)
            #expect(ResolverText.original(of: content) == nil)
        }
    }
}

@Suite("The resolver's file")
struct ResolverFileTests {
    @Test("a file is changed, changed again, and put back with its mode")
    func file() throws {
        let folder = try Folder()
        try folder.write("resolv.conf", "nameserver 1.1.1.1\noptions a\n")
        chmod("\(folder.path)/resolv.conf", 0o640)
        let file = ResolverFile(path: "\(folder.path)/resolv.conf")
        #expect(!file.isOurs)
        try file.write(servers("10.0.0.53"))
        #expect(
            file.isOurs && folder.read("resolv.conf")?.contains("nameserver 10.0.0.53\nnameserver 1.1.1.1\n") == true)
        var before = stat()
        stat("\(folder.path)/resolv.conf", &before)
        #expect(before.st_mode & 0o7777 == 0o640)
        // The same again is no write.
        try file.write(servers("10.0.0.53"))
        var after = stat()
        stat("\(folder.path)/resolv.conf", &after)
        #expect(before.st_ino == after.st_ino)
        // A process that comes after a kill -9 goes on from there.
        try ResolverFile(path: file.path).write(servers("10.0.0.54"))
        #expect(folder.read("resolv.conf")?.contains("10.0.0.53") == false)
        try ResolverFile(path: file.path).restore()
        #expect(folder.read("resolv.conf") == "nameserver 1.1.1.1\noptions a\n")
        try file.restore()
        #expect(folder.read("resolv.conf") == "nameserver 1.1.1.1\noptions a\n" && folder.names == "resolv.conf\n")
    }

    @Test("a link is a link again, and what it leads to is not touched")
    func link() throws {
        let folder = try Folder()
        try folder.write("stub", "nameserver 127.0.0.53\n")
        symlink("stub", "\(folder.path)/resolv.conf")
        let file = ResolverFile(path: "\(folder.path)/resolv.conf")
        try file.write(servers("10.0.0.53"))
        #expect(folder.read("stub") == "nameserver 127.0.0.53\n")
        #expect(folder.read("resolv.conf")?.contains("nameserver 10.0.0.53\nnameserver 127.0.0.53\n") == true)
        try file.restore()
        var buffer = [CChar](repeating: 0, count: 100)
        #expect(readlink("\(folder.path)/resolv.conf", &buffer, 99) == 4 && folder.names == "resolv.conf\nstub\n")
    }

    @Test("where there was nothing there is nothing afterwards; also behind a link that led nowhere")
    func absent() throws {
        let folder = try Folder()
        let file = ResolverFile(path: "\(folder.path)/resolv.conf")
        try file.restore()
        try file.write(servers("10.0.0.53"))
        #expect(folder.read("resolv.conf")?.hasSuffix("nameserver 10.0.0.53\n") == true)
        try file.restore()
        #expect(folder.names == "")
        symlink("nowhere", file.path)
        try file.write(servers("10.0.0.53"))
        try file.restore()
        #expect(folder.names == "resolv.conf\n" && folder.read("resolv.conf") == nil)
    }

    @Test("a place that can't be written is told")
    func failure() throws {
        let folder = try Folder()
        let file = ResolverFile(path: "\(folder.path)/none/resolv.conf")
        let error = #expect(throws: ResolverFile.Failure.self) { try file.write(servers("10.0.0.53")) }
        #expect(error?.description.contains("none/resolv.conf can't be") == true)
    }

    @Test("name servers of all connections together, kept until the connections say otherwise after a restart")
    func together() throws {
        let folder = try Folder()
        try folder.write("resolv.conf", "nameserver 1.1.1.1\n")
        var settings = try ServiceSettings(environment: { _ in nil }, host: "h")
        settings.nameServers = .file
        settings.resolverFile = "\(folder.path)/resolv.conf"
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        var names = NameServers(settings, logger: logger)
        names.apply([], isPartial: true)
        names.apply([servers("10.0.0.1"), servers("10.0.0.2", "10.0.0.1")], isPartial: false)
        #expect(
            folder.read("resolv.conf")?.contains("nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 1.1.1.1") == true
        )
        #expect(names.facts(of: servers("10.0.0.1")) == ["name servers 10.0.0.1 (in \(settings.resolverFile))"])
        let written = folder.read("resolv.conf")
        var next = NameServers(settings, logger: logger)
        next.apply([], isPartial: true)
        #expect(folder.read("resolv.conf") == written)
        next.apply([], isPartial: false)
        #expect(folder.read("resolv.conf") == "nameserver 1.1.1.1\n")
        for mode in [ServiceSettings.NameServerMode.off, .print] {
            settings.nameServers = mode
            var others = NameServers(settings, logger: logger)
            others.apply([servers("10.0.0.1")], isPartial: false)
            #expect(folder.read("resolv.conf") == "nameserver 1.1.1.1\n")
            #expect(
                others.facts(of: servers("10.0.0.1"))
                    == ["name servers 10.0.0.1 (\(mode == .off ? "not used" : "only shown"))"])
            #expect(others.facts(of: ResolverConfiguration()).isEmpty)
        }
    }

    @Test("a file of an agent that was killed is put back in every mode, unless somebody answers there")
    func killed() throws {
        let folder = try Folder()
        var settings = try ServiceSettings(environment: { _ in nil }, host: "h")
        settings.resolverFile = "\(folder.path)/resolv.conf"
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let file = ResolverFile(path: settings.resolverFile)
        let place = try #require(ResolverAddress("127.0.7.1:53"))
        for mode in [ServiceSettings.NameServerMode.off, .print, .file, .resolver] {
            settings.nameServers = mode
            try folder.write("resolv.conf", "nameserver 10.0.0.9\n")
            // What names others as well is no resolver's.
            try file.write(servers("127.0.7.1"))
            NameServers(settings, logger: logger).begin()
            #expect(folder.read("resolv.conf")?.hasSuffix("\nnameserver 127.0.7.1\nnameserver 10.0.0.9\n") == true)
            try file.write(servers("127.0.7.1"), isAlone: true)
            let written = folder.read("resolv.conf")
            // The port is root's.
            if geteuid() == 0 {
                let other = try ResolverSockets.bind(place)
                NameServers(settings, logger: logger).begin()
                #expect(folder.read("resolv.conf") == written)
                for socket in [other.datagram, other.stream] { close(try #require(socket)) }
            }
            // A program that another test is starting may still have copies of those sockets.
            for _ in 0..<500 {
                NameServers(settings, logger: logger).begin()
                if folder.read("resolv.conf") != written { break }
                usleep(20_000)
            }
            #expect(folder.read("resolv.conf") == "nameserver 10.0.0.9\n")
        }
    }
}
