import Testing

@testable import LinuxKinds

/// What only one link can have passes from one to another in one change, and back.
@Suite("what only one link can have", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct ContentionTests {
    /// A name that the kernel refuses.
    private static let refused = "name: default, type: BRIDGE, enabled: true"

    /// From one configuration to another and back, first undone and then for good.
    private func exchange(_ host: Sandbox, _ one: Config, _ two: Config, _ look: (Config) throws -> Void) throws {
        let agent = try host.apply(one.text)
        try look(one)
        for (before, after) in [(one, two), (two, one)] {
            var wrong = after
            wrong.interfaces.append(Self.refused)
            let transaction = try agent.apply(wrong.text, tolerant: true, revertOnFailure: true)
            #expect(transaction?.reverted == true && transaction?.revertErrors ?? [] == [])
            #expect(
                transaction?.entries.filter { !$0.error.isEmpty && !$0.key.hasSuffix("/default") }.map(\.line) == [])
            try look(before)
            #expect(try host.agent().plan(before.text) == [])
            try agent.apply(after.text)
            #expect(agent.problems == [])
            try look(after)
            try host.expectInPlace(after.text, agent)
        }
    }

    @Test("a VXLAN gets an interface below, another one, and none", arguments: [nil, "x"] as [String?])
    func vxlanParent(_ namespace: String?) throws {
        try Sandbox.run { host in
            func config(_ parent: String?) -> Config {
                Config(interfaces: [
                    veth("p", "q", "ipAddresses: [192.0.2.9/24]"), veth("q", "p"),
                    "name: v, type: VXLAN, enabled: true, vxlan: {vni: 5, remote: 192.0.2.1\(parent.map { ", parent: \($0)" } ?? "")}"
                        + place(namespace),
                ])
            }
            for (one, two) in [(nil, "p"), ("p", "q"), ("q", nil)] as [(String?, String?)] {
                try exchange(host, config(one), config(two)) { (now: Config) throws in
                    let parent = now.text == config(one).text ? one : two
                    let below = try host.link("v", in: namespace)?.data["link"]
                    #expect((below == nil) == (parent == nil))
                }
            }
        }
    }
}
