import NetworkTypes
import Testing

@testable import Netlink

@Suite("requests compared with ip(8)")
struct GoldenTests {
    static let all = linkGoldens + tunnelGoldens + objectGoldens + routeGoldens

    /// What we do differently on purpose, by command: the tree of ip(8) is changed to ours, and each change must
    /// be one indeed.
    static func expected(_ golden: Golden) -> AttributeTree {
        var tree = AttributeTree(message: golden.bytes)
        let before = tree
        switch golden.command {
        case let command where command.hasPrefix("ip link add vl0"):
            // We always name the protocol: 802.1Q, the kernel's default.
            change(&tree, path: [18, 2]) { $0.append(leaf(5, [0x81, 0x00])) }
        case let command where command.hasPrefix("ip link add iv0"):
            // ip(8) names the flags too: 0, the kernel's default.
            change(&tree, path: [18, 2]) { $0.removeAll { $0.type == 2 } }
        case let command where defaults[String(command.dropFirst(12).prefix(3))] != nil:
            let named = defaults[String(command.dropFirst(12).prefix(3))] ?? []
            change(&tree, path: [18, 2]) { $0.removeAll { named.contains($0.type) } }
        case "ip -6 route add default via fd09::2":
            // ip(8) sends `::` of length 0, which means the same as none.
            tree.children.removeAll { $0.type == 1 }
        case "ip neigh del 10.9.0.5 dev p0":
            // ip(8) sends NUD_PERMANENT, which a deletion ignores.
            tree.bytes[2 + 8] = 0
        case let command where command.hasPrefix("ip route del"):
            // ip(8) leaves the type out; we select by it too.
            tree.bytes[2 + 7] = 1
        case let command where command.hasPrefix("ip rule del"):
            // ip(8) leaves the action out; we select by it too.
            tree.bytes[2 + 7] = 1
        default:
            return tree
        }
        #expect(tree != before, "a deviation that is none")
        return tree
    }

    /// What ip(8) names of a tunnel although it is the kernel's default: MTU discovery, encapsulation, firewall mark,
    /// keys that are none, the protocol inside. By the name of the link.
    private static let defaults: [String: Set<UInt16>] = [
        "gr0": [10, 14, 15, 16, 17, 20], "gt0": [2, 3, 4, 5, 10, 14, 15, 16, 17, 20], "g60": [14, 15, 16, 17, 20, 22],
        "gs0": [2, 3, 4, 5, 11, 14, 15, 16, 17, 20, 22], "ii0": [9, 10, 15, 16, 17, 18, 20],
        "si0": [1, 8, 9, 10, 15, 16, 17, 18, 20], "it0": [9, 15, 16, 17, 18, 20], "ge0": [11], "ge1": [1, 3, 4, 11],
    ]

    private static func leaf(_ type: UInt16, _ bytes: [UInt8]) -> AttributeTree {
        var tree = AttributeTree(message: [16, 0, 0, 0] + [UInt8](repeating: 0, count: 12))
        tree.type = type
        tree.bytes = bytes
        return tree
    }

    private static func change(_ tree: inout AttributeTree, path: [UInt16], _ body: (inout [AttributeTree]) -> Void) {
        guard let first = path.first else { return body(&tree.children) }
        for index in tree.children.indices where tree.children[index].type == first {
            change(&tree.children[index], path: Array(path.dropFirst()), body)
        }
    }

    @Test("the same header, flags and attributes", arguments: all)
    func encoding(golden: Golden) {
        let ours = golden.request.encoded(sequence: 0)
        #expect(AttributeTree(message: ours) == Self.expected(golden))
        #expect(ours.count == Int(ours[0]) | Int(ours[1]) << 8)
        #expect(ours.count % 4 == 0)
    }

    @Test("alternative names, byte for byte", arguments: propertyGoldens)
    func properties(golden: Golden) {
        var bytes = golden.bytes
        // ip(8) asks for an acknowledgement of each request.
        bytes[6] &= ~0x04
        #expect(golden.request.encoded(sequence: 0) == bytes)
    }

    @Test("an object survives decoding and encoding", arguments: all)
    func decoding(golden: Golden) throws {
        let report = golden.bytes.withUnsafeBytes { Report.decode(message: $0) }
        switch (golden.request, report) {
        case (.addAddress(let ours, let replace), .address(let theirs)):
            #expect(ours == theirs)
            compare(.addAddress(theirs, replace: replace), golden)
        case (.addRoute(let ours, let replace), .route(let theirs)):
            #expect(ours == theirs)
            compare(.addRoute(theirs, replace: replace), golden)
        case (.addNeighbour(let ours, let replace), .neighbour(let theirs)):
            #expect(ours == theirs)
            compare(.addNeighbour(theirs, replace: replace), golden)
        case (.addRule(let ours), .rule(let theirs)):
            #expect(ours == theirs)
            compare(.addRule(theirs), golden)
        case (.createLink(let ours, _), .link(let theirs)), (.setLink(let ours), .link(let theirs)):
            compare(ours, theirs)
        case (.deleteAddress(let ours), .addressRemoved(let theirs)):
            #expect(ours == theirs)
        case (.deleteRoute(let ours), .routeRemoved(let theirs)):
            #expect(ours.destination == theirs.destination && ours.nextHops == theirs.nextHops)
        case (.deleteNeighbour(let ours), .neighbourRemoved(let theirs)):
            #expect(ours.destination == theirs.destination && ours.linkIndex == theirs.linkIndex)
        case (.deleteRule(let ours), .ruleRemoved(let theirs)):
            #expect(ours.from == theirs.from && ours.priority == theirs.priority && ours.table == theirs.table)
        case (.deleteLink(let index), .linkRemoved(let theirs)):
            #expect(index == theirs.index)
        case (.deleteLinkGroup(let group), .linkRemoved(let theirs)):
            #expect(group == theirs.group)
        default:
            Issue.record("decoded as \(String(describing: report))")
        }
    }

    private func compare(_ request: Request, _ golden: Golden) {
        #expect(AttributeTree(message: request.encoded(sequence: 0)) == Self.expected(golden))
    }

    private func compare(_ ours: LinkAttributes, _ theirs: Link) {
        #expect(ours.index == theirs.index)
        #expect(ours.name ?? "" == theirs.name)
        #expect(ours.mtu ?? 0 == theirs.mtu)
        #expect(ours.mac == theirs.mac)
        #expect(ours.alias == theirs.alias)
        #expect(ours.master ?? 0 == theirs.master)
        #expect(ours.link ?? 0 == theirs.link)
        #expect(ours.group ?? 0 == theirs.group)
        #expect(ours.up ?? false == theirs.isUp)
        #expect(ours.kind ?? (ours.peer == nil ? .none : .veth) == theirs.kind)
    }
}
