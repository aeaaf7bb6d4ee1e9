import MeshTransport
import NetworkTypes
import SPIFFE
import Testing

@testable import NSM

/// Prefixes of several services of one agent.
extension SharedPrefixTests {
    @Test(
        "two services of one agent have their own parts again, whichever asks first, at the server and at a relay",
        .timeLimit(.minutes(3)), arguments: [false, true])
    func services(isRelay: Bool) async throws {
        let authority = try CertificateAuthority(newFor: "example.org", lifetime: .seconds(3600))
        let pool = try Self.pool("10.60.0.0/16", 24)
        /// What each gets, asked for one after the other by a new process at a new server.
        func parts(of services: [String], _ book: PrefixBook) async throws -> [String: IPPrefix] {
            let (far, near) = (Self.path(), Self.path())
            let server =
                isRelay
                ? PrefixServer(pool, comeback: .zero) { _ in
                    .init(account: "relay", isUnlimited: true, isRelay: true)
                } : Self.server(pool, book: book)
            let onward = PeerConnector(far, component: try Self.identity("relay", authority))
            let relay = PrefixRelay(onward, book: book) { info in
                .init(account: info?.peer?.id.path ?? "", isUnlimited: true)
            }
            let connector = PeerConnector(isRelay ? near : far, component: try Self.identity("a", authority))
            var given: [String: IPPrefix] = [:]
            try await withServer(server, at: far, authority) {
                try await withServer(relay, at: near, authority) {
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        group.addTask { await onward.run() }
                        group.addTask { await connector.run() }
                        defer { group.cancelAll() }
                        for service in services {
                            let shared = SharedPrefix(connector, service: service)
                            group.addTask { await shared.run { _ in } }
                            try await eventually("a part for \(service)") { shared.grant != nil }
                            given[service] = shared.grant?.prefix
                        }
                    }
                }
            }
            return given
        }
        var book = PrefixBook()
        let first = try await parts(of: ["s", "t"], book)
        #expect(Set(first.values.map { "\($0)" }) == ["10.60.0.0/24", "10.60.1.0/24"])
        // It was killed, and the server as well.
        for services in [["t", "s"], ["s", "t"], ["t", "s"]] {
            book = PrefixBook(book.lines)
            #expect(try await parts(of: services, book) == first, "\(services)")
        }
    }

    @Test("several that ask at once each get one of the parts of before", .timeLimit(.minutes(3)))
    func atOnce() async throws {
        let authority = try CertificateAuthority(newFor: "example.org", lifetime: .seconds(3600))
        let before = (100..<108).map { ["10.60.\($0).0/24", "/a"] }
        let address = Self.path()
        let server = Self.server(try Self.pool("10.60.0.0/16", 24), book: PrefixBook(before))
        try await withServer(server, at: address, authority) {
            let connector = PeerConnector(address, component: try Self.identity("a", authority))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { await connector.run() }
                defer { group.cancelAll() }
                let all = before.map { _ in SharedPrefix(connector) }
                for one in all { group.addTask { await one.run { _ in } } }
                try await eventually("all have a part") { all.allSatisfy { $0.grant != nil } }
                #expect(Set(all.compactMap { $0.grant.map { "\($0.prefix)" } }) == Set(before.map { $0[0] }))
            }
        }
    }
}
