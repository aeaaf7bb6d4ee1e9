import Concurrency
import KubernetesClient
import Testing

@testable import CNFController

@Suite struct StatusTests {
    private func object(_ status: JSONValue?) -> KubernetesObject {
        KubernetesObject(
            .fields([
                ("metadata", ["name": "x", "namespace": "n", "generation": 3, "resourceVersion": "7"]),
                ("status", status),
            ]))
    }

    private func entry(_ states: [String?]) -> AgentEntry {
        var entry = AgentEntry("one")
        for (index, state) in states.enumerated() {
            let report = state.map { EtcdPicture.Report(state: $0, error: "", details: ["why"], revision: 1) }
            entry.add("k\(index)", report)
        }
        return entry
    }

    @Test(
        "it is ready when all values are configured, and says what is missing",
        arguments: [
            (["CONFIGURED", "CONFIGURED"], "True", "Configured", "2 values are configured"),
            (["CONFIGURED", "PENDING"], "False", "Pending", "one: k1: PENDING: why"),
            (["FAILED", "PENDING"], "False", "Failed", "one: k0: FAILED: why"),
            (["PENDING", "RETRYING", "FAILED"], "False", "Failed", "one: k1: RETRYING: why"),
            ([nil, "CONFIGURED"], "Unknown", "NoReport", "one: 1 of 2 values are not reported"),
        ] as [([String?], String, String, String)])
    func ready(states: [String?], status: String, reason: String, message: String) throws {
        let said = ResourceConditions(.accepted, .done, [entry(states)])
        let ready = try #require(said.conditions.last)
        #expect(ready.state.rawValue == status && ready.reason == reason)
        #expect(ready.message.hasPrefix(message))
        #expect((said.message == "") == (status == "True"))
        #expect(said.word == "Success")
    }

    @Test("of many errors the first failures are told")
    func mostErrors() {
        let states = ["PENDING", "PENDING", "FAILED", "PENDING", "PENDING", "PENDING", "FAILED", "RETRYING"]
        let errors = entry(states).errors
        #expect(errors.map { $0.prefix(2) } == ["k2", "k6", "k7", "k0", "k1"])
    }

    @Test("a status that was written is not written again, and times stay until something changes")
    func repeated() {
        let said = ResourceConditions(.accepted, .done, [entry(["CONFIGURED"])])
        let first = StatusText(said, of: object(nil), at: Timestamp(seconds: 1000))
        #expect(!first.isSaid)
        #expect(first.notices.map(\.reason) == ["Accepted", "Applied", "Configured"])
        let written = object(first.wish["status"])
        let second = StatusText(said, of: written, at: Timestamp(seconds: 2000))
        #expect(second.isSaid && second.notices.isEmpty && second.wish == first.wish)
        let wrong = ResourceConditions(.invalid(["a: b"], count: 3), .done, [entry(["CONFIGURED"])])
        let third = StatusText(wrong, of: written, at: Timestamp(seconds: 3000))
        #expect(!third.isSaid)
        #expect(third.notices.map(\.note) == ["a: b (and 2 more)"])
        #expect(third.wish["status"]?["status"] == "Failure")
        #expect(third.wish["status"]?["agents"] == first.wish["status"]?["agents"])
        // An entry of an agent that watches the resource itself is not ours.
        var other = written
        other["status"]?["agents"] = .array([["name": "pod", "microservice": "one"]])
        let fourth = StatusText(said, of: other, at: Timestamp(seconds: 4000))
        #expect(!fourth.isSaid && fourth.change["status"]?["agents"]?.array?.count == 2)
    }

    @Test("rules say whose resources may write for whom")
    func allowed() {
        var list = AllowList()
        #expect(list.isOpen && list.allows("any", "thing"))
        #expect(list.add("a=one") && list.add("b=*") && list.add("*=all"))
        #expect(!list.add("a") && !list.add("=x") && !list.add("x="))
        #expect(list.allows("a", "one") && !list.allows("a", "two") && list.allows("b", "two"))
        #expect(list.allows("c", "all") && !list.allows("c", "one"))
    }
}
