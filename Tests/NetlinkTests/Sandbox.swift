import CLinux
import Foundation
import TestSupport
import Testing

@testable import Netlink

/// Namespaces for one test. Everything happens in a network and a mount namespace that are not the machine's.
enum Sandbox {
    static let reason: Comment = "needs root in namespaces of its own: unshare -n -m swift test"

    /// Root, and in other namespaces than the process that began it all; then /run/netns becomes a tmpfs of our own.
    static let isAvailable: Bool = {
        guard geteuid() == 0, hasLeftHome else { return false }
        guard cl_make_private_recursive("/") == 0 else { return false }
        try? FileManager.default.createDirectory(atPath: "/run/netns", withIntermediateDirectories: true)
        return cl_mount_tmpfs("/run/netns") == 0
    }()

    /// Whether some ancestor of this process lives in another network and another mount namespace.
    private static var hasLeftHome: Bool {
        var process = getppid()
        while process > 0 {
            let isElsewhere = ["net", "mnt"].allSatisfy { kind in
                guard let own = inode("/proc/self/ns/\(kind)"), let other = inode("/proc/\(process)/ns/\(kind)") else {
                    return false
                }
                return own != other
            }
            if isElsewhere { return true }
            process = parent(of: process)
        }
        return false
    }

    private static func parent(of process: Int32) -> Int32 {
        let status = (try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("PPid:") }
        return line?.split(separator: "\t").last.flatMap { Int32($0) } ?? 0
    }

    private static func inode(_ path: String) -> UInt64? {
        var status = stat()
        return stat(path, &status) == 0 ? UInt64(status.st_ino) : nil
    }

    /// Runs `body` with new named namespaces, and removes them whatever happens.
    static func withNamespaces<T>(_ count: Int, _ body: ([Named]) throws -> T) throws -> T {
        var made: [Named] = []
        defer {
            for namespace in made {
                do { try NetworkNamespace.remove(named: namespace.name) } catch { Issue.record(error) }
            }
        }
        for _ in 0..<count {
            let name = "t" + UUID().uuidString.prefix(8).lowercased()
            made.append(Named(name: name, namespace: try NetworkNamespace.create(named: name)))
        }
        return try body(made)
    }

    struct Named {
        let name: String
        let namespace: NetworkNamespace

        /// What `ip -n NAME` prints: the second witness.
        @discardableResult
        func ip(_ arguments: String) throws -> String {
            try Command.run(["ip", "-n", name] + arguments.split(separator: " ").map(String.init))
        }

        /// What `ip -j -n NAME` prints, as a list of objects.
        func json(_ arguments: String) throws -> [[String: Any]] {
            let text = try Command.run(
                ["ip", "-j", "-d", "-n", name] + arguments.split(separator: " ").map(String.init))
            let objects = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [[String: Any]]
            return (objects ?? []).filter { !$0.isEmpty }
        }
    }

}

extension RouteSocket {
    /// Sends requests; what went wrong and what was echoed, by position.
    func send(_ requests: [Request]) throws -> (errors: [Int: KernelError], replies: [Int: Report]) {
        let batch = Batch()
        for request in requests { batch.append(request) }
        var errors: [Int: KernelError] = [:]
        var replies: [Int: Report] = [:]
        try transact(batch, onReply: { replies[$0] = $1 }, onError: { errors[$0] = $1 })
        return (errors, replies)
    }

    /// A veth pair; the index of the first.
    func veth(_ name: String, _ peer: VethPeer) throws -> Link {
        let result = try send([.createLink(vethAttributes(name, peer), echo: true)])
        if let error = result.errors[0] { throw error }
        if case .link(let made) = result.replies[0] { return made }
        // A kernel before 6.2 tells nothing of what it made.
        return try #require(try link(name: name))
    }
}

private func vethAttributes(_ name: String, _ peer: VethPeer) -> LinkAttributes {
    link(0, name) {
        $0.kind = .veth
        $0.peer = peer
    }
}
