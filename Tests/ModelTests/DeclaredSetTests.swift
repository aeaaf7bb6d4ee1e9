import Model
import TestSupport
import Testing

@Suite("What values of several sources contradict") struct DeclaredSetTests {
    private static func values(_ text: String) -> [ModelValue] {
        ConfigLoader.load(bytes: Array("linuxConfig: {\(text)}".utf8), name: "f").items.map(\.value)
    }

    private static func interface(_ text: String) -> ModelValue { values("interfaces: [{\(text)}]")[0] }

    private static func put(_ value: ModelValue, _ weakness: Int = 3, in set: inout DeclaredSet) {
        set.set(value.key, value, value.checked().specification, weakness: weakness)
    }

    @Test("two names of one link: the later is to blame, and free once the first goes")
    func hostNames() {
        var set = DeclaredSet()
        let first = Self.interface("name: a, type: DUMMY, hostIfName: x")
        let second = Self.interface("name: b, type: DUMMY, hostIfName: x")
        Self.put(first, in: &set)
        Self.put(second, in: &set)
        #expect(set.settle() == [second.key])
        #expect(set.contradiction(first.key) == nil)
        let found = set.contradiction(second.key)
        #expect(found?.text.hasPrefix("linux.interfaces.interface 'b': host_if_name makes it 'x'") == true)
        #expect(found?.text.contains(first.key) == true)
        #expect(found?.fields == ["host_if_name"])
        // To write it again does not make it the later one.
        Self.put(first, in: &set)
        #expect(set.settle().isEmpty)
        set.remove(first.key)
        #expect(set.settle() == [second.key])
        #expect(set.contradiction(second.key) == nil)
    }

    @Test("the weaker source gives way, whoever refers to whom and whoever came first")
    func weakness() {
        var set = DeclaredSet()
        let port = Self.interface("name: p, type: TAP, vrfMasterInterface: v")
        Self.put(port, 3, in: &set)
        #expect(set.settle().isEmpty, "that the VRF is not there is no contradiction")
        let bridge = Self.interface("name: br, type: BRIDGE, bridge: {ports: [p, q]}")
        Self.put(bridge, 0, in: &set)
        #expect(set.settle() == [port.key])
        let text = set.contradiction(port.key)?.text ?? ""
        #expect(text.hasPrefix("linux.interfaces.interface 'p': contradicts linux.interfaces.interface 'br': bridge."))
        #expect(text.contains("is a member of a VRF") && text.contains(bridge.key))
        // As a client's value the bridge is the one that refers to what can't be.
        Self.put(bridge, 3, in: &set)
        #expect(set.settle() == [port.key, bridge.key])
        #expect(set.contradiction(port.key) == nil)
        #expect(set.contradiction(bridge.key)?.text.contains(port.key) == true)
        Self.put(Self.interface("name: p, type: TAP"), 3, in: &set)
        #expect(set.settle() == [bridge.key])
        #expect(set.contradictory.isEmpty)
    }

    @Test("routes of one place, and what stands below them")
    func routes() {
        var set = DeclaredSet()
        let routes = Self.values(
            "routes: [{outgoingInterface: a, dstNetwork: 10.0.0.0/8}, {outgoingInterface: b, dstNetwork: 10.0.0.0/8}]")
        for value in routes { Self.put(value, in: &set) }
        #expect(set.settle().isEmpty, "nobody knows yet where they are")
        for name in ["a", "b"] { Self.put(Self.interface("name: \(name), type: DUMMY"), in: &set) }
        #expect(set.settle() == [routes[1].key])
        #expect(set.contradiction(routes[1].key)?.text.contains(routes[0].key) == true)
        Self.put(Self.interface("name: b, type: DUMMY, namespace: {type: NSID, reference: x}"), in: &set)
        #expect(set.settle() == [routes[1].key])
        #expect(set.contradictory.isEmpty)
    }

    /// Something that may contradict others.
    private static func anything(_ random: inout SeededGenerator) -> ModelValue {
        let name = "i\(random.below(6))"
        let other = "i\(random.below(6))"
        let host = random.chance(30) ? ", hostIfName: h\(random.below(2))" : ""
        let vrf = random.chance(25) ? ", vrfMasterInterface: \(other)" : ""
        let mtu = random.chance(30) ? ", mtu: \(1300 + random.below(3))" : ""
        let mac = random.chance(50) ? ", physAddress: '02:00:00:00:00:0\(random.below(2))'" : ""
        let more = host + vrf + mtu + (random.chance(50) ? ", enabled: true" : "")
        switch random.below(10) {
        case 0: return interface("name: \(name), type: BRIDGE, bridge: {ports: [\(other), j]}\(more)")
        case 1: return interface("name: \(name), type: VRF_DEVICE, vrfDev: {routingTable: \(10 + random.below(2))}")
        case 2: return interface("name: \(name), type: VETH, veth: {peerIfName: \(other)}\(more)")
        case 3:
            return interface("name: \(name), type: VLAN, vlan: {parent: \(other), id: \(1 + random.below(2))}\(more)")
        case 4: return interface("name: \(name), type: BOND, bond: {ports: [\(other)]}\(more)")
        case 5:
            let mode = random.pick(["BRIDGE", "PASSTHRU"])
            return interface("name: \(name), type: MACVLAN, macvlan: {parent: \(other), mode: \(mode)}\(mac)\(more)")
        case 6: return interface("name: \(name), type: TAP\(mac)\(more)")
        case 7:
            let remote = "10.0.0.\(1 + random.below(2))"
            return interface("name: \(name), type: IPIP, tunnel: {remote: \(remote), parent: \(other)}\(more)")
        case 8:
            return values(
                "routes: [{outgoingInterface: \(name), dstNetwork: 10.\(random.below(2)).0.0/16, "
                    + "metric: \(random.below(2))}]")[0]
        default:
            let policy = random.pick(["ACCEPT", "DROP"])
            return values(
                "RuleChain: [{name: \(name), table: FILTER, chainType: INPUT, defaultPolicy: \(policy)}]")[0]
        }
    }

    @Test("what is found change by change is what is found of all at once", arguments: 0..<30)
    func incremental(seed: Int) {
        var random = SeededGenerator(seed: UInt64(seed))
        var set = DeclaredSet()
        /// In the order in which they came to be in their source.
        var standing: [(key: String, value: ModelValue, weakness: Int)] = []
        var told: [String: String] = [:]
        for step in 0..<30 {
            for _ in 0...random.below(3) {
                if random.chance(25), let gone = standing.randomElement(using: &random) {
                    set.remove(gone.key)
                    told[gone.key] = nil
                    standing.removeAll { $0.key == gone.key }
                    continue
                }
                let (value, weakness) = (Self.anything(&random), random.below(2))
                Self.put(value, weakness, in: &set)
                if let index = standing.firstIndex(where: { $0.key == value.key && $0.weakness == weakness }) {
                    standing[index].value = value
                } else {
                    standing.removeAll { $0.key == value.key }
                    standing.append((value.key, value, weakness))
                    told[value.key] = nil
                }
            }
            for key in set.settle() { told[key] = set.contradiction(key)?.text }
            var whole = DeclaredSet()
            for (_, value, weakness) in standing { Self.put(value, weakness, in: &whole) }
            _ = whole.settle()
            let expected = Dictionary(
                uniqueKeysWithValues: whole.contradictory.map { ($0, whole.contradiction($0)?.text ?? "") })
            #expect(told == expected, "seed \(seed), step \(step)")
        }
    }

    @Test("values that come and go leave no room behind")
    func churn() {
        var set = DeclaredSet()
        let stays = Self.interface("name: a, type: DUMMY, hostIfName: x")
        Self.put(stays, in: &set)
        let value = Self.interface("name: b, type: DUMMY, hostIfName: x")
        for _ in 0..<3000 {
            Self.put(value, in: &set)
            #expect(set.settle() == [value.key])
            set.remove(value.key)
            #expect(set.settle().isEmpty)
        }
        #expect(set.places < 1100)
    }
}
