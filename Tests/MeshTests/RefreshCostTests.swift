import GRPCCore
import MeshTransport
import NSM
import SPIFFE
import Synchronization
import TestSupport
import Testing

@testable import Mesh

/// The transport connections on which an endpoint was asked.
private final class Askers: Sendable {
    private let all = Mutex<[UInt64: TokenMemory]>([:])

    func note(_ info: ConnectionInfo?) {
        guard let info else { return }
        all.withLock { $0[info.id] = info.tokens }
    }

    var count: Int { all.withLock { $0.count } }
    var tokens: TokenMemory? { all.withLock { $0.values.first } }
}

/// Signatures and checks of signatures at one end of a transport connection.
private struct Work: Equatable {
    var signatures: Int
    var checks: Int

    init(_ tokens: TokenMemory) { (signatures, checks) = (tokens.signatures, tokens.checks) }
}

@Suite("What a refresh costs", .serialized)
struct RefreshCostTests {
    @Test("a refresh shakes no hands, and signs and checks nothing as long as the tokens before it are new enough")
    func refreshes() async throws {
        let mesh = try MeshFixture()
        defer { mesh.remove() }
        try await mesh.withNamespace("rc-client") { clientSpace in
            try await mesh.withNamespace("rc-server") { serverSpace in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    // The tokens of the mesh, which live ten minutes, all end with its certificate, and those of the others may
                    // be six minutes old: so they are the same however long this takes.
                    let manager = try mesh.manager(mesh.identity("nsmgr", lifetime: .seconds(590)))
                    group.addTask { try await manager.run() }
                    let life = Duration.seconds(36000)
                    let askers = Askers()
                    let server = PeerConnector(
                        mesh.managerSocket, component: try mesh.component("server", lifetime: life))
                    group.addTask { await server.run() }
                    let service = NetworkServiceEndpoint.Service(
                        name: "svc",
                        admit: { _ in
                            askers.note(ConnectionInfo.current)
                            return EndpointAdmission()
                        })
                    let endpoint = NetworkServiceEndpoint(
                        name: "server", services: [service], socket: "\(mesh.directory)/server.sock", manager: server,
                        namespace: serverSpace)
                    group.addTask { try await endpoint.run() }
                    let asker = PeerConnector(
                        mesh.managerSocket, component: try mesh.component("client", lifetime: life))
                    group.addTask { await asker.run() }
                    let clients = (0..<3).map { number in
                        NetworkServiceClient(
                            .init(
                                id: "client-\(number)", networkService: "svc", interfaceName: "nsm-\(number)",
                                namespace: clientSpace),
                            manager: asker)
                    }
                    for client in clients { group.addTask { await client.run() } }
                    try await eventually("connected") { clients.allSatisfy { $0.connection != nil } }
                    // From here on all tokens have been seen.
                    for client in clients { try await client.refresh() }
                    let transport = try await asker.connection(within: .seconds(30)).info
                    let inner = try #require(askers.tokens)
                    let before = [Work(transport.tokens), Work(inner)]
                    for _ in 0..<10 { for client in clients { try await client.refresh() } }
                    #expect([Work(transport.tokens), Work(inner)] == before)
                    #expect(try await asker.connection(within: .seconds(30)).info.id == transport.id)
                    #expect(askers.count == 1)
                    #expect(clients.allSatisfy { $0.refreshes >= 11 })
                    for client in clients { try await client.close() }
                    group.cancelAll()
                }
            }
        }
    }
}
