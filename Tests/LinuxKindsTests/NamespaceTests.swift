import CLinux
import Foundation
import Netlink
import Testing

@testable import LinuxKinds

@Suite("namespaces", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct NamespaceTests {
    @Test("a namespace with values that is watched can be unmounted")
    func unmount() throws {
        try Sandbox.run { host in
            try host.addNamespaces("x")
            let yaml = linux(veth("a", "b", in: "x"), veth("b", "a"))
            let agent = try host.apply(yaml)
            try agent.watch()
            // The number of the file is used again once a namespace is gone.
            let before = try #require(agent.world.byReference[.named("x")]?.cookie)
            try host.command("umount \(host.file("x"))")
            // Values are in it, so that it is made again.
            #expect(try agent.settle { host.namespaces == ["x"] && (try? host.link("a", in: "x")) != nil })
            #expect(try #require(agent.world.byReference[.named("x")]?.cookie) != before)
        }
    }

    @Test("settings of a namespace are made with it, and put back by a look at what nobody tells of")
    func settings() throws {
        try Sandbox.run { host in
            func yaml(_ forward: Int, more: String = "") -> String {
                linux(
                    namespaces: [
                        "name: blue, sysctls: {net.ipv4.ip_forward: '\(forward)', net.ipv4.ping_group_range: '0   7'\(more)}"
                    ])
            }
            func setting(_ name: String) throws -> String {
                try host.command("sysctl -n \(name)", in: "blue").trimmingCharacters(in: .whitespacesAndNewlines)
            }
            let agent = try host.apply(yaml(1))
            #expect(try setting("net.ipv4.ip_forward") == "1" && setting("net.ipv4.ping_group_range") == "0\t7")
            #expect(try host.command("sysctl -n net.ipv4.ip_forward").hasPrefix("0"))
            try host.command("sysctl -w net.ipv4.ip_forward=0", in: "blue")
            agent.reconciler.reconcile(reason: .drift, scope: .keys(agent.world.audit(suspectsOnly: false).keys))
            #expect(try setting("net.ipv4.ip_forward") == "1")
            try agent.change(to: yaml(0))
            #expect(try setting("net.ipv4.ip_forward") == "0")
            try host.expectInPlace(yaml(0), agent)
            let ports = yaml(0, more: ", net.ipv4.ip_local_reserved_ports: '8081,8080'")
            try agent.change(to: ports)
            #expect(try setting("net.ipv4.ip_local_reserved_ports") == "8080-8081")
            try host.expectInPlace(ports, agent)
            try agent.change(to: yaml(1, more: ", net.ipv4.nonsense: '1'"))
            #expect(agent.problems.count == 1 && agent.problems[0].contains("has no /proc/sys/net/ipv4/nonsense"))
            #expect(try setting("net.ipv4.ip_forward") == "1")
        }
    }

    @Test("a declared namespace comes and goes")
    func declared() throws {
        try Sandbox.run { host in
            let yaml = linux(
                veth("a", "b", in: "blue", "ipAddresses: [10.0.0.1/24]"), veth("b", "a"),
                namespaces: ["name: blue", "name: red"])
            let agent = try host.apply(yaml)
            #expect(host.namespaces == ["blue", "red"])
            try agent.apply(linux(namespaces: ["name: red"]))
            #expect(agent.problems == [])
            #expect(host.namespaces == ["red"])
            try host.agent().apply("")
            #expect(host.namespaces == [])
        }
    }

    @Test("a name that a kill left without its namespace is taken away, if it is ours, or used again")
    func leftName() throws {
        try Sandbox.run { host in
            func files() throws -> [String] {
                try FileManager.default.contentsOfDirectory(atPath: host.directory).sorted()
            }
            let yaml = linux(namespaces: ["name: blue", "name: red"])
            try host.apply(yaml)
            try host.apply(linux(namespaces: ["name: green"]), label: "\(host.label)2")
            #expect(FileManager.default.createFile(atPath: host.file("theirs"), contents: nil))
            // Killed between the steps that take a namespace away.
            for (name, owner) in [("blue", host.label), ("red", host.label), ("green", "\(host.label)2")] {
                let file = cl_mark_beneath(host.directory, name, owner)
                try #require(file >= 0)
                close(file)
                #expect(cl_unmount_detach(host.file(name)) == 0)
            }
            #expect(try files() == ["blue", "green", "red", "theirs"] && host.namespaces == [])
            #expect(
                try host.agent().plan(linux(namespaces: ["name: red"])).contains {
                    $0.contains("name of namespace blue")
                })
            #expect(try files() == ["blue", "green", "red", "theirs"])
            try host.apply(linux(namespaces: ["name: red"]))
            #expect(try files() == ["green", "red", "theirs"] && host.namespaces == ["red"])
            try host.apply("")
            #expect(try files() == ["green", "theirs"])
        }
    }

    @Test("a namespace that is only referred to is made with the first value in it, and goes with the last")
    func implicit() throws {
        try Sandbox.run { host in
            let pair = linux(veth("a", "b", in: "blue"), veth("b", "a"))
            #expect(try host.agent().plan(pair).contains { $0.hasSuffix("namespace none → blue") })
            let agent = try host.apply(
                linux(
                    veth("a", "b", in: "blue"), veth("b", "a"),
                    rules: ["name: r, priority: 10, table: 5" + place("red")]))
            #expect(host.namespaces == ["blue", "red"])
            try agent.apply(pair)
            #expect(host.namespaces == ["blue"])
            #expect(try host.agent().plan("").contains("- namespace blue"))
            try host.agent().apply("")
            #expect(host.namespaces == [])
            #expect(try host.links().map(\.name) == ["lo"])
        }
    }

    @Test("a namespace that was made for a value stays when others use it, and that is told once")
    func implicitAndShared() throws {
        try Sandbox.run { host in
            let agent = try host.apply(linux(veth("a", "b", in: "blue"), veth("b", "a")))
            try host.ip("link add theirs type bridge", in: "blue")
            let steps = try host.agent().plan("")
            #expect(steps.contains("- mark of namespace blue, which stays as theirs in it is not ours"))
            try agent.apply("")
            #expect(agent.problems == [])
            #expect(try host.links(in: "blue").map(\.name) == ["lo", "theirs"])
            #expect(try host.agent().plan("") == [])
        }
    }

    @Test(
        "whatever others have in a namespace that was made for a value keeps it",
        arguments: [
            ("addr add 192.0.2.1/32 dev lo", "192.0.2.1/32"), ("rule add priority 5 table 7", "a policy rule"),
            ("route add blackhole 192.0.2.0/24 table 9", "the route 192.0.2.0/24"),
        ])
    func keptByOthers(command: String, words: String) throws {
        try Sandbox.run { host in
            let agent = try host.apply(linux(veth("a", "b", in: "blue"), veth("b", "a")))
            try host.ip(command, in: "blue")
            #expect(
                try host.agent().plan("").contains {
                    $0 == "- mark of namespace blue, which stays as \(words) in it is not ours"
                })
            try agent.apply("")
            #expect(agent.problems == [])
            #expect(host.namespaces == ["blue"])
            #expect(try host.agent().plan("") == [])
        }
    }

    @Test("a process keeps it, too, and who has its name by now")
    func keptByProcess() throws {
        try Sandbox.run { host in
            let config = linux(veth("a", "b", in: "blue"), veth("b", "a"))
            var agent = try host.apply(config)
            _ = try host.startProcess(in: "blue")
            try agent.apply("")
            #expect(host.namespaces == ["blue"])
            try host.removeNamespace("blue")
            agent = try host.apply(config)
            try host.removeNamespace("blue")
            try host.addNamespaces("blue")
            try host.ip("link add theirs type bridge", in: "blue")
            try agent.apply("")
            #expect(try host.links(in: "blue").map(\.name) == ["lo", "theirs"])
        }
    }

    @Test("a plan makes no namespace, nor anything else")
    func plan() throws {
        try Sandbox.run { host in
            let steps = try host.agent().plan(
                linux(
                    veth("a", "b", in: "blue"), veth("b", "a"),
                    "name: lo1, type: LOOPBACK, enabled: true" + place("green"),
                    rules: ["name: r, priority: 10, table: 5" + place("black")], namespaces: ["name: red"]))
            #expect(steps.count == 5)
            #expect(host.namespaces == [])
            #expect(try host.links().map(\.name) == ["lo"])
        }
    }

    @Test("a namespace that was there before stays when its declaration goes")
    func foreign() throws {
        try Sandbox.run { host in
            try host.addNamespaces("old")
            try host.apply(linux(namespaces: ["name: old"]))
            try host.agent().apply("")
            #expect(host.namespaces == ["old"])
        }
    }

    @Test("a namespace that is there is declared later, and one that was implicit is kept by its references")
    func declaredLater() throws {
        try Sandbox.run { host in
            let agent = try host.apply(linux(veth("a", "b", in: "blue"), veth("b", "a")))
            let yaml = linux(veth("a", "b", in: "blue"), veth("b", "a"), namespaces: ["name: blue"])
            try agent.apply(yaml)
            try host.expectInPlace(yaml, agent)
        }
    }

    @Test("a declaration goes while the namespace is in use: it stays, with everything in it")
    func undeclaredInUse() throws {
        try Sandbox.run { host in
            let interfaces = [veth("a", "b", in: "blue", "ipAddresses: [10.0.0.1/24]"), veth("b", "a")]
            let agent = try host.apply(Config(interfaces: interfaces, namespaces: ["name: blue"]).text)
            let yaml = Config(interfaces: interfaces).text
            try agent.apply(yaml)
            #expect(agent.problems == [])
            #expect(try host.addresses("a", in: "blue") == ["10.0.0.1/24"])
            try host.expectInPlace(yaml, agent)
        }
    }

    @Test("a process is awaited, its namespace is used, and what was in it waits again when it ends")
    func process() throws {
        try Sandbox.run { host in
            let process = try host.startProcess()
            let yaml = linux(
                "name: a, type: VETH, enabled: true, ipAddresses: [10.0.0.1/24], veth: {peerIfName: b}, namespace: {type: PID, reference: \"\(process)\"}",
                veth("b", "a"))
            let agent = try host.apply(yaml)
            try agent.watch()
            #expect(try host.command("nsenter --net=/proc/\(process)/ns/net ip -o link show dev a").contains("a@"))
            host.stop(process)
            #expect(try agent.settle { agent.interface("a")?.state == .pending })
            #expect(agent.interface("a")?.details.first == "namespace-available: process \(process) is not there")
            #expect(try agent.settle { try host.link("b") == nil })
        }
    }

    @Test("a process that is not there is named")
    func missingProcess() throws {
        try Sandbox.run { host in
            let agent = host.agent()
            try agent.apply(
                linux("name: l, type: LOOPBACK, enabled: true, namespace: {type: PID, reference: \"4194303\"}"))
            #expect(agent.interface("l")?.state == .pending)
            #expect(agent.interface("l")?.details == ["namespace-available: process 4194303 is not there"])
        }
    }

    @Test("a namespace file is awaited, used when it appears, and awaited again when it goes")
    func file() throws {
        try Sandbox.run { host in
            let path = "\(host.directory)/later"
            let yaml = linux(
                "name: a, type: VETH, enabled: true, veth: {peerIfName: b}, ipAddresses: [10.0.0.1/24], namespace: {type: FD, reference: '\(path)'}",
                veth("b", "a"))
            let agent = host.agent()
            try agent.apply(yaml)
            #expect(
                agent.interface("a")?.details == ["namespace-available: \(path) is not there or is not a namespace"])
            #expect(agent.interface("b")?.state == .pending)
            try agent.watch()
            try host.addNamespaces("later")
            #expect(try agent.settle { agent.problems == [] })
            #expect(try host.addresses("a", in: "later") == ["10.0.0.1/24"])
            try host.expectInPlace(yaml, agent)
            try host.removeNamespace("later")
            #expect(try agent.settle { agent.interface("a")?.state == .pending })
            try host.addNamespaces("later")
            #expect(try agent.settle { agent.problems == [] })
            try host.expectInPlace(yaml, agent)
        }
    }

    @Test("one namespace under two references is one namespace")
    func twoReferences() throws {
        try Sandbox.run { host in
            try host.addNamespaces("x")
            let yaml = linux(
                veth("a", "b", in: "x", "ipAddresses: [10.0.0.1/24]"),
                "name: b, type: VETH, enabled: true, veth: {peerIfName: a}, namespace: {type: FD, reference: '\(host.directory)/x'}"
            )
            let agent = try host.apply(yaml)
            try agent.watch()
            try host.ip("addr flush dev a", in: "x")
            try host.ip("link set dev b down", in: "x")
            #expect(
                try agent.settle {
                    try host.addresses("a", in: "x") == ["10.0.0.1/24"] && host.link("b", in: "x")?.isUp == true
                })
        }
    }

    @Test("a named namespace that is replaced is filled again")
    func replaced() throws {
        try Sandbox.run { host in
            let yaml = linux(veth("a", "b", in: "x", "ipAddresses: [10.0.0.1/24]"), veth("b", "a"))
            let agent = try host.apply(yaml)
            try agent.watch()
            try host.removeNamespace("x")
            try host.addNamespaces("x")
            #expect(try agent.settle { try host.link("a", in: "x") != nil && agent.problems == [] })
            #expect(try host.addresses("a", in: "x") == ["10.0.0.1/24"])
            try host.expectInPlace(yaml, agent)
        }
    }

    @Test("a named namespace that vanishes is made again, as an apply would")
    func vanished() throws {
        try Sandbox.run { host in
            let yaml = linux(veth("a", "b", in: "x", "ipAddresses: [10.0.0.1/24]"), veth("b", "a"))
            let agent = try host.apply(yaml)
            try agent.watch()
            try host.removeNamespace("x")
            #expect(try agent.settle { host.namespaces == ["x"] && agent.problems == [] })
            try host.expectInPlace(yaml, agent)
        }
    }

    @Test("a namespace vanishes before its values are deleted: that counts as done")
    func vanishedBeforeDelete() throws {
        try Sandbox.run { host in
            let agent = try host.apply(linux(veth("a", "b", in: "x", "ipAddresses: [10.0.0.1/24]"), veth("b", "a")))
            try host.removeNamespace("x")
            try agent.apply("")
            #expect(agent.problems == [])
            #expect(try host.links().map(\.name) == ["lo"])
        }
    }

    @Test("without descriptors for another namespace its values wait and say why; others are kept")
    func shortage() throws {
        try Sandbox.run { host in
            let own = linux(veth("a", "b", in: "x", "ipAddresses: [10.0.0.1/24]"), veth("b", "a"))
            let agent = try host.apply(own)
            try agent.watch()
            agent.world.mostNamespaces = 2
            try host.addNamespaces("y")
            let both = linux(
                veth("a", "b", in: "x", "ipAddresses: [10.0.0.1/24]"), veth("b", "a"), veth("c", "d", in: "y"),
                veth("d", "c"), "name: l, type: LOOPBACK, enabled: true" + place("z"), namespaces: ["name: z"])
            try agent.apply(both)
            let reason = "can't be opened: Too many open files (EMFILE); raise the limit of open files"
            #expect(agent.interface("c")?.state == .pending)
            #expect(agent.interface("c")?.details.first?.hasPrefix("namespace y \(reason)") == true)
            #expect(agent.interface("l")?.details.first?.contains("can't be made: Too many open files") == true)
            #expect(agent.state("config/nsmagent/linux/v1/namespace/z") == .pending)
            #expect(host.namespaces == ["x", "y"])
            // What was there before is still repaired.
            try host.ip("addr flush dev a", in: "x")
            #expect(try agent.settle { try host.addresses("a", in: "x") == ["10.0.0.1/24"] })
            agent.world.mostNamespaces = .max
            #expect(try agent.settle { agent.interface("c")?.state == .configured })
            try agent.apply(both)
            #expect(agent.problems == [])
            try host.expectInPlace(both, agent)
        }
    }

    @Test("a stale file in the place of a name is replaced")
    func staleFile() throws {
        try Sandbox.run { host in
            try host.command("touch \(host.directory)/x")
            try host.apply(linux(veth("a", "b", in: "x"), veth("b", "a"), namespaces: ["name: x"]))
        }
    }
}
