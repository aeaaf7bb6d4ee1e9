import KubernetesClient
import Model
import Testing

@testable import Northbound

@Suite struct KubernetesMirrorTests {
    private static func item(_ name: String, mtu: Int = 1400, more: String = "") -> JSONValue {
        [
            "module": "linux.interfaces", "type": "interface",
            "data": .string("name: \(name)\ntype: BRIDGE\nmtu: \(mtu)\n\(more)"),
        ]
    }

    private static func object(
        _ name: String, _ items: JSONValue..., microservice: String = "one", version: Int = 1, created: Int = 1
    ) -> KubernetesObject {
        KubernetesObject([
            "apiVersion": "pantheon.tech/v1", "kind": "CNFConfiguration",
            "metadata": [
                "name": .string(name), "namespace": "cnf", "uid": .string("uid-\(name)"),
                "resourceVersion": .string("\(version)"), "generation": .int(version),
                "creationTimestamp": .string("2026-01-01T00:00:0\(created)Z"),
            ],
            "spec": ["microservice": .string(microservice), "configItems": .array(items)],
        ])
    }

    private static func names(_ values: [ModelValue]) -> [String] { values.map(\.name) }
    private static func key(_ name: String) -> String { ModelKey.interface(name) }

    @Test func theFirstLookReplacesAll() {
        var mirror = KubernetesMirror(label: "one")
        let change = mirror.take([
            Self.object("b", Self.item("x")), Self.object("a", Self.item("y"), Self.item("z")),
            Self.object("c", Self.item("no"), microservice: "two"),
        ])
        #expect(change.replacesAll)
        #expect(Self.names(change.values) == ["y", "z", "x"])
        #expect(change.touched == ["a", "b"])
        #expect(mirror.owner(of: Self.key("z")) == "a")
        var empty = KubernetesMirror(label: "one")
        #expect(empty.take([]).replacesAll)
    }

    @Test func onlyDifferencesAreTold() {
        var mirror = KubernetesMirror(label: "one")
        _ = mirror.take([Self.object("a", Self.item("x"), Self.item("y"))])
        let change = mirror.take(.put(Self.object("a", Self.item("x"), Self.item("z"), version: 2)))
        #expect(Self.names(change.values) == ["z"])
        #expect(change.removed == [Self.key("y")])
        // A new status is no new wish.
        let status = mirror.take(.put(Self.object("a", Self.item("x"), Self.item("z"), version: 3)))
        #expect(status.isEmpty)
        #expect(status.judged.isEmpty)
        #expect(status.touched == ["a"])
        #expect(mirror.known["a"]?.object.resourceVersion == "3")
        #expect(mirror.take(.deleted(Self.object("a", version: 4))).removed == [Self.key("x"), Self.key("z")])
        #expect(mirror.known.isEmpty)
    }

    @Test("a key that was pasted into an object is not in its status")
    func pastedKeys() {
        for (name, field) in ["privateKeyFile", "privateKey"].enumerated() {
            var mirror = KubernetesMirror(label: "one")
            let key = "/EHZEe1rXbHgaW4ZCHqNRiBX3eQMWEW1mJfUgPanq2w="
            _ = mirror.take(.put(Self.object("a", Self.item("x\(name)", more: "wireguard: {\(field): \(key)}\n"))))
            guard case .invalid(let mistakes) = mirror.known["a"]?.verdict else {
                Issue.record("it is not refused")
                return
            }
            #expect(!mistakes.isEmpty && !mistakes.contains { $0.contains("EHZEe1r") }, "\(mistakes)")
        }
    }

    @Test func aMistakeLeavesAllAsItWas() {
        var mirror = KubernetesMirror(label: "one")
        _ = mirror.take([Self.object("a", Self.item("x"))])
        let change = mirror.take(
            .put(Self.object("a", Self.item("x", mtu: 1300), Self.item("y", more: "mut: 3\n"), version: 2)))
        #expect(change.isEmpty)
        guard case .invalid(let mistakes) = mirror.known["a"]?.verdict else {
            Issue.record("it is not refused")
            return
        }
        #expect(mistakes.count == 1)
        #expect(mistakes.first?.contains("'mut'") == true)
        #expect(mirror.known["a"]?.values.count == 1)
        let mended = mirror.take(.put(Self.object("a", Self.item("x", mtu: 1300), version: 3)))
        #expect(Self.names(mended.values) == ["x"])
        #expect(mirror.known["a"]?.verdict == .accepted)
    }

    @Test func whoWasFirstHasTheKey() {
        var mirror = KubernetesMirror(label: "one")
        let change = mirror.take([
            Self.object("a", Self.item("x", mtu: 1300), Self.item("y"), created: 2),
            Self.object("b", Self.item("x"), created: 1),
        ])
        #expect(Self.names(change.values) == ["x"])
        #expect(mirror.owner(of: Self.key("x")) == "b")
        #expect(mirror.known["a"]?.verdict == .conflict("\(Self.key("x")) is declared by b already"))
        // Nothing of what is refused is there, until the first one gives way.
        let after = mirror.take(.put(Self.object("b", Self.item("z"), version: 2, created: 1)))
        #expect(Set(Self.names(after.values)) == ["x", "y", "z"])
        #expect(after.removed.isEmpty)
        #expect(mirror.known["a"]?.verdict == .accepted)
        #expect(mirror.owner(of: Self.key("x")) == "a")
    }

    @Test func whatWaitsForAKeyGetsItOnce() {
        var mirror = KubernetesMirror(label: "one")
        _ = mirror.take([
            Self.object("a", Self.item("x"), created: 1), Self.object("b", Self.item("x"), created: 2),
            Self.object("c", Self.item("x"), created: 3),
        ])
        let change = mirror.take(.deleted(Self.object("a", version: 2)))
        #expect(Self.names(change.values) == ["x"])
        #expect(change.removed.isEmpty)
        #expect(mirror.owner(of: Self.key("x")) == "b")
        #expect(mirror.known["c"]?.verdict == .conflict("\(Self.key("x")) is declared by b already"))
    }

    @Test func whatIsGivenUpForAnotherKeyGoesOn() {
        var mirror = KubernetesMirror(label: "one")
        _ = mirror.take([
            Self.object("a", Self.item("k1"), Self.item("k2"), created: 1),
            Self.object("b", Self.item("x"), created: 2),
            Self.object("c", Self.item("k2"), Self.item("x"), created: 3),
        ])
        _ = mirror.take(.put(Self.object("b", Self.item("k1"), version: 2, created: 2)))
        let change = mirror.take(.deleted(Self.object("a", version: 2)))
        #expect(mirror.owner(of: Self.key("k1")) == "b")
        #expect(mirror.owner(of: Self.key("x")) == "c" && mirror.owner(of: Self.key("k2")) == "c")
        #expect(mirror.known["c"]?.values.count == 2 && mirror.known["c"]?.verdict == .accepted)
        #expect(Set(Self.names(change.values)) == ["k1", "k2", "x"])
        #expect(change.removed.isEmpty)
    }

    @Test func aLongChainMovesUpByOne() {
        var mirror = KubernetesMirror(label: "one")
        let count = 2000
        _ = mirror.take((0..<count).map { Self.object("r\($0)", Self.item("k\($0)"), created: 1) })
        for number in 1..<count {
            _ = mirror.take(.put(Self.object("r\(number)", Self.item("k\(number - 1)"), version: 2, created: 1)))
        }
        _ = mirror.take(.deleted(Self.object("r0", version: 2)))
        #expect(mirror.known.values.allSatisfy { $0.verdict == .accepted })
        #expect(mirror.owner(of: Self.key("k\(count - 2)")) == "r\(count - 1)")
    }

    @Test func aSecondLookFindsWhatWent() {
        var mirror = KubernetesMirror(label: "one")
        _ = mirror.take([Self.object("a", Self.item("x"), version: 5), Self.object("b", Self.item("y"), version: 6)])
        let change = mirror.take([Self.object("a", Self.item("x"), version: 7)])
        #expect(!change.replacesAll)
        #expect(change.removed == [Self.key("y")])
        #expect(change.values.isEmpty)
    }

    @Test func itemsMayBeForOthers() {
        var mirror = KubernetesMirror(label: "one")
        var other = Self.item("x")
        other["microservice"] = "two"
        var own = Self.item("y")
        own["microservice"] = "one"
        let change = mirror.take([
            Self.object("a", other, Self.item("z")), Self.object("b", other, own, microservice: "two"),
            Self.object("c", other),
        ])
        #expect(Self.names(change.values) == ["z", "y"])
        #expect(mirror.known.keys.sorted() == ["a", "b"])
        // What is not for us any more goes.
        #expect(mirror.take(.put(Self.object("b", other, version: 2))).removed == [Self.key("y")])
    }
}

@Suite struct KubernetesStatusTests {
    private static func known(_ verdict: KubernetesMirror.Verdict = .accepted) -> KubernetesMirror.Known {
        KubernetesMirror.Known(
            object: KubernetesObject(["metadata": ["name": "a", "generation": 3]]), content: 0, verdict: verdict)
    }

    private static func entry(_ name: String, generation: Int = 3, failed: Int = 0, pending: Int = 0) -> KubernetesEntry
    {
        let json: JSONValue = [
            "name": .string(name), "observedGeneration": .int(generation), "values": 1, "configured": 1,
            "failed": .int(failed), "pending": .int(pending), "errors": failed > 0 ? ["no device"] : [],
        ]
        guard let entry = KubernetesEntry(json) else { fatalError() }
        return entry
    }

    private static func texts(_ conditions: KubernetesConditions) -> [String] {
        conditions.conditions.map { "\($0.type) \($0.isTrue) \($0.reason)" }
    }

    @Test func conditionsFollowFromAllAgents() {
        let good = Self.entry("p1")
        #expect(
            Self.texts(KubernetesConditions(Self.known(), [good]))
                == ["Accepted true Accepted", "Applied true Applied", "Ready true Configured"])
        #expect(
            Self.texts(KubernetesConditions(Self.known(), [good, Self.entry("p2", generation: 2)]))
                == ["Accepted true Accepted", "Applied false Waiting", "Ready false Pending"])
        let failed = KubernetesConditions(Self.known(), [good, Self.entry("p2", failed: 1)])
        #expect(failed.conditions.last?.message == "p2: no device")
        #expect(failed.conditions.last?.reason == "Failed")
        #expect(
            Self.texts(KubernetesConditions(Self.known(), [good, Self.entry("p2", pending: 1)])).last
                == "Ready false Pending")
        #expect(
            Self.texts(KubernetesConditions(Self.known(.invalid(["x:1:2: wrong"])), [good]))
                == ["Accepted false Invalid", "Applied false NotAccepted", "Ready false NotAccepted"])
    }

    @Test func whatIsWrittenIsKnownAgain() {
        let conditions = KubernetesConditions(Self.known(), [Self.entry("p1")])
        #expect(!conditions.isWritten(in: nil))
        var status: JSONValue = [:]
        for (key, value) in conditions.fields(after: nil, at: .now) { status[key] = value }
        #expect(conditions.isWritten(in: status))
        #expect(status["status"] == "Success")
        // Times stay as long as the condition does.
        let other = KubernetesConditions(Self.known(), [Self.entry("p1", failed: 1)])
        #expect(!other.isWritten(in: status))
        let next = other.fields(after: status, at: .init(nanoseconds: 0))
        let list = next.first { $0.0 == "conditions" }?.1.array ?? []
        #expect(list.first?["lastTransitionTime"] == status["conditions"]?.array?.first?["lastTransitionTime"])
        #expect(list.last?["lastTransitionTime"] == "1970-01-01T00:00:00Z")
    }

    @Test func anEntryIsReadBack() {
        var entry = Self.entry("p1", failed: 1)
        entry.microservice = "one"
        #expect(KubernetesEntry(entry.json(at: .now)) == entry)
        let rejected = KubernetesEntry(Self.known(.invalid(["a", "b"])), [], label: "one", name: "p1")
        #expect(rejected.failed == 2)
        #expect(rejected.errors == ["a", "b"])
    }
}
