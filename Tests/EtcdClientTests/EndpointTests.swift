import Testing

@testable import EtcdClient

@Suite struct EndpointTests {
    @Test(arguments: [
        ("127.0.0.1:2379", EtcdEndpoint.Address.ipv4("127.0.0.1", port: 2379), false),
        ("http://10.0.0.1:1", .ipv4("10.0.0.1", port: 1), false),
        ("https://etcd.example:2379", .name("etcd.example", port: 2379), true),
        ("etcd-0.etcd", .name("etcd-0.etcd", port: 2379), false),
        ("[fd00::1]:23", .ipv6("fd00::1", port: 23), false),
        ("[::1]", .ipv6("::1", port: 2379), false),
        ("http://localhost:2379/", .name("localhost", port: 2379), false),
        ("unix:///run/etcd.sock", .unix("/run/etcd.sock"), false),
    ])
    func isRead(_ text: String, _ address: EtcdEndpoint.Address, _ wantsTLS: Bool) throws {
        let endpoint = try #require(EtcdEndpoint(text))
        #expect(endpoint.address == address)
        #expect(endpoint.wantsTLS == wantsTLS)
        #expect(endpoint.description == text)
    }

    @Test(arguments: [
        "", ":2379", "host:", "host:0", "host:65536", "host:x", "[::1", "[x]:1", "a b:1", "a/b:1", "ftp://x:1",
    ])
    func isRefused(_ text: String) { #expect(EtcdEndpoint(text) == nil) }

    @Test("a password that whoever is on the way can read is warned of")
    func exposure() throws {
        func exposure(_ texts: [String], isKnown: Bool = true, tls: EtcdConfiguration.TLS? = nil) throws -> String? {
            let endpoints = try texts.map { try #require(EtcdEndpoint($0)) }
            let credentials = isKnown ? EtcdConfiguration.Credentials(user: "u", password: "p") : nil
            return EtcdConfiguration(endpoints: endpoints, tls: tls, credentials: credentials).exposure
        }
        let local = ["127.0.0.1:2379", "[::1]:2379", "localhost", "unix:///run/etcd.sock", "https://10.0.0.1:2379"]
        #expect(try exposure(local) == nil)
        #expect(try exposure(local + ["10.0.0.1:2379"])?.contains("10.0.0.1:2379 without TLS") == true)
        #expect(try exposure(["etcd.example:2379"])?.contains("etcd.example") == true)
        #expect(try exposure(["10.0.0.1:2379"], isKnown: false) == nil)
        #expect(try exposure(["10.0.0.1:2379"], tls: .init()) == nil)
    }
}

@Suite struct RangeTests {
    @Test func prefixEndsBeforeTheNext() {
        #expect(EtcdRange.prefix("/a/").key == Array("/a/".utf8))
        #expect(EtcdRange.prefix("/a/").end == Array("/a0".utf8))
        #expect(EtcdRange.prefix("").key == [0] && EtcdRange.prefix("").end == [0])
        #expect(EtcdRange.key("/a").end.isEmpty)
    }
}
