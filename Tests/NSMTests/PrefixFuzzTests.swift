import GRPCCore
import NetworkTypes
import SPIFFE
import SwiftProtobuf
import TestSupport
import Testing

@testable import NSM

/// Whatever a peer says to an IPAM server, or a server to an endpoint.
@Suite("Random messages of the IPAM", .serialized)
struct PrefixFuzzTests {
    /// A request in which something is wrong; nil when it can't be written at all.
    private static func request(_ random: inout SeededGenerator) throws -> Ipam_PrefixRequest? {
        let whole = Ipam_PrefixRequest.with { request in
            request.type = random.pick([.allocate, .allocate, .delete, .undefined, .UNRECOGNIZED(7)])
            request.prefix = random.pick(["", "10.60.1.0/24", "10.60.2.0/23", "10.61.0.0/24", "10.60.0.0/0"])
            request.excludePrefixes = random.pick([[], ["10.60.0.0/25", "10.60.1.7/32"], ["10.0.0.0/8"], ["::/0"]])
        }
        if random.chance(30) {
            let bytes: [UInt8] = try whole.serializedBytes()
            return try? Ipam_PrefixRequest(serializedBytes: random.mutated(bytes))
        }
        return try random.mutatedJSON(whole.jsonString(), percent: 15).flatMap {
            try? Ipam_PrefixRequest(jsonString: $0)
        }
    }

    @Test("a server that is asked for anything has all its prefixes at the end", .timeLimit(.minutes(30)))
    func server() async throws {
        let authority = try CertificateAuthority(newFor: "example.org", lifetime: .seconds(3600))
        let address = SharedPrefixTests.path()
        let network = try SharedPrefixTests.prefix("10.60.0.0/20")
        let server = SharedPrefixTests.server(try SharedPrefixTests.pool("10.60.0.0/20", 24))
        let tests = SharedPrefixTests()
        try await tests.withServer(server, at: address, authority) {
            let connector = PeerConnector(address, component: try SharedPrefixTests.identity("a", authority))
            let running = Task { await connector.run() }
            for seed in Seeds("requests to an IPAM", usual: 60, long: 5000, step: 1000) {
                var random = SeededGenerator(seed: seed)
                let requests = try (0...random.below(3)).compactMap { _ in try Self.request(&random) }
                let connection = try await connector.connection(within: .seconds(60))
                do {
                    try await Ipam_IPAM.Client(wrapping: connection.client).managePrefixes { writer in
                        for request in requests { try await writer.write(request) }
                    } onResponse: { response in
                        for try await message in response.messages {
                            let prefix = IPPrefix(message.prefix)
                            #expect(
                                prefix.map { network.contains($0.address) && $0.length == 24 } == true, "seed \(seed)")
                        }
                    }
                } catch is RPCError {}
                try await eventually("nothing is held after seed \(seed)") { server.count == 0 }
            }
            try await tests.withClient("good", address, authority) { good in
                try await eventually("others are served") { good.grant != nil }
            }
            running.cancel()
            await running.value
        }
    }

    @Test("what a server answers is a prefix with room for clients, or refused", .timeLimit(.minutes(20)))
    func answers() async throws {
        for seed in Seeds("answers of an IPAM", usual: 2000, long: 200_000, step: 50_000) {
            if seed.isMultiple(of: 64) { await Task.yield() }
            var random = SeededGenerator(seed: seed)
            let whole = Ipam_PrefixResponse.with { answer in
                answer.prefix = random.pick(["10.60.1.0/24", "2001:db8::/64", "10.0.0.0/30"])
                answer.excludePrefixes = ["10.60.1.0/30", "10.60.1.9/32"]
                answer.network = random.pick(["", "10.60.0.0/16", "2001:db8::/48", "10.61.0.0/16", "0.0.0.0/0", "::/1"])
            }
            let message =
                random.chance(50)
                ? try? Ipam_PrefixResponse(serializedBytes: random.mutated(try whole.serializedBytes() as [UInt8]))
                : try random.mutatedJSON(whole.jsonString(), percent: 30).flatMap {
                    try? Ipam_PrefixResponse(jsonString: $0)
                }
            guard let message, let grant = try? SharedPrefix.grant(message) else { continue }
            let room = Int(grant.prefix.family.bitWidth) - Int(grant.prefix.length)
            #expect(room >= 2 && grant.prefix == grant.prefix.network && grant.excluded.count <= 1024, "seed \(seed)")
            if let network = grant.network {
                let shortest: UInt8 = network.family == .v4 ? 8 : 16
                #expect((shortest...grant.prefix.length).contains(network.length), "seed \(seed)")
                #expect(network == network.network && network.contains(grant.prefix.address), "seed \(seed)")
            }
            // An endpoint gives addresses of it.
            var ipam = PointToPointIPAM([[grant.prefix]])
            var context = NSMIPContext()
            context.excludedPrefixes = grant.excluded.map { "\($0)" }
            guard (try? ipam.allocate("a", &context)) != nil else { continue }
            for pair in ipam.pairs(of: "a") {
                for address in [pair.source, pair.destination] {
                    #expect(
                        grant.prefix.contains(address) && !grant.excluded.contains { $0.contains(address) },
                        "seed \(seed)")
                }
            }
        }
    }
}
