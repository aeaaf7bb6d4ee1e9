import Glibc
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

    @Test func whoWaitsInVainWaitsLonger() {
        let (late, refused) = (EtcdError(.timedOut, "late", nil), EtcdError(.unreachable, "refused", nil))
        var patience = DialPatience()
        patience.note([refused, refused])
        #expect(patience.factor == 1)
        patience.note([refused, late])
        #expect(patience.factor == 2)
        for _ in 0..<10 { patience.note([late]) }
        #expect(patience.factor == DialPatience.limit)
        patience.reset()
        #expect(patience.factor == 1)
    }

    /// One that takes connections and never says a word.
    @Test func theTimeToConnectGrows() async throws {
        let listener = try SilentListener()
        var configuration = EtcdConfiguration(
            endpoints: [try #require(EtcdEndpoint("127.0.0.1:\(listener.port)"))], dialTimeout: .milliseconds(50))
        configuration.longestWait = .milliseconds(1)
        defer { close(listener.socket) }
        let client = EtcdClient(configuration, logger: Logger(label: "test"))
        var times: [Duration] = []
        for _ in 0..<3 {
            let start = ContinuousClock.now
            let error = await #expect(throws: EtcdError.self) { try await client.withConnection { _ in } }
            #expect(error?.code == .timedOut)
            times.append(.now - start)
        }
        #expect(times[2] >= .milliseconds(200), "\(times)")
    }
}

private struct SilentListener {
    let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    let port: UInt16

    init() throws {
        let socket = socket
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(socket, address, length) == 0 && listen(socket, 16) == 0
                    && getsockname(socket, address, &length) == 0
            }
        }
        try #require(status)
        port = UInt16(bigEndian: address.sin_port)
    }
}
