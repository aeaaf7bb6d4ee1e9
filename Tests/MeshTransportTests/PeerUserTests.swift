import Glibc
import Testing

@testable import MeshTransport

@Suite("The user behind a connection of this host")
struct PeerUserTests {
    /// Two connected sockets over the loopback interface: the client's and the server's.
    private func connected() throws -> (client: Int32, server: Int32) {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(listener) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let client = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        let isConnected = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(listener, address, length) == 0 && listen(listener, 1) == 0
                    && getsockname(listener, address, &length) == 0 && connect(client, address, length) == 0
            }
        }
        try #require(isConnected)
        return (client, accept(listener, nil, nil))
    }

    @Test("is known while his socket is open, and nobody's after that: what is left of it is not root's")
    func closed() throws {
        let (client, server) = try connected()
        defer { close(server) }
        #expect(peerUser(of: server) == geteuid())
        #expect(write(client, "x", 1) == 1)
        close(client)
        #expect(peerUser(of: server) == nil)
    }
}
