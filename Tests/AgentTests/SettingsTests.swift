import Glibc
import Testing

/// Settings of `run` from a file, and the mesh that it can host.
@Suite("Settings", .enabled(if: Host.isAvailable, Comment(rawValue: Host.reason)), .timeLimit(.minutes(10)))
struct SettingsTests {
    @Test("one process is agent and mesh: a service that it offers, and a client of it, by a file of settings")
    func hosted() async throws {
        let host = try Host()
        try host.write(
            "settings.yaml",
            """
            # One process for all of this host.
            config: \(host.folder)/network.yaml
            logFormat: json
            nsm_name: everything
            mesh:
              listen: unix://\(host.folder)/nsm.sock
              stateDir: \(host.folder)/state
              workloadSocket: \(host.folder)/workload.sock
              exclude: [10.0.0.0/8, 192.168.0.0/16]
            """)
        try host.write(
            "network.yaml",
            """
            cnfConfig:
              NetworkServiceClient_list:
                - {name: c, networkService: s, interfaceName: nsm-1, ipAddresses: [172.16.9.2/30]}
              NetworkServiceEndpoint_list:
                - {networkService: s, interfaceNamePrefix: ep, singleClient: true, ipAddresses: [172.16.9.1/30]}
            """)
        let arguments = ["run", "--settings", "\(host.folder)/settings.yaml", "--nsm-name", "agent"]
        var index: Substring = ""
        for _ in 0..<2 {
            let daemon = try host.start(arguments)
            defer { daemon.end(SIGKILL) }
            try await eventually(host, daemon) {
                let status = try host.agent("status")
                return status.status == 0 && status.output.contains("path agent → ")
            }
            #expect(try host.ip("address show dev ep0").contains("172.16.9.1/30"))
            let now = try host.ip("-o link show nsm-1").prefix { $0 != ":" }
            if !index.isEmpty { #expect(now == index, "after a kill the link is the same") }
            index = now
        }
    }

    private func eventually(_ host: Host, _ daemon: Process, _ condition: () throws -> Bool) async throws {
        for _ in 0..<1500 {
            if try condition() { return }
            try await Task.sleep(for: .milliseconds(20))
        }
        throw Broken("not in time; \(try host.agent("status").output); \(daemon.errors)")
    }

    @Test(
        "mistakes are told with their places",
        arguments: [
            ("noRepair: true\nnsmDsn: file", ":2:1: nsmDsn: "),
            ("containers: {docker: d.sock}", ":1:14: docker: --containers-docker 'd.sock': "),
            ("nsmDns: maybe", ":1:1: nsmDns: "),
            ("mesh: {listen: tcp://1.2.3.4:5}", ":1:8: listen: 'tcp://1.2.3.4:5' is not a unix:///path"),
            ("mesh:\n  exclude: [10.0.0.0/33]", ":2:3: exclude: '10.0.0.0/33' is not a prefix"),
            ("mesh: {peer: ['unix:///x']}", ":1:8: peer: --peer 'unix:///x': tcp://address:port"),
            ("mesh: {etcd: {endpoints: 'x:y'}}", ":1:15: endpoints: --etcd-endpoints 'x:y': host:port"),
            ("mesh: {etcd: {leaseSeconds: 4}}", ":1:15: leaseSeconds: --etcd-lease-seconds '4': 5 to 3600"),
            ("label: {a: b}", ":1:1: label: a plain value is needed here"), ("- mesh", ":1:1: settings are needed"),
            ("grpc:\n  listen: [nowhere]", ":2:3: listen: --grpc-listen 'nowhere': unix:///path or tcp://"),
            ("grpc: {maxStreams: 0}", ":1:8: maxStreams: --grpc-max-streams 0: 1 to 65536"),
            ("http: {endpoint: nowhere}", ":1:8: endpoint: --http-listen 'nowhere': unix:///path or tcp://"),
            ("http: {maxBody: 1}", ":1:8: maxBody: --http-max-body 1: 1024 to"),
            ("a: [", ":2:1: "), ("settings: x", ":1:1: settings: settings can't name"),
        ])
    func mistakes(text: String, expected: String) throws {
        let host = try Host()
        let file = try host.write("s.yaml", text)
        let result = try host.start(["run", "--settings", file]).finish()
        #expect(result.status == 65, "\(text): \(result.errors)")
        #expect(result.errors.contains("\(file)\(expected)"), "\(text): \(result.errors)")
    }

    @Test("options of the mesh that need each other are checked together")
    func otherHosts() throws {
        let host = try Host()
        let peer = "peer: ['tcp://192.0.2.2:5001'], tunnelAddress: 192.0.2.1"
        let text = "mesh: {\(peer), tunnel: [wireguard, VXLAN], listen: 'unix:///dev/null/x'}"
        // Nothing runs, as the mesh's socket can't be made.
        let result = try host.start(["run", "--settings", try host.write("s.yaml", text)]).finish()
        #expect(result.errors.contains("/dev/null"), "\(result.errors)")
        let alone = try host.write("s.yaml", "mesh: {peer: ['tcp://192.0.2.2:5001']}")
        let refused = try host.start(["run", "--settings", alone]).finish()
        #expect(refused.errors.contains("give --tunnel-address"), "\(refused.errors)")
        let unknown = try host.write("s.yaml", "mesh: {\(peer), tunnel: gre}")
        let kind = try host.start(["run", "--settings", unknown]).finish()
        #expect(kind.errors.contains("there is VXLAN and WIREGUARD"), "\(kind.errors)")
    }

    @Test("where the gRPC API is open to all must be meant, and is told")
    func insecure() throws {
        let host = try Host()
        let open = "grpc:\n  listen: tcp://0.0.0.0:0\n"
        let refused = try host.start(["run", "--settings", try host.write("s.yaml", open)]).finish()
        #expect(refused.status == 65)
        #expect(refused.errors.contains("tcp://0.0.0.0:0: beyond this host"), "\(refused.errors)")
        let file = try host.write("s.yaml", open + "  insecure: true\n")
        // Nothing runs, as the folder for the control socket can't be made.
        let taken = try host.start(["run", "--settings", file, "--socket", "/dev/null/x"]).finish()
        #expect(taken.errors.contains("everybody who reaches the gRPC API"), "\(taken.errors)")
    }

    @Test(
        "where the REST API is open to all must be meant, and nobody may change things there without being known",
        arguments: [
            ("", false), ("  readOnly: true\n", true), ("  insecure: true\n", true), ("  cert: none.pem\n", false),
        ])
    func openREST(more: String, isFine: Bool) throws {
        let host = try Host()
        let file = try host.write("s.yaml", "http:\n  endpoint: 0.0.0.0:0\n" + more)
        // Nothing runs, as the folder for the control socket can't be made.
        let result = try host.start(["run", "--settings", file, "--socket", "/dev/null/x"]).finish()
        #expect(result.errors.contains("/dev/null/x") == isFine, "\(result.errors)")
        #expect(result.errors.contains("everybody who reaches the REST API") == more.contains("insecure"))
        if more.isEmpty { #expect(result.errors.contains("tcp://0.0.0.0:0: beyond this host"), "\(result.errors)") }
    }

    @Test("an http.conf says where and for whom, and what it says wrong has its place without a password")
    func httpConf() throws {
        let host = try Host()
        for (text, expected) in [
            ("endpoint: nowhere", ":1:11: an address and a port"),
            ("client-basic-auth: [geheim]", ":1:20: entries are"),
            ("a: [", ":2:1: "), ("client-basic-auth: {}", ":1:20: a list is needed"),
            ("users: []\nenable-token-auth: true", ":2:20: 'enable-token-auth' needs users"),
            ("users: [{name: a}]", ":1:9: a user needs name and password_hash"),
            ("users: [{name: a, password_hash: geheim}]", ":1:34: a hash of bcrypt"),
            ("token-expiration: soon", ":1:19: a time from 1s"),
        ] {
            let conf = try host.write("http.conf", text)
            let result = try host.start(["run", "--settings", "/dev/null", "--http-conf", conf]).finish()
            #expect(result.status == 65, "\(text): \(result.errors)")
            #expect(result.errors.contains("\(conf)\(expected)"), "\(text): \(result.errors)")
            #expect(!result.errors.contains("geheim"))
        }
    }

    @Test("a file that is named must be there, and one that is not named need not")
    func missing() throws {
        let host = try Host()
        let result = try host.start(["run", "--settings", "\(host.folder)/none"]).finish()
        #expect(result.status == 65)
        #expect(result.errors.contains("No such file"))
    }
}
