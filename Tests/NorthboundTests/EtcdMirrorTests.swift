import EtcdClient
import Model
import Testing

@testable import Northbound

@Suite struct EtcdMirrorTests {
    private static let prefix = "/vnf-agent/here/"
    private static let interfaces = prefix + "config/linux/interfaces/v2/interface/"

    private static func entry(_ name: String, _ value: String, _ revision: Int64 = 1) -> EtcdEntry {
        EtcdEntry(key: Array((interfaces + name).utf8), value: Array(value.utf8), modRevision: revision)
    }

    private static func bridge(_ name: String, _ revision: Int64 = 1, mtu: Int = 1500) -> EtcdEntry {
        entry(name, #"{"name": "\#(name)", "type": "BRIDGE", "mtu": \#(mtu)}"#, revision)
    }

    private static func delete(_ name: String, _ revision: Int64) -> EtcdEvent {
        .delete(key: Array((interfaces + name).utf8), revision: revision)
    }

    private static func snapshot(_ entries: [EtcdEntry], _ revision: Int64 = 1, cluster: UInt64 = 1) -> EtcdSnapshot {
        EtcdSnapshot(entries: entries, revision: revision, cluster: cluster)
    }

    /// One that has read these.
    private static func mirror(_ entries: [EtcdEntry], _ revision: Int64 = 10) -> EtcdMirror {
        var mirror = EtcdMirror(prefix: prefix)
        _ = mirror.take(snapshot(entries, revision))
        return mirror
    }

    private static func names(_ change: EtcdMirror.Change) -> [String] { change.values.map(\.name) }

    private static func change(_ outcome: EtcdMirror.Outcome) throws -> EtcdMirror.Change {
        guard case .change(let change) = outcome else {
            Issue.record("\(outcome)")
            return .init()
        }
        return change
    }

    private static func isKept(_ outcome: EtcdMirror.Outcome) -> Bool {
        if case .keep = outcome { return true }
        return false
    }

    @Test func theFirstLookIsAllThereIs() throws {
        var mirror = EtcdMirror(prefix: Self.prefix)
        let change = try Self.change(mirror.take(Self.snapshot([Self.bridge("a"), Self.bridge("b")])))
        #expect(change.replacesAll && Self.names(change) == ["a", "b"] && change.problems.isEmpty)
    }

    @Test func nothingAtFirstIsNotBelieved() throws {
        var mirror = EtcdMirror(prefix: Self.prefix)
        #expect(Self.isKept(mirror.take(Self.snapshot([]))))
        #expect(mirror.take([.put(Self.bridge("a", 2))], revision: 2).isEmpty && mirror.wasWrittenInDoubt)
        let change = mirror.settleDoubt()
        #expect(change.replacesAll && Self.names(change) == ["a"])
        var other = EtcdMirror(prefix: Self.prefix)
        #expect(Self.isKept(other.take(Self.snapshot([]))))
        #expect(try Self.change(other.take(Self.snapshot([Self.bridge("a")], 2))).replacesAll)
        var accepted = EtcdMirror(prefix: Self.prefix)
        #expect(Self.isKept(accepted.take(Self.snapshot([]))))
        #expect(accepted.settleDoubt().replacesAll && !accepted.isInDoubt)
    }

    @Test func eventsChangeWhatTheyName() {
        var mirror = Self.mirror([Self.bridge("a"), Self.bridge("b")])
        let events: [EtcdEvent] = [
            .put(Self.bridge("c", 11)), Self.delete("a", 12), .put(Self.bridge("c", 13, mtu: 9000)),
            Self.delete("x", 13),
        ]
        let change = mirror.take(events, revision: 13)
        #expect(Self.names(change) == ["c"] && change.removed == ["config/linux/interfaces/v2/interface/a"])
        #expect(!change.replacesAll && mirror.position?.revision == 13)
        guard case .interface(let interface) = change.values[0] else { return }
        #expect(interface.mtu == 9000)
    }

    @Test func theSameValueAgainIsNoChange() {
        var mirror = Self.mirror([Self.bridge("a")])
        #expect(mirror.take([.put(Self.bridge("a", 11))], revision: 11).isEmpty)
    }

    @Test func whatChangedWhileAwayIsFound() throws {
        var mirror = Self.mirror([Self.bridge("a"), Self.bridge("b"), Self.bridge("c")])
        let change = try Self.change(
            mirror.take(Self.snapshot([Self.bridge("a"), Self.bridge("b", 11, mtu: 9000), Self.bridge("d")], 12)))
        #expect(Self.names(change) == ["b", "d"] && !change.replacesAll)
        #expect(change.removed == ["config/linux/interfaces/v2/interface/c"])
    }

    @Test(arguments: [
        (entry("a", "{"), "value:"), (entry("a", #"{"name": "b"}"#), "belongs under /vnf-agent/here/config"),
        (entry("a", #"{"name": "a", "tpye": 1}"#), "'tpye'"), (entry("a", ""), "must hold one"),
        (EtcdEntry(key: Array("/vnf-agent/here/config/x/y".utf8), value: [], modRevision: 1), "no model"),
        (EtcdEntry(key: Array("/vnf-agent/here/config/vpp/v2/x".utf8), value: [], modRevision: 1), "no VPP"),
        (EtcdEntry(key: Array((interfaces + "a").utf8), value: [0xff, 0xfe], modRevision: 1), ""),
    ])
    func whatCannotBeUsedIsToldAndSkipped(_ entry: EtcdEntry, _ text: String) throws {
        var mirror = EtcdMirror(prefix: Self.prefix)
        let change = try Self.change(mirror.take(Self.snapshot([entry, Self.bridge("good")])))
        #expect(Self.names(change) == ["good"])
        #expect(change.problems.count == 1 && change.problems.first?.key == entry.keyText)
        #expect(change.problems.first?.text.contains(text) == true || text.isEmpty, "\(change.problems)")
    }

    @Test func whatWasGoodStaysUntilItIsDeleted() {
        var mirror = Self.mirror([Self.bridge("a")])
        let broken = mirror.take([.put(Self.entry("a", "{", 11))], revision: 11)
        #expect(broken.isEmpty && broken.problems.count == 1)
        let gone = mirror.take([Self.delete("a", 12)], revision: 12)
        #expect(gone.removed == ["config/linux/interfaces/v2/interface/a"])
    }

    @Test(arguments: [
        snapshot([], 20), snapshot([bridge("a")], 20, cluster: 2), snapshot([bridge("a")], 9),
        snapshot([bridge("a", mtu: 9000), bridge("b")], 9),
    ])
    func anEtcdThatLostItsMindIsNotBelieved(_ snapshot: EtcdSnapshot) {
        var mirror = Self.mirror([Self.bridge("a"), Self.bridge("b")])
        #expect(Self.isKept(mirror.take(snapshot)))
        #expect(mirror.isInDoubt && !mirror.wasWrittenInDoubt)
        // Again, after another reconnect.
        #expect(Self.isKept(mirror.take(snapshot)))
        #expect(!mirror.wasWrittenInDoubt)
    }

    @Test func anotherClusterWithTheSameIsBelieved() throws {
        var mirror = Self.mirror([Self.bridge("a")])
        let change = try Self.change(mirror.take(Self.snapshot([Self.bridge("a"), Self.bridge("b")], 3, cluster: 2)))
        #expect(Self.names(change) == ["b"] && change.removed.isEmpty)
        #expect(mirror.position?.cluster == 2 && mirror.position?.revision == 3)
    }

    @Test func onceAKeyIsWrittenItCounts() {
        var mirror = Self.mirror([Self.bridge("a"), Self.bridge("b")])
        #expect(Self.isKept(mirror.take(Self.snapshot([], 2, cluster: 2))))
        #expect(mirror.take([.put(Self.bridge("b", 3))], revision: 3).isEmpty)
        #expect(mirror.wasWrittenInDoubt)
        #expect(mirror.take([.put(Self.bridge("c", 4))], revision: 4).isEmpty)
        let change = mirror.settleDoubt()
        #expect(Self.names(change) == ["c"] && change.removed == ["config/linux/interfaces/v2/interface/a"])
        #expect(!mirror.isInDoubt && mirror.settleDoubt().isEmpty)
    }

    @Test func aKeyWrittenWhileAwayCountsToo() {
        var mirror = Self.mirror([Self.bridge("a")])
        #expect(Self.isKept(mirror.take(Self.snapshot([], 2, cluster: 2))))
        #expect(Self.isKept(mirror.take(Self.snapshot([Self.bridge("b", 3)], 3, cluster: 2))))
        #expect(mirror.wasWrittenInDoubt)
    }

    @Test func theOldOneComesBack() throws {
        var mirror = Self.mirror([Self.bridge("a")])
        #expect(Self.isKept(mirror.take(Self.snapshot([], 2, cluster: 2))))
        let change = try Self.change(mirror.take(Self.snapshot([Self.bridge("a")], 11)))
        #expect(change.isEmpty && !mirror.isInDoubt)
    }

    @Test func variablesAreExpandedOnDemand() throws {
        var mirror = EtcdMirror(prefix: Self.prefix) { text in VariableText.expand(text) { $0 == "MTU" ? "9000" : nil }
        }
        let entry = Self.entry("a", #"{"name": "a", "type": "BRIDGE", "mtu": ${MTU}}"#)
        let change = try Self.change(mirror.take(Self.snapshot([entry])))
        guard case .interface(let interface)? = change.values.first else { return #expect(Bool(false)) }
        #expect(interface.mtu == 9000)
    }

    @Test(arguments: [
        ("$A-${A}", "x-x"), ("$B|${B}|$", "||$"), ("$$A $1 ${A", "$x $1 ${A"), ("$A_ $Ab", " "), ("plain", "plain"),
    ])
    func variables(_ text: String, _ expected: String) {
        #expect(VariableText.expand(text) { $0 == "A" ? "x" : nil } == expected)
    }

    // MARK: - Over a restart

    private static func restarted(_ before: EtcdMirror) -> EtcdMirror {
        let memory = before.memory.flatMap { EtcdMemory(text: $0.text) }
        #expect(memory == before.memory)
        return EtcdMirror(prefix: prefix, past: memory)
    }

    @Test func aClusterThatGoesOnIsBelievedAfterARestart() throws {
        let before = Self.mirror([Self.bridge("a"), Self.bridge("b")])
        var after = Self.restarted(before)
        let change = try Self.change(after.take(Self.snapshot([Self.bridge("a"), Self.bridge("c", 12)], 12)))
        #expect(change.replacesAll && Self.names(change) == ["a", "c"])
    }

    @Test func anEtcdThatLostItsMindDuringARestartIsNot() throws {
        let before = Self.mirror([Self.bridge("a"), Self.bridge("b")])
        let others = [Self.bridge("a"), Self.bridge("c")]
        for (snapshot, word) in [
            (Self.snapshot(others, 12, cluster: 2), "another cluster"), (Self.snapshot(others, 9), "older than 10"),
            (Self.snapshot([], 12), "where 2 keys were"),
        ] {
            var after = Self.restarted(before)
            guard case .keep(let reason) = after.take(snapshot) else {
                Issue.record("believed: \(word)")
                continue
            }
            #expect(reason.contains(word) && reason.contains("before the restart"))
            // Nothing was written since, so a reconnect changes nothing.
            #expect(Self.isKept(after.take(snapshot)) && !after.wasWrittenInDoubt)
            _ = after.take([.put(Self.bridge("d", 13))], revision: 13)
            #expect(after.wasWrittenInDoubt)
            let change = after.settleDoubt()
            #expect(change.replacesAll && Self.names(change).last == "d")
            #expect(after.memory?.cluster == snapshot.cluster && after.memory?.revision == 13)
        }
    }

    /// One that was set back gets on to the same revision by what others write.
    @Test(arguments: [false, true]) func anEtcdThatWasSetBackIsAskedForItsPast(isRestarted: Bool) throws {
        let before = Self.mirror([Self.bridge("a"), Self.bridge("b")])
        var mirror = isRestarted ? Self.restarted(before) : before
        let later = Self.snapshot([Self.bridge("a")], 12)
        let last = try #require(mirror.unproven(by: later))
        #expect(last.revision == 10 && last.content == before.memory?.content)
        // As it was, of another cluster, or older: there is nothing to ask for.
        #expect(mirror.unproven(by: Self.snapshot([Self.bridge("b"), Self.bridge("a")], 12)) == nil)
        #expect(mirror.unproven(by: Self.snapshot([Self.bridge("a")], 12, cluster: 2)) == nil)
        #expect(mirror.unproven(by: Self.snapshot([Self.bridge("a")], 9)) == nil)
        guard case .keep(let reason) = mirror.take(later, hasOtherPast: true) else {
            return #expect(Bool(false), "believed")
        }
        #expect(reason.contains("revision 10 holds something else"))
        var believed = isRestarted ? Self.restarted(before) : before
        _ = try Self.change(believed.take(later))
        #expect(believed.memory?.revision == 12)
    }

    @Test func theSameContentIsTheSameAfterARestart() throws {
        var before = Self.mirror([Self.bridge("a"), Self.bridge("x")])
        _ = before.take([.put(Self.bridge("b", 11)), Self.delete("x", 12)], revision: 12)
        var after = Self.restarted(before)
        let snapshot = Self.snapshot([Self.bridge("b"), Self.bridge("a")], 3, cluster: 2)
        #expect(try Self.change(after.take(snapshot)).replacesAll)
        var other = Self.restarted(before)
        #expect(Self.isKept(other.take(Self.snapshot([Self.bridge("b"), Self.bridge("a", mtu: 1400)], 3, cluster: 2))))
    }

    @Test func whatWasMeantToBeEmptyStaysSo() throws {
        var before = EtcdMirror(prefix: Self.prefix)
        _ = before.take(Self.snapshot([], 5))
        #expect(before.memory == nil)
        _ = before.settleDoubt()
        var after = Self.restarted(before)
        #expect(try Self.change(after.take(Self.snapshot([], 7))).replacesAll)
        var lost = Self.restarted(before)
        #expect(Self.isKept(lost.take(Self.snapshot([], 1, cluster: 9))))
    }

    @Test(arguments: [
        "", "x", "nsm-agent etcd 1\n", "nsm-agent etcd 1\ncluster g\nrevision 1\nkeys 1\nsum 1\nprefix a\n",
    ])
    func whatIsNoMemoryIsNotRead(_ text: String) { #expect(EtcdMemory(text: text) == nil) }

    @Test func theMemoryOfAnotherPrefixIsNone() throws {
        let memory = EtcdMemory(prefix: "/other/", cluster: 2, revision: 99)
        var mirror = EtcdMirror(prefix: Self.prefix, past: memory)
        #expect(try Self.change(mirror.take(Self.snapshot([Self.bridge("a")]))).replacesAll)
    }
}
