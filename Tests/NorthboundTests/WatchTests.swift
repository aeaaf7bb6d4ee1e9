import Glibc
import Testing

@testable import Northbound

@Suite("Watching the configuration")
struct WatchTests {
    private let text = "linuxConfig: {interfaces: [{name: d, type: DUMMY}]}"

    private func watch(_ path: String) throws -> ConfigDirectory {
        let directory = try #require(ConfigDirectory(path: path))
        #expect(directory.watch())
        #expect(directory.obstacle == nil)
        return directory
    }

    @Test("a directory above is moved, and another takes its place")
    func movedAbove() throws {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        for name in ["b", "b/c", "b/c/d", "a", "a/c", "a/c/d"] { folder.folder(name) }
        let directory = try watch("\(folder.path)/a/c/d")
        try folder.write("a/other", "")
        #expect(directory.takeEvents() == .none)
        rename("\(folder.path)/a", "\(folder.path)/z")
        #expect(directory.takeEvents() == .all)
        #expect(!directory.watch())
        rename("\(folder.path)/b", "\(folder.path)/a")
        #expect(directory.takeEvents() == .all)
        #expect(directory.watch())
        try folder.write("a/c/d/1.yaml", text)
        #expect(directory.takeEvents() == .files(["\(folder.path)/a/c/d/1.yaml"]))
        rename("\(folder.path)/z", "\(folder.path)/b")
    }

    @Test("a link on the way leads to another directory")
    func linkAbove() throws {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        for name in ["1", "1/net", "2", "2/net"] { folder.folder(name) }
        folder.link("current", to: "1")
        folder.link("next", to: "2")
        let directory = try watch("\(folder.path)/current/net")
        rename("\(folder.path)/next", "\(folder.path)/current")
        #expect(directory.takeEvents() == .all)
        #expect(directory.watch())
        try folder.write("2/net/1.yaml", text)
        #expect(directory.takeEvents() == .files(["\(folder.path)/current/net/1.yaml"]))
    }

    @Test("the file that a link leads to is written, replaced, and made")
    func targets() throws {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        for name in ["etc", "data", "data/1"] { folder.folder(name) }
        try folder.write("data/1/a", text)
        folder.link("data/now", to: "1")
        folder.link("etc/a.yaml", to: "../data/now/a")
        let directory = try watch("\(folder.path)/etc")
        try folder.write("data/1/a", text)
        #expect(directory.takeEvents() == .files(["\(folder.path)/etc/a.yaml"]))
        try folder.write("data/1/b", text)
        #expect(directory.takeEvents() == .none)
        rename("\(folder.path)/data/1/b", "\(folder.path)/data/1/a")
        #expect(directory.takeEvents() == .all)
        // A link that comes later is one whose target is to be watched.
        folder.link("etc/c.yaml", to: "../data/c")
        #expect(directory.takeEvents() == .all)
        #expect(directory.watch())
        try folder.write("data/c", text)
        #expect(directory.takeEvents() == .all)
    }

    @Test("links that lead to each other end")
    func circle() throws {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        folder.link("a.yaml", to: "b.yaml")
        folder.link("b.yaml", to: "a.yaml")
        _ = try watch(folder.path)
    }

    @Test("a directory above is mounted over")
    func mountedOver() throws {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        for name in ["a", "a/c", "b", "b/c"] { folder.folder(name) }
        let directory = try watch("\(folder.path)/a/c")
        try #require(mount("\(folder.path)/b", "\(folder.path)/b", nil, 4096, nil) == 0)
        #expect(directory.takeMounts() == .none)
        try #require(mount("\(folder.path)/b", "\(folder.path)/a", nil, 4096, nil) == 0)
        #expect(directory.takeMounts() == .all)
        #expect(directory.watch())
        try folder.write("b/c/1.yaml", text)
        #expect(directory.takeEvents() == .files(["\(folder.path)/a/c/1.yaml"]))
        umount("\(folder.path)/a")
        #expect(directory.takeMounts() == .all)
        umount("\(folder.path)/b")
    }
}
