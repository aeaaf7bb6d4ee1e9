import Testing

@testable import Netlink

@Suite("ports of bridges")
struct BridgePortTests {
    /// `ip link set v0 type bridge_slave cost 10 priority 5 isolated on hairpin on learning off neigh_suppress on guard on
    /// root_block on fastleave on flood off mcast_flood off bcast_flood off` of iproute2 6.1, with v0 as link 4.
    private static let golden = decodeHex(
        """
        9800000010000500000000000000000000000000040000000000000000000000 7800120010000100627269646765 5f736c617665
        640005000800030 00a00000006000200050000000500210001000000050004000100000005000800000000000500200001000000
        0500050001000000050006000100000005000700010000000500090000000000 05001b000000000005001e0000000000
        """)

    private static var port: BridgePort {
        var port = BridgePort()
        (port.cost, port.priority) = (10, 5)
        for flag in [.isolated, .hairpin, .neighbourSuppression, .guarded, .rootBlock, .fastLeave] as [BridgePort.Flags]
        {
            port[flag] = true
        }
        for flag in [.learning, .flood, .multicastFlood, .broadcastFlood] as [BridgePort.Flags] { port[flag] = false }
        return port
    }

    @Test("the same settings as ip(8) sends")
    func encoding() throws {
        var attributes = LinkAttributes(index: 4)
        attributes.port = Self.port
        let ours = AttributeTree(message: Request.setLink(attributes).encoded(sequence: 0))
        let theirs = AttributeTree(message: Self.golden)
        #expect(ours.bytes == theirs.bytes && ours.type == theirs.type)
        let info = (try #require(ours.children.first), try #require(theirs.children.first))
        #expect(info.0.type == info.1.type && ours.children.count == 1)
        // ip(8) names the kind of the port in the place for the kind of the link.
        #expect(info.0.children.map(\.type) == [4, 5] && info.1.children.map(\.type) == [1, 5])
        #expect(info.0.children.last == info.1.children.last)
    }

    @Test("what is encoded comes back, and what is not said is not changed")
    func decoding() throws {
        for port in [Self.port, .kernelDefault, BridgePort()] {
            var attributes = LinkAttributes(index: 4)
            attributes.port = port
            let report = Request.setLink(attributes).encoded(sequence: 0)
                .withUnsafeBytes { Report.decode(message: $0) }
            guard case .link(let link) = report else {
                Issue.record("decoded as \(String(describing: report))")
                continue
            }
            #expect(link.port == port && link.kind == .none)
        }
        #expect(BridgePort.kernelDefault.merged(with: Self.port) == Self.port)
        #expect(Self.port.merged(with: BridgePort()) == Self.port)
        #expect(Self.port.change(from: Self.port) == nil)
        let change = try #require(BridgePort.kernelDefault.change(from: Self.port))
        #expect(Self.port.merged(with: change).change(from: .kernelDefault)?.words.map(\.name) == ["cost"])
        #expect(!Self.port.agrees(with: .kernelDefault) && Self.port.agrees(with: BridgePort()))
    }

    @Test("what only a bridge tells of its port is read")
    func event() {
        // RTM_NEWLINK of AF_BRIDGE for link 4, with IFLA_PROTINFO: cost 10, isolated.
        let bytes = decodeHex(
            "340000001000000000000000000000000700000004000000 0000000000000000 14000c80 080003000a000000 0500210001000000"
        )
        var port = BridgePort()
        port.cost = 10
        port[.isolated] = true
        #expect(bytes.withUnsafeBytes { Report.decode(message: $0) } == .port(linkIndex: 4, port, vlans: BridgeVLANs()))
        // Without it, nothing is said of a port.
        var none = Array(bytes.prefix(32))
        none[0] = 32
        #expect(none.withUnsafeBytes { Report.decode(message: $0) } == nil)
    }
}
