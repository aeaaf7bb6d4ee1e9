import Concurrency
import Glibc
import Model
import Reconciler
import TestSupport
import Testing

@testable import Northbound

@Suite("The history on the disk")
struct HistoryStoreTests {
    private func bridge(_ name: String, mtu: UInt32 = 1400, alias: String = "") -> ModelValue {
        var message = Ligato_Linux_Interfaces_Interface()
        (message.name, message.type, message.mtu, message.hostIfName) = (name, .bridge, mtu, alias)
        return .interface(message)
    }

    private func note(_ number: UInt64, _ changes: [ModelValue], removed: [String] = []) -> HistoryNote {
        var all: [String: ModelValue?] = [:]
        for value in changes { all[value.key] = value }
        for key in removed { all[key] = .some(nil) }
        let entry = Transaction.Entry(
            verb: .create, key: "config/x", summary: "bridge x", before: .missing, after: .configured, error: "refused")
        var found = Transaction.Found()
        (found.missing, found.details) = (1, ["bridge x is gone"])
        return HistoryNote(
            transaction: Transaction(
                sequence: number, reason: number % 2 == 0 ? .drift : .source("grpc"),
                start: Timestamp(nanoseconds: 1_000_000_007 * Int64(number)), duration: .microseconds(17),
                entries: [entry], losses: ["a route"], found: found, isFirst: number == 1),
            changes: all, sources: ["grpc"])
    }

    private func values(_ store: HistoryStore, _ number: UInt64) async throws -> [ModelValue] {
        guard case .values(let values, let sources) = await store.past(number) else {
            throw Missing(text: "transaction \(number): \(await store.past(number))")
        }
        #expect(sources == ["grpc"])
        return values
    }

    private struct Missing: Error { var text: String }

    private func inFolder(_ body: (String) async throws -> Void) async throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/history"
        defer {
            for name in [path, path + ".1", path + ".next", path + ".next.new"] { unlink(name) }
            folder.remove()
        }
        try await body(path)
    }

    @Test("transactions and configurations are there again in the next life")
    func survives() async throws {
        try await inFolder { path in
            func live() async throws {
                let store = try HistoryStore.open(path).store
                store.note(note(1, [bridge("a"), bridge("b")]))
                store.note(note(2, []))
                store.note(note(3, [bridge("a", mtu: 1300)], removed: [bridge("b").key]))
                await store.settle()
                #expect(store.obstacle == nil)
            }
            try await live()
            var status = stat()
            #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o600)
            let opened = try HistoryStore.open(path)
            #expect(opened.warnings.isEmpty && opened.sources == ["grpc"])
            #expect(opened.transactions.map(\.sequence) == [1, 2, 3])
            let second = try #require(opened.transactions.dropFirst().first)
            let expected = note(2, []).transaction
            #expect(second.reason == .drift && second.start == expected.start && second.duration == expected.duration)
            #expect(second.entries.first?.error == "refused" && second.losses == ["a route"])
            #expect(second.found == expected.found && !second.isFirst)
            #expect(opened.transactions[0].reason == .source("grpc") && opened.transactions[0].isFirst)
            let store = opened.store
            #expect(try await values(store, 2) == [bridge("a"), bridge("b")])
            #expect(try await values(store, 3) == [bridge("a", mtu: 1300)])
            // What the new life declares at first is everything; only what differs is written.
            let size = try bytes(path).count
            store.note(note(4, [bridge("a", mtu: 1300)]))
            store.note(note(5, [bridge("c")]))
            #expect(try await values(store, 4) == [bridge("a", mtu: 1300)])
            #expect(try await values(store, 5) == [bridge("a", mtu: 1300), bridge("c")])
            #expect(try bytes(path).count < 2 * size)
        }
    }

    @Test("what an earlier life declared and this one does not is known to be gone")
    func removedBetweenLives() async throws {
        try await inFolder { path in
            func live(_ note: HistoryNote) async throws {
                let store = try HistoryStore.open(path).store
                store.note(note)
                await store.settle()
                #expect(store.obstacle == nil)
            }
            try await live(note(1, [bridge("a"), bridge("b")]))
            try await live(note(2, [bridge("b"), bridge("c")]))
            let third = try HistoryStore.open(path).store
            #expect(try await values(third, 2) == [bridge("b"), bridge("c")])
        }
    }

    private func bytes(_ path: String) throws -> [UInt8] {
        try #require(try JournalFile.read(path, limit: 64 << 20))
    }

    private func replace(_ path: String, _ bytes: [UInt8]) {
        let file = open(path, O_WRONLY | O_TRUNC | O_CREAT, 0o600)
        _ = bytes.withUnsafeBytes { write(file, $0.baseAddress, $0.count) }
        close(file)
    }

    /// What a history has after some notes, which are all on the disk.
    private func made(_ path: String, _ notes: Int) async throws -> [UInt8] {
        let store = try HistoryStore.open(path).store
        for number in 1...UInt64(notes) { store.note(note(number, [bridge("b\(number)")])) }
        await store.settle()
        return try bytes(path)
    }

    private func content(_ path: String) -> HistoryStore.Content {
        var content = HistoryStore.Content()
        content.read(path, limit: HistoryStore.usualLimit)
        return content
    }

    /// Adds a transaction in a new life.
    private func goOn(_ path: String, _ number: UInt64) async throws {
        let store = try HistoryStore.open(path).store
        store.note(note(number, [bridge("n")]))
        #expect(try await values(store, number) == [bridge("n")])
        #expect(store.obstacle == nil)
    }

    @Test("wherever the writing broke off, all before it is known, and what comes after goes on behind")
    func tornAtEveryByte() async throws {
        try await inFolder { path in
            let whole = try await made(path, 3)
            var ends: [Int] = []
            for length in 0...whole.count {
                replace(path, Array(whole[..<length]))
                let count = content(path).transactions.count
                #expect(content(path).transactions.map(\.sequence) == Array([1, 2, 3].prefix(count)))
                if count > ends.count { ends.append(length) }
                #expect(count == ends.count)
                guard length % 97 == 0 else { continue }
                try await goOn(path, UInt64(count + 1))
                let again = content(path)
                #expect(again.warnings.isEmpty && again.transactions.count == count + 1, "\(again.warnings)")
            }
            #expect(ends.count == 3)
        }
    }

    @Test("no bytes whatever stop the start", arguments: [UInt64(1), 2, 3])
    func damaged(seed: UInt64) async throws {
        try await inFolder { path in
            var random = SeededGenerator(seed: seed)
            let whole = try await made(path, 5)
            for turn in 0..<200 {
                var damaged = whole
                for _ in 0...random.below(3) { damaged[random.below(damaged.count)] = UInt8(random.below(256)) }
                replace(path, damaged)
                let found = content(path)
                #expect(found.transactions.count <= 5, "seed \(seed)")
                if found.transactions.count < 5 { #expect(!found.warnings.isEmpty, "seed \(seed)") }
                if turn % 20 == 0 { try await goOn(path, (found.transactions.last?.sequence ?? 0) + 1) }
            }
        }
    }

    @Test("two files at most, each of a bounded size and complete by itself")
    func rotation() async throws {
        try await inFolder { path in
            let limit = 64 << 10
            let store = try HistoryStore.open(path, limit: limit).store
            for number in UInt64(1)...800 {
                store.note(note(number, [bridge("b\(number % 10)", mtu: UInt32(1000 + number), alias: "x\(number)")]))
                if number % 50 == 0 { await store.settle() }
            }
            await store.settle()
            #expect(try bytes(path).count <= limit && bytes(path + ".1").count <= limit)
            #expect(access(path + ".next", F_OK) != 0)
            guard case .unknown(let range?) = await store.past(1) else { throw Missing(text: "it is still known") }
            #expect(range.last == 800 && range.first > 1 && range.first < 700)
            for number in [range.first, 700, 800] {
                let all = try await values(store, number)
                #expect(all.count == 10)
                #expect(all.contains(bridge("b\(number % 10)", mtu: UInt32(1000 + number), alias: "x\(number)")))
            }
            let opened = try HistoryStore.open(path, limit: limit)
            #expect(opened.transactions.last?.sequence == 800)
            #expect(opened.transactions.first?.sequence == range.first)
            #expect(opened.transactions.count <= 500)
        }
    }

    @Test("more than is kept is said to be unknown, and is known again once it is less")
    func tooMuch() async throws {
        try await inFolder { path in
            let limit = 64 << 10
            let store = try HistoryStore.open(path, limit: limit).store
            let many = (0..<2000).map { bridge("bridge-\($0)") }
            store.note(note(1, many))
            guard case .unknown = await store.past(1) else { throw Missing(text: "too much is kept") }
            #expect(try bytes(path).count <= limit)
            store.note(note(2, []))
            guard case .unknown = await store.past(2) else { throw Missing(text: "more is known than is kept") }
            store.note(note(3, [], removed: many.dropFirst().map(\.key)))
            #expect(try await values(store, 3) == [many[0]])
        }
    }

    @Test("without a file all is kept in memory, within bounds")
    func memory() async throws {
        let store = try HistoryStore.open(nil, limit: 64 << 10).store
        for number in UInt64(1)...800 {
            store.note(note(number, [bridge("b\(number % 10)", mtu: UInt32(1000 + number))]))
            if number % 50 == 0 { await store.settle() }
        }
        #expect(store.obstacle == nil)
        let all = try await values(store, 800)
        #expect(all.count == 10)
        guard case .unknown(let range?) = await store.past(1) else { throw Missing(text: "it is still known") }
        #expect(range.last == 800 && range.first > 100)
    }

    @Test("where nothing can be written it is in memory, and says why")
    func obstacle() async throws {
        let opened = try HistoryStore.open("/proc/nowhere/history")
        opened.store.note(note(1, [bridge("a")]))
        #expect(try await values(opened.store, 1) == [bridge("a")])
        #expect(opened.store.obstacle?.contains("in memory only: /proc/nowhere") == true)
    }
}
