import Glibc
import Model
import TestSupport
import Testing

@testable import Northbound

@Suite("The journal of clients' values")
struct JournalTests {
    private func bridge(_ name: String, mtu: UInt32 = 1400) -> ModelValue {
        var message = Ligato_Linux_Interfaces_Interface()
        (message.name, message.type, message.mtu) = (name, .bridge, mtu)
        return .interface(message)
    }

    private func change(_ random: inout SeededGenerator) -> ConfigurationRequest {
        let names = (0..<random.below(4)).map { _ in "b\(random.below(6))" }
        return ConfigurationRequest(
            source: random.pick(["grpc", "set"]), origin: random.pick(["", "user 0"]),
            values: names.map { bridge($0, mtu: UInt32(1300 + random.below(100))) },
            removed: random.chance(30) ? [bridge("b\(random.below(6))").key] : [], replacesAll: random.chance(10))
    }

    private func isSame(_ some: [ConfigurationRequest], _ others: [ConfigurationRequest]) -> Bool {
        some.count == others.count
            && zip(some, others).allSatisfy {
                $0.source == $1.source && $0.origin == $1.origin && $0.values == $1.values && $0.removed == $1.removed
                    && $0.replacesAll == $1.replacesAll
            }
    }

    private func bytes(of path: String) throws -> [UInt8] {
        let file = open(path, O_RDONLY)
        defer { close(file) }
        return try JournalFile.read(file, path, limit: 1 << 20)
    }

    @Test("what was noted is there again, wherever the writing broke off", arguments: [UInt64(1), 2])
    func tornAtEveryByte(seed: UInt64) async throws {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        var random = SeededGenerator(seed: seed)
        let path = folder.path + "/journal"
        let changes = (0..<4).map { _ in change(&random) }
        var ends = [JournalRecord.magic.count]
        do {
            let journal = try ClientJournal.open(path).journal
            for change in changes {
                try await journal.keep(try journal.note(change))
                ends.append(try bytes(of: path).count)
            }
        }
        let whole = try bytes(of: path)
        for length in 0...whole.count {
            for filler in [[], [UInt8](repeating: 0, count: 40)] {
                let content = JournalRecord.decode(Array(whole[..<length]) + filler)
                let count = max(0, ends.count(where: { $0 <= length }) - 1)
                #expect(isSame(content.changes, Array(changes[..<count])), "seed \(seed), \(length) bytes")
                #expect(!content.isDamaged, "seed \(seed), \(length) bytes")
            }
        }
        unlink(path)
    }

    @Test("what follows a torn record is written in its place")
    func tornThenMore() async throws {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        let path = folder.path + "/journal"
        let (a, b, c) = (bridge("a"), bridge("b"), bridge("c"))
        for (index, value) in [a, b, c].enumerated() {
            let opened = try ClientJournal.open(path)
            #expect(opened.changes.flatMap(\.values) == Array([a, b, c].prefix(index)))
            #expect(opened.warnings == [])
            try await opened.journal.keep(
                try opened.journal.note(ConfigurationRequest(source: "grpc", values: [value])))
            let torn = open(path, O_WRONLY | O_APPEND)
            #expect(write(torn, [9, 0, 0, 0, 1], 5) == 5)
            close(torn)
        }
        unlink(path)
        unlink(path + ".damaged")
    }

    @Test("a damaged journal is told, kept, and read up to the damage")
    func damage() async throws {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        let path = folder.path + "/journal"
        do {
            let journal = try ClientJournal.open(path).journal
            for name in ["a", "b", "c"] {
                try await journal.keep(
                    try journal.note(ConfigurationRequest(source: "grpc", values: [bridge(name)])))
            }
        }
        var content = try bytes(of: path)
        content[content.count / 2] ^= 0x55
        try JournalFile.write(content, to: path)
        let opened = try ClientJournal.open(path)
        #expect(opened.changes.flatMap(\.values) == [bridge("a")])
        #expect(opened.warnings.count == 1)
        #expect(opened.warnings.first?.contains("damaged") == true)
        #expect(try bytes(of: path + ".damaged") == content)
        unlink(path)
        unlink(path + ".damaged")
    }

    @Test("a file of something else is refused, and stays")
    func foreign() throws {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        try folder.write("journal", "something else")
        #expect(throws: JournalFailure.self) { try ClientJournal.open(folder.path + "/journal") }
        #expect(try bytes(of: folder.path + "/journal") == Array("something else".utf8))
    }

    @Test("a snapshot takes the place of all before it, and those behind it follow")
    func snapshot() async throws {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        let path = folder.path + "/journal"
        var last: ConfigurationRequest?
        do {
            let journal = try ClientJournal.open(path).journal
            var count = 0
            while !journal.isLong {
                count += 1
                let change = ConfigurationRequest(
                    source: "grpc", values: (0..<500).map { bridge("bridge-\($0)", mtu: UInt32(1000 + count)) })
                try await journal.keep(try journal.note(change))
                last = change
            }
            #expect(count > 10)
            let all = try #require(last)
            try journal.note(all: [all])
            #expect(!journal.isLong)
            try await journal.keep(try journal.note(ConfigurationRequest(source: "set", values: [bridge("z")])))
        }
        let opened = try ClientJournal.open(path)
        #expect(opened.changes.map(\.source) == ["grpc", "set"])
        #expect(opened.changes.first?.values == last?.values)
        #expect(opened.changes.last?.values == [bridge("z")])
        #expect(try bytes(of: path).count < 100_000)
        unlink(path)
    }

    @Test("more than is kept is refused, and nothing is lost")
    func bound() async throws {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        let path = folder.path + "/journal"
        do {
            let journal = try ClientJournal.open(path).journal
            var message = Nsmagent_Linux_FilterTable()
            message.name = "large"
            message.ruleset = String(repeating: "x", count: 9 << 20)
            let large = ConfigurationRequest(source: "grpc", values: [.filterTable(message)])
            #expect(throws: JournalFailure.self) { try journal.note(all: Array(repeating: large, count: 8)) }
            try await journal.keep(try journal.note(ConfigurationRequest(source: "grpc", values: [bridge("a")])))
        }
        #expect(try ClientJournal.open(path).changes.flatMap(\.values) == [bridge("a")])
        unlink(path)
    }
}
