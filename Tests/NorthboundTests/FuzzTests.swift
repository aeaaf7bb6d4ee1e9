import EtcdClient
import Model
import SwiftProtobuf
import TestSupport
import Testing

@testable import Northbound

/// Bytes of any kind from clients of each face: an answer each time, and never anything declared that was not said.
@Suite("Damaged messages")
struct DamagedMessageTests {
    private static let prefix = "/vnf-agent/here/"

    /// A value of each kind, as JSON.
    private static let samples = [
        (
            "config/linux/interfaces/v2/interface/a",
            #"{"name":"a","type":"BRIDGE","mtu":1400,"ip_addresses":["10.0.0.1/24"]}"#
        ),
        (
            "config/linux/l3/v2/arp/a/10.0.0.2",
            #"{"interface":"a","ip_address":"10.0.0.2","hw_address":"02:00:00:00:00:01"}"#
        ),
        (
            "config/linux/l3/v2/route/10.1.0.0/16/a",
            #"{"outgoingInterface":"a","dstNetwork":"10.1.0.0/16","gwAddr":"10.0.0.2"}"#
        ),
        ("config/linux/iptables/v2/rulechain/f", #"{"name":"f","chain_type":"FORWARD","rules":["-i a -j ACCEPT"]}"#),
        (
            "config/netalloc/v1/ip/network/n/interface/a",
            #"{"network_name":"n","interface_name":"a","address":"10.5.0.1/24"}"#
        ),
        ("config/cnf/nsm/v1/client/c", #"{"name":"c","network_service":"db","interface_name":"nsm"}"#),
        ("config/cnf/nsm/v1/endpoint/db", #"{"network_service":"db","advertised_labels":[{"key":"a","value":"b"}]}"#),
    ].map { (key: $0.0, value: Array($0.1.utf8)) }

    private static let pieces = [
        "{", "}", "[", "]", "\"", "\\", "\\u0000", "\\ud800", ",", ":", "null", "-1", "1e999", "4294967296", "true",
        "${X}", "$",
        "/", "\u{0}", "é", "name", "{\"a\":{\"a\":{\"a\":[[[[", "@type", " ",
    ].map { Array($0.utf8) }

    private static func damaged(_ whole: [UInt8], _ random: inout SeededGenerator) -> [UInt8] {
        var bytes = whole
        for _ in 0...random.below(3) {
            let place = random.below(bytes.count + 1)
            let count = min(random.below(12), bytes.count - place)
            switch random.below(5) {
            case 0: bytes.removeSubrange(place..<place + count)
            case 1: bytes.insert(contentsOf: random.pick(pieces), at: place)
            case 2: bytes.replaceSubrange(place..<place + count, with: random.pick(pieces))
            case 3: bytes.insert(UInt8(random.below(256)), at: place)
            default: bytes.insert(contentsOf: bytes[place..<place + count], at: random.below(bytes.count + 1))
            }
        }
        return bytes
    }

    /// What an entry declares by itself; nil: it can't be used.
    private static func meaning(_ key: [UInt8], _ value: [UInt8]) -> ModelValue? {
        var mirror = EtcdMirror(prefix: prefix, expand: { VariableText.expand($0) { _ in "x" } })
        let entry = EtcdEntry(key: key, value: value, modRevision: 1)
        guard case .change(let change) = mirror.take(EtcdSnapshot(entries: [entry], revision: 1, cluster: 1)) else {
            return nil
        }
        return change.values.first
    }

    @Test("whatever is written to etcd, what can be used is declared and nothing else", .timeLimit(.minutes(20)))
    func entries() async {
        for seed in Seeds("entries of etcd", usual: 30, long: 1000, step: 100) {
            await Task.yield()
            entries(seed: seed)
        }
    }

    private func entries(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var mirror = EtcdMirror(prefix: Self.prefix, expand: { VariableText.expand($0) { _ in "x" } })
        let anchor = EtcdEntry(
            key: Array((Self.prefix + Self.samples[0].key).utf8), value: Self.samples[0].value, modRevision: 1)
        _ = mirror.take(EtcdSnapshot(entries: [anchor], revision: 1, cluster: 1))
        var stored = [anchor.key: anchor.value]
        var declared = Self.meaning(anchor.key, anchor.value).map { [$0.key: $0] } ?? [:]
        for revision in Int64(2)..<60 {
            var events: [EtcdEvent] = []
            for _ in 0...random.below(4) {
                let sample = random.pick(Self.samples)
                var key = Array((Self.prefix + sample.key).utf8)
                if random.chance(15) {
                    let end = Self.damaged(Array(key.dropFirst(Self.prefix.utf8.count)), &random)
                    key = Array(Self.prefix.utf8) + end
                }
                if random.chance(25) {
                    events.append(.delete(key: key, revision: revision))
                    stored[key] = nil
                } else {
                    let value = random.chance(40) ? sample.value : Self.damaged(sample.value, &random)
                    events.append(.put(EtcdEntry(key: key, value: value, modRevision: revision)))
                    stored[key] = value
                }
            }
            let change = mirror.take(events, revision: revision)
            for key in change.removed { declared[key] = nil }
            for value in change.values { declared[value.key] = value }
        }
        // The last good value of a key stays when it is overwritten with what can't be used, until the key is deleted.
        for (key, value) in stored {
            if let meaning = Self.meaning(key, value) { #expect(declared[meaning.key] == meaning) }
        }
        let keys = Set(stored.keys.map { String(decoding: $0.dropFirst(Self.prefix.utf8.count), as: UTF8.self) })
        #expect(keys.isSuperset(of: declared.keys))
    }

    @Test("messages of every model are refused or become values with a key", .timeLimit(.minutes(20)))
    func messages() async throws {
        for seed in Seeds("messages of models", usual: 30, long: 1000, step: 100) {
            await Task.yield()
            try messages(seed: seed)
        }
    }

    private func messages(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let values = Self.samples.compactMap { Self.meaning(Array((Self.prefix + $0.key).utf8), $0.value) }
        #expect(values.count == Self.samples.count)
        for _ in 0..<200 {
            let value = random.pick(values)
            var any = try ItemCoding.item(value.key, value).data.any
            any.value = .init(Self.damaged(Array(any.value), &random))
            if random.chance(20) { any.typeURL = "models.ligato.io/" + random.pick(values).model.protoMessage }
            guard let read = try? ItemCoding.value(any) else { continue }
            // What was taken can be told again, in all forms.
            _ = read.checked()
            let again = try ItemCoding.value(ItemCoding.item(read.key, read).data.any)
            #expect(again == read)
            _ = try ValueJSON(dataIsText: random.chance(50)).value(read).text
        }
    }

    @Test("bodies of JSON are answered with mistakes that have a place, or with values", .timeLimit(.minutes(20)))
    func bodies() async {
        for seed in Seeds("bodies of JSON", usual: 30, long: 1000, step: 100) {
            await Task.yield()
            bodies(seed: seed)
        }
    }

    private func bodies(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let whole = Array(
            #"{"linuxConfig":{"interfaces":[{"name":"a","type":"BRIDGE","ipAddresses":["10.0.0.1/24"]}],"routes":[]}}"#
                .utf8)
        for _ in 0..<200 {
            let bytes = Self.damaged(whole, &random)
            let config = ConfigLoader.load(bytes: bytes, name: "body")
            #expect(
                config.isValid || config.omittedMistakes > 0 || !config.mistakes.isEmpty
                    || !config.invalidValues.isEmpty)
            for mistake in config.mistakes { #expect(mistake.description.hasPrefix("body")) }
        }
    }
}
