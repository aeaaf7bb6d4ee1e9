import NetworkTypes
import Testing

@testable import Netlink

/// What bridge(8) of iproute2 6.1 sends for a command; v0, a port, is link 4, and vx0 link 5.
struct ForwardingGolden: Sendable, CustomTestStringConvertible {
    let command: String
    let bytes: [UInt8]
    let request: Request

    var testDescription: String { command }

    private static func entry(
        _ link: Int32, _ mac: UInt64, _ destination: String? = nil, vlan: UInt16 = 0, port: UInt16? = nil,
        vni: UInt32? = nil, flags: UInt8 = ForwardingEntry.sticky
    ) -> ForwardingEntry {
        ForwardingEntry(
            linkIndex: link, mac: MACAddress(bits: mac), isOfBridge: destination == nil, vlan: vlan,
            destination: destination.map(ip), port: port, vni: vni, flags: flags)
    }

    private init(_ command: String, _ hex: String, _ request: Request) {
        (self.command, bytes, self.request) = (command, decodeHex(hex), request)
    }

    static let all: [ForwardingGolden] = [
        ForwardingGolden(
            "bridge fdb append 00:00:00:00:00:00 dev vx0 dst 10.0.0.2 sticky self permanent",
            """
            300000001c00050c00000000000000000700000005000000c00042000a0002000000000000000000080001000a000002
            """, .addForwarding(entry(5, 0, "10.0.0.2"))),
        ForwardingGolden(
            "bridge fdb append 00:00:00:00:00:00 dev vx0 dst 10.0.0.3 vni 7 port 4790 sticky self permanent",
            """
            400000001c00050c00000000000000000700000005000000c00042000a0002000000000000000000080001000a000003
            0600060012b600000800070007000000
            """, .addForwarding(entry(5, 0, "10.0.0.3", port: 4790, vni: 7))),
        ForwardingGolden(
            "bridge fdb replace 02:00:00:00:00:07 dev vx0 dst fd00::5 sticky self permanent",
            """
            3c0000001c00050500000000000000000700000005000000c00042000a000200020000000007000014000100fd000000
            000000000000000000000005
            """, .addForwarding(entry(5, 0x0200_0000_0007, "fd00::5"))),
        ForwardingGolden(
            "bridge fdb replace 02:00:00:00:00:05 dev v0 master static sticky",
            "280000001c0005050000000000000000070000000400000042004400 0a0002000200000000050000",
            .addForwarding(entry(4, 0x0200_0000_0005))),
        ForwardingGolden(
            "bridge fdb replace 02:00:00:00:00:05 dev v0 master static sticky vlan 9",
            "300000001c0005050000000000000000070000000400000042004400 0a0002000200000000050000 0600050009000000",
            .addForwarding(entry(4, 0x0200_0000_0005, vlan: 9))),
        ForwardingGolden(
            "bridge fdb del 00:00:00:00:00:00 dev vx0 dst 10.0.0.3 vni 7 port 4790 self",
            """
            400000001d00050000000000000000000700000005000000c00002000a0002000000000000000000080001000a000003
            0600060012b600000800070007000000
            """, .deleteForwarding(entry(5, 0, "10.0.0.3", port: 4790, vni: 7, flags: 0))),
    ]
}

@Suite("forwarding entries compared with bridge(8)")
struct ForwardingTests {
    @Test("the same header, flags and attributes", arguments: ForwardingGolden.all)
    func encoding(_ golden: ForwardingGolden) {
        let ours = golden.request.encoded(sequence: 0)
        #expect(AttributeTree(message: ours) == AttributeTree(message: golden.bytes))
    }

    @Test("an entry survives decoding and encoding", arguments: ForwardingGolden.all)
    func decoding(_ golden: ForwardingGolden) {
        let report = golden.bytes.withUnsafeBytes { Report.decode(message: $0) }
        switch (golden.request, report) {
        case (.addForwarding(let ours), .forwarding(let theirs)),
            (.deleteForwarding(let ours), .forwardingRemoved(let theirs)):
            #expect(ours == theirs)
        default: Issue.record("decoded as \(String(describing: report))")
        }
    }

    @Test("what the kernel takes for the same entry")
    func sameness() {
        func entry(_ mac: UInt64, _ destination: String) -> ForwardingEntry {
            ForwardingEntry(linkIndex: 5, mac: MACAddress(bits: mac), isOfBridge: false, destination: ip(destination))
        }
        #expect(entry(0x0200_0000_0007, "10.0.0.1").isSameEntry(as: entry(0x0200_0000_0007, "10.0.0.2")))
        #expect(!entry(0, "10.0.0.1").isSameEntry(as: entry(0, "10.0.0.2")))
        #expect(!entry(0x0100_5e00_0001, "10.0.0.1").isSameEntry(as: entry(0x0100_5e00_0001, "10.0.0.2")))
        #expect(!entry(0x0200_0000_0007, "10.0.0.1").isSameEntry(as: entry(0x0200_0000_0008, "10.0.0.1")))
    }
}
