import FoundationEssentials
import Testing

@testable import EtcdClient

@Suite struct WatchTests {
    private func message(_ keys: [String], fragment: Bool = false) -> Etcdserverpb_WatchResponse {
        var message = Etcdserverpb_WatchResponse()
        message.fragment = fragment
        message.events = keys.map { key in
            var event = Etcdserverpb_Event()
            event.kv.key = Data(key.utf8)
            event.kv.value = Data("value".utf8)
            event.kv.modRevision = 7
            return event
        }
        return message
    }

    @Test func fragmentsComeTogether() throws {
        var parts = WatchParts(limit: 1000, endpoint: .default)
        #expect(try parts.take(message(["a", "b"], fragment: true)) == nil)
        let events = try #require(try parts.take(message(["c"])))
        #expect(events.map { String(decoding: $0.key, as: UTF8.self) } == ["a", "b", "c"])
        #expect(try parts.take(message([]))?.isEmpty == true)
    }

    @Test func deletesAreTold() throws {
        var message = message(["a"])
        message.events[0].type = .delete
        var parts = WatchParts(limit: 1000, endpoint: .default)
        #expect(try parts.take(message) == [.delete(key: Array("a".utf8), revision: 7)])
    }

    @Test func compactionIsToldAsSuch() {
        var message = Etcdserverpb_WatchResponse()
        message.canceled = true
        message.compactRevision = 12
        var parts = WatchParts(limit: 1000, endpoint: .default)
        let error = #expect(throws: EtcdError.self) { _ = try parts.take(message) }
        #expect(error?.code == .compacted(12))
    }

    @Test func whatIsTooLargeEnds() {
        var parts = WatchParts(limit: 10, endpoint: .default)
        let error = #expect(throws: EtcdError.self) { _ = try parts.take(message(["a", "b"], fragment: true)) }
        #expect(error?.code == .tooLarge)
    }

    @Test func eventsOfABusyReaderComeTogether() async throws {
        let buffer = EventBuffer()
        try await buffer.add([.delete(key: [1], revision: 1)], 1)
        try await buffer.add([.delete(key: [2], revision: 2)], 2)
        let (events, revision) = try #require(buffer.take())
        #expect(events.count == 2 && revision == 2)
        #expect(buffer.take() == nil)
    }

    @Test func aFullBufferWaitsForItsReader() async throws {
        let buffer = EventBuffer()
        let many = (0..<60_000).map { EtcdEvent.delete(key: [], revision: $0) }
        async let second: Void = {
            try await buffer.add(many, 1)
            try await buffer.add(many, 2)
        }()
        var seen = 0
        for await _ in buffer.filled {
            seen += buffer.take()?.0.count ?? 0
            if seen == 120_000 { break }
        }
        try await second
        #expect(seen == 120_000)
    }
}
