import Glibc
import Testing

@Suite("Few open files", .enabled(if: Host.isAvailable, Comment(rawValue: Host.reason)))
struct DescriptorTests {
    private static let yaml = """
        linuxConfig:
          interfaces:
            - {name: a, type: VETH, enabled: true, veth: {peerIfName: b}}
            - {name: b, type: VETH, enabled: true, namespace: {type: NSID, reference: x}, veth: {peerIfName: a}}
        """

    /// Event loops for each processor take three.
    private static var loops: Int { 3 * sysconf(Int32(_SC_NPROCESSORS_ONLN)) }

    private func limited(_ host: Host, _ limit: Int, _ arguments: String) throws -> Outcome {
        try host.shell("ulimit -n \(limit); exec \(Host.program ?? "") \(arguments)")
    }

    @Test("what needs few works with few", arguments: [8, 12, 16, 24, 32, 64])
    func few(limit: Int) throws {
        let host = try Host()
        let file = try host.write("x.yaml", Self.yaml)
        for command in ["--version", "--help", "schema", "explain", "check \(file)"] {
            let outcome = try limited(host, limit, command)
            #expect(outcome.status == 0, "\(command): \(outcome.errors)")
        }
    }

    @Test("the kernel is read and changed, or it is said what is missing", arguments: [6, 8, 12, 16, 24, 32, 64])
    func oneShots(limit: Int) throws {
        let host = try Host()
        let file = try host.write("x.yaml", Self.yaml)
        for command in ["plan \(file)", "apply --timeout 0 \(file)", "export", "delete --all --yes"] {
            let outcome = try limited(host, limit, command)
            #expect([0, 1].contains(outcome.status), "\(command): \(outcome.errors)")
            if outcome.status != 0 { #expect((outcome.errors + outcome.output).contains("raise the limit")) }
        }
    }

    @Test("what can't start with so few says how many it needs", arguments: [6, 8, 12, 16, 24, 32])
    func refusals(limit: Int) throws {
        let host = try Host()
        mkdir(host.folder + "/network.d", 0o755)
        let settings = try host.write(
            "settings.yaml", "mesh: {listen: 'unix:///run/nsm-agent/m', stateDir: /run/nsm-agent/s}\n")
        for command in [
            "run --config \(host.folder)/network.d", "run --config \(host.folder)/network.d --settings \(settings)",
            "mesh --listen unix:///run/nsm-agent/m --state-dir /run/nsm-agent/s",
        ] {
            let outcome = try limited(host, limit, command)
            #expect(outcome.status == 71, "\(command): \(outcome.errors)")
            #expect(outcome.errors.hasPrefix("nsm-agent: the limit of open files is \(limit), and this needs "))
            #expect(outcome.errors.contains("LimitNOFILE="))
            #expect(outcome.errors.split(separator: "\n").count == 1)
        }
    }

    @Test("an agent is asked, or it is said what is missing", arguments: [6, 8, 12, 16, 24, 32, 64])
    func questions(limit: Int) throws {
        let running = try DaemonTests.Running(["x.yaml": Self.yaml])
        for command in ["status", "history", "graph", "reload"] {
            let outcome = try limited(running.host, limit, command)
            #expect([0, 71].contains(outcome.status), "\(command): \(outcome.errors)")
            if outcome.status == 71 {
                #expect(outcome.errors.hasPrefix("nsm-agent: the limit of open files is \(limit), and this needs "))
            }
        }
    }

    @Test("a daemon that runs out of them says so of each value it can't keep, and goes on with the others")
    func shortage() throws {
        let host = try Host()
        let directory = host.folder + "/network.d"
        mkdir(directory, 0o755)
        func declare(_ count: Int) throws {
            let namespaces = (0..<count).map { "    - {name: n\($0)}\n" }.joined()
            let links = (0..<count).map { number in
                "    - {name: l\(number), type: LOOPBACK, enabled: true, namespace: {type: NSID, reference: n\(number)}}\n"
            }.joined()
            try host.write("new.yaml", "linuxConfig:\n  namespaces:\n\(namespaces)  interfaces:\n\(links)")
            rename(host.folder + "/new.yaml", directory + "/x.yaml")
        }
        try declare(100)
        // Namespaces of others are as dear as ours.
        for number in 0..<50 { try host.ip("netns add n\(number)") }
        // Beside those that the program inherits.
        let limit = "$(($(ls /proc/self/fd | wc -l) + \(64 + Self.loops)))"
        let command = "ulimit -n \(limit); exec \(Host.program ?? "") run --config \(directory)"
        let daemon = try Process(["nsenter", "-t", "\(host.keeperPID)", "-n", "-m", "sh", "-c", command])
        defer { daemon.end(SIGKILL) }
        #expect(try host.eventually { try host.agent("status").output.contains("raise the limit of open files") })
        let status = try host.agent("status", "config/linux/interfaces/")
        #expect(status.status == 1)
        #expect(status.output.contains("CONFIGURED"))
        #expect(status.output.contains("100 values: "))
        // With fewer namespaces all of them can be had.
        for number in 3..<50 { try host.ip("netns delete n\(number)") }
        try declare(3)
        #expect(try host.eventually { try host.agent("status").status == 0 })
        #expect(daemon.end(SIGTERM).status == 0)
    }
}
