import CLinux
import Foundation
import Netlink
import TestSupport
import Testing

/// A small host for one test: a network namespace that stands for the host's own, and a directory of named namespaces.
///
/// The body of a test runs in the host's namespace, on the thread that calls. Everything is gone afterwards, whatever
/// happened.
final class Sandbox {
    static let reason: Comment = "needs root in network and mount namespaces of its own, as scripts/test gives"

    /// Root, with mounts and a network that are not the machine's.
    static let isAvailable: Bool = geteuid() == 0 && hasPrivateNames && unsharesNetwork

    /// Whether /run/netns is a tmpfs that was mounted for us; in the virtual machine of scripts/kernels all is ours.
    private static var hasPrivateNames: Bool {
        if getenv("NSM_AGENT_KERNELS") != nil, ProcessInfo.processInfo.hostName == "nsm-agent-kernels" { return true }
        let mounts = (try? String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8)) ?? ""
        let isTmpfs = mounts.split(separator: "\n").contains { line in
            let fields = line.split(separator: " ")
            return fields.count > 6 && fields[4] == "/run/netns" && line.contains(" - tmpfs ")
        }
        return isTmpfs && cl_make_private_recursive("/") == 0
    }

    private static var unsharesNetwork: Bool {
        guard let origin = try? NetworkNamespace.current(), cl_unshare_net() == 0 else { return false }
        return cl_setns_net(origin.descriptor) == 0
    }

    /// Where the names of namespaces are.
    let directory: String
    /// The owner of what the test makes; no other test has it.
    let label: String
    /// The file of the host's own namespace.
    let path: String
    private var processes: [pid_t] = []

    private init() throws {
        let name = UUID().uuidString.prefix(8).lowercased()
        label = "t-\(name)"
        directory = "/tmp/netns-\(name)"
        path = "/proc/\(getpid())/task/\(cl_gettid())/ns/net"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    }

    /// Runs `body` on a host of its own. Nothing in it may wait for a task: the thread must stay the same.
    static func run<T>(_ body: (Sandbox) throws -> T) throws -> T {
        let origin = try NetworkNamespace.current()
        let sandbox = try Sandbox()
        try #require(cl_unshare_net() == 0)
        defer {
            sandbox.end()
            if cl_setns_net(origin.descriptor) != 0 { fatalError("a thread can't leave its sandbox") }
        }
        // What tells other tests' namespaces from ours; and veth pairs want a host that is up.
        try sandbox.ip("link set lo up")
        return try body(sandbox)
    }

    private func end() {
        for process in processes { stop(process) }
        for name in (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? [] {
            _ = cl_unmount_detach("\(directory)/\(name)")
            unlink("\(directory)/\(name)")
        }
        _ = cl_unmount_detach(directory)
        rmdir(directory)
    }

    // MARK: - Namespaces

    func file(_ namespace: String?) -> String { namespace.map { "\(directory)/\($0)" } ?? path }

    /// Makes named namespaces as somebody else would, with loopback up.
    func addNamespaces(_ names: String...) throws {
        for name in names {
            _ = try NetworkNamespace.create(named: name, directory: directory)
            try ip("link set lo up", in: name)
        }
    }

    func removeNamespace(_ name: String) throws {
        try NetworkNamespace.remove(named: name, directory: directory)
    }

    var namespaces: [String] { (try? NetworkNamespace.list(directory: directory)) ?? [] }

    /// Starts a process in a network namespace of its own, or in a named one, that lives until it is stopped.
    func startProcess(in namespace: String? = nil) throws -> pid_t {
        let enter = namespace.map { ["nsenter", "--net=\(file($0))"] } ?? ["unshare", "--net"]
        let process = try Command.start(enter + ["sleep", "1000"])
        processes.append(process)
        let own = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/ns/net")
        let mine = try FileManager.default.destinationOfSymbolicLink(atPath: path)
        // unshare(1) or nsenter(1) has done its work once it is sleep(1).
        for _ in 0..<1000 {
            let name = (try? String(contentsOfFile: "/proc/\(process)/comm", encoding: .utf8)) ?? ""
            let space = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(process)/ns/net")
            if name == "sleep\n", space != own, space != mine { return process }
            usleep(5000)
        }
        throw Command.Failed(command: "unshare --net sleep", output: "did not start")
    }

    func stop(_ process: pid_t) {
        processes.removeAll { $0 == process }
        kill(process, SIGKILL)
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
    }

    // MARK: - The second witness

    /// What `ip` prints in a namespace; nil: the host's own.
    @discardableResult
    func ip(_ arguments: String, in namespace: String? = nil) throws -> String {
        try command("ip " + arguments, in: namespace)
    }

    /// What a command prints in a namespace.
    @discardableResult
    func command(_ line: String, in namespace: String? = nil) throws -> String {
        try Command.run(["nsenter", "--net=\(file(namespace))"] + line.split(separator: " ").map(String.init))
    }

    /// What `ip -j -d` prints, as a list of objects.
    func json(_ arguments: String, in namespace: String? = nil) throws -> [[String: Any]] {
        let text = try ip("-j -d " + arguments, in: namespace)
        let objects = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [[String: Any]]
        return (objects ?? []).filter { !$0.isEmpty }
    }

    /// The link with a name; nil: there is none.
    func link(_ name: String, in namespace: String? = nil) throws -> LinkView? {
        try links(in: namespace).first { $0.name == name }
    }

    /// The links of a namespace, without those that a kernel with modules of tunnels puts everywhere.
    func links(in namespace: String? = nil) throws -> [LinkView] {
        try json("link", in: namespace).map(LinkView.init).filter { !LinkKind.fallbackTunnels.contains($0.name) }
    }

    /// Addresses of a link as `10.0.0.1/24`, in order, without those the kernel gives itself.
    func addresses(_ name: String, in namespace: String? = nil) throws -> [String] {
        let all = try json("addr show dev \(name)", in: namespace).flatMap { $0["addr_info"] as? [[String: Any]] ?? [] }
        return all.filter { entry in
            // What the kernel derives from a MAC address is not ours.
            let local = entry["local"] as? String ?? ""
            return !(local.hasPrefix("fe80:") && local.contains("ff:fe"))
        }
        .compactMap { entry in
            guard let local = entry["local"] as? String, let length = entry["prefixlen"] as? Int else { return nil }
            let peer = (entry["address"] as? String).map { " peer \($0)" } ?? ""
            return "\(local)\(peer)/\(length)"
        }.sorted()
    }

    /// Routes as `ip` prints them, without those of the kernel and without the protocol.
    func routes(in namespace: String? = nil, v6: Bool = false, table: String = "main") throws -> [String] {
        let text = (try? ip("\(v6 ? "-6" : "-4") -o route show table \(table)", in: namespace)) ?? ""
        return text.split(separator: "\n").filter { !$0.contains("proto kernel") && !$0.contains("proto ra") }
            .map { line in
                let words = line.replacing("\\", with: " ").replacing("\t", with: " ").split(separator: " ").map(
                    String.init)
                return Self.without(["proto"], flags: ["linkdown", "pref", "medium"], words)
            }.sorted()
    }

    /// Words without those that name something and the one behind each, and without some flags.
    private static func without(_ names: Set<String>, flags: Set<String>, _ words: [String]) -> String {
        var result: [String] = []
        var isValue = false
        for word in words {
            if isValue {
                isValue = false
            } else if names.contains(word) {
                isValue = true
            } else if !flags.contains(word) {
                result.append(word)
            }
        }
        return result.joined(separator: " ")
    }

    /// Policy rules as `ip` prints them, without the protocol and without the three that are always there.
    func rules(in namespace: String? = nil, v6: Bool = false) throws -> [String] {
        try ip("\(v6 ? "-6" : "-4") rule show", in: namespace).split(separator: "\n")
            .filter { line in !["0:", "32766:", "32767:"].contains { line.hasPrefix($0) } }
            .map { line in
                let words = line.replacing("\t", with: " ").split(separator: " ").map(String.init)
                return Self.without(["proto"], flags: [], words)
            }
    }

    /// Permanent neighbours as `10.0.0.2 lladdr 02:… PERMANENT`.
    func neighbours(_ name: String, in namespace: String? = nil) throws -> [String] {
        try ip("neigh show nud permanent dev \(name)", in: namespace).split(separator: "\n")
            .map { Self.without(["proto"], flags: [], $0.split(separator: " ").map(String.init)) }.sorted()
    }

    func proxies(_ name: String, in namespace: String? = nil) throws -> [String] {
        try ip("neigh show proxy dev \(name)", in: namespace).split(separator: "\n")
            .map { Self.without(["proto"], flags: [], $0.split(separator: " ").map(String.init)) }.sorted()
    }

    /// The content of a file below /proc/sys.
    func sysctl(_ path: String, in namespace: String? = nil) throws -> String {
        try command("cat /proc/sys/\(path)", in: namespace).trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// Everything there is, as text that is the same when two hosts are the same.
    func picture(of namespaces: [String]) throws -> [String] {
        var lines: [String] = []
        for namespace in [nil] + namespaces.map(Optional.some) {
            lines.append("== \(namespace ?? "host")")
            for link in try links(in: namespace).sorted(by: { $0.name < $1.name }) {
                let alias = link.alias.replacing(label, with: "LABEL")
                lines.append("\(link.name) \(link.kind) \(link.mtu) \(link.isUp) \(alias) \(link.master)")
                lines += try addresses(link.name, in: namespace).map { "  address \($0)" }
                lines += try neighbours(link.name, in: namespace).map { "  neighbour \($0)" }
            }
            for v6 in [false, true] {
                lines += try routes(in: namespace, v6: v6, table: "all")
                    .filter { !$0.contains("fe80::") && !$0.hasPrefix("throw default table") }
                lines += try rules(in: namespace, v6: v6)
            }
        }
        return lines
    }
}

/// A link as `ip -j -d` shows it.
struct LinkView {
    let fields: [String: Any]

    var name: String { fields["ifname"] as? String ?? "" }
    var index: Int { fields["ifindex"] as? Int ?? 0 }
    var mtu: Int { fields["mtu"] as? Int ?? 0 }
    var mac: String { fields["address"] as? String ?? "" }
    var alias: String { fields["ifalias"] as? String ?? "" }
    var altNames: [String] { fields["altnames"] as? [String] ?? [] }
    var master: String { fields["master"] as? String ?? "" }
    var group: String { fields["group"] as? String ?? "" }
    var isUp: Bool { (fields["flags"] as? [String] ?? []).contains("UP") }
    private var info: [String: Any] { fields["linkinfo"] as? [String: Any] ?? [:] }
    var kind: String { info["info_kind"] as? String ?? "" }
    var data: [String: Any] { info["info_data"] as? [String: Any] ?? [:] }
}
