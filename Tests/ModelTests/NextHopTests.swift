import Testing

@testable import Model

@Suite("nexthop objects in files")
struct NextHopTests {
    private func findings(_ set: (inout Nsmagent_Linux_Nexthop) -> Void) -> [String] {
        var message = Nsmagent_Linux_Nexthop()
        message.name = "n"
        set(&message)
        return ModelValue.nextHop(message).checked().findings.map(\.description)
    }

    private func member(_ name: String, _ weight: UInt32 = 0) -> Nsmagent_Linux_Nexthop.Member {
        var member = Nsmagent_Linux_Nexthop.Member()
        (member.nexthop, member.weight) = (name, weight)
        return member
    }

    @Test("what can't be said of a nexthop is told")
    func mistakes() {
        #expect(findings { ($0.outgoingInterface, $0.gwAddr) = ("e", "10.0.0.1") } == [])
        #expect(findings { $0.blackhole = true } == [])
        #expect(findings { $0.group = [member("a"), member("b", 256)] } == [])
        #expect(
            findings { _ in } == ["outgoing_interface is missing; name the interface the packets leave by"])
        #expect(
            findings { ($0.outgoingInterface, $0.blackhole) = ("e", true) } == [
                "blackhole can't be set together with outgoing_interface"
            ])
        #expect(
            findings { ($0.blackhole, $0.gwAddr) = (true, "10.0.0.1") } == [
                "gw_addr '10.0.0.1' needs outgoing_interface"
            ])
        #expect(
            findings { ($0.outgoingInterface, $0.onlink) = ("e", true) } == [
                "onlink is about a gateway; there is none"
            ])
        #expect(
            findings { $0.group = [member("n"), member(""), member("a"), member("a"), member("b", 257)] } == [
                "group[0].nexthop 'n' is the group itself",
                "group[1].nexthop is missing; give it the name of a nexthop",
                "group[3].nexthop 'a' is there twice", "group[4].weight '257' is out of range (0–256)",
            ])
        #expect(
            findings { ($0.outgoingInterface, $0.gwAddr) = ("e", "224.0.0.1") } == [
                "gw_addr '224.0.0.1' is not the address of a router"
            ])
    }

    @Test("a route by a nexthop says nothing that this says")
    func routes() {
        func findings(_ set: (inout Ligato_Linux_L3_Route) -> Void) -> [String] {
            var message = Ligato_Linux_L3_Route()
            (message.dstNetwork, message.nexthop) = ("10.0.0.0/8", "n")
            set(&message)
            return ModelValue.route(message).checked().findings.map(\.description)
        }
        #expect(findings { _ in } == [])
        #expect(
            findings { $0.outgoingInterface = "e" } == [
                "nexthop 'n' can't be set together with outgoing_interface, gw_addr or next_hops"
            ])
        #expect(findings { $0.type = .blackhole } == ["nexthop 'n' does not belong to a BLACKHOLE route"])
        var message = Ligato_Linux_L3_Route()
        (message.dstNetwork, message.nexthop) = ("10.0.0.0/8", "n")
        #expect(ModelValue.route(message).name == "10.0.0.0/8/nexthop/n")
    }

    private func found(_ nextHops: [String], _ routes: [String] = []) -> [String] {
        func list(_ name: String, _ lines: [String]) -> String {
            lines.isEmpty ? "" : "  \(name):\n" + lines.map { "    - {\($0)}\n" }.joined()
        }
        let interfaces = ["name: a, type: DUMMY", "name: x, type: DUMMY, namespace: {type: NSID, reference: x}"]
        return load(
            "linuxConfig:\n" + list("interfaces", interfaces) + list("nexthops", nextHops) + list("routes", routes)
        ).mistakes.map(\.description)
    }

    @Test("nexthops that do not go together are told")
    func relations() {
        let (left, right) = ("name: l, outgoingInterface: a", "name: r, outgoingInterface: a, id: 5")
        let (away, none) = ("name: w, outgoingInterface: x, id: 5", "name: n, blackhole: true")
        let group = "name: g, group: [{nexthop: l}, {nexthop: r}]"
        #expect(found([left, right, away, none, group, "name: h, group: [{nexthop: n}]"]) == [])
        func expect(_ text: String, _ nextHops: [String], _ routes: [String] = []) {
            let found = found(nextHops, routes)
            #expect(found.count == 1 && found[0].contains(text), "\(text): \(found)")
        }
        expect("id '5' is the number of nexthop 'r' in the same namespace", [right, "name: s, blackhole: true, id: 5"])
        expect("group[0].nexthop 'g' is a group", [left, right, group, "name: h, group: [{nexthop: g}]"])
        expect("group[1].nexthop 'n' drops packets", [left, none, "name: h, group: [{nexthop: l}, {nexthop: n}]"])
        expect(
            "group[1].nexthop 'w' is in another namespace than l",
            [left, away, "name: h, group: [{nexthop: l}, {nexthop: w}]"])
        expect("group[1].nexthop 'k' is not declared", [left, "name: h, group: [{nexthop: l}, {nexthop: k}]"])
        expect("nexthop 'k' is not declared", [left], ["dstNetwork: 10.0.0.0/8, nexthop: k"])
        let routes = ["dstNetwork: 10.0.0.0/8, nexthop: l", "dstNetwork: 10.0.0.0/8, nexthop: r"]
        expect("has the same table and metric", [left, right], routes)
        expect("has the same table and metric", [left], [routes[0], "dstNetwork: 10.0.0.0/8, outgoingInterface: a"])
        #expect(found([left, away], [routes[0], "dstNetwork: 10.0.0.0/8, nexthop: w"]) == [])
    }

    @Test("what changes with a nexthop is noticed by its groups and routes")
    func changes() {
        var set = ConfigSet()
        func count(_ name: String, _ lines: String...) -> Int {
            let text = "linuxConfig:\n" + lines.joined()
            set.set(Array(text.utf8).withUnsafeBytes { ConfigText($0, name: name, label: "default", names: .none) })
            return set.settle().findings.mistakes.count
        }
        let way = "    - {name: l, outgoingInterface: a}\n"
        let other = "    - {name: l, outgoingInterface: a, namespace: {type: NSID, reference: x}}\n"
        #expect(count("routes", "  routes:\n    - {dstNetwork: 10.0.0.0/8, nexthop: l}\n") == 1)
        #expect(count("ways", "  nexthops:\n", way) == 0)
        #expect(count("more", "  nexthops:\n    - {name: r, outgoingInterface: a}\n") == 0)
        #expect(count("groups", "  nexthops:\n    - {name: g, group: [{nexthop: r}, {nexthop: l}]}\n") == 0)
        #expect(count("ways", "  nexthops:\n", other) == 1)
        #expect(count("ways", "  nexthops:\n    - {name: k, outgoingInterface: a}\n") == 2)
        #expect(count("ways", "  nexthops:\n", way) == 0)
    }
}
