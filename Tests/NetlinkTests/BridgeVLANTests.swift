import Testing

@testable import Netlink

/// What bridge(8) of iproute2 6.1 sends for a command; v0 is link 3.
struct BridgeVLANGolden: Sendable, CustomTestStringConvertible {
    let command: String
    let bytes: [UInt8]
    let request: Request

    var testDescription: String { command }

    private init(_ command: String, _ hex: String, _ request: Request) {
        (self.command, bytes, self.request) = (command, decodeHex(hex), request)
    }

    private static func add(_ range: BridgeVLANs.Range, isPort: Bool = true) -> Request {
        .addVLANs(BridgeVLANs([range]), linkIndex: 3, isPort: isPort)
    }

    private static func delete(_ range: BridgeVLANs.Range, isPort: Bool = true) -> Request {
        .deleteVLANs(BridgeVLANs([range]), linkIndex: 3, isPort: isPort)
    }

    static let all: [BridgeVLANGolden] = [
        BridgeVLANGolden(
            "bridge vlan add dev v0 vid 10",
            "2c000000130005000000000000000000070000000300000000000000000000000c001a000800020000000a00", add(.init(10))),
        BridgeVLANGolden(
            "bridge vlan add dev v0 vid 10 pvid untagged",
            "2c000000130005000000000000000000070000000300000000000000000000000c001a000800020006000a00",
            add(.init(10, isPVID: true, isUntagged: true))),
        BridgeVLANGolden(
            "bridge vlan add dev v0 vid 100-199",
            """
            340000001300050000000000000000000700000003000000000000000000000014001a00080002000800640008000200
            1000c700
            """, add(.init(100, 199))),
        BridgeVLANGolden(
            "bridge vlan add dev v0 vid 7 untagged self",
            """
            340000001300050000000000000000000700000003000000000000000000000014001a00060000000200000008000200
            04000700
            """, add(.init(7, isUntagged: true), isPort: false)),
        BridgeVLANGolden(
            "bridge vlan del dev v0 vid 1",
            "2c000000110005000000000000000000070000000300000000000000000000000c001a000800020000000100",
            delete(.init(1))),
        BridgeVLANGolden(
            "bridge vlan del dev v0 vid 20-30 self",
            """
            3c000000110005000000000000000000070000000300000000000000000000001c001a00060000000200000008000200
            080014000800020010001e00
            """, delete(.init(20, 30), isPort: false)),
    ]
}

@Suite("VLANs of bridges")
struct BridgeVLANTests {
    @Test("the same header and attributes as bridge(8)", arguments: BridgeVLANGolden.all)
    func encoding(_ golden: BridgeVLANGolden) {
        var ours = golden.request.encoded(sequence: 0)
        // What stands behind IFLA_BRIDGE_FLAGS, of 2 bytes, is nobody's.
        if ours.count > 43, ours[36] == 6 { ours.replaceSubrange(42..<44, with: [0, 0]) }
        // But for flags, sequence and port number.
        #expect(ours.prefix(6) == golden.bytes.prefix(6))
        #expect(ours.dropFirst(16) == golden.bytes.dropFirst(16))
    }

    @Test("ranges are as long as can be, whatever order they come in")
    func ranges() {
        let vlans = BridgeVLANs([
            .init(30, 40), .init(10), .init(11, 12), .init(13, isUntagged: true), .init(41), .init(0, 1),
        ])
        #expect(vlans.ranges == [.init(1), .init(10, 12), .init(13, isUntagged: true), .init(30, 41)])
        #expect(vlans.text == "1, 10-12, 13 untagged, 30-41")
        #expect(BridgeVLANs([.init(4095), .init(9, 3)]).text == "none")
    }

    @Test("a change leads from one to the other, for random ones")
    func change() {
        var random = SystemRandomNumberGenerator()
        func some() -> BridgeVLANs {
            var ranges = (0..<Int.random(in: 0...5, using: &random)).map { _ in
                let first = UInt16.random(in: 1...60, using: &random)
                return BridgeVLANs.Range(
                    first, first + .random(in: 0...20, using: &random), isUntagged: .random(using: &random))
            }
            if Bool.random(using: &random) { ranges.append(.init(.random(in: 1...80, using: &random), isPVID: true)) }
            return BridgeVLANs(ranges)
        }
        for _ in 0..<300 {
            let (old, new) = (some(), some())
            let (gone, set) = new.change(from: old)
            #expect(old.removing(gone).adding(set) == new, "\(old.text) to \(new.text): - \(gone.text) + \(set.text)")
            let none = new.change(from: new)
            #expect(none.gone.ranges.isEmpty && none.set.ranges.isEmpty)
        }
    }

    @Test("what the kernel tells of a port, and what a network card tells of its own bridge")
    func decoding() {
        // RTM_NEWLINK of AF_BRIDGE, link 3: IFLA_MASTER 3, IFLA_AF_SPEC.
        func report(_ specification: String) -> Report? {
            let size = UInt8(32 + 8 + specification.count / 2)
            let hex = String(size, radix: 16)
            let header =
                "\(hex.count < 2 ? "0" : "")\(hex)0000001000000000000000000000000700000003000000000000000000000008000a0003000000"
            return decodeHex(header + specification).withUnsafeBytes { Report.decode(message: $0) }
        }
        #expect(
            report("1c001a000800020006000100080002000800640008000200100c7000".replacing("100c7000", with: "1000c700"))
                == .port(
                    linkIndex: 3, nil,
                    vlans: BridgeVLANs([.init(1, isPVID: true, isUntagged: true), .init(100, 199)])))
        #expect(report("") == .port(linkIndex: 3, nil, vlans: BridgeVLANs()))
        #expect(report("0c001a000600010001000000") == .port(linkIndex: 3, nil, vlans: nil))
        // Any bytes will do.
        _ = report("0c001a000500020001000000")
        _ = report("08001a0004000200")
    }
}
