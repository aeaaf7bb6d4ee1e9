import Concurrency
import EtcdClient
import MeshTransport
import NSM
import NetworkTypes
import SPIFFE
import SwiftProtobuf
import TestSupport
import Testing

@testable import Mesh

/// What random numbers follow from; printed with each failure.
private let seed = UInt64.random(in: 0...UInt64.max)

func etcdEntry(_ key: RegistryKey, _ value: [UInt8], lease: Int64 = 1, revision: Int64 = 1, root: String = "/r/")
    -> EtcdEntry
{
    EtcdEntry(key: Array(key.text(root: root).utf8), value: value, modRevision: revision, lease: lease)
}

func meshRecord(_ name: String, _ host: String = "192.0.2.1", process: String = "1", id: SPIFFEID? = nil) -> MeshRecord
{
    MeshRecord(name: name, address: .tcp(host: host, port: 5001), id: nil, leaseSeconds: 30, process: process)
}

func sharedEndpoint(_ name: String, _ services: [String] = ["db"]) -> NSMNetworkServiceEndpoint {
    .with { endpoint in
        endpoint.name = name
        endpoint.networkServiceNames = services
    }
}

@Suite("What meshes write to the etcd that they share") struct EtcdRecordTests {
    @Test("each name has one key")
    func keys() {
        for name in ["a", "host-a-nsmgr", "a/b", "100 %", "ä€🙂", "..", String(repeating: "%", count: 253)] {
            for key in [RegistryKey.mesh(name), .endpoint(name, mesh: "m/1"), .service("db", mesh: name)] {
                let text = key.text(root: "/r/")
                #expect(RegistryKey(Array(text.utf8), root: "/r/") == key, "\(text)")
                #expect(text.utf8.count <= RegistryKey.longest + 3)
            }
        }
        for text in [
            "", "/r/", "/r/meshes", "/r/meshes/", "/r/meshes/a/b", "/r/mesh/a", "/r/endpoints/a", "/r/endpoints/a/b/c",
            "/r/endpoints//b", "/r/meshes/%61", "/r/meshes/%2f", "/r/meshes/%2", "/r/meshes/%", "/r/meshes/a b",
            "/r/meshes/%FF", "/s/meshes/a", "/r/meshes/" + String(repeating: "a", count: 254),
        ] {
            #expect(RegistryKey(Array(text.utf8), root: "/r/") == nil, "\(text)")
        }
    }

    @Test("random keys and records come back as they were, and no bytes are too strange")
    func fuzz() async throws {
        for seed in Seeds("records in etcd", usual: 400, long: 40_000, step: 10_000) {
            await Task.yield()
            try fuzz(seed)
        }
    }

    private func fuzz(_ seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let alphabet = Array("ab/%. -_ä🙂\"\\{}é\u{2028}")
        func text(_ most: Int) -> String {
            let count = 1 + random.below(most)
            return String((0..<count).map { _ in random.pick(alphabet) })
        }
        let name = text(20)
        var endpoint = sharedEndpoint(name, (0..<random.below(5)).map { _ in text(10) })
        for service in endpoint.networkServiceNames {
            endpoint.networkServiceLabels[service] = .with { labels in
                for _ in 0..<random.below(4) { labels.labels[text(5)] = text(5) }
            }
        }
        var told = endpoint
        told.url = "unix:///run/x.sock"
        told.pathIds = ["spiffe://x/y"]
        told.expirationTime = .init(seconds: 1, nanos: 1)
        let key = RegistryKey.endpoint(name, mesh: text(10))
        var bytes = RegistryRecord.bytes(told.shared)
        #expect(bytes == RegistryRecord.bytes(endpoint.shared), "seed \(seed)")
        #expect(RegistryKey(Array(key.text(root: "/r/").utf8), root: "/r/") == key, "seed \(seed)")
        let record = try RegistryRecord(etcdEntry(key, bytes), as: key)
        #expect(record == .endpoint(endpoint), "seed \(seed): \(String(decoding: bytes, as: UTF8.self))")
        let mesh = meshRecord(name, random.chance(50) ? "192.0.2.9" : "fd00::9", process: "\(random.next())")
        #expect(try RegistryRecord.mesh(mesh.bytes, name) == mesh, "seed \(seed)")

        for _ in 0...random.below(4) where !bytes.isEmpty {
            switch random.below(3) {
            case 0: bytes[random.below(bytes.count)] = UInt8(truncatingIfNeeded: random.next())
            case 1: bytes.removeSubrange(random.below(bytes.count)...)
            default: bytes.insert(UInt8(truncatingIfNeeded: random.next()), at: random.below(bytes.count + 1))
            }
        }
        for key in [key, .service(name, mesh: "m"), .mesh(name)] {
            switch try? RegistryRecord(etcdEntry(key, bytes), as: key) {
            case .endpoint(let found)?: #expect(found.name == name && found.url.isEmpty, "seed \(seed)")
            case .service(let found)?: #expect(found.name == name && found.pathIds.isEmpty, "seed \(seed)")
            case .mesh(let found)?: #expect(found.name == name, "seed \(seed)")
            case nil: break
            }
        }
    }

    private func refusal(_ key: RegistryKey, _ json: String, lease: Int64 = 1) -> String {
        do throws(RegistryRecord.Unfit) {
            _ = try RegistryRecord(etcdEntry(key, Array(json.utf8), lease: lease), as: key)
            return ""
        } catch {
            return error.description
        }
    }

    @Test("what is too large, wrong or without a lease is refused with the reason")
    func bounds() {
        let good = #"{"name":"m","url":"tcp://192.0.2.1:5001","leaseSeconds":30,"process":"1","later":{"x":[1]}}"#
        #expect(refusal(.mesh("m"), good) == "")
        #expect(refusal(.mesh("m"), good, lease: 0).contains("no lease"))
        #expect(refusal(.mesh("n"), good).contains("unlike its key"))
        for (from, to, text) in [
            ("tcp://192.0.2.1:5001", "tcp://example.org:5001", "address and a port"),
            ("tcp://192.0.2.1:5001", "unix:///x", "address and a port"),
            ("tcp://192.0.2.1:5001", "tcp://0.0.0.0:5001", "address and a port"),
            ("tcp://192.0.2.1:5001", "tcp://192.0.2.1:0", "address and a port"),
            (":30", ":4", "a lease of 4 s"), (":30", ":3601", "a lease of 3601 s"), (":30", ":-1", "can't be read"),
            (#""1""#, #""""#, "0 bytes"), (#""1""#, #""1","id":"http://x""#, "not a SPIFFE id"),
            ("{", "", "can't be read"),
        ] {
            let json = String(good.replacing(from, with: to, maxReplacements: 1))
            #expect(refusal(.mesh("m"), json).contains(text), "\(json): \(refusal(.mesh("m"), json))")
        }
        let long = #"{"name":"e","networkServiceNames":["\#(String(repeating: "x", count: 70_000))"]}"#
        #expect(refusal(.endpoint("e", mesh: "m"), long).contains("at most 65536"))
        #expect(refusal(.endpoint("e", mesh: "m"), String(repeating: " ", count: 140_000)).contains("140000 bytes"))
        let many = (0...64).map { "\"s\($0)\"" }.joined(separator: ",")
        let greedy = #"{"name":"e","networkServiceNames":[\#(many)]}"#
        #expect(refusal(.endpoint("e", mesh: "m"), greedy).contains("more than 64"))
        // One character of 100 KB.
        let huge = "x" + String(repeating: "\u{301}", count: 50_000)
        for json in [good.replacing("tcp://192.0.2.1:5001", with: huge), good.replacing(#""m""#, with: "\"\(huge)\"")] {
            let reason = refusal(.mesh("m"), String(json))
            #expect(!reason.isEmpty && reason.utf8.count < 400, "\(reason.utf8.count)")
        }
        #expect("aä€".prefix(bytes: 6) == "aä€" && "aä€".prefix(bytes: 5) == "aä" && "aä€".prefix(bytes: 2) == "a")
        #expect(huge.prefix(bytes: 4).utf8.count == 3 && "".prefix(bytes: 4) == "" && "€".prefix(bytes: 1) == "")
        let deep = String(repeating: #"{"x":"#, count: 1000)
        #expect(refusal(.service("s", mesh: "m"), deep).contains("can't be read"))
    }
}

@Suite("What a mesh says of itself in etcd") struct OwnAddressTests {
    private func refusal(_ name: String, _ url: String, lease: Int64 = 30) -> String {
        let settings = EtcdRegistrySettings(client: EtcdConfiguration(), leaseSeconds: lease)
        do throws(NSMError) {
            _ = try EtcdRegistry.ownRecord(settings, name: name, url: url)
            return ""
        } catch {
            return error.description
        }
    }

    @Test("what others would not take is refused at the start")
    func refused() throws {
        #expect(refusal("m", "tcp://192.0.2.1:5001") == "")
        #expect(refusal("m", "tcp://host-a.example:5001").contains("'tcp://host-a.example:5001' is not tcp:// with an"))
        #expect(refusal("m", "tcp://0.0.0.0:5001").contains("an address and a port"))
        #expect(refusal("m", "unix:///x").contains("an address and a port"))
        #expect(refusal("m", "tcp://192.0.2.1:5001", lease: 4).contains("a lease of 4 s"))
        #expect(refusal("", "tcp://192.0.2.1:5001").contains("1 to"))
        #expect(refusal(String(repeating: "m", count: 300), "tcp://192.0.2.1:5001").contains("1 to"))
        // As others read it: after a start it is known as that of the process before.
        let settings = EtcdRegistrySettings(client: EtcdConfiguration())
        let record = try EtcdRegistry.ownRecord(settings, name: "m", url: "tcp://[FD00:0::1]:5001")
        #expect(record.address == .tcp(host: "fd00::1", port: 5001))
    }

    @Test("a mesh that others would ignore does not start with etcd")
    func start() throws {
        let mesh = try MeshFixture()
        var remote = RemoteSettings(
            listen: .tcp(host: "127.0.0.1", port: 0), tunnelAddress: try #require(IPAddress("127.0.0.1")))
        remote.etcd = EtcdRegistrySettings(client: EtcdConfiguration())
        var settings = MeshSettings(
            name: String(repeating: "m", count: 254), address: mesh.managerSocket,
            security: .identity(try mesh.identity("nsmgr")), remote: remote, logger: mesh.logger)
        do {
            _ = try MeshManager(settings)
            Issue.record("it starts")
        } catch let error as NSMError {
            #expect(error.text.contains("1 to 253 bytes"))
        }
        settings.name = "host-nsmgr"
        _ = try MeshManager(settings)
    }
}

@Suite("What is said of records in etcd that can't be used") struct UnfitNoticeTests {
    private func take(_ notices: inout UnfitNotices, _ numbers: Range<Int>, at now: Timestamp) -> [Int] {
        let all = numbers.map { number -> UnfitNotices.Unfit in
            (key: Array("k\(number)".utf8), reason: RegistryRecord.Unfit(description: "bad"))
        }
        let (named, more) = notices.take(all, now: now)
        return [named.count, more]
    }

    @Test("each key is named once, and few in a minute")
    func rate() {
        var notices = UnfitNotices()
        let start = Timestamp(seconds: 1000)
        func after(_ seconds: Int) -> Timestamp { start.advanced(by: .seconds(seconds)) }
        #expect(take(&notices, 0..<3, at: start) == [3, 0])
        #expect(take(&notices, 0..<3, at: after(1)) == [0, 0])
        #expect(take(&notices, 0..<10, at: after(2)) == [2, 5])
        // The number of others is said once, too.
        #expect(take(&notices, 5..<10, at: after(3)) == [0, 0])
        #expect(take(&notices, 0..<5, at: after(59)) == [0, 0])
        #expect(take(&notices, 0..<5, at: after(61)) == [0, 5])
        #expect(take(&notices, 0..<20, at: after(62)) == [5, 0])
        var lines = 0
        for second in 200..<3800 {
            lines += take(&notices, second * 10..<second * 10 + 10, at: after(second)).count { $0 > 0 }
        }
        #expect(lines > 60 && lines <= 61 * 6)
        // A clock that is set back.
        #expect(take(&notices, 100_000..<100_001, at: start)[0] == 1)
    }
}

@Suite("What etcd says of other meshes") struct RegistryPictureTests {
    private static func put(_ picture: inout RegistryPicture, _ key: RegistryKey, _ value: [UInt8])
        -> [RegistryPicture.Change]
    {
        (try? picture.put(etcdEntry(key, value))) ?? picture.remove(Array(key.text(root: "/r/").utf8))
    }

    @Test("an endpoint counts while its mesh says where it is")
    func meshes() throws {
        var picture = RegistryPicture(root: "/r/", own: "own")
        let value = RegistryRecord.bytes(sharedEndpoint("e"))
        var changes = Self.put(&picture, .endpoint("e", mesh: "m"), value)
        #expect(changes.isEmpty)
        let found = sharedEndpoint("e")
        func at(_ host: String) -> NSMNetworkServiceEndpoint {
            var copy = found
            copy.url = "tcp://\(host):5001"
            return copy
        }
        let (one, two) = (meshRecord("m"), meshRecord("m", "192.0.2.2"))
        changes = Self.put(&picture, .mesh("m"), one.bytes)
        #expect(changes == [.mesh(one), .endpoint(at("192.0.2.1"), mesh: "m")])
        // Another process at the same place.
        let again = meshRecord("m", process: "2")
        changes = Self.put(&picture, .mesh("m"), again.bytes)
        #expect(changes == [.mesh(again)])
        changes = Self.put(&picture, .mesh("m"), two.bytes)
        #expect(
            Set(changes) == [
                .noMesh(again), .noEndpoint(at("192.0.2.1"), mesh: "m"), .mesh(two),
                .endpoint(at("192.0.2.2"), mesh: "m"),
            ])
        // What can't be read is as if it were not there.
        changes = Self.put(&picture, .endpoint("e", mesh: "m"), Array("{".utf8))
        #expect(changes == [.noEndpoint(at("192.0.2.2"), mesh: "m")])
        changes = Self.put(&picture, .mesh("own"), meshRecord("own").bytes)
        #expect(changes.isEmpty)
        #expect(picture.known == [two])
    }

    @Test("too many meshes, records and bytes are refused; what is known stays and may change")
    func limits() throws {
        var picture = RegistryPicture(
            root: "/r/", own: "own", limits: .init(meshes: 2, ofMesh: 3, all: 5, bytes: 1000))
        func isTaken(_ key: RegistryKey, _ value: [UInt8]) -> Bool {
            do throws(RegistryRecord.Unfit) {
                _ = try picture.put(etcdEntry(key, value))
                return true
            } catch {
                #expect(error.description.hasPrefix("too many"))
                return false
            }
        }
        func isTaken(_ name: String, _ mesh: String, _ services: [String] = ["db"]) -> Bool {
            isTaken(.endpoint(name, mesh: mesh), RegistryRecord.bytes(sharedEndpoint(name, services)))
        }
        #expect(isTaken(.mesh("a"), meshRecord("a").bytes) && isTaken(.mesh("b"), meshRecord("b").bytes))
        #expect(!isTaken(.mesh("c"), meshRecord("c").bytes))
        #expect(["1", "2", "3"].allSatisfy { isTaken($0, "a") } && !isTaken("4", "a"))
        #expect(isTaken("1", "b") && isTaken("2", "b") && !isTaken("3", "b"))
        #expect(isTaken("1", "a", ["other"]))
        #expect(!isTaken("1", "a", [String(repeating: "x", count: 1000)]))
        _ = picture.remove(Array("/r/endpoints/a/2".utf8))
        #expect(isTaken("3", "b"))
    }

    @Test("what clusters that answer in turns don't have is kept once, and lost at the time that was set first")
    func clustersInTurns() throws {
        func entries(_ name: String) -> [EtcdEntry] {
            [
                etcdEntry(.mesh(name), meshRecord(name).bytes),
                etcdEntry(.endpoint("e", mesh: name), RegistryRecord.bytes(sharedEndpoint("e"))),
            ]
        }
        var picture = RegistryPicture(root: "/r/", own: "own")
        var missing = MissingRecords()
        let start = Timestamp.now
        _ = picture.replace(entries("a") + entries("c")) { _, _ in }
        for turn in 1...1000 {
            let changes = picture.replace(entries(turn.isMultiple(of: 2) ? "a" : "b")) { _, _ in }
            let now = missing.take(changes, picture, until: start.advanced(by: .seconds(turn)))
            #expect(!now.contains { $0.isLoss })
            // What the other cluster has, and what none has any more.
            #expect(missing.count == 4 && missing.end == start.advanced(by: .seconds(1)))
        }
        let lost = missing.giveUp(picture)
        #expect(lost.count == 4 && lost.allSatisfy { $0.isLoss && !picture.has($0) })
        #expect(missing.count == 0 && missing.end == nil)
        // All that comes back ends the wait.
        _ = missing.take(picture.replace([]) { _, _ in }, picture, until: start)
        #expect(missing.count == 2 && missing.end == start)
        _ = missing.take(picture.replace(entries("a")) { _, _ in }, picture, until: start)
        #expect(missing.count == 0 && missing.end == nil)
    }

    @Test("events and what there is at a moment lead to the same")
    func sameByBothWays() {
        var random = SeededGenerator(seed: seed)
        var picture = RegistryPicture(root: "/r/", own: "own")
        var stored: [RegistryKey: [UInt8]] = [:]
        var known: Set<RegistryPicture.Change> = []
        // By what each is known: what is told of it later takes the place of what was told before.
        func identity(_ change: RegistryPicture.Change) -> [String] {
            switch change {
            case .mesh(let mesh), .noMesh(let mesh): ["mesh", mesh.name]
            case .endpoint(let one, let mesh), .noEndpoint(let one, let mesh): ["endpoint", mesh, one.name, one.url]
            case .service(let one, let mesh), .noService(let one, let mesh): ["service", mesh, one.name]
            }
        }
        func take(_ changes: [RegistryPicture.Change]) {
            for change in changes {
                switch change {
                case .mesh, .endpoint, .service:
                    known = known.filter { identity($0) != identity(change) }
                    known.insert(change)
                case .noMesh(let old): known.remove(.mesh(old))
                case .noEndpoint(let old, let mesh): known.remove(.endpoint(old, mesh: mesh))
                case .noService(let old, let mesh): known.remove(.service(old, mesh: mesh))
                }
            }
        }
        for _ in 0..<3000 {
            let mesh = random.pick(["a", "b", "own"])
            let key: RegistryKey =
                switch random.below(4) {
                case 0: .mesh(mesh)
                case 1: .service(random.pick(["s", "t"]), mesh: mesh)
                default: .endpoint(random.pick(["e", "f", "g"]), mesh: mesh)
                }
            let host = random.pick(["192.0.2.1", "192.0.2.2"])
            let service = random.pick(["s", "t"])
            let value: [UInt8] =
                switch key {
                case .mesh(let name): meshRecord(name, host, process: random.pick(["1", "2"])).bytes
                case .endpoint(let name, _): RegistryRecord.bytes(sharedEndpoint(name, [service]))
                case .service(let name, _):
                    RegistryRecord.bytes(NSMNetworkService.with { ($0.name, $0.payload) = (name, service) })
                }
            switch random.below(10) {
            case 0...2:
                stored[key] = nil
                take(picture.remove(Array(key.text(root: "/r/").utf8)))
            case 3:
                // A while without etcd.
                stored[key] = value
                take(picture.replace(stored.map { etcdEntry($0.key, $0.value) }) { _, _ in })
            case 4:
                stored[key] = nil
                take(Self.put(&picture, key, Array("[]".utf8)))
            default:
                stored[key] = value
                take(Self.put(&picture, key, value))
            }
            var fresh = RegistryPicture(root: "/r/", own: "own")
            let all = fresh.replace(stored.map { etcdEntry($0.key, $0.value) }) { _, _ in }
            #expect(known == Set(all), "seed \(seed)")
            if known != Set(all) { return }
        }
    }
}
