import EtcdClient
import NSM
import TestSupport
import Testing

@testable import Mesh

/// What random numbers follow from; printed with each failure.
private let seed = UInt64.random(in: 0...UInt64.max)

@Suite("What a mesh keeps in etcd") struct OwnRecordTests {
    /// An etcd that is asked like one.
    private struct Store {
        var entries: [[UInt8]: EtcdEntry] = [:]
        var revision: Int64 = 1
        var events: [EtcdEvent] = []

        mutating func put(_ key: String, _ value: [UInt8], _ lease: Int64) {
            let entry = EtcdEntry(key: Array(key.utf8), value: value, modRevision: revision, lease: lease)
            entries[entry.key] = entry
            events.append(.put(entry))
        }

        mutating func delete(_ key: [UInt8]) {
            guard entries.removeValue(forKey: key) != nil else { return }
            events.append(.delete(key: key, revision: revision))
        }

        mutating func end(lease: Int64) {
            revision += 1
            for (key, entry) in entries where entry.lease == lease { delete(key) }
        }

        /// Does it if its condition holds; returns the revision.
        mutating func carryOut(_ step: OwnRecords.Step, _ own: OwnRecords) -> (Int64, [EtcdOperation])? {
            let present = entries[Array("/r/meshes/m".utf8)]
            let operations: [EtcdOperation]
            switch step {
            case .wait, .nothing, .taken: return nil
            case .claim(let all, let revision):
                guard (present?.modRevision ?? 0) == revision else { return nil }
                operations = all
            case .write(let all):
                guard present?.value == own.record.bytes else { return nil }
                operations = all
            }
            revision += 1
            for operation in operations {
                switch operation {
                case .put(let key, let value, let lease): put(key, value, lease)
                case .delete(let range): delete(range.key)
                }
            }
            return (revision, operations)
        }

        /// Lets a mesh do all it wants.
        mutating func settle(_ own: inout OwnRecords, lease: Int64) {
            while let (revision, operations) = carryOut(own.next(lease: lease), own) {
                own.done(operations, revision: revision)
            }
        }

        var all: [EtcdEntry] { Array(entries.values) }
        var texts: Set<String> { Set(entries.values.map(\.keyText)) }
    }

    private func own(_ process: String = "1", host: String = "192.0.2.1", endpoints: [String] = []) -> OwnRecords {
        var own = OwnRecords(root: "/r/", record: meshRecord("m", host, process: process))
        for name in endpoints { want(name, &own) }
        return own
    }

    private func want(_ name: String, _ own: inout OwnRecords, _ services: [String] = ["db"]) {
        own.want(RegistryRecord.bytes(sharedEndpoint(name, services)), under: .endpoint(name, mesh: "m"))
    }

    @Test("it is written once, and nothing is written that stands there")
    func compares() {
        var (etcd, own) = (Store(), own(endpoints: ["e", "f"]))
        let step1 = own.next(lease: 7)
        #expect(step1 == .wait)
        own.reset([])
        etcd.settle(&own, lease: 7)
        #expect(etcd.texts == ["/r/meshes/m", "/r/endpoints/m/e", "/r/endpoints/m/f"])
        #expect(etcd.all.allSatisfy { $0.lease == 7 })
        let step2 = own.next(lease: 7)
        #expect(step2 == .nothing)
        // The watch reports our own writes, late.
        for event in etcd.events {
            let isNews = own.take(event)
            #expect(!isNews)
        }
        own.want(nil, under: .endpoint("f", mesh: "m"))
        etcd.settle(&own, lease: 7)
        #expect(etcd.texts == ["/r/meshes/m", "/r/endpoints/m/e"])
        // A connection that breaks.
        own.expectAnew()
        let step3 = own.next(lease: 7)
        #expect(step3 == .wait)
        own.reset(etcd.all)
        let step4 = own.next(lease: 7)
        #expect(step4 == .nothing)
        // A lease that ended, and an etcd that lost everything.
        etcd.end(lease: 7)
        for event in etcd.events { _ = own.take(event) }
        etcd.settle(&own, lease: 8)
        #expect(etcd.texts.count == 2 && etcd.all.allSatisfy { $0.lease == 8 })
        own.reset([])
        etcd = Store()
        etcd.settle(&own, lease: 9)
        #expect(etcd.texts.count == 2)
    }

    @Test("after a kill the next process takes over, and nothing is gone meanwhile")
    func takesOver() {
        var etcd = Store()
        var first = own(endpoints: ["e", "f"])
        first.reset([])
        etcd.settle(&first, lease: 7)
        let before = etcd.texts
        etcd.events = []
        var second = own("2")
        second.reset(etcd.all)
        etcd.settle(&second, lease: 8)
        // Its endpoints come one after the other; the last never.
        #expect(etcd.texts == before)
        want("e", &second)
        etcd.settle(&second, lease: 8)
        #expect(!etcd.events.contains { if case .delete = $0 { true } else { false } })
        etcd.end(lease: 7)
        #expect(etcd.texts == ["/r/meshes/m", "/r/endpoints/m/e"])
    }

    @Test("a name that another mesh has is left to it, until that is gone")
    func names() {
        var etcd = Store()
        var (first, second) = (own(endpoints: ["e"]), own("2", host: "192.0.2.2", endpoints: ["f"]))
        first.reset([])
        etcd.settle(&first, lease: 7)
        second.reset(etcd.all)
        let step5 = second.next(lease: 8)
        #expect(step5 == .taken(by: first.record))
        etcd.end(lease: 7)
        for event in etcd.events { _ = second.take(event) }
        etcd.settle(&second, lease: 8)
        #expect(etcd.texts == ["/r/meshes/m", "/r/endpoints/m/f"])
        // Two with one address, which can't be: the later one has the name, and they don't take it from each other.
        var third = own("3", host: "192.0.2.2")
        third.reset(etcd.all)
        etcd.settle(&third, lease: 9)
        for event in etcd.events { _ = second.take(event) }
        let step6 = second.next(lease: 8)
        #expect(step6 == .taken(by: third.record))
        let step7 = third.next(lease: 9)
        #expect(step7 == .nothing)
        // Nonsense has no owner.
        etcd.revision += 1
        etcd.put("/r/meshes/m", Array("?".utf8), 0)
        for event in etcd.events { _ = third.take(event) }
        etcd.settle(&third, lease: 9)
        #expect(etcd.entries[Array("/r/meshes/m".utf8)]?.value == third.record.bytes)
    }

    @Test("many are written in parts")
    func parts() {
        var (etcd, own) = (Store(), own())
        let long = (0..<60).map { "\($0)" + String(repeating: "x", count: 1000) }
        for number in 0..<250 { want("\(number)", &own, number < 20 ? long : ["db"]) }
        own.reset([])
        var sizes: [Int] = []
        while let (revision, operations) = etcd.carryOut(own.next(lease: 7), own) {
            own.done(operations, revision: revision)
            sizes.append(operations.count)
            let bytes = operations.reduce(0) { if case .put(_, let value, _) = $1 { $0 + value.count } else { $0 } }
            #expect(operations.count <= OwnRecords.mostOperations && bytes <= OwnRecords.mostBytes)
        }
        #expect(sizes.reduce(0, +) == 251 && etcd.texts.count == 251)
    }

    @Test("of what somebody else puts below our name nothing is remembered but what is ours to change")
    func strangersKeys() {
        var (etcd, own) = (Store(), own(endpoints: ["e"]))
        own.reset([])
        etcd.settle(&own, lease: 7)
        func entry(_ number: Int, lease: Int64) -> EtcdEntry {
            etcdEntry(.endpoint("x\(number)", mesh: "m"), Array("?".utf8), lease: lease, revision: 100)
        }
        // With a lease of somebody else, or none.
        for number in 0..<20_000 {
            let isNews = own.take(.put(entry(number, lease: number.isMultiple(of: 2) ? 0 : 9)))
            #expect(!isNews)
        }
        #expect(own.storedCount == 2)
        own.reset(etcd.all + (0..<20_000).map { entry($0, lease: 9) })
        #expect(own.storedCount == 2)
        // With ours: they are removed, but so many that they fill the memory are not remembered.
        own.reset(etcd.all + (0..<20_000).map { entry($0, lease: 7) })
        #expect(own.storedCount <= 2 + OwnRecords.mostSurplus && own.storedCount > 1000)
        var removed = 0
        while case .write(let operations) = own.next(lease: 7) {
            own.done(operations, revision: 101)
            removed += operations.count
        }
        #expect(removed > 1000 && own.storedCount == 2)
        // What is not wanted any more and has another lease, and what went with a lease that is not ours any more.
        let other = RegistryRecord.bytes(sharedEndpoint("e", ["other"]))
        let isNews = own.take(.put(etcdEntry(.endpoint("e", mesh: "m"), other, lease: 9, revision: 102)))
        #expect(isNews && own.storedCount == 2)
        own.wantEndpoints(only: [])
        #expect(own.storedCount == 1)
        own.reset(etcd.all + (0..<100).map { entry($0, lease: 7) })
        _ = own.next(lease: 8)
        #expect(own.storedCount == 1)
    }

    @Test("a key of ours that somebody gave a huge value is claimed again")
    func hugeValue() {
        var (etcd, own) = (Store(), own())
        own.reset([])
        etcd.settle(&own, lease: 7)
        etcd.revision += 1
        etcd.put("/r/meshes/m", Array(repeating: UInt8(ascii: " "), count: 1 << 20), 9)
        for event in etcd.events { _ = own.take(event) }
        etcd.settle(&own, lease: 7)
        #expect(etcd.entries[Array("/r/meshes/m".utf8)]?.value == own.record.bytes)
    }

    @Test("whatever is lost on the way, etcd comes to hold what is wanted")
    func converges() {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<100 {
            var (etcd, own) = (Store(), own())
            var lease: Int64 = 1
            var wanted: Set<String> = []
            own.reset([])
            for _ in 0..<60 {
                switch random.below(8) {
                case 0...2:
                    let name = "\(random.below(6))"
                    want(name, &own)
                    wanted.insert(name)
                case 3:
                    let name = "\(random.below(6))"
                    own.want(nil, under: .endpoint(name, mesh: "m"))
                    wanted.remove(name)
                case 4:
                    // Done, but the answer is lost: the watch says so sooner or later.
                    _ = etcd.carryOut(own.next(lease: lease), own)
                case 5:
                    etcd.end(lease: lease)
                    lease += 1
                case 6:
                    // Somebody meddles.
                    etcd.revision += 1
                    if let key = etcd.entries.keys.randomElement(using: &random) { etcd.delete(key) }
                default:
                    for event in etcd.events { _ = own.take(event) }
                    etcd.settle(&own, lease: lease)
                }
            }
            for event in etcd.events { _ = own.take(event) }
            etcd.settle(&own, lease: lease)
            let keys = Set(wanted.map { "/r/endpoints/m/\($0)" }).union(["/r/meshes/m"])
            #expect(etcd.texts == keys, "seed \(seed)")
            #expect(etcd.all.allSatisfy { $0.lease == lease }, "seed \(seed)")
        }
    }
}

@Suite("Who answers where etcd says") struct KnownManagerTests {
    @Test("who is said to be at an address is expected there; a stranger's word adds to it and keeps nobody out")
    func managers() throws {
        let endpoints = RemoteEndpoints()
        let address = meshRecord("m").address
        let (b, c) = (try SPIFFEID("spiffe://b.test/host/b/nsmgr"), try SPIFFEID("spiffe://c.test/host/c/nsmgr"))
        #expect(endpoints.managers(at: address) == nil)
        endpoints.add(b, at: address, from: .mesh("b"))
        #expect(endpoints.managers(at: address) == [b])
        endpoints.add(c, at: address, from: .mesh("evil"))
        #expect(Set(endpoints.managers(at: address) ?? []) == [b, c] && endpoints.meshes == ["b", "evil"])
        endpoints.add(nil, at: address, from: .mesh("evil"))
        #expect(endpoints.managers(at: address) == nil)
        endpoints.remove(at: address, from: .mesh("evil"))
        #expect(endpoints.managers(at: address) == [b])
        endpoints.remove(at: address, from: .mesh("b"))
        #expect(endpoints.managers(at: address) == nil && endpoints.meshes.isEmpty)
    }

    @Test("who etcd says is at an address keeps out nobody whose endpoint a registry reports")
    func strangersWord() throws {
        let endpoints = RemoteEndpoints()
        let address = meshRecord("m").address
        let evil = try SPIFFEID("spiffe://c.test/host/c/nsmgr")
        var endpoint = sharedEndpoint("e")
        endpoint.url = address.url
        endpoints.add(evil, at: address, from: .mesh("evil"))
        endpoints.add(endpoint, from: .mesh("evil"))
        #expect(endpoints.managers(of: endpoint, at: address) == [evil])
        let registry = RegistrySource.registry(.tcp(host: "192.0.2.9", port: 5001))
        endpoints.add(endpoint, from: registry)
        #expect(endpoints.managers(of: endpoint, at: address) == nil)
        // As long as what it reported counts.
        endpoints.lost([registry: .seconds(60)])
        #expect(endpoints.managers(of: endpoint, at: address) == nil)
        #expect(endpoints.managers(of: endpoint, at: address, now: .now.advanced(by: .seconds(61))) == [evil])
    }

    @Test("without etcd each mesh's endpoints count as long as its lease would")
    func grace() {
        let endpoints = RemoteEndpoints()
        for (number, mesh) in ["a", "b"].enumerated() {
            var endpoint = sharedEndpoint("e")
            endpoint.url = "tcp://192.0.2.\(number):5001"
            endpoints.add(endpoint, from: .mesh(mesh))
        }
        #expect(endpoints.standing(of: .etcd("etcd x")).endpoints == 2)
        endpoints.lost([.mesh("a"): .seconds(5), .mesh("b"): .seconds(30)])
        func count(after seconds: Int) -> Int {
            endpoints.candidates("db", now: .now.advanced(by: .seconds(seconds))).count
        }
        #expect(count(after: 1) == 2 && count(after: 10) == 1 && count(after: 31) == 0)
        // What is lost again meanwhile gets no more time.
        endpoints.lost([.mesh("a"): .seconds(3600), .mesh("b"): .seconds(3600)])
        #expect(count(after: 31) == 0)
    }

    @Test("a taken name is told, although the registry is followed")
    func trouble() {
        let endpoints = RemoteEndpoints()
        let source = RegistrySource.etcd("etcd x")
        #expect(endpoints.note("taken", of: source, isFollowed: true))
        #expect(!endpoints.note("taken", of: source, isFollowed: true))
        let standing = endpoints.standing(of: source)
        #expect(standing.since != nil && standing.trouble == "taken" && endpoints.troubles.isEmpty)
        #expect(endpoints.note("no etcd", of: source) && endpoints.troubles == ["etcd x can't be followed: no etcd"])
    }
}
