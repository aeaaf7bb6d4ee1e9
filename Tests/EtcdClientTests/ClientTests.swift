import Logging
import Synchronization
import Testing

@testable import EtcdClient

@Suite struct ClientTests {
    /// Nobody listens on these.
    private static func client(_ count: Int) throws -> EtcdClient {
        let endpoints = try (1...count).map { try #require(EtcdEndpoint("127.0.0.1:\($0)")) }
        return EtcdClient(EtcdConfiguration(endpoints: endpoints), logger: Logger(label: "test"))
    }

    @Test func everyMemberIsTried() async throws {
        let client = try Self.client(3)
        let error = await #expect(throws: EtcdError.self) { try await client.withConnection { _ in } }
        let text = try #require(error?.description)
        for port in 1...3 { #expect(text.contains("127.0.0.1:\(port)"), "\(text)") }
        #expect(error?.isOfConnection == true)
    }

    @Test func itIsTriedAgainUntilCancelled() async throws {
        let client = try Self.client(1)
        let (failures, tell) = AsyncStream<Void>.makeStream()
        let task = Task {
            await client.keepConnected { _ in
            } failed: { _, _ in
                tell.yield()
            }
        }
        var count = 0
        for await _ in failures {
            count += 1
            if count == 3 { break }
        }
        task.cancel()
        await task.value
        #expect(count == 3)
    }

    @Test func aMissingCertificateIsNamed() async throws {
        var configuration = EtcdConfiguration()
        configuration.tls = .init(authorities: "/nowhere/ca.pem")
        let client = EtcdClient(configuration, logger: Logger(label: "test"))
        let error = await #expect(throws: EtcdError.self) { try await client.withConnection { _ in } }
        #expect(error?.code == .refused)
    }
}
