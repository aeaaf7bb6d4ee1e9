import Testing

@testable import Agent

@Suite("Values of which no event tells", .enabled(if: Host.isAvailable, Comment(rawValue: Host.reason)))
struct AuditTests {
    private static let config = """
        linuxConfig:
          interfaces:
            - {name: a, type: VETH, veth: {peerIfName: b}, enabled: true, ipAddresses: [10.0.0.1/24], sysctls: {arp_ignore: 1}}
            - {name: b, type: VETH, veth: {peerIfName: a}, enabled: true}
          arpEntries: [{interface: a, ipAddress: 10.0.0.50, proxy: true}]
        """
    private static let setting = "/proc/sys/net/ipv4/conf/a/arp_ignore"

    private func isRight(_ host: Host) throws -> Bool {
        let isSet = try host.shell("cat \(Self.setting)").output.hasPrefix("1")
        return try isSet && host.ip("neigh show proxy").contains("10.0.0.50")
    }

    private func damage(_ host: Host) throws {
        _ = try host.shell("echo 0 >\(Self.setting)")
        _ = try host.ip("neigh del proxy 10.0.0.50 dev a")
        #expect(try !isRight(host))
    }

    @Test("are put right at an interval")
    func interval() throws {
        let running = try DaemonTests.Running(["a.yaml": Self.config], ["--audit-interval", "200ms"])
        #expect(try running.host.eventually { try isRight(running.host) })
        try damage(running.host)
        #expect(try running.host.eventually { try isRight(running.host) })
        #expect(try running.host.agent("history").output.contains("drift"))
    }

    @Test("are put right when the files are written again as they were, and when their interface changes")
    func occasions() throws {
        let running = try DaemonTests.Running(["a.yaml": Self.config], ["--audit-interval", "3600s"])
        #expect(try running.host.eventually { try isRight(running.host) })
        try damage(running.host)
        try running.host.write("network.d/a.yaml", Self.config + "\n# again\n")
        #expect(try running.host.eventually { try isRight(running.host) })
        try damage(running.host)
        _ = try running.host.ip("address del 10.0.0.1/24 dev a")
        #expect(try running.host.eventually { try isRight(running.host) })
    }

    @Test("wait for somebody who asks without it")
    func off() throws {
        let running = try DaemonTests.Running(["a.yaml": Self.config], ["--audit-interval", "off"])
        #expect(try running.host.eventually { try isRight(running.host) })
        try damage(running.host)
        #expect(try running.host.agent("status").status == 0)
        #expect(try !isRight(running.host))
        #expect(try running.host.agent("reload").status == 0)
        #expect(try isRight(running.host))
    }

    @Test("are put right by the daemon when somebody applies what it has, and nobody applies anything else beside it")
    func apply() throws {
        let running = try DaemonTests.Running(["a.yaml": Self.config], ["--audit-interval", "off"])
        #expect(try running.host.eventually { try isRight(running.host) })
        try damage(running.host)
        let others = try running.host.agent("apply", try running.host.write("others.yaml", pods))
        #expect(others.status == 1 && others.errors.contains("--force"), "\(others.errors)")
        #expect(try !isRight(running.host))
        let file = try running.host.write("same.yaml", Self.config)
        let same = try running.host.agent("apply", file)
        #expect(same.status == 0, "\(same.errors)")
        #expect(same.output.hasPrefix("Nothing to do"), "\(same.output)")
        #expect(try isRight(running.host))
        // What an event tells of may be put right before anybody asks.
        _ = try running.host.ip("address del 10.0.0.1/24 dev a")
        #expect(try running.host.agent("apply", file).output.hasPrefix("Nothing to do"))
    }
}
