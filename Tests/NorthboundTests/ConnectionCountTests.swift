import Testing

@testable import Northbound

@Suite("Connections by who made them")
struct ConnectionCountTests {
    @Test("users of this host, IPv4 addresses and IPv6 networks share a limit")
    func groups() {
        func group(_ address: String?, _ user: UInt32? = nil) -> ConnectionCount.Group {
            .init(user: user, address: address)
        }
        #expect(group("127.0.0.1", 1000) == group("127.0.0.2", 1000))
        #expect(group("127.0.0.1", 1000) != group("127.0.0.1", 1001))
        #expect(group("10.0.0.1") != group("10.0.0.2"))
        #expect(group("2001:db8::1") == group("2001:db8::ffff:0:0:1"))
        #expect(group("2001:db8::1") != group("2001:db8:0:1::1"))
        #expect(group("::ffff:10.0.0.1") != group("::ffff:10.0.0.2"))
    }

    @Test("one may not have all, and root has room when others have taken theirs")
    func limits() {
        var limits = RESTSettings.Limits()
        (limits.connections, limits.peerConnections) = (4, 3)
        var count = ConnectionCount(limits)
        let (root, nobody) = (ConnectionCount.Group.user(0), ConnectionCount.Group.user(65534))
        let begun = [nobody, nobody, nobody, nobody, .unknown, .unknown, root, root, root, root].map { count.begin($0) }
        #expect(begun == [true, true, true, false, true, false, true, true, true, false])
        count.end(nobody)
        let isStillFull = !count.begin(.unknown)
        #expect(isStillFull)
        for _ in 0..<3 { count.end(root) }
        let hasRoom = count.begin(.unknown)
        #expect(hasRoom)
    }
}
