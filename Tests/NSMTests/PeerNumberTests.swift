import Concurrency
import NSM
import NetworkTypes
import SPIFFE
import SwiftProtobuf
import TestSupport
import Testing

@testable import NSM

/// What peers say is outside of all bounds until it was looked at.
@Suite("Numbers and lists of peers")
struct PeerNumberTests {
    private static let edges: [Int64] = [
        .min, .min + 1, -62_135_596_801, -62_135_596_800, -1, 0, 1, 1 << 33, 9_223_372_036, 9_223_372_037,
        253_402_300_799, 253_402_300_800, 1 << 62, .max - 1, .max,
    ]

    @Test("no time of a peer is beyond what can be reckoned with")
    func times() {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        var random = SeededGenerator(seed: seed)
        let seconds = Self.edges + (0..<2000).map { _ in Int64.random(in: .min ... .max, using: &random) }
        let nanos: [Int32] = [.min, -1, 0, 1, 999_999_999, 1_000_000_000, .max]
        for second in seconds {
            for nano in nanos {
                let segment = NSMPathSegment.with { segment in
                    segment.expires = .with {
                        $0.seconds = second
                        $0.nanos = nano
                    }
                }
                let isTime = (-62_135_596_800...253_402_300_799).contains(second) && (0..<1_000_000_000).contains(nano)
                #expect((segment.expiry != nil) == isTime, "\(second).\(nano)")
                guard let expiry = segment.expiry else { continue }
                let connection = NSMConnection.with { $0.path.pathSegments = [segment, segment] }
                #expect(NetworkServiceClient.refreshDelay(connection) <= .seconds(86400))
                // Whatever is made of it can be reckoned with again.
                for step: Duration in [.seconds(Int64.max), .seconds(Int64.min), .nanoseconds(1), .nanoseconds(-1)] {
                    _ = expiry.advanced(by: step).rfc3339
                }
                _ = Timestamp.now.since(expiry)
            }
        }
    }

    @Test("lists beyond their limits are refused in words", arguments: Self.excesses)
    func limits(_ excess: Excess) throws {
        var connection = NSMConnection.with { $0.id = "c" }
        #expect(ConnectionLimits.mistake(in: connection) == nil)
        excess.add(&connection, excess.limit)
        #expect(ConnectionLimits.mistake(in: connection) == nil, "as many as may be")
        excess.add(&connection, 1)
        let mistake = try #require(ConnectionLimits.mistake(in: connection))
        #expect(mistake.contains(excess.words), "\(mistake)")
    }

    struct Excess: CustomStringConvertible, Sendable {
        let description: String
        let words: String
        let limit: Int
        /// Adds so many more.
        let add: @Sendable (inout NSMConnection, Int) -> Void
        init(
            _ name: String, _ limit: Int, _ words: String? = nil,
            _ add: @escaping @Sendable (inout NSMConnection, Int) -> Void
        ) {
            description = name
            self.words = words ?? "at most \(limit) are taken"
            self.limit = limit
            self.add = add
        }
    }

    static let excesses: [Excess] = [
        Excess("addresses of the client", ConnectionLimits.addresses) { connection, count in
            connection.context.ipContext.srcIpAddrs += Array(repeating: "10.0.0.1/32", count: count)
        },
        Excess("addresses of the endpoint", ConnectionLimits.addresses) { connection, count in
            connection.context.ipContext.dstIpAddrs += Array(repeating: "10.0.0.1/32", count: count)
        },
        Excess("routes", ConnectionLimits.routes) { connection, count in
            connection.context.ipContext.srcRoutes += Array(repeating: NSMRoute(), count: count)
        },
        Excess("routes of the endpoint", ConnectionLimits.routes) { connection, count in
            connection.context.ipContext.dstRoutes += Array(repeating: NSMRoute(), count: count)
        },
        Excess("neighbours", ConnectionLimits.neighbours) { connection, count in
            connection.context.ipContext.ipNeighbors += Array(repeating: .init(), count: count)
        },
        Excess("policies", ConnectionLimits.policies) { connection, count in
            connection.context.ipContext.policies += Array(repeating: NSMPolicyRoute(), count: count)
        },
        Excess("excluded prefixes", ConnectionLimits.excludedPrefixes) { connection, count in
            connection.context.ipContext.excludedPrefixes += Array(repeating: "10.0.0.0/8", count: count)
        },
        Excess("name servers", ConnectionLimits.nameServers) { connection, count in
            if connection.context.dnsContext.configs.isEmpty {
                connection.context.dnsContext.configs = [NSMDNSConfig()]
            }
            let more = connection.context.dnsContext.configs[0].dnsServerIps.isEmpty ? count - 1 : count
            connection.context.dnsContext.configs[0].dnsServerIps += Array(repeating: "192.0.2.1", count: more)
        },
        Excess("labels", ConnectionLimits.labels) { connection, count in
            for _ in 0..<count { connection.labels["\(connection.labels.count)"] = "" }
        },
        Excess("segments", NSMConnection.longestPath) { connection, count in
            connection.path.pathSegments += Array(repeating: NSMPathSegment(), count: count)
        },
        Excess("the name of the service", ConnectionLimits.name, "254 bytes") { connection, count in
            connection.networkService += String(repeating: "x", count: count)
        },
    ]

    @Test("echoes cost what the longer list of addresses is, not their product")
    func echoes() throws {
        let connection = NSMConnection.with { connection in
            connection.context.ipContext.srcIpAddrs = (0..<200).map { "10.0.0.\($0)/32" } + ["2001:db8::1/128"]
            connection.context.ipContext.dstIpAddrs =
                (0..<90).map { "10.0.1.\($0)/32" } + (1..<5).map { "2001:db8:1::\($0)/128" }
        }
        let paths = EchoPath.all(of: connection)
        #expect(paths.count == 200 + 4)
        let context = connection.context.ipContext
        #expect(Set(paths.map(\.source)) == Set(context.sourcePrefixes.map(\.address)))
        #expect(Set(paths.map(\.destination)) == Set(context.destinationPrefixes.map(\.address)))
        #expect(paths.allSatisfy { $0.source.family == $0.destination.family })
    }
}

@Suite("What a client accepts")
struct AcceptanceTests {
    private static func prefix(_ text: String) throws -> IPPrefix { try #require(IPPrefix(text)) }

    private static func context() -> NSMConnectionContext {
        .with { context in
            context.ipContext.srcIpAddrs = ["192.0.2.2/30"]
            context.ipContext.dstIpAddrs = ["192.0.2.1/30", "10.1.0.1/32", "8.8.8.8/32"]
            context.ipContext.srcRoutes = ["10.2.0.0/16", "10.0.0.0/7", "0.0.0.0/0"].map { route in
                .with { $0.prefix = route }
            }
            context.ipContext.policies = [
                .with { $0.from = "192.0.2.2/32" },
                .with { policy in
                    policy.proto = "6"
                    policy.routes = [.with { $0.prefix = "10.3.0.0/16" }, .with { $0.prefix = "0.0.0.0/1" }]
                },
            ]
            context.dnsContext.configs = [.with { $0.dnsServerIps = ["192.0.2.53"] }]
        }
    }

    private static let asked: Set<String> = ["192.0.2.2/30"]

    @Test("an address does not bring a network along that is not accepted")
    func networks() throws {
        var context = NSMConnectionContext()
        context.ipContext.srcIpAddrs = ["192.0.2.2/1", "10.9.0.2/24", "192.0.2.2/30", "198.51.100.7/32"]
        context.ipContext.dstIpAddrs = ["8.8.8.8/32", "192.0.2.1/32", "10.9.0.1/32"]
        let acceptance = NetworkServiceClient.Acceptance(routes: [try Self.prefix("10.0.0.0/8")])
        #expect(acceptance.excess(in: context, asked: Self.asked) == "192.0.2.2/1")
        acceptance.limit(&context, asked: Self.asked)
        #expect(context.ipContext.srcIpAddrs == ["10.9.0.2/24", "192.0.2.2/30", "198.51.100.7/32"])
        #expect(context.ipContext.dstIpAddrs == ["192.0.2.1/32", "10.9.0.1/32"])
    }

    @Test("routes outside of it, the endpoint's addresses elsewhere and name servers are taken out")
    func limits() throws {
        var context = Self.context()
        let acceptance = NetworkServiceClient.Acceptance(routes: [try Self.prefix("10.0.0.0/8")], dns: false)
        acceptance.limit(&context, asked: Self.asked)
        #expect(context.ipContext.srcRoutes.map(\.prefix) == ["10.2.0.0/16"])
        #expect(context.ipContext.dstIpAddrs == ["192.0.2.1/30", "10.1.0.1/32"])
        #expect(context.ipContext.policies.map { $0.routes.map(\.prefix) } == [["10.3.0.0/16"]])
        #expect(context.dnsContext.configs.isEmpty)
        let limited = context
        acceptance.limit(&context, asked: Self.asked)
        #expect(context == limited, "once more it changes nothing")
    }

    @Test("one who takes no wide routes takes no default one, and the manager knows")
    func narrow() throws {
        var context = NSMConnectionContext()
        context.ipContext.dstIpAddrs = ["10.60.0.1/32"]
        context.ipContext.srcRoutes = ["0.0.0.0/0", "128.0.0.0/1", "10.0.0.0/8", "10.60.0.0/24", "::/0", "fd00::/16"]
            .map {
                text in .with { $0.prefix = text }
            }
        var acceptance = NetworkServiceClient.Acceptance()
        acceptance.takesWideRoutes = false
        acceptance.note(in: &context)
        let noted = try #require(NetworkServiceClient.Acceptance(notedIn: context))
        #expect(noted == acceptance && noted.excess(in: context, asked: []) == "0.0.0.0/0")
        noted.limit(&context, asked: [])
        #expect(context.ipContext.srcRoutes.map(\.prefix) == ["10.0.0.0/8", "10.60.0.0/24", "fd00::/16"])
        #expect(context.ipContext.dstIpAddrs == ["10.60.0.1/32"])
        #expect(noted.excess(in: context, asked: []) == nil)
    }

    @Test("without limits everything stays; a manager is told of them in the request")
    func notes() throws {
        var context = Self.context()
        NetworkServiceClient.Acceptance().limit(&context, asked: [])
        #expect(context == Self.context())
        NetworkServiceClient.Acceptance().note(in: &context)
        #expect(NetworkServiceClient.Acceptance(notedIn: context) == nil)
        for routes in [[], ["10.0.0.0/8", "2001:db8::/32"]] {
            let wanted = NetworkServiceClient.Acceptance(routes: try routes.map { try Self.prefix($0) })
            wanted.note(in: &context)
            #expect(NetworkServiceClient.Acceptance(notedIn: context) == wanted)
        }
    }

    @Test("an endpoint can't pretend to be another one by what it writes behind itself")
    func pins() throws {
        let manager = "spiffe://a.example/host/a/nsmgr"
        let other = "spiffe://b.example/host/b/nsmgr"
        let evil = "spiffe://a.example/host/a/user/7"
        let good = "spiffe://a.example/host/a/user/0"
        func endpoint(_ subjects: [String]) -> String {
            NetworkServiceClient.endpoint(["client"] + subjects, isOfHost: subjects[0] == manager)
        }
        #expect(endpoint([manager, evil, good]) == evil)
        #expect(endpoint([manager, other, evil, good]) == evil)
        #expect(endpoint([manager, other, good]) == good)
        #expect(
            endpoint(["spiffe://example.org/nsmgr", "spiffe://example.org/fwd", "spiffe://example.org/db"]).hasSuffix(
                "/db"))
        var context = NSMConnectionContext()
        #expect(EndpointPin.allows(nil, in: context))
        EndpointPin.note("spiffe://a.example/*/user/0", in: &context)
        #expect(EndpointPin.allows(try SPIFFEID(good), in: context))
        #expect(!EndpointPin.allows(try SPIFFEID(evil), in: context))
        #expect(!EndpointPin.allows(nil, in: context))
    }

    @Test("a manager that does not know of it is found out")
    func excess() throws {
        let acceptance = NetworkServiceClient.Acceptance(routes: [try Self.prefix("10.0.0.0/8")])
        #expect(acceptance.excess(in: Self.context(), asked: Self.asked) == "10.0.0.0/7")
        var context = Self.context()
        acceptance.limit(&context, asked: Self.asked)
        #expect(acceptance.excess(in: context, asked: Self.asked) == nil)
        context.ipContext.policies.append(NSMPolicyRoute())
        #expect(acceptance.excess(in: context, asked: Self.asked) == "everything, by a policy")
    }
}
