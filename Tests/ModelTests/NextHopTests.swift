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
}
