import Glibc
import NIOCore
import Synchronization
import Testing

@testable import MeshTransport

/// What is left of connections that have ended.
@Suite("Ended connections", .serialized)
struct EndedConnectionTests {
    private static let halfMessage = Frames.headers() + Frames.message([1], isLast: false, length: 100)

    @Test(
        "a connection leaves nothing behind, in whatever way it ends", .timeLimit(.minutes(10)),
        arguments: [
            Array("GET / HTTP/1.1\r\nHost: somewhere\r\n\r\n".utf8),
            Frames.preface + Frames.frame(6, [0]),
            Frames.start + Frames.frame(8, [0, 0, 0, 0]),
            Frames.start + Frames.headers() + Frames.frame(8, [1], stream: 1),
            Frames.start + halfMessage + Frames.frame(8, [1], stream: 1),
            Frames.start + halfMessage + Array(repeating: Frames.ping(), count: 2000).joined(),
            [], Frames.start, Frames.start + halfMessage,
        ])
    func ended(_ bytes: [UInt8]) async throws {
        let channels = Channels()
        let address = SocketAddress.unix(TransportTests.path())
        let server = RPCServer(
            try ServerListener(address), security: .insecure, services: [EchoService()], limits: TransportLimits(),
            capacity: .ofProcess, logger: TransportTests.quiet, observer: { channels.add($0) })
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run() }
            try await onThread {
                for _ in 0..<20 {
                    let client = try RawClient(address)
                    client.send(bytes)
                    shutdown(client.socket, Int32(SHUT_WR))
                    _ = client.receive()
                }
            }
            do {
                while channels.count < 20 || channels.live > 0 || server.peerCount > 0 {
                    try await Task.sleep(for: .milliseconds(5))
                }
            } catch {
                Issue.record(
                    "\(channels.count) of 20 came, \(channels.live) are left, of \(server.peerCount) peers")
            }
            group.cancelAll()
        }
    }
}

/// Sees whether channels are freed.
private final class Channels: Sendable {
    private struct Weak {
        weak var channel: (any Channel)?
    }
    private let all = Mutex<[Weak]>([])
    func add(_ channel: any Channel) { all.withLock { $0.append(Weak(channel: channel)) } }
    var count: Int { all.withLock { $0.count } }
    var live: Int { all.withLock { $0.count { $0.channel != nil } } }
}
