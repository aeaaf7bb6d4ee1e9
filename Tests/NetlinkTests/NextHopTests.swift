import NetworkTypes
import Testing

@testable import Netlink

/// What ip(8) of iproute2 6.1 sends for a command; v0 is link 3.
struct NextHopGolden: Sendable, CustomTestStringConvertible {
    let command: String
    let bytes: [UInt8]
    let request: Request

    var testDescription: String { command }

    private init(_ command: String, _ hex: String, _ request: Request) {
        (self.command, bytes, self.request) = (command, decodeHex(hex), request)
    }

    private static func way(
        _ id: UInt32, _ gateway: String?, _ family: IPAddress.Family = .v4, onlink: Bool = false
    ) -> NextHopObject {
        NextHopObject(
            id: id, proto: 78, family: family, gateway: gateway.map(ip), linkIndex: 3, onlink: onlink)
    }

    private static func way(_ destination: String, by id: UInt32, type: UInt8 = 1) -> Route {
        var route = Route(destination: prefix(destination), proto: 78, type: type)
        route.nextHopID = id
        return route
    }

    static let all: [NextHopGolden] = [
        NextHopGolden(
            "ip nexthop add id 1 via 10.0.0.2 dev v0 proto 78",
            "3000000068000506000000000000000002004e00000000000800010001000000080006000a0000020800050003000000",
            .addNextHop(way(1, "10.0.0.2"), replace: false)),
        NextHopGolden(
            "ip nexthop add id 2 via 10.0.0.3 dev v0 proto 78 onlink",
            "3000000068000506000000000000000002004e00040000000800010002000000080006000a0000030800050003000000",
            .addNextHop(way(2, "10.0.0.3", onlink: true), replace: false)),
        NextHopGolden(
            "ip nexthop add id 3 blackhole proto 78",
            "2400000068000506000000000000000002004e0000000000080001000300000004000400",
            .addNextHop(NextHopObject(id: 3, proto: 78, family: .v4, isBlackhole: true), replace: false)),
        NextHopGolden(
            "ip nexthop replace id 5 dev v0 proto 78",
            "2800000068000505000000000000000002004e000000000008000100050000000800050003000000",
            .addNextHop(way(5, nil), replace: true)),
        NextHopGolden(
            "ip nexthop add id 7 via fe80::1 dev v0 proto 78",
            """
            3c0000006800050600000000000000000a004e0000000000080001000700000014000600fe8000000000000000000000
            000000010800050003000000
            """, .addNextHop(way(7, "fe80::1", .v6), replace: false)),
        NextHopGolden(
            "ip nexthop add id 4 group 1,3/2,5 proto 78",
            """
            3400000068000506000000000000000000004e0000000000080001000400000014000200010000000200000002000000
            04000000
            """,
            .addNextHop(
                NextHopObject(id: 4, proto: 78, members: [.init(id: 1, weight: 3), .init(id: 2, weight: 5)]),
                replace: false)),
        NextHopGolden(
            "ip nexthop replace id 4 group 1/2,2 proto 78",
            """
            3400000068000505000000000000000000004e0000000000080001000400000014000200010000000000000002000000
            01000000
            """,
            .addNextHop(
                NextHopObject(id: 4, proto: 78, members: [.init(id: 1, weight: 1), .init(id: 2, weight: 2)]),
                replace: true)),
        NextHopGolden(
            "ip nexthop del id 5", "2000000069000500000000000000000000000000000000000800010005000000",
            .deleteNextHop(way(5, nil))),
        NextHopGolden(
            "ip route add 10.9.0.0/16 nhid 4 proto 78",
            "2c0000001800050600000000000000000210 0000fe4e000100000000080001000a09000008001e0004000000",
            .addRoute(way("10.9.0.0/16", by: 4), replace: false)),
        NextHopGolden(
            "ip -6 route add fd09::/64 nhid 7 proto 78",
            """
            380000001800050600000000000000000a400000fe4e00010000000014000100fd090000000000000000000000000000
            08001e0007000000
            """, .addRoute(way("fd09::/64", by: 7), replace: false)),
        NextHopGolden(
            "ip route del 10.9.0.0/16 nhid 4 proto 78",
            "2c0000001900050000000000000000000210 0000fe4eff0000000000080001000a09000008001e0004000000",
            .deleteRoute(way("10.9.0.0/16", by: 4, type: 0))),
    ]
}

@Suite("nexthop objects compared with ip(8)")
struct NextHopTests {
    @Test("the same header, flags and attributes", arguments: NextHopGolden.all)
    func encoding(_ golden: NextHopGolden) {
        let ours = golden.request.encoded(sequence: 0)
        #expect(AttributeTree(message: ours) == AttributeTree(message: golden.bytes))
    }

    @Test("an object survives encoding and decoding", arguments: NextHopGolden.all)
    func decoding(_ golden: NextHopGolden) {
        let report = golden.bytes.withUnsafeBytes { Report.decode(message: $0) }
        switch (golden.request, report) {
        case (.addNextHop(let ours, _), .nextHop(let theirs)): #expect(ours == theirs)
        case (.deleteNextHop(let ours), .nextHopRemoved(let theirs)): #expect(ours.id == theirs.id)
        case (.addRoute(let ours, _), .route(let theirs)): #expect(ours == theirs)
        case (.deleteRoute(let ours), .routeRemoved(let theirs)): #expect(ours.nextHopID == theirs.nextHopID)
        default: Issue.record("decoded as \(String(describing: report))")
        }
    }

    @Test("what one request can make of another object")
    func following() {
        func way(_ family: IPAddress.Family) -> NextHopObject { NextHopObject(id: 1, family: family, linkIndex: 3) }
        let group = NextHopObject(id: 1, members: [.init(id: 2, weight: 1)])
        #expect(way(.v4).canFollow(way(.v4)))
        #expect(!way(.v4).canFollow(way(.v6)))
        #expect(!group.canFollow(way(.v4)))
        #expect(group.canFollow(group))
    }
}
