import Netlink
import Testing

@testable import LinuxKinds

@Suite("existing interfaces in namespaces of others", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct MatchSafetyTests {
    private func addDevice(_ host: Sandbox) throws {
        try host.ip("tuntap add eth0 mode tap")
        try host.ip("link set eth0 address 02:00:00:00:00:01 up")
    }

    private func interface(_ more: String = "", name: String = "e", in namespace: String? = "x") -> String {
        "name: \(name), type: EXISTING, enabled: true, match: {mac: '02:00:00:00:00:01'}"
            + (more.isEmpty ? "" : ", \(more)") + place(namespace)
    }

    @Test("what a link says of itself brings it to no other namespace")
    func forged() throws {
        try Sandbox.run { host in
            try host.addNamespaces("x")
            try host.ip("link add v0 type veth peer name v1", in: "x")
            let inode = try #require(NetworkNamespace.identity(path: host.file(nil))?.inode)
            try host.ip("link set v0 alias /vnf-agent-lent/\(host.label)/e\t\(inode):eth9:up\tnsm/theirs", in: "x")
            try addDevice(host)
            // Also while others are moved.
            let agent = try host.apply(linux(interface()))
            try agent.apply("")
            try host.agent().apply("")
            #expect(try host.links().count == 2)
            #expect(try host.link("v0", in: "x")?.isUp == false)
        }
    }

    @Test("whatever is done to it in its namespace while no agent runs, it is given back")
    func kept() throws {
        try Sandbox.run { host in
            try addDevice(host)
            try host.addNamespaces("x")
            try host.ip("link set eth0 alias theirs")
            let yaml = linux(interface())
            try host.apply(yaml)
            try host.ip("link set eth0 alias none", in: "x")
            try host.ip("link set eth0 down", in: "x")
            try host.ip("link set eth0 name mine address 02:00:00:00:00:07", in: "x")
            let agent = host.agent()
            try agent.apply("")
            #expect(try host.link("eth0")?.alias == "theirs" && host.link("eth0")?.isUp == true)
            #expect(try host.link("mine", in: "x") == nil)
            try host.expectInPlace("", agent)
        }
    }

    @Test("it stays where it is without a record, as a port of a bridge, and if a default route leaves by it")
    func refused() throws {
        try Sandbox.run { host in
            try addDevice(host)
            try host.addNamespaces("x")
            /// What a new agent says, which has not failed before.
            func refusal(_ directory: String? = nil) throws -> String {
                let agent = host.agent()
                if let directory { agent.world.states.loans.directory = directory }
                try agent.apply(linux(interface()))
                return agent.interface("e")?.error ?? ""
            }
            #expect(try refusal("/proc/none").contains("the record of moved interfaces can't be written"))
            #expect(try host.link("eth0")?.isUp == true && host.link("eth0")?.alias == "")
            try host.ip("addr add 192.0.2.1/24 dev eth0")
            try host.ip("route add default via 192.0.2.254 dev eth0 proto dhcp")
            #expect(try refusal().contains("a default route leaves by it"))
            try host.ip("route del default")
            try host.ip("link add br0 type bridge")
            try host.ip("link set eth0 master br0")
            #expect(try refusal().contains("it is a port of br0"))
            try host.ip("link set eth0 nomaster")
            #expect(try refusal() == "" && host.link("eth0", in: "x")?.isUp == true)
        }
    }

    @Test("one of its alternative names becomes its name as it moves")
    func ownName() throws {
        try Sandbox.run { host in
            try addDevice(host)
            try host.addNamespaces("x")
            try host.ip("link property add dev eth0 altname p0")
            let yaml = linux(interface("hostIfName: p0"))
            let agent = try host.apply(yaml)
            #expect(try host.link("p0", in: "x")?.isUp == true)
            try host.expectInPlace(yaml, agent)
            try agent.apply("")
            #expect(try host.link("eth0")?.isUp == true)
        }
    }

    @Test("a bridge that takes its MAC address does not hide it, and a second value for it is refused")
    func shared() throws {
        try Sandbox.run { host in
            try addDevice(host)
            let yaml = linux(interface(in: nil))
            let agent = try host.apply(yaml)
            try host.ip("link add br0 address 02:00:00:00:00:01 type bridge")
            try host.ip("link set eth0 master br0")
            try agent.apply(yaml)
            #expect(agent.problems == [])
            try host.apply(yaml)
            let both = linux(interface(in: nil), "name: f, type: EXISTING, enabled: true, hostIfName: eth0")
            try agent.apply(both)
            #expect(
                agent.interface("e")?.state == .configured
                    && agent.interface("f")?.error == "eth0 is the interface e already",
                "\(agent.problems)")
        }
    }
}
