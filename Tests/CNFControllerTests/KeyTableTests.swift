import CNFController
import EtcdClient
import TestSupport
import Testing

/// etcd as far as the table is concerned: keys with values, and the records among them.
private struct Store {
    var entries: [String: [UInt8]] = [:]

    mutating func apply(_ operations: [EtcdOperation]) {
        for operation in operations {
            switch operation {
            case .put(let key, let value, _): entries[key] = value
            case .delete(let range): entries[String(decoding: range.key, as: UTF8.self)] = nil
            }
        }
    }

    func records(_ records: KeyRecords) -> [ResourceName: Set<String>] {
        records.read(
            entries.filter { $0.key.hasPrefix(records.prefix) }
                .map { EtcdEntry(key: Array($0.key.utf8), value: $0.value, modRevision: 1) })
    }

    func configuration(_ records: KeyRecords) -> [String: [UInt8]] {
        entries.filter { !$0.key.hasPrefix(records.prefix) }
    }
}

private func name(_ text: String) -> ResourceName { ResourceName(namespace: "n", name: text) }

private func age(_ text: String) -> ResourceAge { ResourceAge(created: "2026", name: name(text)) }

@Suite struct KeyTableTests {
    private let records = KeyRecords(root: "/cnf-crd/")

    /// Writes all that is to be written; at most so many transactions, or for so many resources.
    private func drain(
        _ table: inout KeyTable, _ store: inout Store, most: Int = .max, resources: Int = .max,
        limits: KeyWork.Limits = .init()
    ) {
        var (left, others) = (most, resources)
        while others > 0, let next = table.nextDirty() {
            others -= 1
            let work = table.work(for: next) { store.entries[$0] }
            for step in work.steps(records, limits) {
                if left == 0 { return }
                left -= 1
                #expect(step.operations.count <= limits.operations + 1)
                store.apply(step.operations)
                table.record(step.recorded, of: next)
            }
        }
    }

    @Test("the first owner of a key has it until it lets go, and then the next one")
    func firstOwner() {
        var (table, store) = (KeyTable(), Store())
        table.settle(only: [])
        table.set(name("b"), age("b"), ["k": [1], "b": [9]])
        drain(&table, &store)
        table.set(name("a"), age("a"), ["k": [2]])
        drain(&table, &store)
        #expect(store.entries["k"] == [1] && table.conflicts(of: name("a")) == ["k": name("b")])
        #expect(table.conflicts(of: name("b")).isEmpty)
        // The same value is no conflict.
        table.set(name("a"), age("a"), ["k": [1]])
        #expect(table.conflicts(of: name("a")).isEmpty)
        table.set(name("a"), age("a"), ["k": [2]])
        table.remove(name("b"))
        drain(&table, &store)
        #expect(store.configuration(records) == ["k": [2]])
        #expect(table.isReleased(name("b")) && table.conflicts(of: name("a")).isEmpty)
        table.remove(name("a"))
        drain(&table, &store)
        #expect(store.entries.isEmpty)
    }

    @Test("at a start only what differs is written, and what is in nobody's record stays")
    func start() {
        var store = Store()
        store.apply([
            .put(key: "k", value: [1]), .put(key: "gone", value: [1]), .put(key: "manual", value: [7]),
            .put(key: "/cnf-crd/resources/n/a", value: Array("gone\nk".utf8)),
            .put(key: "/cnf-crd/resources/n/x", value: Array("kept".utf8)), .put(key: "kept", value: [3]),
        ])
        var table = KeyTable()
        table.restore(store.records(records))
        table.set(name("a"), age("a"), ["k": [1], "new": [2]])
        table.keep(name("x"), age("x"))
        #expect(table.nextDirty() == nil)
        table.settle(only: [name("a"), name("x")])
        let work = table.work(for: name("a")) { store.entries[$0] }
        #expect(work.puts.map(\.key) == ["new"] && work.deletes == ["gone"])
        #expect(table.work(for: name("x")) { store.entries[$0] }.isEmpty)
        drain(&table, &store)
        #expect(store.configuration(records) == ["k": [1], "new": [2], "manual": [7], "kept": [3]])
    }

    @Test("a resource that is not understood keeps what it has, though its record is read later than itself")
    func keptBeforeRecords() {
        var store = Store()
        store.apply([.put(key: "k", value: [1]), .put(key: "/cnf-crd/resources/n/a", value: Array("k".utf8))])
        let before = store.entries
        var table = KeyTable()
        table.keep(name("a"), age("a"))
        table.restore(store.records(records))
        table.settle(only: [name("a")])
        drain(&table, &store)
        #expect(store.entries == before)
        // A connection that begins anew.
        table.restore(store.records(records))
        drain(&table, &store)
        #expect(store.entries == before)
        // It has it before others.
        table.set(name("b"), age("b"), ["k": [2]])
        drain(&table, &store)
        #expect(store.entries == before && table.conflicts(of: name("b")) == ["k": name("a")])
        table.remove(name("a"))
        drain(&table, &store)
        #expect(store.configuration(records) == ["k": [2]])
    }

    @Test("who gives a key to another one that goes before it has it takes it out of etcd")
    func takerGoes() {
        var (table, store) = (KeyTable(), Store())
        table.settle(only: [])
        table.set(name("a"), age("a"), ["k": [1]])
        drain(&table, &store)
        table.set(name("b"), age("b"), ["k": [1]])
        table.set(name("a"), age("a"), [:])
        // The one that gives first, and then the other one is gone.
        #expect(table.work(for: name("a"), held: { store.entries[$0] }).isEmpty)
        while table.nextDirty() != nil {}
        table.remove(name("b"))
        drain(&table, &store)
        #expect(store.entries.isEmpty)
    }

    @Test("of two that have a key by their records and want it no more, neither keeps it when a third one has it")
    func twoGivers() {
        var store = Store()
        // A hand-over that a kill has cut off.
        store.apply([
            .put(key: "k", value: [1]), .put(key: "/cnf-crd/resources/n/a", value: Array("k".utf8)),
            .put(key: "/cnf-crd/resources/n/b", value: Array("k".utf8)),
        ])
        var table = KeyTable()
        table.restore(store.records(records))
        for who in ["a", "b"] { table.set(name(who), age(who), [:]) }
        table.set(name("c"), age("c"), ["k": [2]])
        table.settle(only: [name("a"), name("b"), name("c")])
        // Those that give before the one that takes.
        for who in ["a", "b", "c"] {
            for step in table.work(for: name(who), held: { store.entries[$0] }).steps(records) {
                store.apply(step.operations)
                table.record(step.recorded, of: name(who))
            }
        }
        drain(&table, &store)
        #expect(store.configuration(records) == ["k": [2]])
        #expect(store.records(records) == [name("c"): ["k"]])
    }

    @Test("whatever happens, and wherever it stops, etcd ends as the resources say", arguments: 0..<200)
    func property(seed: Int) {
        var random = SeededGenerator(seed: UInt64(seed))
        var limits = KeyWork.Limits()
        limits.operations = Int.random(in: 1...4, using: &random)
        var (table, store) = (KeyTable(), Store())
        store.apply([.put(key: "manual", value: [200])])
        var wanted: [String: [String: [UInt8]]] = [:]
        table.settle(only: [])
        for _ in 0..<120 {
            let who = String("abcde".randomElement(using: &random) ?? "a")
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<5:
                var values: [String: [UInt8]] = [:]
                for key in ["k0", "k1", "k2", "k3", "k4", "k5"] where Bool.random(using: &random) {
                    values[key] = [UInt8.random(in: 0..<3, using: &random)]
                }
                wanted[who] = values
                table.set(name(who), age(who), values)
            case 5..<7:
                wanted[who] = nil
                table.remove(name(who))
            case 7:
                // Somebody else writes over it.
                let key = "k\(Int.random(in: 0..<6, using: &random))"
                if store.entries[key] != nil { store.apply([.put(key: key, value: [100])]) }
                table.noteChange(of: key)
            default:
                // It ends in the middle, resources go or are not understood any more, and it starts again.
                drain(&table, &store, most: Int.random(in: 0..<4, using: &random), limits: limits)
                if Bool.random(using: &random) {
                    wanted[who] = nil
                    table.remove(name(who))
                    drain(&table, &store, most: Int.random(in: 0..<3, using: &random), limits: limits)
                }
                table = KeyTable()
                // The API server may answer before etcd, or after it.
                let isEtcdFirst = Bool.random(using: &random)
                if isEtcdFirst { table.restore(store.records(records)) }
                let misread = Bool.random(using: &random) ? wanted.keys.sorted().randomElement(using: &random) : nil
                for (who, values) in wanted {
                    if who == misread {
                        table.keep(name(who), age(who))
                    } else {
                        table.set(name(who), age(who), values)
                    }
                }
                if !isEtcdFirst { table.restore(store.records(records)) }
                table.settle(only: Set(wanted.keys.map(name)))
                if let misread {
                    drain(&table, &store, limits: limits)
                    if Bool.random(using: &random) { wanted[misread] = nil }
                    if let values = wanted[misread] {
                        table.set(name(misread), age(misread), values)
                    } else {
                        table.remove(name(misread))
                    }
                }
            }
            if Bool.random(using: &random) {
                // Mostly the next change comes before all is written.
                let resources = Bool.random(using: &random) ? Int.random(in: 0..<3, using: &random) : .max
                drain(&table, &store, resources: resources, limits: limits)
            }
        }
        drain(&table, &store, limits: limits)
        check(table, store, wanted)
    }

    private func check(_ table: KeyTable, _ store: Store, _ wanted: [String: [String: [UInt8]]]) {
        var expected: [String: Set<[UInt8]>] = ["manual": [[200]]]
        for (_, values) in wanted { for (key, value) in values { expected[key, default: []].insert(value) } }
        let found = store.configuration(records)
        #expect(Set(found.keys) == Set(expected.keys))
        for (key, value) in found { #expect(expected[key]?.contains(value) == true, "\(key)") }
        // Each key is in one record, of a resource that wants this value.
        var owners: [String: ResourceName] = [:]
        for (name, keys) in store.records(records) {
            for key in keys {
                #expect(owners.updateValue(name, forKey: key) == nil)
                #expect(wanted[name.name]?[key] == found[key])
            }
        }
        #expect(Set(owners.keys) == Set(expected.keys).subtracting(["manual"]))
        for who in wanted.keys {
            for (key, value) in wanted[who] ?? [:] {
                let isShared = owners[key] == name(who) || found[key] == value
                #expect((table.conflicts(of: name(who))[key] == nil) == isShared)
            }
        }
    }
}
