import Glibc
import Testing

@testable import Agent

@Suite("Daemon", .enabled(if: Host.isAvailable, Comment(rawValue: Host.reason)))
struct DaemonTests {
    /// A host with a daemon and its configuration directory.
    final class Running {
        let host: Host
        var daemon: Process
        let directory: String

        init(_ files: [String: String] = [:], _ more: [String] = [], environment: [String: String] = [:]) throws {
            host = try Host()
            directory = host.folder + "/network.d"
            if mkdir(directory, 0o755) != 0 { throw Broken("no directory") }
            for (name, text) in files { try host.write("network.d/\(name)", text) }
            daemon = try host.start(["run", "--config", directory] + more, environment: environment)
            guard try isListening() else { throw Broken("the daemon does not listen: \(daemon.errors)") }
        }

        deinit { daemon.end(SIGKILL) }

        func isListening() throws -> Bool {
            try host.eventually { try host.agent("status").status != 69 }
        }

        func waitFor(_ text: String, in command: String) throws -> Bool {
            try host.eventually { try host.ip(command).contains(text) }
        }
    }

    @Test("a file that is dropped is applied, one that goes is undone")
    func files() throws {
        let running = try Running()
        try running.host.write("network.d/pods.yaml", pods)
        #expect(try running.waitFor("10.1.0.1/30", in: "address"))
        #expect(try running.host.eventually { try running.host.agent("status").status == 0 })
        // As editors do it.
        try running.host.write(
            "network.d/.pods.yaml.swp", String(pods.split(separator: "1450").joined(separator: "1400")))
        rename(running.directory + "/.pods.yaml.swp", running.directory + "/pods.yaml")
        #expect(try running.waitFor("mtu 1400", in: "link show left0"))
        try running.host.write("network.d/other.yaml", "linuxConfig: {}\n")
        unlink(running.directory + "/pods.yaml")
        #expect(try running.host.eventually { try !running.host.ip("link").contains("left0") })
    }

    @Test("nothing is not everything: files that fall silent keep what is in force, and status says so")
    func silence() throws {
        let running = try Running()
        #expect(try running.host.agent("status").output.contains("declares nothing"))
        try running.host.write("network.d/pods.yaml", pods)
        #expect(try running.waitFor("10.1.0.1/30", in: "address"))
        for content in ["", "# nothing\n", "apiVersion: apps/v1\nkind: Deployment\n"] {
            try running.host.write("network.d/pods.yaml", content)
            #expect(try running.host.agent("reload").status == 65)
            let status = try running.host.agent("status")
            #expect(status.status == 1)
            #expect(status.output.contains("stays in force"), "\(status.output)")
            // What is in force is still kept.
            try running.host.ip("address del 10.1.0.1/30 dev left0")
            #expect(try running.waitFor("10.1.0.1/30", in: "address"))
        }
        // As after a crash: what our marks tell of is kept as well.
        running.daemon.end(SIGKILL)
        running.daemon = try running.host.start(["run", "--config", running.directory])
        #expect(try running.isListening())
        #expect(try running.host.eventually { try running.host.agent("status").output.contains("declares nothing") })
        #expect(try running.host.ip("address").contains("10.1.0.1/30"))
        try running.host.write("network.d/pods.yaml", "linuxConfig: {}\n")
        #expect(try running.host.eventually { try !running.host.ip("link").contains("left0") })
    }

    @Test("what somebody else takes away comes back")
    func drift() throws {
        let running = try Running(["pods.yaml": pods])
        #expect(try running.waitFor("10.1.0.1/30", in: "address"))
        try running.host.ip("address del 10.1.0.1/30 dev left0")
        #expect(try running.waitFor("10.1.0.1/30", in: "address"))
        try running.host.ip("link del left0")
        #expect(try running.waitFor("10.1.0.1/30", in: "address"))
        #expect(try running.waitFor("default via 10.1.0.1", in: "-n pod route"))
        #expect(try running.host.agent("history").output.contains("drift"))
    }

    @Test("--no-repair only reports")
    func reporting() throws {
        let running = try Running(["pods.yaml": pods], ["--no-repair"])
        #expect(try running.waitFor("10.1.0.1/30", in: "address"))
        try running.host.ip("address del 10.1.0.1/30 dev left0")
        #expect(try running.host.eventually { try running.host.agent("status").status == 1 })
        #expect(try !running.host.ip("address").contains("10.1.0.1/30"))
    }

    @Test("an invalid edit changes nothing and is shown")
    func invalidEdit() throws {
        let running = try Running(["pods.yaml": pods])
        #expect(try running.waitFor("10.1.0.1/30", in: "address"))
        try running.host.write("network.d/pods.yaml", "linuxConfig: {interfaces: [{name: x, type: NONSENSE}]}\n")
        #expect(try running.host.eventually { try running.host.agent("status").output.contains("pods.yaml:1:") })
        let status = try running.host.agent("status")
        #expect(status.status == 1)
        #expect(try running.host.ip("address").contains("10.1.0.1/30"))
        // Drift is still repaired.
        try running.host.ip("address del 10.1.0.1/30 dev left0")
        #expect(try running.waitFor("10.1.0.1/30", in: "address"))
        #expect(try running.host.agent("reload").status == 65)
        try running.host.write("network.d/pods.yaml", pods)
        #expect(try running.host.eventually { try running.host.agent("status").status == 0 })
    }

    @Test("the symbolic-link swap of a ConfigMap is one change")
    func configMap() throws {
        let running = try Running()
        let directory = running.directory
        for (version, mtu) in [("1", "1450"), ("2", "1400")] {
            mkdir("\(directory)/..\(version)", 0o755)
            try running.host.write(
                "network.d/..\(version)/pods.yaml", pods.split(separator: "1450").joined(separator: mtu))
            symlink("..\(version)", "\(directory)/..data_tmp")
            rename("\(directory)/..data_tmp", "\(directory)/..data")
            if version == "1" { symlink("..data/pods.yaml", "\(directory)/pods.yaml") }
            #expect(try running.waitFor("mtu \(mtu)", in: "link show left0"))
        }
        #expect(try running.host.agent("history", "-o", "json").output.split(separator: "\"number\"").count == 3)
    }

    @Test("a directory that appears later is picked up; until then nothing is touched")
    func lateDirectory() throws {
        let running = try Running(["pods.yaml": pods])
        #expect(try running.waitFor("10.1.0.1/30", in: "address"))
        running.daemon.end(SIGTERM)
        rename(running.directory, running.directory + ".away")
        running.daemon = try running.host.start(["run", "--config", running.directory])
        #expect(try running.isListening())
        #expect(try running.host.agent("status").output.contains("does not exist"))
        #expect(try running.host.ip("address").contains("10.1.0.1/30"))
        rename(running.directory + ".away", running.directory)
        #expect(try running.host.eventually { try running.host.agent("status").output.contains("configured") })
    }

    @Test("SIGHUP reads the files again, SIGTERM leaves everything, kill -9 costs nothing")
    func signals() throws {
        let running = try Running(["pods.yaml": pods])
        #expect(try running.waitFor("10.1.0.1/30", in: "address"))
        kill(running.daemon.pid, SIGHUP)
        #expect(running.daemon.waitForErrors("configuration read changed=0 files=1 values=4"))
        let index = try running.host.ip("-o link show left0").split(separator: ":").first
        running.daemon.end(SIGKILL)
        running.daemon = try running.host.start(["run", "--config", running.directory])
        #expect(try running.host.eventually { try running.host.agent("status").status == 0 })
        let history = try running.host.agent("history").output.split(separator: "\n")
        #expect(history.count == 3 && history.last?.contains("nothing to do") == true, "\(history)")
        #expect(try running.host.ip("-o link show left0").split(separator: ":").first == index)
        let end = running.daemon.end(SIGTERM)
        #expect(end.status == 0, "\(end.errors)")
        #expect(try running.host.ip("address").contains("10.1.0.1/30"))
        #expect(try running.host.agent("status").status == 69)
    }

    @Test("the control socket is for its owner only, and a second agent is refused")
    func socket() throws {
        let running = try Running()
        let modes = try running.host.shell("stat -c %a /run/nsm-agent /run/nsm-agent/control.sock").output
        #expect(modes == "700\n600\n")
        let second = try running.host.agent("run", "--config", running.directory)
        #expect(second.status == 1)
        #expect(second.errors.contains("another agent with the label 'default' is at work"))
        // What a killed one left is replaced.
        running.daemon.end(SIGKILL)
        running.daemon = try running.host.start(["run", "--config", running.directory])
        #expect(try running.isListening())
    }

    @Test("the service manager is told")
    func notifications() throws {
        let listener = try DatagramListener()
        let running = try Running(
            ["pods.yaml": pods], environment: ["NOTIFY_SOCKET": listener.path, "WATCHDOG_USEC": "200000"])
        #expect(listener.waitFor("READY=1"))
        #expect(listener.waitFor("WATCHDOG=1"))
        kill(running.daemon.pid, SIGHUP)
        #expect(listener.waitFor("RELOADING=1"))
        running.daemon.end(SIGTERM)
        #expect(listener.waitFor("STOPPING=1"))
    }

    @Test("a service manager that does not read holds nothing up")
    func unreadNotifications() throws {
        let listener = try DatagramListener()
        // Alive every ten milliseconds, and each repair is told: what the kernel keeps for a reader is full soon.
        let running = try Running(
            ["pods.yaml": pods], environment: ["NOTIFY_SOCKET": listener.path, "WATCHDOG_USEC": "20000"])
        #expect(try running.waitFor("10.1.0.1/30", in: "address"))
        for _ in 0..<20 {
            try running.host.ip("address del 10.1.0.1/30 dev left0")
            try #require(try running.waitFor("10.1.0.1/30", in: "address"))
        }
        #expect(listener.waitFor("READY=1"))
    }

    @Test("graph and logs")
    func views() throws {
        let running = try Running(["pods.yaml": pods], ["--log-format", "json"])
        #expect(try running.waitFor("10.1.0.1/30", in: "address"))
        #expect(try running.host.agent("graph").output.hasPrefix("digraph"))
        #expect(try running.host.agent("graph", "--format", "mermaid").output.hasPrefix("flowchart"))
        #expect(try running.host.agent("status", "-o", "json", "config/linux/l3").output.contains("\"CONFIGURED\""))
        for line in running.daemon.errors.split(separator: "\n") {
            #expect(line.hasPrefix("{\"time\":\"") && line.hasSuffix("}"), "\(line)")
        }
    }
}

/// A socket in the place of systemd's.
final class DatagramListener {
    let path: String
    private let descriptor: Int32
    private var heard = ""

    init() throws {
        path = "/tmp/nsm-agent-notify-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        descriptor = Glibc.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0 else { throw Broken("no socket: \(String(cString: strerror(errno)))") }
    }

    deinit {
        close(descriptor)
        unlink(path)
    }

    /// Whether the text is heard within ten seconds.
    func waitFor(_ text: String) -> Bool {
        var buffer = [UInt8](repeating: 0, count: 4096)
        for _ in 0..<1000 {
            while true {
                let count = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
                if count <= 0 { break }
                heard += String(decoding: buffer[..<count], as: UTF8.self) + "\n"
            }
            if heard.contains(text) { return true }
            usleep(10_000)
        }
        return false
    }
}
