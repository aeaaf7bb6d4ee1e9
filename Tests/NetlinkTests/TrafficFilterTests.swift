import Testing

@testable import Netlink

/// What tc(8) of iproute2 6.1 sends for a command; v0 is link 3.
struct FilterGolden: Sendable, CustomTestStringConvertible {
    let command: String
    let bytes: [UInt8]
    let request: Request

    var testDescription: String { command }

    /// - Parameters:
    ///   - rate: bytes per microsecond, of which tc(8) makes a table of the times that packets take.
    ///   - bits: by how many bits lengths are shifted to places of it.
    private init(_ command: String, _ hex: String, rate: UInt64, bits: UInt64, _ end: String, _ request: Request) {
        let times = (1...256).map { (cell: UInt64) in (cell << bits) / rate * 1000 / 64 }
        let table = times.flatMap { time in [0, 8, 16, 24].map { UInt8(truncatingIfNeeded: time >> $0) } }
        (self.command, bytes, self.request) = (command, decodeHex(hex) + table + decodeHex(end), request)
    }

    private init(_ command: String, _ hex: String, _ request: Request) {
        (self.command, bytes, self.request) = (command, decodeHex(hex), request)
    }

    static let all: [FilterGolden] = [
        FilterGolden(
            "tc filter add dev v0 parent ffff:fff2 protocol all pref 20051 handle 0x4e530001 matchall action police rate 80mbit burst 320000 mtu 320000 conform-exceed drop/continue",
            """
            980400002c000506000000000000000000000000030000000100534ef2ffffff0003534e0d0001006d61746368616c6c
            0000000064040200600402005c0401000b000100706f6c69636500004c0402803c000100000000000200000000000000
            20a1070000e204000b010000ffff00008096980000000000000000000000000000000000000000000000000004040200
            """, rate: 10, bits: 11, "08000500ffffffff",
            .addFilter(
                TrafficFilter(
                    linkIndex: 3, handle: 0x4e53_0001, preference: 20051,
                    police: .init(rate: 10_000_000, burst: 320_000)))),
        FilterGolden(
            "tc filter add dev v0 parent ffff:fff2 protocol all pref 20051 handle 0x4e530000 matchall action police rate 40gbit burst 1000000 mtu 1000000 conform-exceed drop/continue",
            """
            a40400002c000506000000000000000000000000030000000000534ef2ffffff0003534e0d0001006d61746368616c6c
            00000000700402006c040200680401000b000100706f6c6963650000580402803c000100000000000200000000000000
            350c000040420f000c010000ffff0000ffffffff00000000000000000000000000000000000000000000000004040200
            """, rate: 5000, bits: 12, "0c00080000f2052a0100000008000500ffffffff",
            .addFilter(
                TrafficFilter(
                    linkIndex: 3, handle: 0x4e53_0000, preference: 20051,
                    police: .init(rate: 5_000_000_000, burst: 1_000_000)))),
        FilterGolden(
            "tc filter del dev v0 parent ffff:fff2 protocol all pref 20051 handle 0x4e530001 matchall",
            """
            340000002d000500000000000000000000000000030000000100534ef2ffffff0003534e0d0001006d61746368616c6c
            00000000
            """, .deleteFilter(TrafficFilter(linkIndex: 3, handle: 0x4e53_0001, preference: 20051, police: nil))),
        FilterGolden(
            "tc qdisc add dev v0 handle ffff: ingress",
            """
            3000000024000506000000000000000000000000030000000000fffff1ffffff000000000c000100696e677265737300
            """, .addQdisc(.ingress(ofLink: 3))),
        FilterGolden(
            "tc qdisc del dev v0 handle ffff: ingress",
            """
            3000000025000500000000000000000000000000030000000000fffff1ffffff000000000c000100696e677265737300
            """, .deleteQdisc(.ingress(ofLink: 3))),
    ]
}

@Suite("limits for what arrives compared with tc(8)")
struct TrafficFilterTests {
    @Test("the same header, flags and attributes", arguments: FilterGolden.all)
    func encoding(_ golden: FilterGolden) {
        let ours = golden.request.encoded(sequence: 0)
        #expect(AttributeTree(message: ours) == AttributeTree(message: golden.bytes))
    }

    @Test("a filter survives encoding and decoding", arguments: FilterGolden.all)
    func decoding(_ golden: FilterGolden) {
        let report = golden.bytes.withUnsafeBytes { Report.decode(message: $0) }
        switch (golden.request, report) {
        case (.addFilter(let ours), .filter(let theirs)): #expect(ours == theirs)
        case (.deleteFilter(let ours), .filterRemoved(let theirs)): #expect(ours == theirs)
        case (.addQdisc(let ours), .qdisc(let theirs)): #expect(ours == theirs)
        case (.deleteQdisc(let ours), .qdiscRemoved(let theirs)): #expect(ours == theirs)
        default: Issue.record("decoded as \(String(describing: report))")
        }
    }

    @Test("what the kernel keeps tells the burst")
    func bursts() {
        for (rate, burst) in [(1_250_000, 32_768), (5_000_000_000, 1 << 20), (1000, 2500)] as [(UInt64, UInt32)] {
            #expect(TrafficFilter.Police(rate: rate, burst: burst).burst == burst)
        }
        // What is exported makes the same filter, also where a burst is shorter than the longest packet.
        for rate: UInt64 in [1000, 99_999, 1_250_000, 15_625_000, 125_000_000, 5_000_000_000] {
            for burst: UInt32 in [100, 333, 1514, 2046, 2047, 2048, 65_537, .max] {
                let police = TrafficFilter.Police(rate: rate, burst: burst)
                let again = TrafficFilter.Police(rate: rate, burst: police.burst)
                #expect(again == police, "\(rate) \(burst) \(police.burst)")
            }
        }
        // A longest packet that people set.
        #expect(TrafficFilter.Police(rate: 1_000_000, time: 500_000, longest: 9000).burst == 32_000)
    }
}
