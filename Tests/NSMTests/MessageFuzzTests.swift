import GRPCCore
import NetworkTypes
import SPIFFE
import SwiftProtobuf
import Synchronization
import TestSupport
import Testing

@testable import NSM

/// Random requests and answers: nothing traps, and what is beyond all bounds stays outside.
@Suite("Random messages", .serialized)
struct MessageFuzzTests {
    /// A request with something in every field.
    static let request = {
        var request = EndpointFixture.request("x", "svc")
        request.connection.labels = ["app": "a", "env": "b"]
        request.connection.payload = "ETHERNET"
        request.connection.path.pathSegments[0].metrics = ["client_interface": "KERNEL/nsm-1"]
        request.connection.path.pathSegments[0].expires = .with { $0.seconds = 2_000_000_000 }
        request.connection.context.ipContext = .with { context in
            context.srcIpAddrs = ["172.16.0.2/32", "2001:db8::2/128"]
            context.dstIpAddrs = ["172.16.0.1/32"]
            context.srcRoutes = [
                .with { $0.prefix = "172.16.0.1/32" },
                .with {
                    $0.prefix = "10.0.0.0/8"; $0.nextHop = "172.16.0.1"
                },
            ]
            context.dstRoutes = [.with { $0.prefix = "172.16.0.2/32" }]
            context.excludedPrefixes = ["172.16.0.3/32", "10.0.0.0/8"]
            context.ipNeighbors = [
                .with {
                    $0.ip = "172.16.0.1"; $0.hardwareAddress = "02:00:00:00:00:01"
                }
            ]
            context.policies = [
                .with {
                    $0.from = "172.16.0.2/32"; $0.proto = "6"; $0.dstPort = "80-90"; $0.srcPort = "1"
                }
            ]
            context.extraPrefixes = ["10.1.0.0/24"]
        }
        request.connection.context.dnsContext.configs = [
            .with {
                $0.dnsServerIps = ["10.0.0.1"]; $0.searchDomains = ["a.b"]
            }
        ]
        request.connection.context.ethernetContext = .with {
            $0.srcMac = "02:00:00:00:00:02"; $0.vlanTag = 7
        }
        request.connection.context.mtu = 1400
        return request
    }()

    /// A request in which something is wrong; nil when it can't be written at all.
    static func changed(_ random: inout SeededGenerator) throws -> Networkservice_NetworkServiceRequest? {
        if random.chance(30) {
            let bytes: [UInt8] = try request.serializedBytes()
            return try? Networkservice_NetworkServiceRequest(serializedBytes: random.mutated(bytes))
        }
        return try random.mutatedJSON(request.jsonString()).flatMap { text in
            try? Networkservice_NetworkServiceRequest(jsonString: text)
        }
    }

    @Test("whatever a message says of addresses is reckoned with or left", .timeLimit(.minutes(20)))
    func pure() async throws {
        for seed in Seeds("messages", usual: 1000, long: 60_000, step: 10_000) {
            await Task.yield()
            var random = SeededGenerator(seed: seed)
            guard let request = try Self.changed(&random) else { continue }
            var connection = request.connection
            _ = ConnectionLimits.mistake(in: connection)
            _ = connection.context.ipContext.sourcePrefixes + connection.context.ipContext.destinationPrefixes
            _ = EchoPath.all(of: connection)
            _ = NetworkServiceClient.refreshDelay(connection)
            _ = try? TokenRules.checkChain(connection.path.pathSegments)
            var ipam = PointToPointIPAM(
                [[try #require(IPPrefix("172.16.0.0/28"))], [try #require(IPPrefix("2001:db8::/124"))]],
                policy: random.chance(50) ? .polite : .strict)
            for id in ["a", "b"] { try? ipam.allocate(id, &connection.context.ipContext) }
            for id in ["a", "b"] {
                for pair in ipam.pairs(of: id) { #expect(pair.source != pair.destination, "seed \(seed)") }
            }
            let given = (ipam.pairs(of: "a") + ipam.pairs(of: "b")).flatMap { [$0.source, $0.destination] }
            #expect(Set(given).count == given.count, "seed \(seed): an address is given twice")
            Self.checkRegistryPath(&random, seed)
        }
    }

    /// The path of a registration, which is JSON in a header.
    private static func checkRegistryPath(_ random: inout SeededGenerator, _ seed: UInt64) {
        let tokens = (0..<random.below(4)).map { _ in random.pick(["a.b.c", "", "e30.e30.x_-", "x"]) }
        let path = RegistryPath(index: random.below(5), tokens: tokens)
        #expect(RegistryPath(json: path.json) == path, "seed \(seed)")
        let text =
            random.chance(50)
            ? String(decoding: random.mutated(Array(path.json.utf8)), as: UTF8.self)
            : random.mutatedJSON(path.json, percent: 20) ?? ""
        guard let other = RegistryPath(json: text) else { return }
        #expect((0...Int(UInt32.max)).contains(other.index) && other.tokens.count <= text.utf8.count, "seed \(seed)")
    }

    @Test("an endpoint that is asked for anything goes on to serve others", .timeLimit(.minutes(30)))
    func endpoint() async throws {
        let live = Mutex(0)
        let fixture = try EndpointFixture([
            .init(
                name: "svc", ipam: PointToPointIPAM("172.16.0.0/24,2001:db8::/120"),
                policies: [.with { $0.from = "172.16.9.9/32" }],
                admit: { request in
                    if !request.isRefresh { live.withLock { $0 += 1 } }
                    return EndpointAdmission()
                }, released: { _ in live.withLock { $0 -= 1 } })
        ])
        try await fixture.run {
            try await fixture.withCalls("evil") { calls in
                for seed in Seeds("requests to an endpoint", usual: 100, long: 20_000, step: 2000) {
                    var random = SeededGenerator(seed: seed)
                    guard var request = try Self.changed(&random) else { continue }
                    if random.chance(70), !request.connection.path.pathSegments.isEmpty {
                        request.connection.path.pathSegments[0].name = "evil"
                    }
                    guard let answer = try? await calls.request(request, timeout: .seconds(30)) else { continue }
                    #expect(ConnectionLimits.mistake(in: answer) == nil, "seed \(seed)")
                    #expect(answer.mechanism.interfaceName.utf8.count <= 15, "seed \(seed)")
                    if random.chance(90) { try await calls.close(answer, timeout: .seconds(30)) }
                }
            }
            let answer = try await fixture.withCalls { calls in
                try await calls.request(EndpointFixture.request("good", "svc"), timeout: .seconds(30))
            }
            #expect(answer.context.ipContext.srcIpAddrs.count == 3)
            // What is admitted and released is the same number, but for those that are still there.
            #expect(fixture.endpoint.state.connections.count == live.withLock { $0 })
        }
    }
}
