import Concurrency
import GRPCCore
import MeshTransport
import NetworkTypes
import SPIFFE
import Synchronization
import TestSupport
import Testing

@testable import NSM

/// What was answered.
private final class Answers: Sendable {
    private let prefixes = Mutex<[String]>([])
    var count: Int { prefixes.withLock(\.count) }
    var isEmpty: Bool { count == 0 }

    func append(_ prefix: String) { prefixes.withLock { $0.append(prefix) } }
}

/// What peers of an IPAM can't have, and whom its clients believe.
extension SharedPrefixTests {
    private static func allocation(_ prefix: String = "") -> Ipam_PrefixRequest {
        .with { request in
            (request.type, request.prefix) = (.allocate, prefix)
        }
    }

    /// Sends requests on a stream of its own, which stays open while `isOpen`. Returns why it ended; empty: nothing was wrong.
    private func stream(
        _ connector: PeerConnector, _ requests: [Ipam_PrefixRequest], answers: Answers,
        until isOpen: Latch = opened()
    ) async throws -> String {
        let connection = try await connector.connection(within: .seconds(60))
        do {
            try await Ipam_IPAM.Client(wrapping: connection.client).managePrefixes { writer in
                for request in requests { try await writer.write(request) }
                await isOpen.wait()
            } onResponse: { response in
                for try await message in response.messages { answers.append(message.prefix) }
            }
        } catch let error as RPCError {
            return "\(error.code): \(error.message)"
        }
        return ""
    }

    private static func opened() -> Latch {
        let latch = Latch()
        latch.open()
        return latch
    }

    @Test(
        "a peer has sixteen streams, at the server and at a relay, and another one when one of them ends",
        .timeLimit(.minutes(5)), arguments: [false, true])
    func streams(isRelay: Bool) async throws {
        let authority = try CertificateAuthority(newFor: "example.org", lifetime: .seconds(3600))
        let (far, near) = (Self.path(), Self.path())
        let pool = try Self.pool("10.60.0.0/16", 24)
        // Behind the relay nobody counts, so that it is the relay that does.
        let server =
            isRelay
            ? PrefixServer(pool, comeback: .zero) { _ in .init(account: randomID(), isUnlimited: true) }
            : Self.server(pool)
        var patient = try Self.identity("relay", authority)
        patient.dialTimeout = .seconds(60)
        let onward = PeerConnector(far, component: patient)
        let relay = PrefixRelay(
            onward,
            admit: { info in
                PrefixCallers.Caller(account: info?.peer?.id.path ?? "", isUnlimited: true)
            })
        try await withServer(server, at: far, authority) {
            try await withServer(relay, at: near, authority) {
                let connectors = try ["a", "b"].map { name in
                    PeerConnector(isRelay ? near : far, component: try Self.identity(name, authority))
                }
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { await onward.run() }
                    for connector in connectors { group.addTask { await connector.run() } }
                    defer { group.cancelAll() }
                    let (first, others, answers) = (Latch(), Latch(), Answers())
                    for number in 0..<PrefixCallers.mostStreams {
                        group.addTask {
                            let end = try await self.stream(
                                connectors[0], [Self.allocation()], answers: answers,
                                until: number == 0 ? first : others)
                            #expect(end.isEmpty)
                        }
                        try await eventually("a prefix") { answers.count == number + 1 }
                    }
                    let more = Answers()
                    let refused = try await stream(connectors[0], [Self.allocation()], answers: more)
                    #expect(refused.contains("has 16 streams for prefixes"), "\(refused)")
                    #expect(more.isEmpty && server.count == 16)
                    let free = try await stream(connectors[1], [Self.allocation()], answers: more)
                    #expect(free.isEmpty && more.count == 1, "\(free)")
                    try await eventually("it has ended") { server.count == 16 }
                    first.open()
                    try await eventually("one has ended") { server.count == 15 }
                    // The relay notices a little later than the server.
                    try await eventually("another one") {
                        try await stream(connectors[0], [Self.allocation()], answers: more).isEmpty
                    }
                    others.open()
                    try await eventually("nothing is held") { server.count == 0 }
                }
            }
        }
    }

    @Test("a stream has sixteen prefixes", .timeLimit(.minutes(2)))
    func prefixesOfStream() async throws {
        let authority = try CertificateAuthority(newFor: "example.org", lifetime: .seconds(3600))
        let address = Self.path()
        let server = Self.server(try Self.pool("10.60.0.0/16", 24))
        try await withServer(server, at: address, authority) {
            let connector = PeerConnector(address, component: try Self.identity("a", authority))
            let running = Task { await connector.run() }
            let answers = Answers()
            let end = try await stream(
                connector, Array(repeating: Self.allocation(), count: PrefixServer.mostOfOneStream + 1),
                answers: answers)
            #expect(end.contains("at most 16 prefixes") && answers.count == 16, "\(end)")
            try await eventually("nothing is held") { server.count == 0 }
            running.cancel()
            await running.value
        }
    }

    @Test(
        "a relay asks for eight prefixes of a peer, and keeps no more requests than it can hand on",
        .timeLimit(.minutes(2)))
    func relayLimits() async throws {
        let authority = try CertificateAuthority(newFor: "example.org", lifetime: .seconds(3600))
        let (far, near) = (Self.path(), Self.path())
        let server = Self.server(try Self.pool("10.60.0.0/16", 24))
        var patient = try Self.identity("relay", authority)
        patient.dialTimeout = .seconds(60)
        let onward = PeerConnector(far, component: patient)
        let relay = PrefixRelay(
            onward,
            admit: { info in
                PrefixCallers.Caller(account: info?.peer?.id.path ?? "", isUnlimited: false)
            })
        try await withServer(relay, at: near, authority) {
            let connectors = try ["a", "b"].map { name in
                PeerConnector(near, component: try Self.identity(name, authority))
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { await onward.run() }
                for connector in connectors { group.addTask { await connector.run() } }
                defer { group.cancelAll() }
                // Nobody is there yet to hand them to.
                let deletion = Ipam_PrefixRequest.with { $0.type = .delete }
                let none = Answers()
                let flood = try await stream(
                    connectors[0], [Self.allocation()] + Array(repeating: deletion, count: 64), answers: none)
                #expect(flood.contains("too many requests wait"), "\(flood)")
                #expect(none.isEmpty)

                try await withServer(server, at: far, authority) {
                    let (isOver, answers) = (Latch(), Answers())
                    let requests = Array(repeating: Self.allocation(), count: PrefixRelay.mostOfOnePeer)
                    group.addTask {
                        _ = try await self.stream(connectors[0], requests, answers: answers, until: isOver)
                    }
                    try await eventually("eight prefixes") { answers.count == 8 && server.count == 8 }
                    // On whichever stream.
                    let refused = try await stream(connectors[0], [Self.allocation()], answers: none)
                    #expect(refused.contains("has 8 prefixes, which is the most"), "\(refused)")
                    let other = try await stream(connectors[1], [Self.allocation()], answers: none)
                    #expect(other.isEmpty && none.count == 1, "\(other)")
                    isOver.open()
                    try await eventually("nothing is held") { server.count == 0 }
                    try await eventually("another one") {
                        try await stream(connectors[0], [Self.allocation()], answers: none).isEmpty
                    }
                }
            }
        }
    }

    @Test("who takes the place of another asks for the prefix that it had", .timeLimit(.minutes(2)))
    func wish() async throws {
        let authority = try CertificateAuthority(newFor: "example.org", lifetime: .seconds(3600))
        let address = Self.path()
        let server = Self.server(try Self.pool("10.60.0.0/16", 24))
        try await withServer(server, at: address, authority) {
            let connector = PeerConnector(address, component: try Self.identity("a", authority))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { await connector.run() }
                defer { group.cancelAll() }
                let wanted = try Self.prefix("10.60.7.0/24")
                let first = SharedPrefix(connector, wish: wanted)
                let running = Task { await first.run { _ in } }
                try await eventually("a prefix") { first.grant != nil }
                #expect(first.grant?.prefix == wanted)
                // What is in use is nobody else's, whatever he wishes.
                let second = SharedPrefix(connector, wish: wanted)
                group.addTask { await second.run { _ in } }
                try await eventually("another prefix") { second.grant != nil }
                #expect(second.grant?.prefix != wanted)
                running.cancel()
                await running.value
            }
        }
    }

    @Test(
        "over TCP a server with another identity than the one that is meant is asked for nothing",
        .timeLimit(.minutes(2)))
    func identityOverTCP() async throws {
        let authority = try CertificateAuthority(newFor: "example.org", lifetime: .seconds(3600))
        let server = Self.server(try Self.pool("10.60.0.0/16", 24))
        let listener = try ServerListener(.tcp(host: "127.0.0.1", port: 0))
        // Its identity is spiffe://example.org/ipam.
        try await withServer(server, listener, authority) {
            let connector = PeerConnector(listener.address, component: try Self.identity("a", authority))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { await connector.run() }
                defer { group.cancelAll() }
                let usual = SharedPrefix(connector)
                let other = SharedPrefix(connector, isServer: { $0?.description == "spiffe://example.org/other" })
                for one in [usual, other] {
                    group.addTask { await one.run { _ in } }
                    try await eventually("it is refused") {
                        one.lastError?.contains("spiffe://example.org/ipam may not give prefixes") == true
                    }
                    #expect(one.grant == nil && server.count == 0)
                }
                let right = SharedPrefix(connector, isServer: { $0?.description == "spiffe://example.org/ipam" })
                group.addTask { await right.run { _ in } }
                try await eventually("a prefix") { right.grant != nil }
                #expect(server.count == 1)
            }
        }
    }
}
