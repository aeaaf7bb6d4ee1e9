import Glibc
import Logging
import NSM
import SPIFFE
import Testing

/// The daemon with a real mesh of this host, and an endpoint of the SDK that gives all there is to give.
@Suite("Network services", .enabled(if: Host.isAvailable, Comment(rawValue: Host.reason)), .timeLimit(.minutes(10)))
struct ServicesTests {
    private final class Mesh {
        let host: Host
        let directory: String
        let environment: [String: String]
        var mesh: Process?
        var daemon: Process?

        init() throws {
            host = try Host()
            directory = host.folder + "/network.d"
            environment = [
                "NSM_CONNECT_TO": "unix://\(host.folder)/nsm.sock", "NSM_NAME": "client",
                "SPIFFE_ENDPOINT_SOCKET": "unix://\(host.folder)/workload.sock", "NSM_REQUEST_TIMEOUT": "5s",
                "NODE_NAME": "node-1",
            ]
            try host.write("resolv.conf", "nameserver 192.0.2.1\noptions ndots:5")
            _ = try host.shell("mount --bind \(host.folder)/resolv.conf /etc/resolv.conf")
            try host.ip("netns add server")
            try host.ip("-n server link set lo up")
        }

        deinit {
            daemon?.end(SIGKILL)
            mesh?.end(SIGKILL)
        }

        func startMesh() throws {
            mesh = try host.start([
                "mesh", "--open", "--listen", "unix://\(host.folder)/nsm.sock", "--state-dir", "\(host.folder)/state",
                "--workload-socket", "\(host.folder)/workload.sock",
                // The test's own endpoint is elsewhere, and names the namespaces of pods.
                "--manager", "spiffe://nsm.local/host/*/net/*/user/0",
            ])
        }

        func startDaemon(_ more: [String] = [], environment added: [String: String] = [:]) throws {
            daemon = try host.start(
                ["run", "--config", directory] + more, environment: environment.merging(added) { $1 })
        }

        func declare(_ text: String) throws {
            _ = mkdir(directory, 0o755)
            try host.write("network.d/services.yaml", text)
        }

        var names: String { (try? host.shell("cat /etc/resolv.conf").output) ?? "" }

        func status() throws -> String { try host.agent("status", "config/cnf/").output }

        func eventually(_ what: String, _ condition: () throws -> Bool) async throws {
            for _ in 0..<1500 {
                if try condition() { return }
                try await Task.sleep(for: .milliseconds(20))
            }
            throw Broken("not in time: \(what); \(try status()); \(daemon?.errors ?? ""); \(mesh?.errors ?? "")")
        }
    }

    /// Runs an endpoint of the SDK with pools, name servers and policies in the namespace `server`.
    private static func runEndpoint(_ folder: String, namespace: String) async {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let identity = WorkloadIdentity(socket: "unix://\(folder)/workload.sock", logger: logger)
        let manager = PeerConnector(
            .unix("\(folder)/nsm.sock"),
            component: Component(name: "server", security: .identity(identity), logger: logger))
        var dns = NSMDNSConfig()
        dns.dnsServerIps = ["10.60.0.53"]
        dns.searchDomains = ["db.example"]
        var policy = NSMPolicyRoute()
        policy.from = "10.99.0.1/32"
        policy.routes = [.with { $0.prefix = "10.98.0.0/16" }]
        let endpoint = NetworkServiceEndpoint(
            name: "server",
            services: [
                .init(
                    name: "db", ipam: PointToPointIPAM("172.16.0.0/24,fd00:16::/64"), dns: [dns], policies: [policy])
            ], socket: "\(folder)/endpoint.sock", manager: manager, namespace: namespace)
        await withDiscardingTaskGroup { group in
            group.addTask { await identity.run() }
            group.addTask { await manager.run() }
            // It ends with the test.
            try? await endpoint.run()
            group.cancelAll()
        }
    }

    private let client = """
        cnfConfig:
          NetworkServiceClient_list:
            - {name: access, networkService: db, interfaceName: nsm-1, outgoingLabels: [{key: app, value: web}]}

        """

    @Test("all that the mesh gives becomes values; restarts leave them alone; what is taken out goes, with all of it")
    func wholeWay() async throws {
        let mesh = try Mesh()
        let host = mesh.host
        try mesh.declare(client)
        try mesh.startDaemon(["--nsm-dns", "file"])
        // The mesh is not there yet.
        try await mesh.eventually("waits for the mesh") {
            let status = try mesh.status()
            return (status.contains("PENDING") || status.contains("RETRYING")) && status.contains("workload.sock")
        }
        #expect(mesh.names == "nameserver 192.0.2.1\noptions ndots:5")
        try mesh.startMesh()
        let (folder, namespace) = (host.folder, host.path(of: "server"))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await Self.runEndpoint(folder, namespace: namespace) }
            try await mesh.eventually("connected") {
                try host.agent("status").status == 0 && mesh.status().contains("CONFIGURED")
            }
            let status = try mesh.status()
            for text in [
                "endpoint server", "path client → ", " → server", "interface nsm-1", "172.16.0.2/32", "until 20",
                "name servers 10.60.0.53 for db.example (in /etc/resolv.conf)", "manager unix://",
            ] { #expect(status.contains(text), "\(text) in \(status)") }
            let addresses = try host.ip("address show dev nsm-1")
            for text in ["172.16.0.2/32", "fd00:16::1/128", "10.99.0.1/32"] { #expect(addresses.contains(text)) }
            let rule = try host.ip("rule")
            #expect(rule.contains("20000:\tfrom 10.99.0.1 lookup "), "\(rule)")
            // The forwarder has a rule of its own, at a lower priority's number; ours is the value that is repaired.
            let words = rule.split(whereSeparator: \.isWhitespace)
            let table = words.firstIndex(of: "20000:").map { words[$0 + 4] } ?? ""
            #expect(try host.ip("route show table \(table)").contains("10.98.0.0/16 via 172.16.0.1 dev nsm-1"))
            #expect(try host.shell("ping -c1 -W5 172.16.0.1").status == 0)
            #expect(
                mesh.names.contains(
                    "search db.example\nnameserver 10.60.0.53\nnameserver 192.0.2.1\noptions ndots:5\n"))
            let keys = try host.agent("status", "-o", "json").output
            for key in ["interface/nsm-1", "route/172.16.0.1/32/nsm-1", "rule/nsm/access/0"] {
                #expect(keys.contains(key), "\(key)")
            }

            let names = mesh.names
            let index = try host.ip("-o link show nsm-1").prefix { $0 != ":" }
            for signal in [SIGKILL, SIGTERM] {
                let monitor = try Process(["nsenter", "-t", "\(host.keeperPID)", "-n", "ip", "monitor", "all"])
                mesh.daemon?.end(signal)
                #expect(mesh.names == names)
                try mesh.startDaemon(["--nsm-dns", "file"])
                try await mesh.eventually("connected again") { try mesh.status().contains("CONFIGURED") }
                monitor.end(SIGTERM)
                // The kernel forgets its own neighbours for multicast whenever it likes.
                let deleted = monitor.output.split(separator: "\n").filter {
                    $0.contains("Deleted") && !$0.contains("NOARP")
                }
                #expect(deleted.isEmpty, "\(monitor.output)")
                #expect(try host.ip("-o link show nsm-1").prefix { $0 != ":" } == index)
                #expect(mesh.names == names)
            }

            // What somebody else takes away comes back.
            try host.ip("rule del priority 20000")
            try host.ip("route del 10.98.0.0/16 table \(table)")
            try await mesh.eventually("the rule and its route") {
                try host.ip("rule").contains("20000:\tfrom 10.99.0.1")
                    && host.ip("route show table \(table)").contains("10.98.0.0/16")
            }

            try mesh.declare("cnfConfig: {}\n")
            try await mesh.eventually("nothing left") {
                try host.agent("status").output.hasPrefix("0 values")
                    && !host.ip("link").contains("nsm-1") && !host.ip("rule").contains("10.99.0.1")
            }
            #expect(mesh.names == "nameserver 192.0.2.1\noptions ndots:5")
            group.cancelAll()
        }
    }

    @Test("the environment alone is enough")
    func environment() async throws {
        let mesh = try Mesh()
        try mesh.startMesh()
        try mesh.startDaemon(environment: ["NSM_NETWORK_SERVICES": "kernel://db/nsm-7?app=web"])
        let (folder, namespace) = (mesh.host.folder, mesh.host.path(of: "server"))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await Self.runEndpoint(folder, namespace: namespace) }
            try await mesh.eventually("connected") {
                try mesh.status().contains("CONFIGURED")
            }
            #expect(try mesh.host.ip("address show dev nsm-7").contains("172.16.0.2/32"))
            // Without the option the resolver's file is not touched.
            #expect(mesh.names == "nameserver 192.0.2.1\noptions ndots:5")
            group.cancelAll()
        }
    }

    @Test("endpoints and clients of one agent find each other, in any order")
    func bothSides() async throws {
        let mesh = try Mesh()
        let host = mesh.host
        try mesh.declare(
            """
            cnfConfig:
              NetworkServiceClient_list:
                - {name: c1, networkService: s1, interfaceName: nsm-1, ipAddresses: [10.61.0.2/30]}
                - {name: c2, networkService: s2, interfaceName: nsm-2}
              NetworkServiceEndpoint_list:
                - {networkService: s1, interfaceNamePrefix: ep, singleClient: true, ipAddresses: [10.61.0.1/30]}
                - {networkService: s2, interfaceNamePrefix: ep}
            """)
        try mesh.startDaemon()
        try mesh.startMesh()
        try await mesh.eventually("all configured") {
            let status = try host.agent("status")
            return status.status == 0 && status.output.contains("NSM client s2 on nsm-2 (c2)")
        }
        #expect(try host.ip("address").contains("10.61.0.1/30"))
        #expect(
            try Set(["ep0", "ep1"].map { try host.ip("-br link show \($0)").split(separator: "@").first ?? "" }) == [
                "ep0", "ep1",
            ])
        try mesh.declare(
            "cnfConfig:\n  NetworkServiceEndpoint_list:\n    - {networkService: s2, interfaceNamePrefix: ep}\n")
        try await mesh.eventually("the clients are gone") { try !host.ip("link").contains("nsm-") }
        try await mesh.eventually("one value is left") {
            try host.agent("status").output.contains("1 value: 1 configured")
        }
    }

    @Test("options and variables that can't be are usage errors")
    func usage() throws {
        let host = try Host()
        for (arguments, variables) in [
            (["--nsm-manager", "x"], [:]), (["--nsm-dns", "maybe"], [:]), (["--nsm-name", "a b"], [:]),
            (["--nsm-insecure", "--nsm-manager", "tcp://127.0.0.1:5001"], [:]),
            ([], ["NSM_NETWORK_SERVICES": "memif://a/b"]), ([], ["NSM_DIAL_TIMEOUT": "soon"]),
        ] as [([String], [String: String])] {
            let result = try host.start(["run"] + arguments, environment: variables).finish()
            #expect(result.status == 64, "\(arguments) \(variables): \(result.errors)")
        }
    }

    @Test("one-shot commands say what keeps connections")
    func oneShot() throws {
        let host = try Host()
        let file = try host.write("client.yaml", client)
        let plan = try host.agent("plan", file)
        #expect(
            plan.status == 0 && plan.output.contains("NSM client db on nsm-1: a running agent: 'nsm-agent run' keeps"))
        let apply = try host.agent("apply", "--timeout", "0", file)
        #expect(apply.status == 1)
        #expect(apply.errors.contains("config/cnf/nsm/v1/client/access: pending, waits for a running agent"))
    }
}
