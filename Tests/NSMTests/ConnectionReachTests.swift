import NetworkTypes
import Testing

@testable import NSM

@Suite("What follows from the addresses of a connection's ends")
struct ConnectionReachTests {
    private func prefixes(_ texts: String...) throws -> [IPPrefix] { try texts.map { try #require(IPPrefix($0)) } }

    private func reach(_ addresses: [IPPrefix], _ peers: [IPPrefix]) -> ConnectionReach {
        ConnectionReach(addresses: addresses, peers: peers)
    }

    @Test("the other end is led to once, unless a network of this end has it")
    func unreached() throws {
        let own = try prefixes("10.0.0.2/24", "fd00::2/128")
        let peers = try prefixes("10.0.0.1/24", "10.1.0.1/32", "10.1.0.1/24", "fd00::1/128")
        #expect(reach(own, peers).unreachedPeers == (try prefixes("10.1.0.1/32", "fd00::1/128")))
    }

    @Test("a route leads to its next hop, onto the link, or to the other end")
    func nextHops() throws {
        let reach = reach(try prefixes("10.0.0.2/32"), try prefixes("10.0.0.1/24", "10.9.0.1/32"))
        func hop(_ destination: String, _ given: String? = nil) throws -> String? {
            let destination = try #require(IPPrefix(destination))
            return reach.nextHop(of: destination, given: given.flatMap { IPAddress($0) })?.description
        }
        #expect(try hop("10.8.0.0/16", "10.0.0.7") == "10.0.0.7")
        #expect(try hop("10.8.0.0/16", "0.0.0.0") == "10.0.0.1")
        #expect(try hop("10.8.0.0/16") == "10.0.0.1")
        #expect(try hop("10.0.0.128/25") == nil)
        #expect(try hop("10.0.0.0/16") == "10.0.0.1")
        #expect(try hop("fd00::/64") == nil)
    }

    @Test("an end is no neighbour of its own")
    func neighbours() throws {
        let reach = reach(try prefixes("10.0.0.2/24"), try prefixes("10.0.0.1/24"))
        #expect(reach.isNeighbour(try #require(IPAddress("10.0.0.1"))))
        #expect(!reach.isNeighbour(try #require(IPAddress("10.0.0.2"))))
    }

    @Test("a policy is of its source's family, or its routes', or the ends'")
    func families() throws {
        let reach = reach(try prefixes("fd00::2/128"), try prefixes("fd00::1/128"))
        #expect(reach.families(from: IPPrefix("10.0.0.2/32"), destinations: []) == [.v4])
        #expect(reach.families(from: nil, destinations: try prefixes("fd00::/8", "10.0.0.0/8")) == [.v4, .v6])
        #expect(reach.families(from: nil, destinations: []) == [.v6])
        #expect(ConnectionReach(addresses: [], peers: []).families(from: nil, destinations: []) == [.v4])
    }
}
