import Glibc
import Testing

@testable import MeshTransport

/// Listeners that come and go.
@Suite("Listeners")
struct ConnectionSourceTests {
    /// The kernel gives the number of a socket that was closed to the next one. Whoever lets the old one go later by its number
    /// would stop the new one.
    @Test("a listener that gets the number of one that went hears its peers", .timeLimit(.minutes(10)))
    func numbers() async throws {
        try await onThread {
            for _ in 0..<200 {
                let went = ConnectionSource(try ServerListener(.unix(TransportTests.path())))
                try went.start { close($0.socket) }
                went.stop()
                let address = SocketAddress.unix(TransportTests.path())
                let source = ConnectionSource(try ServerListener(address))
                try source.start { close($0.socket) }
                let client = try RawClient(address)
                _ = client.receive()
                try #require(client.isClosed)
                source.stop()
            }
        }
    }
}
