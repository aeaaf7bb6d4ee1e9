import LinuxKinds
import Northbound
import Reconciler
import TestSupport
import Testing

@testable import Agent
@testable import Model

@Suite("What several sources declare")
struct SourceTableTests {
    /// The same told by a list of all writes that stand.
    private struct Writes {
        var standing: [(key: String, source: String, value: Int)] = []

        mutating func write(_ key: String, _ source: String, _ value: Int) {
            standing.removeAll { $0.key == key && $0.source == source }
            standing.append((key, source, value))
        }

        mutating func withdraw(_ key: String, _ source: String) {
            standing.removeAll { $0.key == key && $0.source == source }
        }

        func heard(_ key: String) -> Int? { standing.last { $0.key == key }?.value }
    }

    @Test("the last writer is heard, and who withdraws uncovers the one before", arguments: 0..<200)
    func lastWriter(seed: Int) {
        var random = SeededGenerator(seed: UInt64(seed))
        var table = SourceTable<Int>()
        var writes = Writes()
        let sources = ["files", "grpc", "set", "etcd"]
        for step in 0..<100 {
            let key = "k\(Int.random(in: 0..<4, using: &random))"
            let source = sources[Int.random(in: 0..<sources.count, using: &random)]
            let before = table.claims(key).last?.value
            if Bool.random(using: &random) {
                table.write(key, .init(source: source, origin: .plain, value: step))
                writes.write(key, source, step)
            } else {
                writes.withdraw(key, source)
                switch table.withdraw(key, of: source) {
                case .unheard: #expect(writes.heard(key) == before)
                case .last: #expect(writes.heard(key) == nil)
                case .uncovered(let claim): #expect(writes.heard(key) == claim.value)
                }
            }
            #expect(table.claims(key).map(\.value) == writes.standing.filter { $0.key == key }.map(\.value))
            for source in sources {
                #expect(table.keys(of: source) == Set(writes.standing.filter { $0.source == source }.map(\.key)))
            }
        }
        #expect(table.isEmpty == writes.standing.isEmpty)
    }

    private func network() -> HostNetwork { HostNetwork(AgentSettings()) }

    private func bridge(_ name: String, mtu: UInt32) -> ModelValue {
        var message = Ligato_Linux_Interfaces_Interface()
        message.name = name
        message.type = .bridge
        message.mtu = mtu
        return .interface(message)
    }

    private func difference(_ values: [ModelValue], removed: [String] = []) -> ConfigDifference {
        var difference = ConfigDifference()
        difference.changed = values.map {
            LoadedConfig.Item(key: $0.key, value: $0, position: SourcePosition(file: "a.yaml", line: 1, column: 1))
        }
        difference.removed = removed
        return difference
    }

    @Test("files and a client write one key: each in its turn, and what was said comes back")
    func filesAndClient() {
        let network = network()
        let (file, client, later) = (bridge("br", mtu: 1400), bridge("br", mtu: 1300), bridge("br", mtu: 1200))
        let key = file.key
        _ = network.declare(difference([file]))
        #expect(network.provenance(key) == Provenance(provider: "files a.yaml:1"))
        #expect(network.declare(SourceChange(source: "grpc", origin: "unix", values: [client])) == [key])
        #expect(network.declaredValue(key) == client)
        #expect(network.provenance(key) == Provenance(provider: "grpc unix", others: ["files a.yaml:1"]))
        _ = network.declare(difference([later]))
        #expect(network.declaredValue(key) == later)
        #expect(network.provenance(key) == Provenance(provider: "files a.yaml:1", others: ["grpc unix"]))
        _ = network.declare(difference([], removed: [key]))
        #expect(network.declaredValue(key) == client)
        #expect(network.provenance(key) == Provenance(provider: "grpc unix"))
        _ = network.declare(difference([file]))
        #expect(network.declare(SourceChange(source: "grpc", removed: [key])) == [])
        #expect(network.declaredValue(key) == file)
        network.declare(SourceChange(source: "grpc", values: [client]))
        #expect(network.declare(SourceChange(source: "grpc", removed: [key])) == [key])
        #expect(network.declaredValue(key) == file)
        _ = network.declare(difference([], removed: [key]))
        #expect(network.declaredValue(key) == nil)
        #expect(network.provenance(key) == nil)
        #expect(network.table.isEmpty)
    }

    @Test("each value tells where its source has it from: the line as files are now, the entry and its revision")
    func places() {
        let network = network()
        let (file, client) = (bridge("br", mtu: 1400), bridge("br", mtu: 1300))
        let key = file.key
        func moved(to line: Int) -> ConfigDifference {
            var difference = ConfigDifference()
            let position = SourcePosition(file: "b.yaml", line: line, column: 1)
            difference.moved = [.init(key: key, position: position)]
            return difference
        }
        _ = network.declare(difference([file]))
        #expect(network.declare(moved(to: 7)) == 0)
        #expect(network.provenance(key) == Provenance(provider: "files b.yaml:7"))
        let entries = StoredEntries(store: EntryStore(name: "http://e:2379", prefix: "/vnf-agent/a/"), revisions: [12])
        network.declare(SourceChange(source: "etcd", values: [client], entries: entries))
        let etcd = "etcd http://e:2379 /vnf-agent/a/\(key) revision 12"
        #expect(network.provenance(key) == Provenance(provider: etcd, others: ["files b.yaml:7"]))
        _ = network.declare(moved(to: 9))
        #expect(network.provenance(key) == Provenance(provider: etcd, others: ["files b.yaml:9"]))
        network.declare(SourceChange(source: "etcd", removed: [key]))
        #expect(network.provenance(key) == Provenance(provider: "files b.yaml:9"))
        _ = network.declare(difference([file]))
        network.declare(SourceChange(source: "grpc", origin: "10.0.0.7 user 3", values: [client]))
        _ = network.declare(difference([bridge("br", mtu: 1200)]))
        _ = network.declare(moved(to: 4))
        #expect(
            network.provenance(key) == Provenance(provider: "files b.yaml:4", others: ["grpc 10.0.0.7 user 3"]))
    }

    @Test("values of clients that contradict each other never meet in the kernel: one is invalid, and says why")
    func contradictions() {
        func link(_ name: String, _ hostName: String) -> ModelValue {
            guard case .interface(var message) = bridge(name, mtu: 1400) else { preconditionFailure() }
            message.hostIfName = hostName
            return .interface(message)
        }
        func state(_ value: ModelValue) -> ValueState? { network.reconciler.status(of: value.key)?.state }
        let network = network()
        let (a, b, c) = (link("a", "x"), link("b", "x"), link("c", "x"))
        network.declare(SourceChange(source: "grpc", values: [a]))
        network.declare(SourceChange(source: "set", values: [b]))
        #expect(state(a) != .invalid && state(b) == .invalid)
        #expect(network.reconciler.status(of: b.key)?.error.contains(a.key) == true)
        #expect(network.reconciler.status(of: b.key)?.details == ["host_if_name"])
        // What an operator writes in files stands.
        _ = network.declare(difference([c]))
        #expect(state(a) == .invalid && state(b) == .invalid && state(c) != .invalid)
        _ = network.declare(difference([], removed: [c.key]))
        #expect(state(a) != .invalid && state(b) == .invalid)
        network.declare(SourceChange(source: "grpc", values: [link("a", "y")]))
        #expect(state(a) != .invalid && state(b) != .invalid)
        _ = network.declare(difference([c]))
        #expect(state(b) == .invalid)
        network.declare(SourceChange(source: "grpc", replacesAll: true))
        network.declare(SourceChange(source: "set", replacesAll: true))
        #expect(network.table.isEmpty && state(c) != .invalid && state(b) != .invalid)
    }

    @Test("who contradicts whom is found out once for all clients that come and go")
    func comingAndGoing() {
        let network = network()
        let others = (0..<20).map { bridge("f\($0)", mtu: 1400) }
        _ = network.declare(difference(others))
        #expect(network.together == nil, "files alone are checked as they are read")
        for round in 0..<3 {
            network.declare(SourceChange(source: "grpc", values: [bridge("b", mtu: 1400)]))
            network.declare(SourceChange(source: "grpc", replacesAll: true))
            #expect(network.table.isEmpty)
            // Each leaves its place behind: it is not made anew.
            #expect(network.together?.places == others.count + round + 1)
        }
        // What files say meanwhile counts.
        var message = Ligato_Linux_Interfaces_Interface()
        (message.name, message.type, message.hostIfName) = ("b", .bridge, "late")
        _ = network.declare(difference([bridge("late", mtu: 1400)], removed: [others[0].key]))
        network.declare(SourceChange(source: "grpc", values: [.interface(message)]))
        #expect(network.reconciler.status(of: ModelValue.interface(message).key)?.state == .invalid)
    }

    @Test("what the environment asks for says so")
    func environment() {
        var client = Upnp_NetworkServiceClient()
        (client.name, client.networkService) = ("c", "s")
        let network = HostNetwork(AgentSettings(), clients: [client])
        _ = network.declare(ConfigDifference())
        let key = ModelValue.client(client).key
        #expect(network.provenance(key) == Provenance(provider: "environment"))
        network.declare(SourceChange(source: "grpc", origin: "a", values: [.client(client)]))
        #expect(network.provenance(key) == Provenance(provider: "grpc a", others: ["environment"]))
    }

    @Test("all of one source is replaced, and nothing of another one goes")
    func replacing() {
        let network = network()
        let (a, b, c) = (bridge("a", mtu: 1400), bridge("b", mtu: 1400), bridge("c", mtu: 1400))
        _ = network.declare(difference([a]))
        network.declare(SourceChange(source: "grpc", values: [bridge("a", mtu: 1300), b]))
        let changed = network.declare(SourceChange(source: "grpc", values: [c], replacesAll: true))
        #expect(changed == [a.key, b.key, c.key])
        #expect(network.declaredValues.map(\.key) == [a.key, c.key])
        #expect(network.declaredValue(a.key) == a)
        #expect(network.declare(SourceChange(source: "etcd", replacesAll: true)) == [])
        #expect(network.declare(SourceChange(source: "grpc", removed: ["config/nothing"])) == [])
    }

    @Test("all that clients declare can be told in few changes", arguments: 0..<100)
    func told(seed: Int) {
        var random = SeededGenerator(seed: UInt64(seed))
        let (first, second) = (network(), network())
        for _ in 0..<40 {
            let values = (0..<random.below(4)).map { _ in
                bridge("b\(random.below(5))", mtu: UInt32(1300 + random.below(50)))
            }
            first.declare(
                SourceChange(
                    source: random.pick(["grpc", "set", "etcd"]), origin: random.pick(["", "one"]), values: values,
                    removed: [bridge("b\(random.below(5))", mtu: 1300).key], replacesAll: random.chance(10)))
        }
        for change in first.declaredChanges(besides: ["etcd"]) { second.declare(change) }
        first.declare(SourceChange(source: "etcd", replacesAll: true))
        #expect(first.declaredValues.map(\.value) == second.declaredValues.map(\.value), "seed \(seed)")
        for (key, _) in first.declaredValues {
            #expect(first.provenance(key) == second.provenance(key), "seed \(seed), \(key)")
        }
    }

    @Test("what a client writes wrongly is invalid under its key, and the file's counts again afterwards")
    func invalid() {
        let network = network()
        var message = Ligato_Linux_Interfaces_Interface()
        message.name = "v"
        message.type = .veth
        message.veth = .init()
        let (wrong, right) = (ModelValue.interface(message), bridge("v", mtu: 1400))
        _ = network.declare(difference([right]))
        network.declare(SourceChange(source: "grpc", values: [wrong]))
        #expect(network.reconciler.status(of: wrong.key)?.state == .invalid)
        #expect(network.reconciler.status(of: wrong.key)?.details.contains("peer_if_name") == true)
        network.declare(SourceChange(source: "grpc", removed: [wrong.key]))
        #expect(network.reconciler.status(of: wrong.key)?.state != .invalid)
        var client = Upnp_NetworkServiceClient()
        client.name = "c"
        network.declare(SourceChange(source: "grpc", values: [.client(client)]))
        #expect(network.reconciler.status(of: ModelValue.client(client).key)?.state == .invalid)
        #expect(network.services.isEmpty)
    }
}
