import Concurrency
import MeshTransport
import GRPCCore
import NSM
import Synchronization
import Testing

@testable import Mesh

/// What became of some Closes at once, of a connection as its client has it.
private func failures(
    of connection: NSMConnection, at address: SocketAddress, by component: Component, count: Int = 4
) async throws -> [String] {
    let transport = try await ClientConnection.connect(
        to: address, security: component.security, timeout: .seconds(60), logger: component.logger)
    let running = Task { await transport.run() }
    let calls = Calls(transport, component: component)
    let failures = await withTaskGroup(of: String?.self) { group in
        for _ in 0..<count {
            group.addTask {
                do {
                    try await calls.close(connection, timeout: .seconds(60))
                    return nil
                } catch {
                    return "\(error)"
                }
            }
        }
        return await group.reduce(into: [String]()) { if let failure = $1 { $0.append(failure) } }
    }
    transport.closeNow()
    await running.value
    return failures
}

/// Closing what is closed is as good as closing it once, at each hop.
@Suite("Closes in a mesh", .serialized)
struct CloseTests {
    @Test("several at once, of the client and beside it, succeed; so do more behind them", .timeLimit(.minutes(10)))
    func together() async throws {
        try await MeshFailureTests().withPair("cl1") { mesh, client, _ in
            let connection = try #require(client.connection)
            let component = try mesh.component("cl1-client")
            async let beside = failures(of: connection, at: mesh.managerSocket, by: component)
            async let first: Void = client.close()
            async let second: Void = client.close()
            try await first
            try await second
            #expect(try await beside == [])
            #expect(throws: (any Error).self) { try run("ip -n cl1-c link show nsm-1") }
            #expect(try await failures(of: connection, at: mesh.managerSocket, by: component) == [])
            try await client.close()
        }
    }

    @Test("during refreshes they have their turn, and the client asks no more", .timeLimit(.minutes(10)))
    func during() async throws {
        try await MeshFailureTests().withPair("cl2") { mesh, client, _ in
            let connection = try #require(client.connection)
            let component = try mesh.component("cl2-client")
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<4 { group.addTask { try? await client.refresh() } }
                group.addTask {
                    do {
                        try await client.close()
                    } catch {
                        Issue.record("\(error)")
                    }
                }
                for _ in 0..<4 { group.addTask { try? await client.refresh() } }
            }
            await #expect(throws: NSMError.self) { try await client.refresh() }
            #expect(throws: (any Error).self) { try run("ip -n cl2-c link show nsm-1") }
            #expect(try await failures(of: connection, at: mesh.managerSocket, by: component) == [])
        }
    }
}

extension OnTheKernel {
    @Suite("Closes between hosts") struct ClosesOnTheKernel {
        @Test("several at once succeed at both managers, and so do more behind them", .timeLimit(.minutes(10)))
        func together() async throws {
            let hosts = try RemoteFixture()
            defer { hosts.end() }
            let b = try hosts.host("b")
            let a = try hosts.host("a", peers: [b.remote])
            _ = try hosts.endpoint("server", at: b)
            let client = try hosts.client("client", at: a)
            try await eventually("connected") { client.connection != nil }
            let connection = try #require(client.connection)
            let component = try hosts.mesh.component("client")
            hosts.stop()
            async let beside = failures(of: connection, at: a.socket, by: component)
            async let own: Void = client.close()
            try await own
            #expect(try await beside == [])
            #expect(try await failures(of: connection, at: a.socket, by: component) == [])
            #expect(try hosts.spaces.links("client") == [] && hosts.spaces.links("server") == [])
            #expect(b.manager.requests.monitor.connections.isEmpty)
        }
    }
}
