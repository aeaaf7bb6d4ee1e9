import Foundation
import TestSupport
import Testing

@testable import Netlink

@Suite("tables of nf_tables", .enabled(if: Sandbox.isAvailable))
struct FilterTableTests {
    @Test("a dump tells names, families and comments; events tell which table changed, and who did it")
    func tables() throws {
        let space = try NetworkNamespace.scratch()
        try space.run {
            let events = try FilterEvents(in: nil)
            let first = try FilterSocket(in: nil).generation()
            _ = try Command.run(["nft", "add table inet a { comment \"hello\" ; }; add table arp b"])
            let socket = try FilterSocket(in: nil)
            let tables = try socket.tables().sorted { $0.handle < $1.handle }
            #expect(tables.map(\.id) == [.init(.inet, "a"), .init(.arp, "b")])
            #expect(tables.map(\.comment) == ["hello", nil])
            #expect(tables.allSatisfy { $0.handle > 0 })
            #expect(try socket.generation() != first)
            _ = try Command.run(["nft", "add chain inet a c; delete table arp b"])
            var told: [FilterTable.ID] = []
            #expect(events.drain { id, _ in told.append(id) } == .complete)
            #expect(told == [.init(.inet, "a"), .init(.arp, "b"), .init(.inet, "a"), .init(.arp, "b")])
        }
    }
}
