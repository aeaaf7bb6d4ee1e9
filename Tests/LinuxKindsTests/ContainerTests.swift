import CLinux
import Foundation
import Netlink
import TestSupport
import Testing

@testable import LinuxKinds

/// A control group that is called after a container.
private final class ControlGroup {
    let id = (UUID().uuidString + UUID().uuidString).filter(\.isHexDigit).lowercased()
    private let path: String

    /// Nil: none can be made here.
    init?() {
        for base in ["/sys/fs/cgroup/pids", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"] {
            let path = "\(base)/nsm-agent-test-\(id)"
            guard mkdir(path, 0o755) == 0 else { continue }
            guard access("\(path)/cgroup.procs", W_OK) == 0, mkdir("\(path)/\(id)", 0o755) == 0 else {
                rmdir(path)
                continue
            }
            self.path = path
            return
        }
        return nil
    }

    static let isAvailable = Sandbox.isAvailable && ControlGroup() != nil

    func take(_ process: pid_t) throws {
        try "\(process)".write(toFile: "\(path)/\(id)/cgroup.procs", atomically: false, encoding: .utf8)
    }

    deinit {
        // It is empty a moment after its processes were waited for.
        for _ in 0..<100 where rmdir("\(path)/\(id)") != 0 && errno == EBUSY { usleep(10_000) }
        rmdir(path)
    }
}

@Suite(
    "containers",
    .enabled(if: ControlGroup.isAvailable, "needs root, namespaces of its own, and control groups to write"))
struct ContainerTests {
    private let web = ContainerName.label("web")
    private var yaml: String {
        linux(
            "name: a, type: VETH, enabled: true, ipAddresses: [10.0.0.1/24], veth: {peerIfName: b}, namespace: {type: MICROSERVICE, reference: web}",
            veth("b", "a"),
            "name: c, type: BRIDGE, enabled: true, namespace: {type: MICROSERVICE, reference: web}",
            rules: ["name: r, priority: 10, table: 5, namespace: {type: MICROSERVICE, reference: web}"])
    }

    private func found(_ process: pid_t, _ group: ControlGroup) -> ContainerFinding {
        .found(ContainerProcess(id: group.id, name: "web1", pid: process))
    }

    private func links(_ host: Sandbox, of process: pid_t) throws -> [String] {
        try host.command("nsenter --net=/proc/\(process)/ns/net ip -o link").split(separator: "\n").map {
            String($0.split(separator: " ")[1].prefix { $0 != ":" && $0 != "@" })
        }.sorted()
    }

    @Test("values wait for a container, are in force while it runs, and wait again when it ends")
    func life() throws {
        try Sandbox.run { host in
            let agent = try host.apply(linux(veth("x", "y"), veth("y", "x")))
            try agent.apply(yaml)
            try agent.watch()
            #expect(agent.interface("a")?.details == ["microservice-available: 'nsm-agent run' looks for containers"])
            agent.find([web: .missing("no container with that label")])
            #expect(agent.interface("a")?.details == ["microservice-available: no container with that label"])
            #expect(agent.interface("b")?.state == .pending)
            for _ in 0..<3 {
                let group = try #require(ControlGroup())
                let process = try host.startProcess()
                try group.take(process)
                agent.find([web: found(process, group)])
                #expect(agent.problems == [])
                #expect(try links(host, of: process) == ["a", "c", "lo"])
                let before = agent.world.modifyingRequests
                var renamed = ContainerProcess(id: group.id, name: "web1", pid: process)
                renamed.name = "web2"
                agent.find([web: .found(renamed)])
                #expect(agent.world.modifyingRequests == before)
                host.stop(process)
                #expect(try agent.settle { agent.interface("a")?.state == .pending })
                #expect(agent.interface("a")?.details.first?.hasSuffix("of container web2 has ended") == true)
                #expect(try agent.settle { try host.link("b") == nil })
            }
            #expect(try agent.settle { agent.world.byReference.count == 1 }, "no namespace is kept")
        }
    }

    @Test("nothing of ours is left in a namespace that outlives its container")
    func outlived() throws {
        try Sandbox.run { host in
            let group = try #require(ControlGroup())
            let agent = try host.apply("")
            try agent.apply(yaml)
            try agent.watch()
            try host.addNamespaces("shared")
            let process = try host.startProcess(in: "shared")
            try group.take(process)
            agent.find([web: found(process, group)])
            #expect(agent.problems == [])
            #expect(try host.links(in: "shared").count == 3 && host.rules(in: "shared").count == 1)
            host.stop(process)
            #expect(try agent.settle { try host.links(in: "shared").map(\.name) == ["lo"] })
            #expect(try host.rules(in: "shared") == [])
            #expect(try host.link("b") == nil)
        }
    }

    @Test("a container that another one takes the place of has nothing any more")
    func replaced() throws {
        try Sandbox.run { host in
            let (one, two) = (try #require(ControlGroup()), try #require(ControlGroup()))
            let agent = try host.apply("")
            try agent.apply(yaml)
            try agent.watch()
            let (first, second) = (try host.startProcess(), try host.startProcess())
            try one.take(first)
            try two.take(second)
            agent.find([web: found(first, one)])
            #expect(try links(host, of: first) == ["a", "c", "lo"])
            agent.find([web: found(second, two)])
            #expect(agent.problems == [])
            #expect(try links(host, of: first) == ["lo"] && links(host, of: second) == ["a", "c", "lo"])
            #expect(try agent.settle { agent.world.byReference.count == 2 }, "the first one is let go")
        }
    }

    @Test("a process that is not the container's is not entered, whatever an engine says")
    func stranger() throws {
        try Sandbox.run { host in
            let group = try #require(ControlGroup())
            let agent = try host.apply("")
            try agent.apply(yaml)
            try agent.watch()
            let process = try host.startProcess()
            agent.find([web: found(process, group)])
            #expect(
                agent.interface("a")?.details.first?.contains("is not in a control group of container web1") == true)
            #expect(try links(host, of: process) == ["lo"])
            agent.find([web: found(4_194_303, group)])
            #expect(
                agent.interface("a")?.details.first?.hasSuffix("process 4194303 of container web1 is not there") == true
            )
            // Once it is, it is entered.
            try group.take(process)
            agent.find([web: found(process, group)])
            #expect(agent.problems == [])
            #expect(try links(host, of: process) == ["a", "c", "lo"])
        }
    }

    @Test("a container in the agent's own network is a name for that")
    func ownNetwork() throws {
        try Sandbox.run { host in
            let group = try #require(ControlGroup())
            let process = try Command.start(["sleep", "1000"])
            defer { host.stop(process) }
            try group.take(process)
            let agent = try host.apply("")
            try agent.apply(yaml)
            try agent.watch()
            let own = try FileManager.default.destinationOfSymbolicLink(atPath: host.path)
            #expect(try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(process)/ns/net") == own)
            agent.find([web: found(process, group)])
            #expect(agent.problems == [])
            #expect(try host.links().map(\.name).sorted() == ["a", "b", "c", "lo"])
            host.stop(process)
            #expect(try agent.settle { try host.links().map(\.name) == ["lo"] })
        }
    }
}

extension TestAgent {
    /// Takes in what is known of containers, and what follows from it.
    func find(_ findings: [ContainerName: ContainerFinding]) {
        let changes = world.takeIn(findings)
        reconciler.reconcile(reason: .drift, scope: changes.needsFullPass ? .all : .keys(changes.keys))
    }
}
