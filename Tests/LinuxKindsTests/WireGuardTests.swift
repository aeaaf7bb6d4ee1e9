import Foundation
import Model
import TestSupport
import Testing

@testable import LinuxKinds

@Suite(
    "WireGuard", .enabled(if: Sandbox.isAvailable, Sandbox.reason), .enabled(if: Kernel.hasWireGuard, Kernel.reason))
struct WireGuardTests {
    /// Three pairs of keys, and one that is shared.
    private static let keys = [
        ("mEHZEe1rXbHgaW4ZCHqNRiBX3eQMWEW1mJfUgPanq2w=", "nWd6zmmpbdDvaOuvgPSnBkEU+YnvB0pfC7Yd6ZhioHs="),
        ("mHuHV52+W9yPxhIt+cvPPIFuqXah5xSkdt6jaPJluV0=", "se19BmIZ096vj0p13JTyRvgq3JfVqHsXvkxc0yCXDn8="),
        ("+IA04fWVL0e772ttbAlA9TiCi3/IuYdyWRL0fLrVzVs=", "X0KTBM/WHFN4z2QDT5ylG6s/sg6dpiPZ8KiTymq+7wQ="),
    ]
    private static let shared = "vP2GvfNOlQpl8PI1AELN64uqAlL4nU1r4cMJK29LwJg="

    /// Runs a test with a folder of key files: `0`, `1`, `2` and `shared`.
    private func run(_ body: (Sandbox, String) throws -> Void) throws {
        let folder = "/tmp/wg-\(UUID().uuidString.prefix(8))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        for (name, key) in Self.keys.enumerated().map({ ("\($0)", $1.0) }) + [("shared", Self.shared)] {
            try write(key, to: "\(folder)/\(name)")
        }
        try Sandbox.run { try body($0, folder) }
    }

    private func write(_ key: String, to path: String, mode: Int = 0o600) throws {
        try Data("\(key)\n".utf8).write(to: URL(fileURLWithPath: path))
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
    }

    private func wireguard(
        _ name: String, _ block: String, peers: [String] = [], in namespace: String? = nil, _ more: String = ""
    ) -> String {
        let list = peers.isEmpty ? "" : ", peers: [\(peers.map { "{\($0)}" }.joined(separator: ", "))]"
        return "name: \(name), type: WIREGUARD, enabled: true, wireguard: {\(block)\(list)}" + place(namespace)
            + (more.isEmpty ? "" : ", \(more)")
    }

    /// What `wg show NAME dump` prints, field by field: first the interface, then its peers.
    private func dump(_ name: String, _ host: Sandbox, in namespace: String? = nil) throws -> [[String]] {
        let lines = try host.command("wg show \(name) dump", in: namespace).split(separator: "\n")
        return lines.map { $0.split(separator: "\t").map(String.init) }
    }

    /// Nothing that the agent says holds a key but public ones.
    private func expectSecrecy(_ agent: TestAgent, _ plan: [String] = []) {
        let said = plan.joined() + "\(agent.reconciler.status())\(agent.reconciler.transactions)"
        for key in Self.keys.map(\.0) + [Self.shared] { #expect(!said.contains(key)) }
    }

    @Test(
        "key, port, mark and a peer are set, changed in place, exported and removed",
        arguments: [nil, "x"] as [String?])
    func life(_ namespace: String?) throws {
        try run { host, folder in
            let peer =
                "publicKey: '\(Self.keys[1].1)', endpoint: '192.0.2.2:7', allowedIps: [10.1.0.0/16, 'fd01::/64'], persistentKeepalive: 25, presharedKeyFile: \(folder)/shared"
            func yaml(_ block: String, _ peers: String...) -> String {
                linux(wireguard("wg0", "privateKeyFile: \(folder)/0, \(block)", peers: peers, in: namespace))
            }
            let first = yaml("listenPort: 51820, fwmark: 5", peer)
            let planned = try host.agent().plan(first)
            let agent = try host.apply(first)
            expectSecrecy(agent, planned)
            let index = try #require(try host.link("wg0", in: namespace)?.index)
            #expect(
                try dump("wg0", host, in: namespace) == [
                    [Self.keys[0].0, Self.keys[0].1, "51820", "0x5"],
                    [Self.keys[1].1, Self.shared, "192.0.2.2:7", "10.1.0.0/16,fd01::/64", "0", "0", "0", "25"],
                ])
            // The agent that has the declarations names the files, another one does not know them.
            let export = try agent.world.export(namespace: nil, all: false)
            let exported = YAMLWriter.write(ConfigDocument.tree(of: export))
            #expect(
                agent.world.omissions == [] && !exported.contains(Self.shared) && !exported.contains(Self.keys[0].0))
            try host.expectInPlace(exported)
            let stranger = host.agent()
            let partial = YAMLWriter.write(
                ConfigDocument.tree(of: try stranger.world.export(namespace: nil, all: false)))
            #expect(stranger.world.omissions.count == 2, "\(stranger.world.omissions)")
            #expect(!partial.contains(Self.shared) && !partial.contains(Self.keys[0].0))

            let other = "publicKey: '\(Self.keys[2].1)', allowedIps: [10.1.0.0/16]"
            let changed = yaml("listenPort: 51821", other, "publicKey: '\(Self.keys[1].1)', allowedIps: ['fd01::/64']")
            try agent.change(to: changed)
            #expect(agent.problems == [])
            #expect(
                try dump("wg0", host, in: namespace) == [
                    [Self.keys[0].0, Self.keys[0].1, "51821", "off"],
                    // An endpoint that is not declared any more is still where the peer is.
                    [Self.keys[1].1, "(none)", "192.0.2.2:7", "fd01::/64", "0", "0", "0", "off"],
                    [Self.keys[2].1, "(none)", "(none)", "10.1.0.0/16", "0", "0", "0", "off"],
                ])
            try host.expectInPlace(changed, agent)

            try agent.change(to: yaml("listenPort: 51821"))
            #expect(try dump("wg0", host, in: namespace).count == 1)
            #expect(try host.link("wg0", in: namespace)?.index == index)
            expectSecrecy(agent)
            try agent.change(to: linux("name: lo1, type: LOOPBACK, enabled: true"))
            // A namespace that was made for it goes, too.
            if namespace == nil { #expect(try host.link("wg0") == nil) } else { #expect(host.namespaces == []) }
        }
    }

    @Test("packets go through, and the age of the handshake is told")
    func traffic() throws {
        try run { host, folder in
            func end(_ mine: Int, _ other: Int, in namespace: String?) -> String {
                wireguard(
                    "wg\(mine)", "privateKeyFile: \(folder)/\(mine), listenPort: 51820",
                    peers: [
                        "publicKey: '\(Self.keys[other].1)', endpoint: '192.0.2.\(other + 1):51820', allowedIps: [10.7.0.\(other + 1)/32], presharedKeyFile: \(folder)/shared"
                    ], in: namespace, "ipAddresses: [10.7.0.\(mine + 1)/24]")
            }
            let yaml = linux(
                veth("p", "q", "ipAddresses: [192.0.2.1/24]"),
                veth("q", "p", in: "y", "ipAddresses: [192.0.2.2/24]"), end(0, 1, in: nil), end(1, 0, in: "y"))
            let agent = try host.apply(yaml)
            let keys = agent.reconciler.status(prefix: "linux/interface/wg0/wireguard/peer/").map(\.key)
            #expect(keys.count == 1)
            #expect(agent.world.peerFacts(of: keys).values.contains("no handshake yet"))
            try host.command("ping -c 1 -W 20 10.7.0.2")
            let fact = try #require(agent.world.peerFacts(of: keys)[keys[0]])
            #expect(fact.wholeMatch(of: #/handshake \d+ s ago/#) != nil, "\(fact)")
            try host.expectInPlace(yaml, agent)

            // The other end calls from another address and port: that is no drift, here and after a restart.
            try host.command("wg set wg1 listen-port 7", in: "y")
            try host.command("ping -c 1 -W 20 10.7.0.1", in: "y")
            #expect(try dump("wg0", host)[1][2] == "192.0.2.2:7")
            _ = agent.world.audit(suspectsOnly: false)
            #expect(agent.reconciler.comparison(of: keys[0]) == .inPlace)
            #expect(agent.world.peerFacts(of: keys)[keys[0]]?.hasSuffix("s ago, endpoint 192.0.2.2:7") == true)
            #expect(try host.agent().plan(yaml).filter { $0.contains("of wg0") } == [])
            // Another one that is declared is set.
            let moved = yaml.replacing("192.0.2.2:51820", with: "192.0.2.2:9")
            try agent.change(to: moved)
            #expect(try dump("wg0", host)[1][2] == "192.0.2.2:9")
        }
    }

    @Test("what `wg set` changes is found by the next look")
    func drift() throws {
        try run { host, folder in
            let yaml = linux(
                wireguard(
                    "wg0", "privateKeyFile: \(folder)/0, listenPort: 51820",
                    peers: ["publicKey: '\(Self.keys[1].1)', allowedIps: [10.1.0.0/16]"]))
            let agent = try host.apply(yaml)
            let made = try dump("wg0", host)
            for command in [
                "wg set wg0 listen-port 7", "wg set wg0 private-key \(folder)/1", "wg set wg0 fwmark 9",
                "wg set wg0 peer \(Self.keys[1].1) remove",
                "wg set wg0 peer \(Self.keys[2].1) allowed-ips 10.1.0.0/16",
                "wg set wg0 peer \(Self.keys[1].1) allowed-ips 10.1.0.0/16,10.2.0.0/16 persistent-keepalive 5",
                "wg set wg0 peer \(Self.keys[1].1) preshared-key \(folder)/shared",
            ] {
                try host.command(command)
                #expect(try dump("wg0", host) != made)
                let changes = agent.world.audit(suspectsOnly: false)
                agent.reconciler.reconcile(reason: .drift, scope: .keys(changes.keys))
                // The kernel drops a peer with its own public key for good.
                if command.contains("private-key") {
                    agent.reconciler.forgetFailures()
                    let more = agent.world.audit(suspectsOnly: false)
                    agent.reconciler.reconcile(reason: .drift, scope: .keys(more.keys))
                }
                #expect(try dump("wg0", host) == made, "\(command)")
                expectSecrecy(agent)
            }
            try host.expectInPlace(yaml, agent)
        }
    }

    @Test("key files are checked, and errors name the file and never what is in it")
    func files() throws {
        try run { host, folder in
            let yaml = linux(
                wireguard(
                    "wg0", "privateKeyFile: \(folder)/own",
                    peers: ["publicKey: '\(Self.keys[1].1)', presharedKeyFile: \(folder)/psk"]))
            let agent = host.agent()
            let settings = "linux/interface/wg0/wireguard"
            func error(_ key: String) throws -> String {
                agent.reconciler.forgetFailures()
                try agent.apply(yaml)
                expectSecrecy(agent)
                return agent.reconciler.status(prefix: key).first { $0.key == key || $0.key.contains("/peer/") }?.error
                    ?? ""
            }
            #expect(try error(settings).contains("private key: \(folder)/own can't be opened: No such file"))
            try write(Self.keys[0].0, to: "\(folder)/own", mode: 0o644)
            #expect(
                try error(settings).contains("own has mode 0644, so that others can read or write it; chmod 0600 it"))
            try write(Self.keys[0].0, to: "\(folder)/own", mode: 0o620)
            #expect(try error(settings).contains("has mode 0620"))
            for text in ["", String(Self.keys[0].0.dropLast()), Self.keys[0].0 + Self.keys[0].0, "\0", "A"] {
                try write(text, to: "\(folder)/own")
                #expect(try error(settings).contains("own does not hold one key of 44 characters"))
            }
            try write(Self.keys[0].0, to: "\(folder)/own")
            #expect(chown("\(folder)/own", 1, 1) == 0)
            #expect(try error(settings).contains("belongs to user 1; it has to be root's"))
            try FileManager.default.removeItem(atPath: "\(folder)/own")
            #expect(mkfifo("\(folder)/own", 0o600) == 0)
            #expect(try error(settings).contains("own is not a regular file"))
            try FileManager.default.removeItem(atPath: "\(folder)/own")
            try write("  " + Self.keys[0].0 + "\n\n", to: "\(folder)/own", mode: 0o640)
            #expect(try error(settings) == "")
            let peer = try #require(agent.reconciler.status(prefix: settings + "/peer/").first?.key)
            #expect(try error(peer).contains("preshared key: \(folder)/psk can't be opened"))
            try write(Self.shared, to: "\(folder)/psk")
            #expect(try error(peer) == "" && agent.problems == [])
            #expect(try dump("wg0", host)[1][1] == Self.shared)
            // A file that has changed counts when all is compared again.
            try write(Self.keys[2].0, to: "\(folder)/own")
            try agent.apply(yaml)
            #expect(try dump("wg0", host)[0][1] == Self.keys[2].1)
        }
    }

    @Test("an endpoint that is a name is looked up; one that is none waits, and nothing else does")
    func names() throws {
        try run { host, folder in
            func yaml(_ name: String) -> String {
                linux(
                    wireguard(
                        "wg0", "privateKeyFile: \(folder)/0",
                        peers: [
                            "publicKey: '\(Self.keys[1].1)', endpoint: '\(name):7', allowedIps: [10.1.0.0/16]",
                            "publicKey: '\(Self.keys[2].1)', allowedIps: [10.2.0.0/16]",
                        ]))
            }
            let agent = host.agent()
            try agent.apply(yaml("nowhere.invalid"))
            #expect(agent.problems.count == 1)
            #expect(
                agent.problems.first?.contains(
                    "endpoint: nowhere.invalid can't be looked up (by the resolver of the agent's own namespace): ")
                    == true, "\(agent.problems)")
            #expect(try dump("wg0", host).dropFirst().map(\.first) == [Self.keys[2].1])
            try agent.change(to: yaml("localhost"))
            #expect(agent.problems == [])
            let endpoint = try dump("wg0", host).first { $0[0] == Self.keys[1].1 }?[2]
            #expect(["127.0.0.1:7", "[::1]:7"].contains(endpoint))
            try host.expectInPlace(yaml("localhost"), agent)

            // With events nobody waits for the answer.
            try agent.change(to: yaml("127.0.0.2"))
            try agent.watch()
            try agent.change(to: yaml("localhost"))
            #expect(
                try agent.settle(seconds: 20) {
                    try dump("wg0", host).contains { $0[0] == Self.keys[1].1 && $0[2] == endpoint }
                })
            #expect(agent.problems == [])
        }
    }

    @Test("the own key is no peer")
    func own() throws {
        try run { host, folder in
            let yaml = linux(
                wireguard("wg0", "privateKeyFile: \(folder)/0", peers: ["publicKey: '\(Self.keys[0].1)'"]))
            let agent = host.agent()
            try agent.apply(yaml)
            try agent.apply(yaml)
            #expect(agent.problems.contains { $0.contains("is the public key of wg0 itself") }, "\(agent.problems)")
        }
    }

    @Test("a port that somebody else has is named")
    func port() throws {
        try run { host, folder in
            func yaml(_ port: Int) -> String {
                linux(wireguard("wg0", "listenPort: 5\(port)"), wireguard("wg1", "listenPort: 57"))
            }
            let agent = host.agent()
            try agent.apply(yaml(7))
            #expect(agent.problems.count == 1, "\(agent.problems)")
            #expect(agent.problems.first?.contains("somebody else listens to UDP port 57") == true, "\(agent.problems)")
            agent.reconciler.forgetFailures()
            try agent.apply(yaml(8))
            #expect(agent.problems == [])
        }
    }

    @Test(
        "a thousand peers, with what they cost",
        .enabled(
            if: ProcessInfo.processInfo.environment["NSM_AGENT_BENCH"] != nil, "a measurement: set NSM_AGENT_BENCH"))
    func thousand() throws {
        try run { host, folder in
            let clock = ContinuousClock()
            let peers = (0..<1000).map { number in
                var bytes = [UInt8](repeating: 9, count: 32)
                (bytes[0], bytes[1]) = (UInt8(number & 255), UInt8(number >> 8))
                return
                    "publicKey: '\(Data(bytes).base64EncodedString())', endpoint: '192.0.2.1:\(number + 1)', allowedIps: [10.\(number / 256).\(number % 256).0/24, 'fd00:\(number)::/64']"
            }
            let yaml = linux(wireguard("wg0", "privateKeyFile: \(folder)/0, listenPort: 51820", peers: peers))
            let agent = host.agent()
            let made = try clock.measure { try agent.apply(yaml) }
            #expect(agent.problems == [])
            #expect(try dump("wg0", host).count == 1001)
            let again = try clock.measure { try agent.apply(yaml) }
            let fresh = host.agent()
            let restarted = try clock.measure { try fresh.apply(yaml) }
            #expect(fresh.world.modifyingRequests == 0)
            let audit = clock.measure { _ = agent.world.audit(suspectsOnly: false) }
            let one = try clock.measure {
                try agent.change(to: yaml.replacing("192.0.2.1:500'", with: "192.0.2.1:5000'"))
            }
            print(
                "1000 WireGuard peers: made \(made), again \(again), restart \(restarted), audit \(audit), one changed \(one)"
            )
        }
    }
}
