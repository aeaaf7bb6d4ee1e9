import CLinux
import Foundation
import TestSupport
import Testing

@testable import Netlink

@Suite("network namespaces", .enabled(if: Sandbox.isAvailable, Sandbox.reason), .serialized)
struct NamespaceTests {
    private func withDirectory(_ body: (String) throws -> Void) throws {
        let path = "/tmp/netns-" + UUID().uuidString
        defer {
            cl_unmount_detach(path)
            try? FileManager.default.removeItem(atPath: path)
        }
        try body(path)
    }

    @Test("a named namespace is made, found by ip(8), and removed; the caller stays where it was")
    func lifecycle() throws {
        let before = try NetworkNamespace.current().identity
        try Sandbox.withNamespaces(1) { made in
            #expect(try NetworkNamespace.current().identity == before)
            #expect(made[0].namespace.identity != before)
            #expect(try NetworkNamespace.list().contains(made[0].name))
            #expect(try Command.run(["ip", "netns", "list"]).contains(made[0].name))
            #expect(try NetworkNamespace(path: "/run/netns/\(made[0].name)").identity == made[0].namespace.identity)
            // Where there are tunnels, the kernel has some in every namespace.
            let links = try made[0].json("link").filter {
                !LinkKind.fallbackTunnels.contains($0["ifname"] as? String ?? "")
            }
            #expect(
                links.count == 1 && links[0]["ifname"] as? String == "lo" && links[0]["operstate"] as? String == "DOWN")
        }
    }

    @Test("names in a directory of one's own; a stale file is replaced, a living name is not")
    func staleFile() throws {
        try withDirectory { directory in
            #expect(try NetworkNamespace.list(directory: directory).isEmpty)
            let first = try NetworkNamespace.create(named: "a", directory: directory)
            #expect(throws: KernelError(code: EEXIST)) {
                try NetworkNamespace.create(named: "a", directory: directory)
            }
            #expect(try NetworkNamespace(path: "\(directory)/a").identity == first.identity)
            #expect(FileManager.default.createFile(atPath: "\(directory)/b", contents: nil))
            #expect(try NetworkNamespace.list(directory: directory) == ["a"])
            #expect(throws: KernelError.self) { try NetworkNamespace(path: "\(directory)/b") }
            _ = try NetworkNamespace.create(named: "b", directory: directory)
            #expect(try NetworkNamespace.list(directory: directory) == ["a", "b"])
            try NetworkNamespace.remove(named: "a", directory: directory)
            try NetworkNamespace.remove(named: "b", directory: directory)
            #expect(throws: KernelError(code: ENOENT)) { try NetworkNamespace.remove(named: "a", directory: directory) }
            #expect(FileManager.default.createFile(atPath: "\(directory)/c", contents: nil))
            try NetworkNamespace.remove(named: "c", directory: directory)
            #expect(try FileManager.default.contentsOfDirectory(atPath: directory).isEmpty)
        }
    }

    @Test("who sees the file of a name and not the namespace on it does not take it for a left one")
    func leftNames() throws {
        try withDirectory { directory in
            let view = directory + "-view"
            try FileManager.default.createDirectory(atPath: view, withIntermediateDirectories: false)
            defer {
                cl_unmount_detach(view)
                rmdir(view)
            }
            _ = try NetworkNamespace.create(named: "a", directory: directory, owner: "me")
            // A bind mount shows what is beneath the mounts of the folder.
            try #require(cl_bind_mount(directory, view) == 0)
            #expect(try NetworkNamespace.list(directory: directory) == ["a"])
            #expect(try NetworkNamespace.list(directory: view).isEmpty)
            #expect(NetworkNamespace.leftNames(of: "me", in: view, besides: []).isEmpty)
            try NetworkNamespace.removeLeftName("a", of: "me", in: view)
            #expect(try NetworkNamespace.list(directory: directory) == ["a"])

            // Before it is taken away it is marked, and locked until that is done.
            let file = cl_mark_beneath(directory, "a", "me")
            try #require(file >= 0)
            #expect(NetworkNamespace.leftNames(of: "me", in: view, besides: []).isEmpty)
            // As a kill between the two steps leaves it.
            close(file)
            cl_unmount_detach("\(directory)/a")
            #expect(NetworkNamespace.leftNames(of: "other", in: directory, besides: []).isEmpty)
            #expect(NetworkNamespace.leftNames(of: "me", in: directory, besides: []) == ["a"])
            try NetworkNamespace.removeLeftName("a", of: "me", in: directory)

            _ = try NetworkNamespace.create(named: "b", directory: directory, owner: "me")
            try NetworkNamespace.remove(named: "b", directory: directory, owner: "me")
            #expect(try FileManager.default.contentsOfDirectory(atPath: directory).isEmpty)
        }
    }

    @Test("what is not a file name is refused", arguments: ["", ".", "..", "a/b", "../a", "a\0b"])
    func names(name: String) {
        let error = #expect(throws: KernelError.self) { try NetworkNamespace.create(named: name) }
        #expect(error?.code == EINVAL)
        #expect(throws: KernelError.self) { try NetworkNamespace.remove(named: name) }
    }

    @Test("a file that is not a network namespace is refused", arguments: ["/etc/passwd", "/proc/self/ns/mnt", "/dev"])
    func otherFiles(path: String) {
        let error = #expect(throws: KernelError.self) { try NetworkNamespace(path: path) }
        #expect(error?.code == EINVAL)
    }

    @Test("a thread moves in and back, also when the body throws")
    func run() throws {
        struct Stop: Error {}
        let before = try NetworkNamespace.current().identity
        try Sandbox.withNamespaces(1) { made in
            let inside = try made[0].namespace.run { try NetworkNamespace.current().identity }
            #expect(inside == made[0].namespace.identity)
            #expect(throws: Stop.self) { try made[0].namespace.run { throw Stop() } }
            #expect(try NetworkNamespace.current().identity == before)
        }
    }

    @Test("descriptors are closed with their owners")
    func leaks() throws {
        func open() throws -> Int { try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count }
        try Sandbox.withNamespaces(1) { made in
            let before = try open()
            for _ in 0..<50 {
                _ = try RouteSocket(in: made[0].namespace)
                _ = try EventSocket(in: made[0].namespace)
                _ = try NetworkNamespace(path: "/run/netns/\(made[0].name)")
                _ = try? NetworkNamespace(path: "/etc/passwd")
                _ = try EventLoop()
            }
            // Other tests may open a few beside this one.
            #expect(try open() < before + 40)
        }
    }

    @Test("namespace numbers")
    func namespaceIDs() throws {
        try Sandbox.withNamespaces(2) { made in
            let socket = try RouteSocket(in: made[0].namespace)
            #expect(try socket.namespaceID(of: made[1].namespace.descriptor) == nil)
            let number = try socket.assignNamespaceID(to: made[1].namespace.descriptor)
            #expect(try socket.assignNamespaceID(to: made[1].namespace.descriptor) == number)
            #expect(try socket.namespaceID(of: made[1].namespace.descriptor) == number)
            #expect(try made[0].ip("netns list-id nsid \(number)").contains("nsid \(number)"))
            #expect(throws: KernelError.self) { try socket.namespaceID(of: 9999) }
        }
    }
}
