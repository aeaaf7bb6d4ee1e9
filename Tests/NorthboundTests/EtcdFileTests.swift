import EtcdClient
import Testing

@testable import Northbound

@Suite struct EtcdFileTests {
    private func file(_ text: String, _ environment: [String: String] = [:]) throws -> EtcdFile {
        try EtcdFile(text, path: "etcd.conf") { environment[$0] }
    }

    @Test func nothingMeansDefaults() throws {
        for text in ["", "# nothing", "endpoints:"] {
            let file = try file(text)
            #expect(file.client.endpoints == [.default] && file.client.tls == nil && file.warnings.isEmpty)
            #expect(file.client.dialTimeout == .seconds(1) && file.client.operationTimeout == .seconds(3))
            #expect(file.client.longestWait == .seconds(2) && file.sessionSeconds == 5 && !file.expandsVariables)
            #expect(file.history == nil)
        }
    }

    @Test func everyKeyIsUsed() throws {
        let file = try file(
            """
            Endpoints: ["10.0.0.1:1", "https://b:2"]
            dial-timeout: 500ms
            operation-timeout: 2000000000
            reconnect-interval: 1m
            insecure-skip-tls-verify: true
            cert-file: /c
            key-file: /k
            ca-file: /a
            auto-compact: 2h
            session-ttl: 60
            expand-env-variables: true
            allow-delayed-start: true
            resync-after-reconnect: true
            """)
        #expect(file.client.endpoints.map(\.description) == ["10.0.0.1:1", "https://b:2"])
        #expect(file.client.dialTimeout == .milliseconds(500) && file.client.operationTimeout == .seconds(2))
        #expect(file.client.longestWait == .seconds(60) && file.sessionSeconds == 60 && file.expandsVariables)
        #expect(
            file.client.tls == .init(authorities: "/a", certificate: "/c", key: "/k", acceptsAnyServer: true))
        #expect(file.history == .seconds(7200) && file.warnings.isEmpty)
    }

    @Test func insecureIsWithoutTLS() throws {
        #expect(try file("insecure-transport: true\nca-file: /a").client.tls == nil)
        #expect(try file("insecure-skip-tls-verify: true").client.tls == nil)
    }

    @Test func theEnvironmentNamesMembers() throws {
        let both = ["ETCD_ENDPOINTS": "a:1,b:2", "ETCDV3_ENDPOINTS": "c:3"]
        #expect(try file("", both).client.endpoints.map(\.description) == ["a:1", "b:2"])
        #expect(try file("", ["ETCDV3_ENDPOINTS": "c:3"]).client.endpoints.map(\.description) == ["c:3"])
        #expect(try file("endpoints: [d:4]", both).client.endpoints.map(\.description) == ["d:4"])
        #expect(try file("", ["ETCD_EXPAND_ENV_VARS": "false"]).expandsVariables)
    }

    @Test func unknownKeysAreNamed() throws {
        let file = try file("nope: 1\nother: {a: 1}\nendpoints: [a:1]")
        #expect(file.warnings.isEmpty && file.ignored == ["nope", "other"])
    }

    @Test func whatHasNoMeaningIsSaid() throws {
        #expect(try file("allow-delayed-start: false").warnings.count == 1)
        #expect(try file("auto-compact: 5m").warnings.count == 1)
    }

    @Test(arguments: [
        ("endpoints: []", "etcd.conf:1:12"), ("endpoints: [x y]", "'x y'"), ("dial-timeout: soon", "a time"),
        ("session-ttl: 0", "whole number"), ("\ninsecure-transport: 7", "etcd.conf:2:21"),
        ("- a", "settings are needed"),
        ("a: [", "etcd.conf:"), ("cert-file: [a]", "path"), ("dial-timeout: 0", "a time"),
        ("endpoints: {a: 1}", "list"),
    ])
    func mistakesHaveAPlace(_ text: String, _ expected: String) {
        let mistake = #expect(throws: EtcdFile.Mistake.self) { _ = try file(text) }
        #expect(mistake?.description.contains(expected) == true, "\(mistake?.description ?? "")")
    }
}
