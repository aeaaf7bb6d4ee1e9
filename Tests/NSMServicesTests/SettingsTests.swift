import Concurrency
import Model
import NSM
import TestSupport
import Testing

@testable import NSMServices

@Suite("What the environment says")
struct SettingsTests {
    private func settings(_ variables: [String: String] = [:]) throws -> ServiceSettings {
        try ServiceSettings(environment: { variables[$0] }, host: "h")
    }

    @Test("the terms of a client keep the difference between an empty list of routes and none")
    func terms() {
        func terms(_ change: (inout Upnp_NetworkServiceClient) -> Void) -> ClientTerms {
            var client = Upnp_NetworkServiceClient()
            change(&client)
            return ClientTerms(client)
        }
        let nothing = terms { _ in }
        #expect(nothing.endpointID == nil && nothing.acceptance == nil)
        #expect(terms { $0.endpointID = "spiffe://a/*" }.endpointID == "spiffe://a/*")
        #expect(terms { $0.accept = .init() }.acceptance == .init(routes: nil, dns: true))
        #expect(terms { $0.accept.dns = false }.acceptance == .init(routes: nil, dns: false))
        #expect(terms { $0.accept.routes = .init() }.acceptance == .init(routes: [], dns: true))
        let some = terms { $0.accept.routes.prefixes = ["10.0.0.0/8", "fd00::/8"] }
        #expect(some.acceptance?.routes?.map(\.description) == ["10.0.0.0/8", "fd00::/8"])
    }

    @Test("the variables of stock clients are honoured")
    func environment() throws {
        let settings = try settings([
            "NSM_CONNECT_TO": "unix:///a/b.sock", "NSM_NAME": "pod", "NSM_REQUEST_TIMEOUT": "1m30s",
            "NSM_DIAL_TIMEOUT": "200ms", "NSM_MAX_TOKEN_LIFETIME": "1h", "NODE_NAME": "n", "POD_NAME": "p",
            "CLUSTER_NAME": "c", "SPIFFE_ENDPOINT_SOCKET": "unix:///run/spire/agent.sock",
            "NSM_LIVENESS_CHECK_INTERVAL": "200ms", "NSM_LIVENESS_CHECK_TIMEOUT": "2s",
            "NSM_LIVENESS_CHECK_ENABLED": "true", "NSM_NETWORK_SERVICES": "kernel://db/nsm-1?app=web",
        ])
        #expect(settings.manager == .unix("/a/b.sock") && settings.name == "pod")
        #expect(settings.requestTimeout == .seconds(90) && settings.dialTimeout == .milliseconds(200))
        #expect(settings.tokenLifetime == .seconds(3600))
        #expect(settings.labels == ["nodeName": "n", "podName": "p", "clusterName": "c"])
        #expect(settings.workloadSocket == "unix:///run/spire/agent.sock")
        #expect(settings.liveness == LivenessCheck(interval: .milliseconds(200), timeout: .seconds(2)))
        #expect(settings.clients.map(\.networkService) == ["db"])
    }

    @Test("NSM_LABELS are labels of all clients and endpoints, in both spellings")
    func labels() throws {
        #expect(try settings(["NSM_LABELS": "app:web,env=prod"]).labels == ["app": "web", "env": "prod"])
        #expect(try settings(["NSM_LABELS": " url:http://x , e: "]).labels == ["url": "http://x", "e": ""])
        // What is said of this program alone counts more than what the node says of all.
        let both = try settings(["NSM_LABELS": "nodeName:mine", "NODE_NAME": "n", "POD_NAME": "p"])
        #expect(both.labels == ["nodeName": "mine", "podName": "p"])
    }

    @Test("awareness groups take services with and without kernel://")
    func awareness() throws {
        let groups = try settings(["NSM_AWARENESS_GROUPS": "[kernel://db/nsm-1,web],[vpn/if-vpn?app=a]"]).awareness
        func group(_ text: String) throws -> Int? { groups.group(of: try ServiceSettings.client(text, name: "c")) }
        #expect(try group("db/nsm-1") == 0 && group("kernel://db/other") == nil)
        #expect(try group("web") == 0 && group("web/any") == 0)
        #expect(try group("vpn/if-vpn?app=a") == 1 && group("vpn/if-vpn") == nil)
    }

    @Test("what means nothing here is named, with what to use instead")
    func otherVariables() throws {
        let stock = [
            // All that a stock client and a stock endpoint know.
            "NSM_NAME", "NSM_CONNECT_TO", "NSM_DIAL_TIMEOUT", "NSM_REQUEST_TIMEOUT", "NSM_MAX_TOKEN_LIFETIME",
            "NSM_LABELS", "NSM_NETWORK_SERVICES", "NSM_AWARENESS_GROUPS", "NSM_LOG_LEVEL",
            "NSM_LIVENESS_CHECK_ENABLED", "NSM_LIVENESS_CHECK_INTERVAL", "NSM_LIVENESS_CHECK_TIMEOUT",
            "NSM_PBR_CONFIG_PATH", "NSM_LOCAL_DNS_SERVER_ADDRESS", "NSM_LOCAL_DNS_SERVER_ENABLED",
        ]
        let ignored = [
            "NSM_BASE_DIR", "NSM_CIDR_PREFIX", "NSM_DNS_CONFIGS", "NSM_IDLE_TIMEOUT", "NSM_IPAM_POLICY",
            "NSM_METRICS_EXPORT_INTERVAL",
            "NSM_OPEN_TELEMETRY_ENDPOINT", "NSM_PAYLOAD", "NSM_PPROF_ENABLED", "NSM_PPROF_LISTEN_ON",
            "NSM_REGISTER_SERVICE", "NSM_REGISTRY_CLIENT_POLICIES", "NSM_SERVICE_NAMES", "NSM_UNREGISTER_ITSELF",
        ]
        let others = ["NSM_AGENT_SOCKET", "NSM_REGISTRY_SERVICE_HOST", "NSM_REGISTRY_PORT_5002_TCP", "PATH"]
        var all = Dictionary(uniqueKeysWithValues: (stock + ignored + others).map { ($0, "x") })
        all["NSM_MECHANISM"] = "kernel"
        let told = OtherVariables.ignored(all)
        #expect(told.map { String($0.prefix { $0 != " " }) } == ignored)
        #expect(told.contains("NSM_SERVICE_NAMES (use a NetworkServiceEndpoint_list in a file)"))
        all["NSM_MECHANISM"] = "memif"
        #expect(OtherVariables.ignored(all).contains("NSM_MECHANISM"))
        #expect(OtherVariables.ignored(["NSM_NAME": "a"]).isEmpty)
    }

    @Test("the resolver of stock clients is ours")
    func resolver() throws {
        #expect(try settings(["NSM_LOCAL_DNS_SERVER_ENABLED": "true"]).nameServers == .resolver)
        #expect(try settings(["NSM_LOCAL_DNS_SERVER_ENABLED": "false"]).nameServers == .off)
        let settings = try settings(["NSM_LOCAL_DNS_SERVER_ADDRESS": "127.0.0.2:53"])
        #expect(settings.nameServers == .off && settings.resolverAddress.description == "127.0.0.2:53")
        #expect(try self.settings().resolverAddress == .standard)
    }

    @Test("without variables there are the standard places")
    func standard() throws {
        let settings = try settings()
        #expect(settings.name == "h" && settings.manager.url == defaultManagerURL)
        #expect(settings.workloadSocket == ServiceSettings.defaultWorkloadSocket)
        #expect(settings.liveness == LivenessCheck() && settings.clients.isEmpty && settings.labels.isEmpty)
        #expect(settings.nameServers == .off && !settings.isInsecure && settings.tokenLifetime == .seconds(600))
        #expect(try self.settings(["NSM_LIVENESS_CHECK_ENABLED": "False"]).liveness == nil)
    }

    @Test(
        "wrong ones are refused, with their names",
        arguments: [
            ("NSM_CONNECT_TO", "x"), ("NSM_DIAL_TIMEOUT", "5"), ("NSM_REQUEST_TIMEOUT", "-1s"),
            ("NSM_REQUEST_TIMEOUT", "0"), ("NSM_MAX_TOKEN_LIFETIME", "10 m"), ("NSM_LIVENESS_CHECK_ENABLED", "yes"),
            ("NSM_LIVENESS_CHECK_TIMEOUT", "1d"), ("SPIFFE_ENDPOINT_SOCKET", "/run/agent.sock"),
            ("NSM_NETWORK_SERVICES", "memif://db"), ("NSM_LABELS", "app"), ("NSM_LABELS", ":x"),
            ("NSM_AWARENESS_GROUPS", "db,web"), ("NSM_LOCAL_DNS_SERVER_ADDRESS", ":53"),
            ("NSM_LOCAL_DNS_SERVER_ADDRESS", "192.0.2.1:53"), ("NSM_LOCAL_DNS_SERVER_ADDRESS", "0.0.0.0"),
            ("NSM_LOCAL_DNS_SERVER_ENABLED", "yes"),
        ])
    func mistakes(name: String, value: String) {
        let error = #expect(throws: ServiceSettings.Mistake.self) { try settings([name: value]) }
        #expect(error?.description.contains(name) == true && error?.description.contains(value) == true)
    }

    @Test("insecure is for a Unix socket alone, and names must be names")
    func together() throws {
        var settings = try settings()
        settings.isInsecure = true
        try settings.check()
        settings.manager = .tcp(host: "10.0.0.1", port: 5001)
        #expect(throws: ServiceSettings.Mistake.self) { try settings.check() }
        settings.isInsecure = false
        try settings.check()
        for name in ["", "a b", "a\n", String(repeating: "x", count: 254)] {
            settings.name = name
            #expect(throws: ServiceSettings.Mistake.self) { try settings.check() }
        }
    }
}

@Suite("Times as Go writes them")
struct GoDurationTests {
    @Test(
        arguments: [
            ("15s", Duration.seconds(15)), ("1m30s", .seconds(90)), ("200ms", .milliseconds(200)), ("0", .zero),
            ("1.5h", .seconds(5400)), (".5s", .milliseconds(500)), ("1.s", .seconds(1)), ("1h0m1s", .seconds(3601)),
            ("7us", .microseconds(7)), ("7µs", .microseconds(7)), ("7μs", .microseconds(7)), ("3ns", .nanoseconds(3)),
            ("0.0000000016s", .nanoseconds(2)),
        ])
    func good(text: String, duration: Duration) { #expect(GoDuration.parse(text) == duration) }

    @Test(
        arguments: [
            "", "5", "s", ".s", "1..5s", "-1s", "+1s", "1 s", " 1s", "1s ", "1d", "1S", "1e3s", "infs", "nans", "0x1s",
            "300000h1e9h", "10000000000000000000s", "1s1", "١s",
        ])
    func bad(text: String) { #expect(GoDuration.parse(text) == nil) }

    @Test("whole numbers of units add up")
    func sums() {
        var random = SeededGenerator(seed: 4)
        for _ in 0..<500 {
            let (hours, minutes, seconds, rest) = (
                random.below(100), random.below(1000), random.below(1000), random.below(1000)
            )
            let text = "\(hours)h\(minutes)m\(seconds)s\(rest)ms"
            let expected = Duration.milliseconds(((hours * 60 + minutes) * 60 + seconds) * 1000 + rest)
            #expect(GoDuration.parse(text) == expected, "\(text)")
        }
    }
}

@Suite("Clients on one line")
struct ServiceListTests {
    private func clients(_ text: String) throws -> [String] {
        try ServiceList.clients(text).map { client in
            let labels = client.outgoingLabels.map { "\($0.key)=\($0.value)" }.joined(separator: ",")
            return "\(client.name) \(client.networkService) \(client.interfaceName) \(labels)"
        }
    }

    @Test("services, interfaces and labels")
    func items() throws {
        #expect(try clients("") == [] && clients(" ") == [])
        #expect(try clients("kernel://db/nsm-1") == ["0 db nsm-1 "])
        #expect(
            try clients("kernel://db@other.domain/nsm-1?app=a%2Cb&x=1+2&empty, KERNEL://vl3/nsm-2/") == [
                "0 db@other.domain nsm-1 app=a,b,x=1 2,empty=", "1 vl3 nsm-2 ",
            ])
        #expect(try ServiceList.clients("kernel://db/a")[0].interfaceType == .kernelInterface)
    }

    @Test("kernel:// may be left out")
    func withoutScheme() throws {
        #expect(try clients("vpn/if-vpn") == ["0 vpn if-vpn "])
        #expect(
            try clients("db@other.domain/nsm-1?app=web, kernel://vl3/nsm-2") == [
                "0 db@other.domain nsm-1 app=web", "1 vl3 nsm-2 ",
            ])
        #expect(try clients("db/i?to=http://x") == ["0 db i to=http://x"])
        let (short, long) = (try ServiceList.clients("db"), try ServiceList.clients("kernel://db"))
        #expect(short[0].networkService == "db" && long[0].networkService == "db")
        #expect(try ServiceSettings.client("db/nsm-db", name: "main").name == "main")
    }

    @Test("an interface that nobody named has the same name after each start, and fits")
    func generated() throws {
        let first = try ServiceList.clients("kernel://a-very-long-service,kernel://a/")
        #expect(try ServiceList.clients("kernel://a-very-long-service,kernel://a/") == first)
        #expect(first[0].interfaceName.hasPrefix("a-very-lon-") && first[0].interfaceName.utf8.count == 15)
        #expect(first[1].interfaceName.hasPrefix("a-") && first[1].interfaceName.utf8.count == 6)
        #expect(try ServiceList.clients("kernel://a%2Fb")[0].interfaceName.hasPrefix("a_b-"))
    }

    @Test(
        arguments: [
            ("kernel://a/i,", "is empty"), ("db,", "is empty"), ("db/i/j", "has more than the interface"),
            ("memif://a/i", "needs VPP"),
            ("vfio://a/i", "must start with kernel://"), ("kernel:///i", "names no service"),
            ("kernel://a/i/j", "has more than the interface"), ("kernel://a/i#x", "has a '#'"),
            ("kernel://a/abcdefghijklmnop", "16 bytes long"), ("kernel://a/i?=x", "without a name"),
            ("kernel://a/i?x=1&x=2", "label 'x' twice"), ("kernel://a/%zz", "two hexadecimal digits"),
            ("kernel://a/%+1", "two hexadecimal digits"), ("kernel://a/%4", "two hexadecimal digits"),
            ("kernel://a/i?x=%ff", "no text"), ("kernel://a%0Ab/i", "no text"),
            ("kernel://a/i,kernel://b/i", "has the interface of 'kernel://a/i'"), ("kernel://a/..", "is reserved"),
        ])
    func mistakes(text: String, expected: String) {
        let error = #expect(throws: ServiceSettings.Mistake.self) { try ServiceList.clients(text) }
        #expect(error?.description.contains(expected) == true, "\(error?.description ?? "")")
        #expect(error?.description.hasPrefix("NSM_NETWORK_SERVICES: ") == true)
    }

    @Test("no text makes it fall over, and what it takes is valid")
    func fuzz() throws {
        var random = SeededGenerator(seed: 9)
        let parts = ["kernel://", "a", "/", "?", "=", "&", ",", "%41", "%", "@", " ", "é", "i1", "#", "memif://", "+"]
        var taken = 0
        for _ in 0..<4000 {
            let text = (0..<random.below(9)).map { _ in random.pick(parts) }.joined()
            guard let clients = try? ServiceList.clients(text) else { continue }
            taken += 1
            #expect(Set(clients.map(\.interfaceName)).count == clients.count)
            let config = ConfigLoader.load(
                bytes: Array(YAMLWriter.write(ConfigDocument.tree(of: clients.map { .client($0) })).utf8), name: "f")
            #expect(config.mistakes.isEmpty && config.items.count == clients.count, "\(text): \(config.mistakes)")
        }
        #expect(taken > 100)
    }
}

@Suite("What endpoints give, and to whom") struct EndpointTermsTests {
    @Test("a client that wants another label is refused, and one that does not care is served")
    func labels() throws {
        let terms = EndpointTerms(
            .with { endpoint in
                endpoint.advertisedLabels = [
                    .with { ($0.key, $0.value) = ("env", "prod") }, .with { ($0.key, $0.value) = ("zone", "a") },
                ]
            })
        for labels in [[:], ["env": "prod"], ["zone": "a", "env": "prod", "other": "x"]] { try terms.check(labels) }
        let refusal = #expect(throws: EndpointRefusal.self) { try terms.check(["zone": "a", "env": "test"]) }
        #expect(refusal?.description == "it has the label env=prod, and env=test is wanted")
    }

    @Test("a pair of each family is given, from one network after the other")
    func addresses() throws {
        #expect(EndpointTerms(.with { $0.networkService = "s" }).addresses == nil)
        let terms = EndpointTerms(
            .with { endpoint in
                endpoint.prefixes = ["10.60.0.0/30", "fd00:60::/64", "10.61.0.0/24"]
                endpoint.excludedPrefixes = ["10.61.0.0/26", "fd00:60::/124"]
            })
        var pools = try #require(terms.addresses)
        var given: [[String]] = []
        for id in ["a", "b"] {
            var context = NSMIPContext()
            try pools.allocate(id, &context)
            given.append(context.srcIpAddrs + context.dstIpAddrs)
        }
        #expect(given[0] == ["10.60.0.2/32", "fd00:60::11/128", "10.60.0.1/32", "fd00:60::10/128"])
        #expect(given[1] == ["10.61.0.65/32", "fd00:60::13/128", "10.61.0.64/32", "fd00:60::12/128"])
    }
}
